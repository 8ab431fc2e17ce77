"""The page on coverage names every parameter of the scripts, and tests that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from sandbox import scenario

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "coverage.md").read_text(encoding="utf-8")
# The parameters of the scripts that Realign replaces.
PARAMETERS = re.findall(
    r"\w+",
    """
    Region CustomerID SecureClientFile ClientID ClientSecret AdminAddress TargetMachineScope TargetMachineList
    TargetMachineCSVList NutanixPD TargetNutanixCluster TargetHostingConnectionName ResetTargetHostingConnection
    ExclusionList MaxDaaSVMCount MaxCVADVMCount Domain BypassHypervisorTypeCheck SwitchCatalogZoneID CatalogNames
    Whatif LogPath LogRollover UseCustomCredentialFile CredPath TargetPC PCUser PCPass HostingConnectionName
    SilentConsent Interactive
    """,
)
PROOF = re.compile(r"`((?:unit|integration|e2e|nutanix_clients)/[\w/]+\.py)((?:::\w+)*)(?:\[([\w-]+)\])?`")


def rows() -> list[list[str]]:
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line[:1] == "|"]
    return [row for row in cells if not set(row[0]) <= {"-"} and row[-1] != "proven by"]


def names_below(node: ast.AST, way: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Classes and functions as pytest names them, outermost first."""
    found = set()
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found |= {(*way, child.name)} | names_below(child, (*way, child.name))
    return found


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_every_parameter_has_its_row(parameter: str) -> None:
    assert [row for row in rows() if f"`{parameter}`" in row[0]], f"{parameter} is not on the page"


def test_every_row_names_a_proof() -> None:
    for row in rows():
        assert PROOF.fullmatch(row[-1]), f"{row[0]}: {row[-1]}"


@pytest.mark.parametrize("proof", sorted({row[-1] for row in rows()}))
def test_every_proof_is_a_test_that_is_there(proof: str) -> None:
    found = PROOF.fullmatch(proof)
    assert found is not None
    path, names, case = found.groups()
    tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
    if names:
        assert tuple(names.strip(":").split("::")) in names_below(tree)
    if case is not None:
        assert case in scenario.names()
