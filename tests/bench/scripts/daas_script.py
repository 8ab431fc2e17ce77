"""The request sequence of the published DaaS script, with a protection domain as its scope.

Two PATCHes a machine: first the hosting connection, then the id. It works on ``/cvadapis/{site}/...``, the preview
API, which is not simulated; the same calls in the same number go to their paths on ``/cvad/manage``, and the site goes
into a header. It reads one page of at most 1,000 machines, without ``fields``, and does nothing for a larger site.
Catalogs and zones are left out: no zone moves here.
"""

from __future__ import annotations

import time

from tests.bench.scripts.contender import Place, Timekeeper
from tests.bench.scripts.script_calls import CitrixCalls, PrismCalls, segment

NAME = "DaaS script"
MOST_MACHINES = 1_000
PRISM = "/PrismGateway/services/rest/v2.0"


def pauses(machines: int) -> float:
    """It makes none."""
    return 0.0


def run(place: Place, timekeeper: Timekeeper) -> None:
    """All of it, in one lap."""
    citrix, prism = CitrixCalls(place), PrismCalls(place.element, place.prism_ca)
    try:
        began = time.perf_counter()
        _replay(place, citrix, prism)
        timekeeper.lap(NAME, time.perf_counter() - began)
    finally:
        citrix.close()
        prism.close()


def _replay(place: Place, citrix: CitrixCalls, prism: PrismCalls) -> None:
    connection_path = f"hypervisors/{segment(place.connection)}"
    citrix.sign_in()
    citrix.me()
    connection = citrix.get(connection_path)["Name"]
    machines = citrix.get("Machines", limit=str(MOST_MACHINES))["Items"]
    prism.get(f"{PRISM}/cluster")
    uuids = {vm["name"].lower(): vm["uuid"] for vm in prism.get(f"{PRISM}/vms")["entities"]}
    domains = prism.get(f"{PRISM}/protection_domains/?names={segment(place.protection_domain)}")["entities"]
    protected = {vm["vm_name"].lower() for domain in domains if domain["active"] for vm in domain["vms"]}
    for machine in machines:
        host = machine["Name"].rpartition("\\")[2].lower()
        if host not in protected:
            continue
        hosting = machine["Hosting"]
        if hosting["HypervisorConnection"]["Name"] != connection:
            citrix.patch(machine["Id"], {"HypervisorConnection": connection})
        if hosting["HostedMachineId"] != uuids[host]:
            citrix.patch(machine["Id"], {"HostedMachineId": uuids[host]})
    citrix.post(f"{connection_path}/$resetConnection")
