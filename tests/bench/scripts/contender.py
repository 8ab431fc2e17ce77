"""Runs a contender in a process of its own, and counts what it asks of the simulators.

The simulators live in the process that started it; so no contender shares an interpreter with them.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sandbox.sandbox import Sandbox
from tests.bench.scripts.estate import (
    CATALOG,
    PROTECTION_DOMAIN,
    TARGET,
    TARGET_CENTRAL,
    BenchSandbox,
    drifted,
    wrong,
)

CITRIX, PRISM = "citrix", "prism/"
END_SECONDS = 30.0


@dataclass(frozen=True)
class PrismPlace:
    """Where a Prism answers, and who may read it."""

    url: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Place:
    """All that a contender is told. ``citrix_ca`` and ``prism_ca`` are files, ``environ`` the app's settings."""

    citrix: str
    citrix_ca: str
    customer_id: str
    client_id: str
    client_secret: str = field(repr=False)
    element: PrismPlace
    central: PrismPlace
    prism_ca: str
    connection: str
    catalog: str
    protection_domain: str
    environ: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, sandbox: Sandbox, folder: Path) -> Place:
        """What there is in a running sandbox. The Prisms' authority is written to ``folder``."""
        authority = folder / "prism-ca.pem"
        authority.write_text(sandbox.corporate_ca_pem, encoding="ascii")
        site, prisms = sandbox.world.site, sandbox.world.prisms
        places = {
            name: PrismPlace(sandbox.prism_urls[name], prisms[name].username, prisms[name].password)
            for name in (TARGET, TARGET_CENTRAL)
        }
        return cls(
            citrix=sandbox.citrix_url,
            citrix_ca=str(sandbox.ca_file),
            customer_id=site.customer_id,
            client_id=site.client_id,
            client_secret=site.client_secret,
            element=places[TARGET],
            central=places[TARGET_CENTRAL],
            prism_ca=str(authority),
            connection=prisms[TARGET].hosting_connection,
            catalog=CATALOG,
            protection_domain=PROTECTION_DOMAIN,
            environ=sandbox.environ,
        )


@dataclass(frozen=True)
class Lap:
    """A part of a contender's work: what it took and what it asked for. ``notes`` are what the contender says of it.

    ``calls`` are by system, method and route; ``throttled`` are those of Citrix that were answered 429.
    """

    name: str
    seconds: float
    calls: Mapping[tuple[str, str, str], int]
    throttled: int
    notes: Mapping[str, Any]

    @property
    def citrix(self) -> int:
        return sum(count for (system, _, _), count in self.calls.items() if system == CITRIX)

    @property
    def prism(self) -> int:
        return sum(count for (system, _, _), count in self.calls.items() if system.startswith(PRISM))


def outside(laps: Iterable[Lap]) -> list[str]:
    """The calls to Citrix and Prism in all of ``laps``: a line a route."""
    routes: Counter[tuple[str, str, str]] = Counter()
    for lap in laps:
        routes.update(lap.calls)
    return [
        f"{count:6d}  {system} {method} {route}"
        for (system, method, route), count in sorted(routes.items())
        if system == CITRIX or system.startswith(PRISM)
    ]


class Timekeeper:
    """What a contender tells its laps to. It goes on when its calls are counted."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def lap(self, name: str, seconds: float, **notes: Any) -> None:
        self._pipe.send((name, seconds, notes))
        self._pipe.recv()


Work = Callable[[Place, Timekeeper], None]


class ContenderFailed(AssertionError):
    """A contender did not come to its end; the message is the traceback of its process."""


def laps_of(name: str, work: Work, machines: int, latency: float) -> list[Lap]:
    """The laps of ``work`` on an estate of its own. Raises ``AssertionError`` where it left a machine wrong."""
    scenario = drifted(machines)
    if len(wrong(scenario)) != machines:
        raise AssertionError("The estate is not what the benchmark is about: a machine is right from the start.")
    with (
        tempfile.TemporaryDirectory(prefix="realign-bench-") as folder,
        # the tests judge the simulators' answers; here that would count as Citrix's and Prism's time
        BenchSandbox(scenario, latency=latency, judged=False) as sandbox,
    ):
        laps = race(work, sandbox, Place.of(sandbox, Path(folder)))
    left = wrong(scenario)
    if left:
        raise AssertionError(f"{name} left {len(left)} machines wrong, {left[0]} among them.")
    return laps


def race(work: Work, sandbox: Sandbox, place: Place) -> list[Lap]:
    """The laps of ``work``, which has to be a function of a module. Raises ``ContenderFailed``."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(work, place, theirs), daemon=True)
    process.start()
    theirs.close()
    laps = []
    try:
        seen = _counted(sandbox)
        throttled = sandbox.calls.throttled(CITRIX)
        while (said := ours.recv()) is not None:
            if isinstance(said, str):
                raise ContenderFailed(said)
            name, seconds, notes = said
            now, now_throttled = _counted(sandbox), sandbox.calls.throttled(CITRIX)
            laps.append(Lap(name, seconds, now - seen, now_throttled - throttled, notes))
            seen, throttled = now, now_throttled
            ours.send(None)
    except EOFError:
        raise ContenderFailed("Its process ended without a word.") from None
    finally:
        ours.close()
        process.join(END_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
        process.close()
    return laps


def _run(work: Work, place: Place, pipe: Connection) -> None:
    try:
        work(place, Timekeeper(pipe))
    except Exception:  # noqa: BLE001 - another process raises it
        with suppress(BrokenPipeError):
            pipe.send(traceback.format_exc())
    else:
        pipe.send(None)
    finally:
        pipe.close()


def _counted(sandbox: Sandbox) -> Counter[tuple[str, str, str]]:
    rows = sandbox.calls.as_json()
    return Counter({(str(r["system"]), str(r["method"]), str(r["route"])): int(str(r["count"])) for r in rows})
