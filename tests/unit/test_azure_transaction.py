"""Transactions: word for word what the SDK sends, and the answers that a Table service gives to them."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.core.pipeline.transport import RequestsTransport
from azure.data.tables import TableClient, UpdateMode
from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

from shared.azure.transaction import Operation, TransactionFailed, TransactionRefused, Verb, transact

ETAG = "W/\"datetime'2026-11-22T12%3A00%3A00.0156429Z'\""
ODD: dict[str, Any] = {
    "PartitionKey": "p'1 é",
    "RowKey": "r 1%2F'#",
    "text": 'é"😀\r\n',
    "n": -5,
    "yes": True,
    "f": 1.5,
}
ROW: dict[str, Any] = {"PartitionKey": "p'1 é", "RowKey": "r2", "sent": False, "error": ""}
GUARD = {"etag": ETAG, "match_condition": MatchConditions.IfNotModified}


class Wire(HTTPAdapter):
    """Keeps what is sent; ``answer`` says what comes back."""

    def __init__(self, answer: Callable[[PreparedRequest], tuple[int, dict[str, str], bytes]]) -> None:
        super().__init__()
        self.sent: list[PreparedRequest] = []
        self._answer = answer

    def send(self, request: PreparedRequest, **_: object) -> Response:  # type: ignore[override]
        self.sent.append(request)
        status, headers, body = self._answer(request)
        raw = HTTPResponse(BytesIO(body), headers=headers, status=status, preload_content=False)
        return self.build_response(request, raw)


def client_on(wire: Wire) -> TableClient:
    session = Session()
    session.mount("https://", wire)
    transport = RequestsTransport(session=session, session_owner=False)
    text = "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=YWJj;EndpointSuffix=core.windows.net"
    return TableClient.from_connection_string(text, "remaps", transport=transport, retry_total=0)


def changes(*parts: str, status: int = 202) -> Callable[[PreparedRequest], tuple[int, dict[str, str], bytes]]:
    """The answer of a service with one part for each of ``parts``."""
    head = "--batchresponse_1\r\nContent-Type: multipart/mixed; boundary=changesetresponse_2\r\n\r\n"
    part_head = "--changesetresponse_2\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    body = head + "".join(f"{part_head}{part}\r\n" for part in parts)
    body += "--changesetresponse_2--\r\n--batchresponse_1--\r\n"
    headers = {"Content-Type": "multipart/mixed; boundary=batchresponse_1"}
    return lambda _: (status, headers, body.encode())


def done(etag: str | None = None, name: str = "ETag") -> str:
    line = f"{name}: {etag}\r\n" if etag else ""
    return f"HTTP/1.1 204 No Content\r\nX-Content-Type-Options: nosniff\r\nDataServiceVersion: 3.0;\r\n{line}\r\n"


def refused(status: int, code: str) -> str:
    error = f'{{"odata.error":{{"code":"{code}","message":{{"lang":"en-US","value":"1:{{a signature}}"}}}}}}'
    return f"HTTP/1.1 {status} No\r\nContent-Type: application/json;odata=minimalmetadata\r\n\r\n{error}"


@pytest.mark.parametrize(
    ("ours", "sdks"),
    [
        pytest.param(Operation(Verb.INSERT, ODD), ("create", ODD, {}), id="insert"),
        pytest.param(Operation(Verb.REPLACE, ODD), ("upsert", ODD, {"mode": UpdateMode.REPLACE}), id="upsert"),
        pytest.param(
            Operation(Verb.REPLACE, ODD, ETAG), ("update", ODD, {"mode": UpdateMode.REPLACE, **GUARD}), id="replace"
        ),
        pytest.param(
            Operation(Verb.MERGE, ODD, ETAG), ("update", ODD, {"mode": UpdateMode.MERGE, **GUARD}), id="merge"
        ),
        pytest.param(Operation(Verb.DELETE, ODD), ("delete", ODD, {}), id="delete"),
        pytest.param(Operation(Verb.DELETE, ODD, ETAG), ("delete", ODD, GUARD), id="guarded-delete"),
    ],
)
def test_a_transaction_is_word_for_word_what_the_sdk_sends(ours: Operation, sdks: tuple[Any, ...]) -> None:
    wire = Wire(changes(done(ETAG), done(ETAG)))
    client = client_on(wire)
    transact(client, [ours, Operation(Verb.MERGE, ROW, ETAG)], {})
    client.submit_transaction([sdks, ("update", ROW, {"mode": UpdateMode.MERGE, **GUARD})])
    mine, theirs = (plain(request) for request in wire.sent)
    assert mine == theirs
    assert len(mine[2]) > 800


def plain(request: PreparedRequest) -> tuple[str, dict[str, str], str]:
    """What says something in a request: without its times, signatures and the names of its boundaries."""
    said = {
        name.lower(): re.sub(r"(batch|changeset)_[0-9a-f-]{36}", r"\1", value)
        for name, value in request.headers.items()
        if name.lower() not in {"x-ms-client-request-id", "x-ms-date", "date", "authorization", "content-length"}
    }
    body = request.body if isinstance(request.body, bytes) else str(request.body).encode()
    text = re.sub(r"(batch|changeset)_[0-9a-f-]{36}", r"\1", body.decode())
    return f"{request.method} {request.url}", said, re.sub(r"(?m)^((?:x-ms-)?date): .*$", r"\1", text, flags=re.I)


def test_the_new_etags_come_back_in_the_order_of_the_operations() -> None:
    wire = Wire(changes(done('W/"1"'), done(), done('W/"3"', "etag")))
    operations = [Operation(Verb.MERGE, ROW, ETAG), Operation(Verb.DELETE, ROW), Operation(Verb.INSERT, ODD)]
    assert transact(client_on(wire), operations, {}) == ['W/"1"', None, 'W/"3"']


def test_a_row_that_comes_back_in_the_answer_cannot_be_taken_for_a_header() -> None:
    body = '{"error": "",\r\nETag: W/"x"}'
    echo = f'HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nETag: W/"1"\r\n\r\n{body}'
    assert transact(client_on(Wire(changes(echo))), [Operation(Verb.INSERT, ODD)], {}) == ['W/"1"']


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (412, "UpdateConditionNotSatisfied"),
        (404, "ResourceNotFound"),
        (409, "EntityAlreadyExists"),
        (503, "ServerBusy"),
    ],
)
def test_a_refused_operation_refuses_the_whole_with_its_status_and_code(status: int, code: str) -> None:
    with pytest.raises(TransactionRefused) as caught:
        transact(client_on(Wire(changes(refused(status, code)))), [Operation(Verb.MERGE, ROW, ETAG)] * 3, {})
    assert (caught.value.status_code, caught.value.error_code) == (status, code)
    assert "signature" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        pytest.param(
            lambda _: (403, {"x-ms-error-code": "AuthorizationFailure"}, b"<Error/>"),
            403,
            "AuthorizationFailure",
            id="by-header",
        ),
        pytest.param(
            lambda _: (413, {}, b'{"odata.error":{"code":"RequestBodyTooLarge"}}'),
            413,
            "RequestBodyTooLarge",
            id="json",
        ),
        pytest.param(lambda _: (400, {}, b"{not json}"), 400, None, id="no-code"),
        pytest.param(lambda _: (202, {}, b""), 202, "0 answers to 1 operations", id="empty"),
        pytest.param(changes(done(ETAG), done(ETAG)), 202, "2 answers to 1 operations", id="one-too-many"),
        pytest.param(changes("what?"), 500, None, id="unreadable-part"),
    ],
)
def test_an_answer_that_is_no_outcome_is_an_error(
    answer: Callable[[PreparedRequest], tuple[int, dict[str, str], bytes]], status: int, code: str | None
) -> None:
    with pytest.raises(TransactionFailed) as caught:
        transact(client_on(Wire(answer)), [Operation(Verb.MERGE, ROW, ETAG)], {})
    assert (caught.value.status_code, caught.value.error_code) == (status, code)


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, float("nan"), float("inf")])
def test_a_number_that_no_row_holds_is_not_sent(value: float) -> None:
    wire = Wire(changes(done(ETAG)))
    with pytest.raises(ValueError, match=r"32 bits|JSON"):
        transact(client_on(wire), [Operation(Verb.INSERT, {**ROW, "n": value})], {})
    assert wire.sent == []
