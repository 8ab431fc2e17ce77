"""The report of a run: what it says, that all of it is text, and that the file needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.reporting.chart import GAP, WIDTH, bar
from functions.reporting.page import answer_policy, report_page
from functions.reporting.report import MOST_NAMES, MOST_ROWS, Report, report_of
from shared.azure.finding_row import StoredFinding
from shared.model.citrix import MachineId
from shared.model.finding import FindingKind, Guard
from shared.model.run import ClusterSummary, Event, RemapState, Run, RunId, RunStatus, Step
from tests.unit.test_shapes import ALIGNED, REMAP, RUN

AT = datetime(2026, 11, 22, 3, tzinfo=UTC)
VERIFIED = replace(REMAP, state=RemapState.VERIFIED)
HOSTILE = ("<img src=x onerror=alert(1)>", '"><script>alert(1)</script>', "</style><b>", "{{ 7*7 }}", "\u202egnp.exe")
ENDED = replace(
    RUN,
    id=RunId("r1"),
    status=RunStatus.COMPLETED,
    approved_by="ada",
    started_at=AT + timedelta(seconds=1),
    planned_at=AT + timedelta(seconds=9.5),
    writing_since=AT + timedelta(minutes=7),
    ended_at=AT + timedelta(hours=1, minutes=2),
    created_at=AT,
    findings={"remap": 3, "aligned": 40, "missing": 1},
    states={"verified": 2, "failed": 1},
    steps=(Step("plan", "done", AT, "44 machines in scope."),),
)


def made(run: Run = ENDED, findings: Iterable[StoredFinding] = (), events: Iterable[Event] = (), **more: Any) -> Report:
    return report_of(run, findings, events, more.get("unmatched", {}), AT + timedelta(days=1))


class Reader(HTMLParser):
    """The elements of a page, and its text; fails where they are not closed in order."""

    VOID = frozenset({"meta", "rect"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_what_changed_stands_apart_from_what_did_not_with_the_reason() -> None:
    failed = replace(REMAP, machine=MachineId("m-3"), state=RemapState.FAILED, error="Citrix said no.")
    missing = replace(ALIGNED, machine=MachineId("m-4"), kind=FindingKind.MISSING, reason="no-vm")
    report = made(findings=[VERIFIED, ALIGNED, failed, missing])
    (change,) = report.changes
    assert (change.machine, change.before) == ("CORP\\W11-001", "Nutanix AHV Paris, u-1")
    assert (change.after, change.state, change.confidence) == ("Nutanix AHV Amsterdam, u-2", "verified", "proven")
    assert [(group.title, group.number) for group in report.groups] == [("remap, failed", 1), ("missing, no-vm", 1)]
    assert report.groups[0].rows[0].why.startswith("Citrix said no. ")
    assert report.aligned == 40, "the run counts those that have no row"


@pytest.mark.parametrize("state", RemapState)
def test_every_state_of_a_remap_is_shown_on_one_side(state: RemapState) -> None:
    report = made(findings=[replace(REMAP, state=state)])
    assert len(report.changes) + sum(group.number for group in report.groups) == 1
    assert (len(report.changes) == 1) is (state.value in ("verified", "applied", "rollback-failed"))


@pytest.mark.parametrize("kind", FindingKind)
def test_every_kind_of_finding_is_shown(kind: FindingKind) -> None:
    report = made(replace(ENDED, findings={}), findings=[replace(ALIGNED, kind=kind)])
    assert report.aligned + sum(group.number for group in report.groups) == 1


@pytest.mark.parametrize("status", RunStatus)
def test_every_state_of_a_run_has_its_sentence(status: RunStatus) -> None:
    assert made(replace(ENDED, status=status)).outcome in report_page(made(replace(ENDED, status=status)))


def test_who_decided_what_when() -> None:
    events = [
        Event(AT, "ann", "run-requested", "Mode review."),
        Event(AT, "ada", "approved", "2 remaps. Comment: change 4711"),
        Event(AT, "ada", "approved", "2 remaps. Comment: change 4711", MachineId("m-1")),
        Event(AT, "realign", "approved", "Mode auto."),
    ]
    assert made(events=events).decisions == (
        ("2026-11-22 03:00:00 UTC", "ada", "approved", "2 remaps. Comment: change 4711"),
        ("2026-11-22 03:00:00 UTC", "the run's mode", "approved", "Mode auto."),
    )


def test_timings_say_how_long_each_part_took() -> None:
    assert [(name, lasted) for name, _, lasted in made().timings] == [
        ("asked for", ""), ("begun", "1.0 s"), ("planned", "8.5 s"), ("first write possible", "6 min 50 s"),
        ("ended", "55 min 00 s"), ("in all", "1 h 02 min"),
    ]  # fmt: skip
    assert [name for name, *_ in made(replace(RUN, created_at=AT)).timings] == ["asked for"]


def test_one_machine_is_no_machines() -> None:
    text = " ".join("".join(Reader(report_page(made(findings=[VERIFIED]))).text).split())
    assert "What changed in Citrix 1 machine Machine" in text


def test_of_a_very_large_group_the_rest_is_left_to_the_csv() -> None:
    excluded = replace(ALIGNED, kind=FindingKind.EXCLUDED, reason="not-manual")
    report = made(findings=[excluded] * (MOST_ROWS + 5))
    assert (len(report.groups[0].rows), report.groups[0].more) == (MOST_ROWS, 5)
    assert "5 more of them are in the run" in report_page(report)


def test_of_very_many_names_that_match_nothing_the_rest_is_a_number() -> None:
    report = made(unmatched={"csv": [f"N-{number}" for number in range(MOST_NAMES + 7)], "machines": ["X"]})
    assert [(each.key, len(each.names), each.more) for each in report.unmatched] == [
        ("csv", MOST_NAMES, 7), ("machines", 1, 0),
    ]  # fmt: skip
    assert ", and 7 more" in report_page(report)


def test_whatever_stands_in_a_name_is_text() -> None:
    for bad in HOSTILE:
        finding = replace(VERIFIED, machine_name=bad, catalog=bad, explanation=bad)
        open_one = replace(finding, state=RemapState.FAILED, error=bad)
        run = replace(
            ENDED, requested_by=bad, reason=bad, target=bad, approved_by=bad, cancelled_by=bad, error=bad,
            guards=(Guard("max-changes", bad),), clusters=(ClusterSummary(bad, "element-v2", "failed", 0, bad),),
            steps=(Step("plan", "done", AT, bad),),
        )  # fmt: skip
        events = [Event(AT, bad, "approved", bad)]
        report = made(run, [finding, open_one], events, unmatched={"machines": [bad, bad]})
        page = Reader(report_page(report))
        assert not {"img", "script", "b", "a", "iframe", "link"} & set(page.tags), bad
        assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("style", "href", "src")]
        assert "".join(page.text).count(bad) >= 15, bad
        assert "49" not in "".join(page.text).replace(bad, "")


def test_the_file_needs_nothing_else_and_its_policy_allows_nothing_else() -> None:
    text = report_page(made(findings=[VERIFIED]))
    (style,) = re.findall(r"<style>(.*?)</style>", text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in answer_policy()
    assert "default-src 'none'" in answer_policy()
    assert "frame-ancestors 'none'" in answer_policy()
    assert "unsafe" not in answer_policy()
    assert "script" not in Reader(text).tags
    assert not re.search(r"https?:|url\(|@import", text)
    policy = next(value for name, value in Reader(text).attributes if name == "content" and "default-src" in str(value))
    assert policy == answer_policy().removesuffix("; frame-ancestors 'none'")


def test_the_chart_has_a_slice_for_whatever_is_there() -> None:
    slices = bar({"aligned": 9_999, "remap": 1, "new-kind": 5, "missing": 0}, ("remap", "aligned"))
    assert [(each.name, each.number) for each in slices] == [("remap", 1), ("aligned", 9_999), ("new-kind", 5)]
    assert [each.percent for each in slices] == ["< 1 %", "100 %", "< 1 %"]
    assert bar({}, ()) == ()


@given(st.dictionaries(st.text(min_size=1, max_size=9), st.integers(0, 10**6), max_size=10))
def test_a_chart_fits_its_width_without_overlap(counts: dict[str, int]) -> None:
    slices = bar(counts, sorted(counts))
    assert {each.name for each in slices} == {name for name, number in counts.items() if number}
    assert all(each.width >= 1 for each in slices)
    for one, other in zip(slices, slices[1:], strict=False):
        assert other.x >= one.x + one.width + GAP - 0.2
    assert not slices or abs(slices[-1].x + slices[-1].width - WIDTH) < 0.5
