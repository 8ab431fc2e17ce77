"""What the API answers, as types: mypy holds ``functions.shapes`` to them, and the OpenAPI document is made of them.

More members may come in a later version; these stay.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from shared.model.finding import Confidence, FindingKind
from shared.model.nutanix import PowerState, ReadStatus
from shared.model.run import Mode, RemapState, RunStatus

if TYPE_CHECKING:
    ProfileDocument = dict[str, Any]
else:
    from shared.profile.profile import Profile as ProfileDocument


def _one_of(choices: type[StrEnum]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": [choice.value for choice in choices]})


Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Path = Annotated[str, WithJsonSchema({"type": "string", "format": "uri-reference"})]
Percent = Annotated[int, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=0)]


class Limits(TypedDict):
    """The most remaps that the run makes without a person, as a number and as a share of the machines in scope."""

    maxChanges: Count
    maxChangePercent: Percent


class Guard(TypedDict):
    """Why the run waits for a person in every mode."""

    name: str
    explanation: str


class Counts(TypedDict):
    """``findings`` by kind, ``states`` of the remaps."""

    findings: dict[str, int]
    states: dict[str, int]
    outOfScope: Annotated[Count, Field(description="Machines of the site that the scope leaves out.")]
    unmatched: Annotated[Count, Field(description="Names of the scope that match nothing.")]


class ClusterRead(TypedDict):
    """How the read of one cluster of the profile ended."""

    name: str
    api: str
    status: Annotated[str, _one_of(ReadStatus)]
    vms: Count
    error: str | None


class Step(TypedDict):
    """One recorded step of the run."""

    name: str
    status: Annotated[str, Field(description="running, waiting, done, failed or warning.")]
    at: Time
    detail: str


class Links(TypedDict):
    """Where the rest of the run is. A holder of the function key gets ``self`` alone."""

    self: Path
    remaps: NotRequired[Path]
    csv: NotRequired[Path]
    events: NotRequired[Path]
    report: NotRequired[Path]


class Run(TypedDict):
    """One execution of a profile."""

    id: str
    profile: str
    siteId: Annotated[str | None, Field(description="The Citrix site that was planned for.")]
    mode: Annotated[str, _one_of(Mode)]
    status: Annotated[str, _one_of(RunStatus)]
    trigger: Annotated[str, Field(description="http, hook or schedule.")]
    requestedBy: str
    approvedBy: Annotated[str | None, Field(description="Who approved last; realign: the run's mode did.")]
    cancelledBy: str | None
    reason: str | None
    target: Annotated[str | None, Field(description="Set for a DR run: where the machines now live.")]
    settleSeconds: Count
    incidentStart: Time | None
    limits: Limits
    createdAt: Time
    startedAt: Time | None
    plannedAt: Time | None
    endedAt: Time | None
    notBefore: Annotated[Time | None, Field(description="The run waits for a delayed message until then.")]
    progress: Percent
    attempts: Count
    fingerprint: Annotated[str | None, Field(description="Of the plan as it is now; an approval names it.")]
    guards: list[Guard]
    counts: Counts
    clusters: list[ClusterRead]
    steps: list[Step]
    error: str | None
    links: Links
    unmatched: NotRequired[
        Annotated[
            dict[str, list[str]],
            Field(description="Names that match nothing by scope key, at most 1,000 a key; of one run alone."),
        ]
    ]


class Runs(TypedDict):
    """A page of runs, newest first."""

    items: list[Run]
    cursor: str | None


class Machine(TypedDict):
    id: str
    name: str
    dnsName: str | None
    catalog: str | None
    deliveryGroup: str | None


class Evidence(TypedDict):
    """A fact that the finding rests on."""

    kind: str
    source: str
    detail: str


class CandidateVm(TypedDict):
    """A VM that could be the machine's."""

    cluster: str
    uuid: str
    name: str
    powerState: Annotated[str, _one_of(PowerState)]


class Hosting(TypedDict):
    """Under which hosting connection Citrix has a machine, and as which VM."""

    hostingConnection: str | None
    hostedMachineId: str | None


# "from" is a word of the language
Finding = TypedDict(
    "Finding",
    {
        "machine": Machine,
        "finding": Annotated[str, _one_of(FindingKind)],
        "reason": Annotated[str, Field(description="A stable code.")],
        "explanation": Annotated[str, Field(description="The reason as a sentence.")],
        "confidence": Annotated[str, _one_of(Confidence)] | None,
        "evidence": list[Evidence],
        "candidates": list[CandidateVm],
        "from": Annotated[Hosting, Field(description="What Citrix has.")],
        "to": Annotated[Hosting | None, Field(description="What it is to have; null where the finding is no remap.")],
        "state": Annotated[str, _one_of(RemapState)] | None,
        "error": str | None,
    },
)


class Findings(TypedDict):
    """A page of findings, in the order of the machines' ids."""

    items: list[Finding]
    cursor: str | None


class Event(TypedDict):
    """Who did what, when."""

    at: Time
    actor: Annotated[str, Field(description="The principal's name; realign: the service itself.")]
    action: str
    detail: str
    machine: NotRequired[Annotated[str, Field(description="The id of the machine that it is about.")]]


class Events(TypedDict):
    """A page of events, oldest first."""

    items: list[Event]
    cursor: str | None


class Hold(TypedDict):
    """Until when the schedule starts nothing, and why."""

    until: Time
    by: str
    at: Time
    reason: str | None


class HeldProfile(TypedDict):
    profile: str
    hold: Hold | None


class ProfileFile(TypedDict):
    """A file of the profiles folder; ``profile`` is null where it has errors. It names secrets and holds none."""

    name: str
    file: str
    valid: bool
    errors: Annotated[list[str], Field(description="Each names file, field and remedy.")]
    schedule: bool | None
    hold: Hold | None
    profile: ProfileDocument | None


class ProfileFiles(TypedDict):
    items: list[ProfileFile]
    cursor: None


class HealthStage(TypedDict):
    """A part of the way to a dependency, such as name, tcp, tls, hop, sign-in or rights."""

    name: str
    state: Literal["passed", "failed"]
    latencyMs: Count
    detail: str | None


class HealthCheck(TypedDict):
    """One dependency; ``remedy`` says what to do where it is not ready. ``stages`` end with the one that failed."""

    name: str
    kind: Annotated[str, Field(description="host, storage, vault, profiles, profile, site, cluster, relay or webhook.")]
    state: Literal["ready", "failed"]
    latencyMs: Count
    remedy: str | None
    stages: list[HealthStage]


class Health(TypedDict):
    status: Annotated[str, Field(description="ready, degraded or unavailable: then storage or the vault fails.")]
    checks: list[HealthCheck]


class Live(TypedDict):
    status: Literal["live"]


class Me(TypedDict):
    """Who asks. ``roles`` has the lower ones too: a higher role includes them."""

    name: str
    roles: list[Literal["Realign.Reader", "Realign.Operator", "Realign.Approver"]]


class Problem(TypedDict):
    """An error (RFC 9457). ``code`` is stable; what stands below ``traceId`` comes with some codes alone."""

    type: Annotated[str, Field(description="urn:realign: and the code.")]
    title: str
    status: int
    detail: Annotated[str, Field(description="A sentence: what happened, and what to do.")]
    code: str
    traceId: Annotated[str, Field(description="Stands in the app's log beside the same sentence.")]
    field: NotRequired[Annotated[str, Field(description="invalid-request: the part that is wrong.")]]
    errors: NotRequired[Annotated[list[str], Field(description="profile-invalid: one sentence each.")]]
    runId: NotRequired[Annotated[str, Field(description="profile-busy: the run that is at work.")]]
    fingerprint: NotRequired[Annotated[str, Field(description="plan-changed: that of the plan as it is now.")]]
    machines: NotRequired[Annotated[list[str], Field(description="remap-not-open: the ids, of many the first ten.")]]
