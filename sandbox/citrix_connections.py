"""Hosting connections of the simulated Citrix (contract ``citrix.md``, section 7)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sandbox.citrix_entities import connection_detail, connection_item
from sandbox.citrix_errors import error_data, not_simulated, unknown_connection
from sandbox.citrix_jobs import Jobs
from sandbox.citrix_site import SimConnection, SiteJob
from sandbox.contract import Json
from sandbox.front import Answer, Call, Handler
from sandbox.world import World


class Connections:
    """The hosting connections of one site, as this server of it knows them."""

    def __init__(self, world: World, jobs: Jobs) -> None:
        self._world = world
        self._jobs = jobs
        self._first_read: dict[str, Json] = {}
        self.handlers: Mapping[str, Handler] = {
            "listHypervisors": self._list,
            "getHypervisor": self._get,
            "resetHypervisorConnection": self._reset,
        }

    def _list(self, call: Call) -> Answer:
        if call.query.get("async"):
            return not_simulated(call)
        details = [self._detail(call, each) for each in self._world.site.connections.values()]
        names = connection_item(next(iter(self._world.site.connections.values()))) if details else {}
        items = [{name: each[name] for name in names} for each in details]
        return Answer(body={"Items": items, "ContinuationToken": None})

    def _get(self, call: Call) -> Answer:
        if call.query.get("async"):
            return not_simulated(call)
        connection = self._world.site.connection(call.path["nameOrId"])
        if connection is None:
            return unknown_connection(call.path["nameOrId"])
        return Answer(body=self._detail(call, connection))

    def _detail(self, call: Call, connection: SimConnection) -> Json:
        now = connection_detail(connection)
        held = self._first_read.setdefault(connection.id, now)
        return held if self._world.site.caches and not call.query.get("noCache") else now

    def _reset(self, call: Call) -> Answer:
        connection = self._world.site.connection(call.path["nameOrId"])
        if connection is None:
            return unknown_connection(call.path["nameOrId"])
        if connection.in_maintenance:
            return error_data(409, f"The hosting connection {connection.name} is in maintenance mode.")
        if not call.query.get("async"):
            self._reset_now(connection)
            return Answer(204)

        async def work(job: SiteJob) -> Answer | None:
            await call.inside.pause()
            self._reset_now(connection)
            return None

        parameters = (("Id", connection.id), ("Name", connection.name))
        kind = "ResetBrokerHypervisorConnection"
        return self._jobs.start(call, kind, work, of=f"hypervisors/{connection.id}", parameters=parameters)

    def _reset_now(self, connection: SimConnection) -> None:
        connection.resets += 1
        lag = self._world.power_lag_seconds
        if lag:
            # The reset itself runs in the background, after its answer (contract, section 7.1).
            asyncio.get_running_loop().call_later(lag, self._world.refresh_power, connection)
        else:
            self._world.refresh_power(connection)
