"""Reading what a plan needs: who is waited for, for how long, and what stops with whom.

The Prisms are simulators behind TLS. Where a test has to know who answers when, one of them waits behind a gate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import pytest

from sandbox.front import Answer, Call
from sandbox.prism_v2 import ElementV2
from sandbox.sandbox import Sandbox
from shared.azure.refusals import Refusals
from shared.errors import CitrixError, StorageError
from shared.model.finding import FindingKind
from shared.model.nutanix import ClusterReading, ReadStatus
from shared.model.run import Run, RunStatus
from shared.profile.endpoints import Cluster
from shared.profile.profile import Profile
from shared.profile.scope import Scope
from shared.runs.access import Caller, Role
from shared.runs.clients.keyring import Keyring, secret_names
from shared.runs.plan import plan_run
from shared.runs.reading.cluster_reads import Wanted
from shared.runs.reading.gather import Progress, gather, gather_again
from shared.runs.reading.gathered import Gathered
from shared.runs.reading.listings import Source, Wish
from shared.runs.request import RunRequest
from shared.runs.resources import Resources
from shared.runs.start import start_run
from tests.e2e.estates import add_strangers, estate

ESTATE = """
name: gathering
connections:
  - {name: Nutanix AHV Paris}
  - {name: Nutanix AHV Lyon}
  - {name: Nutanix AHV Rome}
  - {name: Nutanix Europe, plugin: AcropolisPCFactory}
clusters:
  - {name: paris, api: element-v2, hostingConnection: Nutanix AHV Paris, registered: [{name: PAR-CL01}]}
  - {name: lyon, api: element-v2, hostingConnection: Nutanix AHV Lyon, registered: [{name: LYO-CL01}]}
  - {name: rome, api: element-v2, hostingConnection: Nutanix AHV Rome, registered: [{name: ROM-CL01}]}
  - name: pc
    api: central-v4
    hostingConnection: Nutanix Europe
    registered: [{name: AMS-CL01}, {name: BER-CL01}]
catalogs: [{name: Persistent W11}]
machines:
  - {names: AT-HOME, catalog: Persistent W11, record: {connection: Nutanix Europe, id: vm},
     vms: [{at: AMS-CL01, id: vm}]}
  - {names: NOWHERE, catalog: Persistent W11, record: {connection: Nutanix Europe, id: gone}}
  - {names: BY-NAME, catalog: Persistent W11, record: {connection: Nutanix AHV Paris, id: gone},
     vms: [{at: AMS-CL01, id: new}]}
  - {names: PROVEN, catalog: Persistent W11, record: {connection: Nutanix AHV Paris, id: vm},
     vms: [{at: BER-CL01, id: vm}]}
profile: {name: gathering, policy: {maxChangePercent: 100}}
"""
V4_VMS = "/api/vmm/{version}/ahv/config/vms"
V2_VMS = "/PrismGateway/services/rest/v2.0/vms"
JOBS = {"central-v4": "v4ListRecoveryPlanJobs", "central-v3": "v3ListRecoveryPlanJobs"}
OLIVE = Caller("olive", Role.OPERATOR)


class Gate:
    """Holds back every call to a Prism until it is opened."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._opened = asyncio.Event()

    async def passed(self) -> None:
        await self._opened.wait()

    def open(self) -> None:
        self._loop.call_soon_threadsafe(self._opened.set)


class GatedElement(ElementV2):
    """A Prism Element that takes a question, and answers none before its gate is open."""

    def __init__(self, sandbox: Sandbox, name: str, gate: Gate) -> None:
        super().__init__(sandbox.world.prisms[name], sandbox.faults)
        self._gate = gate

    async def trouble(self, call: Call) -> Answer | None:
        await self._gate.passed()
        return await super().trouble(call)


@pytest.fixture
def sandbox(sandbox_for: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    running = sandbox_for(estate(ESTATE))
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):  # msal reads these itself
        monkeypatch.setenv(name, running.environ[name])
    return running


@pytest.fixture
def resources(sandbox: Sandbox) -> Iterator[Resources]:
    made = Resources(sandbox.environ)
    yield made
    made.close()


def entry(sandbox: Sandbox, named: str, /, **changes: Any) -> Cluster:
    """A cluster of the scenario's profile; what is left out of ``changes`` is as the file says."""
    known = Profile.model_validate_json(sandbox.profile_file.read_text("utf-8")).clusters
    found = next(cluster for cluster in known if cluster.name == named)
    return found.model_copy(update=changes)


Gated = Callable[[str], tuple[Cluster, Gate]]


@pytest.fixture
def gated(sandbox: Sandbox) -> Iterator[Gated]:
    """``gated(name)``: that cluster of the scenario, behind a gate; all are open when the sandbox stops."""
    gates: list[Gate] = []

    def start(name: str) -> tuple[Cluster, Gate]:
        gate = Gate(sandbox.background.loop)
        gates.append(gate)
        server = sandbox._simulate(GatedElement(sandbox, name, gate), sandbox._corporate.certificate())
        return entry(sandbox, name, port=server.port), gate

    yield start
    for gate in gates:
        gate.open()


def profile_of(sandbox: Sandbox, *clusters: Cluster) -> Profile:
    """Written to its file too, so that a run can be started with it."""
    document = Profile.model_validate_json(sandbox.profile_file.read_text("utf-8"))
    changed = document.model_copy(update={"clusters": clusters})
    sandbox.profile_file.write_text(changed.model_dump_json(by_alias=True, exclude_none=True), "utf-8")
    return changed


def wanted(target: str | None = None, **more: bool) -> Wanted:
    return Wanted(datetime.now(UTC) - timedelta(hours=72), target, **more)


def gathered(
    resources: Resources, profile: Profile, wish: Wanted, progress: Progress = lambda done, total: None
) -> Gathered:
    return gather(resources, profile, Keyring(resources.vault, secret_names(profile)), wish, progress)


def by_name(found: Gathered) -> dict[str, ClusterReading]:
    return {reading.name: reading for reading in found.readings}


def statuses(found: Gathered) -> dict[str, ReadStatus]:
    return {reading.name: reading.status for reading in found.readings}


def planned(resources: Resources, *machines: str) -> Run:
    request = RunRequest(scope=Scope(machines=machines))
    run_id = start_run(resources, "gathering", request, OLIVE, trigger="http").run.id
    plan_run(resources, run_id)
    return resources.runs.get(run_id).value


def kinds(resources: Resources, run: Run) -> dict[str, FindingKind]:
    rows, _ = resources.remaps.page(run.id, limit=100)
    return {row.machine_name.rpartition("\\")[2]: row.kind for row in rows}


def test_another_entry_of_the_targets_own_central_is_read_after_it_and_has_its_ten_seconds_then(
    sandbox: Sandbox, resources: Resources
) -> None:
    berlin = entry(sandbox, "pc", name="berlin", prism_clusters=("BER-CL01",))
    amsterdam = entry(sandbox, "pc", name="amsterdam", prism_clusters=("AMS-CL01",))
    profile = profile_of(sandbox, berlin, amsterdam)
    lists_when_the_target_was_done: list[int] = []

    def progress(done: int, total: int) -> None:
        if done == 2:  # the site and the target
            lists_when_the_target_was_done.append(sandbox.calls.count("prism/pc", "GET", V4_VMS))
            sandbox.faults.clear("prism-slow")

    sandbox.faults.set("prism-slow", "pc:2200")  # the target alone takes longer than the other may
    began = monotonic()
    found = gathered(resources, profile, wanted("amsterdam"), progress)
    assert monotonic() - began > 10
    assert {name: (each.status, each.error) for name, each in by_name(found).items()} == {
        "berlin": (ReadStatus.ANSWERED, None), "amsterdam": (ReadStatus.ANSWERED, None),
    }  # fmt: skip
    assert lists_when_the_target_was_done == [1]
    assert [vm.name for vm in by_name(found)["berlin"].vms] == ["PROVEN"]


def test_who_answers_within_a_second_after_the_target_and_the_site_is_in_and_nobody_else_is_waited_for(
    sandbox: Sandbox, resources: Resources, gated: Gated
) -> None:
    quick, quick_gate = gated("lyon")
    slow, _ = gated("rome")
    profile = profile_of(sandbox, quick, slow, entry(sandbox, "paris"))
    needed_since: list[float] = []

    def progress(done: int, total: int) -> None:
        if done == 2:
            needed_since.append(monotonic())
            quick_gate.open()

    found = gathered(resources, profile, wanted("paris"), progress)
    seconds = monotonic() - needed_since[0]
    assert statuses(found) == {
        "lyon": ReadStatus.ANSWERED, "rome": ReadStatus.UNREACHABLE, "paris": ReadStatus.ANSWERED,
    }  # fmt: skip
    rome = by_name(found)["rome"]
    assert rome.error == (
        "Cluster rome was not waited for: the target and the site had been read, and it had not answered. Check that "
        "it is up; what it holds counts as unknown."
    )
    assert rome.hosting_connection == "Nutanix AHV Rome"
    assert seconds < 6


def test_a_site_that_cannot_be_read_stops_the_reads_of_the_clusters_with_the_page_that_they_are_at(
    sandbox: Sandbox, resources: Resources
) -> None:
    add_strangers(sandbox.world.prisms["pc"].clusters[0], 3_000)  # 30 pages, two a second
    clusters = [
        entry(sandbox, "pc", name=name, prism_clusters=(prism_cluster,))
        for name, prism_cluster in (("amsterdam", "AMS-CL01"), ("berlin", "BER-CL01"))
    ]
    profile = profile_of(sandbox, *clusters)
    sandbox.world.site.client_secret = "another one"
    sandbox.faults.set("citrix-slow", 3_000)
    with pytest.raises(CitrixError):
        gathered(resources, profile, wanted())

    def pages() -> int:
        return sandbox.calls.count("prism/pc", "GET", V4_VMS)

    when_it_ended, asked = pages(), sandbox.calls.count("prism/pc")
    mine = ClusterReading("pc", "central-v4", "Nutanix Europe", ReadStatus.ANSWERED)
    host = Source(clusters[0].url.lower(), None, "central-v4", "another", "v1", ())
    found = resources.listings.read(host, lambda: mine, Wish(), name="pc", patience=5)
    assert found is mine, "the turn at the host is free, also from those who waited for it"
    assert 1 <= when_it_ended < 20
    assert sandbox.calls.count("prism/pc") <= asked + 1, "the call that was under way, and no other"


def test_looking_again_reads_the_target_and_who_had_not_answered_and_nobody_else(
    sandbox: Sandbox, resources: Resources
) -> None:
    profile = profile_of(sandbox, *(entry(sandbox, name) for name in ("rome", "lyon", "pc", "paris")))
    wish, keyring = wanted("PC/ams-cl01"), Keyring(resources.vault, secret_names(profile))
    sandbox.faults.set("prism-slow", "pc:300")  # nobody waits for the others once it has been read
    sandbox.faults.set("relay-down", "lyon")
    before = gather(resources, profile, keyring, wish, lambda done, total: None)
    assert statuses(before) == {
        "rome": ReadStatus.ANSWERED, "lyon": ReadStatus.UNREACHABLE,
        "pc": ReadStatus.ANSWERED, "paris": ReadStatus.ANSWERED,
    }  # fmt: skip
    sandbox.faults.clear("relay-down")
    sandbox.world.prisms["pc"].clusters[0].vms.popitem()
    sandbox.calls.clear()
    after = gather_again(resources, profile, keyring, wish, before)
    assert set(statuses(after).values()) == {ReadStatus.ANSWERED}
    assert [reading.name for reading in after.readings] == ["rome", "lyon", "pc", "paris"]
    assert len(by_name(after)["pc"].vms) == len(by_name(before)["pc"].vms) - 1
    lists = {name: sandbox.calls.count(f"prism/{name}", "GET", V2_VMS) for name in ("rome", "lyon", "paris")}
    assert lists == {"rome": 0, "lyon": 1, "paris": 0}
    assert sandbox.calls.count("prism/pc", "GET", V4_VMS) == 1
    assert sandbox.calls.count("citrix") == sandbox.calls.count("prism/rome") == sandbox.calls.count("prism/paris") == 0
    for name in ("rome", "paris"):
        assert by_name(after)[name] is by_name(before)[name]
    assert after.site is before.site


class ForgetfulRefusals:
    """The table of refusals while the account is busy; what is asked for Citrix it still answers."""

    def __init__(self, real: Refusals) -> None:
        self._real = real

    def refused_until(
        self, secret: str, version: str, host: str, now: datetime, hold_off: timedelta
    ) -> datetime | None:
        if secret.startswith("prism-"):
            raise StorageError("The storage account is busy.", kind="throttled", retryable=True)
        return self._real.refused_until(secret, version, host, now, hold_off)


def test_a_fault_of_storage_is_no_dead_cluster_and_the_message_comes_again(
    sandbox: Sandbox, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = profile_of(sandbox, entry(sandbox, "paris"), entry(sandbox, "pc"))
    run_id = start_run(resources, "gathering", RunRequest(), OLIVE, trigger="http").run.id
    with monkeypatch.context() as patch:
        patch.setattr(resources, "refusals", ForgetfulRefusals(resources.refusals))
        for wish in (wanted(), wanted("pc")):
            with pytest.raises(StorageError, match="busy"):
                gathered(resources, profile, wish)
        with pytest.raises(StorageError, match="busy"):
            plan_run(resources, run_id)
        run = resources.runs.get(run_id).value
        assert (run.status, run.error, run.clusters) == (RunStatus.PLANNING, None, ())
    plan_run(resources, run_id)
    assert resources.runs.get(run_id).value.status is RunStatus.AWAITING_REVIEW


def test_a_cluster_that_takes_a_question_and_never_answers_costs_a_scheduled_run_no_minute(
    sandbox: Sandbox, resources: Resources, gated: Gated
) -> None:
    """A run that a person asked for is more patient: Prism may only be slow."""
    silent, _ = gated("rome")
    profile = profile_of(sandbox, entry(sandbox, "paris"), silent)
    began = monotonic()
    found = gathered(resources, profile, wanted(shared=True))
    assert monotonic() - began < 40
    assert statuses(found) == {"paris": ReadStatus.ANSWERED, "rome": ReadStatus.UNREACHABLE}


@pytest.mark.parametrize("api", list(JOBS))
class TestJobsThatAreNotTold:
    """Without the right to read recovery plan jobs nobody knows which VMs a test failover made."""

    @pytest.fixture
    def told(self, sandbox: Sandbox, api: str) -> None:
        sandbox.world.prisms["pc"].forbidden.add(JOBS[api])
        profile_of(sandbox, entry(sandbox, "paris"), entry(sandbox, "pc", api=api))

    @pytest.mark.usefixtures("told")
    def test_the_cluster_has_answered_and_what_no_test_can_have_made_stands(
        self, resources: Resources, api: str
    ) -> None:
        run = planned(resources, "AT-HOME", "NOWHERE", "PROVEN")
        assert kinds(resources, run) == {
            "AT-HOME": FindingKind.ALIGNED, "NOWHERE": FindingKind.MISSING, "PROVEN": FindingKind.REMAP,
        }  # fmt: skip
        pc = next(cluster for cluster in run.clusters if cluster.name == "pc")
        assert (pc.api, pc.status) == (api, "answered")
        for part in ("does not let the account of secret prism-pc read", "(HTTP 403)", "Viewer"):
            assert part in (pc.error or "")
        assert run.guards == ()

    @pytest.mark.usefixtures("told")
    def test_a_remap_that_rests_on_the_name_alone_waits_for_a_person(
        self, sandbox: Sandbox, resources: Resources, api: str
    ) -> None:
        run = planned(resources, "BY-NAME", "PROVEN")
        assert set(kinds(resources, run).values()) == {FindingKind.REMAP}
        assert [guard.name for guard in run.guards] == ["incomplete-read"]
        assert "pc" in run.guards[0].explanation
        sandbox.world.prisms["pc"].forbidden.clear()
        assert planned(resources, "BY-NAME", "PROVEN").guards == ()
