"""The step ``apply``: what was approved becomes reality in Citrix, and is read back (design, section 5).

Safe to repeat at any point. Nothing is written before its remap is durable, nothing is written that a fresh look at
machines, VMs and hosting connections does not bear out, and nothing is called ``verified`` that was not read back.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from shared.azure.work_queue import WorkStep
from shared.citrix.site import read_site
from shared.citrix.writer import SiteWriter
from shared.model.citrix import Hosting, MachineId, Site
from shared.model.finding import Plan
from shared.model.nutanix import ClusterReading
from shared.model.remap import Change, SendingStep
from shared.model.run import Event, RemapState, Run, RunId, RunStatus
from shared.planning.recheck import Action, Verdict, destination, recheck
from shared.planning.standing import Connections
from shared.profile import Profile
from shared.runs.access import SERVICE
from shared.runs.attempt import attempted
from shared.runs.connect import citrix_writer
from shared.runs.draft import basis_of, kept_profile, plan_from, without_doubts
from shared.runs.finish import finish_apply
from shared.runs.keyring import Keyring, secret_names
from shared.runs.locked import Check, Next, locked
from shared.runs.read_back import judge, read_back
from shared.runs.record import RunRecord
from shared.runs.remap_rows import RemapRows
from shared.runs.resources import Resources
from shared.runs.same_site import check_same_site
from shared.runs.sending import Outcome, Sending, Told, send
from shared.runs.sent_to_work import selected_machines
from shared.runs.stragglers import FEW, is_lost, send_again
from shared.runs.takeover import settle_batches
from shared.runs.tell import tell_machines
from shared.runs.written import WrittenConnections

SEND_SECONDS = 300.0  # from the step's beginning: a step may work for ten minutes, and what was sent is followed
LEAST_SEND_SECONDS = 45.0

_TO_WRITE = frozenset({RemapState.APPROVED, RemapState.APPLYING})
_THROUGH = frozenset({RemapState.APPLIED, RemapState.VERIFIED, RemapState.FAILED, RemapState.SUPERSEDED})

log = logging.getLogger(__name__)


def apply_run(resources: Resources, run_id: RunId) -> None:
    """Write what is approved in a run that is ``applying``, and bring the run to its next rest."""
    locked(resources, run_id, (RunStatus.APPLYING,), WorkStep.APPLY, partial(_apply_locked, resources), site=True)


def _apply_locked(resources: Resources, record: RunRecord, check: Check) -> Next | None:
    return attempted(resources, record, "apply", WorkStep.APPLY, lambda: _apply(resources, record, check))


def _apply(resources: Resources, record: RunRecord, check: Check) -> Next | None:
    began = time.monotonic()
    profile = kept_profile(resources, record.run.id)
    keyring = Keyring(resources.vault, secret_names(profile))
    with (
        ThreadPoolExecutor(1, thread_name_prefix="rows") as aside,
        citrix_writer(resources, profile, keyring) as writer,
    ):
        loading = aside.submit(RemapRows, resources.remaps, record.run.id, check)
        applying = _Applying(resources, record, check, profile, keyring, writer, loading)
        site, going = applying.prepared()
        take_until = max(began + SEND_SECONDS, time.monotonic() + LEAST_SEND_SECONDS)
        outcomes = applying.sent(going, take_until)
        applying.verified(site, outcomes)
        rest = [machine for machine, outcome in outcomes.items() if outcome.told is Told.KEPT]
        if rest and record.run.cancelled_by is None:
            # every part that comes to its end is a fresh start: the limit on attempts is for crashes
            record.write(attempts=0, progress=applying.progress(), states=applying.rows.counts())
            return Next(WorkStep.APPLY)
        finish_apply(resources, record, check, profile, writer, applying.rows, applying.selected)
    return None


@dataclass
class _Applying:
    """One pass over the approved remaps of a run. ``loading``: their rows come while Citrix and Prism are read."""

    resources: Resources
    record: RunRecord
    check: Check
    profile: Profile
    keyring: Keyring
    writer: SiteWriter
    loading: Future[RemapRows]

    @property
    def rows(self) -> RemapRows:
        return self.loading.result()

    def __post_init__(self) -> None:
        self.selected = selected_machines(self.resources, self.record.run)
        self._row_guard = threading.Lock()
        self._followed = 0

    def prepared(self) -> tuple[Site, Mapping[MachineId, Hosting]]:
        """The site as it is now, and what is to be written: everything was looked at again."""
        run = self.record.run
        stuck = settle_batches(self.writer, self.resources.batches, run.id, self.resources.pause, self.check)
        if run.cancelled_by is not None or not (_at_hand(run) or self.rows.of(_TO_WRITE, self.selected)):
            site = read_site(self.writer.site)
            self._take_over(run, site, stuck)
            return site, {}
        basis = basis_of(
            self.resources,
            run,
            lambda done, total: None,
            profile=self.profile,
            keyring=self.keyring,
            read_site=partial(read_site, self.writer.site),
        )
        site = basis.gathered.site
        self._take_over(run, site, stuck)
        plan = without_doubts(self.resources, basis, plan_from(basis))
        return site, self._rechecked(site, plan, basis.gathered.readings)

    def _take_over(self, run: Run, site: Site, stuck: Collection[MachineId]) -> None:
        """What an earlier worker had begun is at rest by now, or its job does not end."""
        check_same_site(run, site)
        machines = {machine.id: machine for machine in site.machines}
        changed = []
        for remap in self.rows.of({RemapState.APPLYING}):
            machine = machines.get(remap.machine)
            outcome = Outcome(Told.STUCK, "Its job at Citrix does not end.") if remap.machine in stuck else None
            judged = judge(remap, machine.hosting if machine is not None else None, outcome)
            state, error = judged or (RemapState.APPROVED, None)
            changed.append(replace(remap, state=state, error=error))
        self.rows.move(changed)

    def _rechecked(self, site: Site, plan: Plan, readings: Sequence[ClusterReading]) -> Mapping[MachineId, Hosting]:
        run = self.record.run
        automatic = run.approved_by == SERVICE.name
        approved = self.rows.of({RemapState.APPROVED}, self.selected)
        least = self.profile.policy.least_confidence
        verdicts = recheck(approved, site, plan, automatic=automatic, least=least, readings=readings)
        if automatic and plan.guards:
            self.record.write(guards=plan.guards)
            told = [
                Event(self.resources.now(), SERVICE.name, "guard", f"{g.name}: {g.explanation}") for g in plan.guards
            ]
            self.resources.events.append_all(run.id, told)
            verdicts = {m: Verdict(Action.ASK) if v.action is Action.GO else v for m, v in verdicts.items()}
        states = {
            Action.DONE: RemapState.APPLIED,
            Action.SUPERSEDED: RemapState.SUPERSEDED,
            Action.FAILED: RemapState.FAILED,
            Action.ASK: RemapState.PROPOSED,
        }
        self._leave({m: v for m, v in verdicts.items() if v.action is not Action.GO}, states)
        return {m: v.hosting for m, v in verdicts.items() if v.action is Action.GO and v.hosting is not None}

    def _leave(self, verdicts: Mapping[MachineId, Verdict], states: Mapping[Action, RemapState]) -> None:
        self.rows.move(
            replace(self.rows[machine], state=states[verdict.action], error=verdict.sentence or None)
            for machine, verdict in verdicts.items()
        )
        told = {m: v.sentence for m, v in verdicts.items() if v.action in (Action.SUPERSEDED, Action.FAILED)}
        self._tell({m: (states[verdicts[m].action], sentence) for m, sentence in told.items()})

    def sent(self, going: Mapping[MachineId, Hosting], take_until: float) -> dict[MachineId, Outcome]:
        """Send what is to be written, once the hosting connections have been looked at a last time."""
        going = self._with_good_connections(going)
        if not going:
            return {}
        run = self.record.run
        written = WrittenConnections(self.resources.inputs, run)
        written.add(going.values())
        # through the row's etag: a DR run that cancels what has not begun to write sees this, or is seen
        since = run.writing_since or self.resources.now()
        self.record.write(writing_since=since, progress=self.progress(), states=self.rows.counts())
        if self.record.run.cancelled_by is not None:
            return {machine: Outcome(Told.KEPT) for machine in going}
        changes = [Change(machine, hosting) for machine, hosting in going.items()]
        outcomes = send(self._sending(take_until), changes)
        refused = {
            machine: Verdict(Action.FAILED, outcome.sentence or "")
            for machine, outcome in outcomes.items()
            if outcome.told is Told.REFUSED and self.rows[machine].state is RemapState.APPROVED
        }
        self._leave(refused, {Action.FAILED: RemapState.FAILED})
        return outcomes

    def _sending(self, take_until: float) -> Sending:
        return Sending(
            writer=self.writer,
            batches=self.resources.batches,
            run_id=self.record.run.id,
            step=SendingStep.APPLY,
            now=self.resources.now,
            pause=self.resources.pause,
            check=self.check,
            stop=lambda: self.record.run.cancelled_by is not None or time.monotonic() >= take_until,
            before=self._before,
            undo=self._undo,
            after=self._after,
        )

    def _with_good_connections(self, going: Mapping[MachineId, Hosting]) -> Mapping[MachineId, Hosting]:
        """Right before the first write: a connection may have changed while everything else was read."""
        ids = {hosting.connection_id for hosting in going.values() if hosting.connection_id is not None}
        found = (self.writer.hosting_connection(each) for each in sorted(ids))
        now = Connections(connection for connection in found if connection is not None)
        verdicts = {machine: destination(self.rows[machine].after, now) for machine in going}
        trouble = {machine: verdict for machine, verdict in verdicts.items() if verdict.action is not Action.GO}
        self._leave(trouble, {Action.FAILED: RemapState.FAILED})
        return {m: v.hosting for m, v in verdicts.items() if v.hosting is not None}

    def _before(self, machines: Sequence[MachineId]) -> None:
        self.rows.move(replace(self.rows[m], state=RemapState.APPLYING, sent=True, error=None) for m in machines)

    def _undo(self, machines: Sequence[MachineId]) -> None:
        self.rows.move(replace(self.rows[m], state=RemapState.APPROVED, sent=False) for m in machines)

    def _after(self, outcomes: Mapping[MachineId, Outcome]) -> None:
        # what Citrix reports is no state of a remap yet: the read-back, which comes soon, settles all of them at once
        with self._row_guard:
            self._followed += sum(outcome.told is not Told.KEPT for outcome in outcomes.values())
            self.record.write(progress=self.progress(), states=self.rows.counts())

    def verified(self, site: Site, outcomes: Mapping[MachineId, Outcome]) -> None:
        """Read back whatever was sent or found done, and send alone, once, what has not changed."""
        open_states = {RemapState.APPLYING, RemapState.APPLIED}
        machines = [remap.machine for remap in self.rows.of(open_states)]
        if not machines:
            return
        again = self._read_back(machines, outcomes, len(site.machines))
        lost = [machine for machine in again if is_lost(outcomes.get(machine))]
        if len(lost) > FEW and self.record.run.cancelled_by is None:
            # nothing is known of whole batches, and the read-back shows that they were not done
            outcomes = {**outcomes, **send(self._sending(math.inf), self._changes(lost))}
            again = self._read_back(again, outcomes, len(site.machines))
        if not again:
            return
        if self.record.run.cancelled_by is not None:
            retried = {m: Outcome(Told.KEPT, f"{_said(outcomes.get(m))} The run was cancelled.") for m in again}
        else:
            self.rows.move(replace(self.rows[machine], sent=True) for machine in again)
            retried = send_again(self._sending(math.inf), self._changes(again), outcomes)
        left = self._read_back(again, retried, len(site.machines))
        failed = {machine: _said(retried.get(machine) or outcomes.get(machine)) for machine in left}
        self.rows.move_to(RemapState.FAILED, failed)
        self._tell({machine: (RemapState.FAILED, sentence) for machine, sentence in failed.items()})

    def _changes(self, machines: Sequence[MachineId]) -> list[Change]:
        return [Change(machine, self.rows[machine].after) for machine in machines]

    def _read_back(
        self, machines: Sequence[MachineId], outcomes: Mapping[MachineId, Outcome], in_site: int
    ) -> list[MachineId]:
        """Settle what can be told now; the machines that still have their old values."""
        self.check()
        found = read_back(self.writer, machines, in_site)
        changed, again, told = [], [], {}
        for machine in machines:
            remap = self.rows[machine]
            now = found[machine].hosting if machine in found else None
            judged = judge(remap, now, outcomes.get(machine))
            if judged is None:
                again.append(machine)
                continue
            state, error = judged
            changed.append(replace(remap, state=state, error=error))
            if state is RemapState.FAILED:
                told[machine] = (state, error or "")
        self.rows.move(changed)
        self._followed = 0  # the rows tell it from now on
        self._tell(told)
        return again

    def _tell(self, what: Mapping[MachineId, tuple[RemapState, str]]) -> None:
        tell_machines(self.resources, self.record.run.id, what)

    def progress(self) -> int:
        """Of 100; the last part is for reading back and for the connections."""
        among = [r for r in self.rows.every() if self.selected is None or r.machine in self.selected]
        done = sum(remap.state in _THROUGH for remap in among)
        waiting = sum(remap.state in (RemapState.APPROVED, RemapState.APPLYING) for remap in among)
        through = done + min(self._followed, waiting)
        return 5 + 85 * through // max(1, done + waiting)


def _at_hand(run: Run) -> bool:
    """True where the run's row says that there is something to write; the rows of its remaps have the last word."""
    return any(run.states.get(state.value) for state in _TO_WRITE)


def _said(outcome: Outcome | None) -> str:
    if outcome is None or outcome.sentence is None:
        return "Citrix said that it was done, and the machine still has its old values."
    return outcome.sentence
