"""Machines of the simulated Citrix (contract ``citrix.md``, sections 4 and 5): read, and changed by PATCH."""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.citrix_entities import machine_detail, machine_item, machine_state
from sandbox.citrix_errors import error_data, not_simulated, unknown_catalog, unknown_connection, unknown_machine
from sandbox.citrix_jobs import Jobs
from sandbox.citrix_pages import machine_fields, page
from sandbox.citrix_site import SimMachine, SiteJob, Via, Write
from sandbox.contract import Json
from sandbox.entity_cache import EntityCache
from sandbox.front import Answer, Call, Handler
from sandbox.world import World

HOSTING = {"HostedMachineId", "HypervisorConnection"}


class Machines:
    """The machines of one site."""

    def __init__(self, world: World, jobs: Jobs) -> None:
        self._world = world
        self._jobs = jobs
        self._cache = EntityCache()
        self.handlers: Mapping[str, Handler] = {
            "listMachines": self._list,
            "listCatalogMachines": self._of_catalog,
            "getMachine": self._get,
            "updateMachine": self._update,
        }

    def _list(self, call: Call) -> Answer:
        if call.query.get("async"):
            return not_simulated(call)
        site, wanted = self._world.site, call.query.get("sessionSupport")
        # The site has no machine that is registered and in no catalog.
        listed = list(site.machines.values()) if call.query.get("configured", True) else []
        if wanted is not None:
            listed = [each for each in listed if site.catalogs[each.catalog_id].session_support == wanted]
        return self._page(call, listed)

    def _of_catalog(self, call: Call) -> Answer:
        if call.query.get("async"):
            return not_simulated(call)
        catalog = self._world.site.catalog(call.path["nameOrId"])
        if catalog is None:
            return unknown_catalog(call.path["nameOrId"])
        return self._page(call, [each for each in self._world.site.machines.values() if each.catalog_id == catalog.id])

    def _page(self, call: Call, machines: list[SimMachine]) -> Answer:
        names = machine_fields(call)
        return page(call, machines, lambda each: self._text(each, names))

    def _text(self, machine: SimMachine, names: tuple[str, ...]) -> bytes:
        site = self._world.site
        key = (machine.id, names)
        return self._cache.text(key, machine_state(site, machine), lambda: machine_item(site, machine, names))

    def _get(self, call: Call) -> Answer:
        machine = self._world.site.machine(call.path["nameOrId"])
        if machine is None:
            return unknown_machine(call)
        return Answer(body=machine_detail(self._world.site, machine, machine_fields(call)))

    def _update(self, call: Call) -> Answer:
        machine = self._world.site.machine(call.path["nameOrId"])
        if machine is None:
            return unknown_machine(call)
        via = Via.BATCH if call.item else Via.ALONE
        if not call.query.get("async"):
            return write_machine(self._world, machine, call.body, via) or Answer(204)

        async def work(job: SiteJob) -> Answer | None:
            await call.inside.pause()
            return write_machine(self._world, machine, call.body, via)

        parameters = (("Id", machine.id), ("Name", machine.name))
        kind = "UpdateMachineCatalogMachine"
        return self._jobs.start(call, kind, work, of=f"Machines/{machine.id}", parameters=parameters)


def write_machine(world: World, machine: SimMachine, body: Json, via: Via) -> Answer | None:
    """Executes a PATCH, all of it or nothing, and records it. Answers the refusal, None for what was done."""
    site = world.site
    if machine.id in site.locked:
        return error_data(403, f"You are not permitted to change the machine {machine.name}.", "PermissionDenied")
    if any(body.get(name, "set") == "" for name in HOSTING):
        return error_data(400, "HostedMachineId and HypervisorConnection may not be empty.", "InvalidInput")
    before = machine.hosting
    if HOSTING & set(body):
        refusal = _write_hosting(world, machine, body)
        if refusal is not None:
            return refusal
    if body.get("InMaintenanceMode") is not None:
        machine.in_maintenance = body["InMaintenanceMode"]
    for entry in body.get("Metadata", []):
        machine.metadata.pop(entry["Name"], None)
        if entry.get("Value"):
            machine.metadata[entry["Name"]] = entry["Value"]
    world.writes[machine.id] += 1
    world.history.append(Write(len(world.history) + 1, machine.id, before, machine.hosting, via))
    return None


def _write_hosting(world: World, machine: SimMachine, body: Json) -> Answer | None:
    named = body.get("HypervisorConnection")
    connection = world.site.connection(named if named is not None else machine.connection_id or "")
    if named is not None and connection is None:
        return unknown_connection(named)
    if machine.provisioning != "Manual":
        return error_data(400, "The hosting of a provisioned machine cannot be changed.", "SuperfluousHostingData")
    if connection is not None and connection.in_maintenance:
        message = f"The hosting connection {connection.name} is in maintenance mode."
        return error_data(400, message, "HypervisorInMaintenanceMode")
    if connection is not None:
        machine.connection_id = connection.id
    machine.hosted_machine_id = body.get("HostedMachineId", machine.hosted_machine_id)
    machine.power_state = "Unknown"
    return None
