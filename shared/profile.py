"""The profile: one site, its clusters, a scope and a policy (design, section 3).

The JSON Schema that editors use, ``docs/profile.schema.json``, is generated from these models.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic.alias_generators import to_camel

from shared.model import Confidence, Mode

PROFILE_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,62}$")

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000)]
HostName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$")]
SecretName = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z-]{1,127}$")]
Names = Annotated[tuple[Text, ...], Field(min_length=1)]
Port = Annotated[int, Field(ge=1, le=65535)]


def _origin(url: str) -> str:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    plain = parts.path in ("", "/") and not parts.query and not parts.fragment and "@" not in parts.netloc
    if parts.scheme != "https" or not parts.hostname or port == -1 or not plain:
        raise ValueError("write it as https://host or https://host:port, without a path")
    return f"https://{parts.netloc}"


Origin = Annotated[str, AfterValidator(_origin)]


class Part(BaseModel):
    """What every object of a profile or a request body is: camelCase, strict, closed and frozen."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, strict=True)


class RelayRoute(Part):
    """An Azure Relay hybrid connection that Realign opens itself."""

    namespace: HostName
    path: Text
    listener: Literal["hcm", "azbridge"]
    port_name: Text | None = None


class DeliveryController(Part):
    host: HostName
    port: Port | None = None
    relay: RelayRoute | None = None


def _bare_name(value: object) -> object:
    return {"host": value} if isinstance(value, str) else value


ControllerOrName = Annotated[
    DeliveryController, BeforeValidator(_bare_name, json_schema_input_type=HostName | DeliveryController)
]


class DaasSite(Part):
    """A Citrix DaaS customer. ``siteId`` is needed only where the customer has several sites."""

    kind: Literal["daas"]
    customer_id: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{1,64}$")]
    credential: SecretName
    region: Literal["us", "eu", "ap-s", "jp"] | None = None
    base_url: Origin | None = None
    site_id: Text | None = None

    @model_validator(mode="after")
    def _reachable(self) -> DaasSite:
        if self.region is None and self.base_url is None:
            raise ValueError("needs 'region' (us, eu, ap-s or jp), or 'baseUrl' for another cloud")
        return self


class CvadSite(Part):
    """An on-premises CVAD site."""

    kind: Literal["cvad"]
    hosts: Annotated[tuple[ControllerOrName, ...], Field(min_length=1)]
    credential: SecretName
    ca: SecretName | None = None
    base_url: Origin | None = None


class Cluster(Part):
    """One Prism endpoint, paired with one hosting connection."""

    name: Annotated[str, StringConstraints(pattern=r"^[^/\x00-\x1f]{1,100}$", strip_whitespace=True)]
    api: Literal["element-v2", "central-v3", "central-v4", "central"]
    credential: SecretName
    hosting_connection: Text
    host: HostName | None = None
    port: Port = 9440
    ca: SecretName | None = None
    base_url: Origin | None = None
    relay: RelayRoute | None = None
    prism_clusters: Names | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Cluster:
        if self.host is None and self.base_url is None:
            raise ValueError("needs 'host', the name in Prism's certificate")
        if self.prism_clusters is not None and self.api == "element-v2":
            raise ValueError("'prismClusters' narrows a Prism Central; remove it here, an Element has one cluster")
        return self

    @property
    def url(self) -> str:
        """Where Prism answers, ``https://host:port``."""
        return self.base_url or f"https://{self.host}:{self.port}"


class PrismCategory(Part):
    key: Text
    value: Text


class Scope(Part):
    """Which machines of the site a run looks at. Every key that is there narrows."""

    machines: Names | None = None
    catalogs: Names | None = None
    delivery_groups: Names | None = None
    hosting_connections: Names | None = None
    protection_domain: Text | None = None
    prism_category: PrismCategory | None = None
    exclude: tuple[Text, ...] = ()


ModeName = Literal["report", "review", "auto"]
MaxChanges = Annotated[int, Field(ge=0, le=1_000_000)]
Percent = Annotated[int, Field(ge=0, le=100)]


class DrPolicy(Part):
    """What a DR run may do without a person. What is left out is as in the policy itself."""

    mode: ModeName | None = None
    max_changes: MaxChanges | None = None
    max_change_percent: Percent | None = None


class Policy(Part):
    mode: ModeName = "review"
    max_changes: MaxChanges = 200
    max_change_percent: Percent = 25
    auto_confidence: Literal["proven", "strong", "weak"] = "strong"
    plan_max_age_hours: Annotated[int, Field(ge=1, le=720)] = 24
    dr: DrPolicy = DrPolicy()
    hold_hours: Annotated[int, Field(ge=0, le=720)] = 24
    four_eyes: bool = False
    reset_hosting_connection: bool = True
    reset_again_after_seconds: Annotated[int, Field(ge=0, le=3_600)] = 30
    switch_catalog_zone: bool = False
    bypass_hypervisor_type_check: bool = False

    def mode_for(self, *, dr: bool) -> Mode:
        """The mode of a run that names none."""
        return Mode(self.dr.mode or self.mode) if dr else Mode(self.mode)

    def max_changes_for(self, *, dr: bool) -> int:
        return self.dr.max_changes if dr and self.dr.max_changes is not None else self.max_changes

    def max_change_percent_for(self, *, dr: bool) -> int:
        return self.dr.max_change_percent if dr and self.dr.max_change_percent is not None else self.max_change_percent

    @property
    def least_confidence(self) -> Confidence:
        """What mode ``auto`` applies alone."""
        return Confidence(self.auto_confidence)


class Profile(Part):
    """The unit that is scheduled, locked and reported."""

    model_config = ConfigDict(title="Realign profile")

    schema_: Annotated[str | None, Field(alias="$schema", description="for editors; ignored")] = None
    name: Annotated[str, StringConstraints(pattern=PROFILE_NAME.pattern)]
    site: Annotated[DaasSite | CvadSite, Field(discriminator="kind")]
    clusters: Annotated[tuple[Cluster, ...], Field(min_length=1)]
    scope: Scope = Scope()
    policy: Policy = Policy()
    schedule: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Profile:
        names = [cluster.name.casefold() for cluster in self.clusters]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"clusters: the name {', '.join(twice)} stands more than once; give each its own")
        if self.scope.protection_domain and all(cluster.api != "element-v2" for cluster in self.clusters):
            raise ValueError("scope.protectionDomain: needs a cluster with api 'element-v2', which knows them")
        return self

    def cluster(self, name: str) -> Cluster | None:
        """The cluster of that name, ignoring case."""
        return next((cluster for cluster in self.clusters if cluster.name.casefold() == name.casefold()), None)


def json_schema() -> str:
    """The JSON Schema of a profile file, as ``docs/profile.schema.json`` holds it."""
    return json.dumps(Profile.model_json_schema(), indent=2) + "\n"
