"""A finding as a row of the table ``remaps``: written from a plan's ``Finding``, read as a ``StoredFinding``.

``from``, ``to`` and ids are never cut; evidence, candidates and explanations that could pass a property's limit are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from shared.azure.limits import Value, cut, decode_key, encode_key, list_to_json, storable
from shared.errors import IllegalMove
from shared.model.citrix import Hosting, MachineId
from shared.model.finding import Confidence, Evidence, Finding, FindingKind
from shared.model.nutanix import PowerState, Vm, VmUuid
from shared.model.run import RemapState, RunId
from shared.model.states import check_remap_move

ITS_MODE = "realign"  # who approved a remap that the run's mode approved

_ITEM_UNITS = 4_000  # the detail of one fact
_EXPLANATION_UNITS = 16_000


@dataclass(frozen=True, slots=True)
class StoredCandidate:
    cluster: str
    uuid: VmUuid
    name: str
    power: PowerState


@dataclass(frozen=True, slots=True)
class StoredFinding:
    """What a run concluded about one machine, and how far its remap is.

    ``before`` is what Citrix believed (``from`` in the API); ``after``, ``confidence`` and ``state`` are those of a
    remap and else None.
    """

    machine: MachineId
    machine_name: str
    dns_name: str | None
    catalog: str | None
    delivery_group: str | None
    kind: FindingKind
    reason: str
    explanation: str
    confidence: Confidence | None
    evidence: tuple[Evidence, ...]
    candidates: tuple[StoredCandidate, ...]
    before: Hosting
    after: Hosting | None
    state: RemapState | None
    error: str | None = None
    approved_by: str | None = None


def finding_to_row(run_id: RunId, finding: Finding, state: RemapState = RemapState.PROPOSED) -> dict[str, Value | None]:
    """``state`` is what a remap begins as: the plan proposes it, or the run's mode approves it at once.

    Raises ``IllegalMove`` for any other state, and ``ValueError`` for a machine id that no table key can hold.
    """
    machine, after = finding.machine, finding.after
    row: dict[str, Value | None] = {
        "PartitionKey": run_id,
        "RowKey": encode_key(machine.id),
        "machineName": machine.name,
        "machineNameLower": machine.name.lower(),
        "dnsName": machine.dns_name,
        "catalog": machine.catalog,
        "deliveryGroup": machine.delivery_group,
        "finding": finding.kind.value,
        "reason": finding.reason,
        "explanation": cut(storable(finding.explanation), _EXPLANATION_UNITS),
        "confidence": finding.confidence.value if finding.confidence is not None else None,
        "evidence": _evidence_to_json(finding.evidence) if finding.evidence else None,
        "candidates": _candidates_to_json(finding.candidates) if finding.candidates else None,
        "fromConnection": machine.hosting.connection,
        "fromConnectionId": machine.hosting.connection_id,
        "fromMachineId": machine.hosting.machine_id,
    }
    if finding.kind is FindingKind.REMAP and after is not None:
        row["toConnection"] = after.connection
        row["toConnectionId"] = after.connection_id
        row["toMachineId"] = after.machine_id
        check_remap_move(None, RemapState.PROPOSED)
        check_remap_move(RemapState.PROPOSED, state)
        row["state"] = state.value
        row["approvedBy"] = ITS_MODE if state is RemapState.APPROVED else None
    return row


def resolved_to_row(run_id: RunId, found: StoredFinding, after: Hosting, explanation: str) -> dict[str, Value | None]:
    """The members of a finding's row that change when a person chooses ``after``; what it had none of is empty.

    Raises ``IllegalMove`` for a remap that nobody chose, or that is not only proposed any more.
    """
    chosen_before = found.state is RemapState.PROPOSED and found.confidence is Confidence.CHOSEN
    if found.state is not None and not chosen_before:
        raise IllegalMove(
            f"The remap of machine {found.machine_name} is {found.state.value}; only a finding that is no remap, or "
            "what a person chose before and nobody approved, can be resolved. Look at the run again."
        )
    check_remap_move(found.state, RemapState.PROPOSED)
    return {
        "PartitionKey": run_id,
        "RowKey": encode_key(found.machine),
        "finding": FindingKind.REMAP.value,
        "reason": "chosen",
        "explanation": cut(storable(explanation), _EXPLANATION_UNITS),
        "confidence": Confidence.CHOSEN.value,
        "toConnection": after.connection or "",
        "toConnectionId": after.connection_id or "",
        "toMachineId": after.machine_id or "",
        "state": RemapState.PROPOSED.value,
    }


def row_to_finding(row: Mapping[str, Any]) -> StoredFinding:
    state, confidence = row.get("state"), row.get("confidence")
    return StoredFinding(
        machine=MachineId(decode_key(row["RowKey"])),
        machine_name=row["machineName"],
        dns_name=row.get("dnsName"),
        catalog=row.get("catalog"),
        delivery_group=row.get("deliveryGroup"),
        kind=FindingKind(row["finding"]),
        reason=row["reason"],
        explanation=row["explanation"],
        confidence=Confidence(confidence) if confidence is not None else None,
        evidence=tuple(Evidence(**fact) for fact in json.loads(row.get("evidence") or "[]")),
        candidates=tuple(
            StoredCandidate(item["cluster"], VmUuid(item["uuid"]), item["name"], PowerState(item["powerState"]))
            for item in json.loads(row.get("candidates") or "[]")
        ),
        before=hosting_of(row, "from"),
        after=(hosting_of(row, "to") if state is not None else None),
        state=RemapState(state) if state is not None else None,
        error=row.get("error") or None,
        approved_by=row.get("approvedBy") or None,
    )


def hosting_of(row: Mapping[str, Any], end: Literal["from", "to"]) -> Hosting:
    """A merge cannot remove a member of a row: one that became empty counts as absent."""
    uuid = row.get(f"{end}MachineId")
    return Hosting(
        row.get(f"{end}Connection") or None, VmUuid(uuid) if uuid else None, row.get(f"{end}ConnectionId") or None
    )


def _evidence_to_json(evidence: Sequence[Evidence]) -> str:
    return list_to_json(
        [
            {"kind": fact.kind, "source": fact.source, "detail": cut(storable(fact.detail), _ITEM_UNITS)}
            for fact in evidence
        ],
        lambda left_out: {"kind": "cut", "source": "realign", "detail": f"{left_out} more facts were left out."},
    )


def _candidates_to_json(candidates: Sequence[Vm]) -> str:
    return list_to_json(
        [
            {"cluster": vm.cluster, "uuid": vm.uuid, "name": storable(vm.name), "powerState": vm.power.value}
            for vm in candidates
        ],
        lambda left_out: {
            "cluster": "",
            "uuid": "",
            "name": f"{left_out} more candidates were left out.",
            "powerState": PowerState.OTHER.value,
        },
    )
