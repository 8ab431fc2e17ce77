"""How the scripts call: one after another, over connections that are kept alive, with verified certificates.

The keep-alive and the verification are ours; the scripts as published do without. A call that fails ends the replay.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import requests

from tests.bench.scripts.contender import Place, PrismPlace

TIMEOUT = 60.0
Json = Any


class CitrixCalls:
    """Citrix Cloud, as a script calls it. ``site_id`` is known once ``me`` was asked."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._session = _session(place.citrix_ca)
        self._session.headers["Citrix-CustomerId"] = place.customer_id
        self.site_id = ""

    def sign_in(self) -> None:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._place.client_id,
            "client_secret": self._place.client_secret,
        }
        url = f"{self._place.citrix}/cctrustoauth2/root/tokens/clients"
        token = _answer(self._session.post(url, data=form, timeout=TIMEOUT))["access_token"]
        self._session.headers["Authorization"] = f"CWSAuth bearer={token}"

    def me(self) -> None:
        # The site that an earlier call was for is no header of this one.
        self._session.headers.pop("Citrix-InstanceId", None)
        self.site_id = self.get("Me")["Customers"][0]["Sites"][0]["Id"]
        self._session.headers["Citrix-InstanceId"] = self.site_id

    def get(self, path: str, **query: str) -> Json:
        return self._call("GET", path, query, None)

    def patch(self, machine: str, body: dict[str, str]) -> None:
        self._call("PATCH", f"Machines/{machine}", {}, body)

    def post(self, path: str) -> None:
        self._call("POST", path, {}, None)

    def close(self) -> None:
        self._session.close()

    def _call(self, method: str, path: str, query: dict[str, str], body: dict[str, str] | None) -> Json:
        url = f"{self._place.citrix}/cvad/manage/{path}"
        return _answer(self._session.request(method, url, params=query, json=body, timeout=TIMEOUT))


class PrismCalls:
    """One Prism, with Basic on each call."""

    def __init__(self, prism: PrismPlace, ca: str) -> None:
        self._url = prism.url
        self._session = _session(ca)
        self._session.auth = (prism.username, prism.password)

    def get(self, path: str) -> Json:
        """``path`` with its query, from the root."""
        return _answer(self._session.get(f"{self._url}{path}", timeout=TIMEOUT))

    def close(self) -> None:
        self._session.close()


def segment(name: str) -> str:
    return quote(name, safe="")


def _session(ca: str) -> requests.Session:
    session = requests.Session()
    session.verify = ca
    session.trust_env = False
    session.headers["Accept"] = "application/json"
    return session


def _answer(response: requests.Response) -> Json:
    response.raise_for_status()
    return response.json() if response.content else None
