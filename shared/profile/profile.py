"""The profile: one site, its clusters, a scope and a policy (design, section 3).

The JSON Schema that editors use, ``docs/profile.schema.json``, is generated from these models.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints, field_validator, model_validator

from shared.profile.endpoints import Cluster, CvadSite, DaasSite
from shared.profile.parts import Part
from shared.profile.policy import Policy
from shared.profile.scope import Scope
from shared.profile.webhook import Webhook

PROFILE_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,62}$")


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
