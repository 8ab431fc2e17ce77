"""Where the host is killed: the calls that a run makes on its way, each of which may be the last of its worker.

A point is a call that the sandbox holds, before it is executed or before it is answered; the host dies while it is
held. Calls to storage are told apart by the rows that they write. The app knows nothing of these points.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import IntEnum
from typing import Any
from urllib.parse import unquote

from sandbox.holds import Match, When

LONG = os.environ.get("REALIGN_LONG") == "1"

ESTATE = """
name: crash
connections:
  - {name: Nutanix AHV Paris, zone: Paris}
  - {name: Nutanix AHV Amsterdam, zone: Amsterdam}
clusters:
  - {name: paris, api: element-v2, hostingConnection: Nutanix AHV Paris, state: down, registered: [{name: PAR-CL01}]}
  - {name: amsterdam, api: element-v2, hostingConnection: Nutanix AHV Amsterdam, registered: [{name: AMS-CL01}]}
protectionDomains:
  - {name: PD-VDI, active: [AMS-CL01]}
catalogs:
  - {name: Persistent W11, zone: Paris}
  - {name: Developers, zone: Paris}
deliveryGroups:
  - {name: Desktops}
machines:
  - names: W11-{:03d}
    count: 110
    catalog: Persistent W11
    deliveryGroup: Desktops
    record: {connection: Nutanix AHV Paris, id: old}
    vms: [{at: PAR-CL01, id: old}, {at: AMS-CL01, id: new, domain: PD-VDI, snapshotOf: old}]
  - names: DEV-{:02d}
    count: 2
    catalog: Developers
    deliveryGroup: Desktops
    record: {connection: Nutanix AHV Paris, id: old}
    vms: [{at: PAR-CL01, id: old}]
profile:
  name: crash
  policy: {switchCatalogZone: true}
"""
POLICY = {"switchCatalogZone": True}
TARGET = "amsterdam"
REMAPS = 110  # more than one batch holds, and more rows than one transaction
MOVED_TO, MOVED_FROM = "Nutanix AHV Amsterdam", "Nutanix AHV Paris"


class Phase(IntEnum):
    """The parts of a run's life: each begins where the one before rests."""

    PLAN = 1
    APPLY = 2
    AFTERWARDS = 3
    ROLL_BACK = 4


@dataclass(frozen=True)
class Call:
    """A kind of call: ``operation`` is one of the contract, of storage its method."""

    system: str
    operation: str
    match: Match | None = None


@dataclass(frozen=True)
class KillPoint:
    """The ``nth`` such call of the phase is the host's last.

    ``asking``: it is made for the client, who never gets an answer, and the queue may hold no message yet. ``slow``:
    the jobs that this operation begins outlast the absence of the host. ``items``: what becomes of some of a batch
    (``refused``: their machines are changed alone then; ``nested``: they begin jobs of their own). ``onward``: the
    steps after the end are looked at as well.
    """

    name: str
    phase: Phase
    call: Call
    when: When
    nth: int = 1
    asking: bool = False
    slow: str = ""
    items: str = ""
    onward: bool = False
    short: bool = False


def _row(table: str, partition: str, *texts: str) -> Match:
    """A row of a partition with that beginning is written alone, and says ``texts``."""

    def matches(_: str, path: str, body: bytes) -> bool:
        inserted = path.endswith(f"/{table}") and _says(body, (f'"PartitionKey":"{partition}',))
        replaced = f"/{table}(PartitionKey='{partition}" in unquote(path)
        return (inserted or replaced) and _says(body, texts)

    return matches


def _rows(table: str, *texts: str) -> Match:
    """Rows of a table are written in a transaction, and say ``texts``."""

    def matches(_: str, path: str, body: bytes) -> bool:
        return path.endswith("/$batch") and f"/{table}".encode() in body and _says(body, texts)

    return matches


def _says(body: bytes, texts: tuple[str, ...]) -> bool:
    compact = body.replace(b" ", b"")
    return all(text.encode() in compact for text in texts)


def _run_row(text: str) -> Call:
    return Call("storage/table", "PUT", _row("runs", "run", text))


def _run_is(status: str) -> Call:
    return _run_row(f'"status":"{status}"')


def _remaps_are(state: str) -> Call:
    return Call("storage/table", "POST", _rows("remaps", f'"state":"{state}"'))


def _batch_row(*texts: str) -> Call:
    return Call("storage/table", "PUT", _row("runs", "batch:", *texts))


def _zone_row(state: str) -> Call:
    return Call("storage/table", "PUT", _row("runs", "zone:", f'"state":"{state}"'))


def _input(key: str) -> Call:
    return Call("storage/table", "PUT", _row("inputs", "", f'"RowKey":"{key}'))


def _lock_of(kind: str) -> Call:
    return Call("storage/table", "POST", _row("locks", kind))


def _citrix(operation: str) -> Call:
    return Call("citrix", operation)


def _of_work_queue(_: str, path: str, __: bytes) -> bool:
    return "/realign-work/messages" in path


BEFORE_A_LOCK = _lock_of("profile")
NEW_RUN = Call("storage/table", "POST", _row("runs", "run"))
RELEASE = Call("storage/table", "DELETE", _row("locks", "profile"))
MESSAGE = Call("storage/queue", "POST", _of_work_queue)
DONE_WITH = Call("storage/queue", "DELETE", _of_work_queue)
BATCH = _batch_row('"ended":false')
BATCH_JOB = _batch_row('"ended":false', '"job":"')
CHANGE_ALONE = _batch_row('"alone":true', '"ended":false')
NESTED = _batch_row('"nested":"', '"ended":false')
BATCH_ENDED = _batch_row('"ended":true')


def _before(name: str, phase: Phase, call: Call, **more: Any) -> KillPoint:
    return KillPoint(f"before-{name}", phase, call, "before", **more)


def _after(name: str, phase: Phase, call: Call, **more: Any) -> KillPoint:
    return KillPoint(f"after-{name}", phase, call, "after", **more)


_P, _A, _L, _R = Phase.PLAN, Phase.APPLY, Phase.AFTERWARDS, Phase.ROLL_BACK

POINTS = (
    # the request to start, and planning
    _before("a-run-is-stored", _P, NEW_RUN, asking=True),
    _before("the-message-to-plan", _P, MESSAGE, asking=True),
    _after("the-message-to-plan", _P, MESSAGE, asking=True),
    _before("the-lock-to-plan", _P, _lock_of("profile")),
    _before("a-run-is-planning", _P, _run_is("planning")),
    _after("the-site-is-read-to-plan", _P, _citrix("listMachines")),
    _before("the-findings", _P, _remaps_are("proposed")),
    _after("the-first-findings", _P, _remaps_are("proposed"), short=True),
    _after("the-last-findings", _P, _remaps_are("proposed"), nth=2),
    _before("a-run-awaits-review", _P, _run_is("awaiting-review")),
    _after("a-run-awaits-review", _P, _run_is("awaiting-review")),
    _before("the-message-to-plan-goes", _P, DONE_WITH),
    # the request to approve
    _before("the-approved-rows", _A, _remaps_are("approved"), asking=True),
    _before("the-last-approved-rows", _A, _remaps_are("approved"), nth=2, asking=True),
    _after("the-approved-rows", _A, _remaps_are("approved"), nth=2, asking=True),
    _before("a-run-is-applying", _A, _run_is("applying"), asking=True, short=True),
    _before("the-message-to-apply", _A, MESSAGE, asking=True),
    _after("the-message-to-apply", _A, MESSAGE, asking=True),
    # applying, up to the writes
    _before("the-lock-of-the-profile", _A, _lock_of("profile")),
    _before("the-lock-of-the-site", _A, _lock_of("site")),
    _after("the-lock-of-the-site", _A, _lock_of("site")),
    _after("the-site-is-read-to-apply", _A, _citrix("listMachines")),
    _before("the-connection-is-looked-at", _A, _citrix("getHypervisor")),
    _before("the-connections-are-noted", _A, _input("written-connections")),
    _before("writing-is-noted", _A, _run_row('"writingSince":"')),
    _before("the-run-is-noted-at-its-site", _A, Call("storage/table", "PUT", _row("runs", "begun:"))),
    _before("the-first-batch-is-kept", _A, BATCH),
    _before("the-second-batch-is-kept", _A, BATCH, nth=2),
    _before("the-rows-are-applying", _A, _remaps_are("applying")),
    _after("the-rows-are-applying", _A, _remaps_are("applying")),
    # the writes
    _before("the-first-batch-is-sent", _A, _citrix("submitBatch")),
    _before("the-second-batch-is-sent", _A, _citrix("submitBatch"), nth=2),
    _after("the-first-batch-is-sent", _A, _citrix("submitBatch"), short=True),
    _after("the-second-batch-is-sent", _A, _citrix("submitBatch"), nth=2),
    _after("a-slow-batch-is-sent", _A, _citrix("submitBatch"), slow="submitBatch"),
    _before("the-job-is-kept", _A, BATCH_JOB),
    _before("the-job-of-a-slow-batch-is-kept", _A, BATCH_JOB, slow="submitBatch", short=True),
    _after("the-job-is-kept", _A, BATCH_JOB),
    _before("a-look-at-the-job", _A, _citrix("getJob")),
    _before("a-look-at-a-slow-job", _A, _citrix("getJob"), slow="submitBatch"),
    _before("the-results", _A, _citrix("getJobResults")),
    _after("the-results", _A, _citrix("getJobResults")),
    _before("the-batch-has-ended", _A, BATCH_ENDED),
    _after("the-batch-has-ended", _A, BATCH_ENDED),
    _before("nested-jobs-are-kept", _A, NESTED, items="nested"),
    _after("nested-jobs-are-kept", _A, NESTED, items="nested"),
    _before("a-change-alone-is-kept", _A, CHANGE_ALONE, items="refused"),
    _before("a-machine-is-changed-alone", _A, _citrix("updateMachine"), items="refused"),
    _after("a-machine-is-changed-alone", _A, _citrix("updateMachine"), items="refused"),
    # what follows the writes
    _before("the-read-back", _A, _citrix("listMachines"), nth=2),
    _before("the-rows-are-verified", _A, _remaps_are("verified"), short=True),
    _after("the-first-rows-are-verified", _A, _remaps_are("verified")),
    _after("the-last-rows-are-verified", _A, _remaps_are("verified"), nth=2),
    _before("the-reset", _A, _citrix("resetHypervisorConnection")),
    _after("the-reset", _A, _citrix("resetHypervisorConnection"), short=True),
    _before("the-move-is-kept", _A, _zone_row("moving")),
    _before("the-catalog-moves", _A, _citrix("moveItemsIntoZone")),
    _after("the-catalog-moves", _A, _citrix("moveItemsIntoZone")),
    _after("the-catalog-begins-to-move", _A, _citrix("moveItemsIntoZone"), slow="moveItemsIntoZone", short=True),
    _before("the-move-is-known", _A, _zone_row("moved")),
    _before("the-run-leaves-its-site", _A, Call("storage/table", "DELETE", _row("runs", "begun:"))),
    _before("a-run-is-completed", _A, _run_is("completed"), onward=True),
    _after("a-run-is-completed", _A, _run_is("completed"), onward=True, short=True),
    _before("the-first-later-message", _A, MESSAGE, nth=2, onward=True),  # the first one is the request's
    _after("the-last-later-message", _A, MESSAGE, nth=3, onward=True),
    _before("the-lock-is-released", _A, RELEASE),
    _before("the-message-to-apply-goes", _A, DONE_WITH),
    # the steps after a run's end
    _before("the-second-reset", _L, _citrix("resetHypervisorConnection")),
    _after("the-second-reset", _L, _citrix("resetHypervisorConnection")),
    _before("the-second-reset-is-told", _L, _run_row("reset-again")),
    _before("the-power-states", _L, _citrix("listMachines")),
    _before("the-power-states-are-told", _L, _run_row("observe")),
    # rolling back
    _before("the-selection-to-roll-back", _R, _input("rollback"), asking=True),
    _before("a-run-is-rolling-back", _R, _run_is("rolling-back"), asking=True),
    _before("the-message-to-roll-back", _R, MESSAGE, asking=True),
    _before("the-lock-to-roll-back", _R, _lock_of("site")),
    _after("the-site-is-read-to-roll-back", _R, _citrix("listMachines")),
    _before("a-batch-back-is-kept", _R, BATCH),
    _before("a-batch-back-is-sent", _R, _citrix("submitBatch")),
    _after("a-batch-back-is-sent", _R, _citrix("submitBatch"), short=True),
    _after("a-slow-batch-back-is-sent", _R, _citrix("submitBatch"), slow="submitBatch"),
    _before("the-job-back-is-kept", _R, BATCH_JOB),
    _before("a-look-at-the-job-back", _R, _citrix("getJob")),
    _before("the-rows-are-rolled-back", _R, _remaps_are("rolled-back")),
    _after("the-first-rows-are-rolled-back", _R, _remaps_are("rolled-back")),
    _before("the-reset-back", _R, _citrix("resetHypervisorConnection")),
    _before("the-catalog-moves-back", _R, _citrix("moveItemsIntoZone")),
    _after("the-catalog-moves-back", _R, _citrix("moveItemsIntoZone")),
    _after("the-catalog-begins-to-move-back", _R, _citrix("moveItemsIntoZone"), slow="moveItemsIntoZone"),
    _before("a-run-is-rolled-back", _R, _run_is("rolled-back")),
    _after("a-run-is-rolled-back", _R, _run_is("rolled-back")),
)


def points() -> tuple[KillPoint, ...]:
    """A few of each kind, and all of them where ``REALIGN_LONG`` is 1."""
    return POINTS if LONG else tuple(point for point in POINTS if point.short)
