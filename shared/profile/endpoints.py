"""The systems that a profile names, and how they are reached: the Citrix site, the clusters, and relays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from shared.profile.parts import Authority, HostName, Names, Origin, Part, Port, SecretName, Text


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
