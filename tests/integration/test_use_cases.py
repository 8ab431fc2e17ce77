"""The use cases in this process, on real storage and simulated systems: workers that meet, writes that break off."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from sandbox.sandbox import Sandbox
from shared.azure.lock import Lock, LockKind
from shared.citrix.site import CitrixSite
from shared.errors import CitrixError, NotFound, PrismError, ProfileBusy, RealignError, StorageError
from shared.http import Deadline, Limits
from shared.model.nutanix import ReadStatus
from shared.model.run import Event, Run, RunId, RunStatus
from shared.profile.profile import Profile
from shared.runs.access import Caller, Role
from shared.runs.clients.connect import citrix_hosts, prism
from shared.runs.clients.keyring import Keyring, secret_names
from shared.runs.plan import plan_run
from shared.runs.reading.cluster_reads import Wanted
from shared.runs.reading.gather import gather
from shared.runs.reading.gathered import Gathered
from shared.runs.request import RunRequest
from shared.runs.resources import Resources
from shared.runs.schedule import start_scheduled
from shared.runs.start import Started, start_run
from shared.runs.sweep import sweep
from shared.runs.work import give_up

OLIVE = Caller("olive", Role.OPERATOR)


@pytest.fixture
def sandbox(sandbox_for: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    running = sandbox_for("planned-migration")
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):  # msal reads these itself
        monkeypatch.setenv(name, running.environ[name])
    return running


@pytest.fixture
def resources(sandbox: Sandbox) -> Iterator[Resources]:
    made = Resources(sandbox.environ)
    yield made
    made.close()


def started(resources: Resources, profile: str = "emea-vdi", **options: Any) -> RunId:
    return start_run(resources, profile, RunRequest(), OLIVE, trigger="http", **options).run.id


def gathered(resources: Resources, profile: Profile) -> Gathered:
    keyring = Keyring(resources.vault, secret_names(profile))
    since = datetime.now(UTC) - timedelta(hours=72)
    return gather(resources, profile, keyring, Wanted(since), lambda done, total: None)


def status(resources: Resources, run_id: RunId) -> RunStatus:
    return resources.runs.get(run_id).value.status


def changed_profile(sandbox: Sandbox, name: str, **changes: Any) -> Profile:
    document = json.loads(sandbox.profile_file.read_text()) | {"name": name} | changes
    Path(sandbox.environ["REALIGN_PROFILES"], f"{name}.json").write_text(json.dumps(document))
    return Profile.model_validate_json(json.dumps(document))


def locked_by(resources: Resources, profile: str, run_id: RunId) -> Lock:
    lock = resources.locks.acquire(LockKind.PROFILE, profile, run_id, "another worker", resources.now())
    assert isinstance(lock, Lock)
    return lock


def actions(resources: Resources, run_id: RunId) -> list[str]:
    return [event.action for event in resources.events.page(run_id, None, 100)[0]]


def test_a_run_that_was_not_stored_whole_is_not_stored_at_all(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run without its place in the profile's list would never be seen there."""
    table = resources.runs._table
    put = table.put

    def broken(row: Any) -> str:
        if row["PartitionKey"].startswith("profile:"):
            raise StorageError("broken off", kind="unreachable")
        return put(row)

    monkeypatch.setattr(table, "put", broken)
    stored: list[Run] = []
    create = resources.runs.create
    monkeypatch.setattr(resources.runs, "create", lambda run: (stored.append(run), create(run))[1])
    with pytest.raises(StorageError):
        started(resources)
    with pytest.raises(NotFound):
        resources.runs.get(stored[0].id)


def test_a_repeated_key_finishes_what_broke_off_and_is_told_apart_from_the_first(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "pause", lambda seconds: None)
    with monkeypatch.context() as patch:
        patch.setattr(resources.runs, "create", _breaking_off)
        with pytest.raises(StorageError):
            started(resources, idempotency_key="k")
    again = start_run(resources, "emea-vdi", RunRequest(), OLIVE, trigger="http", idempotency_key="k")
    third = start_run(resources, "emea-vdi", RunRequest(), OLIVE, trigger="http", idempotency_key="k")
    assert (again.replayed, third.replayed) == (True, True)
    assert again.run.id == third.run.id
    assert status(resources, again.run.id) is RunStatus.QUEUED


def _breaking_off(run: Run) -> Any:
    raise StorageError("broken off", kind="unreachable")


def test_a_start_that_is_refused_uses_up_no_key(resources: Resources) -> None:
    first = started(resources)

    def ask(if_busy: str) -> Started:
        request = RunRequest.model_validate({"ifBusy": if_busy})
        return start_run(resources, "emea-vdi", request, OLIVE, trigger="http", idempotency_key="refused")

    with pytest.raises(ProfileBusy):
        ask("reject")
    queued = ask("queue")
    assert (queued.run.id != first, queued.replayed) == (True, False)
    assert ask("queue").replayed


def test_a_request_that_comes_twice_at_once_is_not_refused_for_its_own_run(
    sandbox: Sandbox, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed_profile(sandbox, "twice")
    request = RunRequest.model_validate({"ifBusy": "reject"})

    def ask() -> Started:
        return start_run(resources, "twice", request, OLIVE, trigger="http", idempotency_key="twice")

    find, twins = resources.idempotency.find, []

    def overtaken(*asked: Any) -> RunId | None:
        monkeypatch.setattr(resources.idempotency, "find", find)
        found = find(*asked)
        twins.append(ask())
        return found

    monkeypatch.setattr(resources.idempotency, "find", overtaken)
    late = ask()
    assert (late.run.id, late.replayed, twins[0].replayed) == (twins[0].run.id, True, False)


def test_a_key_answers_its_run_although_the_profile_broke_since(sandbox: Sandbox, resources: Resources) -> None:
    first = started(resources, idempotency_key="before")
    sandbox.profile_file.write_text("{")
    again = start_run(resources, "emea-vdi", RunRequest(), OLIVE, trigger="http", idempotency_key="before")
    assert (again.run.id, again.replayed) == (first, True)


def test_a_run_at_rest_never_lacks_the_end_of_its_story(resources: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = started(resources)
    append_all = resources.events.append_all

    def broken(to: RunId, events: Sequence[Event]) -> None:
        if any(event.action == "planned" for event in events):
            raise StorageError("The event cannot be stored.", kind="failed")
        append_all(to, events)

    monkeypatch.setattr(resources.events, "append_all", broken)
    plan_run(resources, run_id)
    run = resources.runs.get(run_id).value
    assert (run.status, run.error, run.fingerprint) == (RunStatus.FAILED, "The event cannot be stored.", None)
    assert actions(resources, run_id) == ["run-requested", "failed"]


def test_a_duplicate_of_a_message_that_waits_for_the_lock_ends_there(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = started(resources)
    sent: list[RunId] = []
    monkeypatch.setattr(resources.queue, "send", lambda run, step, delay_seconds=0: sent.append(run))
    with locked_by(resources, "emea-vdi", RunId("another")):
        plan_run(resources, run_id)
        waits_until = resources.runs.get(run_id).value.not_before
        plan_run(resources, run_id)
    assert sent == [run_id]
    assert waits_until is not None
    assert resources.runs.get(run_id).value.not_before == waits_until
    plan_run(resources, run_id)
    assert status(resources, run_id) is RunStatus.AWAITING_REVIEW


def test_a_poison_message_fails_no_run_that_somebody_works_on(resources: Resources) -> None:
    run_id = started(resources)
    body = json.dumps({"run": run_id, "step": "plan"}).encode()
    with locked_by(resources, "emea-vdi", run_id):
        give_up(resources, body)
        assert status(resources, run_id) is RunStatus.QUEUED
    give_up(resources, body)
    assert status(resources, run_id) is RunStatus.FAILED
    give_up(resources, body)
    assert actions(resources, run_id).count("failed") == 1


def test_the_sweeper_leaves_alone_who_waits_and_who_has_just_been_queued(resources: Resources) -> None:
    run_id = started(resources)
    assert run_id not in sweep(resources)
    now = resources.now
    resources.now = lambda: now() + timedelta(seconds=61)
    assert run_id in sweep(resources)
    assert run_id not in sweep(resources)
    assert actions(resources, run_id) == ["run-requested", "queued-again"]


def test_a_wrong_password_is_tried_once_although_six_clusters_share_it(
    sandbox_for: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = sandbox_for("central-v3")
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
        monkeypatch.setenv(name, sandbox.environ[name])
    resources = Resources(sandbox.environ)
    document = json.loads(sandbox.profile_file.read_text())
    (central,) = (cluster for cluster in document["clusters"] if cluster["api"] == "central-v3")
    sandbox.vault.put("prism-wrong", json.dumps({"username": "svc", "password": "wrong"}))
    clusters = [{**central, "name": f"pc-{number}", "credential": "prism-wrong"} for number in range(6)]
    profile = changed_profile(sandbox, "shared-password", clusters=clusters, scope={})
    found = gather(
        resources,
        profile,
        Keyring(resources.vault, secret_names(profile)),
        Wanted(datetime.now(UTC) - timedelta(hours=72)),
        lambda done, total: None,
    )
    assert {reading.status for reading in found.readings} == {ReadStatus.REFUSED}
    system = f"prism/{central['name']}"
    assert sandbox.calls.count(system, "POST", "/api/nutanix/v3/clusters/list") == 1
    resources.close()


def test_a_refused_password_is_not_tried_for_the_leftovers_either(sandbox: Sandbox, resources: Resources) -> None:
    """Another run may have been refused since this one took over a listing."""
    profile = Profile.model_validate_json(sandbox.profile_file.read_text())
    keyring, cluster = Keyring(resources.vault, secret_names(profile)), profile.clusters[0]
    secret = keyring.secret(cluster.credential)
    with prism(resources, cluster, keyring) as client:
        limits = Limits(Deadline.after(10))
        assert client.decoupled((), limits) == frozenset()
        resources.refusals.remember(secret.name, secret.version, urlsplit(cluster.url).netloc, resources.now())
        with pytest.raises(PrismError, match="does not try it again"):
            client.decoupled((), limits)


def test_a_wrong_customer_does_not_hold_off_the_right_one(sandbox: Sandbox, resources: Resources) -> None:
    right = Profile.model_validate_json(sandbox.profile_file.read_text())
    wrong = right.model_copy(update={"site": right.site.model_copy(update={"customer_id": "somebodyelse"})})
    keyring = Keyring(resources.vault, secret_names(right))

    def ask(profile: Profile) -> str:
        with citrix_hosts(resources, profile, keyring) as hosts:
            client = hosts.run(lambda client: client)
            assert isinstance(client, CitrixSite)
            return client.discover().id

    with pytest.raises(CitrixError, match="somebodyelse"):
        ask(wrong)
    with pytest.raises(CitrixError, match="does not try it again"):
        ask(wrong)
    assert ask(right)


def test_an_answer_that_makes_no_sense_costs_its_own_cluster_alone(sandbox: Sandbox, resources: Resources) -> None:
    async def nonsense(request: web.Request) -> web.Response:
        config = {"service_list": 5}
        status = {"state": "COMPLETE", "name": "odd", "resources": {"config": config}}
        entity = {"metadata": {"kind": "cluster", "uuid": "0" * 8 + "-0000-0000-0000-" + "0" * 12}, "status": status}
        return web.json_response({"api_version": "3.1", "metadata": {"total_matches": 1}, "entities": [entity]})

    odd = web.Application()
    odd.router.add_post("/api/nutanix/v3/clusters/list", nonsense)
    server = sandbox.serve(odd, sandbox._public.certificate())
    document = json.loads(sandbox.profile_file.read_text())
    entry = {**document["clusters"][0], "name": "odd", "api": "central-v3", "baseUrl": server.url}
    del entry["ca"]
    profile = changed_profile(sandbox, "odd", clusters=[*document["clusters"], entry])
    readings = {reading.name: reading for reading in gathered(resources, profile).readings}
    assert readings.pop("odd").status is ReadStatus.FAILED
    assert {reading.status for reading in readings.values()} == {ReadStatus.ANSWERED}


def test_a_run_whose_message_cannot_be_sent_is_started_all_the_same(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(run: RunId, step: str, delay_seconds: int = 0) -> None:
        raise StorageError("The queue is busy.", kind="throttled", retryable=True)

    with monkeypatch.context() as patch:
        patch.setattr(resources.queue, "send", busy)
        run_id = started(resources)
    now = resources.now
    resources.now = lambda: now() + timedelta(seconds=61)
    assert run_id in sweep(resources)


def test_a_run_of_another_version_stops_neither_sweeper_nor_schedule(sandbox: Sandbox, resources: Resources) -> None:
    changed_profile(sandbox, "scheduled", schedule=True)
    stranded, foreign = started(resources), started(resources)
    table = resources.runs._table
    row = table.get("run", foreign)
    assert row is not None
    table.put({**row.values, "status": "dreaming"})
    now = resources.now
    resources.now = lambda: now() + timedelta(seconds=61)
    assert stranded in sweep(resources)
    resources.now = now
    assert len(start_scheduled(resources)) == 1
    with pytest.raises(StorageError, match="another version"):
        resources.runs.get(foreign)


def test_a_schedule_that_cannot_start_a_profile_fails_with_why(sandbox: Sandbox, resources: Resources) -> None:
    changed_profile(sandbox, "refused", schedule=True)

    def busy(*_: object, **__: object) -> None:
        raise StorageError("Storage acme is too busy. Try again in a minute.", kind="throttled", system="Storage")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resources.queue, "send", busy)
        patch.setattr(resources.runs, "create", busy)
        with pytest.raises(RealignError, match="Not started by the schedule: .* refused: Storage acme is too busy"):
            start_scheduled(resources)


def test_a_schedule_starts_nothing_while_the_disk_is_full(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.runs.probing.machine.LEAST_FREE", 10**18)
    with pytest.raises(RealignError, match="The disk that holds temporary files has .* MB left"):
        start_scheduled(resources)


def test_a_schedule_starts_nothing_while_the_clock_is_five_minutes_off(sandbox: Sandbox, resources: Resources) -> None:
    changed_profile(sandbox, "askew", schedule=True)
    now = resources.now
    resources.now = lambda: now() - timedelta(minutes=5)
    with pytest.raises(RealignError, match="The clock of this machine is .* s behind the storage account's"):
        start_scheduled(resources)
    assert resources.runs.newest("askew", None, None, 1) == []


def test_a_schedule_starts_although_storage_takes_half_a_minute_to_answer(
    sandbox: Sandbox, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed_profile(sandbox, "slow-storage", schedule=True)
    now, try_storage = resources.now, resources.try_storage

    def slow() -> datetime:
        resources.now = lambda: now() + timedelta(seconds=30)
        return try_storage() + timedelta(seconds=29)

    monkeypatch.setattr(resources, "try_storage", slow)
    start_scheduled(resources)
    assert len(resources.runs.newest("slow-storage", None, None, 1)) == 1


@pytest.mark.parametrize(("refusals", "starts"), [(2, True), (9, False)])
def test_a_schedule_waits_for_storage_that_is_busy_for_a_minute_and_then_says_so(
    sandbox: Sandbox, resources: Resources, monkeypatch: pytest.MonkeyPatch, refusals: int, starts: bool
) -> None:
    changed_profile(sandbox, name := f"busy-{refusals}-times", schedule=True)
    pauses: list[float] = []
    resources.pause = pauses.append
    try_storage, left = resources.try_storage, [StorageError("Too busy.", kind="throttled", retryable=True)] * refusals

    def busy() -> datetime:
        if left:
            raise left.pop()
        return try_storage()

    monkeypatch.setattr(resources, "try_storage", busy)
    if starts:
        start_scheduled(resources)
        assert pauses == [10, 30]
    else:
        with pytest.raises(StorageError, match="Too busy"):
            start_scheduled(resources)
        assert sum(pauses) == 100
    assert len(resources.runs.newest(name, None, None, 2)) == int(starts)


def test_a_schedule_reads_each_profile_once_however_many_there_are(
    sandbox: Sandbox, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        changed_profile(sandbox, f"one-of-many-{number}", schedule=True)
    read, times = resources.profiles, []
    monkeypatch.setattr(resources, "profiles", lambda: times.append(1) or read())
    assert len(start_scheduled(resources)) >= 3
    assert len(times) == 1
