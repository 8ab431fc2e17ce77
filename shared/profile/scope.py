"""Which machines a run looks at."""

from __future__ import annotations

from pydantic import Field

from shared.profile.parts import Names, Part, Text


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
