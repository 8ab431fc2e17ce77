"""The step ``apply``: what was approved becomes reality in Citrix, and is read back (design, section 5).

Safe to repeat at any point. Nothing is written before its remap is durable, nothing is written that a fresh look at
machines, VMs and hosting connections does not bear out, and nothing is called ``verified`` that was not read back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from shared.azure.work_queue import WorkStep
from shared.citrix.writer import SiteWriter
from shared.model.citrix import Hosting, Machine, MachineId, Site
from shared.model.remap import Change, Remap, SendingStep
from shared.model.run import RemapState, Run, RunId, RunStatus
from shared.planning.holders import together
from shared.planning.names import fold
from shared.planning.standing import described, same
from shared.runs.attempt import attempted
from shared.runs.clients.connect import citrix_writer
from shared.runs.clients.keyring import Keyring, secret_names
from shared.runs.deciding.sent_to_work import selected_machines
from shared.runs.draft import asked_of
from shared.runs.finish import finish_apply
from shared.runs.locked import Check, Next, locked
from shared.runs.preparing import Preparing
from shared.runs.resources import Resources
from shared.runs.rows.record import RunRecord
from shared.runs.rows.remap_rows import RemapRows
from shared.runs.rows.tell import tell_machines
from shared.runs.writing.outcome import Outcome, Told
from shared.runs.writing.read_back import APPLY, read_back
from shared.runs.writing.sending import Sending, in_groups, send
from shared.runs.writing.shared_vms import tell_shared_vms
from shared.runs.writing.write_through import WriteThrough
from shared.runs.writing.written import WrittenConnections
from shared.telemetry.threads import Threads

SEND_SECONDS = 300.0  # from the step's beginning: a step may work for ten minutes, and what was sent is followed
LEAST_SEND_SECONDS = 45.0
FRESH = 0.05  # seconds that a look at the run's row counts
TELL_EVERY = 1.0  # seconds between two notes of the progress

_THROUGH = frozenset({RemapState.APPLIED, RemapState.VERIFIED, RemapState.FAILED, RemapState.SUPERSEDED})


def apply_run(resources: Resources, run_id: RunId) -> None:
    """Write what is approved in a run that is ``applying``, and bring the run to its next rest."""
    locked(resources, run_id, (RunStatus.APPLYING,), WorkStep.APPLY, partial(_apply_locked, resources), site=True)


def _apply_locked(resources: Resources, record: RunRecord, check: Check) -> Next | None:
    return attempted(resources, record, "apply", WorkStep.APPLY, lambda: _apply(resources, record, check))


def _apply(resources: Resources, record: RunRecord, check: Check) -> Next | None:
    began = time.monotonic()
    asked = asked_of(resources, record.run.id)
    profile = asked.profile
    keyring = Keyring(resources.vault, secret_names(profile))
    selected = selected_machines(resources, record.run)
    with (
        Threads(1, thread_name_prefix="rows") as aside,
        citrix_writer(resources, profile, keyring, check) as writer,
    ):
        loading = aside.submit(RemapRows, resources.remaps, record.run.id, check)
        site, going = Preparing(resources, record, check, asked, keyring, writer, loading.result, selected).prepared()
        take_until = max(began + SEND_SECONDS, time.monotonic() + LEAST_SEND_SECONDS)
        rows = loading.result()
        if _Applying(resources, record, check, writer, rows, selected, take_until).written(site, going):
            # every part that comes to its end is a fresh start: the limit on attempts is for crashes
            record.write(attempts=0, states=rows.counts())
            return Next(WorkStep.APPLY)
        finish_apply(resources, record, check, profile, writer, rows, selected)
    return None


@dataclass
class _Applying:
    """One pass over the approved remaps of a run. After ``take_until`` (monotonic, seconds) no batch is begun."""

    resources: Resources
    record: RunRecord
    check: Check
    writer: SiteWriter
    rows: RemapRows
    selected: frozenset[MachineId] | None
    take_until: float

    def __post_init__(self) -> None:
        self._row_guard = threading.Lock()
        self._sent_before: dict[MachineId, bool] = {}
        self._followed = 0
        self._told_at = -TELL_EVERY
        self._seen_at = -FRESH

    def written(self, site: Site, going: Mapping[MachineId, Hosting]) -> bool:
        """Write what is ``going``, and read back all that is not settled yet; true where another pass has to go on."""
        outcomes = self._sent(site, going)
        open_remaps = self.rows.of({RemapState.APPLYING, RemapState.APPLIED})
        self._found_done([remap for remap in open_remaps if not remap.sent], len(site.machines))
        through = WriteThrough(
            self._sending(), self.rows, APPLY, self._cancelled, self._tell, in_site=len(site.machines)
        )
        rest = through.settle({remap.machine: remap.after for remap in open_remaps if remap.sent}, outcomes)
        self._followed = 0  # the rows tell it from now on
        tell_shared_vms(self.resources, self.record.run, self.rows, site)
        kept = any(outcome.told is Told.KEPT for outcome in outcomes.values())
        return bool(rest or kept) and not self._cancelled()

    def _sent(self, site: Site, going: Mapping[MachineId, Hosting]) -> dict[MachineId, Outcome]:
        if not going:
            return {}
        run = self.record.run
        WrittenConnections(self.resources.inputs, run).add(going.values())
        if run.site_id is not None:
            self.resources.batches.begin(run.site_id, run.id)
        self.record.write_as(self._begun_to_write)
        self._seen_at = time.monotonic()
        if self.record.run.writing_since is None:
            return {machine: Outcome(Told.KEPT) for machine in going}
        moves = {machine: fold(hosting.machine_id or "") for machine, hosting in going.items()}
        changes = [Change(machine, hosting) for machine, hosting in going.items()]
        outcomes = send(self._sending(), in_groups(changes, together(moves, site.machines)))
        refused = {
            machine: outcome.sentence
            for machine, outcome in outcomes.items()
            if outcome.told is Told.REFUSED and self.rows[machine].state is RemapState.APPROVED
        }
        self.rows.move_to(RemapState.FAILED, refused)
        self._tell({machine: (RemapState.FAILED, text or "") for machine, text in refused.items()})
        return outcomes

    def _begun_to_write(self, run: Run) -> Run:
        # through the row's etag: a DR run that cancels what has not begun to write sees this, or is seen
        if run.cancelled_by is not None:
            return run
        since = run.writing_since or self.resources.now()
        return replace(run, writing_since=since, progress=self._progress(), states=self.rows.counts())

    def _found_done(self, remaps: Sequence[Remap], in_site: int) -> None:
        """Machines that had their ``to`` already: whether they still have it is read back, and nothing is written."""
        if not remaps:
            return
        found = read_back(self.writer, [remap.machine for remap in remaps], in_site)
        changed = [_still_done(remap, found.get(remap.machine)) for remap in remaps]
        self.rows.move(changed)
        self._tell({r.machine: (r.state, r.error or "") for r in changed if r.state is RemapState.FAILED})

    def _sending(self) -> Sending:
        return Sending(
            writer=self.writer,
            batches=self.resources.batches,
            run_id=self.record.run.id,
            step=SendingStep.APPLY,
            now=self.resources.now,
            pause=self.resources.pause,
            check=self.check,
            stop=lambda: time.monotonic() >= self.take_until or self._cancelled(),
            before=self._before,
            undo=self._undo,
            after=self._after,
        )

    def _cancelled(self) -> bool:
        """Asked of the table: who cancels waits for nothing but the batch that is under way."""
        with self._row_guard:
            now = time.monotonic()
            if now - self._seen_at >= FRESH:  # the lanes look at the same time, and one look is enough for them
                self.record.refresh()
                self._seen_at = now
            return self.record.run.cancelled_by is not None

    def _before(self, machines: Sequence[MachineId]) -> None:
        self._sent_before |= {machine: self.rows[machine].sent for machine in machines}
        self.rows.move(replace(self.rows[m], state=RemapState.APPLYING, sent=True, error=None) for m in machines)

    def _undo(self, machines: Sequence[MachineId]) -> None:
        self.rows.move(replace(self.rows[m], state=RemapState.APPROVED, sent=self._sent_before[m]) for m in machines)

    def _after(self, outcomes: Mapping[MachineId, Outcome]) -> None:
        # what Citrix reports is no state of a remap yet: the read-back, which comes soon, settles all of them at once
        with self._row_guard:
            self._followed += sum(outcome.told is not Told.KEPT for outcome in outcomes.values())
            now = time.monotonic()
            if now - self._told_at >= TELL_EVERY:
                self._told_at = now
                self.record.write(progress=self._progress(), states=self.rows.counts())

    def _tell(self, what: Mapping[MachineId, tuple[RemapState, str]]) -> None:
        tell_machines(self.resources, self.record.run.id, what)

    def _progress(self) -> int:
        """Of 100; the last part is for reading back and for the connections."""
        among = [r for r in self.rows.every() if self.selected is None or r.machine in self.selected]
        done = sum(remap.state in _THROUGH for remap in among)
        waiting = sum(remap.state in (RemapState.APPROVED, RemapState.APPLYING) for remap in among)
        through = done + min(self._followed, waiting)
        return 5 + 85 * through // max(1, done + waiting)


def _still_done(remap: Remap, machine: Machine | None) -> Remap:
    if machine is not None and same(machine.hosting, remap.after):
        return replace(remap, state=RemapState.VERIFIED, error=None)
    has = described(machine.hosting) if machine is not None else "no such machine any more"
    text = (
        f"It had its new values before anything was written, and now Citrix has {has}. Nothing was written; run again."
    )
    return replace(remap, state=RemapState.FAILED, error=text)
