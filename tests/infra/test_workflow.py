"""The GitHub workflow and azure.yaml: no secret, no more rights than needed, and what they name is there."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.infra.bicep import parse
from tests.infra.deployments import MAIN, ROOT, deployed
from tests.infra.environments import run_in
from tests.infra.shell import commands

FILE = ROOT / ".github" / "workflows" / "deploy.yml"
TEXT = FILE.read_text(encoding="utf-8")
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
JOBS: dict[str, Any] = WORKFLOW["jobs"]
AZD = yaml.safe_load((ROOT / "azure.yaml").read_text(encoding="utf-8"))
STEPS = [(name, step) for name, job in JOBS.items() for step in job["steps"]]


def test_a_job_may_read_the_code_and_only_the_one_that_deploys_may_sign_in() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    more = {name: job["permissions"] for name, job in JOBS.items() if "permissions" in job}
    assert more == {"deploy": {"contents": "read", "id-token": "write"}}


@pytest.mark.parametrize("action", sorted({step["uses"] for _, step in STEPS if "uses" in step}))
def test_an_action_is_pinned_to_a_commit_and_says_which_version_that_is(action: str) -> None:
    assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)
    assert re.search(rf"{re.escape(action)} # v\d+\.\d+\.\d+$", TEXT, re.MULTILINE)


def test_there_is_no_secret_in_it() -> None:
    assert "secrets." not in TEXT
    login = next(step for _, step in STEPS if step.get("uses", "").startswith("azure/login@"))
    assert set(login["with"]) == {"client-id", "tenant-id", "subscription-id"}


def test_no_script_has_text_from_outside_put_into_it() -> None:
    assert [step["run"] for _, step in STEPS if "${{" in step.get("run", "")] == []


def test_only_main_is_deployed_after_the_tests_and_with_the_environment_s_approval() -> None:
    deploy = JOBS["deploy"]
    assert "refs/heads/main" in deploy["if"]
    assert "pull_request" in deploy["if"]
    assert deploy["environment"] == "production"
    assert (deploy["needs"], JOBS["package"]["needs"]) == ("package", "test")
    runs = [step["run"] for name, step in STEPS if name == "test" and "run" in step]
    assert any(re.search(r"make .*\blint test$", run) for run in runs)
    assert any(re.search(r"make .*\baudit$", run) for run in runs)
    # else it is content with a database that knows none of the packages
    assert "pip-audit --strict " in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_what_is_packaged_is_what_is_deployed() -> None:
    paths = [step["with"]["path"] for _, step in STEPS if "artifact@" in step.get("uses", "")]
    assert paths == ["dist/realign.zip", "dist"]
    assert any("--src dist/realign.zip --build-remote false" in step.get("run", "") for _, step in STEPS)
    assert any(re.search(r"make package .*ARGS=--dependencies$", step.get("run", "")) for _, step in STEPS)


def test_the_azure_cli_takes_its_commands() -> None:
    script = "\n".join(step["run"] for _, step in STEPS if "run" in step)
    lines = list(commands(f"```sh\n{script}\n```\n", "az"))
    assert len(lines) == 4
    assert run_in("azure", "read_az.py", asked=lines) == [None] * len(lines)


def test_tests_package_and_app_have_one_python() -> None:
    runtime = deployed("relay").one("Microsoft.Web/sites").properties["siteConfig"]["linuxFxVersion"].partition("|")[2]
    versions = {step["with"]["python-version"] for _, step in STEPS if "python-version" in step.get("with", {})}
    assert versions == {runtime}
    assert AZD["services"]["app"]["hooks"]["prepackage"]["run"].startswith(f"python{runtime} -m pip ")


def test_azd_finds_the_bicep_and_the_app() -> None:
    assert (ROOT / AZD["infra"]["path"] / f"{AZD['infra']['module']}.bicep") == MAIN
    assert parse(MAIN) is not None
    service = deployed("relay").one("Microsoft.Web/sites").body["tags"]["azd-service-name"]
    assert list(AZD["services"]) == [service]
    assert AZD["services"][service]["remoteBuild"] is False
