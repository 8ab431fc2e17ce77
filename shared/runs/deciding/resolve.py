"""A person picks the VM of a machine that the rules could not decide on: its finding becomes a proposed remap."""

from __future__ import annotations

import json
from dataclasses import replace

from shared.azure.finding_row import StoredFinding
from shared.azure.remaps import Remaps
from shared.errors import InvalidRequest, RemapNotOpen
from shared.model.citrix import Hosting, MachineId
from shared.model.finding import FindingKind, Plan
from shared.model.nutanix import VmUuid
from shared.model.run import Event, RemapState, Run, RunId, RunStatus
from shared.planning.names import fold
from shared.planning.plan import fingerprint_of
from shared.planning.standing import described, same
from shared.runs.access import Caller
from shared.runs.deciding.review import REVIEWABLE, check_four_eyes, check_open
from shared.runs.deciding.review_request import ResolveRequest
from shared.runs.deciding.sent_to_work import change_run
from shared.runs.draft import Basis
from shared.runs.resources import Resources
from shared.runs.rows.remap_rows import RemapRows

_KEY = "connections"
_RESOLVABLE = (FindingKind.AMBIGUOUS, FindingKind.CONFLICT)


def keep_connections(resources: Resources, basis: Basis, plan: Plan) -> None:
    """Keep which hosting connection each cluster of a plan has: a choice made later is of the same estate."""
    if all(finding.kind not in _RESOLVABLE for finding in plan.findings):
        return
    by_name = {fold(connection.name): connection for connection in basis.gathered.site.connections}
    known = {
        reading.name: [connection.name, connection.id]
        for reading in basis.gathered.readings
        if (connection := by_name.get(fold(reading.hosting_connection))) is not None
    }
    resources.inputs.put_text(basis.run.id, _KEY, json.dumps(known))


def resolve(resources: Resources, run_id: RunId, request: ResolveRequest, caller: Caller) -> Run:
    """Make the chosen candidate the remap of a machine (confidence ``chosen``); the plan's fingerprint changes.

    Raises ``NotFound`` for a machine without a finding, ``RemapNotOpen`` for one that is nothing to resolve,
    ``InvalidRequest`` for a VM that is none of its candidates, and what ``check_open`` raises; then nothing has
    changed.
    """
    run = resources.runs.get(run_id).value
    check_open(resources, run)
    check_four_eyes(resources, run, caller)
    found = resources.remaps.one(run_id, MachineId(request.machine))
    finding = found.value
    chosen_before = finding.state is RemapState.PROPOSED and finding.reason == "chosen"
    if finding.kind not in _RESOLVABLE and not chosen_before:
        raise RemapNotOpen(
            f"{finding.machine_name} is {finding.kind.value}"
            f"{f', {finding.state.value}' if finding.state else ''}: only an ambiguous or conflicting machine can be "
            "resolved. Nothing was changed.",
            machines=(finding.machine,),
        )
    after = _chosen(resources, run_id, finding, request)
    _check_free(resources.remaps, run_id, finding, after)
    said = f"{caller.name} chose {described(after)}, on {request.candidate.cluster}: {request.comment}"
    resources.remaps.resolve(run_id, found, after, said)
    resources.events.append(run_id, Event(resources.now(), caller.name, "resolved", said, finding.machine))
    return _retold(resources, run_id, finding.kind)


def _chosen(resources: Resources, run_id: RunId, finding: StoredFinding, request: ResolveRequest) -> Hosting:
    wanted = request.candidate
    candidate = next(
        (
            each
            for each in finding.candidates
            if fold(each.uuid) == fold(wanted.uuid) and fold(each.cluster) == fold(wanted.cluster)
        ),
        None,
    )
    if candidate is None:
        known = ", ".join(f"{each.uuid} on {each.cluster}" for each in finding.candidates[:10]) or "none"
        raise InvalidRequest(
            f"candidate: {wanted.uuid[:80]} on {wanted.cluster[:80]} is no candidate of {finding.machine_name}. "
            f"There are: {known}.",
            field="candidate",
        )
    kept = json.loads(resources.inputs.text(run_id, _KEY) or "{}")
    connection = next((pair for name, pair in kept.items() if fold(name) == fold(candidate.cluster)), None)
    if connection is None:
        raise InvalidRequest(
            f"candidate: the hosting connection of cluster {candidate.cluster} is not one of the site's. "
            "Correct hostingConnection in the profile and start a new run.",
            field="candidate",
        )
    after = Hosting(connection[0], VmUuid(candidate.uuid.lower()), connection[1])
    if same(after, finding.before):
        raise InvalidRequest(
            f"candidate: it is what Citrix has already for {finding.machine_name}, so there is nothing to change.",
            field="candidate",
        )
    return after


def _check_free(remaps: Remaps, run_id: RunId, finding: StoredFinding, after: Hosting) -> None:
    closed = {RemapState.REJECTED, RemapState.SUPERSEDED, RemapState.FAILED, RemapState.ROLLED_BACK}
    for row in remaps.load(run_id):
        other = row.value
        if other.machine != finding.machine and other.state not in closed and same(other.after, after):
            raise RemapNotOpen(
                f"The VM {after.machine_id} is already what {other.machine_name} is to get in this run. Reject that "
                "remap first, or choose another VM. Nothing was changed.",
                machines=(other.machine,),
            )


def _retold(resources: Resources, run_id: RunId, kind: FindingKind) -> Run:
    """The run's row as its remaps are now: fingerprint and counts are theirs. ``kind`` is what the finding was."""
    rows = RemapRows(resources.remaps, run_id, lambda: None)
    every = rows.every()
    now = fingerprint_of((remap.machine, remap.before, remap.after) for remap in every)

    def retold(found: Run) -> Run:
        kinds = dict(found.findings)
        # a request that is repeated after a crash finds the remap counted, or not
        more = len(every) - kinds.get(FindingKind.REMAP.value, 0)
        kinds[FindingKind.REMAP.value] = len(every)
        kinds[kind.value] = max(0, kinds.get(kind.value, 0) - max(0, more))
        return replace(
            found,
            status=RunStatus.AWAITING_REVIEW,
            ended_at=None,
            fingerprint=now,
            states=rows.counts(),
            findings={name: number for name, number in sorted(kinds.items()) if number},
        )

    return change_run(resources, run_id, REVIEWABLE, retold).value
