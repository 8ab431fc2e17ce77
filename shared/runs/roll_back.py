"""The step ``rollback``: machines get back what they had before the run, where they still have what it gave them."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from shared.azure.work_queue import WorkStep
from shared.citrix.site import read_site
from shared.citrix.writer import SiteWriter
from shared.model.citrix import Hosting, MachineId, Site
from shared.model.remap import Change, Remap, SendingStep
from shared.model.run import Event, RemapState, RunId, RunStatus
from shared.planning.recheck import Action
from shared.planning.restore import restore
from shared.planning.standing import described, same
from shared.runs.access import SERVICE
from shared.runs.attempt import attempted
from shared.runs.connect import citrix_writer
from shared.runs.connections import reset_connections
from shared.runs.departures import keep_departures
from shared.runs.draft import kept_profile
from shared.runs.keyring import Keyring, site_secret_names
from shared.runs.locked import Check, Next, locked
from shared.runs.read_back import read_back
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
from shared.runs.zones import move_zones_back

SEND_SECONDS = 300.0
LEAST_SEND_SECONDS = 45.0
MAY_HAVE_CHANGED = frozenset(
    {RemapState.APPLYING, RemapState.APPLIED, RemapState.VERIFIED, RemapState.FAILED, RemapState.ROLLBACK_FAILED}
)


def can_be_rolled_back(remap: Remap) -> bool:
    """True for what the run may have written and has not taken back."""
    return remap.sent and remap.state in MAY_HAVE_CHANGED


def roll_back_run(resources: Resources, run_id: RunId) -> None:
    """Take back what a run that is ``rolling-back`` wrote, as far as it was asked for, and bring it to its rest."""
    work = partial(_roll_back_locked, resources)
    locked(resources, run_id, (RunStatus.ROLLING_BACK,), WorkStep.ROLLBACK, work, site=True)


def _roll_back_locked(resources: Resources, record: RunRecord, check: Check) -> Next | None:
    return attempted(resources, record, "rollback", WorkStep.ROLLBACK, lambda: _roll_back(resources, record, check))


def _roll_back(resources: Resources, record: RunRecord, check: Check) -> Next | None:
    began = time.monotonic()
    profile = kept_profile(resources, record.run.id)
    rows = RemapRows(resources.remaps, record.run.id, check)
    with citrix_writer(resources, profile, Keyring(resources.vault, site_secret_names(profile))) as writer:
        back = _RollingBack(resources, record, check, writer, rows)
        site, going = back.prepared()
        take_until = max(began + SEND_SECONDS, time.monotonic() + LEAST_SEND_SECONDS)
        outcomes = back.sent(going, take_until)
        back.verified(site, going, outcomes)
        if any(outcome.told is Told.KEPT for outcome in outcomes.values()):
            # every part that comes to its end is a fresh start: the limit on attempts is for crashes
            record.write(attempts=0, states=rows.counts())
            return Next(WorkStep.ROLLBACK)
        back.finish(reset=profile.policy.reset_hosting_connection)
    return None


@dataclass
class _RollingBack:
    """One pass over the remaps that are to be taken back."""

    resources: Resources
    record: RunRecord
    check: Check
    writer: SiteWriter
    rows: RemapRows

    def __post_init__(self) -> None:
        self.selected = selected_machines(self.resources, self.record.run)
        self.written = WrittenConnections(self.resources.inputs, self.record.run)

    def prepared(self) -> tuple[Site, Mapping[MachineId, Hosting]]:
        """The site as it is now, and what each machine is to get back."""
        run = self.record.run
        stuck = settle_batches(self.writer, self.resources.batches, run.id, self.resources.pause, self.check)
        site = read_site(self.writer.site)
        check_same_site(run, site)
        remaps = [each for each in self.rows.of(MAY_HAVE_CHANGED, self.selected) if can_be_rolled_back(each)]
        verdicts = restore(remaps, site)
        going: dict[MachineId, Hosting] = {}
        failed: dict[MachineId, str | None] = {}
        done: dict[MachineId, str | None] = {}
        for remap in remaps:
            verdict = verdicts[remap.machine]
            if remap.machine in stuck:
                failed[remap.machine] = (
                    "A job of this run at Citrix does not end and may still change it. Roll it back once it has ended."
                )
            elif verdict.action is Action.DONE:
                # a write that failed and never came through left nothing to take back
                if remap.state is not RemapState.FAILED:
                    done[remap.machine] = None
            elif verdict.hosting is None:
                failed[remap.machine] = verdict.sentence
            else:
                going[remap.machine] = verdict.hosting
        self.rows.move_to(RemapState.ROLLED_BACK, done)
        self._failed(failed)
        return site, going

    def sent(self, going: Mapping[MachineId, Hosting], take_until: float) -> dict[MachineId, Outcome]:
        if not going:
            return {}
        self.written.add(going.values())
        if self.record.run.writing_since is None:
            self.record.write(writing_since=self.resources.now())
        changes = [Change(machine, hosting) for machine, hosting in going.items()]
        return send(self._sending(take_until), changes)

    def _sending(self, take_until: float) -> Sending:
        return Sending(
            writer=self.writer,
            batches=self.resources.batches,
            run_id=self.record.run.id,
            step=SendingStep.ROLLBACK,
            now=self.resources.now,
            pause=self.resources.pause,
            check=self.check,
            stop=lambda: time.monotonic() >= take_until,
            before=lambda machines: None,
            undo=lambda machines: None,
            after=lambda outcomes: None,
        )

    def verified(self, site: Site, going: Mapping[MachineId, Hosting], outcomes: Mapping[MachineId, Outcome]) -> None:
        """Read back what was sent, and send alone, once, what still has what the run gave it."""
        machines = [machine for machine, outcome in outcomes.items() if outcome.told is not Told.KEPT]
        again = self._read_back(machines, going, outcomes, len(site.machines))
        lost = [machine for machine in again if is_lost(outcomes.get(machine))]
        if len(lost) > FEW:
            outcomes = {**outcomes, **send(self._sending(math.inf), [Change(m, going[m]) for m in lost])}
            again = self._read_back(again, going, outcomes, len(site.machines))
        if not again:
            return
        retried = send_again(self._sending(math.inf), [Change(m, going[m]) for m in again], outcomes)
        left = self._read_back(again, going, retried, len(site.machines))
        self._failed({machine: _said(retried[machine]) for machine in left})

    def _read_back(
        self,
        machines: Sequence[MachineId],
        going: Mapping[MachineId, Hosting],
        outcomes: Mapping[MachineId, Outcome],
        in_site: int,
    ) -> list[MachineId]:
        """Settle what can be told now; the machines that still have what the run gave them."""
        if not machines:
            return []
        self.check()
        found = read_back(self.writer, machines, in_site)
        again: list[MachineId] = []
        done: dict[MachineId, str | None] = {}
        failed: dict[MachineId, str | None] = {}
        for machine in machines:
            if machine not in found:
                failed[machine] = "The machine is no longer in the site."
                continue
            now = found[machine].hosting
            if same(now, going[machine]):
                done[machine] = None
            elif not same(now, self.rows[machine].after):
                failed[machine] = f"After the write Citrix has {described(now)}: somebody else changed it. Look at it."
            elif outcomes[machine].told is Told.STUCK:
                failed[machine] = f"{outcomes[machine].sentence} It was not sent again."
            else:
                again.append(machine)
        self.rows.move_to(RemapState.ROLLED_BACK, done)
        self._failed(failed)
        return again

    def _failed(self, sentences: Mapping[MachineId, str | None]) -> None:
        self.rows.move_to(RemapState.ROLLBACK_FAILED, sentences)
        told = {machine: (RemapState.ROLLBACK_FAILED, text or "") for machine, text in sentences.items()}
        tell_machines(self.resources, self.record.run.id, told)

    def finish(self, *, reset: bool) -> None:
        """Reset the connections that machines went back to, move catalogs back, and bring the run to its rest."""
        resources, record, run = self.resources, self.record, self.record.run
        keep_departures(resources, run, self.rows.every())
        counts = self.rows.counts()
        record.step("rollback", "done", self.rows.told(), states=counts)
        connections: Mapping[str, str] = {}
        if run.writing_since is not None:
            self.written.keep_only(remap.before for remap in self.rows.of({RemapState.ROLLED_BACK}))
            connections = self.written.all()
        if connections and reset:
            self.check()
            said, well = reset_connections(self.writer, connections)
            record.step("reset", "done" if well else "failed", said)
            resources.events.append(run.id, Event(resources.now(), SERVICE.name, "reset", said))
        moved = move_zones_back(self.writer, resources.zone_moves, run.id, self._staying(), resources.pause, self.check)
        if moved is not None:
            said, well = moved
            record.step("move-zones-back", "done" if well else "failed", said)
            resources.events.append(run.id, Event(resources.now(), SERVICE.name, "move-zones-back", said))
        failed = self.rows.of({RemapState.ROLLBACK_FAILED})
        now = resources.now()
        error = f"{len(failed)} remaps could not be rolled back. Each remap says why." if failed else None
        resources.events.append(run.id, Event(now, SERVICE.name, "rolled-back", error or self.rows.told()))
        record.write(status=RunStatus.ROLLED_BACK, progress=100, states=counts, ended_at=now, error=error)

    def _staying(self) -> Collection[str]:
        stay = self.rows.of({RemapState.VERIFIED, RemapState.APPLIED, RemapState.ROLLBACK_FAILED})
        return {remap.catalog for remap in stay if remap.catalog is not None}


def _said(outcome: Outcome) -> str:
    return outcome.sentence or "Citrix said that it was done, and the machine still has what the run gave it."
