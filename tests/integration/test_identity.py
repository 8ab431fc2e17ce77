"""The credential on real token endpoints: App Service's (simulated), and a tenant's for a service principal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qsl

import jwt
import pytest
import trustme
from aiohttp import web
from azure.core.exceptions import ClientAuthenticationError

from sandbox.azurite import Azurite
from sandbox.calls import Calls
from sandbox.certificates import CertificateAuthority
from sandbox.identity import PATH, Identity
from sandbox.server import Background, Server
from shared.azure.identity import credential, credential_from
from shared.azure.remaps import Remaps
from shared.azure.storage import Storage
from shared.azure.work_queue import WorkQueue, WorkStep
from shared.errors import SettingsInvalid, StorageError
from shared.model.run import RunId
from shared.settings.identity import IdentitySettings
from shared.settings.storage import load_storage
from shared.settings.trust import TrustSettings, load_trust
from tests.telemetry import by, kept_telemetry

STORAGE_SCOPE = "https://storage.azure.com/.default"


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
def calls() -> Calls:
    return Calls()


@pytest.fixture
def environ(background: Background, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    identity = Identity(calls)
    server = Server(background, identity.app, None)
    server.start()
    environ = {"IDENTITY_ENDPOINT": server.url + PATH, "IDENTITY_HEADER": identity.header}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)  # msal reads the process's environment
    yield environ
    server.stop()


def claims_of(token: str) -> dict[str, object]:
    return jwt.decode(token, options={"verify_signature": False})


def test_the_managed_identity_gets_a_token_for_the_resource(environ: dict[str, str]) -> None:
    token = credential_from(environ).get_token(STORAGE_SCOPE, tenant_id="ignored", enable_cae=True)
    assert claims_of(token.token)["aud"] == "https://storage.azure.com"
    assert token.expires_on > time.time() + 3600


def test_a_user_assigned_identity_is_named_by_its_client_id(environ: dict[str, str]) -> None:
    token = credential_from({**environ, "AzureWebJobsStorage__clientId": "chosen"}).get_token(STORAGE_SCOPE)
    assert claims_of(token.token)["appid"] == "chosen"


def test_many_threads_share_one_credential_and_one_request(environ: dict[str, str], calls: Calls) -> None:
    tokens: list[str] = []
    threads = [
        threading.Thread(target=lambda: tokens.append(credential_from(environ).get_token(STORAGE_SCOPE).token))
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(tokens)) == 1
    assert len(tokens) == 12
    assert calls.count("identity") == 1


def test_a_refused_token_is_an_error_without_the_header(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "not-this-header")
    with pytest.raises(ClientAuthenticationError, match="managed identity got no token for https") as caught:
        credential_from({**environ, "IDENTITY_HEADER": "not-this-header"}).get_token(STORAGE_SCOPE)
    assert "Check that the identity is switched on" in str(caught.value)
    assert "not-this-header" not in str(caught.value)


def test_an_endpoint_that_hiccups_is_asked_again(background: Background, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.query["resource"])
        if len(asked) < 3:
            return web.json_response({"message": "busy"}, status=503 if len(asked) == 1 else 429)
        return web.json_response({"access_token": "t", "expires_on": str(int(time.time()) + 7200), "resource": "r"})

    app = web.Application()
    app.router.add_get(PATH, answer)
    server = Server(background, app, None)
    server.start()
    settings = IdentitySettings(managed=True, endpoint=server.url + PATH, header="h")
    monkeypatch.setenv("IDENTITY_ENDPOINT", server.url + PATH)
    monkeypatch.setenv("IDENTITY_HEADER", "h")
    try:
        with kept_telemetry() as kept:
            assert credential(settings).get_token("https://vault.azure.net/.default").token == "t"
            points = kept.points()
    finally:
        server.stop()
    assert len(asked) == 3
    assert by(points["realign.calls"], "status") == {"200": 1}
    assert by(points["realign.retries"], "system") == {"identity": 2}


def test_an_endpoint_that_is_gone_is_an_error_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:9/msi")
    monkeypatch.setenv("IDENTITY_HEADER", "hidden-header")
    settings = IdentitySettings(managed=True, endpoint="http://127.0.0.1:9/msi", header="hidden-header")
    with kept_telemetry() as kept, pytest.raises(ClientAuthenticationError, match="did not answer") as caught:
        credential(settings).get_token(STORAGE_SCOPE)
    assert "hidden-header" not in f"{caught.value!r}{caught.value}"
    (told,) = kept.spans("identity GET")
    assert dict(told.attributes or {}).items() >= {"attempt": 4, "failure": "unreachable", "server.port": 9}.items()


def test_without_the_endpoints_variables_no_other_endpoint_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IDENTITY_ENDPOINT", raising=False)
    monkeypatch.delenv("IDENTITY_HEADER", raising=False)
    settings = IdentitySettings(managed=True, endpoint="http://elsewhere/msi", header="h")
    with pytest.raises(ClientAuthenticationError, match="IDENTITY_ENDPOINT and IDENTITY_HEADER are not set"):
        credential(settings).get_token(STORAGE_SCOPE)


def test_an_environment_without_identity_says_what_to_set() -> None:
    with pytest.raises(SettingsInvalid, match="AZURE_CLIENT_SECRET"):
        credential_from({})


class Tenant:
    """The two routes of a tenant's authority that a service principal uses."""

    def __init__(self, background: Background, ca: CertificateAuthority, *, refuses: bool = False) -> None:
        self.refuses = refuses
        self.forms: list[dict[str, str]] = []
        app = web.Application()
        app.router.add_get("/{tenant}/v2.0/.well-known/openid-configuration", self._metadata)
        app.router.add_post("/{tenant}/oauth2/v2.0/token", self._token)
        self.server = Server(background, app, ca.certificate())
        self.server.start()

    async def _metadata(self, request: web.Request) -> web.Response:
        root = f"{self.server.url}/{request.match_info['tenant']}"
        return web.json_response(
            {
                "issuer": f"{root}/v2.0",
                "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
                "token_endpoint": f"{root}/oauth2/v2.0/token",
            }
        )

    async def _token(self, request: web.Request) -> web.Response:
        self.forms.append(dict(parse_qsl((await request.read()).decode())))
        if self.refuses:
            said = self.forms[-1].get("client_secret")
            text = f"AADSTS7000215: Invalid client secret {said} provided.\r\nTrace ID: 1"
            return web.json_response({"error": "invalid_client", "error_description": text}, status=401)
        return web.json_response({"access_token": "sp-token", "expires_in": 3599, "token_type": "Bearer"})


@pytest.fixture
def open_tenant(background: Background, authority: CertificateAuthority) -> Iterator[Callable[..., Tenant]]:
    opened: list[Tenant] = []

    def open_one(*, refuses: bool = False) -> Tenant:
        opened.append(Tenant(background, authority, refuses=refuses))
        return opened[-1]

    yield open_one
    for tenant in opened:
        tenant.server.stop()


def principal(tenant: Tenant, ca: CertificateAuthority, **how: str) -> dict[str, str]:
    return {
        "AZURE_TENANT_ID": "6f4e0b1a-7f0c-4b6e-9a51-0d3b8a6c2e11",
        "AZURE_CLIENT_ID": "app",
        "AZURE_AUTHORITY_HOST": tenant.server.url,
        "REQUESTS_CA_BUNDLE": str(ca.ca_file),
        **how,
    }


def test_a_service_principal_signs_in_with_its_secret(
    open_tenant: Callable[..., Tenant], authority: CertificateAuthority
) -> None:
    tenant = open_tenant()
    found = credential_from(principal(tenant, authority, AZURE_CLIENT_SECRET="hush"))
    assert found.get_token(STORAGE_SCOPE).token == "sp-token"
    assert found.get_token(STORAGE_SCOPE).token == "sp-token"
    assert len(tenant.forms) == 1
    assert (tenant.forms[0]["client_secret"], tenant.forms[0]["scope"]) == ("hush", STORAGE_SCOPE)


def test_a_service_principal_signs_in_with_its_certificate(
    open_tenant: Callable[..., Tenant], authority: CertificateAuthority, tmp_path: Path
) -> None:
    tenant = open_tenant()
    pem = tmp_path / "app.pem"
    own = trustme.CA(key_type=trustme.KeyType.RSA).issue_cert("app.example", key_type=trustme.KeyType.RSA)
    own.private_key_and_cert_chain_pem.write_to_path(str(pem))
    found = credential_from(principal(tenant, authority, AZURE_CLIENT_CERTIFICATE_PATH=str(pem)))
    assert found.get_token(STORAGE_SCOPE).token == "sp-token"
    assertion = tenant.forms[0]["client_assertion"]
    assert claims_of(assertion)["iss"] == "app"


@pytest.mark.parametrize("kind", ["nonsense", "a key of the wrong kind"])
def test_a_file_that_cannot_sign_is_an_error_without_its_content(
    open_tenant: Callable[..., Tenant], authority: CertificateAuthority, tmp_path: Path, kind: str
) -> None:
    tenant = open_tenant()
    pem = tmp_path / "app.pem"
    pem.write_text("private nonsense", "ascii")
    if kind != "nonsense":
        trustme.CA().issue_cert("app.example").private_key_and_cert_chain_pem.write_to_path(str(pem))
    with pytest.raises(ClientAuthenticationError, match="could not be done") as caught:
        credential_from(principal(tenant, authority, AZURE_CLIENT_CERTIFICATE_PATH=str(pem))).get_token(STORAGE_SCOPE)
    assert "nonsense" not in str(caught.value)
    assert "PRIVATE KEY" not in str(caught.value)


def test_a_wrong_secret_is_an_error_with_the_tenants_reason(
    open_tenant: Callable[..., Tenant], authority: CertificateAuthority
) -> None:
    tenant = open_tenant(refuses=True)
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215") as caught:
        credential_from(principal(tenant, authority, AZURE_CLIENT_SECRET="wrong-hush")).get_token(STORAGE_SCOPE)
    assert "wrong-hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def tls_account(authority: CertificateAuthority) -> Iterator[Azurite]:
    with Azurite(oauth=True, certificate=authority.certificate()) as account:
        yield account


def trusting(ca: CertificateAuthority) -> TrustSettings:
    return load_trust({"REQUESTS_CA_BUNDLE": str(ca.ca_file)})


def by_uris(account: Azurite, environ: dict[str, str]) -> dict[str, str]:
    return {
        **environ,
        "AzureWebJobsStorage__tableServiceUri": account.table_url,
        "AzureWebJobsStorage__queueServiceUri": account.queue_url,
        "AzureWebJobsStorage__blobServiceUri": account.blob_url,
    }


def test_storage_by_its_uris_works_with_the_managed_identity_over_tls(
    tls_account: Azurite, environ: dict[str, str], authority: CertificateAuthority
) -> None:
    settings = load_storage(by_uris(tls_account, environ))
    storage = Storage(settings, credential_from(environ), trust=trusting(authority))
    etag = storage.table("runs").insert({"PartitionKey": "p", "RowKey": "r", "value": 1})
    assert etag is not None
    assert storage.table("runs").replace({"PartitionKey": "p", "RowKey": "r", "value": 2}, etag) is not None
    assert Remaps(storage).replace(RunId("r"), [], lambda: None) == 0
    storage.table("events").put_all([{"PartitionKey": "p", "RowKey": str(n)} for n in range(100)])
    WorkQueue(storage).send(RunId("r"), WorkStep.PLAN)
    storage.close()


def test_a_ca_that_only_the_process_names_is_not_trusted(
    tls_account: Azurite, environ: dict[str, str], authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(authority.ca_file))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    storage = Storage(load_storage(by_uris(tls_account, environ)), credential_from(environ))
    with pytest.raises(StorageError, match="not trusted") as caught:
        storage.probe()
    assert caught.value.kind == "tls"
    storage.close()


def test_an_identity_without_token_is_a_storage_error_that_names_it(
    tls_account: Azurite, environ: dict[str, str], authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "wrong")
    found = credential_from({**environ, "IDENTITY_HEADER": "wrong"})
    storage = Storage(load_storage(by_uris(tls_account, environ)), found, trust=trusting(authority))
    with pytest.raises(StorageError, match="managed identity got no token") as caught:
        storage.probe()
    assert caught.value.kind == "sign-in"
    storage.close()


def test_an_account_name_means_the_public_clouds_hosts(environ: dict[str, str]) -> None:
    settings = load_storage({**environ, "AzureWebJobsStorage__accountName": "realignstore"})
    storage = Storage(settings, credential_from(environ))
    assert storage.table("runs").account == "realignstore.table.core.windows.net"
    assert storage.queue("realign-work")[1] == "realignstore.queue.core.windows.net"
    storage.close()
