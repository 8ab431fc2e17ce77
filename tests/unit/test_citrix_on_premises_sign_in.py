"""Signing in to a Delivery Controller."""

from __future__ import annotations

import base64
import logging
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from shared.citrix.on_premises_sign_in import OnPremisesSignIn, WindowsCredential, parse_windows_secret
from shared.citrix.token import BearerToken
from shared.errors import CitrixError
from tests.unit.answers import Answers, Reply, answering, one_after_the_other, quick

ORIGIN = "https://ddc01.corp.example"
USER, PASSWORD = "CORP\\svc-zürich", "s3cret:€/+"
CREDENTIAL = WindowsCredential("citrix-hq", USER, PASSWORD)
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def issued(value: str = "t-1", ends: Any = "2026-11-22T13:00:00Z", headers: dict[str, str] | None = None) -> Reply:
    body = {"Token": value, "Principal": USER, "CustomerId": "CitrixOnPremises", "ExpiresAt": ends}
    return Reply(body, headers=headers)


def signing(*replies: Reply | Exception) -> tuple[BearerToken, Answers, Clock]:
    session, answers = answering(one_after_the_other(*replies))
    clock = Clock()
    sign_in = OnPremisesSignIn(session, ORIGIN, CREDENTIAL, wall=lambda: NOON)
    return BearerToken(sign_in, limits=quick, clock=clock), answers, clock


def sign(token: BearerToken) -> str:
    request = requests.Request("GET", ORIGIN, auth=token).prepare()
    return str(request.headers["Authorization"])


def test_the_account_goes_as_basic_in_utf_8_to_the_route_of_the_controller() -> None:
    token, answers, _ = signing(issued())
    assert sign(token) == "CWSAuth bearer=t-1"
    (request,) = answers.requests
    assert (request.method, request.url, request.body) == ("POST", f"{ORIGIN}/cvad/manage/Tokens", None)
    scheme, _, pair = str(request.headers["Authorization"]).partition(" ")
    assert (scheme, base64.b64decode(pair).decode("utf-8")) == ("Basic", f"{USER}:{PASSWORD}")


def test_a_token_is_renewed_five_minutes_before_it_ends() -> None:
    token, answers, clock = signing(issued("t-1"), issued("t-2"))
    sign(token)
    clock.now = 3299
    assert sign(token) == "CWSAuth bearer=t-1"
    clock.now = 3300
    assert sign(token) == "CWSAuth bearer=t-2"
    assert len(answers.requests) == 2


@pytest.mark.parametrize("ends", ["2026-11-22T11:00:00.1234567Z", "2026-11-22T12:00:00+01:00"])
def test_the_end_of_a_token_counts_from_the_controllers_own_clock(ends: str) -> None:
    token, answers, clock = signing(issued("t-1", ends, {"Date": "Sun, 22 Nov 2026 10:00:00 GMT"}), issued("t-2"))
    sign(token)
    clock.now = 3299
    sign(token)
    assert len(answers.requests) == 1
    clock.now = 3301
    sign(token)
    assert len(answers.requests) == 2


@pytest.mark.parametrize(
    "ends",
    [
        pytest.param(None, id="none"),
        pytest.param("7/20/2026 3:04:05 PM", id="no-rfc-3339"),
        pytest.param("2026-11-22T13:00:00", id="without-a-zone"),
        pytest.param(3600, id="a-number"),
        pytest.param("2026-11-22T11:59:00Z", id="in-the-past"),
    ],
)
def test_a_token_whose_end_cannot_be_read_is_used_for_a_minute(ends: Any) -> None:
    token, answers, clock = signing(issued("t-1", ends), issued("t-2"))
    sign(token)
    clock.now = 59
    assert sign(token) == "CWSAuth bearer=t-1"
    clock.now = 60
    assert sign(token) == "CWSAuth bearer=t-2"
    assert len(answers.requests) == 2


def test_the_members_of_the_answer_may_come_in_another_case() -> None:
    token, _, _ = signing(Reply({"token": "t-1", "expiresAt": "2026-11-22T13:00:00Z"}))
    assert sign(token) == "CWSAuth bearer=t-1"


def test_a_refused_account_is_told_with_what_to_do_and_nothing_of_it() -> None:
    token, answers, _ = signing(Reply({"ErrorMessage": f"{USER} / {PASSWORD} is wrong"}, status=401))
    with pytest.raises(CitrixError) as caught:
        sign(token)
    assert str(caught.value).startswith(
        "Citrix CVAD ddc01.corp.example refused user name or password of secret citrix-hq"
    )
    assert "check that the account is not locked" in str(caught.value)
    assert caught.value.kind == "sign-in"
    assert len(answers.requests) == 1


def test_a_refused_account_is_tried_once_by_all_threads_and_calls() -> None:
    token, answers, _ = signing(Reply(status=401), issued())
    errors: list[Exception] = []

    def attempt() -> None:
        try:
            sign(token)
        except CitrixError as error:
            errors.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 8
    assert len(answers.requests) == 1


def test_an_account_that_is_refused_when_its_token_is_renewed_is_not_tried_again() -> None:
    token, answers, _ = signing(issued("t-1"), Reply(status=401), issued("t-2"))
    token.renew(sign(token))
    for _ in range(3):
        with pytest.raises(CitrixError, match="refused user name or password"):
            sign(token)
    assert len(answers.requests) == 2


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        pytest.param(Reply(status=403), "forbidden", "an administrator of the Citrix site", id="no-administrator"),
        pytest.param(Reply(status=404), "failed", "Web Studio and its REST API", id="no-rest-api"),
        pytest.param(Reply(status=503), "failed", "Orchestration service", id="service-down"),
        pytest.param(Reply({"Token": None}), "malformed", "without a token", id="no-token"),
        pytest.param(Reply([]), "malformed", "without a token", id="no-object"),
        pytest.param(
            requests.exceptions.ConnectTimeout(), "timeout", "Check that the controller is up", id="no-connection"
        ),
    ],
)
def test_another_failure_names_the_controller_and_the_remedy(reply: Reply | Exception, kind: str, words: str) -> None:
    token, _, _ = signing(reply)
    with pytest.raises(CitrixError) as caught:
        sign(token)
    assert str(caught.value).startswith("Citrix CVAD ddc01.corp.example ")
    assert words in str(caught.value)
    assert caught.value.kind == kind


@pytest.mark.parametrize("status", [401, 403, 500])
@pytest.mark.parametrize(
    "words", [PASSWORD, USER, base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(), "s3cret%3A%E2%82%AC%2F%2B"]
)
def test_what_the_sign_in_sent_is_not_shown_when_it_is_echoed(
    words: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token, _, _ = signing(Reply({"ErrorMessage": f"not {words}!"}, status=status))
    with pytest.raises(CitrixError, match=r"not \*\*\*") as caught:
        sign(token)
    shown = f"{caught.value} {caught.value!r} {token!r} {CREDENTIAL!r} {caplog.text}"
    assert not any(secret in shown for secret in (words, PASSWORD, USER, "s3cret", "svc-z"))


def test_the_token_is_in_no_repr() -> None:
    token, _, _ = signing(issued("t-1"))
    sign(token)
    assert "t-1" not in repr(token) + repr(vars(token)["_cell"].held)


@pytest.mark.parametrize(
    "text",
    [
        '{"username": "CORP\\\\svc", "password": " s3cret "}',
        '\ufeff {"username": " CORP\\\\svc ", "password": " s3cret ", "note": 1}',
    ],
)
def test_a_secret_is_a_json_object_whose_password_is_taken_as_it_is(text: str) -> None:
    credential = parse_windows_secret(text, name="citrix-hq")
    assert (credential.username, credential.password) == ("CORP\\svc", " s3cret ")
    assert repr(credential) == "WindowsCredential(secret='citrix-hq')"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("s3cret", "is not a JSON object", id="text"),
        pytest.param('["s3cret"]', "is not a JSON object", id="list"),
        pytest.param('{"username": "CORP\\svc", "password": "s3cret"}', "is not a JSON object", id="one-backslash"),
        pytest.param('{"username": "svc"}', "has no password", id="no-password"),
        pytest.param('{"clientId": "s3cret", "clientSecret": "s3cret"}', "has no username and no password", id="cloud"),
        pytest.param('{"username": "a:b", "password": "s3cret"}', "has a username with a colon", id="colon"),
        pytest.param('{"username": "CORP\\tom", "password": "s3cret"}', "has a username with a control", id="tab"),
    ],
)
def test_another_secret_is_an_error_that_says_what_form_is_expected(text: str, words: str) -> None:
    with pytest.raises(CitrixError) as caught:
        parse_windows_secret(text, name="citrix-hq")
    assert f"Secret citrix-hq {words}" in str(caught.value)
    assert " Store it as " in str(caught.value)
    assert '"username": "DOMAIN\\\\user"' in str(caught.value)
    assert caught.value.kind == "misconfigured"
    assert "s3cret" not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"
