"""Key Vault's client against the simulated vault and its challenge, and against a vault that misbehaves."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator

import pytest
from aiohttp import web
from azure.core.credentials import TokenCredential

from sandbox.calls import Calls
from sandbox.certificates import CertificateAuthority, ServerCertificate
from sandbox.faults import Faults
from sandbox.identity import PATH, Identity
from sandbox.server import Background, Server
from sandbox.vault import Vault as SimulatedVault
from shared.azure.identity import credential_from
from shared.azure.transport import LONGEST_WAIT
from shared.azure.vault import Secret, Vault
from shared.errors import VaultError
from shared.settings.trust import TrustSettings, load_trust


@pytest.fixture(scope="module")
def background() -> Iterator[Background]:
    background = Background()
    yield background
    background.stop()


@pytest.fixture(scope="module")
def authority() -> Iterator[CertificateAuthority]:
    with CertificateAuthority() as ca:
        yield ca


@pytest.fixture(scope="module")
def certificate(authority: CertificateAuthority) -> ServerCertificate:
    return authority.certificate()


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def identity(background: Background, monkeypatch: pytest.MonkeyPatch) -> Iterator[Identity]:
    identity = Identity(Calls())
    server = Server(background, identity.app, None)
    server.start()
    monkeypatch.setenv("IDENTITY_ENDPOINT", server.url + PATH)
    monkeypatch.setenv("IDENTITY_HEADER", identity.header)
    yield identity
    server.stop()


@pytest.fixture
def credential(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> TokenCredential:
    return credential_from({name: os.environ[name] for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER")})


@pytest.fixture
def simulated(
    background: Background, identity: Identity, faults: Faults, certificate: ServerCertificate
) -> Iterator[tuple[SimulatedVault, str]]:
    vault = SimulatedVault(identity, faults, Calls())
    server = Server(background, vault.app, certificate)
    server.start()
    vault.port = server.port
    yield vault, server.url
    server.stop()


def trusting(ca: CertificateAuthority) -> TrustSettings:
    return load_trust({"REQUESTS_CA_BUNDLE": str(ca.ca_file)})


@pytest.fixture
def vault(
    simulated: tuple[SimulatedVault, str], credential: TokenCredential, authority: CertificateAuthority
) -> Iterator[Vault]:
    vault = Vault(simulated[1], credential, trust=trusting(authority))
    yield vault
    vault.close()


def test_a_secret_comes_with_its_newest_version(simulated: tuple[SimulatedVault, str], vault: Vault) -> None:
    first = simulated[0].put("citrix-emea", "one")
    assert vault.secret("citrix-emea") == Secret("citrix-emea", "one", first)
    second = simulated[0].put("citrix-emea", "two")
    assert second != first
    assert vault.secret("citrix-emea") == Secret("citrix-emea", "two", second)


def test_a_value_shows_in_no_repr_and_no_log(
    simulated: tuple[SimulatedVault, str], vault: Vault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    simulated[0].put("citrix-emea", "s3cret-value")
    secret = vault.secret("citrix-emea")
    assert secret.value == "s3cret-value"
    assert "s3cret-value" not in f"{secret!r} {caplog.text}"


def test_a_denied_read_names_vault_secret_and_role(vault: Vault, faults: Faults) -> None:
    faults.set("vault-denied")
    with pytest.raises(VaultError, match="Key Vault Secrets User") as caught:
        vault.secret("citrix-emea")
    assert (caught.value.kind, caught.value.retryable) == ("forbidden", False)
    assert "127.0.0.1" in str(caught.value)
    assert "citrix-emea" in str(caught.value)


def test_a_missing_secret_is_named(vault: Vault) -> None:
    with pytest.raises(VaultError, match="has no secret citrix-emea") as caught:
        vault.secret("citrix-emea")
    assert caught.value.kind == "missing"


@pytest.mark.parametrize("name", ["", "a/b", "a?b", "secret_1", "x" * 128])
def test_a_name_that_no_secret_can_have_is_not_asked_for(vault: Vault, name: str) -> None:
    with pytest.raises(VaultError, match="letters, digits and hyphens"):
        vault.secret(name)


def test_an_empty_secret_is_refused(simulated: tuple[SimulatedVault, str], vault: Vault) -> None:
    simulated[0].put("empty", "")
    with pytest.raises(VaultError, match="without a value"):
        vault.secret("empty")


def test_a_vault_that_is_not_there_is_unreachable(credential: TokenCredential, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    vault = Vault(f"https://127.0.0.1:{port}", credential)
    with pytest.raises(VaultError, match="could not be reached") as caught:
        vault.secret("citrix-emea")
    assert (caught.value.kind, caught.value.retryable) == ("unreachable", True)
    assert sum(waits) < 30
    vault.close()


def test_a_vault_with_an_untrusted_certificate_is_not_asked(
    simulated: tuple[SimulatedVault, str],
    credential: TokenCredential,
    authority: CertificateAuthority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # of the process, which is not asked
        monkeypatch.setenv(name, str(authority.ca_file))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    vault = Vault(simulated[1], credential)
    with pytest.raises(VaultError, match="not trusted") as caught:
        vault.secret("citrix-emea")
    assert caught.value.kind == "tls"
    vault.close()


def test_an_identity_without_token_is_named(
    simulated: tuple[SimulatedVault, str], authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "wrong-header")
    credential = credential_from({"IDENTITY_ENDPOINT": "http://127.0.0.1/other", "IDENTITY_HEADER": "wrong-header"})
    vault = Vault(simulated[1], credential, trust=trusting(authority))
    with pytest.raises(VaultError, match="managed identity got no token") as caught:
        vault.secret("citrix-emea")
    assert caught.value.kind == "sign-in"
    assert "wrong-header" not in str(caught.value)
    vault.close()


class Misbehaving:
    """A vault that answers every read with one status, or with a challenge for another host."""

    def __init__(self, background: Background, certificate: ServerCertificate, status: int, resource: str = "") -> None:
        self.asked = 0
        self._status = status
        self._resource = resource
        app = web.Application()
        app.router.add_get("/secrets/{tail:.*}", self._answer)
        self.server = Server(background, app, certificate)
        self.server.start()

    async def _answer(self, request: web.Request) -> web.Response:
        if "Authorization" not in request.headers:
            resource = self._resource or f"https://0.0.1:{self.server.port}"
            challenge = f'Bearer authorization="https://login.microsoftonline.com/t", resource="{resource}"'
            return web.json_response({}, status=401, headers={"WWW-Authenticate": challenge})
        self.asked += 1
        headers = {"Retry-After": "3600"} if self._status in (429, 503) else {}
        body = {"error": {"code": "X", "message": "internal words"}}
        return web.json_response(body, status=self._status, headers=headers)


@pytest.fixture
def open_misbehaving(background: Background, certificate: ServerCertificate) -> Iterator[Callable[..., Misbehaving]]:
    opened: list[Misbehaving] = []

    def open_one(status: int, resource: str = "") -> Misbehaving:
        opened.append(Misbehaving(background, certificate, status, resource))
        return opened[-1]

    yield open_one
    for vault in opened:
        vault.server.stop()


@pytest.mark.parametrize(
    ("status", "kind", "retryable", "attempts"),
    [
        pytest.param(429, "throttled", True, 5, id="throttled"),
        pytest.param(503, "failed", True, 5, id="down"),
        pytest.param(401, "sign-in", False, 1, id="another-tenant"),
        pytest.param(400, "failed", False, 1, id="bad-request"),
    ],
)
def test_patience_with_a_vault_has_bounds(
    open_misbehaving: Callable[..., Misbehaving],
    authority: CertificateAuthority,
    credential: TokenCredential,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    kind: str,
    retryable: bool,
    attempts: int,
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    broken = open_misbehaving(status)
    vault = Vault(broken.server.url, credential, trust=trusting(authority))
    with pytest.raises(VaultError, match="citrix-emea") as caught:
        vault.secret("citrix-emea")
    assert (caught.value.kind, caught.value.retryable) == (kind, retryable)
    assert "internal words" not in str(caught.value)
    assert broken.asked == attempts
    assert max(waits, default=0) <= LONGEST_WAIT
    vault.close()


def test_a_challenge_of_another_host_gets_no_token(
    open_misbehaving: Callable[..., Misbehaving], authority: CertificateAuthority, credential: TokenCredential
) -> None:
    broken = open_misbehaving(200, "https://vault.attacker.example")
    vault = Vault(broken.server.url, credential, trust=trusting(authority))
    with pytest.raises(VaultError, match="Correct KEY_VAULT_URL") as caught:
        vault.secret("citrix-emea")
    assert caught.value.kind == "misconfigured"
    assert broken.asked == 0
    vault.close()
