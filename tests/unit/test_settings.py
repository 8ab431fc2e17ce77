from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import SettingsInvalid
from shared.settings.identity import load_identity
from shared.settings.settings import load
from shared.settings.storage import load_storage

STORED = {"AzureWebJobsStorage__accountName": "realignstore", "KEY_VAULT_URL": "https://realign.vault.azure.net/"}
MANAGED = {"IDENTITY_ENDPOINT": "http://127.0.0.1:1/msi", "IDENTITY_HEADER": "header-secret"}
ON_AZURE = {**STORED, **MANAGED}
LAPTOP = {"AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "client", "AZURE_CLIENT_SECRET": "hush"}


def problems_of(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsInvalid) as caught:
        load(environ)
    return "\n".join(caught.value.problems)


def test_an_account_name_becomes_the_three_service_uris() -> None:
    storage = load(ON_AZURE).storage
    assert storage.table_uri == "https://realignstore.table.core.windows.net"
    assert storage.queue_uri == "https://realignstore.queue.core.windows.net"
    assert storage.blob_uri == "https://realignstore.blob.core.windows.net"
    assert storage.connection_string is None


def test_a_service_uri_wins_over_the_account_name_for_its_service() -> None:
    storage = load_storage({**ON_AZURE, "AzureWebJobsStorage__tableServiceUri": "https://t.example/acc/"})
    assert storage.table_uri == "https://t.example/acc"
    assert storage.queue_uri == "https://realignstore.queue.core.windows.net"


def test_the_plain_setting_wins_over_the_collection() -> None:
    text = "AccountName=a;AccountKey=c2VjcmV0;EndpointSuffix=core.windows.net"
    storage = load_storage({**ON_AZURE, "AzureWebJobsStorage": text})
    assert storage.connection_string == text
    assert storage.table_uri is None


def test_the_development_account_is_a_connection_string() -> None:
    assert load_storage({"AzureWebJobsStorage": "UseDevelopmentStorage=true"}).connection_string is not None


def test_names_of_the_collection_are_read_ignoring_case() -> None:
    assert load_storage({"azurewebjobsstorage__ACCOUNTNAME": "abc"}).table_uri == "https://abc.table.core.windows.net"


def test_everything_missing_is_reported_together() -> None:
    problems = problems_of({})
    for name in ("AzureWebJobsStorage__accountName", "KEY_VAULT_URL", "AZURE_TENANT_ID", "IDENTITY_ENDPOINT"):
        assert name in problems


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"KEY_VAULT_URL": "http://v.example"}, "KEY_VAULT_URL must be an https", id="vault-without-tls"),
        pytest.param({"AzureWebJobsStorage__accountName": "Not_A_Name"}, "accountName must be", id="no-account-name"),
        pytest.param({"AzureWebJobsStorage": "realignstore"}, "is not a connection string", id="name-as-string"),
        pytest.param(
            {"AzureWebJobsStorage__queueServiceUri": "http://q.example"},
            "queueServiceUri must be",
            id="uri-without-tls",
        ),
        pytest.param({"IDENTITY_HEADER": ""}, "must both be set", id="endpoint-without-header"),
        pytest.param({"REQUESTS_CA_BUNDLE": "/no/such.pem"}, "REQUESTS_CA_BUNDLE names no file", id="no-ca-file"),
    ],
)
def test_a_wrong_setting_is_named_with_its_remedy(change: dict[str, str], said: str) -> None:
    assert said in problems_of({**ON_AZURE, **change})


def test_one_service_uri_alone_asks_for_the_other() -> None:
    with pytest.raises(SettingsInvalid, match="AzureWebJobsStorage__queueServiceUri is not set"):
        load_storage({"AzureWebJobsStorage__tableServiceUri": "https://t.example"})


def test_no_secret_shows_in_a_repr_or_in_a_problem() -> None:
    text = "AccountName=a;AccountKey=very-secret-key"
    settings = load({**LAPTOP, "KEY_VAULT_URL": "https://v.example", "AzureWebJobsStorage": text})
    assert "very-secret-key" not in repr(settings)
    assert "hush" not in repr(settings)
    assert "very-secret" not in problems_of({**MANAGED, "AzureWebJobsStorage": "AccountKey=very-secret-key"})


def test_the_managed_identity_wins_and_takes_the_products_own_client_id_first() -> None:
    environ = {**LAPTOP, **MANAGED, "AzureWebJobsStorage__clientId": "storage-id"}
    assert load_identity(environ).managed
    assert load_identity(environ).client_id == "storage-id"
    assert load_identity({**environ, "REALIGN_IDENTITY_CLIENT_ID": "own-id"}).client_id == "own-id"
    assert load_identity(MANAGED).client_id is None


def test_a_service_principal_needs_all_three_parts() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load_identity({"AZURE_CLIENT_SECRET": "hush"})
    assert "AZURE_TENANT_ID" in str(caught.value)
    assert "AZURE_CLIENT_ID" in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_certificate_replaces_the_secret(tmp_path: Path) -> None:
    pem = tmp_path / "app.pem"
    environ = {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_CERTIFICATE_PATH": str(pem)}
    with pytest.raises(SettingsInvalid, match="AZURE_CLIENT_CERTIFICATE_PATH names no file"):
        load_identity(environ)
    pem.write_text("PEM", encoding="ascii")
    assert load_identity(environ).certificate_path == str(pem)


@pytest.mark.parametrize(
    ("value", "enabled"), [("true", True), ("True", True), ("1", True), ("false", False), ("yes", False), ("", False)]
)
def test_easy_auth_is_on_only_where_app_service_says_so(value: str, enabled: bool) -> None:
    assert load({**ON_AZURE, "WEBSITE_AUTH_ENABLED": value}).auth.enabled is enabled


def test_profiles_have_a_default_folder() -> None:
    assert load(ON_AZURE).profiles.folder == "profiles"
    assert load({**ON_AZURE, "REALIGN_PROFILES": "elsewhere"}).profiles.folder == "elsewhere"


def test_the_ca_bundle_comes_from_either_variable_and_the_first_wins(tmp_path: Path) -> None:
    first, second = str(tmp_path / "first.pem"), str(tmp_path / "second.pem")
    for path in (first, second):
        Path(path).write_text("PEM", encoding="ascii")
    assert load({**ON_AZURE, "SSL_CERT_FILE": second}).trust.variables == {"SSL_CERT_FILE": second}
    both = {"REQUESTS_CA_BUNDLE": first, "SSL_CERT_FILE": second, "CURL_CA_BUNDLE": second}
    assert load({**ON_AZURE, **both}).trust.variables == {"REQUESTS_CA_BUNDLE": first}
    assert load_identity({**LAPTOP, **both}).trust.variables == {"REQUESTS_CA_BUNDLE": first}
    assert load(ON_AZURE).trust.variables == {}


def test_proxies_are_kept_as_they_are_named_and_show_in_no_repr() -> None:
    proxies = {"https_proxy": "http://u:s3cret@low:1", "HTTPS_PROXY": "http://up:1", "NO_PROXY": "10.0.0.0/8"}
    settings = load({**STORED, **LAPTOP, **proxies, "HTTP_PROXY": "  "})
    assert settings.trust.variables == proxies
    assert settings.identity.trust == settings.trust
    assert hash(settings.identity) == hash(load_identity({**LAPTOP, **proxies}))
    assert "s3cret" not in repr(settings)


def test_a_managed_identity_gets_no_proxy() -> None:
    assert load({**ON_AZURE, "HTTP_PROXY": "http://proxy:1"}).identity.trust.variables == {}


def test_runs_are_kept_for_ninety_days_or_as_many_as_the_setting_says() -> None:
    assert load(ON_AZURE).retention.days == 90
    assert load({**ON_AZURE, "REALIGN_RETENTION_DAYS": " 1 "}).retention.days == 1
    assert load({**ON_AZURE, "REALIGN_RETENTION_DAYS": "3650"}).retention.days == 3650


@pytest.mark.parametrize("text", ["0", "-1", "90 days", "3651", "1.5", "99999", "٩"])
def test_days_that_are_no_number_of_days_are_refused(text: str) -> None:
    assert "from 1 to 3650" in problems_of({**ON_AZURE, "REALIGN_RETENTION_DAYS": text})


@pytest.mark.parametrize(
    "place", ["https://acme.blob.core.windows.net/profiles", "http://127.0.0.1:10000/devstoreaccount1/profiles"]
)
def test_profiles_may_be_in_a_blob_container(place: str) -> None:
    profiles = load({**ON_AZURE, "REALIGN_PROFILES": f"{place}/"}).profiles
    assert (profiles.container, profiles.folder) == (place, "")


@pytest.mark.parametrize(
    "place",
    [
        "https://acme.blob.core.windows.net/profiles?sv=2025&sig=secret",
        "https://user:secret@acme.blob.core.windows.net/profiles",
        "https://acme.blob.core.windows.net",
        "https://acme.blob.core.windows.net/a/b/c",
        "ftp://acme.example/profiles",
    ],
)
def test_a_url_that_is_no_container_is_refused_without_what_it_says(place: str) -> None:
    told = problems_of({**ON_AZURE, "REALIGN_PROFILES": place})
    assert "REALIGN_PROFILES is neither a folder nor the URL of a blob container" in told
    assert "secret" not in told


@pytest.mark.parametrize(
    ("way", "as_identity"),
    [
        ("Authorization=AAD", True),
        ("Authorization=AAD;ClientId=7f3a", True),
        ("ClientId=7f3a; authorization=aad", True),
        ("Authorization=Key", False),
        ("", False),
    ],
)
def test_telemetry_signs_in_where_the_platforms_setting_says_so(way: str, as_identity: bool) -> None:
    text = "InstrumentationKey=marker;IngestionEndpoint=https://i.example/"
    given = {"APPLICATIONINSIGHTS_CONNECTION_STRING": text, "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": way}
    settings = load({**ON_AZURE, **given})
    assert (settings.telemetry.connection_string, settings.telemetry.as_identity) == (text, as_identity)
    assert "marker" not in repr(settings)
    assert load(ON_AZURE).telemetry.connection_string is None
