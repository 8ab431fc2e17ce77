"""What holds for every set of remaps that is applied or rolled back, and for every VM that was left behind.

Estates collide on purpose, as for planning. What stands on what is worked out here anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from shared.model.citrix import Hosting, Machine, MachineId
from shared.model.finding import Confidence, Plan
from shared.model.nutanix import ClusterReading, Vm
from shared.model.remap import DepartedVm, Remap
from shared.model.run import RemapState
from shared.planning.recheck import Action, Verdict, recheck
from shared.planning.restore import restore
from tests.unit.planning.builders import at, connection, connection_name, uid
from tests.unit.planning.estates import ENDPOINTS, LABELS, Estate, crowds, estates
from tests.unit.planning.examples import some_estates


def remaps_of(plan: Plan) -> list[Remap]:
    return [
        Remap(f.machine.id, f.machine.name, f.machine.hosting, f.after, f.confidence, RemapState.APPROVED)
        for f in plan.findings
        if f.after is not None and f.confidence is not None
    ]


def with_positions(estate: Estate, positions: Mapping[MachineId, Hosting]) -> Estate:
    moved = tuple(replace(known, hosting=positions.get(known.id, known.hosting)) for known in estate.machines)
    return replace(estate, machines=moved)


def executed(estate: Estate, verdicts: Mapping[MachineId, Verdict]) -> Estate:
    """The estate once everything that goes ahead was written."""
    return with_positions(estate, {machine: each.hosting for machine, each in verdicts.items() if each.hosting})


def checked(remaps: list[Remap], estate: Estate, *, automatic: bool = False) -> dict[MachineId, Verdict]:
    made = estate.plan()
    return recheck(remaps, estate.site(), made, automatic=automatic, least=Confidence.STRONG, readings=estate.readings)


def place(hosting: Hosting) -> tuple[str | None, str | None]:
    return hosting.connection, hosting.machine_id


def sharing(machines: Iterable[Machine]) -> set[frozenset[MachineId]]:
    """The pairs of machines that hold one UUID."""
    there = tuple(machines)
    return {
        frozenset((one.id, other.id))
        for one in there
        for other in there
        if one.id != other.id and one.hosting.machine_id is not None
        if one.hosting.machine_id == other.hosting.machine_id
    }


@st.composite
def approvals(draw: st.DrawFn) -> tuple[list[Remap], Estate]:
    """Remaps as a person may have approved them, and the estate as it is by the time that they are applied.

    Some are what a person chose, among the candidates or not; the world may have changed since.
    """
    estate = draw(estates())
    made = estate.plan()
    remaps = remaps_of(made)
    for finding in made.findings:
        if finding.after is None and finding.candidates and finding.machine.hosting.machine_id is not None:
            candidate = draw(st.sampled_from(finding.candidates))
            name, id_ = connection_of(candidate, estate)
            chosen = Hosting(name, candidate.uuid, id_)
            before = finding.machine
            remaps.append(Remap(before.id, before.name, before.hosting, chosen, Confidence.CHOSEN, RemapState.APPROVED))
    approved = [remap for remap in remaps if draw(st.sampled_from((True, True, True, False)))]
    assume(approved)
    anywhere = st.builds(at, st.sampled_from(ENDPOINTS), st.sampled_from(LABELS))
    changes = {
        remap.machine: draw(st.one_of(st.just(remap.after), anywhere))
        for remap in approved
        if draw(st.sampled_from((False, False, False, True)))
    }
    return approved, with_positions(estate, changes)


def connection_of(vm: Vm, estate: Estate) -> tuple[str, str]:
    (reading,) = (reading for reading in estate.readings if reading.name == vm.cluster)
    known = next(each for each in estate.site().connections if each.name == reading.hosting_connection)
    return known.name, known.id


@some_estates
@given(approvals(), st.booleans())
def test_nothing_is_written_that_citrix_no_longer_has_as_planned(
    case: tuple[list[Remap], Estate], automatic: bool
) -> None:
    remaps, now = case
    hosting = {known.id: known.hosting for known in now.machines}
    found = checked(remaps, now, automatic=automatic)
    assert set(found) == {remap.machine for remap in remaps}
    for remap in remaps:
        verdict = found[remap.machine]
        if verdict.action is Action.GO:
            assert place(hosting[remap.machine]) == place(remap.before)
            assert verdict.hosting == remap.after
        elif verdict.action is Action.DONE:
            assert place(hosting[remap.machine]) == place(remap.after)
        else:
            assert verdict.sentence
        assert (verdict.hosting is not None) == (verdict.action is Action.GO)


@some_estates
@given(approvals())
def test_nothing_is_written_that_would_not_be_planned_or_chosen_now(case: tuple[list[Remap], Estate]) -> None:
    remaps, now = case
    fresh = {finding.machine.id: finding for finding in now.plan().findings}
    found = checked(remaps, now)
    for remap in remaps:
        if found[remap.machine].action is Action.GO:
            finding = fresh[remap.machine]
            shown = {vm.uuid for vm in finding.candidates}
            assert finding.after == remap.after or (
                remap.confidence is Confidence.CHOSEN and remap.after.machine_id in shown
            )


@some_estates
@given(st.one_of(approvals(), crowds()))
def test_no_two_writes_lead_to_one_vm_and_nobody_shares_one_that_did_not_before(
    case: tuple[list[Remap], Estate],
) -> None:
    remaps, now = case
    found = checked(remaps, now)
    onto = Counter(each.hosting.machine_id for each in found.values() if each.hosting is not None)
    assert not [uuid for uuid, times in onto.items() if times > 1]
    moved = {machine for machine, each in found.items() if each.action is Action.GO}
    after = sharing(executed(now, found).machines)
    assert not [pair for pair in after if pair & moved]
    assert after <= sharing(now.machines)


@some_estates
@given(st.one_of(approvals(), crowds()))
def test_what_is_held_back_for_another_machine_really_would_share_its_vm(case: tuple[list[Remap], Estate]) -> None:
    remaps, now = case
    found = checked(remaps, now)
    wanted = {remap.machine: remap.after for remap in remaps}
    for machine, verdict in found.items():
        if "still held by" in verdict.sentence:
            after = with_positions(executed(now, found), {machine: wanted[machine]})
            assert any(machine in pair for pair in sharing(after.machines))


@some_estates
@given(approvals(), st.data())
def test_the_order_of_the_remaps_never_matters(case: tuple[list[Remap], Estate], data: st.DataObject) -> None:
    remaps, now = case
    assert checked(data.draw(st.permutations(remaps)), now) == checked(remaps, now)


@some_estates
@given(estates())
def test_what_was_just_planned_and_approved_as_a_whole_goes_ahead(estate: Estate) -> None:
    """But for two copies of one UUID: planning tells them apart by their clusters, and applying does not dare to."""
    made = estate.plan()
    remaps = remaps_of(made)
    found = checked(remaps, estate)
    after = with_positions(estate, {remap.machine: remap.after for remap in remaps})
    alone = {remap.machine for remap in remaps if not any(remap.machine in pair for pair in sharing(after.machines))}
    if alone == {remap.machine for remap in remaps}:
        assert {each.action for each in found.values()} <= {Action.GO}
    assert {each.action for each in found.values()} <= {Action.GO, Action.FAILED}


planned = estates().map(lambda estate: replace(estate, connections=(connection("amsterdam"),)))


@some_estates
@given(st.one_of(planned.map(lambda estate: (remaps_of(estate.plan()), estate)), crowds()), st.data())
def test_rolling_back_what_was_applied_restores_exactly_what_was(
    case: tuple[list[Remap], Estate], data: st.DataObject
) -> None:
    """In one go, or interrupted anywhere and begun again. Who shared its VM with a machine outside the set may not."""
    remaps, estate = case
    done = executed(estate, checked(remaps, estate))
    applied = [remap for remap in remaps if place(remap.after) == place(hosting_in(done, remap.machine))]
    assume(applied)
    inside = {remap.machine for remap in applied}
    assume(all(pair <= inside or not pair & inside for pair in sharing(estate.machines)))
    first = restore(applied, done.site())
    assert {each.action for each in first.values()} == {Action.GO}
    some = {machine: each for machine, each in first.items() if data.draw(st.booleans())}
    half = executed(done, some)
    again = restore(applied, half.site())
    assert {machine for machine, each in again.items() if each.action is Action.DONE} == set(some)
    whole = executed(half, again)
    assert {each.id: each.hosting for each in whole.machines} == {each.id: each.hosting for each in estate.machines}


def hosting_in(estate: Estate, machine: MachineId) -> Hosting:
    (found,) = (each.hosting for each in estate.machines if each.id == machine)
    return found


@some_estates
@given(approvals())
def test_a_roll_back_touches_only_what_still_is_as_the_run_left_it(case: tuple[list[Remap], Estate]) -> None:
    remaps, now = case
    after = {remap.machine: remap for remap in remaps}
    found = restore(remaps, now.site())
    moved = {machine for machine, each in found.items() if each.action is Action.GO}
    for machine, verdict in found.items():
        assert verdict.action in (Action.GO, Action.DONE, Action.FAILED)
        if verdict.action is Action.GO:
            assert place(hosting_in(now, machine)) == place(after[machine].after)
            assert verdict.hosting is not None
            assert place(verdict.hosting) == place(after[machine].before)
    before = with_positions(now, {remap.machine: remap.before for remap in remaps})
    fresh = sharing(executed(now, found).machines) - sharing(now.machines)
    assert not [pair for pair in fresh if pair & moved and pair not in sharing(before.machines)]


@st.composite
def with_departures(draw: st.DrawFn) -> Estate:
    """Mostly VMs that are there, under a connection that sees them."""
    estate = draw(estates())
    seen = [DepartedVm(each.hosting_connection, vm.uuid) for each in estate.readings for vm in each.vms]
    anything = st.builds(DepartedVm, st.sampled_from(ENDPOINTS).map(connection_name), st.sampled_from(LABELS).map(uid))
    left = st.one_of(st.sampled_from(seen), st.sampled_from(seen), anything) if seen else anything
    return replace(estate, left=draw(st.frozensets(left, min_size=1, max_size=8)))


def is_left_behind(vm: Vm, estate: Estate) -> bool:
    """Worked out from the readings: every endpoint that sees the copy shows a connection under which it was left."""
    sees = [reading for reading in estate.readings if not reading.dead and listed(vm, reading)]
    known = {reading.hosting_connection for reading in sees}
    taken = {known.hosting.connection for known in estate.machines if known.hosting.machine_id == vm.uuid}
    return (
        all(DepartedVm(each, vm.uuid) in estate.left for each in known)
        and not known & taken
        and not any(at_target(vm, reading, estate.target) for reading in sees)
    )


def listed(vm: Vm, reading: ClusterReading) -> bool:
    up = {cluster.uuid for cluster in reading.registered if cluster.available}
    return vm.cluster_uuid in up and any(
        (one.uuid, one.cluster_uuid) == (vm.uuid, vm.cluster_uuid) for one in reading.vms
    )


def at_target(vm: Vm, reading: ClusterReading, target: str | None) -> bool:
    name, _, part = (target or "").partition("/")
    inside = {cluster.uuid for cluster in reading.registered if part in ("", cluster.name)}
    return reading.name == name and vm.cluster_uuid in inside


@some_estates
@given(with_departures())
def test_what_was_left_behind_is_as_good_as_gone(estate: Estate) -> None:
    """So no remap leads to it and it is no candidate. To leave one may be weak, no more."""
    emptied = tuple(
        replace(reading, vms=tuple(vm for vm in reading.vms if not is_left_behind(vm, estate)))
        for reading in estate.readings
    )
    without = replace(estate, readings=emptied, left=frozenset()).plan().findings
    for gone, there in zip(without, estate.plan().findings, strict=True):
        assert (there.machine, there.kind, there.reason, there.after, there.candidates) == (
            gone.machine,
            gone.kind,
            gone.reason,
            gone.after,
            gone.candidates,
        )
        assert there.confidence in (gone.confidence, "weak")


@some_estates
@given(with_departures())
def test_no_remap_and_no_candidate_is_a_vm_that_was_left_behind(estate: Estate) -> None:
    for finding in estate.plan().findings:
        assert not [vm for vm in finding.candidates if is_left_behind(vm, estate)]
        if finding.after is not None:
            assert any(vm.uuid == finding.after.machine_id for vm in finding.candidates)


@some_estates
@given(with_departures())
def test_a_machine_whose_own_vm_is_live_is_not_touched_by_what_was_left(estate: Estate) -> None:
    assume(estate.target is None)
    after = {finding.machine.id: finding.kind for finding in estate.plan().findings}
    for finding in replace(estate, left=frozenset()).plan().findings:
        if finding.kind == "aligned":
            assert after[finding.machine.id] == "aligned"
