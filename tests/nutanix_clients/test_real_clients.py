"""Nutanix's own clients against the simulated Prism Central v4: they see what Realign's client sees.

Each pair of clients runs in an environment of its own, which ``make test`` sets up: they pin an older urllib3.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.azurite import Azurite
from sandbox.sandbox import Sandbox
from sandbox.scenario import Scenario
from sandbox.world import NutanixCluster, Prism, SimConnection, SimVm, World, cluster_uuid, stable_uuid
from sandbox.world_builder import empty_site
from shared.model.nutanix import ClusterReading, PowerState, Vm
from shared.runs.clients.keyring import Keyring, secret_names
from shared.runs.reading.cluster_reads import Wanted
from shared.runs.reading.gather import gather
from shared.runs.resources import Resources

pytestmark = pytest.mark.timeout(180)

FOLDER = Path(__file__).parent
NAME = "real-clients"
VMS = 130  # three pages of 50, and two of the 100 that Realign asks for
PAGE = 50
POWER = {"ON": PowerState.ON, "OFF": PowerState.OFF}

Seen = dict[str, Any]


def world(minor: int, *, api_key: bool) -> Scenario:
    """Two clusters behind one Prism Central that serves v4.``minor``, with VMs that have all there is to read."""
    site = empty_site(NAME)
    clusters = [NutanixCluster(cluster_uuid(NAME, name), name) for name in ("AMS-CL01", "PAR-CL01")]
    clusters[1].available = False
    source = ""
    for number in range(VMS):
        cluster = clusters[number % 2]
        vm = SimVm(stable_uuid(NAME, number), f"W11-{number:03d}", power="off" if number % 7 == 0 else "on")
        vm.agent, vm.migrating = number == 5, number == 6
        vm.categories = {"AppType": "Citrix"} if number % 3 == 0 else {}
        vm.parent_uuid = source if number == 9 else None
        vm.bios_uuid = source if number == 9 else None
        source = cluster.add(vm).uuid
    clusters[0].add(SimVm(stable_uuid(NAME, "quote"), "O'Neill's desktop"))
    connection = SimConnection(
        stable_uuid(NAME, "connection"), 1, "AHV", "AcropolisPCFactory", stable_uuid(NAME, "zone"), "Primary", "pc"
    )
    site.connections[connection.id] = connection
    prism = Prism("pc", "central-v4", connection.name, clusters, password=stable_uuid(NAME, "password"))
    prism.api_key = stable_uuid(NAME, "key") if api_key else None
    prism.minors = dict.fromkeys(prism.minors, minor)
    return Scenario(NAME, "a Prism Central for real clients", World({"pc": prism}, site), {"name": NAME}, {})


@pytest.fixture(scope="module")
def azurite() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running


@pytest.fixture(scope="module", params=[("4.0", 0, False), ("4.3", 2, False), ("4.3", 3, True)], ids=str)
def both(
    request: pytest.FixtureRequest, azurite: Azurite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Seen, ClusterReading, Sandbox]]:
    """What the real clients saw, and what Realign's client read, of the same Prism Central."""
    version, minor, api_key = request.param
    with Sandbox(world(minor, api_key=api_key), azurite=azurite) as sandbox:
        seen = ask_real_clients(version, sandbox, tmp_path_factory.mktemp("clients"))
        with pytest.MonkeyPatch.context() as patch:
            for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):  # msal reads these itself
                patch.setenv(name, sandbox.environ[name])
            yield seen, realigns(sandbox), sandbox


def ask_real_clients(version: str, sandbox: Sandbox, folder: Path) -> Seen:
    python = FOLDER / f".venv-{version}" / "bin" / "python"
    if not python.exists():
        pytest.fail(f"Nutanix's clients {version} are not set up. Run the tests with: make test")
    prism = sandbox.world.prisms["pc"]
    ca = folder / "ca.pem"
    ca.write_text(sandbox.corporate_ca_pem)
    asked = {"host": "127.0.0.1", "port": sandbox.relays["pc"].port, "ca": str(ca), "pageSize": PAGE, "name": "W11-007"}
    asked |= {"apiKey": prism.api_key} if prism.api_key else {"username": prism.username, "password": prism.password}
    done = subprocess.run(
        [python, FOLDER / "read_prism.py"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: Seen = json.loads(done.stdout)
    return found


def realigns(sandbox: Sandbox) -> ClusterReading:
    resources = Resources(sandbox.environ)
    try:
        since = datetime.now(UTC) - timedelta(hours=72)
        profile = resources.profile(NAME)
        keyring = Keyring(resources.vault, secret_names(profile))
        (reading,) = gather(resources, profile, keyring, Wanted(since), lambda done, total: None).readings
    finally:
        resources.close()
    assert reading.error is None
    return reading


def told(vm: Vm) -> Seen:
    """A VM of Realign's in the words of the real client."""
    return {
        "uuid": vm.uuid,
        "name": vm.name,
        "power": vm.power,
        "cluster": vm.cluster_uuid,
        "bios": vm.bios_uuid,
        "source": vm.parent_uuid,
        "created": vm.created.isoformat() if vm.created else None,
        "agent": vm.agent,
        "moving": vm.in_flux,
        "addresses": sorted(set(vm.addresses)),
        "macs": sorted(vm.macs),
        "categories": len(vm.categories),
    }


def as_realign(vm: Seen) -> Seen:
    addresses = sorted(set(vm["addresses"]))
    return vm | {
        "addresses": addresses,
        "power": POWER.get(vm["power"], PowerState.OTHER),
        "categories": len(vm["categories"]),
    }


def test_the_real_clients_page_through_every_vm_and_see_what_realign_sees(
    both: tuple[Seen, ClusterReading, Sandbox],
) -> None:
    seen, reading, _ = both
    assert len(seen["vms"]) == VMS + 1
    answering = {vm["uuid"]: as_realign(vm) for vm in seen["vms"] if vm["cluster"] == reading.registered[0].uuid}
    assert {vm.uuid: told(vm) for vm in reading.vms} == answering, "the unavailable cluster's VMs are not read"
    assert any(vm["source"] for vm in seen["vms"])
    assert any(vm["categories"] for vm in seen["vms"])
    assert any(vm["moving"] for vm in seen["vms"])


def test_the_real_clients_see_the_clusters_that_realign_sees(both: tuple[Seen, ClusterReading, Sandbox]) -> None:
    seen, reading, _ = both
    nutanix = [cluster for cluster in seen["clusters"] if cluster["functions"] == ["AOS"]]
    assert {(c["uuid"], c["name"], c["available"]) for c in nutanix} == {
        (cluster.uuid, cluster.name, cluster.available) for cluster in reading.registered
    }
    assert len(seen["clusters"]) == len(nutanix) + 1, "Prism Central lists itself"


def test_the_real_clients_filter_by_name(both: tuple[Seen, ClusterReading, Sandbox]) -> None:
    seen, _, _ = both
    assert [vm["name"] for vm in seen["named"]] == ["W11-007"]
    assert [vm["name"] for vm in seen["quoted"]] == ["O'Neill's desktop"]
    assert seen["nobody"] == []


def test_the_real_clients_read_one_vm_and_understand_refusals(both: tuple[Seen, ClusterReading, Sandbox]) -> None:
    seen, _, sandbox = both
    assert seen["single"] == seen["vms"][0]
    assert seen["missing"]["status"] == 404
    assert "VM_NOT_FOUND" in seen["missing"]["body"]
    assert seen["tooMany"]["status"] == 400
    assert sandbox.defects.found == []
