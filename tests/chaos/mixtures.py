"""What goes wrong in a seed: a scenario, one to four faults and when each begins, and how Citrix behaves beside them.

A mixture is made so that its faults strike and the run writes all the same: a seed in which a fault never fired, or
nothing was written, fails and is not skipped.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from sandbox.scenario import Scenario

SEEDS = 200
# chosen so that every fault strikes at least once over them
SHORT = (5, 15, 18, 22, 39, 45, 60, 101, 104, 118, 140, 161)

DAAS = (
    "planned-migration", "activation-old-cluster-dead", "failback", "partial-failover", "central-v3",
    "recovery-plan-central-v4", "element-and-central", "failback-central", "cluster-split",
)  # fmt: skip
CVAD = "cvad-activation"
Listener = Literal["hcm", "azbridge"]
RELAYS: tuple[Listener | None, ...] = (None, "hcm", "azbridge")


class Moment(StrEnum):
    PLAN = "before the plan"
    APPLY = "before applying"
    MIDDLE = "in the middle of applying"
    BACK = "before rolling back"


@dataclass(frozen=True)
class Strike:
    """A fault with its value, and when it is set."""

    fault: str
    value: str | None
    moment: Moment


@dataclass(frozen=True)
class Mixture:
    """``relay`` is the kind of listener where all is behind an Azure Relay; ``batch_size``: machines of the first
    batches. The times are seconds.
    """

    seed: int
    scenario: str
    mode: str
    relay: Listener | None
    strikes: tuple[Strike, ...]
    roll_back: bool
    batch_size: int
    batch_form: str
    nested_items: int
    power_lag: float
    job_start: float
    latency: float

    @property
    def faults(self) -> tuple[str, ...]:
        return tuple(strike.fault for strike in self.strikes)


def relay_of(seed: int) -> Listener | None:
    """Each kind of listener in a third of the seeds, over all scenarios."""
    return RELAYS[seed % len(RELAYS)]


def scenario_of(seed: int) -> str:
    return CVAD if seed % 5 == 0 else DAAS[seed % len(DAAS)]


def mixture_of(seed: int, scenario: Scenario) -> Mixture:
    """The same seed always gives the same mixture."""
    drawn = random.Random(f"chaos/{seed}")
    cvad = scenario.world.site.kind == "cvad"
    form = drawn.choice(("gateway", "direct", "none")) if cvad else "gateway"
    roll_back = drawn.random() < 0.4
    relay = relay_of(seed)
    options = _options(drawn, scenario, form)
    if relay is not None:
        options |= _relay_options(drawn, scenario)
    # each seed leads with another fault, so that all of them come in any 15 seeds in a row
    lead = sorted(options)[seed % len(options)]
    others = drawn.sample([name for name in sorted(options) if name != lead], drawn.choice((0, 1, 1, 2, 2, 3)))
    return Mixture(
        seed=seed,
        scenario=scenario.name,
        mode="auto" if drawn.random() < 0.25 else "review",
        relay=relay,
        strikes=tuple(_strike(drawn, name, options[name], roll_back=roll_back) for name in (lead, *others)),
        roll_back=roll_back,
        batch_size=drawn.choice((3, 5, 50)),
        batch_form=form,
        nested_items=drawn.choice((0, 0, 2, 3)),
        power_lag=drawn.choice((0.0, 0.0, 0.3)),
        job_start=drawn.choice((0.0, 0.05, 0.3)),
        latency=drawn.choice((0.0, 0.002, 0.01)),
    )


Option = dict[Moment, Sequence[str | None]]


def _options(drawn: random.Random, scenario: Scenario, form: str) -> dict[str, Option]:
    """The values of each fault that can strike in this scenario, by the moment at which they can."""
    world = scenario.world
    alive = [prism.name for prism in world.prisms.values() if prism.up]
    prism = drawn.choice(alive)
    controllers = [name for name, up in world.site.controllers.items() if up and world.site.kind == "cvad"]
    submit = "submitBatch" if form != "none" else "updateMachine"

    def both(*values: str | None) -> Option:
        return {Moment.PLAN: values, Moment.APPLY: values}

    found: dict[str, Option] = {
        "citrix-429": {
            Moment.PLAN: ("2", "4@1"),
            Moment.APPLY: ("3", "write:2", "write:3@1"),
            Moment.MIDDLE: ("3", "2@1"),
            Moment.BACK: ("write:2", "5"),
        },
        "citrix-502": {
            Moment.PLAN: ("2", "4"),
            Moment.APPLY: ("write:1", "3"),
            Moment.MIDDLE: ("2", "4"),
            Moment.BACK: ("write:1", "3"),
        },
        "citrix-slow": {moment: ("30", "write:80", "read:50") for moment in (Moment.APPLY, Moment.BACK)}
        | {Moment.PLAN: ("50",), Moment.MIDDLE: ("50",)},
        "citrix-drop": {
            Moment.PLAN: ("read:2",),
            Moment.APPLY: (f"{submit}:1", f"{submit}:2", "read:1"),
            Moment.MIDDLE: ("read:1", "read:2"),
            Moment.BACK: (f"{submit}:1",),
        },
        "token-expiry": {
            Moment.PLAN: ("call:1",),
            Moment.APPLY: ("call:2",) if form == "none" else ("item:3", "call:2"),
            Moment.MIDDLE: ("call:1",),
            Moment.BACK: ("call:1",),
        },
        "prism-500": both(f"{prism}:2", f"{prism}:1"),
        "prism-truncated": both(f"{prism}:1", f"{prism}:2"),
        "prism-slow": both(f"{prism}:80", "40"),
        "prism-short": both(f"{prism}:1", f"{prism}:2"),
        "relay-down": dict.fromkeys((Moment.PLAN, Moment.APPLY, Moment.MIDDLE), (prism, *controllers)),
        "vault-denied": {Moment.PLAN: ("1", "2"), Moment.APPLY: ("1",), Moment.BACK: ("1",)},
        "storage-busy": {moment: ("3", "table:4", "table:2") for moment in Moment} | {Moment.APPLY: ("queue:1", "5")},
    }
    if form != "none":
        found["batch-item-fail"] = {moment: ("2", "4", "lie:3") for moment in (Moment.APPLY, Moment.BACK)}
        found["job-stuck"] = {Moment.APPLY: ("Batch", "uncancellable"), Moment.BACK: ("Batch",)}
        found["job-lost"] = {Moment.APPLY: ("Batch:1", "Batch:2"), Moment.BACK: ("Batch:1",)}
    return found


def _relay_options(drawn: random.Random, scenario: Scenario) -> dict[str, Option]:
    """What goes wrong on the way through a relay, to a Prism or to the controller that is left."""
    site, prisms = scenario.world.site, scenario.world.prisms.values()
    ends = [prism.name for prism in prisms if prism.up]
    if site.kind == "cvad":
        ends += [name for name, up in site.controllers.items() if up]
    end = drawn.choice(ends)

    def both(*values: str) -> Option:
        return {Moment.PLAN: values, Moment.APPLY: values}

    return {
        "relay-drop": both(f"{end}:1", f"{end}:2"),
        "relay-silent": both(f"{end}:1"),
        "relay-503": both(f"{end}:1", f"{end}:3"),
        "relay-rogue": both(f"{end}:redirect", f"{end}:text", f"{end}:oversized", f"{end}:bad-accept"),
        "relay-token": both(f"{end}:1"),
    }


def _strike(drawn: random.Random, fault: str, option: Option, *, roll_back: bool) -> Strike:
    moments = [moment for moment in Moment if moment in option and (roll_back or moment is not Moment.BACK)]
    # what is set for a roll back strikes only where something was written: seldom the right moment
    weights = [1 if moment is Moment.BACK else 2 for moment in moments]
    moment = drawn.choices(moments, weights)[0]
    return Strike(fault, drawn.choice(option[moment]), moment)
