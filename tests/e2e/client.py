"""A small client of the API: signed-in calls, and the few things that every test does with them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

import requests

from tests.e2e.described import check_described

Json = dict[str, Any]
T = TypeVar("T")

WORKING = ("queued", "planning", "applying", "rolling-back")


def principal(*roles: str, name: str = "Olive Operator") -> dict[str, str]:
    """The header that Easy Auth puts in front of the app for somebody who is signed in."""
    claims = [{"typ": "name", "val": name}, *({"typ": "roles", "val": f"Realign.{role}"} for role in roles)]
    document = {"auth_typ": "aad", "name_typ": "name", "role_typ": "roles", "claims": claims}
    return {"X-MS-CLIENT-PRINCIPAL": base64.b64encode(json.dumps(document).encode()).decode()}


def eventually(probe: Callable[[], T], within: float = 30.0, every: float = 0.1) -> T:
    """What ``probe`` gives as soon as that is true; fails after ``within`` seconds."""
    deadline = time.monotonic() + within
    while not (value := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {within} s, last: {value!r}")
        time.sleep(every)
    return value


def _chosen(machines: tuple[str, ...]) -> Json:
    return {"machines": machines} if machines else {"all": True}


class Api:
    """Calls the host at ``url`` as ``role`` unless a call says otherwise; ``answers`` keeps the body of each answer.

    Every answer has to be one that the OpenAPI document describes.
    """

    def __init__(self, url: str, function_key: str = "", *, role: str = "Operator") -> None:
        self.url = url
        self.answers: list[str] = []
        self._key = function_key
        self._role = role
        self._session = requests.Session()
        self._session.trust_env = False

    def call(
        self, method: str, path: str, *, role: str | None = "", headers: dict[str, str] | None = None, **options: Any
    ) -> requests.Response:
        """``role`` None is an anonymous call."""
        signed = {} if role is None else principal(role or self._role)
        answer = self._session.request(
            method, self.url + path, headers={**signed, **(headers or {})}, timeout=120, **options
        )
        self.answers.append(f"{answer.headers}{answer.text}")
        check_described(method, path, answer)
        return answer

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.call("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.call("POST", path, **options)

    def start(self, profile: str, body: Json | None = None, **options: Any) -> requests.Response:
        """Asks for a run and does not wait for it."""
        return self.post(f"/api/profiles/{profile}/runs", json=body or {}, **options)

    def run(self, profile: str, body: Json | None = None, *, within: int = 100, **options: Any) -> Json:
        """Starts a run and waits until it rests."""
        headers = {"Prefer": f"wait={within}", **options.pop("headers", {})}
        answer = self.start(profile, body, headers=headers, **options)
        assert answer.status_code == 200, answer.text
        run: Json = answer.json()
        return run

    def hook(self, method: str, *, key: str | None = None, **options: Any) -> requests.Response:
        headers = {"x-functions-key": self._key if key is None else key, **options.pop("headers", {})}
        return self.call(method, "/api/hooks/runs", role=None, headers=headers, **options)

    def act(
        self, run_id: str, action: str, body: Json | None = None, *, within: int | None = None, **options: Any
    ) -> requests.Response:
        """Takes a review action on a run, as an approver unless a call says otherwise; waits if ``within`` is said."""
        waiting = {"Prefer": f"wait={within}"} if within is not None else {}
        headers = {**waiting, **options.pop("headers", {})}
        options.setdefault("role", "Approver")
        return self.post(f"/api/runs/{run_id}/{action}", json=body or {}, headers=headers, **options)

    def approve(self, run: Json, *machines: str, **body: Any) -> Json:
        """Approves remaps of the plan as ``run`` shows it, all of them unless ``machines`` are named; its end."""
        return self._acted(run["id"], "approve", {**_chosen(machines), "fingerprint": run["fingerprint"], **body})

    def reject(self, run: Json, *machines: str, **body: Any) -> Json:
        return self._acted(run["id"], "reject", {**_chosen(machines), "fingerprint": run["fingerprint"], **body})

    def resolve(self, run_id: str, machine: str, cluster: str, uuid: str, comment: str = "It is this one.") -> Json:
        candidate = {"cluster": cluster, "uuid": uuid}
        return self._acted(run_id, "resolve", {"machine": machine, "candidate": candidate, "comment": comment})

    def apply(self, run_id: str, *machines: str) -> Json:
        return self._acted(run_id, "apply", {"machines": machines} if machines else {})

    def rollback(self, run_id: str, *machines: str) -> Json:
        return self._acted(run_id, "rollback", {"machines": machines} if machines else {})

    def cancel(self, run_id: str, **body: Any) -> Json:
        return self._acted(run_id, "cancel", body)

    def _acted(self, run_id: str, action: str, body: Json) -> Json:
        """The run where it rests after the action."""
        answer = self.act(run_id, action, body, within=100)
        assert answer.status_code == 200, answer.text
        run: Json = answer.json()
        return run

    def of(self, run_id: str) -> Json:
        answer = self.get(f"/api/runs/{run_id}")
        assert answer.status_code == 200, answer.text
        run: Json = answer.json()
        return run

    def until_rest(self, run_id: str, within: float = 60.0) -> Json:
        def rested() -> Json:
            run = self.of(run_id)
            return run if run["status"] not in WORKING else {}

        return eventually(rested, within)

    def all(self, path: str, **parameters: Any) -> list[Json]:
        """The items of every page of a list."""
        found: list[Json] = []
        while True:
            answer = self.get(path, params=parameters)
            assert answer.status_code == 200, answer.text
            found += answer.json()["items"]
            cursor = answer.json()["cursor"]
            if cursor is None:
                return found
            parameters["cursor"] = cursor

    def findings(self, run_id: str) -> dict[str, Json]:
        """The findings of a run by machine id."""
        items = self.all(f"/api/runs/{run_id}/remaps", limit=1000)
        by_id = {item["machine"]["id"]: item for item in items}
        assert len(by_id) == len(items), "a machine came twice"
        return by_id

    def fire(self, function: str) -> None:
        """Fires a timer function, as the real host does it."""
        assert self.post(f"/admin/functions/{function}", role=None, json={}).status_code == 202

    def __enter__(self) -> Api:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()
