"""The site with its hosting connections as they were called when a plan was made."""

from __future__ import annotations

import pytest

from shared.model.citrix import Hosting, HostingConnection, Machine, MachineId, Site
from shared.model.nutanix import VmUuid
from shared.planning.former import with_former_connections

PARIS = HostingConnection("id-1", "Paris", "AcropolisFactory", zone="West")
AMSTERDAM = HostingConnection("id-2", "Amsterdam", "AcropolisFactory", in_maintenance=True)
VM = VmUuid("11111111-1111-1111-1111-111111111111")


def site(*connections: HostingConnection, at: Hosting | None = None) -> Site:
    machine = Machine(MachineId("m"), "CORP\\M", None, at or Hosting("Paris", VM, "id-1"))
    return Site("s", "Site", (machine,), connections)


def names(found: Site) -> dict[str, str]:
    return {connection.id: connection.name for connection in found.connections}


def test_a_renamed_connection_has_its_former_name_also_where_machines_stand() -> None:
    now = site(PARIS, AMSTERDAM)
    found = with_former_connections(now, [Hosting("Lutetia", VM, "ID-1"), Hosting("Amsterdam", VM, "id-2")])
    assert names(found) == {"id-1": "Lutetia", "id-2": "Amsterdam"}
    assert found.machines[0].hosting == Hosting("Lutetia", VM, "id-1")
    assert (found.connections[0].zone, found.connections[1]) == ("West", AMSTERDAM)


def test_a_deleted_connection_is_there_again() -> None:
    found = with_former_connections(site(PARIS), [Hosting("Amsterdam", VM, "id-2")])
    assert names(found) == {"id-1": "Paris", "id-2": "Amsterdam"}


@pytest.mark.parametrize(
    "planned",
    [
        pytest.param(Hosting("Paris", VM, "id-1"), id="as-it-was"),
        pytest.param(Hosting("paris", VM, "id-1"), id="in-another-case"),
        pytest.param(Hosting("Paris", VM, "id-9"), id="another-one-bears-the-name-of-a-deleted-one"),
        pytest.param(Hosting("Paris", VM, "id-2"), id="another-one-bears-the-name-of-a-renamed-one"),
        pytest.param(Hosting("Amsterdam", VM), id="no-id-is-known"),
        pytest.param(Hosting(None, VM, "id-9"), id="no-name-was-known"),
    ],
)
def test_otherwise_the_site_stays_as_it_is(planned: Hosting) -> None:
    now = site(PARIS, HostingConnection("id-2", "Rotterdam", "AcropolisFactory"))
    assert with_former_connections(now, [planned]) is now
