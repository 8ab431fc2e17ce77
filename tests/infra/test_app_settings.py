"""What the Bicep sets is what the app reads, and all of it is told in docs/settings.md."""

from __future__ import annotations

import re

import pytest

from shared.settings.settings import load
from tests.infra.bicep import deploy
from tests.infra.deployments import MAIN, ROOT, SIGN_IN, WAYS, deployed, parameters

DOCUMENT = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
# the Functions host's and App Service's own; no line of ours reads them
OF_THE_PLATFORM = {
    "FUNCTIONS_EXTENSION_VERSION",
    "FUNCTIONS_WORKER_RUNTIME",
    "PYTHON_THREADPOOL_THREAD_COUNT",
    "SCM_DO_BUILD_DURING_DEPLOYMENT",
    "ENABLE_ORYX_BUILD",
    "OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID",
    "WEBSITE_TIME_ZONE",
}


def settings_of(way: str) -> dict[str, str]:
    return dict(deployed(way).one("Microsoft.Web/sites/config", "appsettings").properties)


def documented() -> dict[str, str]:
    """The name and the second column of each row of the tables of app settings."""
    tables = DOCUMENT.partition("## App settings")[2].partition("\n## Set by Azure")[0]
    rows = [line.split("|")[1:3] for line in tables.splitlines() if line.startswith("| `")]
    return {name: needed.strip() for names, needed in rows for name in re.findall(r"`([^`]+)`", names)}


def given_by_azure(settings: dict[str, str]) -> dict[str, str]:
    """The same with addresses for what only Azure knows; what the Bicep adds to one stays at its end."""

    def given(value: str) -> str:
        return (
            f"https://given-by.azure.example/{value.partition('primaryEndpoints.blob')[2]}" if "<" in value else value
        )

    return {name: given(value) for name, value in settings.items()}


@pytest.mark.parametrize("way", WAYS)
def test_the_app_starts_with_what_the_bicep_sets(way: str) -> None:
    azure = {"IDENTITY_ENDPOINT": "http://localhost", "IDENTITY_HEADER": "x", "WEBSITE_AUTH_ENABLED": "True"}
    settings = load(given_by_azure(settings_of(way)) | azure)
    assert settings.storage.connection_string is None
    assert settings.identity.managed
    assert settings.identity.client_id is not None
    assert settings.vault.url
    assert settings.profiles.container == "https://given-by.azure.example/profiles"


@pytest.mark.parametrize("way", WAYS)
def test_every_setting_that_is_set_is_documented(way: str) -> None:
    assert set(settings_of(way)) - set(documented()) == set()


def test_what_is_needed_is_set() -> None:
    needed = {
        name for name, word in documented().items() if word in {"yes", "advised", "with a user-assigned identity"}
    }
    assert {"KEY_VAULT_URL", "REALIGN_SCHEDULE", "AzureWebJobsStorage__clientId"} <= needed
    assert needed - set(settings_of("relay")) == set()


def test_a_setting_that_no_code_reads_is_the_platform_s() -> None:
    sources = [ROOT / "function_app.py", *(ROOT / "shared").rglob("*.py"), *(ROOT / "functions").rglob("*.py")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    of_the_host = {
        name for name in settings_of("all-told") if name.startswith(("AzureWebJobsStorage", "APPLICATIONINSIGHTS"))
    }
    others = set(settings_of("all-told")) - of_the_host - OF_THE_PLATFORM
    assert {name for name in others if f'"{name}"' not in code and f"%{name}%" not in code} == set()


def test_the_documented_advice_is_followed() -> None:
    settings = settings_of("all-told")
    assert settings["PYTHON_THREADPOOL_THREAD_COUNT"] == "32"
    assert settings["FUNCTIONS_EXTENSION_VERSION"] == "~4"
    assert settings["FUNCTIONS_WORKER_RUNTIME"] == "python"
    assert settings["REALIGN_NOTIFY_HOSTS"] == "hooks.corp.example"
    assert settings["WEBSITE_TIME_ZONE"] == "Europe/Paris"


def test_a_time_zone_is_set_only_where_one_is_chosen() -> None:
    assert "WEBSITE_TIME_ZONE" not in settings_of("relay")


def test_profiles_come_from_the_container_unless_the_package_has_them() -> None:
    assert settings_of("relay")["REALIGN_PROFILES"].endswith("primaryEndpoints.blobprofiles")
    packaged = deploy(MAIN, parameters(profilesFolder="profiles"))
    assert packaged.one("Microsoft.Web/sites/config", "appsettings").properties["REALIGN_PROFILES"] == "profiles"


def test_the_host_finds_its_storage_by_the_identity() -> None:
    settings = settings_of("relay")
    assert "AzureWebJobsStorage" not in settings
    assert settings["AzureWebJobsStorage__credential"] == "managedidentity"
    for service in ("blob", "queue", "table"):
        assert settings[f"AzureWebJobsStorage__{service}ServiceUri"].endswith(f"primaryEndpoints.{service}")


def test_telemetry_is_sent_by_the_identity() -> None:
    client = settings_of("relay")["AzureWebJobsStorage__clientId"]
    assert settings_of("relay")["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"] == f"Authorization=AAD;ClientId={client}"


@pytest.mark.parametrize("way", WAYS)
def test_app_service_signs_in_and_lets_the_code_refuse(way: str) -> None:
    sent = deployed(way).one("Microsoft.Web/sites/config", "authsettingsV2").properties
    assert sent["platform"]["enabled"] is True
    assert sent["globalValidation"] == {"requireAuthentication": False, "unauthenticatedClientAction": "AllowAnonymous"}
    entra = sent["identityProviders"]["azureActiveDirectory"]
    assert entra["registration"]["clientId"] == SIGN_IN
    assert entra["registration"]["openIdIssuer"].endswith("/v2.0")
    assert entra["validation"]["allowedAudiences"] == [SIGN_IN, f"api://{SIGN_IN}"]


def test_the_identity_stands_in_for_a_client_secret() -> None:
    name = "OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID"
    sent = deployed("relay").one("Microsoft.Web/sites/config", "authsettingsV2").properties
    assert sent["identityProviders"]["azureActiveDirectory"]["registration"]["clientSecretSettingName"] == name
    assert settings_of("relay")[name] == settings_of("relay")["AzureWebJobsStorage__clientId"]
    assert deployed("relay").one("Microsoft.Web/sites/config", "slotConfigNames").properties["appSettingNames"] == [
        name
    ]


def test_the_implicit_flow_names_no_secret() -> None:
    sent = deployed("implicit-sign-in").one("Microsoft.Web/sites/config", "authsettingsV2").properties
    assert sent["identityProviders"]["azureActiveDirectory"]["registration"]["clientSecretSettingName"] is None
    assert "OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID" not in settings_of("implicit-sign-in")
