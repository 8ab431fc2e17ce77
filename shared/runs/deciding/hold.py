"""Putting the schedule of a profile on hold, and ending the hold."""

from __future__ import annotations

import logging
from datetime import timedelta

from shared.azure.holds import Hold
from shared.errors import InvalidRequest
from shared.runs.access import Caller
from shared.runs.deciding.review_request import HoldRequest
from shared.runs.resources import Resources

log = logging.getLogger(__name__)


def hold_schedule(resources: Resources, profile_name: str, request: HoldRequest, caller: Caller) -> Hold:
    """Start nothing by schedule for a while; a hold that is there is replaced.

    Raises ``NotFound``, ``ProfileInvalid`` and, where neither request nor policy say how long, ``InvalidRequest``.
    """
    profile = resources.profile(profile_name)
    hours = request.hours or profile.policy.hold_hours
    if not hours:
        raise InvalidRequest("hours: the profile's holdHours is 0, so say for how long.", field="hours")
    now = resources.now()
    hold = Hold(now + timedelta(hours=hours), caller.name, now, request.reason)
    resources.holds.put(profile.name, hold, replace=True)
    log.info("schedule on hold profile=%s until=%s by=%s", profile.name, hold.until.isoformat(), caller.name)
    return hold


def end_hold(resources: Resources, profile_name: str, caller: Caller) -> bool:
    """Let the schedule start runs again; whether there was a hold. Raises ``NotFound``."""
    name = resources.profile_file(profile_name).name
    ended = resources.holds.end(name)
    log.info("hold ended profile=%s by=%s was=%s", name, caller.name, ended)
    return ended
