"""Storage that answers badly: bounded patience, and sentences. Azurite never does, so a small server stands in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from aiohttp import web

from sandbox.server import Background, Server
from shared.azure.storage import Storage
from shared.azure.transport import LONGEST_WAIT
from shared.azure.work_queue import WorkQueue, WorkStep
from shared.errors import StorageError
from shared.model.run import RunId
from shared.settings.storage import StorageSettings


@pytest.fixture(scope="module")
def background() -> Iterator[Background]:
    background = Background()
    yield background
    background.stop()


class Account:
    def __init__(self, background: Background, status: int, code: str) -> None:
        self.asked = 0
        self._status = status
        self._code = code
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._server = Server(background, app, None)
        self._server.start()
        url = f"{self._server.url}/acc"
        text = f"AccountName=acc;AccountKey=c2VjcmV0a2V5;TableEndpoint={url};QueueEndpoint={url}"
        self.storage = Storage(StorageSettings(connection_string=text))

    async def _answer(self, request: web.Request) -> web.Response:
        if request.path == "/acc/Tables":  # the tables are there: what is asked of them is busy
            return web.json_response({"odata.error": {"code": "TableAlreadyExists"}}, status=409)
        self.asked += 1
        body = {"odata.error": {"code": self._code, "message": {"lang": "en", "value": "signature c2VjcmV0a2V5"}}}
        headers = {"x-ms-error-code": self._code, "Retry-After": "3600"}
        return web.json_response(body, status=self._status, headers=headers)

    def stop(self) -> None:
        self.storage.close()
        self._server.stop()


@pytest.mark.parametrize(
    ("status", "code", "kind", "retryable"),
    [
        pytest.param(503, "ServerBusy", "throttled", True, id="busy"),
        pytest.param(500, "OperationTimedOut", "failed", True, id="timed-out-inside"),
        pytest.param(403, "AuthorizationPermissionMismatch", "forbidden", False, id="role-missing"),
        pytest.param(403, "AuthenticationFailed", "forbidden", False, id="wrong-key"),
    ],
)
def test_patience_with_storage_has_bounds(
    background: Background, monkeypatch: pytest.MonkeyPatch, status: int, code: str, kind: str, retryable: bool
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    account = Account(background, status, code)
    for attempt in (
        lambda: account.storage.table("runs").get("p", "r"),
        lambda: account.storage.table("runs").put({"PartitionKey": "p", "RowKey": "r"}),
        lambda: account.storage.table("remaps").put_all([{"PartitionKey": "p", "RowKey": "r"}]),
        lambda: list(account.storage.table("remaps").query("PartitionKey eq 'p'", select=["RowKey"])),
        lambda: WorkQueue(account.storage).send(RunId("r"), WorkStep.PLAN),
    ):
        account.asked = 0
        with pytest.raises(StorageError, match=f"HTTP {status}, {code}") as caught:
            attempt()
        assert (caught.value.kind, caught.value.retryable) == (kind, retryable)
        assert "c2VjcmV0a2V5" not in str(caught.value)
        assert 1 <= account.asked <= 5
    assert max(waits, default=0) <= LONGEST_WAIT
    account.stop()
