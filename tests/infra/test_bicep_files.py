"""The Bicep itself: two parsers read it, nothing in it is unused, and what plays it refuses what a compiler would."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pycep import BicepParser

from tests.infra.bicep import declared, deploy, parameter_file, parse, used
from tests.infra.bicep_values import BicepError
from tests.infra.deployments import INFRA, MAIN, SIGN_IN, WAYS, deployed, parameters

FILES = [MAIN, *sorted((INFRA / "modules").glob("*.bicep"))]
PARAMETERS = (INFRA / "main.bicepparam").read_text(encoding="utf-8")
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


@each_file
def test_checkov_s_parser_reads_it_too(path: Path) -> None:
    seen = BicepParser().parse(text=path.read_text(encoding="utf-8"))
    assert list(seen.get("resources", {})) == declared(path, "resource")
    assert list(seen.get("modules", {})) == declared(path, "module")
    assert list(seen.get("parameters", {})) == declared(path, "parameter")


@each_file
def test_nothing_is_declared_that_nothing_uses(path: Path) -> None:
    names = [*declared(path, "parameter"), *declared(path, "variable")]
    assert [name for name in names if name not in used(path)] == []


@each_file
def test_outputs_and_parameters_hold_no_secret(path: Path) -> None:
    names = declared(path, "parameter") + declared(path, "output")
    assert [name for name in names if re.search(r"secret|password|key(?!Vault)|token", name, re.IGNORECASE)] == []


def test_every_parameter_of_main_is_described() -> None:
    text = MAIN.read_text(encoding="utf-8")
    plain = {"location", "tags"}  # what they are goes without saying
    blocks = {
        re.findall(r"^param (\w+)", block, re.MULTILINE)[0]: block
        for block in text.split("\n\n")
        if "\nparam " in block
    }
    assert set(blocks) | plain == set(declared(MAIN, "parameter"))
    assert [name for name, block in blocks.items() if "@description(" not in block and name not in plain] == []


def test_every_module_is_used_by_main() -> None:
    text = MAIN.read_text(encoding="utf-8")
    assert [path.name for path in FILES[1:] if f"'modules/{path.name}'" not in text] == []


def test_the_parameter_file_sets_parameters_that_there_are() -> None:
    assert PARAMETERS.startswith("using 'main.bicep'\n")
    named = set(re.findall(r"^(?:// )?param (\w+) =", PARAMETERS, re.MULTILINE))
    assert named <= set(declared(MAIN, "parameter"))
    assert {"signInClientId", "allowedAddresses", "onPremises", "connectivity"} <= named


def test_the_parameter_file_deploys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALIGN_SIGN_IN_CLIENT_ID", SIGN_IN)
    given = parameter_file(PARAMETERS, tmp_path)
    played = deploy(MAIN, given)
    assert len(played.of("Microsoft.Relay/namespaces/hybridConnections")) == len(given["onPremises"]) == 2


def test_without_an_app_registration_nothing_is_deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REALIGN_SIGN_IN_CLIENT_ID", raising=False)
    with pytest.raises(BicepError, match="signInClientId is too short"):
        deploy(MAIN, parameter_file(PARAMETERS, tmp_path))


@pytest.mark.parametrize("line", re.findall(r"^// (param .*)$", PARAMETERS, re.MULTILINE))
def test_each_example_of_the_parameter_file_deploys(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALIGN_SIGN_IN_CLIENT_ID", SIGN_IN)
    name = line.split()[1]
    chosen = {name: parameter_file(line + "\n", tmp_path)[name]}
    assert deploy(MAIN, parameter_file(PARAMETERS, tmp_path) | chosen).of("Microsoft.Web/sites")


@pytest.mark.parametrize("way", WAYS)
def test_no_two_resources_are_one(way: str) -> None:
    ids = [each.id for each in deployed(way).resources if not each.existing]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("way", WAYS)
def test_what_is_taken_for_granted_is_made(way: str) -> None:
    made = {each.id for each in deployed(way).resources if not each.existing}
    assert {each.id for each in deployed(way).resources if each.existing} - made <= {
        "/providers/Microsoft.Relay/namespaces/none"
    }


@pytest.mark.parametrize("way", WAYS)
def test_names_are_as_long_as_azure_allows(way: str) -> None:
    played = deployed(way)
    assert re.fullmatch(r"[a-z0-9]{3,24}", played.one("Microsoft.Storage/storageAccounts").name)
    assert re.fullmatch(r"[a-zA-Z](?!.*--)[a-zA-Z0-9-]{1,22}[a-zA-Z0-9]", played.one("Microsoft.KeyVault/vaults").name)
    assert len(played.one("Microsoft.Web/sites").name) <= 32  # the host's ID: two apps must not share it


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("var a = b\n", "b is not declared", id="an-unknown-name"),
        pytest.param("param a string\n", "parameter a is missing", id="a-missing-parameter"),
        pytest.param("param a int = 'x'\n", "parameter a is 'x', and not int", id="a-wrong-type"),
        pytest.param("@allowed([ 'x' ])\nparam a string = 'y'\n", "not one of", id="a-value-that-is-not-allowed"),
        pytest.param("var a = { b: \n", "no Bicep", id="what-is-no-bicep"),
        pytest.param("var a = frob()\n", "function frob is not known", id="an-unknown-function"),
        pytest.param("var a = { b: 1 }\nvar c = a.d\n", "nothing called d", id="an-unknown-member"),
        pytest.param("resource a 'M/a/b@1' = {\n  name: 'x'\n}\n", "takes 2 names", id="a-child-without-its-parent"),
    ],
)
def test_wrong_bicep_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "wrong.bicep"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BicepError, match=said):
        deploy(path, {})


def test_a_parameter_that_a_module_has_not_is_refused() -> None:
    with pytest.raises(BicepError, match="has no parameter nome"):
        deploy(MAIN, parameters(nome="x"))


def test_precedence_and_loops_are_those_of_bicep(tmp_path: Path) -> None:
    path = tmp_path / "fine.bicep"
    path.write_text(
        "var a = 'x' == 'x' || false ? 'yes' : 'no'\nvar b = [for (item, i) in [ 'p', 'q' ]: '${item}${i + 1}']\n"
        "output a string = a\noutput b array = b\n",
        encoding="utf-8",
    )
    parse(path)
    assert deploy(path, {}).outputs == {"a": "yes", "b": ["p1", "q2"]}
