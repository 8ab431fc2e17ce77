from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from shared.azure.work_queue import WorkItem, WorkStep
from shared.errors import InvalidRequest
from shared.model.run import RunId

DUE = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize("step", WorkStep)
def test_a_work_item_comes_back_from_its_message(step: WorkStep) -> None:
    item = WorkItem(RunId("r1"), step)
    assert WorkItem.from_json(item.to_json().encode()) == item


def test_members_of_a_later_version_are_left_alone() -> None:
    assert WorkItem.from_json(b'{"run": "r1", "step": "plan", "since": 3}') == WorkItem(RunId("r1"), WorkStep.PLAN)


def test_no_member_is_named_like_the_hosts_metadata() -> None:
    # The host replaces id, dequeuecount and the like by a message's own members.
    assert set(json.loads(WorkItem(RunId("r1"), WorkStep.PLAN, DUE).to_json())) == {"run", "step", "due"}
    assert set(json.loads(WorkItem(RunId("r1"), WorkStep.PLAN).to_json())) == {"run", "step"}


def test_when_a_message_is_due_comes_through() -> None:
    item = WorkItem(RunId("r1"), WorkStep.APPLY, DUE)
    assert WorkItem.from_json(item.to_json().encode()) == item


@pytest.mark.parametrize("due", [3, None, "soon", "2026-11-23T09:00:00"])
def test_a_time_that_cannot_be_read_stops_no_work(due: object) -> None:
    body = json.dumps({"run": "r1", "step": "plan", "due": due}).encode()
    assert WorkItem.from_json(body) == WorkItem(RunId("r1"), WorkStep.PLAN)


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"[]", b"{}", b'{"run": "r1"}', b'{"run": "r1", "step": "dance"}', b'{"run": 7, "step": "plan"}'],
)
def test_a_message_that_is_no_work_item_is_refused_with_a_remedy(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="Delete it"):
        WorkItem.from_json(body)
