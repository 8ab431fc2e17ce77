"""Answers from memory: an adapter for the clients' tests, so that no test patches our own functions."""

from __future__ import annotations

import json
from collections.abc import Callable
from email.message import Message
from io import BytesIO
from typing import Any

import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter

from shared.http import Deadline, Limits

Handler = Callable[[requests.PreparedRequest], "Reply | Exception"]


class Reply:
    """A status with a JSON (or raw) body. ``cookies`` become ``Set-Cookie`` headers."""

    def __init__(
        self,
        content: Any = None,
        *,
        status: int = 200,
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
        cookies: dict[str, str] | None = None,
    ) -> None:
        self.status = status
        self.headers = headers or {}
        self.body = raw if raw is not None else b"" if content is None else json.dumps(content).encode()
        self.cookies = cookies or {}


class _Original:
    """What requests takes cookies from."""

    def __init__(self, cookies: dict[str, str]) -> None:
        self.msg = Message()
        for name, value in cookies.items():
            self.msg["Set-Cookie"] = f"{name}={value}; Path=/; Secure"

    def isclosed(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing is open."""


class Answers(BaseAdapter):
    """Hands every request to a function and keeps what was asked."""

    def __init__(self, handler: Handler) -> None:
        super().__init__()
        self._handler = handler
        self.requests: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        self.requests.append(request)
        reply = self._handler(request)
        if isinstance(reply, Exception):
            raise reply
        raw = urllib3.HTTPResponse(
            body=BytesIO(reply.body),
            headers=reply.headers,
            status=reply.status,
            preload_content=False,
            original_response=_Original(reply.cookies),  # type: ignore[arg-type]
        )
        return HTTPAdapter().build_response(request, raw)

    def close(self) -> None:
        """Nothing is open."""

    @property
    def paths(self) -> list[str]:
        return [str(request.path_url) for request in self.requests]


def answering(handler: Handler) -> tuple[requests.Session, Answers]:
    """A session whose every request goes to ``handler``, and the record of the requests."""
    session, answers = requests.Session(), Answers(handler)
    session.trust_env = False
    session.mount("https://", answers)
    session.mount("http://", answers)
    return session, answers


def one_after_the_other(*replies: Reply | Exception) -> Handler:
    """Answers the first request with the first reply, and so on; the last one holds for what follows."""
    left = list(replies)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]


def quick(seconds: float = 30.0, *, attempts: int = 4, pauses: list[float] | None = None) -> Limits:
    """Limits that do not wait between attempts, but note how long they would have."""
    record = pauses if pauses is not None else []
    return Limits(Deadline.after(seconds), attempts=attempts, pause=record.append, jitter=lambda: 0.0)


def body_of(request: requests.PreparedRequest) -> Any:
    return json.loads(request.body or b"{}")
