"""Each thing that a relay, its listener or a tunnel says ends in a sentence of its own (contract ``relay.md``, 5)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.call_failure import HopFailed
from shared.relay.hybrid_connection import HybridConnection
from shared.relay.refusal import Observed, TokenRefused, before_tls, is_raw, no_preamble, not_accepted, refused

PLACE = HybridConnection("contoso.servicebus.windows.net", "prism-par", "hcm", "9440")
NAME = "relay contoso.servicebus.windows.net/prism-par"
TAIL = ". TrackingId:5f0c_G12, SystemTracker:contoso.servicebus.windows.net:prism-par, Timestamp:2026-11-23T08:00:00"

ROWS = [
    (404, "There are no listeners connected for the endpoint", "has no listener connected", True),
    (404, "Endpoint does not exist", "knows no such hybrid connection", False),
    (404, "None of the connected listeners accepted the connection within the allowed timeout", "not answer", True),
    (504, "None of the connected listeners accepted the connection within the allowed timeout", "not answer", True),
    (504, "", "does not answer", True),
    (401, "InvalidSignature: The token has an invalid signature", "refused the app's token", False),
    (401, "MalformedToken: The format of the token is wrong", "refused the app's token", False),
    (401, "MissingToken: No token", "refused the app's token", False),
    (403, "Forbidden", "refused the app's token", False),
    (401, "Ip has been prevented to connect to the endpoint", "firewall of the namespace", False),
    (400, "Rejected by user code", "listener of the relay", False),
    (500, "InternalServerError", "failed", True),
    (502, "Bad Gateway", "failed", True),
    (503, "ServerBusy", "busy or over its quota", True),
    (429, "QuotaExceeded", "busy or over its quota", True),
    (302, "Found", "redirect", False),
]


@pytest.mark.parametrize(("status", "reason", "says", "retryable"), ROWS)
def test_every_answer_of_the_handshake_has_a_sentence_and_says_whether_trying_again_helps(
    status: int, reason: str, says: str, retryable: bool
) -> None:
    failure = refused(PLACE, status, f"{reason}{TAIL}" if reason else "", ())
    assert says in failure.cause
    assert NAME in failure.cause
    assert f"HTTP {status}" in failure.cause
    assert failure.retryable is retryable
    assert failure.remedy.endswith(".")
    if reason:
        assert "TrackingId:5f0c_G12" in failure.cause, "Azure support asks for it"


def test_no_two_causes_share_a_remedy_where_different_hands_are_needed() -> None:
    def remedy(status: int, reason: str) -> str:
        return refused(PLACE, status, reason, ()).remedy

    told = {remedy(status, reason) for status, reason, _, retryable in ROWS if not retryable}
    assert len(told) == len({"path", "token", "firewall", "listener", "redirect"})


@pytest.mark.parametrize(
    ("reason", "expired", "audience"),
    [
        ("The token has expired", True, False),
        ("ExpiredToken: expired", True, False),
        ("InvalidAudience: not ours", False, True),
        ("MissingToken", False, False),
    ],
)
def test_a_refused_token_tells_which_other_one_could_do(reason: str, expired: bool, audience: bool) -> None:
    failure = refused(PLACE, 401, reason, ())
    assert isinstance(failure, TokenRefused)
    assert (failure.expired, failure.of_other_audience) == (expired, audience)


def test_a_token_that_a_refusal_quotes_is_not_shown() -> None:
    failure = refused(PLACE, 401, "MalformedToken: eyJhbGciOi.secret.part is none", ("eyJhbGciOi.secret.part",))
    assert "secret" not in str(failure)
    assert "MalformedToken" in failure.cause


def seen(first: bytes = b"", close_code: int | None = None, fault: str = "") -> Observed:
    return Observed(first=first, received=len(first), close_code=close_code, fault=fault)


@pytest.mark.parametrize(
    ("observed", "waited", "says", "retryable"),
    [
        (seen(close_code=1000), False, "does not reach it (closed with code 1000)", True),
        (seen(close_code=1001), False, "was deleted or disabled (closed with code 1001)", False),
        (seen(close_code=1008), False, "ended the connection for its token (closed with code 1008)", True),
        (seen(close_code=1011), False, "failed (closed with code 1011)", True),
        (seen(close_code=1006), False, "lost the connection (closed with code 1006)", True),
        (seen(), True, "accepted, and nothing came from behind it", True),
        (seen(b"\x00\x00\x00", 1000), False, "is azbridge, and was spoken to as the Hybrid Connection Manager", False),
        (seen(b"HTTP/1.1 400 Bad"), False, "does not speak TLS on that port", False),
        (seen(fault="sent text where bytes were due"), False, "sent text where bytes were due", False),
    ],
    ids=["unreachable", "deleted", "token", "relay-failed", "lost", "silent", "azbridge", "no-tls", "text"],
)
def test_what_came_through_a_tunnel_tells_why_no_tls_came_up(
    observed: Observed, waited: bool, says: str, retryable: bool
) -> None:
    failure = before_tls(PLACE, observed, waited=waited)
    assert failure is not None
    assert says in failure.cause
    assert NAME in failure.cause
    assert failure.retryable is retryable


@pytest.mark.parametrize("first", [b"\x15\x03\x03\x00\x02", b"\x16\x03\x03\x00\x7a"], ids=["alert", "handshake"])
def test_tls_that_came_tells_its_own_reason(first: bytes) -> None:
    assert before_tls(PLACE, seen(first), waited=False) is None


def test_three_zeros_from_azbridge_itself_are_no_wrong_listener() -> None:
    failure = before_tls(replace(PLACE, listener="azbridge"), seen(b"\x00\x00\x00"), waited=False)
    assert failure is not None
    assert "does not speak TLS" in failure.cause


@pytest.mark.parametrize(
    ("reply", "why", "says"),
    [(b"\x00\x00\x01", "", "answered 00 00 01"), (b"", "hung up", "hung up"), (b"", "said nothing", "said nothing")],
)
def test_a_refused_preamble_names_both_ways_out(reply: bytes, why: str, says: str) -> None:
    failure = no_preamble(PLACE, reply, why)
    assert says in failure.cause
    for part in ('set relay.listener to "hcm"', '"9440"'):
        assert part in failure.remedy


def test_no_failure_of_a_hop_was_seen_by_the_system_behind_it() -> None:
    for failure in (not_accepted(PLACE, 15), is_raw(PLACE), refused(PLACE, 404, "", ())):
        assert isinstance(failure, HopFailed)
        assert failure.cause.startswith("could not be reached: ")
