"""The simulated Citrix API on base path ``/cvad/manage`` (contract ``citrix.md``): the same for DaaS and for CVAD.

How a caller signs in, and as which customer, differs: that is the door. ``citrix_daas`` and ``citrix_cvad`` put the two
together.
"""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sandbox import contract
from sandbox.citrix_entities import (
    MACHINE_PROPERTIES,
    catalog_item,
    connection_detail,
    connection_item,
    folder_id,
    group_item,
    machine_detail,
    machine_item,
    machine_state,
    site_detail,
)
from sandbox.citrix_sign_in import Door, accept_refusal, error_data, header_refusal
from sandbox.entity_cache import EntityCache, listing
from sandbox.faults import Faults
from sandbox.front import Answer, Call, Handler
from sandbox.world import SimMachine, World

Json = Any
T = TypeVar("T")
DEFAULT_LIMIT = 250
# A list of catalogs has them only when they are asked for (contract, section 8.1).
COSTLY = ("TotalCount", "Scopes", "JobsInProgress")


class CitrixApi:
    """One site behind one door. ``system`` is its name in the counted calls."""

    probe = "getMe"

    def __init__(self, system: str, world: World, faults: Faults, door: Door) -> None:
        self.system = system
        self.contract = contract.citrix()
        self._door = door
        self._world = world
        self._faults = faults
        self._cache = EntityCache()
        self.handlers: Mapping[str, Handler] = {
            door.operation: door.issue,
            "getMe": self._me,
            "listSites": self._sites,
            "getSite": self._site_detail,
            "listMachines": self._machines,
            "getMachine": self._machine,
            "updateMachine": self._update_machine,
            "listMachineCatalogs": self._catalogs,
            "listDeliveryGroups": self._groups,
            "listHypervisors": self._connections,
            "getHypervisor": self._connection,
            "resetHypervisorConnection": self._reset,
        }

    async def trouble(self, call: Call) -> Answer | None:
        kind = "write" if call.operation.method != "get" else "read"
        await asyncio.sleep(self._faults.delay("citrix-slow", kind))
        if call.operation.id == self._door.operation:
            return None
        throttled = self._faults.take("citrix-429", kind)
        if throttled is not None:
            busy = error_data(429, "Too many requests. Try again later.")
            # Citrix does not promise the header (contract, section 9.3): it comes when the fault asks for it.
            if throttled.retry_after is not None:
                busy.headers["Retry-After"] = str(throttled.retry_after)
            return busy
        if self._faults.hits("citrix-502", kind):
            # A gateway answers for the service: no JSON, no transaction id.
            page = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
            return Answer(502, payload=page, media_type="text/html", gateway=True)
        return None

    def admit(self, call: Call) -> Answer | None:
        if call.operation.id == self._door.operation:
            return accept_refusal(call)
        refusal = self._door.refusal(call)
        if refusal is None and self._faults.hits("token-expiry"):
            self._door.revoke(call)
            refusal = self._door.refusal(call)
        return refusal or header_refusal(self._world.site, self._door.customer_id, call)

    def prepare(self, call: Call) -> None:
        pass

    def refuse(self, status: int, problems: list[str]) -> Answer:
        return error_data(status, "; ".join(problems), "InvalidInput" if status == 400 else None)

    def finish(self, call: Call, answer: Answer) -> Answer:
        if call.operation.id != self._door.operation:
            answer.headers["Citrix-TransactionId"] = _transaction(call)
            kind = "write" if call.operation.method != "get" else "read"
            # The fault is an answer that is lost: a refusal, where nothing was executed, is none.
            answer.drop = answer.status < 400 and self._faults.hits("citrix-drop", kind)
        return answer

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

    def _machines(self, call: Call) -> Answer:
        if call.query.get("async"):
            return _not_simulated(call)
        site, wanted = self._world.site, call.query.get("sessionSupport")
        # The site has no machine that is registered and in no catalog.
        listed = list(site.machines.values()) if call.query.get("configured", True) else []
        if wanted is not None:
            listed = [each for each in listed if site.catalogs[each.catalog_id].session_support == wanted]
        names = _fields(call)
        return self._page(call, listed, lambda each: self._machine_text(each, names))

    def _machine_text(self, machine: SimMachine, names: tuple[str, ...]) -> bytes:
        site = self._world.site
        key = (machine.id, names)
        return self._cache.text(key, machine_state(site, machine), lambda: machine_item(site, machine, names))

    def _machine(self, call: Call) -> Answer:
        machine = self._world.site.machine(call.path["nameOrId"])
        if machine is None:
            return _unknown_machine(call)
        return Answer(body=machine_detail(self._world.site, machine, _fields(call)))

    def _update_machine(self, call: Call) -> Answer:
        site = self._world.site
        if call.query.get("async"):
            return _not_simulated(call)
        machine = site.machine(call.path["nameOrId"])
        if machine is None:
            return _unknown_machine(call)
        body = call.body
        if any(body.get(name, "set") == "" for name in ("HostedMachineId", "HypervisorConnection")):
            return error_data(400, "HostedMachineId and HypervisorConnection may not be empty.", "InvalidInput")
        connection = site.connection(body["HypervisorConnection"]) if "HypervisorConnection" in body else None
        if "HypervisorConnection" in body and connection is None:
            message = f"The hosting connection {body['HypervisorConnection']} does not exist."
            return error_data(404, message, "UnknownHypervisorConnection")
        if machine.provisioning != "Manual" and {"HostedMachineId", "HypervisorConnection"} & set(body):
            return error_data(400, "The hosting of a provisioned machine cannot be changed.", "SuperfluousHostingData")
        if connection is not None:
            machine.connection_id = connection.id
        if "HostedMachineId" in body:
            machine.hosted_machine_id = body["HostedMachineId"]
        if {"HostedMachineId", "HypervisorConnection"} & set(body):
            machine.power_state = "Unknown"
        if body.get("InMaintenanceMode") is not None:
            machine.in_maintenance = body["InMaintenanceMode"]
        for entry in body.get("Metadata", []):
            machine.metadata.pop(entry["Name"], None)
            if entry.get("Value"):
                machine.metadata[entry["Name"]] = entry["Value"]
        self._world.writes[machine.id] += 1
        return Answer(204)

    def _catalogs(self, call: Call) -> Answer:
        if call.query.get("async"):
            return _not_simulated(call)
        site = self._world.site
        found = [each for each in site.catalogs.values() if _in_folder(call, each.folder)]
        return self._page(call, found, lambda each: _trimmed(call, catalog_item(site, each), without=COSTLY))

    def _groups(self, call: Call) -> Answer:
        if call.query.get("async"):
            return _not_simulated(call)
        found = [each for each in self._world.site.groups.values() if _in_folder(call, each.folder)]
        return self._page(call, found, lambda each: _trimmed(call, group_item(each)))

    def _connections(self, call: Call) -> Answer:
        if call.query.get("async"):
            return _not_simulated(call)
        items = [connection_item(each) for each in self._world.site.connections.values()]
        return Answer(body={"Items": items, "ContinuationToken": None})

    def _connection(self, call: Call) -> Answer:
        connection = self._world.site.connection(call.path["nameOrId"])
        if connection is None:
            return _unknown_connection(call)
        return Answer(body=connection_detail(connection))

    def _reset(self, call: Call) -> Answer:
        if call.query.get("async"):
            return _not_simulated(call)
        connection = self._world.site.connection(call.path["nameOrId"])
        if connection is None:
            return _unknown_connection(call)
        if connection.in_maintenance:
            return error_data(409, f"The hosting connection {connection.name} is in maintenance mode.")
        connection.resets += 1
        self._world.refresh_power(connection)
        return Answer(204)

    def _page(self, call: Call, items: list[T], text: Callable[[T], bytes]) -> Answer:
        """One page. The token holds the query it was made for: another query with it is refused."""
        query = sorted([name, value] for name, value in call.raw_query if name != "continuationToken")
        offset = 0
        given = call.query.get("continuationToken")
        if given is not None:
            held = _open_token(given)
            if held is None or held[1] != query:
                return error_data(400, "The continuation token is not valid for this query.", "InvalidInput")
            offset = held[0]
        limit = call.query.get("limit", DEFAULT_LIMIT)
        page = items[offset : offset + limit]
        more = offset + len(page) < len(items)
        token = _seal_token(offset + len(page), query) if more else None
        envelope = {"ContinuationToken": token, "TotalItems": None}
        judged, payload = listing(envelope, "Items", [text(each) for each in page])
        return Answer(body=judged, payload=payload)


def _fields(call: Call) -> tuple[str, ...]:
    """The properties to answer: those asked for and ``Id``, or all. Names that do not exist are passed over."""
    asked = call.query.get("fields")
    if not asked:
        return tuple(MACHINE_PROPERTIES)
    wanted = {name.strip().lower() for name in asked.split(",")} | {"id"}
    return tuple(name for name in MACHINE_PROPERTIES if name.lower() in wanted)


def _trimmed(call: Call, item: dict[str, Json], without: tuple[str, ...] = ()) -> bytes:
    """The item with the fields that are asked for; where none are, with all but ``without``."""
    asked = call.query.get("fields")
    if not asked:
        item = {name: value for name, value in item.items() if name not in without}
    else:
        # A delivery group's name is required in every answer, as its id is.
        wanted = {name.strip().lower() for name in asked.split(",")} | {"id", "name"}
        item = {name: value for name, value in item.items() if name.lower() in wanted}
    return json.dumps(item, separators=(",", ":")).encode()


def _in_folder(call: Call, folder: str) -> bool:
    wanted = call.query.get("adminFolder")
    if wanted is None:
        return True
    named = wanted.replace("|", "\\").strip("\\").lower()
    return named == folder.lower() or (folder != "" and named == folder_id(folder))


def _transaction(call: Call) -> str:
    return call.headers.get("Citrix-TransactionId") or str(uuid.uuid4())


def _seal_token(offset: int, query: list[list[str]]) -> str:
    # "+", "/" and "=" on purpose: a client that does not URL-encode the token loses it here as it would there.
    return "+/" + base64.b64encode(json.dumps([offset, query]).encode()).decode() + "=="


def _open_token(token: str) -> tuple[int, list[list[str]]] | None:
    try:
        offset, query = json.loads(base64.b64decode(token.removeprefix("+/").removesuffix("==") + "=="))
    except ValueError:
        return None
    return (int(offset), query) if token.startswith("+/") else None


def _unknown_machine(call: Call) -> Answer:
    return error_data(404, f"The machine {call.path['nameOrId']} does not exist.", "UnknownMachine")


def _unknown_connection(call: Call) -> Answer:
    name = call.path["nameOrId"]
    return error_data(404, f"The hosting connection {name} does not exist.", "UnknownHypervisorConnection")


def _not_simulated(call: Call) -> Answer:
    return error_data(501, f"{call.operation.id}: this form of the call is not simulated.")
