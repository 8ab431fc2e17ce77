"""HTTP triggers of the local host, asked over a real socket."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.host_app.running import RunningHost, eventually, host

KEY = "the-sample-key"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    folder = tmp_path_factory.mktemp("http")
    with host(
        folder, SANDBOX_FUNCTION_KEY=KEY, PYTHON_THREADPOOL_THREAD_COUNT="3", FUNCTIONS_REQUEST_BODY_SIZE_LIMIT="1000"
    ) as running:
        yield running


def test_a_function_gets_the_request_as_it_was_sent(served: RunningHost) -> None:
    answer = served.post("/api/echo/CORP%5CW11-001/a/b%20c?q=x%26y", data=b"\x00\xff", headers={"X-Mixed": "Case"})
    seen = answer.json()
    assert seen["method"] == "POST"
    assert seen["url"] == f"{served.url}/api/echo/CORP%5CW11-001/a/b%20c?q=x%26y"
    assert seen["route"] == {"id": "CORP\\W11-001", "rest": "a/b c"}
    assert seen["params"] == {"q": "x&y"}
    assert seen["headers"]["x-mixed"] == "Case"
    assert seen["body"] == "\x00\xff"


def test_the_context_names_function_and_invocation(served: RunningHost) -> None:
    first, second = (served.get("/api/echo/1").json() for _ in range(2))
    assert first["function"] == "echo"
    assert first["invocation"] != second["invocation"]


def test_query_parameters_without_a_value_do_not_arrive_and_repeated_ones_are_joined(served: RunningHost) -> None:
    assert served.get("/api/echo/1?flag&empty=&q=1&q=2").json()["params"] == {"q": "1,2"}


@pytest.mark.parametrize(
    ("path", "route"),
    [
        pytest.param("/api/echo/1", {"id": "1"}, id="a-catch-all-may-be-empty"),
        pytest.param("/api/echo/1/", {"id": "1"}, id="one-trailing-slash-is-ignored"),
        pytest.param("/API/Echo/Ab", {"id": "Ab"}, id="literals-ignore-case-and-values-keep-it"),
        pytest.param("/api/echo/a%2Fb", {"id": "a%2Fb"}, id="an-encoded-slash-stays-encoded"),
        pytest.param("/api/echo/%C3%BC", {"id": "\u00fc"}, id="utf-8"),
    ],
)
def test_a_route_is_matched_and_decoded(served: RunningHost, path: str, route: dict[str, str]) -> None:
    assert served.get(path).json()["route"] == route


def raw(served: RunningHost, target: str) -> str:
    """The status line for a target that an HTTP library would tidy up first."""
    port = int(served.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer.decode()


def test_dot_segments_never_reach_a_function(served: RunningHost) -> None:
    answer = raw(served, "/api/echo/1/x/../../2/%2e%2e/3/y")
    assert json.loads(answer.split("\r\n\r\n", 1)[1])["route"] == {"id": "3", "rest": "y"}


@pytest.mark.parametrize("target", ["/api/echo/%FF", "/api/echo/a%00b"])
def test_a_path_that_can_not_be_decoded_is_a_400(served: RunningHost, target: str) -> None:
    assert raw(served, target).startswith("HTTP/1.1 400 ")


def test_the_first_function_by_name_wins(served: RunningHost) -> None:
    assert served.get("/api/first").text == "a_first"


def test_a_function_whose_method_does_not_fit_is_passed_over(served: RunningHost) -> None:
    assert served.post("/api/first").text == "b_second"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("POST", "/api/rich/answer", id="wrong-method"),
        pytest.param("GET", "/api/first/more", id="no-such-route"),
        pytest.param("GET", "/first", id="no-prefix"),
        pytest.param("GET", "/", id="root"),
    ],
)
def test_nothing_that_fits_is_a_bare_404(served: RunningHost, method: str, path: str) -> None:
    answer = served.call(method, path)
    assert (answer.status_code, answer.content) == (404, b"")


def test_the_answer_keeps_status_headers_type_charset_and_every_cookie(served: RunningHost) -> None:
    answer = served.get("/api/rich/answer")
    assert answer.status_code == 418
    assert answer.headers["Content-Type"] == "text/x-tea; charset=latin-1"
    assert answer.headers["X-Kind"] == "green"
    assert answer.content == b"f\xfcr"
    assert answer.raw.headers.getlist("Set-Cookie") == ["a=1", "b=2; Path=/"]


def test_an_answer_may_be_empty(served: RunningHost) -> None:
    answer = served.get("/api/no/content")
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("path", ["/api/raise/error", "/api/raise/wrong"])
def test_a_function_that_fails_is_a_500_with_an_empty_body(served: RunningHost, path: str) -> None:
    answer = served.get(path)
    assert (answer.status_code, answer.content) == (500, b"")


def test_the_log_holds_the_traceback_and_no_forged_line(served: RunningHost) -> None:
    served.get("/api/raise/error")
    log = served.log()
    assert "ZeroDivisionError: the sample fails" in log
    assert not [line for line in log.splitlines() if line.startswith("FORGED")]


def test_the_app_logs_one_line_a_message_and_the_sdk_is_quiet(served: RunningHost) -> None:
    served.get("/api/log/line?text=one%0Atwo")
    assert "INFO sample: from the app one\\ntwo\n" in served.log()
    assert "quiet please" not in served.log()


@pytest.mark.parametrize("path", ["/api/secret/function", "/api/secret/admin"])
def test_a_keyed_route_needs_the_key(served: RunningHost, path: str) -> None:
    assert served.get(path).status_code == 401
    assert served.get(path, headers={"x-functions-key": "wrong"}).status_code == 401
    assert served.get(path, headers={"x-functions-key": KEY}).status_code == 200
    assert served.get(f"{path}?code={KEY}").status_code == 200


def test_the_log_never_holds_the_key(served: RunningHost) -> None:
    served.get(f"/api/secret/function?code={KEY}")
    assert KEY not in served.log()


def test_without_a_key_in_the_settings_keyed_routes_are_closed(tmp_path: Path) -> None:
    with host(tmp_path, SANDBOX_FUNCTION_KEY="") as running:
        assert running.get("/api/secret/function", headers={"x-functions-key": ""}).status_code == 401
        assert running.get("/api/secret/function?code=").status_code == 401


def test_the_principal_is_passed_on_as_received(served: RunningHost) -> None:
    headers = {"X-MS-CLIENT-PRINCIPAL": "eyJhIjoxfQ=="}
    assert served.get("/api/echo/1", headers=headers).json()["headers"]["x-ms-client-principal"] == "eyJhIjoxfQ=="


def test_a_compressed_body_is_passed_on_as_it_is(served: RunningHost) -> None:
    body = gzip.compress(b"hello")
    seen = served.post("/api/echo/1", data=body, headers={"Content-Encoding": "gzip"}).json()
    assert seen["body"].encode("latin-1") == body


def test_a_body_over_the_limit_is_a_413(served: RunningHost) -> None:
    assert served.post("/api/echo/1", data=b"x" * 1001).status_code == 413
    assert served.post("/api/echo/1", data=b"x" * 1000).status_code == 200


def test_sync_functions_run_in_the_pool_and_async_ones_on_the_loop(served: RunningHost) -> None:
    assert served.get("/api/echo/1").json()["thread"].startswith("function_")
    assert served.get("/api/async/where").text == "MainThread"


def test_the_pool_is_as_large_as_the_setting_says_and_the_loop_stays_free(tmp_path: Path) -> None:
    with (
        host(tmp_path, PYTHON_THREADPOOL_THREAD_COUNT="3") as running,
        ThreadPoolExecutor(6) as callers,
    ):
        calls = [callers.submit(running.get, "/api/busy/gate") for _ in range(6)]
        eventually(lambda: len(running.journal(busy="in")) == 3)
        assert running.get("/api/async/where").status_code == 200
        running.open_gate()
        assert [call.result().status_code for call in calls] == [200] * 6
        assert max(entry["running"] for entry in running.journal(busy="in")) == 3
