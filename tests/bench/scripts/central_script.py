"""The request sequence of the published Prism Central script, with a catalog as its scope.

It signs in and asks ``/Me`` before every call to Citrix, and changes both fields with one PATCH a machine. Its pauses,
100 ms after each machine and 30 s between two resets, are left out and told apart. Generous to it: the continuation
token is encoded, Prism Central answers as fast as it asks, Citrix issues a token as often as it asks, and the ``next``
link is followed on the host that was asked, since the host that a link names is not the caller's. The zone of the
catalog does not move here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from tests.bench.scripts.contender import Place, Timekeeper
from tests.bench.scripts.script_calls import CitrixCalls, Json, PrismCalls, segment

NAME = "Prism Central script"
AFTER_A_MACHINE, BEFORE_THE_SECOND_RESET = 0.1, 30.0


def pauses(machines: int) -> float:
    """Seconds that it would sleep."""
    return machines * AFTER_A_MACHINE + BEFORE_THE_SECOND_RESET


def run(place: Place, timekeeper: Timekeeper) -> None:
    """All of it, in one lap."""
    citrix, prism = CitrixCalls(place), PrismCalls(place.central, place.prism_ca)
    try:
        began = time.perf_counter()
        _replay(place, _SigningIn(citrix), prism)
        timekeeper.lap(NAME, time.perf_counter() - began)
    finally:
        citrix.close()
        prism.close()


class _SigningIn:
    """Every call with a token and a look at the site before it."""

    def __init__(self, calls: CitrixCalls) -> None:
        self._calls = calls

    def get(self, path: str, **query: str) -> Json:
        self._sign_in()
        return self._calls.get(path, **query)

    def patch(self, machine: str, body: dict[str, str]) -> None:
        self._sign_in()
        self._calls.patch(machine, body)

    def post(self, path: str) -> None:
        self._sign_in()
        self._calls.post(path)

    def _sign_in(self) -> None:
        self._calls.sign_in()
        self._calls.me()


def _replay(place: Place, citrix: _SigningIn, prism: PrismCalls) -> None:
    connection_path = f"hypervisors/{segment(place.connection)}"
    prism.get("/api/clustermgmt/v4.0/config/clusters")
    site_id = citrix.get("Sites/cloudxdsite")["Id"]
    citrix.get(f"Sites/{site_id}")
    catalogs = citrix.get("MachineCatalogs")["Items"]
    catalog = next(each["Id"] for each in catalogs if each["Name"] == place.catalog)
    connection = citrix.get(connection_path)["Name"]
    machines = list(_machines(citrix, catalog))
    uuids = {vm["name"].lower(): vm["extId"] for vm in _vms(prism)}
    for machine in machines:
        uuid = uuids.get(machine["Name"].rpartition("\\")[2].lower())
        if uuid is not None:
            citrix.patch(machine["Id"], {"HypervisorConnection": connection, "HostedMachineId": uuid})
    citrix.post(f"{connection_path}/$resetConnection")
    citrix.post(f"{connection_path}/$resetConnection")


def _machines(citrix: _SigningIn, catalog: str) -> Iterator[Json]:
    query = {"limit": "1000"}
    while True:
        page = citrix.get(f"MachineCatalogs/{catalog}/Machines", **query)
        yield from page["Items"]
        if not page["ContinuationToken"]:
            return
        query["continuationToken"] = page["ContinuationToken"]


def _vms(prism: PrismCalls) -> Iterator[Json]:
    path: str | None = "/api/vmm/v4.0/ahv/config/vms?$limit=100"
    while path is not None:
        page = prism.get(path)
        yield from page.get("data", [])
        links = {link["rel"]: urlsplit(link["href"]) for link in page["metadata"]["links"]}
        following = links.get("next")
        path = None if following is None else f"{following.path}?{following.query}"
