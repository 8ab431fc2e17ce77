"""The site with its hosting connections as they were called when a plan was made.

A connection that was renamed or deleted since concerns the remaps that lead to it. Without its name the cluster behind
it would say nothing at all, and then no machine could be moved by its name alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from shared.model.citrix import Hosting, HostingConnection, Site
from shared.planning.decide import NUTANIX_PLUGINS
from shared.planning.names import fold


def with_former_connections(site: Site, planned: Iterable[Hosting]) -> Site:
    """``planned`` tells the connections by id and by the name of then; a name that another one bears now is left to it.

    For a plan that is compared and never written: what stands here is not what Citrix has.
    """
    former = {fold(each.connection_id): each for each in planned if each.connection_id and each.connection}
    taken = {fold(connection.name) for connection in site.connections}
    free = {key: each for key, each in former.items() if fold(each.connection or "") not in taken}
    if not free:
        return site
    names = {key: each.connection or "" for key, each in free.items()}
    there = {fold(connection.id) for connection in site.connections}
    deleted = (
        HostingConnection(each.connection_id or "", names[key], min(NUTANIX_PLUGINS))
        for key, each in free.items()
        if key not in there
    )
    return replace(
        site,
        connections=(*(replace(c, name=names.get(fold(c.id), c.name)) for c in site.connections), *deleted),
        machines=tuple(
            replace(machine, hosting=replace(machine.hosting, connection=names[fold(machine.hosting.connection_id)]))
            if machine.hosting.connection_id and fold(machine.hosting.connection_id) in names
            else machine
            for machine in site.machines
        ),
    )
