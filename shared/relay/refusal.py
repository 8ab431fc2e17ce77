"""What the relay, its listener or the tunnel says, as failures that an operator can act on.

Contract ``relay.md``, section 5: the status line's reason phrase holds the text; what was received of a tunnel tells a
target that cannot be reached from a listener of the other kind. What needs somebody's hand is not retryable.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.call_failure import HopFailed, excerpt
from shared.relay.hybrid_connection import AZBRIDGE, HybridConnection

FIRST_BYTES = 16
TLS_RECORDS = b"\x15\x16"  # an alert or a handshake: what a server that speaks TLS begins with
LOST = 1006  # WebSocket's word for an end without a Close
AZBRIDGE_REFUSES = b"\x00\x00\x00"

ON_PREMISES = "the Hybrid Connection Manager or azbridge on premises"
WAY_TO_AZURE = "Check the way from the app to Azure: DNS, proxy, firewall (TCP 443), and that nothing inspects its TLS."


class TokenRefused(HopFailed):
    """``expired`` and ``of_other_audience`` tell which other token could do."""

    expired: bool
    of_other_audience: bool


class PreambleRefused(HopFailed):
    """Whatever listens did not answer as azbridge does."""


@dataclass(slots=True)
class Observed:
    """What came through a tunnel so far. ``close_code`` is None while it is open."""

    first: bytes = b""
    received: int = 0
    close_code: int | None = None
    close_reason: str = ""
    fault: str = ""

    def add(self, data: bytes) -> None:
        self.first += data[: FIRST_BYTES - len(self.first)]
        self.received += len(data)


@dataclass(frozen=True, slots=True)
class _Meaning:
    """``what`` names the relay as ``{relay}``."""

    what: str
    remedy: str
    kind: str = "unreachable"
    retryable: bool = False


def refused(place: HybridConnection, status: int, reason: str, hide: tuple[str, ...]) -> HopFailed:
    """The failure that an answer other than 101 stands for."""
    said, text = excerpt(reason, hide, limit=300), reason.lower()
    meaning = _TOKEN if _is_about_the_token(status, text) else _meaning(status, text)
    cause = (
        f"could not be reached: {meaning.what.format(relay=place.title)} (HTTP {status}{f': {said}' if said else ''})"
    )
    if meaning is not _TOKEN:
        return HopFailed(cause, kind=meaning.kind, retryable=meaning.retryable, remedy=meaning.remedy)
    failure = TokenRefused(cause, kind=meaning.kind, retryable=meaning.retryable, remedy=meaning.remedy)
    failure.expired = "expired" in text
    failure.of_other_audience = "invalidaudience" in text
    return failure


_TOKEN = _Meaning(
    "the {relay} refused the app's token",
    'Give the app\'s identity the role "Azure Relay Sender" on the hybrid connection; it takes up to five minutes to '
    "count.",
)


def _is_about_the_token(status: int, text: str) -> bool:
    return status in (401, 403) and "prevented to connect" not in text


def _meaning(status: int, text: str) -> _Meaning:
    if "no listeners connected" in text:
        what = "the {relay} has no listener connected"
        return _Meaning(what, f"Check that {ON_PREMISES} runs, and reaches Azure.", retryable=True)
    if "none of the connected listeners accepted" in text or status == 504:
        remedy = f"Restart {ON_PREMISES}, and let its host reach *.servicebus.windows.net on TCP 443."
        return _Meaning("the listener of the {relay} does not answer", remedy, retryable=True)
    if status == 404:
        what = "the namespace of the {relay} knows no such hybrid connection"
        return _Meaning(what, "Check relay.namespace and relay.path of the profile.")
    if "prevented to connect" in text:
        remedy = "Admit the app's outbound addresses in the namespace's networking, or use its private endpoint."
        return _Meaning("the firewall of the namespace of the {relay} does not admit the app", remedy)
    if status in (429, 503):
        remedy = "Try again; a namespace carries 5,000 connections and a hybrid connection 25 listeners."
        return _Meaning("the {relay} is busy or over its quota", remedy, kind="throttled", retryable=True)
    if status in (500, 502):
        return _Meaning("the {relay} failed", "Try again.", retryable=True)
    if 300 <= status < 400:
        what = "the {relay} answered with a redirect, which Realign does not follow"
        return _Meaning(what, f"Check relay.namespace of the profile. {WAY_TO_AZURE}")
    return _Meaning("the listener of the {relay} refused the connection", f"Check what {ON_PREMISES} says in its log.")


def no_way(
    place: HybridConnection, why: str, *, kind: str = "unreachable", remedy: str = "", retryable: bool = True
) -> HopFailed:
    """The namespace itself was not reached, or is no relay."""
    return HopFailed(
        f"could not be reached: {why} at the {place.title}",
        kind=kind,
        retryable=retryable,
        remedy=f"{remedy} {WAY_TO_AZURE}".strip(),
    )


def by_proxy(place: HybridConnection, proxy: str, why: str, *, retryable: bool = True) -> HopFailed:
    """``proxy`` is its host alone: its URL may hold a password."""
    return HopFailed(
        f"could not be reached: the proxy {proxy} {why} on the way to the {place.title}",
        kind="unreachable",
        retryable=retryable,
        remedy="Check the app's HTTPS_PROXY, and that the proxy lets the app through to *.servicebus.windows.net; or "
        "put the namespace into NO_PROXY.",
    )


def not_accepted(place: HybridConnection, seconds: float) -> HopFailed:
    return HopFailed(
        f"could not be reached: the {place.title} made no connection within {seconds:.0f} s",
        kind="timeout",
        retryable=True,
        remedy=f"Check {ON_PREMISES}, which may not reach its rendezvous gateway. {WAY_TO_AZURE}",
    )


def no_preamble(place: HybridConnection, reply: bytes, why: str, *, retryable: bool = False) -> PreambleRefused:
    """The listener did not take azbridge's preamble: ``reply`` is what it said, ``why`` what it did without a word."""
    said = f"answered {reply[:FIRST_BYTES].hex(' ')}" if reply else why
    return PreambleRefused(
        f"could not be reached: the listener of the {place.title} {said} to the preamble of azbridge",
        kind="unreachable",
        retryable=retryable,
        remedy='If the Hybrid Connection Manager listens there, set relay.listener to "hcm"; if azbridge does, let '
        f'relay.portName name one of its targets ("{place.port_name}" was asked for).',
    )


def before_tls(place: HybridConnection, observed: Observed, *, waited: bool) -> HopFailed | None:
    """Why no TLS came up in a tunnel that was opened; None where what came was TLS, which tells its own reason.

    ``waited``: the time was up.
    """

    def failure(what: str, kind: str, remedy: str, *, retryable: bool = False) -> HopFailed:
        return HopFailed(f"could not be reached: {what}", kind=kind, retryable=retryable, remedy=remedy)

    if observed.fault:
        return failure(f"the {place.title} {observed.fault}", "unreachable", f"Check what listens on {place.title}.")
    if observed.first.startswith(AZBRIDGE_REFUSES) and place.listener != AZBRIDGE:
        return failure(
            f"the listener of the {place.title} is azbridge, and was spoken to as the Hybrid Connection Manager",
            "unreachable",
            'Set relay.listener to "azbridge" in the profile.',
        )
    if observed.first:
        if observed.first[0] in TLS_RECORDS:
            return None
        return failure(
            f"what stands behind the {place.title} does not speak TLS on that port",
            "unreachable",
            f"Check the host and port that {ON_PREMISES} leads to.",
        )
    if observed.close_code is not None:
        return _closed(place, observed)
    if waited:
        return failure(
            f"the listener of the {place.title} accepted, and nothing came from behind it",
            "timeout",
            f"Check that a firewall lets {ON_PREMISES} through to its port.",
            retryable=True,
        )
    return None


def _closed(place: HybridConnection, observed: Observed) -> HopFailed:
    """The tunnel ended before a byte came through it (contract, sections 3 and 5)."""
    reason = excerpt(observed.close_reason, ())
    code = f" (closed with code {observed.close_code}{f': {reason}' if reason else ''})"
    what, remedy, retryable = {
        1000: (
            f"the listener of the {place.title} is connected, and does not reach it",
            f"Check that {ON_PREMISES} resolves its name and reaches its port.",
            True,
        ),
        1001: (
            f"the {place.title} was deleted or disabled",
            "Make the hybrid connection again, and restart its listener.",
            False,
        ),
        1008: (f"the {place.title} ended the connection for its token", "Try again.", True),
        1011: (f"the {place.title} failed", "Try again.", True),
    }.get(
        observed.close_code or LOST,
        (f"the {place.title} lost the connection", f"Check {ON_PREMISES}. {WAY_TO_AZURE}", True),
    )
    return HopFailed(f"could not be reached: {what}{code}", kind="unreachable", retryable=retryable, remedy=remedy)


def is_raw(place: HybridConnection) -> HopFailed:
    """What was taken for azbridge passed TLS on from its first byte."""
    return HopFailed(
        f"could not be reached: the listener of the {place.title} is the Hybrid Connection Manager, and was spoken to "
        "as azbridge",
        kind="unreachable",
        retryable=False,
        remedy='Set relay.listener to "hcm" in the profile, and take relay.portName out.',
    )
