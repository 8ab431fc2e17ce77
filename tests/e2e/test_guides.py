"""The guides: what can be run is run against the sandbox, and the rest names nothing that the API does not have."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs
import pytest

from functions.contract import examples
from functions.contract.document import document
from shared.runs.request import HookRequest
from tests.e2e.client import principal
from tests.e2e.conftest import App, Serve
from tests.e2e.review import POLICY

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
NEEDED = ("bash", "curl", "jq")
missing = [tool for tool in NEEDED if shutil.which(tool) is None]


def guide(name: str) -> str:
    return (GUIDES / name).read_text(encoding="utf-8")


def blocks(name: str, kind: str) -> list[str]:
    return re.findall(rf"^ *```{kind}\n(.*?)^ *```$", guide(name), flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def app(serve: Serve) -> Iterator[App]:
    with serve("planned-migration") as running:
        running.add_profile(running.name, policy={**POLICY, "dr": {"mode": "review"}})
        yield running


def run_guide(app: App, name: str, folder: Path) -> str:
    """All commands of a guide in one shell, as somebody would type them; what they say.

    But for the first wait: it is left out, so that the loop that asks again has something to do.
    """
    script = "\n".join(blocks(name, "sh")).replace("Prefer: wait=100", "Prefer: wait=0", int(name == "curl.md"))
    return run_script(app, script, folder)


def run_script(app: App, script: str, folder: Path, **more: str) -> str:
    approver = next(f"{key}: {value}" for key, value in principal("Approver", name="Ada").items())
    known = {"APP": app.api.url, "KEY": app.sandbox.function_key, "SIGN_IN": approver, "PROFILE": app.name}
    known |= more
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, **known, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")
def test_the_curl_guide_goes_from_a_failover_to_its_roll_back(app: App, tmp_path: Path) -> None:
    said = run_guide(app, "curl.md", tmp_path)
    run = json.loads((tmp_path / "run.json").read_text())
    assert f"A person has to approve it: {app.api.url}/api/review/" in said
    assert '"rolled-back"' in said
    states = [json.loads(text) for text in re.findall(r"^\{.*?^\}", said, flags=re.MULTILINE | re.DOTALL)]
    assert states[1]["verified"] == 2, "the pilot"
    assert set(states[2]) == {"verified"}
    assert set(states[3]) == {"rolled-back"}
    assert app.api.of(run["id"])["status"] == "rolled-back"
    assert (tmp_path / f"realign-{run['id']}.html").read_text().startswith("<!doctype html>")
    assert "machine.id" in (tmp_path / f"realign-{run['id']}.csv").read_text(encoding="utf-8-sig")


@pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")
def test_the_calls_for_those_who_come_from_the_scripts(app: App, tmp_path: Path) -> None:
    said = run_guide(app, "from-the-scripts.md", tmp_path)
    what_if = json.loads((tmp_path / "whatif.json").read_text())
    assert (what_if["status"], what_if["counts"]["findings"]) == ("planned", {"remap": 2})
    assert "is awaiting-review" in said


@pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")
def test_the_commands_for_a_bad_night_show_what_is_wrong_and_take_an_approval_back(app: App, tmp_path: Path) -> None:
    run = app.api.run(app.name)
    app.api.until_rest(app.api.approve(run)["id"])
    look, *_, back = [text for text in blocks("../operations.md", "sh") if "realign GET" in text]
    said = run_script(app, f"{look}\n{back}", tmp_path, RUN=run["id"])
    assert '"ready"\n' in said
    assert f"\t{run['id']}\t{app.name}\tcompleted\t" in said
    assert "rollback-requested" in said
    assert (tmp_path / f"realign-{run['id']}.html").read_text().startswith("<!doctype html>")
    assert app.api.until_rest(run["id"])["status"] == "rolled-back"


@pytest.mark.parametrize("name", sorted(path.name for path in GUIDES.glob("*.md")))
def test_a_guide_names_only_addresses_that_there_are(name: str) -> None:
    known = [re.sub(r"\{\w+\}", "[^/]+", path) for path in document()["paths"]]
    known += ["/api/review/", "/api/review/runs/[^/]+"]
    for address in re.findall(r"/api/[\w/.$(){}@'\[\]-]*", guide(name)):
        plain = re.sub(r"\$\(\$?[\w.]+\)|\$\w+|@\{[^}]*\}", "x", address).rstrip(".)'}")
        assert any(re.fullmatch(path, plain) for path in known), address


def test_json_of_the_guides_is_json_and_its_request_one_that_is_taken() -> None:
    (nutanix,) = blocks("nutanix.md", "json")
    HookRequest.model_validate_json(nutanix)
    workflow, *_ = (json.loads(text) for text in blocks("logic-app.md", "json"))
    start = workflow["actions"]["Start"]
    HookRequest.model_validate_json(json.dumps(start["inputs"]["body"]))
    assert start["operationOptions"] == "DisableAsyncPattern"
    at_work = set(re.findall(r"'([a-z-]+)'", workflow["actions"]["Until_it_rests"]["expression"]))
    assert at_work - {"Status", "status"} == {"queued", "planning", "applying", "rolling-back"}


def test_the_workflow_for_teams_reads_what_a_webhook_is_told_and_gets_every_parameter() -> None:
    _, workflow, given = (json.loads(text) for text in blocks("logic-app.md", "json"))
    text = json.dumps(workflow)
    assert set(given) == set(workflow["parameters"]) == set(re.findall(r"parameters\('([$\w]+)'\)", text))
    assert set(given["$connections"]["value"]) == set(re.findall(r"\$connections'\)\['(\w+)'\]", text))
    schema = workflow["triggers"]["Realign_tells"]["inputs"]["schema"]
    for message in (examples.told, {**examples.told, "summary": "<b>&"}):
        jsonschema_rs.validator_for(schema).validate(message)
    for steps in re.findall(r"triggerBody\(\)((?:\['\w+'\])+)", text):
        value = examples.told
        for step in re.findall(r"'(\w+)'", steps):
            value = value[step]
        assert isinstance(value, str)
    first, second = workflow["actions"]
    assert (workflow["actions"][first]["type"], workflow["actions"][second]["runAfter"]) == (
        "Response", {first: ["Succeeded"]},
    )  # fmt: skip


@pytest.mark.parametrize("name", ["powershell.md", "azure-site-recovery.md"])
def test_the_powershell_of_the_guides_asks_for_fields_that_there_are(name: str) -> None:
    """There is no PowerShell here to run it: its members and names are compared at least, and its brackets counted."""
    fields = set(document()["components"]["schemas"]["Run"]["properties"])
    for text in blocks(name, "powershell"):
        assert set(re.findall(r"\$run\.(\w+)", text)) <= fields
        bare = re.sub(r"#.*$|'[^'\n]*'", "", text, flags=re.MULTILINE)
        for pair in ("()", "{}", "[]"):
            assert bare.count(pair[0]) == bare.count(pair[1]), (name, pair)
    body = re.search(r"\$body = @\{(.*?)\}\n", guide(name), flags=re.DOTALL)
    assert body is not None
    asked = {first or second for first, second in re.findall(r"^\s*(\w+)\s+=|(?:^|;)\s*(\w+) =", body[1], re.MULTILINE)}
    assert asked <= {field.alias or key for key, field in HookRequest.model_fields.items()}
    assert {"profile", "target"} <= asked


@pytest.mark.parametrize("path", sorted(GUIDES.glob("*.md")), ids=lambda path: path.name)
def test_every_link_of_a_guide_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        file, _, anchor = target.partition("#")
        if target.startswith("http"):
            continue
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), target
        titles = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert not anchor or anchor in {title.lower().replace(" ", "-") for title in titles}, target
