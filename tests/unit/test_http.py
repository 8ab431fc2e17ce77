"""The one call: what is repeated, what it may cost, and what its failures are called."""

from __future__ import annotations

import base64
import gzip
import json

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from requests.exceptions import ChunkedEncodingError, ConnectTimeout, ReadTimeout

from shared.call_failure import CallFailed, excerpt
from shared.http import Answer, Deadline, Limits, call, delay, open_session
from tests.unit.answers import Answers, Handler, Reply, answering, one_after_the_other, quick

URL = "https://prism.corp.example:9440/api"


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def ask(handler: Handler, *, limits: Limits | None = None, repeatable: bool = True) -> tuple[Answer, Answers]:
    session, answers = answering(handler)
    answer = call(session, "GET", URL, system="Prism X", limits=limits or quick(), repeatable=repeatable)
    return answer, answers


def fail(
    handler: Handler, *, limits: Limits | None = None, repeatable: bool = True, method: str = "GET"
) -> tuple[CallFailed, Answers]:
    session, answers = answering(handler)
    with pytest.raises(CallFailed) as caught:
        call(session, method, URL, system="Prism X", limits=limits or quick(), repeatable=repeatable)
    return caught.value, answers


def test_an_answer_has_status_headers_and_json() -> None:
    answer, _ = ask(one_after_the_other(Reply({"a": [1]}, headers={"X-Thing": "7"})))
    assert (answer.status, answer.headers["x-thing"], answer.json) == (200, "7", {"a": [1]})


def test_an_answer_without_body_has_no_json() -> None:
    assert ask(one_after_the_other(Reply(status=204)))[0].json is None


def test_a_compressed_answer_is_read() -> None:
    packed = Reply(raw=gzip.compress(b'{"a": 1}'), headers={"Content-Encoding": "gzip"})
    assert ask(one_after_the_other(packed))[0].json == {"a": 1}


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_read_is_asked_again_after(status: int) -> None:
    answer, answers = ask(one_after_the_other(Reply(status=status), Reply({"ok": 1})))
    assert answer.json == {"ok": 1}
    assert len(answers.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 500, 501, 530])
def test_nothing_is_asked_again_after(status: int) -> None:
    failure, answers = fail(one_after_the_other(Reply(status=status)))
    assert failure.http_status == status
    assert len(answers.requests) == 1


@pytest.mark.parametrize(
    ("reply", "asked"),
    [
        pytest.param(Reply(status=429), 4, id="too-many-requests-means-nothing-was-done"),
        pytest.param(ConnectTimeout(), 4, id="no-connection-means-nothing-was-sent"),
        pytest.param(Reply(status=503), 1, id="a-server-error-may-have-come-after-the-work"),
        pytest.param(ReadTimeout(), 1, id="a-time-out-may-have-come-after-the-work"),
        pytest.param(Reply(raw=b"{"), 1, id="a-broken-answer-came-after-the-work"),
    ],
)
def test_what_may_not_be_repeated_is_repeated_only_when_nothing_can_have_happened(
    reply: Reply | Exception, asked: int
) -> None:
    _, answers = fail(one_after_the_other(reply), repeatable=False, method="PATCH")
    assert len(answers.requests) == asked


def test_attempts_are_counted() -> None:
    failure, answers = fail(one_after_the_other(Reply(status=503)), limits=quick(attempts=3))
    assert len(answers.requests) == 3
    assert (failure.kind, failure.http_status, failure.retryable) == ("failed", 503, True)


def test_one_attempt_means_one() -> None:
    _, answers = fail(one_after_the_other(ReadTimeout()), limits=quick(attempts=1))
    assert len(answers.requests) == 1


def test_retry_after_is_obeyed() -> None:
    pauses: list[float] = []
    ask(
        one_after_the_other(Reply(status=429, headers={"Retry-After": "7"}), Reply({})),
        limits=quick(pauses=pauses),
    )
    assert pauses == [7.0]


def test_a_retry_after_beyond_the_deadline_ends_the_call_at_once() -> None:
    pauses: list[float] = []
    failure, answers = fail(
        one_after_the_other(Reply(status=429, headers={"Retry-After": "3600"})), limits=quick(60, pauses=pauses)
    )
    assert (failure.kind, len(answers.requests), pauses) == ("throttled", 1, [])


def test_a_retry_after_that_cannot_be_read_is_passed_over() -> None:
    assert delay(1, "soon", quick()) == 0.25


def test_retries_end_with_the_deadline() -> None:
    clock = Clock()
    limits = Limits(Deadline.after(20, clock), attempts=1000, pause=clock.sleep, jitter=lambda: 1.0)
    fail(one_after_the_other(Reply(status=503)), limits=limits)
    assert clock.now <= 1020


def test_silence_over_all_attempts_is_bounded() -> None:
    clock = Clock()

    def silent(_: requests.PreparedRequest) -> Exception:
        clock.now += 25
        return ReadTimeout()

    limits = Limits(Deadline.after(300, clock), attempts=100, pause=clock.sleep, jitter=lambda: 0.0)
    failure, answers = fail(silent, limits=limits)
    assert failure.kind == "timeout"
    assert len(answers.requests) == 3
    assert clock.now < 1080


def test_no_call_is_made_when_the_time_is_up() -> None:
    failure, answers = fail(one_after_the_other(Reply({})), limits=quick(-1))
    assert (failure.kind, answers.requests) == ("timeout", [])


@given(attempt=st.integers(1, 40), spread=st.floats(0, 1))
def test_the_pause_grows_to_a_ceiling_and_never_vanishes(attempt: int, spread: float) -> None:
    limits = Limits(Deadline.after(1), backoff=0.5, ceiling=30.0, jitter=lambda: spread)
    assert 0.25 <= delay(attempt, None, limits) <= 30.0
    assert delay(attempt + 1, None, limits) >= delay(attempt, None, limits)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(Reply(raw=b'{"entities": [{"na'), id="cut-json"),
        pytest.param(Reply(raw=b"<html>"), id="html"),
        pytest.param(Reply(raw=b'{"a": "\xff"}'), id="not-utf-8"),
        pytest.param(Reply(raw=b"[" * 100_000), id="nested-without-end"),
        pytest.param(ChunkedEncodingError(), id="broken-off"),
    ],
)
def test_a_broken_answer_is_asked_for_twice_more(broken: Reply | Exception) -> None:
    answer, _ = ask(one_after_the_other(broken, broken, Reply({"ok": 1})))
    assert answer.json == {"ok": 1}
    failure, answers = fail(one_after_the_other(broken), limits=quick(attempts=10))
    assert (failure.kind, len(answers.requests)) == ("malformed", 3)


def test_what_a_broken_answer_holds_is_in_no_message() -> None:
    failure, _ = fail(one_after_the_other(Reply(raw=b'{"access_token": "s3cret')))
    assert "s3cret" not in str(failure)
    assert failure.__cause__ is None


def test_a_refused_password_is_not_tried_again_even_when_the_answer_is_garbled() -> None:
    failure, answers = fail(one_after_the_other(Reply(raw=b"<html", status=401)))
    assert (failure.kind, failure.said, len(answers.requests)) == ("sign-in", None, 1)


def test_an_answer_beyond_the_size_limit_is_refused() -> None:
    limits = Limits(Deadline.after(5), body_bytes=2**20)
    failure, _ = fail(one_after_the_other(Reply(raw=b" " * (2**20 + 1))), limits=limits)
    assert str(failure) == "Prism X sent more than 1 MB."


def test_a_redirect_is_not_followed() -> None:
    failure, answers = fail(one_after_the_other(Reply(status=302, headers={"Location": "https://evil.example/"})))
    assert str(failure) == "Prism X answered HTTP 302, a redirect that Realign does not follow."
    assert len(answers.requests) == 1


def test_an_error_answer_keeps_what_the_vendor_said() -> None:
    failure, _ = fail(one_after_the_other(Reply({"message": "no"}, status=400)))
    assert failure.said == {"message": "no"}


def test_headers_are_made_anew_for_each_attempt() -> None:
    session, answers = answering(one_after_the_other(Reply(status=503), Reply({})))
    numbers = iter("12")
    call(session, "GET", URL, system="X", limits=quick(), repeatable=True, headers=lambda: {"X-Attempt": next(numbers)})
    assert [request.headers["X-Attempt"] for request in answers.requests] == ["1", "2"]


def test_an_adapter_mounted_for_one_host_takes_its_calls() -> None:
    session = open_session(ca=None, environ={})
    relay = Answers(one_after_the_other(Reply({"through": "relay"})))
    session.mount("https://prism.corp.example:9440", relay)
    answer = call(session, "GET", URL, system="X", limits=quick(), repeatable=True)
    assert answer.json == {"through": "relay"}
    session.close()


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("  two\n lines ", "two lines"),
        ("x" * 300, "x" * 200 + "…"),
        ("CWSAuth bearer=abc.def rest", "CWSAuth bearer=*** rest"),
        ("Authorization: Basic dXNlcjpwdw==", "Authorization: Basic ***"),
        ('{"clientSecret": "abc"}', '{"clientSecret": ***}'),
        ('client_secret="my secret value" is wrong', "client_secret=*** is wrong"),
        ("password is 'hunter2'", "password is ***"),
        ("see https://u:p@ss@h.example/x?y=1", "see https://***@h.example/x?y=1"),
        ("see https://h.example/x for ops@corp.example", "see https://h.example/x for ops@corp.example"),
        ("password=hunter2", "password=***"),
        ("token eyJhbGciOi.eyJzdWI.sig here", "token *** here"),
        (None, ""),
    ],
)
def test_what_a_vendor_said_is_cut_and_scrubbed(said: object, shown: str) -> None:
    assert excerpt(said, ()) == shown


KNOWN = "p w/ä+\"'<&"


@pytest.mark.parametrize(
    "spelt",
    [
        pytest.param(KNOWN, id="as-it-is"),
        pytest.param("p  \n w/ä+\"'<&", id="wrapped"),
        pytest.param("p%20w%2F%C3%A4%2B%22%27%3C%26", id="percent-encoded"),
        pytest.param("p%20w%2f%c3%a4%2b%22%27%3c%26", id="percent-encoded-in-lower-case"),
        pytest.param("p+w%2F%C3%A4%2B%22%27%3C%26", id="as-a-form-has-it"),
        pytest.param("p w/ä+\\\"'<&", id="inside-json"),
        pytest.param("p w/\\u00e4+\\\"'<&", id="inside-ascii-json"),
        pytest.param("p w/ä+&quot;&#x27;&lt;&amp;", id="inside-html"),
        pytest.param(base64.b64encode(KNOWN.encode()).decode(), id="base64"),
    ],
)
def test_a_known_secret_is_hidden_however_it_is_spelt(spelt: str) -> None:
    shown = excerpt(f"you sent {spelt}, which is wrong", (KNOWN,))
    assert shown.startswith("you sent ***")
    assert shown.endswith(", which is wrong")


def test_of_two_known_secrets_the_longer_goes_first_and_before_the_cut() -> None:
    assert excerpt("svc:hunter2 and hunter2", ("hunter2", "svc:hunter2", "")) == "*** and ***"
    assert "hunter" not in excerpt("x" * 196 + "hunter2", ("hunter2",))


def test_a_very_short_secret_is_hidden_as_a_word_alone() -> None:
    assert excerpt("invalid client id", ("id",)) == "invalid client ***"


def test_a_session_says_who_it_is_and_reads_nothing_from_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    session = open_session(ca=None, environ={})
    assert session.trust_env is False
    assert str(session.headers["User-Agent"]).startswith("realign/")
    session.close()


def test_a_failure_holds_nothing_of_the_request() -> None:
    session, _ = answering(one_after_the_other(Reply(status=500)))
    with pytest.raises(CallFailed) as caught:
        call(session, "POST", URL, system="X", limits=quick(), repeatable=True, data={"client_secret": "s3cret"})
    assert "s3cret" not in json.dumps([repr(caught.value), str(caught.value), repr(vars(caught.value))])
