"""The real msal and Azure libraries run against the sandbox's identity endpoint, Key Vault and Azurite."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import jwt
import msal
import pytest
import requests
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.data.tables import TableServiceClient
from azure.keyvault.secrets import SecretClient
from azure.storage.queue import QueueClient

from sandbox.azurite import Azurite
from sandbox.certificates import CertificateAuthority
from sandbox.identity import ISSUER
from sandbox.sandbox import Sandbox

Start = Callable[..., Sandbox]
STORAGE = "https://storage.azure.com"


class ManagedIdentity:
    """A credential over msal's managed-identity client, the least that the Azure libraries ask for."""

    def __init__(self, client_id: str | None = None) -> None:
        identity = (
            msal.UserAssignedManagedIdentity(client_id=client_id) if client_id else msal.SystemAssignedManagedIdentity()
        )
        self.session = requests.Session()
        self.session.trust_env = False
        self._client = msal.ManagedIdentityClient(identity, http_client=self.session)

    def get_token(self, *scopes: str, **more: object) -> AccessToken:
        found = self._client.acquire_token_for_client(resource=scopes[0].removesuffix("/.default"))
        if "access_token" not in found:
            raise ClientAuthenticationError(message=str(found.get("error_description")))
        return AccessToken(found["access_token"], int(time.time()) + int(found["expires_in"]))


@pytest.fixture
def sandbox(sandbox_for: Start, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    running = sandbox_for("healthy")
    # msal reads these two from the process's environment, as App Service sets them.
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
        monkeypatch.setenv(name, running.environ[name])
    return running


@pytest.fixture
def vault(sandbox: Sandbox) -> Iterator[SecretClient]:
    with SecretClient(
        sandbox.vault_url, ManagedIdentity(), connection_verify=str(sandbox.ca_file), retry_total=0
    ) as client:
        yield client


def test_msal_gets_a_token_of_the_system_assigned_identity(sandbox: Sandbox) -> None:
    token = ManagedIdentity().get_token(f"{STORAGE}/.default").token
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["iss"], claims["aud"]) == (ISSUER, STORAGE)
    assert claims["nbf"] <= time.time() < claims["exp"]
    assert sandbox.calls.count("identity") == 1


def test_msal_gets_a_token_of_a_user_assigned_identity(sandbox: Sandbox) -> None:
    wanted = "11111111-2222-3333-4444-555555555555"
    claims = jwt.decode(ManagedIdentity(wanted).get_token(STORAGE).token, options={"verify_signature": False})
    assert claims["appid"] == wanted


def test_the_identity_endpoint_refuses_a_wrong_header(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "wrong")
    with pytest.raises(ClientAuthenticationError):
        ManagedIdentity().get_token(STORAGE)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        pytest.param({"api-version": "2017-09-01", "resource": STORAGE}, 400, id="an-old-version"),
        pytest.param({"api-version": "2019-08-01"}, 400, id="no-resource"),
    ],
)
def test_the_identity_endpoint_refuses_a_bad_request(sandbox: Sandbox, query: dict[str, str], status: int) -> None:
    session = ManagedIdentity().session
    header = {"X-IDENTITY-HEADER": sandbox.environ["IDENTITY_HEADER"]}
    answer = session.get(sandbox.environ["IDENTITY_ENDPOINT"], params=query, headers=header, timeout=20)
    assert answer.status_code == status


def test_the_key_vault_library_takes_the_challenge_and_reads_a_secret(sandbox: Sandbox, vault: SecretClient) -> None:
    first = sandbox.vault.put("prism-paris", "one")
    second = sandbox.vault.put("prism-paris", "two")
    newest = vault.get_secret("prism-paris")
    assert (newest.value, newest.properties.version) == ("two", second)
    assert vault.get_secret("prism-paris", first).value == "one"
    assert "BEGIN CERTIFICATE" in str(vault.get_secret("corp-root-ca").value)


def test_a_secret_that_is_not_there_is_not_found(vault: SecretClient) -> None:
    with pytest.raises(ResourceNotFoundError, match="SecretNotFound"):
        vault.get_secret("no-such-secret")


def test_the_vault_denies_when_the_fault_is_on(sandbox: Sandbox, vault: SecretClient) -> None:
    sandbox.faults.set("vault-denied")
    with pytest.raises(HttpResponseError) as caught:
        vault.get_secret("corp-root-ca")
    assert (caught.value.status_code, sandbox.faults.fired("vault-denied")) == (403, 1)
    sandbox.faults.clear("vault-denied")
    assert vault.get_secret("corp-root-ca").value


def test_the_vault_refuses_a_token_for_another_audience(sandbox: Sandbox) -> None:
    session = requests.Session()
    session.trust_env = False
    url = f"{sandbox.vault_url}/secrets/corp-root-ca?api-version=2025-07-01"
    for token in (sandbox.identity.issue(STORAGE), "nonsense"):
        header = {"Authorization": f"Bearer {token}"}
        answer = session.get(url, headers=header, verify=str(sandbox.ca_file), timeout=20)
        assert answer.status_code == 401
        assert f'resource="https://0.0.1:{sandbox.vault.port}"' in answer.headers["WWW-Authenticate"]
        assert answer.json()["error"]["code"] == "Unauthorized"


def test_tables_and_queues_take_a_managed_identity_over_tls(sandbox: Sandbox) -> None:
    with CertificateAuthority() as authority, Azurite(oauth=True, certificate=authority.certificate()) as storage:
        trust = {"connection_verify": str(authority.ca_file)}
        with TableServiceClient(storage.table_url, credential=ManagedIdentity(), **trust) as service:
            table = service.create_table("machines")
            table.create_entity({"PartitionKey": "a", "RowKey": "b", "Name": "W11-001"})
            assert [row["Name"] for row in table.list_entities()] == ["W11-001"]
        with QueueClient(storage.queue_url, "work", credential=ManagedIdentity(), **trust) as queue:
            queue.create_queue()
            queue.send_message("plan")
            assert [message.content for message in queue.receive_messages()] == ["plan"]


def test_azurite_keeps_a_directory_over_a_restart(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("storage")
    with Azurite(directory=folder) as storage:
        service = TableServiceClient.from_connection_string(storage.connection_string)
        service.create_table("machines").create_entity({"PartitionKey": "a", "RowKey": "b"})
        service.close()
    with Azurite(directory=folder) as storage:
        service = TableServiceClient.from_connection_string(storage.connection_string)
        assert len(list(service.get_table_client("machines").list_entities())) == 1
        service.close()
