"""Every az command of the documentation is one that the Azure CLI takes, with arguments that it knows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from shared.runs.access import Role
from tests.infra.bicep import declared
from tests.infra.deployments import INFRA, MAIN, ROOT, WAYS, deployed
from tests.infra.environments import run_in
from tests.infra.shell import commands

DEPLOY = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), INFRA / "README.md"]


def documented() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for command in commands(page.read_text(encoding="utf-8"), "az"):
            yield page, command


def test_the_azure_cli_takes_every_documented_command() -> None:
    lines = list(documented())
    assert len(lines) > 30
    answers = run_in("azure", "read_az.py", asked=[command for _, command in lines])
    wrong = [f"{page.name}: {command}\n  {said}" for (page, command), said in zip(lines, answers, strict=True) if said]
    assert wrong == []


WRONG = {
    "az keyvault secret put --name x": "no command",
    "az group create --name x --place y --location z": "unrecognized arguments",
    "az group create --name x": "are required: --location",
    "az group show --name x --query [": "--query",
    "az ad app federated-credential create --id x --parameters {": "JSON",
    "az ad app create --display-name x --app-roles @infra/entra/none.json": "none.json",
}


def test_a_wrong_command_is_told() -> None:
    answers = run_in("azure", "read_az.py", asked=list(WRONG))
    assert [answer for answer, said in zip(answers, WRONG.values(), strict=True) if said not in (answer or "")] == []


def test_the_files_that_commands_take_are_there() -> None:
    named = {name for _, command in documented() for name in re.findall(r"@(infra/[\w./]+)", command)}
    assert len(named) == 3
    assert [name for name in named if not (ROOT / name).is_file()] == []


def shell_of(page: str) -> str:
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))


def test_whoever_follows_the_page_has_set_each_variable_before_it_is_used() -> None:
    known, missing = set(), []
    for found in re.finditer(r"\b(\w+)=|\bfor (\w+) in|\b(\w+)\(\)|\$\{?([A-Za-z_]\w*)|\$\((told)\b", shell_of(DEPLOY)):
        *made, used, called = found.groups()
        known |= set(made)
        missing += [name for name in (used, called) if name and name not in known]
    assert missing == []
    assert {"GROUP", "APP", "told", "provider"} <= known


def test_what_the_page_is_told_by_the_deployment_is_an_output() -> None:
    asked = set(re.findall(r"(?:`|\$\()told (\w+)", DEPLOY))
    assert {"appName", "relayNamespace"} <= asked <= set(declared(MAIN, "output"))


def test_the_page_registers_the_providers_of_everything_that_is_made() -> None:
    made = {each.type.partition("/")[0] for way in WAYS for each in deployed(way).resources}
    listed = re.findall(r"for provider in ([\w ]+);", DEPLOY)[0].split()
    assert {f"Microsoft.{name}" for name in listed} == made - {"Microsoft.Authorization"}  # which every one has


def test_commands_are_found_as_a_shell_would_run_them() -> None:
    page = (
        "```json\n{}\n```\naz not this\n```sh\n# az no\nA=$(az one --x \"$(az two)\" -o tsv)\n"
        "told() { az three \"a.$1.b\"; }\naz four \\\n  --y '$n' | jq .\n```\n"
    )  # fmt: skip
    assert list(commands(page, "az")) == [
        'az one --x "printed" -o tsv',
        "az two",
        'az three "a.value1.b"',
        "az four --y 'valuen'",
    ]


def test_the_roles_of_the_registration_are_those_that_the_code_asks_for() -> None:
    roles = json.loads((INFRA / "entra" / "app_roles.json").read_text(encoding="utf-8"))
    assert {role["value"] for role in roles} == {
        f"Realign.{role.name.capitalize()}" for role in Role if role is not Role.NONE
    }
    assert all(role["isEnabled"] and set(role["allowedMemberTypes"]) == {"User", "Application"} for role in roles)
    assert len({role["id"] for role in roles}) == len(roles)


def test_the_azure_cli_is_trusted_with_the_scope_that_there_is() -> None:
    scope = json.loads((INFRA / "entra" / "scope.json").read_text(encoding="utf-8"))["api"]
    trusted = json.loads((INFRA / "entra" / "azure_cli.json").read_text(encoding="utf-8"))["api"]
    ids = {each["id"] for each in scope["oauth2PermissionScopes"]}
    assert {each for app in trusted["preAuthorizedApplications"] for each in app["delegatedPermissionIds"]} == ids
    assert scope["requestedAccessTokenVersion"] == 2


def test_the_page_gives_out_the_role_ids_of_the_registration() -> None:
    roles = json.loads((INFRA / "entra" / "app_roles.json").read_text(encoding="utf-8"))
    approver = next(role["id"] for role in roles if role["value"] == "Realign.Approver")
    assert f'\\"appRoleId\\": \\"{approver}\\"' in DEPLOY
