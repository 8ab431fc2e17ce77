"""checkov looks at the Bicep, and each of its findings is either mended or written down with its reason."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.infra.deployments import INFRA
from tests.infra.environments import run_in

EXCEPTIONS = yaml.safe_load((INFRA / "checkov.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def said() -> Any:
    return run_in("checkov", "read_checkov.py", str(INFRA))


def test_it_reads_every_file(said: Any) -> None:
    assert said["unreadable"] == []
    files = {each["at"].partition(":")[0] for each in said["passed"] + said["failed"]}
    assert {"modules/site.bicep", "modules/storage.bicep", "modules/vault.bicep", "modules/network.bicep"} <= files


def test_its_findings_are_the_exceptions_that_have_a_reason(said: Any) -> None:
    found = {(each["check"], each["at"]) for each in said["failed"]}
    excepted = {(entry["check"], place) for entry in EXCEPTIONS for place in entry.get("at", [])}
    assert found - excepted == set()
    assert excepted - found == set(), "exceptions that find nothing any more"
    assert all(len(entry["reason"]) > 10 for entry in EXCEPTIONS)


def test_its_checks_have_run(said: Any) -> None:
    passed = {each["check"] for each in said["passed"]}
    # HTTPS only, TLS 1.2 for app and storage, FTP off, no public blobs, HTTPS at storage, vault recoverable
    assert {
        "CKV_AZURE_14",
        "CKV_AZURE_15",
        "CKV_AZURE_44",
        "CKV_AZURE_78",
        "CKV_AZURE_59",
        "CKV_AZURE_3",
        "CKV_AZURE_110",
    } <= passed
    broken = {(line.split()[4], line.split()[6].rpartition(".")[2]) for line in said["broken"]}
    known = {(entry["check"], at.rpartition(":")[2]) for entry in EXCEPTIONS for at in entry.get("breaks", [])}
    assert broken == known
