"""The step ``notify`` against a receiver that checks signatures: told once, tried again, and never in the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.azurite import Azurite
from sandbox.certificates import CertificateAuthority
from sandbox.webhook import SECRET, WebhookReceiver
from shared.azure.work_queue import WorkStep
from shared.model.run import RunId, RunStatus
from shared.runs.deciding.review import reject
from shared.runs.deciding.review_request import ReviewRequest
from shared.runs.notifying.notify import MOST_ATTEMPTS
from shared.runs.work import give_up
from shared.settings.settings import NotifySettings
from tests.integration.workplace import ADA, Message, Workplace, workplace
from tests.telemetry import kept_telemetry

NOTIFY = {"credential": SECRET}


@pytest.fixture(scope="module")
def shared_place(azurite: Azurite) -> Iterator[Workplace]:
    with workplace(azurite) as place:
        place.sandbox.webhook.now = lambda: place.clock().timestamp()
        yield place


@pytest.fixture
def place(shared_place: Workplace) -> Iterator[Workplace]:
    hook = shared_place.sandbox.webhook
    yield shared_place
    hook.status, hook.delay, hook.down = 202, 0.0, False
    hook.told.clear()
    shared_place.sandbox.vault.put(SECRET, hook.secret())
    shared_place.put_back()


@pytest.fixture
def hook(place: Workplace) -> WebhookReceiver:
    return place.sandbox.webhook


def waiting(place: Workplace, notify: dict[str, Any] | None = None, **asked: Any) -> RunId:
    """A run that waits for review, whose profile wants to be told."""
    return place.planned(place.profile(notify=notify or NOTIFY), **asked)


def failures(place: Workplace, run_id: RunId) -> list[str]:
    return [event.detail for event in place.events(run_id) if event.action == "notify-failed"]


def actions(place: Workplace, run_id: RunId) -> list[str]:
    return [event.action for event in place.events(run_id) if event.action.startswith("notif")]


def test_each_rest_of_a_run_is_told_once_and_signed(place: Workplace, hook: WebhookReceiver) -> None:
    run_id = waiting(place)
    place.work(WorkStep.NOTIFY)
    place.approve(run_id)
    place.work()
    place.work(WorkStep.NOTIFY)
    assert [(each.body["event"], each.signed) for each in hook.told] == [("awaiting-review", True), ("completed", True)]
    first, second = hook.told
    assert first.headers["webhook-id"] == first.body["id"] != second.body["id"]
    assert first.headers["content-type"] == "application/json"
    assert second.body["run"]["states"] == {"verified": 11}
    assert second.body["links"]["run"] == f"/api/runs/{run_id}"
    assert actions(place, run_id) == ["notified", "notified"]
    assert not [message for message in place.queue.waiting if message.step is WorkStep.NOTIFY]


def test_messages_that_come_twice_tell_nobody_twice(place: Workplace, hook: WebhookReceiver) -> None:
    run_id = waiting(place)
    for _ in range(3):
        place.queue.send(run_id, WorkStep.NOTIFY)
    place.work(WorkStep.NOTIFY)
    assert len(hook.told) == 1


def test_a_message_that_comes_before_the_run_rests_waits_for_it(place: Workplace, hook: WebhookReceiver) -> None:
    run_id = place.started(place.profile(notify=NOTIFY))
    place.queue.send(run_id, WorkStep.NOTIFY)
    assert place.next(WorkStep.NOTIFY)
    assert (len(hook.told), place.queue.delays(run_id, WorkStep.NOTIFY)) == (0, [0, 5])
    place.work(WorkStep.PLAN)
    place.work(WorkStep.NOTIFY)
    assert [each.body["event"] for each in hook.told] == ["awaiting-review"]


def test_what_the_profile_does_not_want_to_hear_is_not_told(place: Workplace, hook: WebhookReceiver) -> None:
    waiting(place, {**NOTIFY, "on": ["failed", "drift"]})
    place.work(WorkStep.NOTIFY)
    assert hook.told == []


def test_drift_that_the_schedule_finds_is_told_in_mode_report_too(place: Workplace, hook: WebhookReceiver) -> None:
    profile = place.profile({"mode": "report"}, notify=NOTIFY)
    run_id = place.planned(profile, trigger="schedule")
    place.work(WorkStep.NOTIFY)
    (told,) = hook.told
    assert (place.run(run_id).status, told.body["event"]) == (RunStatus.PLANNED, "drift")
    assert "11 machines to correct" in told.body["summary"]


def test_a_scheduled_run_that_finds_nothing_costs_no_message(place: Workplace, hook: WebhookReceiver) -> None:
    profile = place.profile(notify=NOTIFY, scope={"machines": ["HOME-01", "HOME-02"]})
    run_id = place.planned(profile, trigger="schedule")
    assert place.run(run_id).status is RunStatus.COMPLETED
    assert place.queue.delays(run_id, WorkStep.NOTIFY) == []


def test_a_run_that_fails_is_told_with_its_reason(place: Workplace, hook: WebhookReceiver) -> None:
    run_id = place.planned(place.profile(notify=NOTIFY, scope={"catalogs": ["Nowhere"], "protectionDomain": "PD-X"}))
    place.work(WorkStep.NOTIFY)
    (told,) = hook.told
    assert (told.body["event"], told.body["run"]["error"]) == ("failed", place.run(run_id).error)


def test_a_run_whose_remaps_are_all_rejected_is_told_as_completed(place: Workplace, hook: WebhookReceiver) -> None:
    run_id = waiting(place)
    fingerprint = place.run(run_id).fingerprint or ""
    reject(place.resources, run_id, ReviewRequest(all=True, fingerprint=fingerprint), ADA)
    place.work(WorkStep.NOTIFY)
    assert [each.body["event"] for each in hook.told] == ["completed"]


def test_a_receiver_that_is_down_is_tried_again_with_the_same_words_until_it_hears(
    place: Workplace, hook: WebhookReceiver
) -> None:
    hook.status = 503
    run_id = waiting(place)
    assert place.run(run_id).status is RunStatus.AWAITING_REVIEW
    place.next(WorkStep.NOTIFY)
    place.next(WorkStep.NOTIFY)
    hook.status = 200
    place.work(WorkStep.NOTIFY)
    assert place.queue.delays(run_id, WorkStep.NOTIFY) == [1, 10, 60]
    assert len({json.dumps(each.body) for each in hook.told}) == 1
    assert len({each.headers["webhook-id"] for each in hook.told}) == 1
    assert len({each.headers["webhook-timestamp"] for each in hook.told}) == 3
    assert actions(place, run_id) == ["notify-failed", "notify-failed", "notified"]
    assert "answered HTTP 503" in failures(place, run_id)[0]
    assert "tried again in 10 s" in failures(place, run_id)[0]


def test_after_six_attempts_it_is_given_up(place: Workplace, hook: WebhookReceiver) -> None:
    hook.down = True
    run_id = waiting(place)
    with kept_telemetry() as kept:
        place.work(WorkStep.NOTIFY)
        assert [dict(span.attributes or {})["attempt"] for span in kept.spans("webhook")] == [1, 2, 3, 4, 5, 6]
    assert place.sandbox.calls.count("webhook") == MOST_ATTEMPTS == 6
    assert place.queue.delays(run_id, WorkStep.NOTIFY) == [1, 10, 60, 300, 900, 3_600]
    assert len(failures(place, run_id)) == 6
    assert failures(place, run_id)[-1].endswith("It is not tried again.")
    place.queue.send(run_id, WorkStep.NOTIFY)
    place.work(WorkStep.NOTIFY)
    assert place.sandbox.calls.count("webhook") == 6


def test_a_redirect_is_not_followed(place: Workplace, hook: WebhookReceiver) -> None:
    hook.status = 307
    run_id = waiting(place)
    place.next(WorkStep.NOTIFY)
    assert "a redirect that Realign does not follow" in failures(place, run_id)[0]
    assert place.sandbox.calls.count("webhook") == 1


def test_a_host_that_the_setting_does_not_name_is_never_called(place: Workplace, hook: WebhookReceiver) -> None:
    run_id = waiting(place, {**NOTIFY, "url": f"https://localhost:{hook.place.rpartition(':')[2]}/told"})
    place.next(WorkStep.NOTIFY)
    assert place.sandbox.calls.count("webhook") == 0
    assert "localhost:" in failures(place, run_id)[0]
    assert "is not in the app setting REALIGN_NOTIFY_HOSTS" in failures(place, run_id)[0]


WRONG_SECRETS = {
    "no-json": ("s3cr3t", "Secret notify-sandbox is not"),
    "no-key": ('{"url": "https://127.0.0.1/s3cr3t"}', "key: is missing"),
    "no-address": (json.dumps({"key": "whsec_" + "A" * 43}), "has no 'url'"),
    "no-such-key": (json.dumps({"key": "s3cr3t", "url": "https://127.0.0.1/"}), "is no key: write whsec_"),
    "no-https": (json.dumps({"key": "whsec_" + "A" * 43, "url": "http://127.0.0.1/s3cr3t"}), "is no address"),
    "user-in-it": (json.dumps({"key": "whsec_" + "A" * 43, "url": "https://u:s3cr3t@127.0.0.1/"}), "is no address"),
    "odd-host": (json.dumps({"key": "whsec_" + "A" * 43, "url": "https://s3cr3t\\.127.0.0.1/"}), "is no address"),
    "unknown-member": (json.dumps({"key": "whsec_" + "A" * 43, "uri": "s3cr3t"}), "uri: is not a known field"),
}


@pytest.mark.parametrize("case", WRONG_SECRETS)
def test_a_secret_that_cannot_be_used_is_named_and_not_told(place: Workplace, case: str) -> None:
    value, said = WRONG_SECRETS[case]
    place.sandbox.vault.put(SECRET, value)
    run_id = waiting(place)
    place.next(WorkStep.NOTIFY)
    (failure,) = failures(place, run_id)
    assert said in failure
    assert "s3cr3t" not in failure


def test_a_secret_that_is_corrected_counts_at_the_next_attempt(place: Workplace, hook: WebhookReceiver) -> None:
    place.sandbox.vault.remove(SECRET)
    run_id = waiting(place)
    place.next(WorkStep.NOTIFY)
    assert "has no secret notify-sandbox" in failures(place, run_id)[0]
    place.sandbox.vault.put(SECRET, hook.secret())
    place.work(WorkStep.NOTIFY)
    assert [each.signed for each in hook.told] == [True]


def test_the_address_of_a_secret_stands_in_no_event(place: Workplace, hook: WebhookReceiver) -> None:
    hook.status = 500
    run_id = waiting(place)
    place.work(WorkStep.NOTIFY)
    text = "".join(event.detail for event in place.events(run_id))
    assert "sig=" not in text
    assert hook.place in text


def test_a_certificate_that_the_profiles_authority_did_not_sign_is_refused(
    place: Workplace, hook: WebhookReceiver
) -> None:
    with CertificateAuthority("Somebody else") as stranger:
        place.sandbox.vault.put("notify-ca", stranger.ca_pem)
        run_id = waiting(place, {**NOTIFY, "ca": "notify-ca"})
        place.next(WorkStep.NOTIFY)
    assert "showed a certificate that is not trusted" in failures(place, run_id)[0]
    assert hook.told == []


def test_an_attempt_that_a_crash_ended_is_made_again_once_its_lease_is_over(
    place: Workplace, hook: WebhookReceiver
) -> None:
    run_id = waiting(place)

    class Crash(BaseException):
        pass

    worker = place.another_worker()

    class Dying:
        def secret(self, name: str) -> object:
            raise Crash

    vars(worker)["vault"] = Dying()
    (message,) = [each for each in place.queue.waiting if each.step is WorkStep.NOTIFY]
    with pytest.raises(Crash):
        place.next(WorkStep.NOTIFY, resources=worker)
    del vars(worker)["vault"]
    place.queue.waiting.append(message)  # the platform delivers it again
    place.work(WorkStep.NOTIFY)
    assert len(hook.told) == 1
    assert place.queue.delays(run_id, WorkStep.NOTIFY)[1] in range(50, 61)


def test_what_ends_in_the_poison_queue_is_an_event(place: Workplace) -> None:
    run_id = waiting(place)
    give_up(place.resources, Message(run_id, WorkStep.NOTIFY, 0).body())
    assert "failed again and again" in failures(place, run_id)[0]
    assert place.run(run_id).status is RunStatus.AWAITING_REVIEW


def test_without_a_webhook_nothing_is_sent(place: Workplace) -> None:
    run_id = place.planned()
    assert place.queue.delays(run_id, WorkStep.NOTIFY) == []


def test_the_apps_own_name_makes_whole_addresses(place: Workplace, hook: WebhookReceiver) -> None:
    run_id = waiting(place)
    settings = place.resources.settings
    object.__setattr__(settings, "notify", NotifySettings(settings.notify.hosts, "https://realign.example"))
    try:
        place.work(WorkStep.NOTIFY)
    finally:
        object.__setattr__(settings, "notify", NotifySettings(settings.notify.hosts))
    assert hook.told[0].body["links"]["report"] == f"https://realign.example/api/runs/{run_id}/report"
