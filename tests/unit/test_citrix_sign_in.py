"""Signing in to Citrix Cloud."""

from __future__ import annotations

import logging
import threading
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests

from shared.citrix.cloud_sign_in import CloudCredential, CloudSignIn, cloud_host, parse_cloud_secret
from shared.citrix.token import BearerToken
from shared.errors import CitrixError
from shared.http import call
from tests.unit.answers import Answers, Reply, answering, one_after_the_other, quick

ORIGIN = "https://api.cloud.com"
CREDENTIAL = CloudCredential("citrix-emea", "id-1", "s3cret/+==")
ID, SECRET = "1f2e3d4c-aaaa-bbbb-cccc-000000000001", "Ab/Cd+ef12=="


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f'{{"clientId": "{ID}", "clientSecret": "{SECRET}"}}', id="json"),
        pytest.param(f'\ufeff {{"clientId": " {ID} ", "clientSecret": "{SECRET}\\n"}}', id="json-with-space-and-bom"),
        pytest.param(f"ID,Secret\n{ID},{SECRET}\n", id="csv"),
        pytest.param(f"\ufeffID,Secret\r\n{ID},{SECRET}\r\n", id="csv-of-windows"),
        pytest.param(f'"ID","Secret"\r\n"{ID}","{SECRET}"', id="csv-with-quotes"),
        pytest.param(f"id , secret\n\n {ID} , {SECRET} \n\n", id="csv-with-space-and-case"),
        pytest.param(f"ID,Secret {ID},{SECRET}", id="csv-in-one-line"),
        pytest.param(f"ID,Secret{ID},{SECRET}", id="csv-whose-line-break-was-eaten"),
        pytest.param(f'"ID","Secret""{ID}","{SECRET}"', id="csv-with-quotes-whose-line-break-was-eaten"),
    ],
)
def test_a_secret_may_be(text: str) -> None:
    credential = parse_cloud_secret(text, name="citrix-emea")
    assert (credential.client_id, credential.client_secret) == (ID, SECRET)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s3cret",
        '["s3cret"]',
        '{"clientId": "s3cret"}',
        '{"clientId": "", "clientSecret": "s3cret"}',
        '{"clientId": 1, "clientSecret": "s3cret"}',
        "ID,Secret",
        "ID,Secret\ns3cret",
        "ID,Secret\ns3cret,",
        "ID,Secret\na,s3cret\nb,s3cret",
        "ID,Secret,More\na,s3cret,c",
    ],
)
def test_anything_else_is_an_error_that_names_the_secret_and_the_form_but_not_the_content(text: str) -> None:
    with pytest.raises(CitrixError, match=r"^Secret citrix-emea .*clientId.*Secure Client CSV") as caught:
        parse_cloud_secret(text, name="citrix-emea")
    assert caught.value.kind == "misconfigured"
    assert "s3cret" not in str(caught.value)


def test_a_credential_shows_its_secrets_name_alone() -> None:
    assert repr(CREDENTIAL) == "CloudCredential(secret='citrix-emea')"


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us", "https://api.cloud.com"),
        ("eu", "https://api.cloud.com"),
        ("ap-s", "https://api.cloud.com"),
        ("jp", "https://api.citrixcloud.jp"),
    ],
)
def test_the_host_of_a_region(region: str, host: str) -> None:
    assert cloud_host(region) == host


def test_an_unknown_region_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(CitrixError, match="us, eu, ap-s, jp"):
        cloud_host("mars")


def issued(value: str = "t-1", lifetime: Any = "3600") -> Reply:
    return Reply({"token_type": "bearer", "access_token": value, "expires_in": lifetime})


def signing(*replies: Reply | Exception) -> tuple[BearerToken, Answers, Clock]:
    session, answers = answering(one_after_the_other(*replies))
    clock = Clock()
    sign_in = CloudSignIn(session, ORIGIN, "acme/1", CREDENTIAL)
    return BearerToken(sign_in, limits=quick, clock=clock), answers, clock


def sign(token: BearerToken) -> str:
    request = requests.Request("GET", ORIGIN, auth=token).prepare()
    return str(request.headers["Authorization"])


def test_the_sign_in_is_a_form_for_the_customer() -> None:
    token, answers, _ = signing(issued())
    assert sign(token) == "CWSAuth bearer=t-1"
    (request,) = answers.requests
    assert request.path_url == "/cctrustoauth2/acme%2F1/tokens/clients"
    assert request.method == "POST"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs(str(request.body)) == {
        "grant_type": ["client_credentials"],
        "client_id": ["id-1"],
        "client_secret": ["s3cret/+=="],
    }
    assert "Authorization" not in request.headers


@pytest.mark.parametrize("lifetime", ["3600", 3600, 3600.0, None, "soon"])
def test_a_token_is_renewed_five_minutes_before_it_ends(lifetime: Any) -> None:
    token, answers, clock = signing(issued("t-1", lifetime), issued("t-2"))
    sign(token)
    clock.now = 3299
    assert sign(token) == "CWSAuth bearer=t-1"
    clock.now = 3300
    assert sign(token) == "CWSAuth bearer=t-2"
    assert len(answers.requests) == 2


def test_a_short_token_is_used_for_half_its_life() -> None:
    token, answers, clock = signing(issued("t-1", "60"), issued("t-2"))
    sign(token)
    clock.now = 29
    sign(token)
    assert len(answers.requests) == 1


def test_threads_share_one_token() -> None:
    token, answers, _ = signing(issued())
    threads = [threading.Thread(target=sign, args=(token,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers.requests) == 1


def test_only_the_token_that_was_refused_is_replaced() -> None:
    token, answers, _ = signing(issued("t-1"), issued("t-2"), issued("t-3"))
    first = sign(token)
    token.renew(first)
    assert sign(token) == "CWSAuth bearer=t-2"
    token.renew(first)
    assert sign(token) == "CWSAuth bearer=t-2"
    assert len(answers.requests) == 2


def test_a_busy_sign_in_is_tried_again() -> None:
    token, answers, _ = signing(Reply(status=429), Reply(status=503), issued())
    assert sign(token) == "CWSAuth bearer=t-1"
    assert len(answers.requests) == 3


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        pytest.param(
            Reply({"error": "invalid_client", "error_description": "Invalid client id or secret"}),
            "(HTTP 200): Invalid client id or secret",
            id="an-error-in-a-200",
        ),
        pytest.param(Reply({}), "(HTTP 200): the answer holds no token", id="no-token"),
        pytest.param(Reply({"error": "invalid_client"}, status=401), "(HTTP 401): invalid_client", id="401"),
        pytest.param(Reply(raw=b"<html>", status=400), "(HTTP 400): no reason given", id="400-without-json"),
        pytest.param(Reply({"detail": "No such customer"}, status=403), "(HTTP 403): No such customer", id="403"),
    ],
)
def test_a_refused_client_is_an_error_that_says_what_to_do(reply: Reply, words: str) -> None:
    token, answers, _ = signing(reply)
    with pytest.raises(CitrixError) as caught:
        sign(token)
    assert str(caught.value).startswith(
        "Citrix Cloud api.cloud.com refused the API client of secret citrix-emea for customer acme/1 "
    )
    assert words in str(caught.value)
    assert caught.value.kind == "sign-in"
    assert "s3cret" not in repr(caught.value)
    assert len(answers.requests) == 1


@pytest.mark.parametrize("status", [200, 400, 401])
@pytest.mark.parametrize(
    "words", ["Invalid client secret s3cret/+== provided", "client_secret=s3cret%2F%2B%3D%3D", "no client id-1"]
)
def test_what_the_sign_in_sent_is_not_shown_when_it_is_echoed(
    words: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token, _, _ = signing(Reply({"error": "invalid_client", "error_description": words}, status=status))
    with pytest.raises(CitrixError, match=r"\*\*\*") as caught:
        sign(token)
    shown = f"{caught.value} {caught.value!r} {caplog.text}"
    assert "s3cret" not in shown
    assert "id-1" not in shown


def test_a_sign_in_that_gets_no_answer_is_an_error_that_names_the_host() -> None:
    token, _, _ = signing(requests.exceptions.ConnectTimeout())
    with pytest.raises(CitrixError, match=r"api.cloud.com did not accept a connection .*proxy") as caught:
        sign(token)
    assert (caught.value.kind, caught.value.retryable) == ("timeout", True)


def test_the_error_of_a_sign_in_comes_through_the_call_that_needed_it() -> None:
    token, _, _ = signing(Reply(status=401))
    session, answers = answering(one_after_the_other(Reply({})))
    with pytest.raises(CitrixError):
        call(session, "GET", ORIGIN, system="X", limits=quick(), repeatable=True, auth=token)
    assert answers.requests == []
