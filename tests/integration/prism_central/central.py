"""What the tests of the simulated Prism Central v4 share: paths, and reading a list to its end."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import requests

from sandbox.rate_budget import RATES, WHOLE
from sandbox.scenario import Scenario, load
from sandbox.world import SimVm
from tests.integration.callers import PrismCaller

VMS = "/api/vmm/v4.2/ahv/config/vms"
CLUSTERS = "/api/clustermgmt/v4.2/config/clusters"
CATEGORIES = "/api/prism/v4.2/config/categories"
JOBS = "/api/dataprotection/v4.2/config/recovery-plan-jobs"
PLANS = "/api/datapolicies/v4.2/config/recovery-plans"
PROTECTED = "/api/dataprotection/v4.2/config/protected-resources"
GONE = "aaaaaaaa-0000-0000-0000-aaaaaaaaaaaa"


def two_clusters() -> Scenario:
    """Two clusters of one Prism Central, the first of which is unavailable; its rate budgets do not bind."""
    scenario = load("central-v3")
    prism = scenario.world.prisms["central"]
    prism.api = "central-v4"
    prism.rates = dict.fromkeys((WHOLE, *RATES), 1_000)
    return scenario


def pages(central: PrismCaller, path: str, **query: str | int) -> Iterator[dict[str, Any]]:
    for page in itertools.count():
        body = central.get(path, params={**query, "$page": page}).json()
        yield body
        if "data" not in body:
            return


def listed(central: PrismCaller, path: str = VMS, **query: str | int) -> list[dict[str, Any]]:
    return [each for body in pages(central, path, **query) for each in body.get("data", ())]


def vms_of(central: PrismCaller) -> list[SimVm]:
    """Those of the available cluster."""
    return list(central.prism.clusters[1].vms.values())


def app_message(answer: requests.Response) -> dict[str, Any]:
    (message,) = answer.json()["data"]["error"]
    return dict(message)
