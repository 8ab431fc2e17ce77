"""The simulated Citrix API on base path ``/cvad/manage`` (contract ``citrix.md``): the same for DaaS and for CVAD.

How a caller signs in, and as which customer, differs: that is the door. ``citrix_daas`` and ``citrix_cvad`` put the two
together. What the calls do stands in a module for each kind of thing; here is what all of them share.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from sandbox import contract
from sandbox.citrix_batch import Batches, Form
from sandbox.citrix_catalogs import Catalogs
from sandbox.citrix_connections import Connections
from sandbox.citrix_entities import site_detail
from sandbox.citrix_errors import error_data
from sandbox.citrix_faults import refusal_of_call, slow_down, subjects
from sandbox.citrix_jobs import Jobs
from sandbox.citrix_machines import Machines
from sandbox.citrix_sign_in import Door, accept_refusal, header_refusal
from sandbox.citrix_zones import Zones
from sandbox.faults import Faults
from sandbox.front import Answer, Call, Handler, route
from sandbox.world import World

BASE = "/cvad/manage"


class CitrixApi:
    """One site behind one door. ``system`` is its name in the counted calls, ``form`` that of a batch item's URL."""

    probe = "getMe"

    def __init__(self, system: str, world: World, faults: Faults, door: Door, form: Form) -> None:
        self.system = system
        self.contract = contract.citrix()
        self._door = door
        self._world = world
        self._faults = faults
        jobs = Jobs(world, faults)
        batches = Batches(world, faults, jobs, lambda method, path: route(self, method, path), form)
        self.handlers: Mapping[str, Handler] = {
            door.operation: door.issue,
            "getMe": self._me,
            "listSites": self._sites,
            "getSite": self._site_detail,
            **Machines(world, jobs).handlers,
            **Catalogs(world.site).handlers,
            **Connections(world, jobs).handlers,
            **Zones(world.site, jobs).handlers,
            **batches.handlers,
            **jobs.handlers,
        }

    async def trouble(self, call: Call) -> Answer | None:
        await slow_down(self._faults, call)
        return None if call.operation.id == self._door.operation else refusal_of_call(self._faults, call)

    def admit(self, call: Call) -> Answer | None:
        if call.operation.id == self._door.operation:
            return accept_refusal(call)
        refusal = self._door.refusal(call)
        if refusal is None and self._faults.hits("token-expiry", "item" if call.item else "call", *subjects(call)):
            self._door.revoke(call)
            refusal = self._door.refusal(call)
        if refusal is not None:
            return refusal
        call.caller = self._door.caller(call)
        return header_refusal(self._world.site, self._door.customer_id, call) or self._forbidden(call)

    def prepare(self, call: Call) -> None:
        pass

    def refuse(self, status: int, problems: list[str]) -> Answer:
        return error_data(status, "; ".join(problems), "InvalidInput" if status == 400 else None)

    def finish(self, call: Call, answer: Answer) -> Answer:
        if call.operation.id != self._door.operation:
            answer.headers["Citrix-TransactionId"] = _transaction(call)
            # The fault is an answer that is lost: a refusal, where nothing was executed, is none.
            answer.drop = answer.status < 400 and self._faults.hits("citrix-drop", *subjects(call))
        return answer

    def _forbidden(self, call: Call) -> Answer | None:
        if call.operation.id not in self._world.site.forbidden:
            return None
        return error_data(403, f"You are not permitted to call {call.operation.id}.", "AccessDenied")

    def _me(self, call: Call) -> Answer:
        site = self._world.site
        if site.frozen:
            return Answer(530)
        body = {
            "UserId": "9690c0233f2a4f6c",
            "DisplayName": "realign",
            "ExpiryTime": "5:19:11 AM",
            "RefreshExpirationTime": "4:19:11 PM",
            "VerifiedEmail": None,
            "IsCspCustomer": False,
            "Customers": [{"Id": self._door.customer_id, "Name": None, "Sites": [{"Id": site.id, "Name": site.name}]}],
        }
        return Answer(body=body)

    def _sites(self, call: Call) -> Answer:
        site = self._world.site
        return Answer(body={"Items": [{"Id": site.id, "Name": site.name}], "ContinuationToken": None})

    def _site_detail(self, call: Call) -> Answer:
        site = self._world.site
        if call.path["nameOrId"].lower() not in (site.id.lower(), site.name.lower()):
            return error_data(404, f"The site {call.path['nameOrId']} does not exist.")
        first = next(iter(site.connections.values()))
        return Answer(body=site_detail(site, first.zone_id, first.zone))


def _transaction(call: Call) -> str:
    return call.headers.get("Citrix-TransactionId") or str(uuid.uuid4())
