"""The step ``rollback``: machines get back what they had before the run, where they still have what it gave them."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial

from shared.azure.work_queue import WorkStep
from shared.citrix.site import read_site
from shared.citrix.writer import SiteWriter
from shared.model.citrix import Hosting, MachineId, Site
from shared.model.remap import Change, Remap, SendingStep
from shared.model.run import Event, RemapState, RunId, RunStatus
from shared.planning.holders import together
from shared.planning.names import fold
from shared.planning.recheck import Action
from shared.planning.restore import restore
from shared.runs.access import SERVICE
from shared.runs.attempt import attempted
from shared.runs.clients.connect import citrix_writer
from shared.runs.clients.keyring import Keyring, site_secret_names
from shared.runs.deciding.sent_to_work import selected_machines
from shared.runs.draft import kept_profile
from shared.runs.locked import Check, Next, locked
from shared.runs.resources import Resources
from shared.runs.rows.departures import keep_departures
from shared.runs.rows.record import RunRecord
from shared.runs.rows.remap_rows import RemapRows
from shared.runs.rows.tell import tell_machines
from shared.runs.writing.connections import reset_connections
from shared.runs.writing.outcome import Told
from shared.runs.writing.read_back import ROLL_BACK
from shared.runs.writing.same_site import check_same_site
from shared.runs.writing.sending import Sending, in_groups, send
from shared.runs.writing.takeover import UnderWay, settle_batches
from shared.runs.writing.write_through import WriteThrough
from shared.runs.writing.written import WrittenConnections
from shared.runs.writing.zones import move_zones_back

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
    keyring = Keyring(resources.vault, site_secret_names(profile))
    with citrix_writer(resources, profile, keyring, check) as writer:
        back = _RollingBack(resources, record, check, writer, rows)
        site, going = back.prepared()
        take_until = max(began + SEND_SECONDS, time.monotonic() + LEAST_SEND_SECONDS)
        if back.restored(site, going, take_until):
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
        run, resources = self.record.run, self.resources
        under_way = UnderWay(self.writer, resources.batches, resources.now, resources.pause, self.check)
        stuck = settle_batches(under_way, run.id, run.site_id)
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
                failed[remap.machine] = f"{stuck[remap.machine]} Roll it back once that job has ended."
            elif verdict.action is Action.DONE:
                # a write that failed and never came through left nothing to take back
                if remap.state is not RemapState.FAILED:
                    done[remap.machine] = None
            elif verdict.hosting is None:
                failed[remap.machine] = verdict.sentence
            else:
                going[remap.machine] = verdict.hosting
        self.rows.move_to(RemapState.ROLLED_BACK, done)
        self.rows.move_to(RemapState.ROLLBACK_FAILED, failed)
        self._tell({machine: (RemapState.ROLLBACK_FAILED, text or "") for machine, text in failed.items()})
        return site, going

    def restored(self, site: Site, going: Mapping[MachineId, Hosting], take_until: float) -> bool:
        """Write what is ``going`` and read it back; true where another pass has to go on."""
        if not going:
            return False
        run = self.record.run
        self.written.add(going.values())
        if run.site_id is not None:
            self.resources.batches.begin(run.site_id, run.id)
        if run.writing_since is None:
            self.record.write(writing_since=self.resources.now())
        sending = self._sending(take_until)
        moves = {machine: fold(hosting.machine_id or "") for machine, hosting in going.items()}
        changes = [Change(machine, hosting) for machine, hosting in going.items()]
        outcomes = send(sending, in_groups(changes, together(moves, site.machines)))
        through = WriteThrough(sending, self.rows, ROLL_BACK, lambda: False, self._tell, in_site=len(site.machines))
        kept = [machine for machine, outcome in outcomes.items() if outcome.told is Told.KEPT]
        rest = through.settle({m: hosting for m, hosting in going.items() if m not in kept}, outcomes)
        return bool(rest or kept)

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

    def _tell(self, what: Mapping[MachineId, tuple[RemapState, str]]) -> None:
        tell_machines(self.resources, self.record.run.id, what)

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
        well = True
        if connections and reset:
            self.check()
            said, well = reset_connections(self.writer, connections)
            self._told("reset", said, well=well)
        moved = move_zones_back(self.writer, resources.zone_moves, run.id, self._staying(), resources.pause, self.check)
        if moved is not None:
            said, moved_well = moved
            well = well and moved_well
            self._told("move-zones-back", said, well=moved_well)
        if run.site_id is not None:
            resources.batches.rest(run.site_id, run.id)
        error = self._error(well=well)
        now = resources.now()
        resources.events.append(run.id, Event(now, SERVICE.name, "rolled-back", error or self.rows.told()))
        record.write(status=RunStatus.ROLLED_BACK, progress=100, states=counts, ended_at=now, error=error)

    def _told(self, step: str, said: str, *, well: bool) -> None:
        self.record.step(step, "done" if well else "failed", said)
        self.resources.events.append(self.record.run.id, Event(self.resources.now(), SERVICE.name, step, said))

    def _error(self, *, well: bool) -> str | None:
        failed = len(self.rows.of({RemapState.ROLLBACK_FAILED}))
        if failed:
            return f"{failed} remaps could not be rolled back. Each remap says why."
        return None if well else "A step after the writes failed. The steps of the run say which and why."

    def _staying(self) -> Collection[str]:
        stay = self.rows.of({RemapState.VERIFIED, RemapState.APPLIED, RemapState.ROLLBACK_FAILED})
        return {remap.catalog for remap in stay if remap.catalog is not None}
