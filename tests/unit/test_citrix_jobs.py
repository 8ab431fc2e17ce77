"""Jobs of Citrix: their records, the list of one's own, waiting, and cancelling."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pytest

from shared.citrix.jobs import job_id_from, poll_pauses, wait_for_job
from shared.errors import CitrixError
from shared.model.job import Job, JobStatus
from tests.unit.answers import Reply
from tests.unit.citrix_answers import WritableSite, always

NOON = datetime(2026, 7, 20, 12, 0, tzinfo=UTC)


def record(job_id: str = "job-1", **members: Any) -> dict[str, Any]:
    return {
        "Id": job_id,
        "Type": "Batch",
        "Status": "InProgress",
        "OverallProgressPercent": 40,
        "IsCancellable": True,
        "CreationTime": "7/20/2026 2:00:00 PM",
        "FormattedCreationTime": "2026-07-20T14:00:00.1234567+02:00",
        **members,
    }


def test_a_job_is_read() -> None:
    fake = WritableSite()
    fake.on["GET /Jobs/job-1"] = always(Reply(record()))
    made = datetime(2026, 7, 20, 12, 0, 0, 123456, tzinfo=UTC)
    assert fake.writer().job("job-1") == Job("job-1", "Batch", JobStatus.IN_PROGRESS, True, made, None)


@pytest.mark.parametrize(
    ("members", "field", "value"),
    [
        ({"Status": "complete"}, "status", JobStatus.COMPLETE),
        ({"Status": "Paused"}, "status", JobStatus.UNKNOWN),
        ({"Status": None}, "status", JobStatus.UNKNOWN),
        ({"IsCancellable": None}, "cancellable", False),
        ({"FormattedCreationTime": "2026-07-20T12:00:00Z"}, "created_at", NOON),
        ({"FormattedCreationTime": "2026-07-20T12:00:00"}, "created_at", None),
        ({"FormattedCreationTime": "noon"}, "created_at", None),
        ({"FormattedCreationTime": None}, "created_at", None),
        ({"ErrorString": "It broke."}, "error", "It broke."),
        ({"ErrorString": "It broke.", "ErrorCode": "UnknownMachine"}, "error", "UnknownMachine: It broke."),
        (
            {
                "ErrorParameters": [
                    {"Name": "ErrorDetails", "Value": "Trace : x\r\nErrorMessage : No VM.\nErrorMessage : At all."}
                ]
            },
            "error",
            "No VM. At all.",
        ),
        ({"ErrorString": "eyJhbGciOi.x.y was refused"}, "error", "*** was refused"),
    ],
)
def test_a_job_with(members: dict[str, Any], field: str, value: object) -> None:
    fake = WritableSite()
    fake.on["GET /Jobs/job-1"] = always(Reply(record(**members)))
    assert getattr(fake.writer().job("job-1"), field) == value


def test_a_job_that_is_not_there_is_missing() -> None:
    with pytest.raises(CitrixError, match="has no job job-1") as caught:
        WritableSite().writer().job("job-1")
    assert (caught.value.kind, caught.value.http_status) == ("missing", 404)


def test_another_failure_to_read_a_job_is_not_taken_for_its_absence() -> None:
    fake = WritableSite()
    fake.on["GET /Jobs/job-1"] = always(Reply(status=503))
    with pytest.raises(CitrixError) as caught:
        fake.writer().job("job-1")
    assert (caught.value.kind, caught.value.http_status) == ("failed", 503)


def test_own_batches_since_a_time_are_found_over_all_pages() -> None:
    fake = WritableSite()
    pages = {
        None: (
            [
                record("old", FormattedCreationTime="2026-07-20T11:59:59Z"),
                record("at", FormattedCreationTime="2026-07-20T12:00:00Z"),
                record("single", Type="UpdateMachineCatalogMachine"),
            ],
            "a+b",
        ),
        "a+b": (
            [record("timeless", FormattedCreationTime=None, Type="batch"), record("done", Status="Complete")],
            None,
        ),
    }

    def listed(request: Any) -> Reply:
        token = fake.query("GET /Jobs")[-1].get("continuationToken")
        items, following = pages[token]
        return Reply({"Items": items, "ContinuationToken": following})

    fake.on["GET /Jobs"] = listed
    assert [job.id for job in fake.writer().batch_jobs(NOON)] == ["at", "timeless", "done"]


def test_own_moves_of_catalogs_are_found_while_they_are_under_way() -> None:
    fake = WritableSite()
    move = "MoveItemsIntoZone"
    jobs = [record("done", Type=move, Status="Complete"), record("moves", Type=move, Status="InProgress"), record("b")]
    fake.on["GET /Jobs"] = always(Reply({"Items": jobs, "ContinuationToken": None}))
    assert [job.id for job in fake.writer().moves_under_way()] == ["moves"]


@pytest.mark.parametrize("body", [{}, {"Items": [{"Type": "Batch", "Status": "Complete"}]}])
def test_a_list_of_jobs_that_cannot_be_understood_is_an_error(body: Any) -> None:
    fake = WritableSite()
    fake.on["GET /Jobs"] = always(Reply(body))
    with pytest.raises(CitrixError) as caught:
        fake.writer().batch_jobs(NOON)
    assert caught.value.kind == "malformed"


@pytest.mark.parametrize(("status", "cancelled"), [(200, True), (409, False), (404, False), (501, False)])
def test_cancelling(status: int, cancelled: bool) -> None:
    fake = WritableSite()
    fake.on["POST /Jobs/job-1/$cancel"] = always(Reply(record() if status == 200 else None, status=status))
    assert fake.writer().cancel("job-1") is cancelled


def test_a_cancel_that_fails_otherwise_is_an_error() -> None:
    fake = WritableSite()
    fake.on["POST /Jobs/job-1/$cancel"] = always(Reply(status=403))
    with pytest.raises(CitrixError, match="a role that may change machines"):
        fake.writer().cancel("job-1")


@pytest.mark.parametrize(
    ("location", "found"),
    [
        ("https://api.cloud.com/cvad/manage/Jobs/81c05d9f", "81c05d9f"),
        ("https://evil.example/Jobs/81c05d9f?x=1#y", "81c05d9f"),
        ("https://x/Jobs/", None),
        ("/Jobs/a.b_c-D", "a.b_c-D"),
        ("81c05d9f", "81c05d9f"),
        ("https://x/Jobs/..", None),
        ("https://x/Jobs/%2e%2e", None),
        ("https://x/Jobs/a b", None),
        ("https://[x/Jobs/a", None),
        ("", None),
        (None, None),
    ],
)
def test_a_location_names_the_job(location: str | None, found: str | None) -> None:
    assert job_id_from(location) == found


class Walk:
    """Jobs that take a number of looks to end; notes looks, pauses and checks in their order."""

    def __init__(self, looks: int) -> None:
        self.left = looks
        self.seen: list[object] = []

    def job(self, job_id: str) -> Job:
        self.seen.append("look")
        self.left -= 1
        return Job(job_id, "Batch", JobStatus.COMPLETE if self.left <= 0 else JobStatus.NON_TERMINATING_ERROR)

    def wait(self, most: int) -> Job | None:
        return wait_for_job(self, "job-1", self.seen.append, lambda: self.seen.append("check"), most)


def test_a_job_is_looked_at_after_growing_pauses_and_a_check() -> None:
    assert list(islice(poll_pauses(), 6)) == [1.0, 2.0, 5.0, 10.0, 10.0, 10.0]
    walk = Walk(looks=2)
    found = walk.wait(10)
    assert found is not None
    assert found.status is JobStatus.COMPLETE
    assert walk.seen == [1.0, "check", "look", 2.0, "check", "look"]


def test_a_job_that_does_not_end_is_given_up_after_the_looks_allowed() -> None:
    walk = Walk(looks=9)
    assert walk.wait(4) is None
    assert walk.seen.count("look") == 4
