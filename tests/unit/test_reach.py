"""The way to a host below HTTP, on real sockets: each stage where it ends, with what to do."""

from __future__ import annotations

import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from shared.errors import RealignError, Upstream
from shared.runs.probing.check import Walk
from shared.runs.probing.machine import ask_disk, check_clock, check_schedule
from shared.runs.probing.reach import reach
from shared.transport import trust_anchors

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@contextmanager
def listening(certificate: trustme.LeafCert | None = None, says: bytes = b"") -> Iterator[int]:
    """A port that accepts; with a certificate it speaks TLS, else it says its piece and hangs up."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate is not None:
        certificate.configure_cert(context)

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                if certificate is None:
                    connection.sendall(says)
                else:
                    with context.wrap_socket(connection, server_side=True) as tls:
                        tls.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def walk_to(origin: str, authority: trustme.CA | None = None, **environ: str) -> Walk:
    walk = Walk()
    ca = authority.cert_pem.bytes().decode() if authority is not None else None
    reach(walk, origin, trust_anchors(ca, {}), environ, "the setting")
    return walk


def ends(origin: str, authority: trustme.CA | None = None, **environ: str) -> tuple[str, list[tuple[str, bool]]]:
    """The sentence, and the stages up to the one that failed."""
    walk = Walk()
    ca = authority.cert_pem.bytes().decode() if authority is not None else None
    with pytest.raises(Upstream) as caught:
        reach(walk, origin, trust_anchors(ca, {}), environ, "the setting")
    return str(caught.value), [(stage.name, stage.passed) for stage in walk.stages]


def test_a_way_that_is_open_tells_addresses_and_the_certificate(authority: trustme.CA) -> None:
    with listening(authority.issue_cert("localhost", common_name="prism.example")) as port:
        stages = walk_to(f"https://localhost:{port}", authority).stages
    assert [(stage.name, stage.passed) for stage in stages] == [("name", True), ("tcp", True), ("tls", True)]
    assert "127.0.0.1" in stages[0].detail
    assert stages[1].detail == f"localhost:{port}"
    assert "TLSv1.3 with the certificate of prism.example, valid until" in stages[2].detail


def test_without_tls_there_is_nothing_to_check_of_it() -> None:
    with listening() as port:
        assert [stage.name for stage in walk_to(f"http://localhost:{port}").stages] == ["name", "tcp"]


def test_a_name_that_nobody_knows() -> None:
    told, stages = ends("https://nobody.invalid")
    assert told.startswith("nobody.invalid is a name that is not known here. Check it in the setting, and the DNS")
    assert stages == [("name", False)]


def test_a_port_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    told, stages = ends(f"https://localhost:{port}")
    assert f"refuses connections at port {port}. Check the port in the setting" in told
    assert stages == [("name", True), ("tcp", False)]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TimeoutError(), "within 5 s. A firewall may be between"),
        (OSError(101, "Network is unreachable"), "(Network is unreachable). Check routes and firewall"),
    ],
)
def test_a_host_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, error: OSError, told: str) -> None:
    def fails(*_: object, **__: object) -> socket.socket:
        raise error

    monkeypatch.setattr(socket, "create_connection", fails)
    sentence, stages = ends("https://localhost:9440")
    assert told in sentence
    assert stages == [("name", True), ("tcp", False)]


@pytest.mark.parametrize(
    ("leaf", "ours", "told"),
    [
        ({"identities": ("localhost",)}, False, "Name the CA that issued it"),
        ({"identities": ("other.example",)}, True, "Write the name that the certificate bears in the setting"),
        (
            {"identities": ("localhost",), "not_before": NOW - timedelta(days=2), "not_after": NOW - timedelta(days=1)},
            True,
            "(certificate has expired). Renew it, or set the clock",
        ),
    ],
    ids=["unknown-authority", "other-name", "expired"],
)
def test_a_certificate_that_is_not_trusted(
    authority: trustme.CA, leaf: dict[str, object], ours: bool, told: str
) -> None:
    names = leaf["identities"]
    rest = {name: value for name, value in leaf.items() if name != "identities"}
    with listening(authority.issue_cert(*names, **rest)) as port:  # type: ignore[misc,arg-type]
        sentence, stages = ends(f"https://localhost:{port}", authority if ours else trustme.CA())
    assert "shows a certificate that is not trusted" in sentence
    assert told in sentence
    assert stages == [("name", True), ("tcp", True), ("tls", False)]


@pytest.mark.parametrize("says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_a_port_that_speaks_no_tls(says: bytes) -> None:
    with listening(says=says) as port:
        sentence, stages = ends(f"https://localhost:{port}")
    assert "Check host and port in the setting" in sentence
    assert stages[-1] == ("tls", False)


def test_a_port_that_accepts_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.runs.probing.reach.CONNECT_TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sentence, stages = ends(f"https://localhost:{silent.getsockname()[1]}")
    assert "accepts a connection and then says nothing" in sentence
    assert stages[-1] == ("tls", False)


def test_behind_a_proxy_only_the_way_to_the_proxy_is_walked() -> None:
    with listening() as port:
        proxy = f"http://user:secret@localhost:{port}"
        (stage,) = walk_to("https://nobody.invalid", HTTPS_PROXY=proxy).stages
    assert (stage.name, stage.passed, stage.detail) == ("proxy", True, f"localhost:{port}")
    told, stages = ends("https://nobody.invalid", HTTPS_PROXY=proxy)
    assert "Check the port in the proxy settings" in told
    assert "secret" not in told
    assert stages == [("proxy", False)]


@pytest.mark.parametrize("seconds", [0, 10, -10])
def test_clocks_that_differ_by_what_locks_allow_for_are_right(seconds: int) -> None:
    assert check_clock(NOW, NOW + timedelta(seconds=seconds), NOW) == timedelta(seconds=-seconds)


def test_an_account_that_takes_half_a_minute_to_answer_makes_no_clock_wrong() -> None:
    asked, answered = NOW, NOW + timedelta(seconds=30)
    assert check_clock(asked, NOW + timedelta(seconds=29), answered) == timedelta()
    with pytest.raises(RealignError, match="300 s behind"):
        check_clock(asked, answered + timedelta(minutes=5), answered)


@pytest.mark.parametrize(("minutes", "told"), [(5, "300 s behind"), (-5, "300 s ahead of")])
def test_a_clock_that_is_five_minutes_off_is_named_with_its_way(minutes: int, told: str) -> None:
    with pytest.raises(RealignError, match=f"The clock of this machine is {told} the storage account's.*NTP"):
        check_clock(NOW, NOW + timedelta(minutes=minutes), NOW)


def test_a_disk_that_is_full_is_named_before_the_host_fails() -> None:
    walk = Walk()
    ask_disk(walk, room=lambda: 41_000_000_000)
    assert walk.stages[-1].detail == "41,000 MB free"
    with pytest.raises(RealignError, match="has 3 MB left.*Restart the app"):
        ask_disk(walk, room=lambda: 3_000_000)


def test_a_disk_on_which_nothing_can_be_written_is_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)  # as in a process that has not looked for a folder yet
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "none")])
    with pytest.raises(RealignError, match="has 0 MB left"):
        ask_disk(Walk())


@pytest.mark.parametrize("expression", ["0 0 3 * * *", "*/5 * * * *", " 0 30 9-17 * Jan-Mar Mon,Fri "])
def test_a_schedule_of_five_or_six_fields_is_one(expression: str) -> None:
    check_schedule(expression)


@pytest.mark.parametrize(
    ("expression", "told"),
    [(None, "REALIGN_SCHEDULE is not set"), ("@daily", "'@daily', which is no schedule"), ("0 3 * *", "'0 3 * *'")],
)
def test_without_a_schedule_nothing_would_start_and_nobody_would_say_so(expression: str | None, told: str) -> None:
    with pytest.raises(RealignError, match="so nothing starts the runs of profiles with a schedule") as caught:
        check_schedule(expression)
    assert told in str(caught.value)
