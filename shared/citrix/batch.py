"""Many changes in one call: how Citrix wants them written, and what its results say (contract ``citrix.md``, 6.1).

A batch may be sent by one worker and its results fetched by another, so a reference alone tells the machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shared.call_failure import excerpt
from shared.citrix.endpoint import TRANSACTION, Endpoint
from shared.citrix.jobs import job_id_from
from shared.citrix.refusal import remedy, vendor_message
from shared.model.citrix import Hosting, MachineId
from shared.model.job import ItemOutcome
from shared.model.remap import Change

_REFERENCE = re.compile(r"[-_0-9a-zA-Z]+")  # what Citrix takes for one
_HEX = "hex-"  # before the hexadecimal form of an id that cannot be a reference as it is
BEGUN = 202

RelativeUrl = Callable[[MachineId], str]


class BadResults(ValueError):
    """Results that are not what the contract promises; the message says in what."""


def fields_of(hosting: Hosting) -> dict[str, str]:
    """The body of a PATCH: both fields, always. Raises ``ValueError`` where one is missing: the meaning of null and of
    an empty text is not documented, so neither is ever sent (contract, section 5).
    """
    if not (hosting.connection or "").strip() or not (hosting.machine_id or "").strip():
        raise ValueError("A change needs the name of a hosting connection and a hosted machine id; one is missing.")
    return {"HostedMachineId": str(hosting.machine_id).lower(), "HypervisorConnection": str(hosting.connection)}


def check(changes: Sequence[Change]) -> None:
    """Raises ``ValueError`` for what must not be sent as one batch."""
    if not changes:
        raise ValueError("A batch needs a change.")
    seen: set[str] = set()
    for change in changes:
        fields_of(change.hosting)
        reference_of(change.machine)
        if change.machine.casefold() in seen:
            raise ValueError(f"Two changes of machine {change.machine} cannot go in one batch: their order is open.")
        seen.add(change.machine.casefold())


def patches(changes: Sequence[Change], relative_url: RelativeUrl, token: str) -> dict[str, Any]:
    """The body of ``/$batch`` for ``changes``. It holds ``token``: it belongs into no error and no log."""
    return {
        "Items": [
            _item(change.machine, "PATCH", relative_url(change.machine), token)
            | {"Body": json.dumps(fields_of(change.hosting))}
            for change in changes
        ]
    }


def one_read(machine: MachineId, relative_url: RelativeUrl, token: str) -> dict[str, Any]:
    """The body of a batch that reads ``machine`` and changes nothing."""
    return {"Items": [_item(machine, "GET", relative_url(machine), token)]}


def _item(machine: MachineId, method: str, relative_url: str, token: str) -> dict[str, Any]:
    return {
        "Reference": reference_of(machine),
        "Method": method,
        "RelativeUrl": relative_url,
        "Headers": [{"Name": "Authorization", "Value": f"Bearer {token}"}],
    }


def reference_of(machine: MachineId) -> str:
    """The reference of a machine's item: its id, or an encoding of it. Raises ``ValueError`` for an empty id."""
    if not machine:
        raise ValueError("A change needs the id of a machine.")
    if _REFERENCE.fullmatch(machine) and not machine.startswith(_HEX):
        return machine
    return _HEX + machine.encode().hex()


def machine_of(reference: str) -> MachineId:
    """The machine behind a reference. Raises ``BadResults`` for one that Realign never wrote."""
    if reference.startswith(_HEX):
        try:
            return MachineId(bytes.fromhex(reference.removeprefix(_HEX)).decode())
        except ValueError as error:
            raise BadResults("an item with a reference that Realign did not give") from error
    if not _REFERENCE.fullmatch(reference):
        raise BadResults("an item with a reference that Realign did not give")
    return MachineId(reference)


def codes_of(body: Mapping[str, Any]) -> dict[MachineId, int]:
    """The HTTP status of each item. Raises ``BadResults``."""
    return {machine: item["Code"] for machine, item in _items(body).items()}


def outcomes(body: Mapping[str, Any], endpoint: Endpoint) -> dict[MachineId, ItemOutcome]:
    """What became of each item of a batch of changes. Raises ``BadResults``.

    A machine that is not in it may or may not have been changed: it has to be read again.
    """
    found: dict[MachineId, ItemOutcome] = {}
    for machine, item in _items(body).items():
        code = item["Code"]
        if code == BEGUN:
            job = job_id_from(_header(item, "Location"))
            if job is not None:  # else nobody can follow it: the machine is read again
                found[machine] = ItemOutcome(code, job=job)
        elif 200 <= code < 300:
            found[machine] = ItemOutcome(code)
        else:
            found[machine] = ItemOutcome(code, error=_sentence(code, item, endpoint))
    return found


def _items(body: Mapping[str, Any]) -> dict[MachineId, Mapping[str, Any]]:
    """The items by machine, never by position. Raises ``BadResults``."""
    items = body.get("Items")
    if not isinstance(items, list):
        raise BadResults("no Items")
    found: dict[MachineId, Mapping[str, Any]] = {}
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("Reference"), str):
            raise BadResults("an item without Reference")
        machine = machine_of(item["Reference"])
        if not isinstance(item.get("Code"), int) or isinstance(item["Code"], bool):
            raise BadResults(f"no Code for machine {machine}")
        if machine in found:
            raise BadResults(f"two results for machine {machine}")
        found[machine] = item
    return found


def _sentence(code: int, item: Mapping[str, Any], endpoint: Endpoint) -> str:
    hidden = endpoint.token.hidden
    said = excerpt(vendor_message(_decoded(item.get("Body"))), hidden).rstrip(".")
    transaction = excerpt(_header(item, TRANSACTION), hidden)
    trace = f" (transaction {transaction})" if transaction else ""
    if code == 401:
        to_do = "Its token had ended: run again."
    else:
        kind = {403: "forbidden", 429: "throttled"}.get(code, "failed")
        to_do = remedy(endpoint.wording, endpoint.token.secret, kind, code, writes=True)
    return f"Citrix answered HTTP {code} for this machine{f': {said}' if said else ''}{trace}. {to_do}"


def _decoded(body: Any) -> Any:
    if not isinstance(body, str):
        return body
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _header(item: Mapping[str, Any], name: str) -> str | None:
    headers = item.get("Headers")
    for header in headers if isinstance(headers, list) else ():
        if isinstance(header, dict) and str(header.get("Name")).lower() == name.lower():
            return str(header.get("Value") or "")
    return None
