"""Who may read a simulated Prism: Basic, and with a Central also the API key and the session cookies it set.

And what every answer of a Central says of itself, whichever of its APIs was called.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import time

from sandbox.front import Call
from sandbox.world import Prism

SESSION_SECONDS = 15 * 60
COOKIES = ("NTNX_IAM_SESSION", "NTNX_MERCURY_IAM_SESSION", "NTNX_MERCURY_IAM_REFRESH_TOKEN")


# By the highest minor of the VM list (contract ``prism.md``, section 5.1).
PRODUCTS = {0: "pc.2024.3.1.1", 1: "pc.7.3.1", 2: "pc.7.5", 3: "pc.7.6"}
PRODUCT_WITHOUT_V4 = "pc.2024.1"


def central_headers(prism: Prism) -> dict[str, str]:
    minor = prism.minors.get("vmm")
    product = PRODUCT_WITHOUT_V4 if minor is None else PRODUCTS.get(minor, PRODUCTS[max(PRODUCTS)])
    return {"X-Ntnx-Env": "pc", "X-Ntnx-Product": product, "Server": "envoy"}


def basic_matches(prism: Prism, call: Call) -> bool:
    """True when the call brings the Prism's user name and password."""
    scheme, _, encoded = call.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        text = base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return False
    name, _, password = text.partition(":")
    return name == prism.username and hmac.compare_digest(password.encode(), prism.password.encode())


def api_key_matches(prism: Prism, call: Call) -> bool:
    given = call.headers.get("X-Ntnx-Api-Key", "")
    return bool(prism.api_key) and hmac.compare_digest(given.encode(), str(prism.api_key).encode())


class Sessions:
    """The sessions that a Prism Central opened by answering Basic; each lasts 15 minutes."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def open(self) -> tuple[str, ...]:
        """``Set-Cookie`` values of a new session."""
        token = secrets.token_urlsafe(24)
        self._until[token] = time.monotonic() + SESSION_SECONDS
        return tuple(
            f"{name}={token};Path=/;Secure;HttpOnly;SameSite=Lax;Max-Age={SESSION_SECONDS}" for name in COOKIES
        )

    def known(self, call: Call) -> bool:
        return self._until.get(call.cookies.get(COOKIES[0], ""), 0.0) > time.monotonic()
