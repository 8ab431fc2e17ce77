from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.azure.batches import batch_to_row, row_to_batch
from shared.azure.events import event_to_row, row_to_event
from shared.azure.finding_row import StoredCandidate, finding_to_row, row_to_finding
from shared.azure.limits import CUT_MARK, checked, encode_key
from shared.azure.remap_row import REMAP_COLUMNS, move_to_row, row_to_remap, stands_as
from shared.azure.row_time import to_text
from shared.azure.run_row import row_to_run, run_to_row
from shared.azure.runs import new_run_id
from shared.azure.zone_moves import row_to_zone_move, zone_move_to_row
from shared.model.citrix import Hosting, Machine, MachineId
from shared.model.finding import Confidence, Evidence, Finding, FindingKind, Guard
from shared.model.nutanix import PowerState, Vm, VmUuid
from shared.model.remap import Batch, Remap, SendingStep, ZoneMove, ZoneMoveState
from shared.model.run import ClusterSummary, Event, Limits, Mode, RemapState, Run, RunId, RunStatus, Step

NOW = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
TEXT = st.text(max_size=40, alphabet=st.characters(exclude_categories=["Cs"]))
SMALL = st.integers(min_value=0, max_value=2**31 - 1)
TIMES = st.integers(min_value=0, max_value=4_000_000_000_000_000).map(
    lambda microseconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
)
COUNTS = st.dictionaries(TEXT, SMALL, max_size=4)

RUNS = st.builds(
    Run,
    id=st.just(RunId("0001aa")),
    profile=TEXT,
    mode=st.sampled_from(Mode),
    status=st.sampled_from(RunStatus),
    trigger=TEXT,
    requested_by=TEXT,
    created_at=TIMES,
    limits=st.builds(Limits, SMALL, SMALL),
    reason=st.none() | TEXT,
    target=st.none() | TEXT,
    settle_seconds=SMALL,
    incident_start=st.none() | TIMES,
    started_at=st.none() | TIMES,
    ended_at=st.none() | TIMES,
    updated_at=st.none() | TIMES,
    not_before=st.none() | TIMES,
    attempts=SMALL,
    progress=SMALL,
    fingerprint=st.none() | TEXT,
    guards=st.lists(st.builds(Guard, TEXT, TEXT), max_size=3).map(tuple),
    findings=COUNTS,
    states=COUNTS,
    out_of_scope=SMALL,
    clusters=st.lists(st.builds(ClusterSummary, TEXT, TEXT, TEXT, SMALL, st.none() | TEXT), max_size=3).map(tuple),
    steps=st.lists(st.builds(Step, TEXT, TEXT, TIMES, TEXT), max_size=3).map(tuple),
    error=st.none() | TEXT,
    site_id=st.none() | TEXT,
    planned_at=st.none() | TIMES,
    approved_by=st.none() | TEXT,
    cancelled_by=st.none() | TEXT,
    writing_since=st.none() | TIMES,
)


def machine() -> Machine:
    return Machine(
        id=MachineId("0f1e"),
        name="CORP\\W11-001",
        dns_name="w11-001.corp.example",
        hosting=Hosting("Nutanix AHV Paris", VmUuid("old"), "conn-1"),
        catalog="Persistent W11",
        delivery_group="Desktops",
    )


def vm(number: int = 1) -> Vm:
    return Vm(VmUuid(f"vm-{number}"), f"W11-{number:03d}", "amsterdam", "cl-1", PowerState.ON)


def remap() -> Finding:
    return Finding(
        machine=machine(),
        kind=FindingKind.REMAP,
        reason="vm-moved",
        explanation="The VM lives on amsterdam.",
        evidence=(Evidence("name", "amsterdam", "same name"),),
        candidates=(vm(),),
        confidence=Confidence.STRONG,
        after=Hosting("Nutanix AHV Amsterdam", VmUuid("new"), "conn-2"),
    )


@given(RUNS)
def test_a_run_comes_back_from_its_row(run: Run) -> None:
    assert row_to_run(checked(run_to_row(run))) == run


def test_every_enum_is_stored_by_its_value_and_no_time_as_a_datetime() -> None:
    run = Run(RunId("a"), "p", Mode.AUTO, RunStatus.ROLLING_BACK, "http", "me", NOW, Limits(1, 2))
    row = run_to_row(run)
    assert (type(row["status"]), row["status"]) == (str, "rolling-back")
    assert row["createdAt"] == "2026-11-22T12:00:00.123456+00:00"
    assert all(value is None or type(value) in (str, int) for value in row.values())


def test_a_row_that_was_written_before_runs_could_settle_is_read() -> None:
    run = Run(RunId("a"), "p", Mode.REVIEW, RunStatus.QUEUED, "http", "me", NOW, Limits(1, 2))
    row = {key: value for key, value in run_to_row(run).items() if key not in ("settleSeconds", "incidentStart")}
    assert row_to_run(checked(row)) == run


def test_a_time_of_another_zone_is_stored_in_utc_and_a_naive_one_is_refused() -> None:
    assert to_text(NOW.astimezone(timezone(timedelta(hours=9)))) == "2026-11-22T12:00:00.123456+00:00"
    with pytest.raises(ValueError, match="time zone"):
        to_text(datetime(2026, 11, 22))  # noqa: DTZ001 - the naive time is the case


def test_a_run_that_would_not_fit_is_cut_with_marks_and_still_read() -> None:
    long = "é😀" * 40_000
    run = Run(
        id=RunId("a"),
        profile="p",
        mode=Mode.REVIEW,
        status=RunStatus.FAILED,
        trigger="http",
        requested_by="me",
        created_at=NOW,
        limits=Limits(1, 2),
        reason=long,
        error=long,
        guards=(Guard("max-changes", long),),
        clusters=tuple(ClusterSummary(f"c{n}", "central-v3", "failed", n, long) for n in range(60)),
        steps=tuple(Step(f"s{n}", "done", NOW + timedelta(seconds=n), long) for n in range(100)),
    )
    read = row_to_run(checked(run_to_row(run)))
    assert read.error is not None
    assert read.error.endswith(CUT_MARK)
    assert read.clusters[-1].error is not None
    assert "more clusters were left out" in read.clusters[-1].error
    assert read.steps[-1].name == "s99"
    assert "earlier steps were left out" in read.steps[0].detail
    assert run_to_row(read) == run_to_row(run)


def test_a_remap_comes_back_from_its_row_as_proposed() -> None:
    stored = row_to_finding(checked(finding_to_row(RunId("r"), remap())))
    assert stored.machine == "0f1e"
    assert stored.state is RemapState.PROPOSED
    assert stored.before == machine().hosting
    assert stored.after == Hosting("Nutanix AHV Amsterdam", VmUuid("new"), "conn-2")
    assert stored.evidence == (Evidence("name", "amsterdam", "same name"),)
    assert stored.candidates == (StoredCandidate("amsterdam", VmUuid("vm-1"), "W11-001", PowerState.ON),)
    assert (stored.kind, stored.reason, stored.confidence) == (FindingKind.REMAP, "vm-moved", Confidence.STRONG)
    assert (stored.machine_name, stored.dns_name) == ("CORP\\W11-001", "w11-001.corp.example")
    assert (stored.catalog, stored.delivery_group) == ("Persistent W11", "Desktops")


def test_a_finding_that_is_no_remap_has_no_to_and_no_state() -> None:
    bare = replace(machine(), dns_name=None, catalog=None, delivery_group=None, hosting=Hosting(None, None))
    row = checked(finding_to_row(RunId("r"), Finding(bare, FindingKind.EXCLUDED, "not-power-managed", "No hosting.")))
    stored = row_to_finding(row)
    assert (stored.after, stored.state, stored.confidence) == (None, None, None)
    assert stored.before == Hosting(None, None)
    assert set(row) == {
        "PartitionKey", "RowKey", "machineName", "machineNameLower", "finding", "reason", "explanation"
    }  # fmt: skip


def test_evidence_that_would_not_fit_is_cut_while_from_to_and_ids_stay_whole() -> None:
    name = "N" * 20_000
    finding = replace(
        remap(),
        machine=replace(machine(), hosting=Hosting(name, VmUuid("old"), "conn-1")),
        after=Hosting(name, VmUuid("new"), "conn-2"),
        explanation="because " * 10_000,
        evidence=tuple(Evidence("name", f"cluster {n}", "same name " * 100) for n in range(200)),
        candidates=tuple(vm(n) for n in range(2_000)),
    )
    stored = row_to_finding(checked(finding_to_row(RunId("r"), finding)))
    assert stored.before.connection == name
    assert stored.after == finding.after
    assert stored.explanation.endswith(CUT_MARK)
    assert stored.evidence[-1].detail == f"{201 - len(stored.evidence)} more facts were left out."
    assert stored.candidates[-1].name == f"{2_001 - len(stored.candidates)} more candidates were left out."


def test_a_machine_id_with_characters_that_keys_forbid_comes_back() -> None:
    finding = replace(remap(), machine=replace(machine(), id=MachineId("S-1/2#%3F")))
    row = checked(finding_to_row(RunId("r"), finding))
    assert row["RowKey"] == "S-1%2F2%23%253F"
    assert row_to_finding(row).machine == "S-1/2#%3F"


@given(st.builds(Event, TIMES, TEXT, TEXT, TEXT, st.none() | TEXT.map(MachineId)))
def test_an_event_comes_back_from_its_row(event: Event) -> None:
    assert row_to_event(checked(event_to_row(RunId("r"), event, "ab12"))) == event


@given(TIMES, TIMES)
def test_row_keys_of_events_sort_by_time(one: datetime, other: datetime) -> None:
    def key(at: datetime) -> str:
        return str(event_to_row(RunId("r"), Event(at, "a", "b", "c"), "0000")["RowKey"])

    assert (key(one) < key(other)) == (one < other)


@given(TIMES, TIMES)
def test_later_runs_have_smaller_ids(one: datetime, other: datetime) -> None:
    assert (new_run_id(one, b"\0" * 5) < new_run_id(other, b"\0" * 5)) == (one > other)


def test_a_run_id_is_a_plain_word_of_fixed_width() -> None:
    ids = {new_run_id(NOW + timedelta(days=n * 100), bytes([n] * 16)) for n in range(200)}
    assert {len(run_id) for run_id in ids} == {23}
    assert all(run_id.isalnum() and run_id.islower() or run_id.isdigit() for run_id in ids)
    assert new_run_id(NOW, b"\1" * 5) != new_run_id(NOW, b"\2" * 5)


NAMES = TEXT.filter(bool)
REMAPS = st.builds(
    Remap,
    machine=NAMES.map(MachineId),
    machine_name=TEXT,
    before=st.builds(Hosting, st.none() | NAMES, st.none() | NAMES.map(VmUuid), st.none() | NAMES),
    after=st.builds(Hosting, NAMES, NAMES.map(VmUuid), st.none() | NAMES),
    confidence=st.sampled_from(Confidence),
    state=st.sampled_from(RemapState),
    catalog=st.none() | TEXT,
    approved_by=st.none() | NAMES,
    sent=st.booleans(),
    error=st.none() | NAMES,
)


@given(REMAPS, REMAPS)
def test_what_a_move_writes_and_no_more_is_what_the_row_says_then(before: Remap, other: Remap) -> None:
    row: dict[str, object] = {
        "RowKey": encode_key(before.machine),
        "machineName": before.machine_name,
        "catalog": before.catalog,
        "confidence": before.confidence.value,
        "fromConnection": before.before.connection,
        "fromConnectionId": before.before.connection_id,
        "fromMachineId": before.before.machine_id,
        "toConnection": before.after.connection,
        "toConnectionId": before.after.connection_id,
        "toMachineId": before.after.machine_id,
    }
    after = replace(before, state=other.state, error=other.error, sent=other.sent, approved_by=other.approved_by)
    moved = move_to_row(RunId("r"), after)
    stored = {**row, **checked(move_to_row(RunId("r"), before)), **moved}
    assert set(stored) - {"PartitionKey"} == set(REMAP_COLUMNS)
    assert row_to_remap(stored) == after
    assert stands_as(stored, moved)
    assert stands_as({**row, **move_to_row(RunId("r"), before)}, moved) == (before == after)


@given(
    st.builds(
        Batch,
        st.integers(0, 999_999),
        st.sampled_from(SendingStep),
        st.lists(NAMES.map(MachineId)).map(tuple),
        TIMES,
        st.none() | NAMES,
        st.booleans(),
    )
)
def test_a_batch_comes_back_from_its_row(batch: Batch) -> None:
    assert row_to_batch(checked(batch_to_row(RunId("r"), batch))) == batch


@given(st.builds(ZoneMove, TEXT, NAMES, TEXT, TEXT, TEXT, TEXT, st.sampled_from(ZoneMoveState)))
def test_a_zone_move_comes_back_from_its_row(move: ZoneMove) -> None:
    assert row_to_zone_move(checked(zone_move_to_row(RunId("r"), move))) == move
