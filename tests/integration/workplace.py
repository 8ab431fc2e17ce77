"""A sandbox, the app's use cases in this process, and the work queue in the hand of a test.

Time stands beside the real clock and moves on when told; a pause lasts as long as Citrix is at work and no longer. What
is sent to the queue waits until the test works it off, so that a test sees each message and its delay.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.azurite import Azurite
from sandbox.citrix_site import SimConnection, SimMachine, Write
from sandbox.holds import Hold, When
from sandbox.sandbox import Sandbox
from sandbox.scenario import Scenario
from sandbox.world_builder import WorldBuilder
from shared.azure.work_queue import WorkItem, WorkStep
from shared.http import Limits
from shared.model.remap import Remap
from shared.model.run import Event, RemapState, Run, RunId
from shared.runs.access import Caller, Role
from shared.runs.clients.site_memory import SiteMemory
from shared.runs.deciding.cancel import cancel
from shared.runs.deciding.orders import order_apply, order_roll_back
from shared.runs.deciding.review import approve
from shared.runs.deciding.review_request import ApproveRequest, CancelRequest, MachinesRequest
from shared.runs.reading.listings import Listings
from shared.runs.request import RunRequest
from shared.runs.resources import Resources
from shared.runs.start import start_run
from shared.runs.work import do_work

OLIVE = Caller("olive", Role.OPERATOR)
ADA = Caller("ada", Role.APPROVER)
PARIS, AMSTERDAM = "Nutanix AHV Paris", "Nutanix AHV Amsterdam"
AT_WORK = (WorkStep.PLAN, WorkStep.APPLY, WorkStep.ROLLBACK)
SOMEBODYS_VM = "5c0d1e7a-0000-4000-8000-00000000beef"
# No second reset and no percentage in the way of a test that is about something else.
POLICY = {"maxChangePercent": 100, "resetAgainAfterSeconds": 0}
HELD_SECONDS = 30.0

# Moved with their VMs, one whose VM was made again, two that hold each other's, and some that are right as they are.
ESTATE = """
name: at-work
connections:
  - {name: Nutanix AHV Paris, zone: Paris}
  - {name: Nutanix AHV Amsterdam, zone: Amsterdam}
clusters:
  - {name: paris, api: element-v2, hostingConnection: Nutanix AHV Paris, registered: [{name: PAR-CL01}]}
  - {name: amsterdam, api: element-v2, hostingConnection: Nutanix AHV Amsterdam, registered: [{name: AMS-CL01}]}
catalogs:
  - {name: Desktops, zone: Paris}
  - {name: Offices, zone: Paris}
machines:
  - names: W11-{:02d}
    count: 8
    catalog: Desktops
    record: {connection: Nutanix AHV Paris, id: vm, upperCase: true}
    vms: [{at: AMS-CL01, id: vm}]
    expect: {finding: remap, reason: vm-moved}
  - names: REP-{:02d}
    catalog: Offices
    record: {connection: Nutanix AHV Paris, id: gone}
    vms: [{at: PAR-CL01, id: new}]
    expect: {finding: remap, reason: vm-replaced}
  - names: SWAP-A
    catalog: Offices
    record: {connection: Nutanix AHV Paris, id: "@swap-b"}
    vms: [{at: PAR-CL01, id: "@swap-a"}]
    expect: {finding: remap, reason: vm-replaced}
  - names: SWAP-B
    catalog: Offices
    record: {connection: Nutanix AHV Paris, id: "@swap-a"}
    vms: [{at: PAR-CL01, id: "@swap-b"}]
    expect: {finding: remap, reason: vm-replaced}
  - names: HOME-{:02d}
    count: 3
    catalog: Offices
    record: {connection: Nutanix AHV Paris, id: vm}
    vms: [{at: PAR-CL01, id: vm}]
    expect: {finding: aligned, reason: own-vm-live}
profile: {name: at-work}
"""
W11 = tuple(f"W11-{number:02d}" for number in range(1, 9))
SWAP = ("SWAP-A", "SWAP-B")
ALL = {*W11, "REP-01", *SWAP}
MOVED = {"machines": list(W11)}

# So many that they fill batches: nothing but machines that moved with their VMs.
MANY = """
name: many
connections: [{name: Nutanix AHV Paris, zone: Paris}, {name: Nutanix AHV Amsterdam, zone: Amsterdam}]
clusters:
  - {name: paris, api: element-v2, hostingConnection: Nutanix AHV Paris, registered: [{name: PAR-CL01}]}
  - {name: amsterdam, api: element-v2, hostingConnection: Nutanix AHV Amsterdam, registered: [{name: AMS-CL01}]}
catalogs: [{name: Desktops, zone: Paris}]
machines:
  - names: W11-{:03d}
    count: 200
    catalog: Desktops
    record: {connection: Nutanix AHV Paris, id: vm}
    vms: [{at: AMS-CL01, id: vm}]
    expect: {finding: remap, reason: vm-moved}
profile: {name: many}
"""

# On premises, with two Delivery Controllers.
ON_PREMISES = (
    ESTATE.replace("name: at-work\n", "name: on-premises\nsite: {kind: cvad, controllers: 2}\n", 1)
    .replace("profile: {name: at-work}", "profile: {name: on-premises}")
)  # fmt: skip


def estate(text: str) -> Scenario:
    """What ``text`` describes in the words of a scenario's file; it expects nothing."""
    data = yaml.safe_load(text)
    world = WorldBuilder(data, datetime.now(UTC)).build()
    return Scenario(data["name"], data["name"], world, profile_parts=data.get("profile", {}), run={})


class Clock:
    """The real time, and what a test adds to it."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += timedelta(seconds=seconds)


@dataclasses.dataclass(frozen=True)
class Message:
    run: RunId
    step: WorkStep
    delay: int

    def body(self) -> bytes:
        return WorkItem(self.run, self.step).to_json().encode()


class HandQueue:
    """The work queue: what is sent waits here. ``sent`` keeps all that ever was."""

    def __init__(self) -> None:
        self.waiting: list[Message] = []
        self.sent: list[Message] = []

    def send(self, run_id: RunId, step: WorkStep | str, delay_seconds: int = 0) -> None:
        message = Message(run_id, WorkStep(step), delay_seconds)
        self.waiting.append(message)
        self.sent.append(message)

    def delays(self, run_id: RunId, step: WorkStep) -> list[int]:
        return [message.delay for message in self.sent if (message.run, message.step) == (run_id, step)]


class Workplace:
    """``resources`` are those of the one worker; machines go by their host names."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.world = sandbox.world
        self.site = sandbox.world.site
        self.clock = Clock()
        self.queue = HandQueue()
        self.pauses: list[float] = []
        self._made: list[Resources] = []
        self.resources = self.another_worker()
        self._document = json.loads(sandbox.profile_file.read_text("utf-8"))
        self._prefix = secrets.token_hex(3)  # other places share the storage
        self._numbers = itertools.count(1)
        self._runs: list[RunId] = []
        self._fired: dict[str, int] = {}
        self._vms = {name: cluster.vms for name, cluster in self._clusters().items()}
        self._before = self._state()

    # the app

    def another_worker(self) -> Resources:
        """Resources of a process that knows nothing but the storage."""
        made = Resources(self.sandbox.environ, self.clock)
        made.pause = self._pause
        vars(made)["queue"] = self.queue
        self._made.append(made)
        return made

    def profile(self, policy: dict[str, Any] | None = None, **changes: Any) -> str:
        """A profile of its own, the same as the estate's but for what is named."""
        name = f"{self._document['name']}-{self._prefix}-{next(self._numbers)}"
        document = {**self._document, **changes, "name": name, "policy": {**POLICY, **(policy or {})}}
        Path(self.sandbox.environ["REALIGN_PROFILES"], f"{name}.json").write_text(json.dumps(document), "utf-8")
        return name

    def started(self, profile: str, caller: Caller = OLIVE, trigger: str = "http", **asked: Any) -> RunId:
        request = RunRequest.model_validate_json(json.dumps(asked))
        run = start_run(self.resources, profile, request, caller, trigger=trigger).run
        self._runs.append(run.id)
        return run.id

    def planned(self, profile: str | None = None, caller: Caller = OLIVE, trigger: str = "http", **asked: Any) -> RunId:
        """A run that was started and planned; in mode auto it has its message to go on."""
        run_id = self.started(profile or self.profile(), caller, trigger, **asked)
        self.work(WorkStep.PLAN)
        return run_id

    def approve(self, run_id: RunId, hosts: Collection[str] | None = None, *, apply: bool = True) -> None:
        """Approve everything, or the machines with these names."""
        run = self.run(run_id)
        assert run.fingerprint is not None, run.error
        machines = tuple(self.machine(host).id for host in hosts) if hosts is not None else None
        everything = machines is None
        request = ApproveRequest(machines=machines, all=everything, fingerprint=run.fingerprint, apply=apply)
        approve(self.resources, run_id, request, ADA)

    def applied(self, profile: str | None = None, hosts: Collection[str] | None = None, **asked: Any) -> RunId:
        """A run whose remaps were approved and applied, all or those of ``hosts``."""
        run_id = self.planned(profile, **asked)
        self.approve(run_id, hosts)
        self.work()
        return run_id

    def apply(self, run_id: RunId, hosts: Collection[str] | None = None) -> None:
        order_apply(self.resources, run_id, self._machines(hosts), ADA)
        self.work()

    def order_roll_back(self, run_id: RunId, hosts: Collection[str] | None = None) -> None:
        order_roll_back(self.resources, run_id, self._machines(hosts), ADA)

    def rolled_back(self, run_id: RunId, hosts: Collection[str] | None = None) -> Run:
        self.order_roll_back(run_id, hosts)
        self.work()
        return self.run(run_id)

    def cancel(self, run_id: RunId) -> None:
        cancel(self.resources, run_id, CancelRequest(), OLIVE)

    def _machines(self, hosts: Collection[str] | None) -> MachinesRequest:
        return MachinesRequest(machines=tuple(self.machine(host).id for host in hosts) if hosts is not None else None)

    # the queue

    def work(self, *steps: WorkStep, resources: Resources | None = None) -> None:
        """Deliver what waits, until nothing does; time goes on to a message that is delayed. Without ``steps``:
        planning, applying and rolling back.
        """
        while self.next(*steps or AT_WORK, resources=resources):
            pass

    def next(self, *steps: WorkStep, resources: Resources | None = None) -> bool:
        """Deliver the first message of such a step; False where none waits."""
        message = next((each for each in self.queue.waiting if each.step in steps), None)
        if message is None:
            return False
        self.queue.waiting.remove(message)
        self.clock.advance(message.delay)
        do_work(resources or self.resources, message.body())
        return True

    @contextmanager
    def working(self, hold: Hold) -> Iterator[None]:
        """Works off the queue in a thread; what is inside happens while the call that ``hold`` names is held."""
        with ThreadPoolExecutor(1) as pool, hold:
            done = pool.submit(self.work)
            assert hold.reached(HELD_SECONDS), "the call never came"
            yield
            hold.release()
            done.result(HELD_SECONDS)

    def hold(self, operation: str, when: When = "before", nth: int = 1, system: str = "citrix") -> Hold:
        return self.sandbox.holds.hold(system, operation, when, nth)

    def tap(self, operation: str, system: str = "citrix") -> list[bytes]:
        """The bodies of all such calls from now on."""
        bodies: list[bytes] = []

        def note(method: str, path: str, body: bytes) -> bool:
            bodies.append(body)
            return False

        self.sandbox.holds.hold(system, operation, match=note)
        return bodies

    def _pause(self, seconds: float) -> None:
        """Lasts until Citrix has done its work, at most as long as it was asked to."""
        self.pauses.append(seconds)
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and any(
            job.ended is None and not job.stuck for job in list(self.site.jobs.values())
        ):
            time.sleep(0.002)

    # what there is

    def run(self, run_id: RunId) -> Run:
        return self.resources.runs.get(run_id).value

    def steps(self, run_id: RunId) -> dict[str, tuple[str, str]]:
        """The last record of each step: what became of it, and its sentence."""
        return {step.name: (step.status, step.detail) for step in self.run(run_id).steps}

    def remaps(self, run_id: RunId) -> dict[str, Remap]:
        found = (row.value for row in self.resources.remaps.load(run_id))
        return {host_of(remap.machine_name): remap for remap in found}

    def states(self, run_id: RunId) -> dict[str, str]:
        return {host: remap.state.value for host, remap in self.remaps(run_id).items()}

    def errors(self, run_id: RunId, state: RemapState | None = None) -> dict[str, str]:
        """The sentences of the remaps that have one, or of those in a state."""
        found = self.remaps(run_id).items()
        return {host: each.error or "" for host, each in found if each.error and state in (None, each.state)}

    def events(self, run_id: RunId) -> list[Event]:
        return self.resources.events.page(run_id, None, 1000)[0]

    def machine(self, host: str) -> SimMachine:
        found = self.site.machine(f"CORP\\{host}")
        assert found is not None, host
        return found

    def connection(self, name: str) -> SimConnection:
        """By the name that it had at first."""
        return next(each for each in self.site.connections.values() if self._names[each.id] == name)

    def connections_of(self, hosts: Collection[str]) -> Counter[str]:
        """How many of the machines stand under which connection."""
        return Counter(self._names[self.machine(host).connection_id or ""] for host in hosts)

    def as_planned(self, run_id: RunId) -> set[str]:
        """The machines that Citrix has where the run's remap leads to."""
        return self._where(run_id, lambda remap: (remap.after.connection_id, remap.after.machine_id))

    def as_before(self, run_id: RunId) -> set[str]:
        return self._where(run_id, lambda remap: (remap.before.connection_id, remap.before.machine_id))

    def _where(self, run_id: RunId, wanted: Callable[[Remap], tuple[str | None, str | None]]) -> set[str]:
        there = set()
        for host, remap in self.remaps(run_id).items():
            machine = self.site.machines.get(remap.machine)
            connection, uuid = wanted(remap)
            if machine is not None and machine.connection_id == connection:
                there |= {host} if (machine.hosted_machine_id or "").lower() == (uuid or "").lower() else set()
        return there

    def written(self) -> Counter[str]:
        """How often each machine was written to since the test began, by Realign and by whoever."""
        names = {machine.id: host_of(machine.name) for machine in self._before["machines"].values()}
        return Counter(names[write.machine_id] for write in self.world.history)

    def writes_to(self, host: str) -> list[Write]:
        return [write for write in self.world.history if write.machine_id == self.machine(host).id]

    def resets(self) -> dict[str, int]:
        return {self._names[each.id]: each.resets for each in self.site.connections.values() if each.resets}

    def fired(self, fault: str) -> int:
        """How often a fault struck since the test began."""
        return self.sandbox.faults.fired(fault) - self._fired.get(fault, 0)

    def calls(self, method: str, route: str, system: str = "citrix") -> int:
        return self.sandbox.calls.count(system, method, route)

    # what others do

    def somebody_changes(self, host: str, uuid: str = SOMEBODYS_VM) -> None:
        self.machine(host).hosted_machine_id = uuid

    def put(self, host: str, run_id: RunId) -> None:
        """Somebody does by hand what the run wants to do."""
        after = self.remaps(run_id)[host].after
        machine = self.machine(host)
        machine.connection_id, machine.hosted_machine_id = after.connection_id, after.machine_id

    def vm_goes(self, host: str, to: str | None = None) -> None:
        """The VM that Citrix should have for a machine vanishes, or turns up on another Nutanix cluster."""
        for cluster in self._clusters().values():
            for uuid, vm in list(cluster.vms.items()):
                if vm.name == host:
                    del cluster.vms[uuid]
                    if to is not None:
                        self._clusters()[to].vms[uuid] = vm
                    return
        raise AssertionError(f"there is no VM {host}")

    # between two tests

    def put_back(self) -> None:
        """Everything is as it was at first, and nothing remembers what happened."""
        self.sandbox.holds.release_all()
        for fault in self.sandbox.faults.as_json():
            self.sandbox.faults.clear(str(fault["name"]))
            self._fired[str(fault["name"])] = self.sandbox.faults.fired(str(fault["name"]))
        for name, value in copy.deepcopy(self._before).items():
            setattr(self.site, name, value)
        for name, cluster in self._clusters().items():
            cluster.vms = copy.deepcopy(self._vms[name])
        self.world.history.clear()
        self.world.writes.clear()
        self.world.nested_items, self.world.power_lag_seconds = 0, 0.0
        self.world.refresh_all_power()
        for run_id in self._runs:
            self.resources.departed.put(self.site.id, run_id, ())
        self._runs.clear()
        for made in self._made:
            made.listings, made.sites = Listings(), SiteMemory()
        self.queue.waiting.clear()
        self.queue.sent.clear()
        self.pauses.clear()
        self.sandbox.calls.clear()

    def close(self) -> None:
        for made in self._made:
            made.close()

    @property
    def _names(self) -> dict[str, str]:
        return {each.id: each.name for each in self._before["connections"].values()}

    def _clusters(self) -> dict[str, Any]:
        return {cluster.name: cluster for prism in self.world.prisms.values() for cluster in prism.clusters}

    def _state(self) -> dict[str, Any]:
        self._vms = copy.deepcopy(self._vms)
        return copy.deepcopy({each.name: getattr(self.site, each.name) for each in dataclasses.fields(self.site)})


def _at_once(seconds: float) -> None:
    """A pause that is none."""


def host_of(name: str) -> str:
    return name.rpartition("\\")[2]


@contextmanager
def workplace(azurite: Azurite, text: str = ESTATE) -> Iterator[Workplace]:
    """A workplace for a module: its tests put it back between them."""
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox(estate(text), azurite=azurite))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        # clients try again at once: what is gone is gone for as long as a test wants it to be
        defaults = Limits.__init__.__defaults__ or ()
        hurried = tuple(_at_once if each is time.sleep else each for each in defaults)
        assert _at_once in hurried
        patch.setattr(Limits.__init__, "__defaults__", hurried)
        for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):  # msal reads these itself
            patch.setenv(name, sandbox.environ[name])
        place = Workplace(sandbox)
        stack.callback(place.close)
        yield place
