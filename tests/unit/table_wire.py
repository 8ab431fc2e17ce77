"""A Table service at the other end of the SDK's own client: what it is sent is kept, and what it answers is made up."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

from azure.core.pipeline.transport import RequestsTransport
from azure.data.tables import TableClient
from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse


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
