"""What a simulated Prism Central holds back: calls over its rate budgets, VMs that it learns of late, faults."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests

from sandbox.rate_budget import WHOLE, RateBudgets
from sandbox.sandbox import Sandbox
from sandbox.scenario import Endpoints, load
from sandbox.vm_reading import VmOrder
from sandbox.world import NutanixCluster, Prism, SimVm, stable_uuid
from tests.integration.callers import V3, PrismCaller
from tests.integration.prism_central.central import (
    CATEGORIES,
    CLUSTERS,
    GONE,
    JOBS,
    VMS,
    app_message,
    listed,
    pages,
    vms_of,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_budget_slides_a_second_long_and_a_refusal_uses_nothing_up() -> None:
    clock = Clock()
    budgets = RateBudgets(Prism("pc", "central-v4", "AHV", []), clock)

    def at(second: float) -> bool:
        clock.now = 100 + second
        return budgets.admits("v4ListVms")

    assert [at(0.0), at(0.9), at(0.95), at(1.0), at(1.1), at(1.9)] == [True, True, False, True, False, True]


def test_the_headers_say_what_is_left_and_when_there_is_more() -> None:
    clock = Clock()
    budgets = RateBudgets(Prism("pc", "central-v4", "AHV", []), clock)
    budgets.admits("v4ListVms")
    clock.now += 0.25
    budgets.admits("v4ListVms")
    headers = budgets.headers("v4ListVms")
    assert headers["X-Ratelimit-Limit"] == "30"
    assert headers["X-Ratelimit-Remaining"] == "28"
    assert headers["X-Api-Ratelimit-Limit"] == "2"
    assert headers["X-Api-Ratelimit-Remaining"] == "0"
    assert headers["X-Api-Ratelimit-Reset"] == "750"
    assert headers["X-Api-Ratelimit-Refresh-Period-Seconds"] == "1"
    assert budgets.headers("v4ListClusters")["X-Api-Ratelimit-Remaining"] == "10"
    clock.now += 0.75
    assert budgets.headers("v4ListVms")["X-Api-Ratelimit-Remaining"] == "1"
    assert budgets.headers("v4ListClusters")["X-Api-Ratelimit-Reset"] == "0"


def test_all_endpoints_together_are_bound_by_the_whole_budget() -> None:
    budgets = RateBudgets(Prism("pc", "central-v4", "AHV", [], rates={WHOLE: 3}), Clock())
    assert [budgets.admits(name) for name in ("v4ListVms", "v4ListClusters", "v4GetVm", "v4ListCategories")] == [
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        pytest.param(VMS, 2, id="vms"),
        pytest.param(CLUSTERS, 10, id="clusters"),
        pytest.param(CATEGORIES, 10, id="categories"),
        pytest.param(JOBS, 1, id="jobs"),
    ],
)
def test_a_call_over_the_budget_gets_429_and_is_counted(
    sandbox_for: Callable[..., Sandbox], prism_of: Callable[[Sandbox, str], PrismCaller], path: str, allowed: int
) -> None:
    scenario = load("central-v3")
    sandbox = sandbox_for(scenario)
    central = prism_of(sandbox, "central")
    answers = [central.session.get(f"{central.url}{path}?$limit=1", timeout=20) for _ in range(allowed + 1)]
    assert [answer.status_code for answer in answers] == [200] * allowed + [429]
    assert app_message(answers[-1])["errorGroup"] == "RATE_LIMIT_EXCEEDED"
    assert answers[-1].headers["X-Api-Ratelimit-Remaining"] == "0"
    assert 0 < int(answers[-1].headers["X-Api-Ratelimit-Reset"]) <= 1_000
    assert "Retry-After" not in answers[-1].headers
    assert sandbox.calls.throttled("prism/central") == sandbox.calls.throttled() == 1
    assert central.get(f"{V3}/users/me").status_code == 200
    sandbox.calls.clear()
    assert sandbox.calls.throttled() == 0


def test_both_families_of_headers_stand_on_errors_too(central: PrismCaller) -> None:
    answers = [central.get(f"{VMS}/{GONE}"), central.get(f"{VMS}?$limit=0"), central.get(VMS.replace("v4.2", "v4.9"))]
    for answer in answers:
        assert {"X-Ratelimit-Limit", "X-Api-Ratelimit-Limit", "X-Api-Ratelimit-Reset"} <= set(answer.headers)


def test_a_late_vm_is_missing_in_as_many_readings_of_v4(central: PrismCaller) -> None:
    vm = vms_of(central)[0]
    vm.late = 2
    total = sum(len(cluster.vms) for cluster in central.prism.clusters)
    seen, totals = [], []
    for _ in range(3):
        read = list(pages(central, VMS, **{"$limit": 7, "$orderby": "name"}))
        totals.append({body["metadata"]["totalAvailableResults"] for body in read})
        seen.append(vm.uuid in {each["extId"] for body in read for each in body.get("data", ())})
    assert seen == [False, False, True]
    assert totals == [{total - 1}, {total - 1}, {total}]


def test_a_late_vm_is_missing_in_as_many_readings_of_v3(central: PrismCaller) -> None:
    vm = vms_of(central)[0]
    vm.late = 1
    total = sum(len(cluster.vms) for cluster in central.prism.clusters)
    for expected in (total - 1, total):
        seen: list[str] = []
        while page := central.post(f"{V3}/vms/list", {"kind": "vm", "offset": len(seen), "length": 7}).json()[
            "entities"
        ]:
            seen += [each["metadata"]["uuid"] for each in page]
        assert (len(seen), vm.uuid in seen) == (expected, expected == total)


def test_asking_for_one_vm_is_no_reading(central: PrismCaller) -> None:
    vm = vms_of(central)[0]
    vm.late = 1
    assert central.get(VMS, params={"$filter": f"name eq '{vm.name}' and cluster/extId eq 'none'"}).status_code == 200
    assert vm.uuid not in {each["extId"] for each in listed(central, **{"$filter": f"name eq '{vm.name}'"})}
    central.get(VMS, params={"$limit": 1})
    central.post(f"{V3}/vms/list", {"kind": "vm", "length": 1})
    central.post(f"{V3}/vms/list", {"kind": "vm", "filter": f"vm_name=={vm.name}"})
    assert vm.late == 1


def test_a_reading_of_one_cluster_counts_for_its_vms_alone(central: PrismCaller) -> None:
    source, target = central.prism.clusters
    here, there = next(iter(target.vms.values())), next(iter(source.vms.values()))
    here.late = there.late = 1
    central.get(VMS, params={"$filter": f"cluster/extId eq '{target.uuid}'"})
    assert (here.late, there.late) == (0, 1)


def test_vms_are_sorted_once_until_one_of_them_changes() -> None:
    cluster = NutanixCluster("0006-1", "CL")
    for name in ("b", "c", "a"):
        cluster.add(SimVm(stable_uuid(name), name))
    order = VmOrder(Prism("pc", "central-v4", "AHV", [cluster]))
    judged_names: list[str] = []

    def names() -> list[str]:
        def holds(seen: tuple[NutanixCluster, SimVm]) -> bool:
            judged_names.append(seen[1].name)
            return True

        return [vm.name for _, vm in order.listed("all", holds, [(lambda seen: seen[1].name, False)])]

    assert names() == names() == ["a", "b", "c"]
    assert len(judged_names) == 3
    next(iter(cluster.vms.values())).name = "z"
    assert names() == ["a", "c", "z"]
    cluster.add(SimVm(stable_uuid("m"), "m"))
    assert names() == ["a", "c", "m", "z"]


def test_prism_500_is_an_error_of_v4(sandbox: Sandbox, central: PrismCaller) -> None:
    sandbox.faults.set("prism-500", "central:1")
    answer = central.get(VMS)
    assert (answer.status_code, app_message(answer)["errorGroup"]) == (500, "INTERNAL_ERROR")
    assert central.get(VMS).status_code == 200


def test_prism_truncated_breaks_off_a_page_of_vms(sandbox: Sandbox, central: PrismCaller) -> None:
    sandbox.faults.set("prism-truncated")
    central.get(CLUSTERS)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        central.get(VMS)
    assert central.get(VMS).status_code == 200


def test_prism_slow_delays_v4(sandbox: Sandbox, central: PrismCaller) -> None:
    sandbox.faults.set("prism-slow", "central:300")
    assert central.get(VMS).elapsed.total_seconds() >= 0.3


def test_prism_short_announces_one_vm_more_than_there_is_in_all_pages(sandbox: Sandbox, central: PrismCaller) -> None:
    sandbox.faults.set("prism-short")
    read = list(pages(central, VMS, **{"$limit": 7}))
    (total,) = {body["metadata"]["totalAvailableResults"] for body in read}
    assert sum(len(body.get("data", ())) for body in read) == total - 1
    assert len(listed(central, **{"$limit": 100})) == total


def test_a_profile_names_the_clusters_that_it_is_narrowed_to() -> None:
    scenario = load("central-v3")
    endpoints = Endpoints(citrix="https://citrix.example", prism={"central": ("pc.example", 9440)})
    assert "prismClusters" not in scenario.profile_document(endpoints)["clusters"][0]
    scenario.world.prisms["central"].prism_clusters = ["AMS-CL01"]
    assert scenario.profile_document(endpoints)["clusters"][0]["prismClusters"] == ["AMS-CL01"]
