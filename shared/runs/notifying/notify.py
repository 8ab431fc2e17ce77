"""The step ``notify``: tells a profile's webhook how a run came to rest, and tries again for a while where that fails.

It has a queue of its own and holds no lock, so a receiver that is slow or down delays no run. Messages arrive at least
once and in any number: what there is to tell is kept under a key of the rest, and each attempt is claimed first.
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from datetime import timedelta

from shared.azure.runs import ACTIVE
from shared.azure.table import Versioned
from shared.azure.work_queue import WorkStep
from shared.errors import RealignError, StorageError
from shared.model.notice import Notice, NoticeEvent, NoticeState
from shared.model.run import Event, Run, RunId
from shared.profile.webhook import Webhook
from shared.runs.access import SERVICE
from shared.runs.draft import kept_profile
from shared.runs.notifying.delivery import deliver
from shared.runs.notifying.message import message_text
from shared.runs.notifying.occasions import moment, occasion
from shared.runs.notifying.signature import signed_headers
from shared.runs.notifying.target import Target, target_of
from shared.runs.resources import Resources

LOOK_AGAIN = timedelta(seconds=5)  # at a run that has gone to work, or does not rest yet
PATIENCE = 10.0  # seconds for one attempt
LEASE = timedelta(seconds=60)  # an attempt that a crash ended is made again after that
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (10, 60, 300, 900, 3_600))
MOST_ATTEMPTS = len(PAUSES) + 1

log = logging.getLogger(__name__)


def notify(resources: Resources, run_id: RunId) -> None:
    """Keep what there is to tell of a run that rests, and try what is due. Safe to repeat.

    Raises ``NotFound`` and ``StorageError``; a receiver's failure is an event of the run.
    """
    run = resources.runs.get(run_id).value
    webhook = kept_profile(resources, run_id).notify
    if webhook is None:
        return
    if run.status not in ACTIVE:
        _keep(resources, run, webhook)
    for found in resources.notices.open(run_id):
        if found.value.due <= resources.now():
            _attempt(resources, run, webhook, found)
    due = [found.value.due for found in resources.notices.open(run_id)]
    if run.status in ACTIVE:
        due.append(resources.now() + LOOK_AGAIN)
    if due:
        seconds = math.ceil((min(due) - resources.now()).total_seconds())
        resources.queue.send(run_id, WorkStep.NOTIFY, delay_seconds=max(1, seconds))


def _keep(resources: Resources, run: Run, webhook: Webhook) -> None:
    event = occasion(run, [NoticeEvent(name) for name in webhook.on])
    if event is None:
        return
    at, now = moment(run), resources.now()
    key = f"{at:%Y%m%dT%H%M%S%f}-{run.status.value}"
    body = message_text(run, event, _message_id(run, key), at, resources.settings.notify.home)
    resources.notices.keep(run.id, Notice(key, event, body, made_at=now, due=now))


def _attempt(resources: Resources, run: Run, webhook: Webhook, found: Versioned[Notice]) -> None:
    claim = replace(found.value, attempts=found.value.attempts + 1, due=resources.now() + LEASE)
    claimed = resources.notices.update(run.id, claim, found)
    if claimed is None:
        return  # another message of the queue makes this attempt
    try:
        target = target_of(resources, webhook)
        _send(resources, run, claim, target)
    except StorageError:
        raise
    except RealignError as error:
        _failed(resources, run, claimed, error)
        return
    resources.notices.update(run.id, replace(claim, state=NoticeState.SENT), claimed)
    _tell(resources, run, "notified", f"{target.place} was told: {claim.event.value}{_which(claim)}.")


def _send(resources: Resources, run: Run, notice: Notice, target: Target) -> None:
    body = notice.body.encode()
    at = int(resources.now().timestamp())
    headers = {
        "Content-Type": "application/json",
        **signed_headers(target.key, _message_id(run, notice.key), at, body),
    }
    deliver(
        target.url,
        body,
        headers=headers,
        system=f"Webhook {target.place}",
        ca=target.ca,
        ca_name="notify.ca",
        environ=resources.environ,
        patience=PATIENCE,
        attempt=notice.attempts,
    )


def _failed(resources: Resources, run: Run, claimed: Versioned[Notice], error: RealignError) -> None:
    notice = claimed.value
    over = notice.attempts >= MOST_ATTEMPTS
    if over:
        changed, rest = replace(notice, state=NoticeState.FAILED), "It is not tried again."
    else:
        pause = PAUSES[notice.attempts - 1]
        changed = replace(notice, due=resources.now() + pause)
        rest = f"It is tried again in {_words(pause)}."
    resources.notices.update(run.id, changed, claimed)
    log.warning("webhook not told run=%s attempt=%s over=%s: %s", run.id, notice.attempts, over, error)
    _tell(resources, run, "notify-failed", f"{notice.event.value} was not told{_which(notice)}. {error} {rest}")


def _message_id(run: Run, key: str) -> str:
    return f"{run.id}-{key}"


def _which(notice: Notice) -> str:
    return f", attempt {notice.attempts} of {MOST_ATTEMPTS}" if notice.attempts > 1 else ""


def _words(pause: timedelta) -> str:
    seconds = int(pause.total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"


def _tell(resources: Resources, run: Run, action: str, detail: str) -> None:
    resources.events.append(run.id, Event(resources.now(), SERVICE.name, action, detail))
