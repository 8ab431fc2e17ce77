"""Asks everything that Realign depends on whether it is ready, and says what to do where it is not.

One probe with two fronts, ``health/ready`` and ``python -m shared.doctor``; the watch tells telemetry of it.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from time import monotonic

from shared.errors import NotFound, RealignError
from shared.profile.profile import Profile
from shared.profile_files import ProfileFile
from shared.runs.probing.check import Check, Health, Walk
from shared.runs.probing.dependencies import Probe, Thoroughness, ask_storage, ask_vault, probes_of
from shared.runs.probing.machine import ask_clock, ask_disk, check_schedule
from shared.runs.resources import Resources
from shared.telemetry import telling
from shared.telemetry.threads import Threads

log = logging.getLogger(__name__)

_PROBES_AT_ONCE = 16
_NOT_ASKED = "Not asked, because storage or the vault is not ready: mend that first."
_NO_TIME = (
    "Not asked, because the others took all the time there was. Ask again, or for its profile alone: "
    "python -m shared.doctor --profile NAME."
)
_WHOLE = Thoroughness()
LONGEST = 120.0  # seconds; Azure gives up on a request after 230, and what has begun has to come to its end


def check_health(
    resources: Resources, only: str | None = None, *, how: Thoroughness = _WHOLE, within: float = LONGEST
) -> Health:
    """Probe this machine, storage, vault, every site, cluster, relay and webhook, side by side.

    What several profiles name alike is asked once for all of them.
    Each takes 15 s at most once it is reached, a relay 35. ``only`` names the one profile to ask about. What has not
    begun ``within`` seconds is not asked, and another time something else. Telemetry hears of whatever was asked.
    Raises ``NotFound`` for a profile that is not there.
    """
    ends = monotonic() + within
    files, unread = _profiles(resources, only)
    profiles = [file.profile for file in files.values() if file.profile is not None]
    with Threads(_PROBES_AT_ONCE, thread_name_prefix="probe") as pool:
        base = tuple(pool.map(_asked, _base(resources, profiles)))
        rest = [Probe("clock", "host", "clock", partial(ask_clock, resources=resources))]
        rest += [each for profile in profiles for each in probes_of(resources, profile, how)]
        if Health(base).usable:
            clock, *others = {probe.way: probe for probe in rest}.values()
            drawn = [clock, *random.sample(others, len(others))]
            asked = pool.map(partial(_asked_before, ends), drawn)
            found = {probe.way: check for probe, check in zip(drawn, asked, strict=True)}
            behind = [replace(found[probe.way], name=probe.name) for probe in rest]
        else:
            behind = [_left_out(probe, _NOT_ASKED) for probe in rest]
    health = Health((*base, *unread, *_broken(files), *_unscheduled(resources, profiles), *behind))
    for profile in profiles:
        telling.dependency(profile.name, "profile", ready=True)
    for check in health.checks:
        if check.remedy not in (_NOT_ASKED, _NO_TIME):
            telling.dependency(check.name, check.kind, ready=check.ready)
    return health


def _profiles(resources: Resources, only: str | None) -> tuple[dict[str, ProfileFile], list[Check]]:
    """The files to ask about; and the check of their place, where there is something to say of it."""
    try:
        files = {only: resources.profile_file(only)} if only is not None else resources.profiles()
    except NotFound:
        raise
    except RealignError as error:
        return {}, [Check("profiles", "profiles", ready=False, latency_ms=0, remedy=str(error))]
    if not files:
        place = resources.settings.profiles.container or resources.settings.profiles.folder
        remedy = f"There is no profile in {place}, which REALIGN_PROFILES names: put one JSON file a profile there."
        return {}, [Check("profiles", "profiles", ready=False, latency_ms=0, remedy=remedy)]
    return files, []


def _base(resources: Resources, profiles: list[Profile]) -> Iterator[Probe]:
    yield Probe("storage", "storage", "storage", partial(ask_storage, resources=resources))
    yield Probe("key-vault", "vault", "vault", partial(ask_vault, resources=resources, profiles=profiles))
    yield Probe("disk", "host", "disk", ask_disk)


def _broken(files: dict[str, ProfileFile]) -> Iterator[Check]:
    for name, file in files.items():
        if file.profile is None:
            yield Check(name, "profile", ready=False, latency_ms=0, remedy=" ".join(file.errors))


def _unscheduled(resources: Resources, profiles: list[Profile]) -> Iterator[Check]:
    if any(profile.schedule for profile in profiles):
        try:
            check_schedule(resources.settings.profiles.schedule)
        except RealignError as error:
            yield Check("schedule", "host", ready=False, latency_ms=0, remedy=str(error))


def _left_out(probe: Probe, why: str) -> Check:
    return Check(probe.name, probe.kind, ready=False, latency_ms=0, remedy=why)


def _asked_before(ends: float, probe: Probe) -> Check:
    return _asked(probe) if monotonic() < ends else _left_out(probe, _NO_TIME)


def _asked(probe: Probe) -> Check:
    walk = Walk()
    remedy = None
    try:
        probe.ask(walk)
    except RealignError as error:
        remedy = str(error)
    except (TypeError, ValueError, LookupError, AttributeError):
        log.exception("probe not understood name=%s", probe.name)
        remedy = "It sent an answer that Realign cannot read; the app's log tells where. Report it."
    return Check(probe.name, probe.kind, remedy is None, walk.latency_ms, remedy, walk.stages)
