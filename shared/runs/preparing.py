"""Before anything is written, everything is looked at again: what an approval was given for may have changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from shared.citrix.site import read_site
from shared.citrix.writer import SiteWriter
from shared.errors import PrismError
from shared.model.citrix import Hosting, MachineId, Site
from shared.model.finding import FindingKind, Plan
from shared.model.nutanix import ClusterReading, ReadStatus
from shared.model.remap import Remap
from shared.model.run import Event, RemapState, Run
from shared.planning.former import with_former_connections
from shared.planning.recheck import Action, Verdict, destination, held, recheck
from shared.planning.standing import Connections
from shared.runs.access import SERVICE
from shared.runs.clients.keyring import Keyring
from shared.runs.draft import Asked, basis_of, plan_from, without_doubts
from shared.runs.locked import MOST_ATTEMPTS, Check
from shared.runs.resources import Resources
from shared.runs.rows.record import RunRecord
from shared.runs.rows.remap_rows import RemapRows
from shared.runs.rows.tell import tell_machines
from shared.runs.writing.outcome import Outcome, Told
from shared.runs.writing.read_back import APPLY, judge
from shared.runs.writing.same_site import check_same_site
from shared.runs.writing.takeover import UnderWay, settle_batches
from shared.telemetry.threads import Threads

_TO_WRITE = frozenset({RemapState.APPROVED, RemapState.APPLYING})
_STAYS = frozenset({ReadStatus.REFUSED, ReadStatus.MISCONFIGURED})  # until somebody corrects it
_STATES = {
    Action.DONE: RemapState.APPLIED,
    Action.SUPERSEDED: RemapState.SUPERSEDED,
    Action.FAILED: RemapState.FAILED,
    Action.ASK: RemapState.PROPOSED,
}


@dataclass(frozen=True)
class Preparing:
    """``rows`` gives the rows of the run's remaps: they come while Citrix and Prism are read. ``selected``: the
    machines that this pass is about, None for all.
    """

    resources: Resources
    record: RunRecord
    check: Check
    asked: Asked
    keyring: Keyring
    writer: SiteWriter
    rows: Callable[[], RemapRows]
    selected: frozenset[MachineId] | None

    def prepared(self) -> tuple[Site, Mapping[MachineId, Hosting]]:
        """The site as it is now, and what is to be written where.

        Raises ``CitrixError`` where the site, and ``PrismError`` where what decides cannot be read at the moment.
        """
        run, resources = self.record.run, self.resources
        under_way = UnderWay(self.writer, resources.batches, resources.now, resources.pause, self.check)
        stuck = settle_batches(under_way, run.id, run.site_id)
        if run.cancelled_by is not None or not (_at_hand(run) or self.rows().of(_TO_WRITE, self.selected)):
            site = read_site(self.writer.site)
            self._take_over(run, site, stuck)
            return site, {}
        found: list[Site] = []

        def as_planned() -> Site:
            found.append(read_site(self.writer.site))
            planned = (each for remap in self.rows().every() for each in (remap.before, remap.after))
            return with_former_connections(found[0], planned)

        basis = basis_of(
            resources,
            run,
            lambda done, total: None,
            asked=self.asked,
            keyring=self.keyring,
            read_site=as_planned,
        )
        site = found[0]
        self._take_over(run, site, stuck)
        plan = without_doubts(resources, basis, plan_from(basis))
        return site, self._rechecked(site, plan, basis.gathered.readings, stuck)

    def _take_over(self, run: Run, site: Site, stuck: Mapping[MachineId, str]) -> None:
        """What an earlier worker had begun is at rest by now, or its job does not end."""
        check_same_site(run, site)
        machines = {machine.id: machine for machine in site.machines}
        changed = []
        for remap in self.rows().of({RemapState.APPLYING}):
            machine = machines.get(remap.machine)
            outcome = Outcome(Told.STUCK, stuck[remap.machine]) if remap.machine in stuck else None
            judged = judge(APPLY, remap, remap.after, machine.hosting if machine is not None else None, outcome)
            state, error = judged or (RemapState.APPROVED, None)
            changed.append(replace(remap, state=state, error=error))
        self.rows().move(changed)

    def _rechecked(
        self, site: Site, plan: Plan, readings: Sequence[ClusterReading], stuck: Mapping[MachineId, str]
    ) -> Mapping[MachineId, Hosting]:
        run, policy = self.record.run, self.asked.profile.policy
        automatic = run.approved_by == SERVICE.name
        approved = self.rows().of({RemapState.APPROVED}, self.selected)
        with Threads(1, thread_name_prefix="connections") as aside:
            connections = aside.submit(self._connections, {remap.after.connection_id for remap in approved})
            least = policy.least_confidence
            verdicts = recheck(approved, site, plan, automatic=automatic, least=least, readings=readings)
        self._wait_for_silent(plan, verdicts, readings)
        late = {m: Verdict(Action.FAILED, f"{stuck[m]} It was not sent.") for m in verdicts if m in stuck}
        verdicts |= late
        if automatic and plan.guards:
            self.record.write(guards=plan.guards)
            now = self.resources.now()
            told = [Event(now, SERVICE.name, "guard", f"{guard.name}: {guard.explanation}") for guard in plan.guards]
            self.resources.events.append_all(run.id, told)
            verdicts = {m: Verdict(Action.ASK) if v.action is Action.GO else v for m, v in verdicts.items()}
        verdicts = self._with_good_connections(verdicts, connections.result())
        verdicts |= held(verdicts, site.machines)
        self._leave({m: v for m, v in verdicts.items() if v.action is not Action.GO})
        return {m: v.hosting for m, v in verdicts.items() if v.action is Action.GO and v.hosting is not None}

    def _wait_for_silent(
        self, plan: Plan, verdicts: Mapping[MachineId, Verdict], readings: Sequence[ClusterReading]
    ) -> None:
        """Who does not answer has not said that anything is different: all of it is looked at again a little later.

        After a few attempts what is not known is left out, and the others go on.
        """
        may_pass = any(not reading.whole and reading.status not in _STAYS for reading in readings)
        if not may_pass or self.record.run.attempts >= MOST_ATTEMPTS:
            return
        unknown = [each for each in plan.findings if each.kind is FindingKind.UNKNOWN and each.machine.id in verdicts]
        waits = [each for each in unknown if verdicts[each.machine.id].action is Action.SUPERSEDED]
        if waits:
            text = f"{len(waits)} approved machines could not be looked at again. {waits[0].explanation}"
            raise PrismError(text, kind="unreachable", retryable=True)

    def _connections(self, ids: Iterable[str | None]) -> Connections:
        """As they are right before the first write: one may have changed while everything else was read."""
        found = (self.writer.hosting_connection(each) for each in sorted(filter(None, ids)))
        return Connections(connection for connection in found if connection is not None)

    def _with_good_connections(
        self, verdicts: Mapping[MachineId, Verdict], now: Connections
    ) -> dict[MachineId, Verdict]:
        going = [m for m, v in verdicts.items() if v.action is Action.GO]
        return dict(verdicts) | {machine: destination(self.rows()[machine].after, now) for machine in going}

    def _leave(self, verdicts: Mapping[MachineId, Verdict]) -> None:
        self.rows().move(self._left(machine, verdict) for machine, verdict in verdicts.items())
        bad = [m for m, v in verdicts.items() if v.action in (Action.SUPERSEDED, Action.FAILED)]
        self._tell(self.rows()[machine] for machine in bad)

    def _left(self, machine: MachineId, verdict: Verdict) -> Remap:
        remap = self.rows()[machine]
        state = _STATES[verdict.action]
        if remap.sent and state is RemapState.SUPERSEDED:
            # a write for it went out once: whatever becomes of that, it can be rolled back
            state = RemapState.FAILED
        return replace(remap, state=state, error=verdict.sentence or None)

    def _tell(self, remaps: Iterable[Remap]) -> None:
        what = {remap.machine: (remap.state, remap.error or "") for remap in remaps}
        tell_machines(self.resources, self.record.run.id, what)


def _at_hand(run: Run) -> bool:
    """True where the run's row says that there is something to write; the rows of its remaps have the last word."""
    return any(run.states.get(state.value) for state in _TO_WRITE)
