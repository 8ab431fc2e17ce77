"""A Citrix site in memory that can be written to: what it was asked, and what a test lets it answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from shared.citrix.cloud_sign_in import CloudCredential, CloudSignIn
from shared.citrix.on_premises_sign_in import OnPremisesSignIn, WindowsCredential
from shared.citrix.site import CitrixSite
from shared.citrix.token import BearerToken
from shared.citrix.wording import ON_PREMISES_CUSTOMER
from shared.citrix.writer import SiteWriter
from shared.http import Limits
from shared.model.citrix import Hosting, MachineId
from shared.model.nutanix import VmUuid
from shared.model.remap import Change
from tests.unit.answers import Reply, answering, body_of, quick

BASE = "/cvad/manage"
CLOUD_TOKENS = "/cctrustoauth2/acme/tokens/clients"
VM = VmUuid("9a1b6c1e-6a0b-4c53-a1f4-0c8d0f6c2b77")
SECRET = "s3cret-of-the-client"
Answerer = Callable[[requests.PreparedRequest], Reply | Exception | None]


def change(machine: str = "m-1", connection: str | None = "AHV DR", vm: str | None = VM) -> Change:
    return Change(MachineId(machine), Hosting(connection, VmUuid(vm) if vm is not None else None, "h-2"))


def accepted(job: str = "job-1") -> Reply:
    return Reply(status=202, headers={"Location": f"https://elsewhere.example/cvad/manage/Jobs/{job}"})


class WritableSite:
    """``on`` holds, by method and path, what comes instead of a 404. Tokens are ``tok-1``, ``tok-2`` and so on."""

    def __init__(self, *, on_premises: bool = False) -> None:
        self.on: dict[str, Answerer] = {}
        self.customer = ON_PREMISES_CUSTOMER if on_premises else "acme"
        self.origin = "https://ddc01" if on_premises else "https://api.cloud.com"
        self.tokens = 0
        self.pauses: list[float] = []
        self.session, self.answers = answering(self)
        self.sign_in = (
            OnPremisesSignIn(self.session, self.origin, WindowsCredential("citrix-hq", "CORP\\svc", SECRET))
            if on_premises
            else CloudSignIn(self.session, self.origin, self.customer, CloudCredential("citrix-emea", "id", SECRET))
        )
        self.token = BearerToken(self.sign_in)

    def __call__(self, request: requests.PreparedRequest) -> Reply | Exception:
        path = urlsplit(str(request.url)).path.removeprefix(BASE)
        answerer = self.on.get(f"{request.method} {path}")
        reply = answerer(request) if answerer is not None else None
        if reply is not None:
            return reply
        if path == CLOUD_TOKENS:
            self.tokens += 1
            return Reply({"access_token": f"tok-{self.tokens}", "expires_in": "3600"})
        if path == "/Tokens":
            self.tokens += 1
            return Reply({"Token": f"tok-{self.tokens}", "ExpiresAt": "2099-01-01T00:00:00Z"})
        if path == "/Me":
            return Reply({"Customers": [{"Id": self.customer, "Sites": [{"Id": "site-1", "Name": "s"}]}]})
        return Reply({"ErrorMessage": f"There is no {path}."}, status=404)

    def limits(self) -> Limits:
        return quick(attempts=4, pauses=self.pauses)

    def writer(self) -> SiteWriter:
        site = CitrixSite(self.session, self.origin, self.customer, self.token, limits=self.limits)
        return SiteWriter(site, limits=self.limits)

    def asked(self, call: str) -> list[requests.PreparedRequest]:
        """The requests of ``call``, a method and a path."""
        return [
            request
            for request in self.answers.requests
            if f"{request.method} {urlsplit(str(request.url)).path.removeprefix(BASE)}" == call
        ]

    def query(self, call: str) -> list[dict[str, str]]:
        queries = [parse_qs(urlsplit(str(request.url)).query) for request in self.asked(call)]
        return [{name: values[0] for name, values in query.items()} for query in queries]

    def items(self, number: int = 0) -> list[dict[str, Any]]:
        """The items of the batch number ``number``."""
        items: list[dict[str, Any]] = body_of(self.asked("POST /$batch")[number])["Items"]
        return items


def always(reply: Reply | Exception) -> Answerer:
    return lambda _: reply


def first(*replies: Reply | Exception, then: Reply) -> Answerer:
    """Each reply once, in this order; ``then`` for what follows."""
    left = list(replies)
    return lambda _: left.pop(0) if left else then
