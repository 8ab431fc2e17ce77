"""The webhook on the whole app: drift that the timer finds is told, and a slow or dead receiver delays no run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.webhook import SECRET, WebhookReceiver
from tests.e2e.client import eventually
from tests.e2e.conftest import App, Serve

NOTIFY = {"credential": SECRET}


@pytest.fixture(scope="module")
def running(serve: Serve) -> Iterator[App]:
    with serve("planned-migration", {"WEBSITE_HOSTNAME": "realign.example"}) as app:
        yield app


@pytest.fixture
def app(running: App) -> Iterator[App]:
    yield running
    hook = running.sandbox.webhook
    hook.status, hook.delay, hook.down = 202, 0.0, False
    hook.told.clear()


@pytest.fixture
def hook(app: App) -> WebhookReceiver:
    return app.sandbox.webhook


def actions(app: App, run_id: str) -> list[str]:
    return [event["action"] for event in app.api.all(f"/api/runs/{run_id}/events")]


def failures(app: App, runs: list[str]) -> list[str]:
    """When an attempt to tell of one of the runs was given up."""
    events = [event for run_id in runs for event in app.api.all(f"/api/runs/{run_id}/events")]
    return [event["at"] for event in events if event["action"] == "notify-failed"]


def test_drift_that_the_timer_finds_is_told_and_signed(app: App, hook: WebhookReceiver) -> None:
    profile = app.add_profile("scheduled", schedule=True, notify=NOTIFY)
    app.api.fire("reconcile")
    (told,) = eventually(lambda: list(hook.told))
    app.remove_profile(profile)
    assert (told.body["event"], told.body["run"]["profile"], told.signed) == ("drift", profile, True)
    run = app.api.of(told.body["run"]["id"])
    assert told.body["links"]["run"] == f"https://realign.example{run['links']['self']}"
    assert told.body["links"]["report"] == f"https://realign.example{run['links']['report']}"
    assert eventually(lambda: "notified" in actions(app, run["id"]))


def test_a_receiver_that_is_slow_delays_no_run(app: App, hook: WebhookReceiver) -> None:
    hook.delay = 60.0
    slow = [app.add_profile(f"slow-{number}", notify=NOTIFY) for number in range(5)]
    waiting = [app.api.run(name)["id"] for name in slow]
    # all that the host takes from that queue at once is waiting for the receiver now
    eventually(lambda: app.sandbox.calls.count("webhook") >= 4)
    run = app.api.run(app.name, within=30)
    assert run["status"] == "awaiting-review"
    given_up = eventually(lambda: done if len(done := failures(app, waiting)) >= len(slow) else [], within=60)
    assert run["plannedAt"] < max(given_up), "in one queue with them its message would have come after all of these"
    for name in slow:
        app.remove_profile(name)


def test_a_receiver_that_is_down_is_an_event_and_hears_of_it_later(app: App, hook: WebhookReceiver) -> None:
    hook.down = True
    run = app.api.run(app.add_profile("down", notify=NOTIFY))
    assert run["status"] == "awaiting-review"
    eventually(lambda: "notify-failed" in actions(app, run["id"]))
    hook.down = False
    eventually(lambda: "notified" in actions(app, run["id"]), within=40)
    assert [told.body["run"]["id"] for told in hook.told].count(run["id"]) == 1
    assert app.api.of(run["id"])["status"] == "awaiting-review"
    assert "sig=" not in app.host.full_log() + "".join(app.api.answers)
