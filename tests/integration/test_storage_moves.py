"""Moves of remaps on a real Table service: all or none, by the table of states, and never over another's change."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest

from sandbox.azurite import Azurite
from shared.azure.finding_row import StoredCandidate
from shared.azure.remaps import POINT_READS, Remaps
from shared.azure.storage import Storage
from shared.azure.table import Versioned
from shared.errors import EditedElsewhere, IllegalMove, LockLost, NotFound, StorageError
from shared.model.citrix import Hosting, MachineId
from shared.model.finding import Confidence, Finding, FindingKind
from shared.model.nutanix import PowerState, Vm, VmUuid
from shared.model.remap import Remap
from shared.model.run import RemapState, RunId
from shared.settings.storage import StorageSettings
from tests.integration.test_storage_remaps import finding, held

Read = Versioned[Remap]


@pytest.fixture(scope="module")
def storage(azurite: Azurite) -> Iterator[Storage]:
    storage = Storage(StorageSettings(connection_string=azurite.connection_string))
    yield storage
    storage.close()


@pytest.fixture
def remaps(storage: Storage) -> Remaps:
    return Remaps(storage)


@pytest.fixture
def run_id() -> RunId:
    return RunId(uuid.uuid4().hex)


def planned(remaps: Remaps, run_id: RunId, count: int) -> list[Read]:
    remaps.replace(run_id, [finding(n) for n in range(count)], held)
    return remaps.load(run_id)


def to(state: RemapState, read: list[Read], **changes: object) -> list[tuple[Read, Remap]]:
    return [(each, replace(each.value, state=state, **changes)) for each in read]  # type: ignore[arg-type]


def states(remaps: Remaps, run_id: RunId) -> set[RemapState]:
    return {each.value.state for each in remaps.load(run_id)}


def test_a_remap_is_loaded_as_the_plan_wrote_it(remaps: Remaps, run_id: RunId) -> None:
    of_a_catalog = replace(finding(7), machine=replace(finding(7).machine, catalog="Persistent W11"))
    remaps.replace(run_id, [of_a_catalog, finding(8, FindingKind.ALIGNED)], held)
    loaded = remaps.load(run_id)
    assert [each.value for each in loaded] == [
        Remap(
            machine=MachineId("00007-m"),
            machine_name="CORP\\W11-00007",
            before=Hosting("Nutanix AHV Paris", VmUuid("old-7"), "c1"),
            after=Hosting("Nutanix AHV Amsterdam", VmUuid("new-7"), "c2"),
            confidence=Confidence.STRONG,
            state=RemapState.PROPOSED,
            catalog="Persistent W11",
        )
    ]
    assert loaded[0].etag == remaps.one(run_id, MachineId("00007-m")).etag


def test_2500_remaps_are_loaded_in_the_order_of_their_machines_or_by_state(remaps: Remaps, run_id: RunId) -> None:
    read = planned(remaps, run_id, 2_500)
    assert [each.value.machine for each in read] == [f"{n:05d}-m" for n in range(2_500)]
    assert remaps.load(run_id, {RemapState.APPROVED}) == []
    assert remaps.load(run_id, ()) == []
    remaps.move(run_id, to(RemapState.APPROVED, read[::5]), held)
    remaps.move(run_id, to(RemapState.REJECTED, read[1::5]), held)
    assert len(remaps.load(run_id, (RemapState.APPROVED, RemapState.REJECTED))) == 1_000
    assert [each.value.machine for each in remaps.load(run_id, {RemapState.APPROVED})] == [
        each.value.machine for each in read[::5]
    ]


def test_what_a_mode_approves_is_approved_from_the_start(remaps: Remaps, run_id: RunId) -> None:
    def strong(each: Finding) -> RemapState:
        return RemapState.APPROVED if each.confidence is Confidence.STRONG else RemapState.PROPOSED

    weak = replace(finding(2), confidence=Confidence.WEAK)
    remaps.replace(run_id, [finding(1), weak, finding(3, FindingKind.MISSING)], held, strong)
    assert [(each.value.state, each.value.approved_by) for each in remaps.load(run_id)] == [
        (RemapState.APPROVED, "realign"),
        (RemapState.PROPOSED, None),
    ]
    assert remaps.one(run_id, MachineId("00001-m")).value.approved_by == "realign"
    assert remaps.one(run_id, MachineId("00003-m")).value.state is None
    with pytest.raises(IllegalMove):
        remaps.replace(run_id, [finding(1)], held, lambda _: RemapState.APPLIED)


def test_250_remaps_go_through_their_life_and_keep_everything_else(remaps: Remaps, run_id: RunId) -> None:
    first = planned(remaps, run_id, 250)
    read = remaps.move(run_id, to(RemapState.APPROVED, first, approved_by="ada"), held)
    read = remaps.move(run_id, to(RemapState.APPLYING, read, sent=True), held)
    read = remaps.move(run_id, to(RemapState.FAILED, read, error="Citrix refused it.\u2026"), held)
    assert remaps.load(run_id) == read
    assert read[3].value == replace(
        first[3].value, state=RemapState.FAILED, sent=True, approved_by="ada", error="Citrix refused it.\u2026"
    )
    stored = remaps.one(run_id, MachineId("00003-m")).value
    assert (stored.error, stored.approved_by, stored.state) == ("Citrix refused it.\u2026", "ada", RemapState.FAILED)
    assert (stored.evidence, stored.explanation) == (finding(3).evidence, "Moved.")
    read = remaps.move(run_id, to(RemapState.ROLLED_BACK, read, error=None), held)
    assert {each.value.error for each in remaps.load(run_id)} == {None}
    assert remaps.one(run_id, MachineId("00003-m")).value.error is None


def test_versions_come_back_in_the_order_of_the_moves(remaps: Remaps, run_id: RunId) -> None:
    read = planned(remaps, run_id, 330)
    shuffled = [read[n * 7 % 330] for n in range(330)]
    moved = remaps.move(run_id, to(RemapState.APPROVED, shuffled), held)
    stored = remaps.load(run_id)
    assert moved == [stored[n * 7 % 330] for n in range(330)]
    assert remaps.move(run_id, [], held) == []


def test_one_illegal_move_and_nothing_is_written(remaps: Remaps, run_id: RunId) -> None:
    read = planned(remaps, run_id, 250)
    moves = [*to(RemapState.APPROVED, read[:249]), *to(RemapState.VERIFIED, read[249:])]
    with pytest.raises(IllegalMove, match="proposed cannot become verified"):
        remaps.move(run_id, moves, held)
    assert remaps.load(run_id) == read


def test_a_move_changes_nothing_but_the_state_and_what_goes_with_it(remaps: Remaps, run_id: RunId) -> None:
    read = planned(remaps, run_id, 2)
    elsewhere = replace(read[0].value, state=RemapState.APPROVED, after=Hosting("Another", VmUuid("u")))
    with pytest.raises(ValueError, match="more than its state"):
        remaps.move(run_id, [(read[0], elsewhere)], held)
    with pytest.raises(ValueError, match="twice"):
        remaps.move(run_id, to(RemapState.APPROVED, [read[0], read[0]]), held)
    assert remaps.load(run_id) == read


def test_a_row_that_another_edited_stops_its_whole_transaction_and_is_named(remaps: Remaps, run_id: RunId) -> None:
    read = planned(remaps, run_id, 100)
    remaps.move(run_id, to(RemapState.REJECTED, [read[42]]), held)
    with pytest.raises(EditedElsewhere, match=r"W11-00042 .* \(it is rejected now\)"):
        remaps.move(run_id, to(RemapState.APPROVED, read), held)
    assert [each.value.machine for each in remaps.load(run_id, {RemapState.PROPOSED})] == [
        each.value.machine for each in read if each is not read[42]
    ]


def test_a_row_that_is_gone_stops_its_transaction_and_is_named(remaps: Remaps, storage: Storage, run_id: RunId) -> None:
    read = planned(remaps, run_id, 3)
    storage.table("remaps").delete(run_id, "00001-m")
    with pytest.raises(EditedElsewhere, match=r"00001-m .* \(it is gone now\)"):
        remaps.move(run_id, to(RemapState.APPROVED, read), held)
    assert states(remaps, run_id) == {RemapState.PROPOSED}


def test_a_move_that_meets_its_own_first_attempt_has_succeeded(remaps: Remaps, run_id: RunId) -> None:
    read = planned(remaps, run_id, 150)
    moves = to(RemapState.APPROVED, read, approved_by="ada")
    first = remaps.move(run_id, moves, held)
    assert remaps.move(run_id, moves, held) == first
    assert remaps.load(run_id) == first


def test_the_same_state_by_another_person_is_not_our_own_echo(remaps: Remaps, run_id: RunId) -> None:
    read = planned(remaps, run_id, 3)
    remaps.move(run_id, to(RemapState.APPROVED, read[:1], approved_by="bob"), held)
    with pytest.raises(EditedElsewhere, match="W11-00000"):
        remaps.move(run_id, to(RemapState.APPROVED, read, approved_by="ada"), held)
    assert [each.value.approved_by for each in remaps.load(run_id)] == ["bob", None, None]


def test_of_two_workers_that_move_the_same_remaps_one_wins_each_transaction(storage: Storage, run_id: RunId) -> None:
    read = planned(Remaps(storage), run_id, 300)
    start = threading.Barrier(2)
    lost: list[str] = []

    def worker(name: str) -> None:
        remaps = Remaps(storage)
        start.wait()
        for part in (read[:100], read[100:200], read[200:]):
            try:
                remaps.move(run_id, to(RemapState.APPROVED, part, approved_by=name), held)
            except EditedElsewhere:
                lost.append(name)

    workers = [threading.Thread(target=worker, args=(name,)) for name in ("ada", "bob")]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert len(lost) == 3
    by = [each.value.approved_by for each in Remaps(storage).load(run_id)]
    assert [len(set(by[start : start + 100])) for start in (0, 100, 200)] == [1, 1, 1]
    assert None not in by


def test_a_lost_lock_stops_the_moves_between_two_transactions(storage: Storage, run_id: RunId) -> None:
    remaps = Remaps(storage, writers=1)
    read = planned(remaps, run_id, 500)
    checks = iter(range(2))

    def check() -> None:
        if next(checks, None) is None:
            raise LockLost("taken over")

    with pytest.raises(LockLost, match="taken over"):
        remaps.move(run_id, to(RemapState.APPROVED, read), check)
    assert [each.value.machine for each in remaps.load(run_id, {RemapState.APPROVED})] == [
        each.value.machine for each in read[:200]
    ]


def test_long_errors_are_cut_and_split_over_transactions(remaps: Remaps, run_id: RunId) -> None:
    read = planned(remaps, run_id, 100)
    read = remaps.move(run_id, to(RemapState.APPROVED, read), held)
    moved = remaps.move(run_id, to(RemapState.FAILED, read, error='"é😀' * 5_000), held)
    stored = remaps.load(run_id)
    assert [each.etag for each in stored] == [each.etag for each in moved]
    assert {each.value.error for each in stored if each.value.error} == {stored[0].value.error}
    assert (stored[0].value.error or "").endswith("…[cut]")
    assert remaps.move(run_id, to(RemapState.FAILED, read, error='"é😀' * 5_000), held) == moved


def test_a_plan_that_comes_late_does_not_undo_what_is_being_applied(remaps: Remaps, run_id: RunId) -> None:
    read = planned(remaps, run_id, 3)
    read = remaps.move(run_id, to(RemapState.APPROVED, read), held)
    remaps.move(run_id, to(RemapState.APPLYING, read[1:2], sent=True), held)
    with pytest.raises(EditedElsewhere, match=r"W11-00001 .* \(it is applying now\)"):
        remaps.replace(run_id, [finding(n) for n in range(3)], held)
    assert [each.value.sent for each in remaps.load(run_id)] == [False, True, False]


def test_a_plan_that_is_overtaken_while_it_is_written_changes_nothing(remaps: Remaps, run_id: RunId) -> None:
    planned(remaps, run_id, 3)

    def findings() -> Iterator[Finding]:
        # another worker took over: it planned, its plan was approved, and it is being applied
        again = remaps.move(run_id, to(RemapState.APPROVED, planned(remaps, run_id, 3)), held)
        remaps.move(run_id, to(RemapState.APPLYING, again, sent=True), held)
        yield from (finding(n) for n in range(2))

    with pytest.raises(EditedElsewhere, match="applying now"):
        remaps.replace(run_id, findings(), held)
    assert [(each.value.state, each.value.sent) for each in remaps.load(run_id)] == [(RemapState.APPLYING, True)] * 3


def test_left_over_rows_that_another_changed_meanwhile_are_not_deleted(remaps: Remaps, run_id: RunId) -> None:
    planned(remaps, run_id, 3)

    def findings() -> Iterator[Finding]:
        yield finding(0)
        remaps.move(run_id, to(RemapState.APPROVED, remaps.load(run_id)[2:]), held)

    with pytest.raises(EditedElsewhere, match="several workers"):
        remaps.replace(run_id, findings(), held)
    assert [each.value.machine for each in remaps.load(run_id)] == ["00000-m", "00002-m"]


def test_one_finding_or_a_sentence(remaps: Remaps, run_id: RunId) -> None:
    planned(remaps, run_id, 2)
    assert remaps.one(run_id, MachineId("00001-m")).value.machine_name == "CORP\\W11-00001"
    for machine in ("00002-m", "", "x" * 300):
        with pytest.raises(NotFound, match=f"Run {run_id} has no finding for machine"):
            remaps.one(run_id, MachineId(machine))


def test_the_findings_of_some_machines_leave_out_those_that_are_not_there(remaps: Remaps, run_id: RunId) -> None:
    planned(remaps, run_id, POINT_READS + 50)
    some = [MachineId(f"{n:05d}-m") for n in (1, 3, 3, 340, 999)]
    found = remaps.findings_of(run_id, [*some, MachineId(""), MachineId("x" * 300)])
    assert set(found) == set(some) - {"00999-m"}
    assert found[some[0]] == remaps.one(run_id, some[0])
    many = [MachineId(f"{n:05d}-m") for n in range(5, POINT_READS + 200)] + [MachineId("x" * 300)]
    assert sorted(remaps.findings_of(run_id, many)) == [f"{n:05d}-m" for n in range(5, POINT_READS + 50)]
    assert remaps.findings_of(run_id, []) == {}


def ambiguous(number: int) -> Finding:
    candidates = tuple(Vm(VmUuid(f"vm-{n}"), "W11", "amsterdam", "c", PowerState.ON) for n in range(2))
    return replace(finding(number, FindingKind.AMBIGUOUS), candidates=candidates, evidence=finding(1).evidence)


CHOSEN = Hosting("Nutanix AHV Amsterdam", VmUuid("vm-1"), "c2")


def test_a_resolved_finding_is_a_proposed_remap_with_its_evidence_and_candidates(remaps: Remaps, run_id: RunId) -> None:
    remaps.replace(run_id, [ambiguous(1)], held)
    machine = MachineId("00001-m")
    remaps.resolve(run_id, remaps.one(run_id, machine), CHOSEN, "Ada chose it.")
    found = remaps.one(run_id, machine)
    stored = found.value
    assert (stored.kind, stored.state, stored.confidence) == (
        FindingKind.REMAP,
        RemapState.PROPOSED,
        Confidence.CHOSEN,
    )
    assert (stored.after, stored.reason, stored.explanation) == (CHOSEN, "chosen", "Ada chose it.")
    assert stored.evidence == finding(1).evidence
    assert [each.uuid for each in stored.candidates] == ["vm-0", "vm-1"]
    assert isinstance(stored.candidates[0], StoredCandidate)
    assert [each.value.after for each in remaps.load(run_id)] == [CHOSEN]
    # chosen anew, before anybody approved it
    other = Hosting("Nutanix AHV Paris", VmUuid("vm-0"), None)
    remaps.resolve(run_id, found, other, "Ada chose the other one.")
    assert remaps.load(run_id)[0].value.after == other
    assert remaps.one(run_id, machine).value.explanation == "Ada chose the other one."


def test_a_resolution_that_meets_its_own_first_attempt_has_succeeded(remaps: Remaps, run_id: RunId) -> None:
    remaps.replace(run_id, [ambiguous(1)], held)
    found = remaps.one(run_id, MachineId("00001-m"))
    remaps.resolve(run_id, found, replace(CHOSEN, connection_id=None), "Ada chose it.")
    remaps.resolve(run_id, found, replace(CHOSEN, connection_id=None), "Ada chose it.")
    with pytest.raises(EditedElsewhere, match=r"W11-00001 .* \(it is proposed now\)"):
        remaps.resolve(run_id, found, CHOSEN, "Bob chose another one.")


def test_what_is_a_remap_already_cannot_be_resolved(remaps: Remaps, run_id: RunId) -> None:
    remaps.replace(run_id, [ambiguous(1), finding(2)], held)
    machine = MachineId("00001-m")
    with pytest.raises(IllegalMove, match="W11-00002 is proposed"):
        remaps.resolve(run_id, remaps.one(run_id, MachineId("00002-m")), CHOSEN, "Ada chose it.")
    remaps.resolve(run_id, remaps.one(run_id, machine), CHOSEN, "Ada chose it.")
    remaps.move(run_id, to(RemapState.APPROVED, remaps.load(run_id)[:1]), held)
    with pytest.raises(IllegalMove, match="W11-00001 is approved"):
        remaps.resolve(run_id, remaps.one(run_id, machine), CHOSEN, "Ada chose it.")


def test_a_finding_that_is_gone_cannot_be_resolved(remaps: Remaps, storage: Storage, run_id: RunId) -> None:
    remaps.replace(run_id, [ambiguous(1)], held)
    found = remaps.one(run_id, MachineId("00001-m"))
    storage.table("remaps").delete(run_id, "00001-m")
    with pytest.raises(EditedElsewhere, match="it is gone now"):
        remaps.resolve(run_id, found, CHOSEN, "Ada chose it.")


def test_a_row_of_another_version_is_named_and_not_guessed(remaps: Remaps, storage: Storage, run_id: RunId) -> None:
    planned(remaps, run_id, 2)
    table = storage.table("remaps")
    row = table.get(run_id, "00001-m")
    assert row is not None
    table.replace({**row.values, "state": "half-way"}, row.etag)
    with pytest.raises(StorageError, match="00001-m was written by another version"):
        remaps.load(run_id)
    with pytest.raises(StorageError, match="00001-m was written by another version"):
        remaps.one(run_id, MachineId("00001-m"))
