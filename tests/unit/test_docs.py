"""The docs fall behind no field, setting, code or reason of the code."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from sandbox import faults, scenario
from shared import errors
from shared.model.finding import Confidence, FindingKind
from shared.model.nutanix import ReadStatus
from shared.model.run import RemapState, RunStatus
from shared.profile.profile import Profile
from shared.profile_files import parse_profile
from shared.runs import observe, reset_again
from shared.runs.deciding import review_request
from shared.runs.request import RunRequest
from tests.unit.profiles import ON_PREMISES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CODE = re.compile(r"[a-z]+(-[a-z]+)+")


def doc(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def literals(path: Path) -> set[str]:
    """The texts in a module's code, without its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare
    }


def without_comments(jsonc: str) -> str:
    """JSONC as JSON; a comment begins with // at the start of a line or behind a space."""
    return re.sub(r"(^|\s)//.*$", "", jsonc, flags=re.MULTILINE)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (tuple, Union, UnionType, Annotated):
        for inner in get_args(annotation):
            yield from models_in(inner)


def paths_of(model: type[BaseModel], way: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        path = f"{way}{field.alias or name}"
        yield path
        listed = get_origin(field.annotation) is tuple
        for inner in models_in(field.annotation):
            yield from paths_of(inner, f"{path}[]." if listed else f"{path}.")


def test_the_walk_over_the_models_finds_the_deepest_fields() -> None:
    paths = set(paths_of(Profile))
    assert {"clusters[].relay.portName", "site.hosts[].port", "policy.dr.mode", "scope.prismCategory.key"} <= paths


@pytest.mark.parametrize("path", sorted(set(paths_of(Profile))))
def test_every_field_of_a_profile_is_documented(path: str) -> None:
    if path.startswith("site.hosts[].relay."):
        path = path.replace("site.hosts[].", "clusters[].")  # the table refers there
    if path in {"site", "clusters", "scope", "policy"}:
        assert f'"{path}"' in doc("profile.md")
    else:
        assert f"`{path}`" in doc("profile.md")


def test_no_field_is_documented_that_is_not_there() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \|", doc("profile.md"), flags=re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert documented <= set(paths_of(Profile))


def test_the_documented_defaults_are_the_models() -> None:
    rows = re.findall(r"^\| `policy\.([a-zA-Z]+)` \| ([^|]+) \|", doc("profile.md"), flags=re.MULTILINE)
    defaults = parse_profile(json.dumps(ON_PREMISES), file="p.json").profile
    assert defaults is not None
    policy = defaults.policy.model_dump(mode="json", by_alias=True)
    assert {name for name, _ in rows} == set(policy)
    for name, text in rows:
        if name != "dr":
            plain = policy[name] if isinstance(policy[name], str) else json.dumps(policy[name])
            assert text.strip("` ") == plain, name


def test_the_example_of_the_docs_is_a_profile_that_runs_today() -> None:
    (example,) = re.findall(r"```jsonc\n(.*?)```", doc("profile.md"), flags=re.DOTALL)
    assert "//" in example
    file = parse_profile(without_comments(example), file="example.json")
    assert file.errors == ()
    assert file.profile is not None


def settings_in_code() -> set[str]:
    plain = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")
    modules = [*(ROOT / "shared" / "settings").glob("*.py"), ROOT / "shared" / "transport.py"]
    read = set().union(*map(literals, modules))
    found = {text for text in read if plain.fullmatch(text)}
    for path in [ROOT / "host.json", ROOT / "function_app.py", *(ROOT / "functions").glob("*.py")]:
        found |= set(re.findall(r"%([A-Za-z_]+)%", path.read_text(encoding="utf-8")))
    found |= {f"AzureWebJobsStorage__{part}" for part in ("accountName", "clientId", "credential")}
    found |= {f"AzureWebJobsStorage__{service}ServiceUri" for service in ("blob", "queue", "table")}
    return found | {"AzureWebJobsStorage", "HTTPS_PROXY", "NO_PROXY", "PYTHON_THREADPOOL_THREAD_COUNT"}


def test_the_search_for_settings_finds_them() -> None:
    expected = {"KEY_VAULT_URL", "REALIGN_PROFILES", "REALIGN_SCHEDULE", "WEBSITE_AUTH_ENABLED", "SSL_CERT_FILE"}
    expected |= {"REALIGN_IDENTITY_CLIENT_ID", "IDENTITY_HEADER", "AZURE_CLIENT_SECRET", "AZURE_AUTHORITY_HOST"}
    assert expected <= settings_in_code()


@pytest.mark.parametrize("name", sorted(settings_in_code()))
def test_every_setting_is_documented(name: str) -> None:
    assert f"`{name}`" in doc("settings.md")


def test_every_setting_of_the_example_is_documented() -> None:
    example = json.loads((ROOT / "local.settings.json.example").read_text(encoding="utf-8"))
    assert [name for name in example["Values"] if f"`{name}`" not in doc("settings.md")] == []


@pytest.mark.parametrize("word", ["clientId", "clientSecret", "username", "password", "apiKey"])
def test_every_member_of_a_secret_is_documented(word: str) -> None:
    assert f'"{word}"' in doc("settings.md")


def error_classes() -> list[type[errors.RealignError]]:
    return [
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.RealignError)
    ]


@pytest.mark.parametrize("kind", error_classes(), ids=lambda kind: kind.__name__)
def test_every_error_code_has_its_row_with_the_status(kind: type[errors.RealignError]) -> None:
    assert f"| `{kind.code}` | {kind.status} | " in doc("troubleshooting.md")


def routes() -> set[str]:
    """The routes of the app, as its triggers name them."""
    found: set[str] = set()
    for path in (ROOT / "functions").glob("*.py"):
        found |= set(re.findall(r'route="([^"]+)"', path.read_text(encoding="utf-8")))
    return found


@pytest.mark.parametrize("route", sorted(routes()))
def test_every_route_is_documented(route: str) -> None:
    assert re.search(rf"^\|.*`(GET|POST|DELETE) {re.escape(route)}[`?]", doc("api.md"), flags=re.MULTILINE)


def fields_of(*models: type[BaseModel]) -> set[str]:
    return {field.alias or name for model in models for name, field in model.model_fields.items()}


def test_every_field_of_a_request_is_documented() -> None:
    asked = fields_of(
        RunRequest, review_request.ApproveRequest, review_request.ResolveRequest, review_request.Candidate,
        review_request.MachinesRequest, review_request.CancelRequest, review_request.HoldRequest,
    )  # fmt: skip
    assert {"ifBusy", "fingerprint", "apply", "candidate", "hours"} <= asked
    assert [name for name in sorted(asked) if f'"{name}"' not in doc("api.md")] == []


@pytest.mark.parametrize("state", [*RunStatus, *RemapState])
def test_every_state_of_a_run_and_a_remap_has_its_row(state: StrEnum) -> None:
    kind = "run" if isinstance(state, RunStatus) else "remap"
    table = doc("api.md").split(f"\n| {kind} | meaning |\n")[1].split("\n\n")[0]
    assert re.search(rf"^\| .*`{state.value}`.* \| ", table, flags=re.MULTILINE)


def actions_of_events() -> set[str]:
    """What events are called, as far as the code that makes them says so itself."""
    found = {status.value for status in (RunStatus.COMPLETED, RunStatus.CANCELLED, RunStatus.AWAITING_REVIEW)}
    found |= {RemapState.FAILED.value, RemapState.SUPERSEDED.value, RemapState.ROLLBACK_FAILED.value}
    found |= {observe.NAME, reset_again.NAME}
    for path in (ROOT / "shared" / "runs").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Event", "_tell"):
                found |= {str(each.value) for each in node.args[2:4] if isinstance(each, ast.Constant)}
    return found


def test_every_action_of_an_event_has_its_row() -> None:
    assert {"run-requested", "approved", "rejected", "apply-requested", "rollback-requested"} <= actions_of_events()
    section = doc("troubleshooting.md").split("\n## Events\n")[1].split("\n## ")[0]
    named = set(re.findall(r"`([a-z-]+)`", "".join(re.findall(r"^\| (`.*?) \|", section, flags=re.MULTILINE))))
    assert actions_of_events() <= named


def test_every_kind_of_upstream_failure_has_its_row() -> None:
    told = set(re.findall(r"``([a-z-]+)``", errors.Upstream.__doc__ or "")) - {"system", "kind"}
    used = {
        str(ast.literal_eval(keyword.value))
        for path in (ROOT / "shared").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "kind" and isinstance(keyword.value, ast.Constant)
    }
    assert {"unreachable", "tls", "sign-in", "throttled", "misconfigured"} <= told
    assert [kind for kind in sorted(told | used) if f"| `{kind}` | " not in doc("troubleshooting.md")] == []


def codes_of_planning() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "shared" / "planning").glob("*.py"):
        found |= {text for text in literals(path) if CODE.fullmatch(text)}
    # grounds, which people read as evidence of the kind lineage
    return found - {"own-vm", "bios-uuid", "recovery-plan-job"}


def test_the_search_for_reasons_finds_them() -> None:
    expected = {"vm-moved", "vm-replaced", "not-manual", "not-on-target", "shared-vm", "split-brain", "vm-in-flux"}
    assert expected | {"max-changes", "incomplete-read", "power-state", "cluster-unreachable"} <= codes_of_planning()


@pytest.mark.parametrize("code", sorted(codes_of_planning()))
def test_every_reason_guard_and_evidence_has_its_row(code: str) -> None:
    assert re.search(rf"^\|.*`{code}`.*\|$", doc("troubleshooting.md"), flags=re.MULTILINE)


def test_every_word_of_the_shapes_is_explained_somewhere() -> None:
    assert [kind for kind in FindingKind if f"| `{kind}` | `" not in doc("troubleshooting.md")] == []
    assert [status for status in ReadStatus if f"| `{status}` | " not in doc("troubleshooting.md")] == []
    every = "".join(path.read_text(encoding="utf-8") for path in DOCS.glob("*.md"))
    assert [word for word in Confidence if f"`{word}`" not in every] == []


def rows_of_sandbox(section: str) -> dict[str, list[str]]:
    """The rows of a section's table in the sandbox's page by what their first cell names."""
    text = doc("sandbox.md").split(f"\n## {section}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \|(.*)\|$", text, flags=re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split("|")] for name, rest in rows}


def test_every_scenario_has_its_row_and_no_other() -> None:
    assert sorted(rows_of_sandbox("Scenarios")) == scenario.names()


def test_every_fault_has_its_row_with_what_its_number_is_and_means() -> None:
    rows = rows_of_sandbox("Faults")
    assert set(rows) == set(faults.DEFAULT_CALLS)
    for name, calls in faults.DEFAULT_CALLS.items():
        _, unit, without = rows[name]
        if name in faults.MILLISECONDS:
            assert (unit, without) == ("milliseconds", f"{faults.MILLISECONDS[name]:,} ms"), name
        elif calls is None:
            assert without == "until cleared", name
        else:
            assert without.split()[0] == str(calls), name
            assert without.split()[1].rstrip("s") == unit.split()[0].rstrip("s"), name


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        file, _, anchor = target.partition("#")
        if target.startswith("http"):
            continue
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in {title.lower().replace(" ", "-") for title in titles}, target


def test_every_metric_and_attribute_of_telemetry_is_documented() -> None:
    told = literals(ROOT / "shared" / "telemetry" / "recorder.py")
    metrics = {text for text in told if re.fullmatch(r"realign(\.[a-z]+)+", text)}
    assert len(metrics) == 11
    attributes = {"run.id", "profile", "mode", "trigger", "step", "status", "machines", "remaps", "failure"}
    attributes |= {"system", "attempt", "transaction.id", "host", "kind", "state", "name"}
    missing = [name for name in metrics | attributes if f"`{name}`" not in doc("observability.md")]
    assert missing == []


def test_every_system_that_a_call_can_go_to_is_documented() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "shared").rglob("*.py"))
    systems = set(re.findall(r'system="([a-z]+)"', code)) | set(re.findall(r'Call\.to\(\s*"([a-z]+)"', code))
    assert systems > {"citrix", "prism"}
    assert [name for name in systems - {"other"} if f"`{name}`" not in doc("observability.md")] == []


def sentences_of_code() -> str:
    """What the code may say: its literals, with a mark where a value stands."""
    found = []
    for part in ("shared", "functions"):
        for path in (ROOT / part).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    found.append("\0".join(str(each.value) for each in node.values if isinstance(each, ast.Constant)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return "\n".join(found)


def test_every_message_that_is_quoted_is_one_that_the_code_writes() -> None:
    said, quoted = sentences_of_code(), set()
    for page in ("operations.md", "troubleshooting.md"):
        prose = re.sub(r"```.*?```", "", doc(page), flags=re.DOTALL)
        plain = re.sub(r"`[^`\n]*`", "`", prose)
        quoted |= {" ".join(text.split()) for text in re.findall(r'"([^"`]+)"', plain)}
        quoted |= set(re.findall(r"log (?:says|names them)[^`]{0,4}`([^`]+)`", prose))
    assert len(quoted) >= 9
    assert [text for text in sorted(quoted) if not all(part.strip() in said for part in text.split("..."))] == []
