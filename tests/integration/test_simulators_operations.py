"""Every operation that a simulator handles is called with success, and judged by another reader of the contract."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests

from sandbox import contract
from sandbox.citrix_daas import CitrixDaas
from sandbox.contract import Contract
from sandbox.faults import Faults
from sandbox.prism_v2 import ElementV2
from sandbox.prism_v3 import CentralV3
from sandbox.sandbox import Sandbox
from sandbox.scenario import load
from tests.integration.callers import V2, V3, CitrixCaller, PrismCaller

Start = Callable[..., Sandbox]
PrismOf = Callable[[Sandbox, str], PrismCaller]

CITRIX: dict[str, Callable[[CitrixCaller], requests.Response]] = {
    "createCloudToken": lambda c: c.sign_in(),
    "getMe": lambda c: c.get("/Me"),
    "listSites": lambda c: c.get("/Sites"),
    "getSite": lambda c: c.get(f"/Sites/{c.site.id}"),
    "listMachines": lambda c: c.get("/Machines"),
    "getMachine": lambda c: c.get(f"/Machines/{next(iter(c.site.machines))}"),
    "updateMachine": lambda c: c.call("PATCH", f"/Machines/{next(iter(c.site.machines))}", json={}),
    "listMachineCatalogs": lambda c: c.get("/MachineCatalogs"),
    "listDeliveryGroups": lambda c: c.get("/DeliveryGroups"),
    "listHypervisors": lambda c: c.get("/hypervisors"),
    "getHypervisor": lambda c: c.get(f"/hypervisors/{next(iter(c.site.connections))}"),
    "resetHypervisorConnection": lambda c: c.call(
        "POST", f"/hypervisors/{next(iter(c.site.connections))}/$resetConnection"
    ),
}
ELEMENT: dict[str, Callable[[PrismCaller], requests.Response]] = {
    "v2GetCluster": lambda p: p.get(f"{V2}/cluster"),
    "v2ListVms": lambda p: p.get(f"{V2}/vms"),
    "v2GetVm": lambda p: p.get(f"{V2}/vms/{next(iter(p.prism.clusters[0].vms))}"),
    "v2ListProtectionDomains": lambda p: p.get(f"{V2}/protection_domains/"),
    "v2GetProtectionDomain": lambda p: p.get(f"{V2}/protection_domains/PD-VDI"),
    "v2ListDrSnapshots": lambda p: p.get(f"{V2}/protection_domains/PD-VDI/dr_snapshots"),
}
CENTRAL: dict[str, Callable[[PrismCaller], requests.Response]] = {
    "v3GetCurrentUser": lambda p: p.get(f"{V3}/users/me"),
    "v3ListVms": lambda p: p.post(f"{V3}/vms/list", {"kind": "vm"}),
    "v3GetVm": lambda p: p.get(f"{V3}/vms/{next(iter(p.prism.clusters[0].vms))}"),
    "v3ListClusters": lambda p: p.post(f"{V3}/clusters/list", {"kind": "cluster"}),
    "v3GetCluster": lambda p: p.get(f"{V3}/clusters/{p.prism.clusters[0].uuid}"),
}


def test_the_tables_here_name_all_that_the_simulators_handle() -> None:
    element, central = load("activation-stale-copies-off").world, load("central-v3").world
    assert set(CITRIX) == set(CitrixDaas(element, Faults()).handlers)
    assert set(ELEMENT) == set(ElementV2(element.prisms["amsterdam"], Faults()).handlers)
    assert set(CENTRAL) == set(CentralV3(central.prisms["central"], Faults()).handlers)


def was_called(sandbox: Sandbox, system: str, document: Contract, name: str) -> bool:
    (operation,) = (each for each in document.operations if each.id == name)
    return sandbox.calls.count(system, operation.method.upper(), operation.template) == 1


def test_every_operation_of_citrix_answers_as_its_contract_says(sandbox_for: Start) -> None:
    sandbox = sandbox_for("activation-stale-copies-off")
    citrix = CitrixCaller(sandbox)
    for name, call in CITRIX.items():
        assert call(citrix).status_code in (200, 204), name
        assert was_called(sandbox, "citrix", contract.citrix(), name), name


@pytest.mark.parametrize(
    ("scenario", "prism", "calls"),
    [
        pytest.param("activation-stale-copies-off", "amsterdam", ELEMENT, id="element-v2"),
        pytest.param("central-v3", "central", CENTRAL, id="central-v3"),
    ],
)
def test_every_operation_of_prism_answers_as_its_contract_says(
    sandbox_for: Start,
    prism_of: PrismOf,
    scenario: str,
    prism: str,
    calls: dict[str, Callable[[PrismCaller], requests.Response]],
) -> None:
    sandbox = sandbox_for(scenario)
    caller = prism_of(sandbox, prism)
    for name, call in calls.items():
        assert call(caller).status_code == 200, name
        assert was_called(sandbox, f"prism/{prism}", contract.prism(), name), name
