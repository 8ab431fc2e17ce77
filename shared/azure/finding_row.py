"""A finding as a row of the table ``remaps``: written from a plan's ``Finding``, read as a ``StoredFinding``.

``from``, ``to`` and ids are never cut; evidence, candidates and explanations that could pass a property's limit are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.azure.limits import Value, cut, decode_key, encode_key, list_to_json, storable
from shared.model.citrix import Hosting, MachineId
from shared.model.finding import Confidence, Evidence, Finding, FindingKind
from shared.model.nutanix import PowerState, Vm, VmUuid
from shared.model.run import RemapState, RunId

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


def finding_to_row(run_id: RunId, finding: Finding) -> dict[str, Value | None]:
    """Raises ``ValueError`` for a machine id that no table key can hold."""
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
        row["state"] = RemapState.PROPOSED.value
    return row


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
        before=Hosting(row.get("fromConnection"), _uuid(row.get("fromMachineId")), row.get("fromConnectionId")),
        after=(
            Hosting(row.get("toConnection"), _uuid(row.get("toMachineId")), row.get("toConnectionId"))
            if state is not None
            else None
        ),
        state=RemapState(state) if state is not None else None,
        error=row.get("error"),
    )


def _uuid(text: str | None) -> VmUuid | None:
    return VmUuid(text) if text is not None else None


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
