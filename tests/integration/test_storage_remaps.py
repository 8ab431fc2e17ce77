"""The table ``remaps`` on a real Table service: a whole plan, paging, and plans that are made again."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest

from sandbox.azurite import Azurite
from shared.azure.finding_row import StoredFinding
from shared.azure.remaps import Remaps
from shared.azure.storage import Storage
from shared.errors import LockLost, StorageError
from shared.model.citrix import Hosting, Machine, MachineId
from shared.model.finding import Confidence, Evidence, Finding, FindingKind
from shared.model.nutanix import VmUuid
from shared.model.run import RemapState, RunId
from shared.settings.storage import StorageSettings


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


def finding(number: int, kind: FindingKind = FindingKind.REMAP, *, name: str | None = None) -> Finding:
    machine = Machine(
        MachineId(f"{number:05d}-m"),
        name or f"CORP\\W11-{number:05d}",
        f"w11-{number:05d}.corp.example",
        Hosting("Nutanix AHV Paris", VmUuid(f"old-{number}"), "c1"),
    )
    if kind is not FindingKind.REMAP:
        return Finding(machine, kind, "own-vm-live", "Nothing to do.")
    after = Hosting("Nutanix AHV Amsterdam", VmUuid(f"new-{number}"), "c2")
    evidence = (Evidence("name", "amsterdam", "The VM has the machine's name."),)
    return Finding(machine, kind, "vm-moved", "Moved.", evidence, confidence=Confidence.STRONG, after=after)


def held() -> None:
    """The check of a lock that is held."""


def everything(remaps: Remaps, run_id: RunId, limit: int = 1000, **narrow: object) -> list[StoredFinding]:
    found: list[StoredFinding] = []
    after: MachineId | None = None
    while True:
        page, after = remaps.page(run_id, after=after, limit=limit, **narrow)  # type: ignore[arg-type]
        assert len(page) <= limit
        found += page
        if after is None:
            return found
        assert after == page[-1].machine


def test_2500_findings_are_written_once_each_and_paged_in_the_order_of_their_machines(
    remaps: Remaps, run_id: RunId
) -> None:
    kinds = (FindingKind.REMAP, FindingKind.ALIGNED)
    shuffled = [finding(n * 7 % 2500, kinds[n * 7 % 2500 % 2]) for n in range(2500)]
    assert remaps.replace(run_id, iter(shuffled), held) == 2500
    for limit in (1000, 333):
        assert [f.machine for f in everything(remaps, run_id, limit)] == [f"{n:05d}-m" for n in range(2500)]
    aligned = everything(remaps, run_id, 600, finding=FindingKind.ALIGNED)
    assert [f.machine for f in aligned] == [f"{n:05d}-m" for n in range(1, 2500, 2)]
    proposed = everything(remaps, run_id, 600, state=RemapState.PROPOSED)
    assert [f.machine for f in proposed] == [f"{n:05d}-m" for n in range(0, 2500, 2)]
    assert [f.machine for f in everything(remaps, run_id, 40, q="w11-012")] == [f"{n:05d}-m" for n in range(1200, 1300)]
    assert everything(remaps, run_id, q="w11-012", state=RemapState.APPLIED) == []


def test_a_page_that_ends_with_the_last_row_has_no_next_one(remaps: Remaps, run_id: RunId) -> None:
    remaps.replace(run_id, [finding(n) for n in range(10)], held)
    page, after = remaps.page(run_id, limit=10)
    assert (len(page), after) == (10, None)
    assert remaps.page(RunId("nothing"), limit=10) == ([], None)


@pytest.mark.parametrize("part", ["W11-O'", "w11-o'b", "' or ''='", "\\w11"])
def test_the_search_takes_any_text_literally(remaps: Remaps, run_id: RunId, part: str) -> None:
    remaps.replace(run_id, [finding(1, name="CORP\\W11-O'Brien"), finding(2, name="CORP\\LAB-1")], held)
    page, _ = remaps.page(run_id, q=part, limit=10)
    assert [f.machine_name for f in page] == (["CORP\\W11-O'Brien"] if part != "' or ''='" else [])


def test_machine_ids_with_characters_that_keys_forbid_are_kept_and_paged(remaps: Remaps, run_id: RunId) -> None:
    ids = ["a/1", "a#2", "a?3", "a\\4", "a%5", "o'brien"]
    findings = [replace(finding(1), machine=replace(finding(1).machine, id=MachineId(each))) for each in ids]
    remaps.replace(run_id, findings, held)
    assert {f.machine for f in everything(remaps, run_id, 2)} == set(ids)


def test_a_plan_made_again_replaces_the_one_before_row_by_row(remaps: Remaps, run_id: RunId) -> None:
    remaps.replace(run_id, [finding(n) for n in range(250)], held)
    remaps.replace(run_id, [finding(n, FindingKind.ALIGNED) for n in range(100, 300)], held)
    found = everything(remaps, run_id)
    assert [f.machine for f in found] == [f"{n:05d}-m" for n in range(100, 300)]
    assert {(f.kind, f.after, f.state, f.confidence) for f in found} == {(FindingKind.ALIGNED, None, None, None)}


def test_an_empty_plan_leaves_no_row_of_the_one_before(remaps: Remaps, run_id: RunId) -> None:
    remaps.replace(run_id, [finding(n) for n in range(120)], held)
    assert remaps.replace(run_id, [], held) == 0
    assert everything(remaps, run_id) == []


def test_rows_that_appear_while_a_plan_is_written_are_replaced(remaps: Remaps, run_id: RunId) -> None:
    def findings() -> Iterator[Finding]:
        # As a repeated request whose first answer was lost, or a worker that lost its lock, would leave them.
        remaps.replace(run_id, [finding(n) for n in range(30)], held)
        yield from (finding(n, FindingKind.ALIGNED) for n in range(60))

    remaps.replace(run_id, findings(), held)
    found = everything(remaps, run_id)
    assert {f.kind for f in found} == {FindingKind.ALIGNED}
    assert len(found) == 60


def test_a_lost_lock_stops_the_writing(remaps: Remaps, run_id: RunId) -> None:
    calls = 0
    guard = threading.Lock()

    def check() -> None:
        nonlocal calls
        with guard:
            calls += 1
            if calls > 3:
                raise LockLost("taken over")

    with pytest.raises(LockLost, match="taken over"):
        remaps.replace(run_id, (finding(n) for n in range(5_000)), check)
    assert len(everything(remaps, run_id)) == 300
    assert calls < 20


def test_two_findings_of_one_machine_are_a_defect(remaps: Remaps, run_id: RunId) -> None:
    with pytest.raises(ValueError, match="two findings"):
        remaps.replace(run_id, [finding(1), finding(1)], held)


def test_a_machine_that_cannot_be_stored_is_named(remaps: Remaps, run_id: RunId) -> None:
    wrong = replace(finding(1), machine=replace(finding(1).machine, id=MachineId("x" * 300)))
    with pytest.raises(StorageError, match="W11-00001"):
        remaps.replace(run_id, [wrong], held)


def test_large_findings_are_split_over_transactions_of_less_than_4_mib(remaps: Remaps, run_id: RunId) -> None:
    facts = tuple(Evidence("name", "amsterdam", '"é' * 2_000) for _ in range(12))
    findings = [replace(finding(n), evidence=facts, explanation='"\\' * 8_000) for n in range(60)]
    remaps.replace(run_id, findings, held)
    assert len(everything(remaps, run_id)) == 60
