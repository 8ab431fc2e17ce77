"""What storage, vault and sign-in take from the environment: the settings' CA and proxies, and nothing else."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from aiohttp import web
from azure.core.exceptions import ClientAuthenticationError

from sandbox.certificates import CertificateAuthority
from sandbox.server import Background, Server
from shared.azure.identity import credential_from
from shared.azure.storage import Storage
from shared.azure.vault import Vault
from shared.azure.work_queue import WorkStep
from shared.errors import StorageError, VaultError
from shared.model.run import RunId
from shared.runs.resources import Resources
from shared.settings.storage import StorageSettings
from shared.settings.trust import TrustSettings
from tests.integration.tunnel import Tunnel

SCOPE = "https://vault.azure.net/.default"
MANAGED_PATH = "/msi/token"


class Cloud:
    """A tenant, a vault and an account on one port. It notes what signed each call; all but the sign-in is refused."""

    def __init__(self, background: Background, ca: CertificateAuthority | None) -> None:
        self.signed: dict[str, str | None] = {}
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self.server = Server(background, app, ca.certificate() if ca else None)
        self.server.start()

    async def _answer(self, request: web.Request) -> web.Response:
        path, authorization = request.path, request.headers.get("Authorization")
        if path.endswith("/openid-configuration"):
            self.signed["metadata"] = authorization
            root = f"{self.server.url}/tenant"
            names = ("issuer", "authorization_endpoint", "token_endpoint")
            return web.json_response({name: f"{root}/oauth2/v2.0/token" for name in names})
        if path.endswith("/oauth2/v2.0/token"):
            self.signed["token"] = authorization
            return web.json_response({"access_token": "the-token", "expires_in": 3599, "token_type": "Bearer"})
        if path == MANAGED_PATH:
            self.signed["managed"] = authorization
            expires = str(int(time.time()) + 7200)
            return web.json_response({"access_token": "the-token", "expires_on": expires, "resource": "r"})
        if path.startswith("/secrets/") and authorization is None:
            resource = f"https://0.0.1:{self.server.port}"  # the SDK wants the vault's host below it
            challenge = f'Bearer authorization="{self.server.url}/tenant", resource="{resource}"'
            return web.json_response({}, status=401, headers={"WWW-Authenticate": challenge})
        self.signed[path.split("/")[1].partition("(")[0]] = authorization
        return web.json_response({}, status=403, headers={"x-ms-error-code": "AuthorizationFailure"})

    def environ(self, ca: CertificateAuthority, **more: str) -> dict[str, str]:
        return {
            "AZURE_TENANT_ID": "tenant",
            "AZURE_CLIENT_ID": "app",
            "AZURE_CLIENT_SECRET": "hush",
            "AZURE_AUTHORITY_HOST": self.server.url,
            "AzureWebJobsStorage__tableServiceUri": f"{self.server.url}/table",
            "AzureWebJobsStorage__queueServiceUri": f"{self.server.url}/queue",
            "KEY_VAULT_URL": self.server.url,
            "REQUESTS_CA_BUNDLE": str(ca.ca_file),
            **more,
        }


@pytest.fixture(scope="module")
def background() -> Iterator[Background]:
    background = Background()
    yield background
    background.stop()


@pytest.fixture(scope="module")
def authority() -> Iterator[CertificateAuthority]:
    with CertificateAuthority() as ca:
        yield ca


@pytest.fixture
def open_cloud(background: Background) -> Iterator[Callable[..., Cloud]]:
    opened: list[Cloud] = []

    def open_one(ca: CertificateAuthority | None) -> Cloud:
        opened.append(Cloud(background, ca))
        return opened[-1]

    yield open_one
    for cloud in opened:
        cloud.server.stop()


@pytest.fixture
def cloud(open_cloud: Callable[..., Cloud], authority: CertificateAuthority) -> Cloud:
    return open_cloud(authority)


@pytest.fixture
def tunnel() -> Iterator[Tunnel]:
    tunnel = Tunnel()
    yield tunnel
    tunnel.stop()


def use_all(environ: dict[str, str]) -> None:
    """One call of each kind; each is refused with a 403, so nothing is tried twice."""
    resources = Resources(environ)
    with closing(resources._storage), closing(resources.vault):
        with pytest.raises(StorageError, match="HTTP 403"):
            resources.try_storage()
        with pytest.raises(StorageError, match="HTTP 403"):
            resources.queue.send(RunId("r"), WorkStep.PLAN)
        with pytest.raises(VaultError, match="HTTP 403"):
            resources.vault.secret("citrix-emea")


def test_a_netrc_entry_replaces_no_bearer_token(
    cloud: Cloud, authority: CertificateAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n", encoding="ascii")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    use_all(cloud.environ(authority))
    bearer = "Bearer the-token"
    assert cloud.signed == {"metadata": None, "token": None, "table": bearer, "queue": bearer, "secrets": bearer}


def test_the_proxy_of_the_settings_is_used_by_all(
    cloud: Cloud, authority: CertificateAuthority, tunnel: Tunnel
) -> None:
    use_all(cloud.environ(authority, HTTPS_PROXY=tunnel.url("svc:s3cret@")))
    assert set(cloud.signed) == {"metadata", "token", "table", "queue", "secrets"}
    assert set(tunnel.asked) == {f"127.0.0.1:{cloud.server.port}"}
    assert len(tunnel.asked) >= 4, "one for the vault, one for storage, two for the sign-in"
    assert tunnel.signed_in == {"Basic " + base64.b64encode(b"svc:s3cret").decode()}


def test_no_proxy_is_honoured_by_all(cloud: Cloud, authority: CertificateAuthority, tunnel: Tunnel) -> None:
    use_all(cloud.environ(authority, HTTPS_PROXY=tunnel.url(), NO_PROXY="10.0.0.0/8,127.0.0.1"))
    assert tunnel.asked == []


def test_the_proxies_and_bundles_of_the_process_are_not_used(
    cloud: Cloud, authority: CertificateAuthority, tunnel: Tunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, tunnel.url())
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, "/gone.pem")
    use_all(cloud.environ(authority))
    assert tunnel.asked == []


def test_the_managed_identity_is_asked_directly_whatever_proxy_there_is(
    open_cloud: Callable[..., Cloud], tunnel: Tunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = open_cloud(None)
    environ = {"IDENTITY_ENDPOINT": cloud.server.url + MANAGED_PATH, "IDENTITY_HEADER": "h"}
    for name, value in {**environ, "http_proxy": tunnel.url(), "HTTP_PROXY": tunnel.url()}.items():
        monkeypatch.setenv(name, value)
    credential = credential_from({**environ, "HTTP_PROXY": tunnel.url()})
    assert credential.get_token(SCOPE).token == "the-token"
    assert (cloud.signed, tunnel.asked) == ({"managed": None}, [])


def test_a_curl_bundle_makes_no_tenant_trusted(
    cloud: Cloud, authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setenv("CURL_CA_BUNDLE", str(authority.ca_file))
    environ = cloud.environ(authority, CURL_CA_BUNDLE=str(authority.ca_file))
    del environ["REQUESTS_CA_BUNDLE"]
    with pytest.raises(ClientAuthenticationError, match="SSLError"):
        credential_from(environ).get_token(SCOPE)
    assert cloud.signed == {}


def test_a_bundle_that_cannot_be_read_is_named_by_its_setting(
    cloud: Cloud, authority: CertificateAuthority, tmp_path: Path
) -> None:
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate", encoding="ascii")
    trust = TrustSettings({"SSL_CERT_FILE": str(broken)})
    environ = cloud.environ(authority, SSL_CERT_FILE=str(broken))
    del environ["REQUESTS_CA_BUNDLE"]
    credential = credential_from(environ)
    with pytest.raises(ClientAuthenticationError, match=r"setting SSL_CERT_FILE\) cannot be read"):
        credential.get_token(SCOPE)
    with pytest.raises(StorageError, match=r"setting SSL_CERT_FILE\) cannot be read") as storage:
        Storage(StorageSettings(connection_string="UseDevelopmentStorage=true"), trust=trust)
    with pytest.raises(VaultError, match=r"setting SSL_CERT_FILE\) cannot be read") as vault:
        Vault(cloud.server.url, credential, trust=trust)
    assert (storage.value.kind, vault.value.kind) == ("misconfigured", "misconfigured")
