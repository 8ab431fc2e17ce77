"""What is told to webhooks, when, and how it is signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from urllib3.util import parse_url

from shared.azure.notices import notice_to_row, row_to_notice
from shared.model.finding import Guard
from shared.model.notice import Notice, NoticeEvent, NoticeState
from shared.model.run import Limits, Mode, Run, RunId, RunStatus, Step
from shared.profile_files import parse_profile
from shared.runs.notifying.message import message, message_text
from shared.runs.notifying.occasions import moment, occasion
from shared.runs.notifying.signature import key_of, signed_headers
from shared.runs.notifying.target import allowed, place_of
from shared.settings.settings import NotifySettings
from tests.unit.profiles import SMALLEST

AT = datetime(2026, 11, 22, 3, tzinfo=UTC)
BY_PERSON = Run(
    id=RunId("r1"),
    profile="emea",
    mode=Mode.REVIEW,
    status=RunStatus.AWAITING_REVIEW,
    trigger="http",
    requested_by="ann",
    created_at=AT,
    limits=Limits(200, 25),
    findings={"remap": 3, "aligned": 1},
    states={"proposed": 3},
)
BY_SCHEDULE = replace(BY_PERSON, trigger="schedule", requested_by="schedule")
NOTHING = {"findings": {"aligned": 4}, "states": {}}

OCCASIONS: dict[str, tuple[Run, list[str]]] = {
    "waits": (BY_PERSON, ["awaiting-review"]),
    "completed": (replace(BY_PERSON, status=RunStatus.COMPLETED), ["completed"]),
    "completed-with-nothing-to-do": (replace(BY_PERSON, status=RunStatus.COMPLETED, **NOTHING), ["completed"]),
    "with-errors": (replace(BY_PERSON, status=RunStatus.COMPLETED_WITH_ERRORS), ["completed-with-errors"]),
    "failed": (replace(BY_PERSON, status=RunStatus.FAILED), ["failed"]),
    "reported": (replace(BY_PERSON, status=RunStatus.PLANNED), []),
    "cancelled": (replace(BY_PERSON, status=RunStatus.CANCELLED), []),
    "rolled-back": (replace(BY_PERSON, status=RunStatus.ROLLED_BACK), []),
    "at-work": (replace(BY_PERSON, status=RunStatus.APPLYING), []),
    "schedule-found-drift": (BY_SCHEDULE, ["drift", "awaiting-review"]),
    "schedule-reports-drift": (replace(BY_SCHEDULE, status=RunStatus.PLANNED), ["drift"]),
    "schedule-found-nothing": (replace(BY_SCHEDULE, status=RunStatus.COMPLETED, **NOTHING), []),
    "schedule-reports-nothing": (replace(BY_SCHEDULE, status=RunStatus.PLANNED, **NOTHING), []),
    "schedule-mended-it-alone": (
        replace(BY_SCHEDULE, status=RunStatus.COMPLETED, approved_by="realign", states={"verified": 3}),
        ["completed", "drift"],
    ),
    "a-person-approved-what-the-schedule-found": (
        replace(BY_SCHEDULE, status=RunStatus.COMPLETED, approved_by="ada", states={"verified": 3}),
        ["completed"],
    ),
    "a-person-rejected-what-the-schedule-found": (
        replace(BY_SCHEDULE, status=RunStatus.COMPLETED, states={"rejected": 3}),
        ["completed"],
    ),
    "schedule-failed-before-it-planned": (replace(BY_SCHEDULE, status=RunStatus.FAILED, **NOTHING), ["failed"]),
    "schedule-cancelled": (replace(BY_SCHEDULE, status=RunStatus.CANCELLED), []),
}


@pytest.mark.parametrize("case", OCCASIONS)
def test_a_rest_is_told_as_the_most_telling_of_what_is_wanted(case: str) -> None:
    run, meanings = OCCASIONS[case]
    everything = list(NoticeEvent)
    for told in [*meanings, None]:
        assert occasion(run, everything) == told
        everything = [event for event in everything if event != told]


def test_the_moment_of_a_rest_is_the_same_however_often_it_is_looked_at_and_another_for_each_rest() -> None:
    planned = replace(BY_PERSON, planned_at=AT, steps=(Step("plan", "done", AT),))
    seen_later = replace(planned, updated_at=AT + timedelta(hours=1), steps=(*planned.steps, Step("observe", "x", AT)))
    assert moment(planned) == moment(seen_later) == AT
    applied = replace(planned, steps=(*planned.steps, Step("apply", "done", AT + timedelta(minutes=1))))
    assert moment(applied) == AT + timedelta(minutes=1)
    assert moment(replace(applied, ended_at=AT + timedelta(minutes=2))) == AT + timedelta(minutes=2)
    assert moment(BY_PERSON) == AT


@pytest.mark.parametrize(
    ("run", "event", "sentence"),
    [
        (BY_SCHEDULE, "drift", "Drift in profile emea: 3 machines to correct in Citrix. It waits for review."),
        (
            replace(BY_PERSON, target="amsterdam", guards=(Guard("max-changes", "Too many."),)),
            "awaiting-review",
            "A run of profile emea, target amsterdam waits for review: 3 proposed. Guards: max-changes.",
        ),
        (
            replace(BY_PERSON, status=RunStatus.COMPLETED, states={"verified": 2, "rejected": 1}),
            "completed",
            "A run of profile emea is completed: 2 verified, 1 rejected.",
        ),
        (
            replace(BY_PERSON, status=RunStatus.FAILED, error="Citrix did not answer."),
            "failed",
            "A run of profile emea ended as failed: Citrix did not answer.",
        ),
    ],
)
def test_the_summary_is_a_sentence_for_people(run: Run, event: str, sentence: str) -> None:
    assert message(run, NoticeEvent(event), "m", AT, "")["summary"] == sentence


def test_a_message_is_plain_json_with_whole_addresses() -> None:
    text = message_text(replace(BY_PERSON, reason="x" * 9_000), NoticeEvent.AWAITING_REVIEW, "m-1", AT, "https://app")
    told: dict[str, Any] = json.loads(text)
    assert (told["event"], told["id"], told["at"]) == ("awaiting-review", "m-1", "2026-11-22T03:00:00.000Z")
    assert told["links"]["run"] == "https://app/api/runs/r1"
    assert told["links"]["report"] == "https://app/api/runs/r1/report"
    assert told["run"]["findings"] == {"remap": 3, "aligned": 1}
    assert len(told["run"]["reason"]) <= 2_000
    assert "fingerprint" not in text, "who holds the message must not be able to approve what nobody has seen"


def test_a_signature_is_the_one_of_standard_webhooks() -> None:
    # the key, message and signature of the standard's own libraries' tests
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert key is not None
    headers = signed_headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330")
    again = hmac.new(key, b'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}', hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(again).decode()}"


@pytest.mark.parametrize(
    "text", ["", "secret", "whsec_", "whsec_%%%", "whsec_" + base64.b64encode(b"x" * 23).decode(), "whsec_é"]
    + ["whsec_" + base64.b64encode(b"x" * 65).decode()],
)  # fmt: skip
def test_what_is_no_key_is_none(text: str) -> None:
    assert key_of(text) is None


HOSTS = NotifySettings(("hooks.corp.example", "*.logic.azure.com", "10.1.2.3:8443", "*.dev.example:9443"))


@pytest.mark.parametrize(
    ("place", "may"),
    [
        ("hooks.corp.example", True),
        ("hooks.corp.example:8443", False),
        ("evil-hooks.corp.example", False),
        ("hooks.corp.example.evil.example", False),
        ("prod-12.westeurope.logic.azure.com", True),
        ("logic.azure.com", False),
        ("xlogic.azure.com", False),
        ("10.1.2.3:8443", True),
        ("10.1.2.3", False),
        ("a.dev.example:9443", True),
        ("a.dev.example", False),
        ("169.254.169.254", False),
    ],
)
def test_only_hosts_of_the_setting_may_be_called(place: str, may: bool) -> None:
    assert allowed(place, HOSTS) is may
    assert not allowed(place, NotifySettings())


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://hooks.corp.example/a?sig=x", "hooks.corp.example"),
        ("https://HOOKS.corp.example:443/", "hooks.corp.example"),
        ("https://10.1.2.3:8443/a", "10.1.2.3:8443"),
        ("http://hooks.corp.example/", None),
        ("https:///a", None),
        ("https://hooks.corp.example:99999/", None),
        ("https://u@hooks.corp.example/", None),
        ("https://@hooks.corp.example/", None),
        ("https://hooks.corp.example/a b", None),
        ("https://hooks.corp.example/\n", None),
        ("https://[::1]/", None),
        # hosts that one parser reads as below logic.azure.com, and another one, or a resolver, does not
        ("https://evil.example\\.logic.azure.com/", None),
        ("https://evil.example\\@hooks.corp.example/", None),
        ("https://evil.example%2f.logic.azure.com/", None),
        ("https://evil.example%00.logic.azure.com/", None),
        ("https://evil.example;.logic.azure.com/", None),
        ("https://evil.example\u3002.logic.azure.com/", None),
        ("https://evil.example\uff0f.logic.azure.com/", None),
    ],
)
def test_the_place_of_an_address_is_the_host_that_is_called(url: str, place: str | None) -> None:
    assert place_of(url) == place
    if place is not None:
        called = parse_url(str(requests.Request("POST", url).prepare().url))
        assert place == (called.host if called.port in (None, 443) else called.netloc)


def errors_of(**notify: Any) -> str:
    return " ".join(parse_profile(json.dumps({**SMALLEST, "notify": notify}), file="p.json").errors)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.corp.example/x",
        "https://hooks.corp.example/x?sig=abc",
        "https://user:pw@hooks.corp.example/x",
        "https://hooks.corp.example/x#y",
        "https:///x",
        "https://hooks.corp.example:x/",
        "ftp://h",
    ],
)
def test_an_address_in_a_profile_is_https_and_holds_no_key(url: str) -> None:
    text = errors_of(credential="notify", url=url)
    assert "notify.url: write it as https://host/path" in text
    assert "sig=abc" not in text
    assert "pw" not in text


def test_a_profile_names_what_it_wants_to_hear() -> None:
    assert errors_of(credential="notify") == ""
    assert errors_of(credential="notify", url="https://hooks.corp.example:8443/x", on=["drift"], ca="corp") == ""
    assert "notify.on[0]" in errors_of(credential="notify", on=["planned"])
    assert "notify.on: is empty" in errors_of(credential="notify", on=[])
    assert "notify.credential: is missing" in errors_of()


def test_a_notice_comes_back_from_its_row_as_it_went() -> None:
    notice = Notice("k-1", NoticeEvent.DRIFT, '{"a":1}', AT, AT + timedelta(seconds=10), 3, NoticeState.FAILED)
    assert row_to_notice(notice_to_row(RunId("r1"), notice)) == notice
