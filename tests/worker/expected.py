"""The functions that the host has to find, as the design dictates them (sections 6 and 7); written by hand.

One table for every version of Python: the ``azure-functions`` library and Microsoft's worker library are held to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

Trigger = dict[str, Any]

# None declares a retry policy: the sweeper and the next occurrence are a timer's second try, and for queues the host
# itself tries again, as often as host.json says; a policy would not count there (contract azure.md, section 3.4).
RETRY = None


def http(route: str, level: str = "anonymous") -> Trigger:
    """``methods`` is left out, which means all of them: routes answer 405 themselves."""
    return {"type": "httpTrigger", "route": route, "authLevel": level}


def timer(schedule: str, *, monitored: bool) -> Trigger:
    """``monitored``: an occurrence that was missed comes when the host is there again."""
    return {"type": "timerTrigger", "schedule": schedule, "runOnStartup": False, "useMonitor": monitored}


def queue(name: str) -> Trigger:
    return {"type": "queueTrigger", "queueName": name, "connection": "AzureWebJobsStorage"}


FUNCTIONS: dict[str, Trigger] = {
    "health_live": http("health/live"),
    "health_ready": http("health/ready"),
    "profiles_list": http("profiles"),
    "profiles_one": http("profiles/{name}"),
    "profiles_start_run": http("profiles/{name}/runs"),
    "profiles_hold": http("profiles/{name}/hold"),
    "runs_list": http("runs"),
    "runs_one": http("runs/{id}"),
    "runs_remaps": http("runs/{id}/remaps"),
    "runs_remaps_csv": http("runs/{id}/remaps.csv"),
    "runs_events": http("runs/{id}/events"),
    "runs_report": http("runs/{id}/report"),
    "runs_approve": http("runs/{id}/approve"),
    "runs_reject": http("runs/{id}/reject"),
    "runs_resolve": http("runs/{id}/resolve"),
    "runs_apply": http("runs/{id}/apply"),
    "runs_rollback": http("runs/{id}/rollback"),
    "runs_cancel": http("runs/{id}/cancel"),
    "hooks_runs": http("hooks/runs", "function"),
    "me": http("me"),
    "openapi": http("openapi.json"),
    "review_page": http("review/{*path}"),
    "reconcile": timer("%REALIGN_SCHEDULE%", monitored=True),
    "sweep": timer("*/30 * * * * *", monitored=False),
    "retention": timer("0 40 3 * * *", monitored=True),
    "watch": timer("15 */5 * * * *", monitored=False),
    "work": queue("realign-work"),
    "work_poison": queue("realign-work-poison"),
    "notify": queue("realign-notify"),
    "notify_poison": queue("realign-notify-poison"),
}


def trigger_of(raw_bindings: Iterable[str]) -> Trigger:
    """The trigger as the table writes it, from the bindings of a function as the host gets them.

    A function has no other binding, but one with an HTTP trigger returns its answer.
    """
    bindings = [json.loads(raw) for raw in raw_bindings]
    (trigger,) = (binding for binding in bindings if binding["direction"] == "IN")
    answers = [binding for binding in bindings if binding is not trigger]
    is_http = trigger["type"] == "httpTrigger"
    assert answers == ([{"direction": "OUT", "type": "http", "name": "$return"}] if is_http else [])
    shown = {key: value for key, value in trigger.items() if key not in {"direction", "name"}}
    return shown | ({"authLevel": shown["authLevel"].lower()} if is_http else {})
