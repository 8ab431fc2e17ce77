"""The profile: one site, its clusters, a scope and a policy (design, section 3).

The JSON Schema that editors use, ``docs/profile.schema.json``, is generated from these models.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from shared.model.finding import Confidence
from shared.model.run import Mode

PROFILE_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,62}$")

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000)]
HOST = re.compile(r"^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$")
HostName = Annotated[str, StringConstraints(pattern=HOST.pattern)]
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_AUTHORITY = rf"^{_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?$"


def _with_a_port(authority: str) -> str:
    port = authority.partition(":")[2]
    if port and not 1 <= int(port) <= 65_535:
        raise ValueError("write it as a host name, or as host:port with a port from 1 to 65535")
    return authority


# a host, with a port where it is not 443
Authority = Annotated[str, StringConstraints(pattern=_AUTHORITY, max_length=259), AfterValidator(_with_a_port)]
SecretName = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z-]{1,127}$")]
Names = Annotated[tuple[Text, ...], Field(min_length=1)]
Port = Annotated[int, Field(ge=1, le=65535)]


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:  # its text may quote the URL, and with it a password
        host, port, parts = "", None, urlsplit("")
    plain = parts.path in ("", "/") and not parts.query and not parts.fragment and "@" not in parts.netloc
    if parts.scheme != "https" or not HOST.fullmatch(host) or port == 0 or not plain:
        raise ValueError("write it as https://host or https://host:port, without a path")
    return f"https://{host}" if port is None else f"https://{host}:{port}"


Origin = Annotated[str, AfterValidator(_origin)]


class Part(BaseModel):
    """What every object of a profile or a request body is: camelCase, strict, closed and frozen."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, strict=True)


class RelayRoute(Part):
    """An Azure Relay hybrid connection that Realign opens itself."""

    namespace: Authority = Field(
        description="Host name of the relay namespace, such as contoso.servicebus.windows.net."
    )
    path: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._~/-]{0,259}$")] = Field(
        description="Name of the hybrid connection in the namespace."
    )
    listener: Literal["hcm", "azbridge"] = Field(
        description="What listens at the other end: hcm (Hybrid Connection Manager) or azbridge."
    )
    port_name: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")] | None = Field(
        None,
        description="The name that azbridge knows its target by; if left out, the port's number. For azbridge only.",
    )

    @model_validator(mode="after")
    def _named_for_azbridge(self) -> RelayRoute:
        if self.port_name is not None and self.listener == "hcm":
            raise ValueError("'portName' is for azbridge; remove it, or set 'listener' to azbridge")
        return self


class DeliveryController(Part):
    """A Delivery Controller of an on-premises site; its name alone will do, too."""

    host: HostName = Field(description="Host name, as in the controller's certificate.")
    port: Port | None = Field(None, description="TCP port; 443 if left out.")
    relay: RelayRoute | None = Field(None, description="The hybrid connection that leads to this controller.")

    @property
    def origin(self) -> str:
        """Where the controller answers, ``https://host`` or ``https://host:port``."""
        return f"https://{self.host}" if self.port is None else f"https://{self.host}:{self.port}"


def _bare_name(value: object) -> object:
    return {"host": value} if isinstance(value, str) else value


ControllerOrName = Annotated[
    DeliveryController, BeforeValidator(_bare_name, json_schema_input_type=HostName | DeliveryController)
]


class DaasSite(Part):
    """A Citrix DaaS customer."""

    kind: Literal["daas"] = Field(description="daas: a Citrix Cloud customer.")
    customer_id: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{1,64}$")] = Field(
        description="Citrix Cloud customer ID, as the console shows it under API access."
    )
    credential: SecretName = Field(description="Key Vault secret with the API client's ID and secret.")
    region: Literal["us", "eu", "ap-s", "jp"] | None = Field(None, description="Region of the Citrix Cloud customer.")
    base_url: Origin | None = Field(
        None, description="Replaces the region's address, for another cloud: https://host or https://host:port."
    )
    site_id: Text | None = Field(None, description="Needed only where the customer has several sites.")

    @model_validator(mode="after")
    def _reachable(self) -> DaasSite:
        if self.region is None and self.base_url is None:
            raise ValueError("needs 'region' (us, eu, ap-s or jp), or 'baseUrl' for another cloud")
        return self


class CvadSite(Part):
    """An on-premises CVAD site."""

    kind: Literal["cvad"] = Field(description="cvad: an on-premises Citrix site.")
    hosts: Annotated[tuple[ControllerOrName, ...], Field(min_length=1)] = Field(
        description="Delivery Controllers, in the order in which they are tried."
    )
    credential: SecretName = Field(description="Key Vault secret with user name and password.")
    ca: SecretName | None = Field(None, description="Key Vault secret with the CA certificates (PEM) to trust.")
    base_url: Origin | None = Field(
        None, description="Replaces the controllers' addresses: https://host or https://host:port."
    )
    site_id: Text | None = Field(None, description="Needed only where the account sees several sites.")

    @property
    def origins(self) -> tuple[str, ...]:
        """Where the controllers answer, ``https://host`` or ``https://host:port``, in their order, each once."""
        if self.base_url is not None:
            return (self.base_url,)
        return tuple(dict.fromkeys(controller.origin for controller in self.hosts))

    @property
    def relays(self) -> Mapping[str, RelayRoute]:
        """The hybrid connections by the origin that they lead to."""
        if self.base_url is not None:
            return {}
        return {each.origin: each.relay for each in self.hosts if each.relay is not None}


class Cluster(Part):
    """One Prism endpoint, paired with one hosting connection."""

    name: Annotated[str, StringConstraints(pattern=r"^[^/\x00-\x1f]{1,100}$", strip_whitespace=True)] = Field(
        description="Your name for the cluster; runs name it as target. Without a slash, and once a profile."
    )
    api: Literal["element-v2", "central-v3", "central-v4", "central"] = Field(
        description="Which Prism API answers: Prism Element v2, Prism Central v3 or v4, or whichever Central answers."
    )
    credential: SecretName = Field(description="Key Vault secret with user name and password, or a Central's API key.")
    hosting_connection: Text = Field(description="Citrix hosting connection that manages this cluster's VMs, by name.")
    host: HostName | None = Field(None, description="Host name, as in Prism's certificate.")
    port: Port = Field(9440, description="TCP port of Prism.")
    ca: SecretName | None = Field(
        None, description="Key Vault secret with the CA certificates (PEM) to trust; nothing else is trusted then."
    )
    base_url: Origin | None = Field(
        None, description="Replaces host and port: https://host or https://host:port, without a path."
    )
    relay: RelayRoute | None = Field(None, description="The hybrid connection that Realign opens to reach Prism.")
    prism_clusters: Names | None = Field(
        None, description="Narrows a Prism Central to these registered clusters, by name or UUID."
    )

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
    """A category of Prism Central."""

    key: Text = Field(description="The category's key.")
    value: Text = Field(description="The category's value.")


class Scope(Part):
    """Which machines of the site a run looks at. Every key that is there narrows."""

    machines: Names | None = Field(None, description="Machine names: host name, DOMAIN\\host or DNS name.")
    catalogs: Names | None = Field(None, description="Machine catalogs, by name; by path or id where a name repeats.")
    delivery_groups: Names | None = Field(None, description="Delivery groups, by name.")
    hosting_connections: Names | None = Field(
        None, description="Hosting connections that the machines have now, by name."
    )
    protection_domain: Text | None = Field(
        None, description="Protection domain whose VMs are meant; it must be active on an element-v2 cluster."
    )
    prism_category: PrismCategory | None = Field(None, description="VMs with this category of Prism Central.")
    exclude: tuple[Text, ...] = Field((), description="Machine names or globs (W11-LAB-*) that are never touched.")


ModeName = Literal["report", "review", "auto"]
MaxChanges = Annotated[int, Field(ge=0, le=1_000_000)]
Percent = Annotated[int, Field(ge=0, le=100)]


class DrPolicy(Part):
    """What a DR run may do without a person. What is left out is as in the policy itself."""

    mode: ModeName | None = Field(None, description="How far a DR run goes alone.")
    max_changes: MaxChanges | None = Field(None, description="Most remaps of a DR run without a person.")
    max_change_percent: Percent | None = Field(
        None, description="Most remaps of a DR run without a person, as a share of the machines in scope."
    )


class Policy(Part):
    """What a run may do without a person, and how."""

    mode: ModeName = Field(
        "review", description="How far a run goes alone: report only, wait for review, or apply what is safe (auto)."
    )
    max_changes: MaxChanges = Field(200, description="Most remaps of a run without a person.")
    max_change_percent: Percent = Field(
        25, description="Most remaps without a person, as a share of the machines in scope; counts from 20 machines up."
    )
    auto_confidence: Literal["proven", "strong", "weak"] = Field(
        "strong", description="Mode auto applies remaps of at least this confidence."
    )
    plan_max_age_hours: Annotated[int, Field(ge=1, le=720)] = Field(
        24, description="A plan older than this cannot be approved. Hours."
    )
    dr: DrPolicy = Field(DrPolicy(), description="What a DR run (one with a target) may do without a person.")
    hold_hours: Annotated[int, Field(ge=0, le=720)] = Field(
        24, description="How long a DR run puts the profile's schedule on hold. Hours; 0: not at all."
    )
    four_eyes: bool = Field(False, description="Whoever started a run may not approve or resolve in it.")
    reset_hosting_connection: bool = Field(
        True, description="Reset the hosting connections that machines moved to, so that Citrix sees power states."
    )
    reset_again_after_seconds: Annotated[int, Field(ge=0, le=3_600)] = Field(
        30, description="Reset them a second time after this many seconds; 0: only once."
    )
    switch_catalog_zone: bool = Field(
        False, description="Move a catalog to the new connection's zone once all its machines are there."
    )
    bypass_hypervisor_type_check: bool = Field(
        False, description="Accept hosting connections whose plug-in is not one of Nutanix's."
    )

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


def _webhook_address(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        plain = parts.port != 0 and not parts.query and not parts.fragment and "@" not in parts.netloc
    except ValueError:  # its text may quote the URL
        host, plain, parts = "", False, urlsplit("")
    if parts.scheme != "https" or not HOST.fullmatch(host) or not plain:
        raise ValueError(
            "write it as https://host/path, without '?': an address with a key in it belongs in the secret's 'url'"
        )
    return url


WebhookAddress = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,1000}$"), AfterValidator(_webhook_address)]
NoticeName = Literal["awaiting-review", "completed", "completed-with-errors", "failed", "drift"]


class Webhook(Part):
    """Who is told when a run comes to rest, and of drift that the schedule finds."""

    url: WebhookAddress | None = Field(
        None, description="Where messages are posted, https://host/path; left out where the secret has the address."
    )
    credential: SecretName = Field(description="Key Vault secret with the key that signs messages, and maybe the url.")
    ca: SecretName | None = Field(
        None, description="Key Vault secret with the CA certificates to trust there, and nothing else."
    )
    on: Annotated[tuple[NoticeName, ...], Field(min_length=1)] = Field(
        ("awaiting-review", "completed", "completed-with-errors", "failed", "drift"), description="What is told."
    )


class Profile(Part):
    """The unit that is scheduled, locked and reported."""

    model_config = ConfigDict(title="Realign profile")

    schema_: Annotated[str | None, Field(alias="$schema", description="For editors; ignored.")] = None
    name: Annotated[str, StringConstraints(pattern=PROFILE_NAME.pattern)] = Field(
        description="Name of the profile, in addresses and reports: lower-case letters, digits and '-', at most 63."
    )
    site: Annotated[DaasSite | CvadSite, Field(discriminator="kind")] = Field(description="The one Citrix site.")
    clusters: Annotated[tuple[Cluster, ...], Field(min_length=1)] = Field(
        description="The Prism endpoints. Where several show a VM, the first one's connection is right."
    )
    scope: Scope = Field(Scope(), description="Which machines of the site a run looks at; all of them if left out.")
    policy: Policy = Field(Policy(), description="What a run may do without a person.")
    schedule: bool = Field(False, description="Run at the times of the app setting REALIGN_SCHEDULE.")
    notify: Webhook | None = Field(None, description="The webhook that is told of runs; nobody is if left out.")

    @field_validator("clusters", mode="after")
    @classmethod
    def _named_once(cls, clusters: tuple[Cluster, ...]) -> tuple[Cluster, ...]:
        first: dict[str, int] = {}
        for index, cluster in enumerate(clusters):
            same = first.setdefault(cluster.name.casefold(), index)
            if same != index:
                raise ValueError(f"entries [{same}] and [{index}] have the same name; give each its own")
        return clusters

    @model_validator(mode="after")
    def _consistent(self) -> Profile:
        if self.scope.protection_domain and all(cluster.api != "element-v2" for cluster in self.clusters):
            raise ValueError(
                "scope.protectionDomain: no cluster has api 'element-v2', which alone knows them. Add one, or remove it"
            )
        return self

    def cluster(self, name: str) -> Cluster | None:
        """The cluster of that name, ignoring case."""
        return next((cluster for cluster in self.clusters if cluster.name.casefold() == name.casefold()), None)


def json_schema() -> str:
    """The JSON Schema of a profile file, as ``docs/profile.schema.json`` holds it."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Profile.model_json_schema()}
    return json.dumps(_without_made_up_titles(schema), indent=2) + "\n"


def _without_made_up_titles(schema: Any) -> Any:
    """Pydantic titles each property after its name ("Hostingconnection"), which an editor would show instead of it."""
    for part in (schema, *schema["$defs"].values()):
        for described in part["properties"].values():
            described.pop("title", None)
    return schema
