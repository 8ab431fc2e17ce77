"""The client that writes, against the simulated Citrix: cloud and on premises, over TLS, as its contract says."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from sandbox.citrix_site import SimHosting, Via
from sandbox.large_world import large_world
from sandbox.sandbox import Sandbox
from sandbox.scenario import load
from shared.citrix.jobs import wait_for_job
from shared.citrix.writer import SiteWriter
from shared.errors import CitrixError
from shared.model.citrix import Hosting, MachineId, Provisioning
from shared.model.job import ItemOutcome, Job, JobStatus
from shared.model.nutanix import VmUuid
from shared.model.remap import Change
from shared.profile.profile import Profile
from shared.runs.clients.connect import citrix_writer
from shared.runs.clients.keyring import Keyring, secret_names
from shared.runs.health import check_health
from shared.runs.resources import Resources

MANY = 60


class Place:
    """A sandbox, and the writers that the app opens to its site."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.resources = Resources(sandbox.environ)
        self.profile = Profile.model_validate_json(sandbox.profile_file.read_text())
        self.world = sandbox.world
        self.system = "cvad/ddc01" if self.world.site.kind == "cvad" else "citrix"

    @contextmanager
    def writer(self) -> Iterator[SiteWriter]:
        keyring = Keyring(self.resources.vault, secret_names(self.profile))
        with citrix_writer(self.resources, self.profile, keyring) as writer:
            yield writer

    def changes(self, number: int = MANY) -> list[Change]:
        """A change for each of so many machines that may be changed, to the other connection and a VM of its own."""
        connections = list(self.world.site.connections.values())
        manual = [each for each in self.world.site.machines.values() if each.provisioning == Provisioning.MANUAL]
        found = []
        for index, machine in enumerate(manual[:number]):
            to = next(each for each in connections if each.id != machine.connection_id)
            vm = VmUuid(f"9a1b6c1e-6a0b-4c53-a1f4-{index:012x}")
            found.append(Change(MachineId(machine.id), Hosting(to.name, vm, to.id)))
        return found

    def has(self, change: Change) -> bool:
        wanted = SimHosting(change.hosting.connection_id, change.hosting.machine_id)
        return self.world.site.machines[change.machine].hosting == wanted

    def calls(self, method: str, route: str) -> int:
        return self.sandbox.calls.count(self.system, method, route)


Start = Callable[..., Place]


@pytest.fixture
def place_of(sandbox_for: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    made: list[Place] = []

    def start(kind: str = "daas", *, batch_form: str = "gateway", up: tuple[bool, ...] = (True,)) -> Place:
        scenario = large_world(MANY * 2) if kind == "daas" else load("cvad-activation")
        site = scenario.world.site
        if kind == "cvad":
            site.kind, site.batch_form = "cvad", batch_form
            site.controllers = {f"ddc{number:02d}": state for number, state in enumerate(up, start=1)}
        sandbox = sandbox_for(scenario)
        for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):  # msal reads these itself
            monkeypatch.setenv(name, sandbox.environ[name])
        made.append(Place(sandbox))
        return made[-1]

    yield start
    for each in made:
        each.resources.close()


def ended(writer: SiteWriter, job_id: str) -> Job | None:
    """Looks at the job without pauses: the simulator needs milliseconds."""
    return wait_for_job(writer, job_id, lambda _: None, lambda: None, most_polls=500)


def done(writer: SiteWriter, job_id: str | None) -> None:
    if job_id is not None:
        job = ended(writer, job_id)
        assert job is not None
        assert job.status is JobStatus.COMPLETE


@pytest.mark.parametrize(
    ("kind", "batch_form"),
    [
        pytest.param("daas", "gateway", id="cloud"),
        pytest.param("cvad", "gateway", id="on-premises-as-the-gateway"),
        pytest.param("cvad", "direct", id="on-premises-with-customer-and-site"),
    ],
)
def test_a_batch_changes_its_machines_and_says_so(place_of: Start, kind: str, batch_form: str) -> None:
    place = place_of(kind, batch_form=batch_form)
    changes = place.changes()
    assert changes
    with place.writer() as writer:
        assert writer.takes_batches()
        began = datetime.now(UTC) - timedelta(seconds=2)
        job_id = writer.submit(changes)
        done(writer, job_id)
        assert job_id in [job.id for job in writer.batch_jobs(began)]
    with place.writer() as another:  # of another worker, that knows the job's id alone
        results = another.results(job_id)
    assert set(results) == {change.machine for change in changes}
    assert set(results.values()) == {ItemOutcome(204)}
    assert all(place.has(change) for change in changes)
    assert {write.via for write in place.world.history} == {Via.BATCH}
    assert len(place.world.history) == len(changes)


def test_a_site_whose_batches_take_no_known_form_is_written_one_by_one(place_of: Start) -> None:
    place = place_of("cvad", batch_form="none")
    (change, *_) = place.changes()
    with place.writer() as writer:
        assert not writer.takes_batches()
        assert writer.change(change) is None
    assert place.has(change)
    assert place.world.history[0].via is Via.ALONE
    assert place.calls("POST", "/$batch") == 2


def test_items_that_only_begin_end_as_jobs_of_their_own(place_of: Start) -> None:
    place = place_of()
    place.world.nested_items = 3
    changes = place.changes()
    with place.writer() as writer:
        job_id = writer.submit(changes)
        done(writer, job_id)
        nested = [outcome.job for outcome in writer.results(job_id).values() if outcome.job is not None]
        for each in nested:
            done(writer, each)
        with pytest.raises(CitrixError) as caught:
            writer.results(nested[0])  # it keeps none: 303
    assert (caught.value.kind, caught.value.http_status) == ("missing", 303)
    assert len(nested) == len(changes) // 3
    assert all(place.has(change) for change in changes)


def test_items_that_fail_are_sentences_and_can_be_sent_alone(place_of: Start) -> None:
    place = place_of()
    place.sandbox.faults.set("batch-item-fail", 2)
    changes = place.changes()
    with place.writer() as writer:
        job_id = writer.submit(changes)
        done(writer, job_id)
        failed = {machine: outcome for machine, outcome in writer.results(job_id).items() if outcome.error is not None}
        assert [outcome.code for outcome in failed.values()] == [500, 500]
        for outcome in failed.values():
            assert str(outcome.error).startswith("Citrix answered HTTP 500 for this machine: An unexpected error")
        for change in (each for each in changes if each.machine in failed):
            assert not place.has(change)
            assert writer.change(change) is None
    assert all(place.has(change) for change in changes)
    assert set(place.world.writes.values()) == {1}


def test_a_machine_that_may_not_be_changed_is_told_alike_in_a_batch_and_alone(place_of: Start) -> None:
    place = place_of()
    changes = place.changes(3)
    place.world.site.locked.add(changes[0].machine)
    with place.writer() as writer:
        job_id = writer.submit(changes)
        done(writer, job_id)
        results = writer.results(job_id)
        with pytest.raises(CitrixError) as caught:
            writer.change(changes[0])
    assert [results[change.machine].code for change in changes] == [403, 204, 204]
    assert (caught.value.kind, caught.value.http_status, caught.value.unsent) == ("forbidden", 403, True)
    for text in (str(caught.value), str(results[changes[0].machine].error)):
        assert "You are not permitted to change the machine" in text
        assert f"Give the API client of secret {place.profile.site.credential} a role that may change" in text


def test_a_token_that_ends_before_a_batch_is_renewed_inside_of_it_too(place_of: Start) -> None:
    place = place_of()
    changes = place.changes()
    with place.writer() as writer:
        writer.site.identity()
        place.sandbox.faults.set("token-expiry", "call:1")
        job_id = writer.submit(changes)
        done(writer, job_id)
        assert set(writer.results(job_id).values()) == {ItemOutcome(204)}
    assert place.sandbox.calls.count("citrix", "POST") >= 2


def test_a_token_that_ends_within_a_batch_fails_items_that_then_go_alone(place_of: Start) -> None:
    place = place_of()
    changes = place.changes()
    with place.writer() as writer:
        writer.site.identity()
        place.sandbox.faults.set("token-expiry", "item:1")
        job_id = writer.submit(changes)
        done(writer, job_id)
        refused = [machine for machine, outcome in writer.results(job_id).items() if outcome.code == 401]
        for change in changes:
            if change.machine in refused:
                writer.change(change)
    assert refused
    assert all(place.has(change) for change in changes)


@pytest.mark.parametrize("asks", [None, 7])
def test_a_batch_that_is_one_too_many_is_told_at_once(place_of: Start, asks: int | None) -> None:
    place = place_of()
    with place.writer() as writer:
        writer.site.identity()
        place.sandbox.faults.set("citrix-429", "write:1" if asks is None else f"write:1@{asks}")
        with pytest.raises(CitrixError) as caught:
            writer.submit(place.changes())
    assert (caught.value.kind, caught.value.retry_after, caught.value.unsent) == ("throttled", asks, True)
    assert place.calls("POST", "/$batch") == 1
    assert place.world.history == []


def test_the_fifth_batch_at_a_time_is_throttled(place_of: Start) -> None:
    place = place_of()
    place.world.job_start_seconds = 30.0
    changes = place.changes(5)
    with place.writer() as writer:
        for change in changes[:4]:
            writer.submit([change])
        with pytest.raises(CitrixError) as caught:
            writer.submit(changes[4:])
    assert caught.value.kind == "throttled"


def test_a_batch_whose_answer_is_lost_is_found_among_ones_own_jobs(place_of: Start) -> None:
    place = place_of()
    changes = place.changes()
    began = datetime.now(UTC) - timedelta(seconds=2)
    with place.writer() as writer:
        writer.site.identity()
        place.sandbox.faults.set("citrix-drop", "submitBatch")
        with pytest.raises(CitrixError) as caught:
            writer.submit(changes)
        assert (caught.value.kind, caught.value.unsent) == ("unreachable", False)
        assert place.calls("POST", "/$batch") == 1
        (job,) = writer.batch_jobs(began)
        done(writer, job.id)
        assert len(writer.results(job.id)) == len(changes)
        assert writer.batch_jobs(datetime.now(UTC) + timedelta(minutes=1)) == ()
    assert all(place.has(change) for change in changes)
    assert len(place.world.history) == len(changes)


def test_a_change_whose_answer_is_lost_is_not_sent_again_and_can_be_read_back(place_of: Start) -> None:
    place = place_of()
    (change,) = place.changes(1)
    with place.writer() as writer:
        writer.site.identity()
        place.sandbox.faults.set("citrix-drop", "updateMachine")
        with pytest.raises(CitrixError) as caught:
            writer.change(change)
        assert not caught.value.unsent
        now = writer.machine(change.machine)
    assert now is not None
    assert now.hosting == change.hosting
    assert place.world.writes[change.machine] == 1


def test_a_job_that_is_purged_or_somebody_elses_is_missing(place_of: Start) -> None:
    place = place_of()
    with place.writer() as writer:
        job_id = writer.submit(place.changes(2))
        done(writer, job_id)
        place.world.purge_jobs()
        for look in (writer.job, writer.results):
            with pytest.raises(CitrixError, match="Citrix keeps jobs for 48 hours") as caught:
                look(job_id)
            assert caught.value.kind == "missing"


@pytest.mark.parametrize(("fault", "cancelled"), [("Batch:1", True), ("uncancellable:1", False)])
def test_a_stuck_job_is_cancelled_where_it_can_be(place_of: Start, fault: str, cancelled: bool) -> None:
    place = place_of()
    with place.writer() as writer:
        writer.site.identity()
        place.sandbox.faults.set("job-stuck", fault)
        job_id = writer.submit(place.changes(10))
        assert wait_for_job(writer, job_id, lambda _: None, lambda: None, most_polls=5) is None
        assert writer.job(job_id).cancellable is cancelled
        assert writer.cancel(job_id) is cancelled
        assert (writer.job(job_id).status is JobStatus.CANCELED) is cancelled


@pytest.mark.parametrize("kind", ["daas", "cvad"])
def test_after_a_reset_the_power_states_are_seen(place_of: Start, kind: str) -> None:
    place = place_of(kind)
    (change,) = place.changes(1)
    to = place.world.site.connections[change.hosting.connection_id or ""]
    vm = next(
        vm for prism in place.world.prisms.values() if prism.hosting_connection == to.name for _, vm in prism.vms()
    )
    change = Change(change.machine, Hosting(to.name, VmUuid(vm.uuid), to.id))
    with place.writer() as writer:
        done(writer, writer.change(change))
        assert writer.power_state(change.machine) == "Unknown"
        done(writer, writer.reset(to.id))
        seen = writer.power_state(change.machine)
        assert seen in ("On", "Off")
        assert dict(writer.power_states())[change.machine] == seen
    assert to.resets == 1


def test_a_reset_that_citrix_drops_is_done_again(place_of: Start) -> None:
    place = place_of()
    connection = next(iter(place.world.site.connections.values()))
    with place.writer() as writer:
        writer.site.identity()
        place.sandbox.faults.set("citrix-drop", "resetHypervisorConnection")
        done(writer, writer.reset(connection.id))
    assert connection.resets == 2


def test_a_connection_is_read_as_it_is_now_and_refuses_in_maintenance(place_of: Start) -> None:
    place = place_of()
    (change,) = place.changes(1)
    connection = place.world.site.connections[change.hosting.connection_id or ""]
    place.world.site.caches = True
    with place.writer() as writer:
        assert writer.hosting_connection(connection.id) is not None
        connection.name, connection.in_maintenance = "AHV 100% new | DR/2", True
        now = writer.hosting_connection(connection.id)
        assert now is not None
        assert (now.name, now.in_maintenance) == ("AHV 100% new | DR/2", True)
        assert writer.hosting_connection("0f6c7f0e-2a8e-4a9a-8a0d-6a2c1f0d9e55") is None
        renamed = Change(change.machine, Hosting(now.name, change.hosting.machine_id, now.id))
        with pytest.raises(CitrixError, match="is in maintenance mode") as of_change:
            writer.change(renamed)
        with pytest.raises(CitrixError, match="is in maintenance mode") as of_reset:
            writer.reset(connection.id)
        connection.in_maintenance = False
        writer.change(renamed)
    assert (of_change.value.http_status, of_change.value.unsent) == (400, True)
    assert of_reset.value.http_status == 409
    assert place.has(renamed)


def test_a_catalog_moves_to_another_zone_where_it_may(place_of: Start) -> None:
    place = place_of()
    site = place.world.site
    catalog, pinned, *_ = site.catalogs.values()
    pinned.pinned = True
    zone = next(each for each in site.zones.values() if each.id != catalog.zone_id)
    with place.writer() as writer:
        done(writer, writer.move_catalog(catalog.id, catalog.name, zone.id))
        found = {each.id: (each.zone, each.zone_id) for each in writer.site.catalogs()}
        assert found[catalog.id] == (zone.name, zone.id)
        with pytest.raises(CitrixError, match="cannot be moved") as caught:
            writer.move_catalog(pinned.id, pinned.name, zone.id)
        with pytest.raises(CitrixError) as unknown:
            writer.move_catalog(catalog.id, catalog.name, "no-such-zone")
    assert (caught.value.http_status, caught.value.unsent) == (409, True)
    assert unknown.value.kind == "missing"


@pytest.mark.parametrize(
    ("operation", "write"),
    [
        ("updateMachine", lambda writer, place: writer.change(place.changes(1)[0])),
        ("submitBatch", lambda writer, place: writer.submit(place.changes(1))),
        (
            "resetHypervisorConnection",
            lambda writer, place: writer.reset(next(iter(place.world.site.connections))),
        ),
        (
            "moveItemsIntoZone",
            lambda writer, place: writer.move_catalog(
                next(iter(place.world.site.catalogs)), "x", next(iter(place.world.site.zones))
            ),
        ),
    ],
)
def test_a_right_that_is_missing_is_named(
    place_of: Start, operation: str, write: Callable[[SiteWriter, Place], object]
) -> None:
    place = place_of()
    place.world.site.forbidden.add(operation)
    with place.writer() as writer, pytest.raises(CitrixError) as caught:
        write(writer, place)
    assert caught.value.kind == "forbidden"
    assert "a role that may change machines, hosting connections and the zones of catalogs" in str(caught.value)
    assert place.world.history == []


def test_a_second_step_does_not_ask_again_which_site_it_is_but_health_does(place_of: Start) -> None:
    place = place_of()
    for _ in range(2):
        with place.writer() as writer:
            assert writer.site.identity().id == place.world.site.id
            list(writer.site.catalogs())
    assert place.calls("GET", "/me") + place.calls("GET", "/Me") == 1
    for _ in range(2):
        (check,) = (each for each in check_health(place.resources).checks if each.kind == "site")
        assert check.ready
    assert place.calls("GET", "/me") + place.calls("GET", "/Me") == 3


def test_the_controller_that_is_up_is_written_to(place_of: Start) -> None:
    place = place_of("cvad", up=(False, True))
    (change,) = place.changes(1)
    with place.writer() as writer:
        assert writer.change(change) is None
    assert place.has(change)
    assert place.sandbox.calls.count("cvad/ddc02", "PATCH") == 1


def test_no_token_is_in_any_log(place_of: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    place = place_of()
    changes = place.changes()
    place.sandbox.faults.set("batch-item-fail", 1)
    with place.writer() as writer:
        writer.site.identity()
        place.sandbox.faults.set("token-expiry", "item:1")
        job_id = writer.submit(changes)
        done(writer, job_id)
        results = writer.results(job_id)
        token = writer.site.endpoint.token.bearer()
    shown = f"{caplog.text} {results!r} {writer!r} {writer.site.endpoint!r}"
    assert "batch begun" in shown
    for secret in (token, "eyJhbGciOiJub25lIn0", "HostedMachineId", place.world.site.client_secret):
        assert secret not in shown
