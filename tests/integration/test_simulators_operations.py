"""Every operation that a simulator handles is called with success, and judged by another reader of the contract."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests

from sandbox import contract
from sandbox.citrix_daas import CitrixDaas
from sandbox.contract import Contract
from sandbox.faults import Faults
from sandbox.prism_central import Central
from sandbox.prism_v2 import ElementV2
from sandbox.recovery_steps import plan_uuid
from sandbox.sandbox import Sandbox
from sandbox.scenario import load
from sandbox.world import Prism, SimJob, SimRecovered, stable_uuid
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
    "getMachineCatalog": lambda c: c.get(f"/MachineCatalogs/{next(iter(c.site.catalogs))}"),
    "listCatalogMachines": lambda c: c.get(f"/MachineCatalogs/{next(iter(c.site.catalogs))}/Machines"),
    "listDeliveryGroups": lambda c: c.get("/DeliveryGroups"),
    "listHypervisors": lambda c: c.get("/hypervisors"),
    "getHypervisor": lambda c: c.get(f"/hypervisors/{next(iter(c.site.connections))}"),
    "resetHypervisorConnection": lambda c: c.call(
        "POST", f"/hypervisors/{next(iter(c.site.connections))}/$resetConnection"
    ),
    "listZones": lambda c: c.get("/Zones"),
    "getZone": lambda c: c.get(f"/Zones/{next(iter(c.site.zones))}"),
    "moveItemsIntoZone": lambda c: c.call("POST", f"/Zones/{next(iter(c.site.zones))}/$moveItems", json={"Items": []}),
    "submitBatch": lambda c: c.call("POST", "/$batch?async=true", json={"Items": []}),
    "listJobs": lambda c: c.get("/Jobs"),
    "getJob": lambda c: c.get(f"/Jobs/{next(iter(c.site.jobs))}"),
    "cancelJob": lambda c: c.call("POST", f"/Jobs/{next(iter(c.site.jobs))}/$cancel"),
    "getJobResults": lambda c: c.get(f"/Jobs/{next(iter(c.site.jobs))}/Results"),
    "deleteJob": lambda c: c.call("DELETE", f"/Jobs/{next(iter(c.site.jobs))}"),
}
ELEMENT: dict[str, Callable[[PrismCaller], requests.Response]] = {
    "v2GetCluster": lambda p: p.get(f"{V2}/cluster"),
    "v2ListVms": lambda p: p.get(f"{V2}/vms"),
    "v2GetVm": lambda p: p.get(f"{V2}/vms/{next(iter(p.prism.clusters[0].vms))}"),
    "v2ListProtectionDomains": lambda p: p.get(f"{V2}/protection_domains/"),
    "v2GetProtectionDomain": lambda p: p.get(f"{V2}/protection_domains/PD-VDI"),
    "v2ListDrSnapshots": lambda p: p.get(f"{V2}/protection_domains/PD-VDI/dr_snapshots"),
}
CENTRAL_V3: dict[str, Callable[[PrismCaller], requests.Response]] = {
    "v3GetCurrentUser": lambda p: p.get(f"{V3}/users/me"),
    "v3ListVms": lambda p: p.post(f"{V3}/vms/list", {"kind": "vm"}),
    "v3GetVm": lambda p: p.get(f"{V3}/vms/{next(iter(p.prism.clusters[0].vms))}"),
    "v3ListClusters": lambda p: p.post(f"{V3}/clusters/list", {"kind": "cluster"}),
    "v3GetCluster": lambda p: p.get(f"{V3}/clusters/{p.prism.clusters[0].uuid}"),
    "v3ListRecoveryPlans": lambda p: p.post(f"{V3}/recovery_plans/list", {"kind": "recovery_plan"}),
    "v3GetRecoveryPlan": lambda p: p.get(f"{V3}/recovery_plans/{plan_uuid(p.prism.jobs[0].plan)}"),
    "v3ListRecoveryPlanJobs": lambda p: p.post(f"{V3}/recovery_plan_jobs/list", {"kind": "recovery_plan_job"}),
    "v3GetRecoveryPlanJob": lambda p: p.get(f"{V3}/recovery_plan_jobs/{p.prism.jobs[0].uuid}"),
    "v3GetRecoveryPlanJobStatus": lambda p: p.get(f"{V3}/recovery_plan_jobs/{p.prism.jobs[0].uuid}/execution_status"),
}
JOBS = "/api/dataprotection/v4.2/config/recovery-plan-jobs"
CENTRAL_V4: dict[str, Callable[[PrismCaller], requests.Response]] = {
    "v4GetVersions": lambda p: p.options("/api/vmm/unversioned/info"),
    "v4ListVms": lambda p: p.get("/api/vmm/v4.2/ahv/config/vms"),
    "v4GetVm": lambda p: p.get(f"/api/vmm/v4.2/ahv/config/vms/{next(iter(p.prism.clusters[0].vms))}"),
    "v4ListClusters": lambda p: p.get("/api/clustermgmt/v4.2/config/clusters"),
    "v4GetCluster": lambda p: p.get(f"/api/clustermgmt/v4.2/config/clusters/{p.prism.clusters[0].uuid}"),
    "v4ListCategories": lambda p: p.get("/api/prism/v4.2/config/categories"),
    "v4ListRecoveryPlans": lambda p: p.get("/api/datapolicies/v4.2/config/recovery-plans"),
    "v4GetRecoveryPlan": lambda p: p.get(
        f"/api/datapolicies/v4.2/config/recovery-plans/{plan_uuid(p.prism.jobs[0].plan)}"
    ),
    "v4ListRecoveryPlanJobs": lambda p: p.get(JOBS),
    "v4GetRecoveryPlanJob": lambda p: p.get(f"{JOBS}/{p.prism.jobs[0].uuid}"),
    "v4ListExecutionSteps": lambda p: p.get(f"{JOBS}/{p.prism.jobs[0].uuid}/execution-steps"),
    "v4ListValidationErrors": lambda p: p.get(f"{JOBS}/{p.prism.jobs[0].uuid}/validation-errors"),
    "v4GetProtectedResource": lambda p: p.get(
        f"/api/dataprotection/v4.2/config/protected-resources/{next(iter(p.prism.clusters[0].vms))}"
    ),
}


def with_recovery(prism: Prism) -> Prism:
    """A job that ran, and a VM that is replicated synchronously."""
    vm = next(iter(prism.clusters[0].vms.values()))
    vm.role = "PRIMARY"
    recovered = [SimRecovered(vm.uuid, vm.uuid, vm.name)]
    started, ended = "2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z"
    prism.jobs = [SimJob(stable_uuid("job"), "run-1", "MIGRATE", started, ended, recovered=recovered)]
    return prism


def test_the_tables_here_name_all_that_the_simulators_handle() -> None:
    element, central = load("activation-stale-copies-off").world, load("central-v3").world
    assert set(CITRIX) == set(CitrixDaas(element, Faults()).handlers)
    assert set(ELEMENT) == set(ElementV2(element.prisms["amsterdam"], Faults()).handlers)
    both = Central(central.prisms["central"], Faults())
    assert set(CENTRAL_V3) == set(both.v3.handlers)
    assert set(CENTRAL_V4) == set(both.v4.handlers)


def was_called(sandbox: Sandbox, system: str, document: Contract, name: str) -> bool:
    (operation,) = (each for each in document.operations if each.id == name)
    return sandbox.calls.count(system, operation.method.upper(), operation.template) == 1


def test_every_operation_of_citrix_answers_as_its_contract_says(sandbox_for: Start) -> None:
    sandbox = sandbox_for("activation-stale-copies-off")
    citrix = CitrixCaller(sandbox)
    for name, call in CITRIX.items():
        assert call(citrix).status_code in (200, 202, 204), name
        assert was_called(sandbox, "citrix", contract.citrix(), name), name


@pytest.mark.parametrize(
    ("scenario", "prism", "calls"),
    [
        pytest.param("activation-stale-copies-off", "amsterdam", ELEMENT, id="element-v2"),
        pytest.param("central-v3", "central", CENTRAL_V3, id="central-v3"),
        pytest.param("central-v3", "central", CENTRAL_V4, id="central-v4"),
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
    with_recovery(caller.prism)
    for name, call in calls.items():
        assert call(caller).status_code == 200, name
        assert was_called(sandbox, f"prism/{prism}", contract.prism(), name), name
