"""What the tests of the review actions share: machines by name, what Citrix says of them, and the estate as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import UpdateMode

from tests.e2e.client import Json
from tests.e2e.conftest import App

# No second reset half a minute after a test.
POLICY = {"maxChangePercent": 100, "resetAgainAfterSeconds": 0}


def ids(app: App, run: Json) -> dict[str, str]:
    """The machine ids of a run's findings by the machines' names, without the domain CORP."""
    return {f["machine"]["name"].removeprefix("CORP\\"): i for i, f in app.api.findings(run["id"]).items()}


def states(app: App, run: Json) -> dict[str, str]:
    """The states of a run's remaps by the machines' names."""
    found = app.api.findings(run["id"]).values()
    return {f["machine"]["name"].removeprefix("CORP\\"): f["state"] for f in found if f["state"]}


def as_planned(app: App, run: Json) -> set[str]:
    """The machines whose record in Citrix is what the run's remap wants it to be."""
    site, there = app.sandbox.world.site, set()
    for finding in app.api.findings(run["id"]).values():
        machine = site.machine(finding["machine"]["name"])
        assert machine is not None
        if finding["to"] is None or machine.connection_id is None:
            continue
        now = (site.connections[machine.connection_id].name, (machine.hosted_machine_id or "").lower())
        if now == (finding["to"]["hostingConnection"], finding["to"]["hostedMachineId"]):
            there.add(machine.name.removeprefix("CORP\\"))
    return there


def told(app: App, run: Json) -> list[tuple[str, str]]:
    """Who did what, in the order of time; what was done to single machines is left out."""
    events = app.api.all(f"/api/runs/{run['id']}/events")
    return [(event["actor"], event["action"]) for event in events if "machine" not in event]


@contextmanager
def put_back(app: App) -> Iterator[None]:
    """Afterwards Citrix has what it had before, and nothing remembers that it was ever changed."""
    site = app.sandbox.world.site
    before = {machine.id: (machine.connection_id, machine.hosted_machine_id) for machine in site.machines.values()}
    yield
    for machine_id, (connection, hosted) in before.items():
        machine = site.machines[machine_id]
        machine.connection_id, machine.hosted_machine_id = connection, hosted
    with app.tables() as service, suppress(ResourceNotFoundError):  # where nothing was planned there is no table
        rows = service.get_table_client("remaps")
        for row in rows.query_entities("PartitionKey ge 'departed:' and PartitionKey lt 'departed;'"):
            rows.delete_entity(row)


def change_row(app: App, table: str, partition: str, key: str, **values: Any) -> None:
    """Makes a row say something else, such as another time."""
    with app.tables() as service:
        row = {"PartitionKey": partition, "RowKey": key, **values}
        service.get_table_client(table).update_entity(row, mode=UpdateMode.MERGE)
