"""What holds for every estate (design, section 4), tried on random ones that collide on purpose.

The facts that a property needs (who stands on which copy, who answered) are worked out here from the readings anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random

from hypothesis import assume, given
from hypothesis import strategies as st

from shared.model.citrix import Hosting, Machine, Provisioning
from shared.model.finding import Finding, Plan
from shared.model.nutanix import (
    ClusterReading,
    PowerState,
    ProtectedVm,
    ProtectionDomain,
    ReadStatus,
    RecoveredVm,
    RecoveryJob,
    Vm,
    VmUuid,
)
from shared.model.run import Limits
from shared.planning.plan import fingerprint
from shared.profile.scope import Scope
from tests.unit.planning.builders import (
    OFF,
    central,
    element,
    job,
    machine,
    plan_of,
    silent,
    uid,
    vm,
)
from tests.unit.planning.estates import LABELS, Estate, ends_of, estates
from tests.unit.planning.examples import some_estates


def alive(readings: tuple[ClusterReading, ...]) -> list[Vm]:
    """Every VM that an answering cluster lists on a cluster that is up, but for what can never be a machine's."""
    found: list[Vm] = []
    for reading in readings:
        up = {cluster.uuid for cluster in reading.registered if cluster.available}
        found.extend(one for one in reading.vms if one.cluster_uuid in up and not is_nobodys(one, readings))
    return found


def is_nobodys(one: Vm, readings: tuple[ClusterReading, ...]) -> bool:
    """An agent, a copy that a test made, or what any Central calls a leftover of a Metro failover."""
    made = {moved.recovered for job in jobs_of(readings) if job.test for moved in job.recovered if not kept(moved)}
    left = {(vm.uuid, vm.cluster_uuid) for reading in readings for vm in reading.vms if vm.decoupled}
    return one.agent or one.uuid in made or (one.uuid, one.cluster_uuid) in left


def kept(moved: RecoveredVm) -> bool:
    return moved.source == moved.recovered


def jobs_of(readings: tuple[ClusterReading, ...]) -> tuple[RecoveryJob, ...]:
    return tuple(job for reading in readings for job in reading.jobs)


def places(hosting: Hosting, readings: tuple[ClusterReading, ...]) -> set[str]:
    """The Nutanix clusters on which the connection's endpoints see the hosted machine id."""
    behind = {r.name for r in readings if r.hosting_connection == hosting.connection}
    return {one.cluster_uuid for one in alive(readings) if one.uuid == hosting.machine_id and one.cluster in behind}


def standing(made: Plan, estate: Estate) -> dict[str, Hosting]:
    """Where every machine of the site would stand after the run, by its id."""
    after = {finding.machine.id: finding.after for finding in made.findings if finding.after is not None}
    return {record.id: after.get(record.id, record.hosting) for record in estate.machines}


def remaps(made: Plan) -> list[Finding]:
    return [finding for finding in made.findings if finding.kind == "remap"]


def standing_at_the_target(estate: Estate) -> tuple[ClusterReading, set[str]]:
    """The target's reading, and its Nutanix clusters but for those that it reports as unavailable.

    A Central goes on listing the VMs of those: they count as gone.
    """
    name, _, part = str(estate.target).partition("/")
    (reading,) = (reading for reading in estate.readings if reading.name == name)
    return reading, {each.uuid for each in reading.registered if each.available and part in ("", each.name)}


def outcome(made: Plan) -> dict[str, tuple[object, ...]]:
    return {found.machine.id: (found.kind, found.reason, found.confidence, found.after) for found in made.findings}


@some_estates
@given(estates(), st.integers(0, 2**32))
def test_the_order_of_machines_and_vms_never_matters(estate: Estate, seed: int) -> None:
    shuffle = Random(seed)
    other = replace(
        estate,
        machines=tuple(shuffle.sample(estate.machines, len(estate.machines))),
        readings=tuple(
            replace(reading, vms=tuple(shuffle.sample(reading.vms, len(reading.vms)))) for reading in estate.readings
        ),
    )
    one, two = estate.plan(), other.plan()
    assert {found.machine.id: found for found in one.findings} == {found.machine.id: found for found in two.findings}
    assert fingerprint(one.findings) == fingerprint(two.findings)
    assert (one.guards, one.out_of_scope, one.unmatched) == (two.guards, two.out_of_scope, two.unmatched)


def in_another_case(estate: Estate) -> Estate:
    def entry(protected: ProtectedVm) -> ProtectedVm:
        return replace(protected, name=protected.name.swapcase())

    def domain(known: ProtectionDomain) -> ProtectionDomain:
        inside, entries = tuple(map(entry, known.vms)), tuple(map(entry, known.snapshots))
        return replace(known, name=known.name.swapcase(), vms=inside, snapshots=entries)

    def record(known: Machine) -> Machine:
        return replace(
            known,
            name=known.name.swapcase(),
            dns_name=known.dns_name and known.dns_name.swapcase(),
            hosted_name=known.hosted_name and known.hosted_name.swapcase(),
            hosting=replace(known.hosting, connection=known.hosting.connection and known.hosting.connection.swapcase()),
        )

    def reading(known: ClusterReading) -> ClusterReading:
        listed = tuple(replace(one, name=one.name.swapcase()) for one in known.vms)
        return replace(known, vms=listed, domains=tuple(map(domain, known.domains)))

    return replace(
        estate,
        machines=tuple(map(record, estate.machines)),
        readings=tuple(map(reading, estate.readings)),
        scopes=tuple(
            Scope(
                machines=scope.machines and tuple(name.swapcase() for name in scope.machines),
                exclude=tuple(pattern.swapcase() for pattern in scope.exclude),
            )
            for scope in estate.scopes
        ),
        target=estate.target and estate.target.swapcase(),
    )


@some_estates
@given(estates())
def test_the_case_of_names_never_matters(estate: Estate) -> None:
    one, two = estate.plan(), in_another_case(estate).plan()
    assert outcome(one) == outcome(two)
    assert fingerprint(one.findings) == fingerprint(two.findings)


@some_estates
@given(estates(), st.data())
def test_an_unrelated_vm_never_changes_a_finding(estate: Estate, data: st.DataObject) -> None:
    there = [n for n, reading in enumerate(estate.readings) if not reading.dead]
    assume(there)
    number = data.draw(st.sampled_from(there))
    reading = estate.readings[number]
    stranger = replace(
        vm("stranger", "STRANGER", bios="stranger's", parent=data.draw(st.sampled_from((None, *LABELS)))),
        power=data.draw(st.sampled_from(PowerState)),
        cluster=reading.name,
        cluster_uuid=data.draw(st.sampled_from(reading.registered)).uuid,
        in_flux=data.draw(st.booleans()),
    )
    crowded = replace(reading, vms=(*reading.vms, stranger))
    other = replace(estate, readings=(*estate.readings[:number], crowded, *estate.readings[number + 1 :]))
    assert other.plan().findings == estate.plan().findings


@some_estates
@given(estates())
def test_every_machine_in_scope_has_exactly_one_finding(estate: Estate) -> None:
    made = estate.plan()
    found = Counter(finding.machine.id for finding in made.findings)
    assert set(found.values()) <= {1}
    assert set(found) <= {record.id for record in estate.machines}
    assert made.machines_in_scope == len(found)
    assert made.machines_in_scope + made.out_of_scope == len(estate.machines)


@some_estates
@given(estates())
def test_no_two_machines_stand_on_one_vm_unless_each_of_them_in_reach_is_a_conflict(estate: Estate) -> None:
    made = estate.plan()
    kinds = {finding.machine.id: finding.kind for finding in made.findings}
    after = standing(made, estate)
    for one in estate.machines:
        if kinds.get(one.id) in (None, "excluded", "conflict") or after[one.id].machine_id is None:
            continue
        mine = places(after[one.id], estate.readings)
        for other in estate.machines:
            if other.id == one.id or after[other.id].machine_id != after[one.id].machine_id:
                continue
            theirs = places(after[other.id], estate.readings)
            assert mine and theirs and not mine & theirs, f"{one.name} and {other.name} share a VM"  # noqa: PT018


@some_estates
@given(estates())
def test_a_remap_leads_to_a_vm_that_an_answering_cluster_lists(estate: Estate) -> None:
    usable = {known.name: known for known in estate.connections}
    for finding in remaps(estate.plan()):
        after, before = finding.after, finding.machine.hosting
        assert after is not None
        assert places(after, estate.readings)
        assert (after.connection, after.machine_id) != (before.connection, before.machine_id)
        assert finding.machine.provisioning is Provisioning.MANUAL
        assert before.connection is not None
        assert before.machine_id is not None
        to = usable.get(str(after.connection))
        assert to is None or (not to.in_maintenance and to.plugin_id == "AcropolisFactory")
        moving = {(one.uuid, one.cluster_uuid) for one in alive(estate.readings) if one.in_flux}
        assert {(after.machine_id, cluster) for cluster in places(after, estate.readings)} - moving


@some_estates
@given(estates())
def test_only_a_remap_has_a_destination_and_a_confidence(estate: Estate) -> None:
    for finding in estate.plan().findings:
        is_remap = finding.kind == "remap"
        assert (finding.after is not None, finding.confidence is not None) == (is_remap, is_remap)
        assert finding.reason
        assert finding.explanation


@some_estates
@given(estates())
def test_an_aligned_machine_names_a_vm_that_its_own_connection_sees(estate: Estate) -> None:
    for finding in estate.plan().findings:
        if finding.kind == "aligned":
            assert places(finding.machine.hosting, estate.readings)


@some_estates
@given(estates(targeted=False))
def test_nothing_is_missing_while_any_cluster_is_silent(estate: Estate) -> None:
    if not all(reading.whole for reading in estate.readings):
        assert "missing" not in {finding.kind for finding in estate.plan().findings}


@some_estates
@given(estates(targeted=False))
def test_nothing_is_unknown_for_silence_where_every_cluster_answered_whole(estate: Estate) -> None:
    if all(reading.whole for reading in estate.readings):
        assert {f.reason for f in estate.plan().findings if f.kind == "unknown"} <= {"vm-in-flux"}


def by_name_alone(finding: Finding, readings: tuple[ClusterReading, ...]) -> bool:
    held, after = finding.machine.hosting.machine_id, finding.after
    assert after is not None
    copies = [one for one in alive(readings) if one.uuid == after.machine_id]
    entries = {
        entry.name.casefold() for r in readings for d in r.domains for entry in d.snapshots if entry.uuid == held
    }
    told = held is not None and after.machine_id in ends_of(held, jobs_of(readings))
    return not (
        told
        or after.machine_id == held
        or any(one.bios_uuid == held or one.name.casefold() in entries for one in copies)
    )


def without(estate: Estate, number: int) -> Estate:
    """The same estate after the death of one of its clusters."""
    reading = estate.readings[number]
    dead = silent(reading.name, ReadStatus.UNREACHABLE)
    dead = replace(dead, hosting_connection=reading.hosting_connection)
    return replace(estate, readings=(*estate.readings[:number], dead, *estate.readings[number + 1 :]))


@some_estates
@given(estates(targeted=False), st.data())
def test_no_remap_by_name_alone_appears_because_a_cluster_died(estate: Estate, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(estate.readings) - 1))
    after = without(estate, number)
    assert not [found for found in remaps(after.plan()) if by_name_alone(found, after.readings)]


@some_estates
@given(estates(targeted=False), st.data())
def test_nothing_is_concluded_about_a_machine_whose_only_cluster_died(estate: Estate, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(estate.readings) - 1))
    dead = estate.readings[number]
    assume(sum(reading.hosting_connection == dead.hosting_connection for reading in estate.readings) == 1)
    for finding in without(estate, number).plan().findings:
        if finding.machine.hosting.connection == dead.hosting_connection:
            assert finding.kind in ("unknown", "excluded", "conflict", "ambiguous")


@some_estates
@given(estates(targeted=True))
def test_a_remap_of_a_dr_run_leads_to_the_target(estate: Estate) -> None:
    reading, inside = standing_at_the_target(estate)
    for finding in remaps(estate.plan()):
        assert finding.after is not None
        assert finding.after.connection == reading.hosting_connection
        listed = {(one.uuid, one.cluster_uuid) for one in reading.vms}
        assert any((finding.after.machine_id, cluster) in listed for cluster in inside)


@some_estates
@given(estates(targeted=True))
def test_a_dead_target_moves_nobody(estate: Estate) -> None:
    number = [reading.name for reading in estate.readings].index(str(estate.target).partition("/")[0])
    made = without(estate, number).plan()
    assert {finding.kind for finding in made.findings} <= {"unknown", "excluded", "conflict"}


@some_estates
@given(estates())
def test_a_second_plan_after_applying_the_first_remaps_none_of_its_machines(estate: Estate) -> None:
    made = estate.plan()
    after = standing(made, estate)
    applied = replace(estate, machines=tuple(replace(known, hosting=after[known.id]) for known in estate.machines))
    moved = {
        finding.machine.id
        for finding in remaps(made)
        if finding.after is not None and not has_descendants(str(finding.after.machine_id), estate.readings)
    }
    assert not moved & {finding.machine.id for finding in remaps(applied.plan())}


def has_descendants(uuid: str, readings: tuple[ClusterReading, ...]) -> bool:
    """Whether something claims to have succeeded this VM: a live VM has no successor, a random estate may say so.

    Nor has it a second copy under another name, which only counts for the machine once that holds its UUID.
    """
    entries = {entry.uuid for reading in readings for domain in reading.domains for entry in domain.snapshots}
    entries |= {moved.source for job in jobs_of(readings) for moved in job.recovered if not (job.test or kept(moved))}
    names = {one.name.casefold() for one in alive(readings) if one.uuid == uuid}
    return (
        uuid in entries or len(names) > 1 or any(one.bios_uuid == uuid for one in alive(readings) if one.uuid != uuid)
    )


def with_readings(estate: Estate, change: Callable[[ClusterReading], ClusterReading]) -> Estate:
    return replace(estate, readings=tuple(map(change, estate.readings)))


@some_estates
@given(estates())
def test_a_test_copy_an_agent_and_a_leftover_are_as_good_as_gone(estate: Estate) -> None:
    """So nothing ever lands on one, and none keeps a machine from its VM. To leave one may be weak, no more."""

    def emptied(reading: ClusterReading) -> ClusterReading:
        return replace(reading, vms=tuple(one for one in reading.vms if not is_nobodys(one, estate.readings)))

    without, found = with_readings(estate, emptied).plan().findings, estate.plan().findings
    for gone, there in zip(without, found, strict=True):
        assert (there.machine, there.kind, there.reason, there.after) == (
            gone.machine,
            gone.kind,
            gone.reason,
            gone.after,
        )
        assert there.candidates == gone.candidates
        assert there.confidence in (gone.confidence, "weak")


@some_estates
@given(estates())
def test_no_remap_and_no_candidate_is_a_test_copy_an_agent_or_a_leftover(estate: Estate) -> None:
    for finding in estate.plan().findings:
        assert not [one for one in finding.candidates if is_nobodys(one, estate.readings)]
        if finding.after is not None:
            assert any(one.uuid == finding.after.machine_id for one in finding.candidates)


@some_estates
@given(estates(), st.integers(0, 2**32))
def test_the_order_in_which_a_central_tells_its_jobs_never_matters(estate: Estate, seed: int) -> None:
    shuffle = Random(seed)
    other = with_readings(
        estate, lambda reading: replace(reading, jobs=tuple(shuffle.sample(reading.jobs, len(reading.jobs))))
    )
    assert other.plan() == estate.plan()


@some_estates
@given(estates())
def test_which_central_tells_of_a_job_never_matters(estate: Estate) -> None:
    """A profile may have both Centrals of a recovery plan, or one of them."""
    jobs = jobs_of(estate.readings)
    teller = replace(central("pc", {}, jobs=jobs), hosting_connection=estate.readings[0].hosting_connection)
    other = with_readings(estate, lambda reading: replace(reading, jobs=()))
    assert replace(other, readings=(*other.readings, teller)).plan().findings == estate.plan().findings


@some_estates
@given(estates(), st.data())
def test_a_job_about_vms_that_nobody_holds_changes_nothing(estate: Estate, data: st.DataObject) -> None:
    told = job(("nobody's", data.draw(st.sampled_from(LABELS))), hour=data.draw(st.integers(-1, 3)), id_="another")
    other = with_readings(estate, lambda reading: replace(reading, jobs=(*reading.jobs, told)))
    assert other.plan() == estate.plan()


@some_estates
@given(estates(), st.data())
def test_a_test_whose_copies_are_gone_changes_nothing(estate: Estate, data: st.DataObject) -> None:
    sources = data.draw(st.lists(st.sampled_from(LABELS), min_size=1, unique=True))
    test = job(*((one, f"copy of {one}") for one in sources), hour=data.draw(st.integers(-1, 3)), test=True)
    other = with_readings(estate, lambda reading: replace(reading, jobs=(*reading.jobs, test)))
    assert other.plan() == estate.plan()


def rivals_of(finding: Finding, estate: Estate) -> set[VmUuid]:
    """The UUIDs of the candidates that the chosen one was chosen from: with a target, those that the target sees."""
    if estate.target is None:
        return {one.uuid for one in finding.candidates}
    reading, inside = standing_at_the_target(estate)
    seen = {(one.uuid, one.cluster_uuid) for one in reading.vms if one.cluster_uuid in inside}
    return {one.uuid for one in finding.candidates if (one.uuid, one.cluster_uuid) in seen}


@some_estates
@given(estates())
def test_a_remap_is_proven_only_by_its_own_vm_alone_or_by_the_single_end_of_the_jobs(estate: Estate) -> None:
    for finding in remaps(estate.plan()):
        held, after = finding.machine.hosting.machine_id, finding.after
        assert held is not None
        assert after is not None
        ends = ends_of(held, jobs_of(estate.readings))
        if finding.confidence == "proven":
            assert ends == {after.machine_id} or rivals_of(finding, estate) == {held} == {after.machine_id}


@some_estates
@given(estates())
def test_a_remap_away_from_where_the_jobs_lead_is_weak(estate: Estate) -> None:
    for finding in remaps(estate.plan()):
        ends = ends_of(str(finding.machine.hosting.machine_id), jobs_of(estate.readings))  # type: ignore[arg-type]
        if ends and finding.after is not None and finding.after.machine_id not in ends:
            assert finding.confidence == "weak"


@some_estates
@given(
    remapped=st.integers(0, 30),
    healthy=st.integers(0, 30),
    outside=st.integers(0, 3),
    limits=st.builds(Limits, st.integers(0, 31), st.integers(0, 100)),
)
def test_the_limits_fire_exactly_at_their_edge(remapped: int, healthy: int, outside: int, limits: Limits) -> None:
    records = [machine(f"M{n}", holds=f"{'old' if n < remapped else 'new'}{n}") for n in range(remapped + healthy)]
    strangers = [machine(f"S{n}", holds=f"s{n}", catalog="Lab") for n in range(outside)]
    reading = element("paris", *(vm(f"new{n}", f"M{n}") for n in range(len(records))))
    made = plan_of((*records, *strangers), reading, limits=limits, scopes=[Scope(catalogs=("Persistent",))])
    many = remapped > limits.max_changes
    share = len(records) >= 20 and remapped / len(records) * 100 > limits.max_change_percent + 1e-9
    assert [guard.name for guard in made.guards] == ["max-changes"] * many + ["max-change-percent"] * share


@some_estates
@given(estates(), st.integers(0, 3))
def test_a_healthy_machine_is_not_touched_by_what_happens_to_others(estate: Estate, number: int) -> None:
    record = machine("HEALTHY-1", holds="healthy")
    alone = element("berlin", vm("healthy", "HEALTHY-1"), vm("stale", "HEALTHY-1", OFF), cluster="CL9")
    home = replace(record, hosting=replace(record.hosting, connection=alone.hosting_connection))
    others = tuple(reading for reading in estate.readings if reading.name != "berlin")
    position = min(number, len(others))
    target = None if str(estate.target).startswith("berlin") else estate.target
    machines = tuple(known for known in estate.machines if known.hosting.machine_id != uid("healthy"))
    whole = (*others[:position], alone, *others[position:])
    made = replace(estate, machines=(*machines, home), readings=whole, target=target, scopes=()).plan()
    kind = next(finding.kind for finding in made.findings if finding.machine.id == home.id)
    assert kind == "aligned" or (target is not None and kind == "unknown")
