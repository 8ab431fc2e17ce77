"""``python -m shared.doctor`` against the sandbox: what is ready, what is not, and what to do about it."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.sandbox import Sandbox
from shared.doctor import DEGRADED, READY, UNAVAILABLE, main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def sandbox(sandbox_for: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    started = sandbox_for("healthy", storage_proxy=True)
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
        monkeypatch.setenv(name, started.environ[name])  # msal reads the process's environment
    return started


def doctor(sandbox: Sandbox, *arguments: str, **environ: str) -> tuple[int, str]:
    out = io.StringIO()
    return main(arguments, {**sandbox.environ, **environ}, out), out.getvalue()


def edit(sandbox: Sandbox, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(sandbox.profile_file.read_text("utf-8"))
    change(document)
    sandbox.profile_file.write_text(json.dumps(document), "utf-8")


def block(text: str, name: str) -> str:
    """What is said of one check."""
    lines = text.split("\n")
    heads = ("  ok    ", "  FAIL  ")
    start = next(at for at, line in enumerate(lines) if line.startswith(heads) and line.split()[1] == name)
    end = next(at for at in range(start + 1, len(lines)) if not lines[at].startswith("        "))
    return "\n".join(lines[start:end])


def test_everything_is_ready_and_every_way_was_walked(sandbox: Sandbox) -> None:
    code, text = doctor(sandbox)
    assert code == READY, text
    assert "Everything is ready." in text
    assert "FAIL" not in text
    profile = sandbox.scenario.profile_name
    for name in ("paris", "amsterdam"):
        walked = [line.split(":")[0].strip() for line in block(text, f"{profile}/{name}").split("\n")[1:]]
        assert walked == ["secret", "name", "tcp", "tls", "sign-in", "rights"]
    site = [line.split(":")[0].strip() for line in block(text, f"{profile}/site").split("\n")[1:]]
    assert site == ["secret", "name", "tcp", "tls", "sign-in", "rights", "connections"]
    assert "a row written and deleted" in block(text, "storage")
    assert "MB free" in block(text, "disk")
    assert re.search(r"time: [+-]\d s$", block(text, "clock"))
    for secret in (sandbox.world.site.client_secret, *(prism.password for prism in sandbox.world.prisms.values())):
        assert secret
        assert secret not in text


def test_as_a_command_it_reads_the_environment_and_a_settings_file(sandbox: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "local.settings.json"
    environ = dict(sandbox.environ)
    environ.pop("KEY_VAULT_URL")
    command = [sys.executable, "-m", "shared.doctor"]
    without = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (without.returncode, without.stderr) == (UNAVAILABLE, "")
    assert without.stdout == (
        "The app settings are not complete:\n"
        "  KEY_VAULT_URL is not set: give the vault's URL, such as https://name.vault.azure.net.\n"
    )
    values = {"KEY_VAULT_URL": sandbox.environ["KEY_VAULT_URL"], "REALIGN_PROFILES": "of the file, not the environment"}
    file.write_text(json.dumps({"Values": values}))
    command += ["--settings", str(file), "--profile", sandbox.scenario.profile_name]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (READY, ""), done.stdout


def test_every_documented_call_is_one_that_it_takes() -> None:
    pages = "".join(page.read_text("utf-8") for page in (ROOT / "docs").glob("*.md"))
    calls = set(re.findall(r"python -m shared\.doctor((?: +(?!#)[\w./-]+)*)", pages))
    assert len(calls) >= 3
    for call in calls:
        assert main(call.split(), {}, io.StringIO()) == UNAVAILABLE, call


@pytest.mark.parametrize("content", ["{", "[]", '{"Values": 1}', None])
def test_a_settings_file_that_is_none_is_named(sandbox: Sandbox, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "local.settings.json"
    if content is not None:
        file.write_text(content)
    code, text = doctor(sandbox, "--settings", str(file))
    assert code == UNAVAILABLE
    assert str(file) in text


def test_a_profile_that_is_not_there_is_named_with_those_that_are(sandbox: Sandbox) -> None:
    code, text = doctor(sandbox, "--profile", "elsewhere")
    assert code == UNAVAILABLE
    assert f"there are: {sandbox.scenario.profile_name}" in text


def test_without_a_profile_it_says_where_to_put_one(sandbox: Sandbox, tmp_path: Path) -> None:
    code, text = doctor(sandbox, REALIGN_PROFILES=str(tmp_path))
    assert code == DEGRADED
    assert "put one JSON file a profile there" in block(text, "profiles")
    assert "  ok    storage" in text


def test_a_broken_profile_says_what_is_wrong_with_it(sandbox: Sandbox) -> None:
    sandbox.profile_file.with_name("broken.json").write_text("{")
    code, text = doctor(sandbox)
    assert code == DEGRADED
    assert "is not JSON" in block(text, "broken")
    assert "1 of " in text


def test_a_cluster_that_is_down_costs_no_other(sandbox: Sandbox) -> None:
    sandbox.faults.set("relay-down", "paris")
    code, text = doctor(sandbox)
    profile = sandbox.scenario.profile_name
    assert code == DEGRADED
    told = block(text, f"{profile}/paris")
    assert "tcp FAILED" in told
    assert "-> " in told
    assert "sign-in" not in told, "nobody signs in where the way ends before"
    assert block(text, f"{profile}/amsterdam").startswith("  ok  ")


def test_a_vault_that_refuses_is_named_and_nothing_behind_it_is_asked(sandbox: Sandbox) -> None:
    sandbox.faults.set("vault-denied")
    code, text = doctor(sandbox)
    assert code == UNAVAILABLE
    assert "Key Vault Secrets User" in block(text, "key-vault")
    assert "rights FAILED" in block(text, "key-vault")
    assert "Not asked" in block(text, f"{sandbox.scenario.profile_name}/paris")
    assert sandbox.calls.count("citrix", "GET", "/Me") == 0


def test_a_secret_that_is_disabled_is_not_taken_for_a_vault_that_refuses(sandbox: Sandbox) -> None:
    sandbox.faults.set("vault-denied", 1)
    code, text = doctor(sandbox)
    assert block(text, "key-vault").startswith("  ok  "), text
    assert code == READY


def test_a_vault_that_does_not_exist_is_a_name_that_nobody_knows(sandbox: Sandbox) -> None:
    code, text = doctor(sandbox, KEY_VAULT_URL="https://nobody.invalid")
    assert code == UNAVAILABLE
    assert "Check it in KEY_VAULT_URL, and the DNS" in block(text, "key-vault")


def test_storage_that_is_busy_is_named(sandbox: Sandbox) -> None:
    sandbox.faults.set("storage-busy", 1_000)
    code, text = doctor(sandbox)
    assert code == UNAVAILABLE
    assert "is too busy" in block(text, "storage")


def test_profiles_with_a_schedule_want_the_setting_that_says_when(sandbox: Sandbox) -> None:
    assert "schedule" not in doctor(sandbox, REALIGN_SCHEDULE="")[1], "no profile asks for one"
    edit(sandbox, lambda document: document.update(schedule=True))
    code, text = doctor(sandbox, REALIGN_SCHEDULE="")
    assert code == DEGRADED
    assert "REALIGN_SCHEDULE is not set, so nothing starts" in block(text, "schedule")
    assert doctor(sandbox)[0] == READY


def test_what_there_was_no_time_for_is_said_and_not_taken_for_ready(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.doctor.PATIENCE", 0.0)
    code, text = doctor(sandbox)
    assert code == DEGRADED
    told = block(text, f"{sandbox.scenario.profile_name}/paris")
    assert "Not asked, because the others took all the time there was" in told
    assert "python -m shared.doctor --profile NAME" in told


def test_a_hosting_connection_that_the_site_does_not_have_is_named_with_those_it_has(sandbox: Sandbox) -> None:
    edit(sandbox, lambda document: document["clusters"][0].update(hostingConnection="Nutanix AHV Pari"))
    code, text = doctor(sandbox)
    assert code == DEGRADED
    told = block(text, f"{sandbox.scenario.profile_name}/site")
    assert "no hosting connection 'Nutanix AHV Pari', which cluster paris of the profile names" in told
    assert "the site has: Nutanix AHV Amsterdam, Nutanix AHV Paris" in told


def test_what_profiles_name_alike_is_asked_once_and_told_for_each(sandbox: Sandbox) -> None:
    folder, document = sandbox.profile_file.parent, json.loads(sandbox.profile_file.read_text("utf-8"))
    doctor(sandbox)
    alone = sandbox.calls.count("prism/paris"), sandbox.calls.count("citrix")
    assert all(alone)
    for name in ("second", "third"):
        (folder / f"{name}.json").write_text(json.dumps({**document, "name": name}), "utf-8")
    document["clusters"][0]["credential"] = "nosuch"
    (folder / "fourth.json").write_text(json.dumps({**document, "name": "fourth"}), "utf-8")
    code, text = doctor(sandbox)
    assert (sandbox.calls.count("prism/paris"), sandbox.calls.count("citrix")) == tuple(2 * each for each in alone)
    assert code == DEGRADED
    for name in ("second", "third"):
        assert "FAIL" not in block(text, f"{name}/paris") + block(text, f"{name}/site")
    assert "secret FAILED" in block(text, "fourth/paris")


def test_an_account_that_may_sign_in_and_not_read_is_told_by_its_rights(
    sandbox_for: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = sandbox_for("recovery-plan-central-v4")
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
        monkeypatch.setenv(name, sandbox.environ[name])
    sandbox.world.site.forbidden.add("listMachines")
    sandbox.world.prisms["pc-amsterdam"].forbidden.add("v4ListRecoveryPlanJobs")
    _, text = doctor(sandbox)
    site, cluster = (block(text, f"{sandbox.scenario.profile_name}/{name}") for name in ("site", "pc-amsterdam"))
    assert "rights FAILED" in site
    assert "HTTP 403" in site
    assert "rights FAILED" in cluster
    assert "Give the account a role that may read" in cluster


def test_a_certificate_of_another_authority_is_a_matter_of_the_profiles_ca(sandbox: Sandbox) -> None:
    edit(sandbox, lambda document: document["clusters"][0].pop("ca"))
    _, text = doctor(sandbox)
    told = block(text, f"{sandbox.scenario.profile_name}/paris")
    assert "tls FAILED" in told
    assert "Name the CA that issued it: in the profile's ca" in told


def test_a_refused_password_is_tried_once_and_then_left_alone(sandbox: Sandbox) -> None:
    sandbox.world.prisms["paris"].password = "another"
    name = f"{sandbox.scenario.profile_name}/paris"
    first, again = (block(doctor(sandbox)[1], name) for _ in range(2))
    assert "sign-in FAILED" in first
    assert "does not try it again before" in again
