"""Reading one Citrix site: who it is, its machines, catalogs, delivery groups and hosting connections."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from dataclasses import dataclass, replace
from itertools import chain, takewhile
from threading import Event
from typing import Any, TypeVar

import requests

from shared.citrix.endpoint import Endpoint, Token
from shared.citrix.records import BadRecord, connection_from, folder_from, machine_from, power_state_from
from shared.citrix.wording import ON_PREMISES_CUSTOMER
from shared.errors import CitrixError
from shared.http import Deadline, Limits
from shared.model.citrix import Folder, HostingConnection, Machine, MachineId, Site
from shared.telemetry.threads import Threads

PAGE = 1000  # the most that Citrix answers; its default is 250
READ_SECONDS = 540.0  # below the ten minutes that a step may work at a time
MACHINE_FIELDS = "Id,Name,DnsName,ProvisioningType,Hosting,MachineCatalog,DeliveryGroup"
CATALOG_FIELDS = "Id,Name,FullName,AdminFolder,Zone,ProvisioningType"
POWER_FIELDS = "Id,PowerState"
GROUP_FIELDS = "Id,Name,FullName,AdminFolder"

log = logging.getLogger(__name__)

T = TypeVar("T")


def read_limits() -> Limits:
    """The limits of a whole read."""
    # Citrix names no rate limit and promises no Retry-After; its own SDK waits 15 s and more.
    return Limits(Deadline.after(READ_SECONDS), attempts=7, backoff=1.0)


@dataclass(frozen=True, slots=True)
class SiteIdentity:
    """A site as ``/Me`` names it. ``id`` never changes and goes into the header of every other call."""

    id: str
    name: str


class CitrixSite:
    """One site. ``base_url`` is its origin without a path; ``site_id`` chooses where a customer has several sites.

    Every method raises ``CitrixError``. Iterators read a page at a time. ``limits`` is asked at the start of each
    method. ``known``: what an earlier client found out about the site, so that this one need not ask; ``learned`` is
    told whenever this one did. Safe to use from several threads.
    """

    def __init__(
        self,
        session: requests.Session,
        base_url: str,
        customer_id: str,
        token: Token,
        site_id: str | None = None,
        *,
        limits: Callable[[], Limits] = read_limits,
        known: SiteIdentity | None = None,
        learned: Callable[[SiteIdentity], None] = lambda identity: None,
    ) -> None:
        self.endpoint = Endpoint(session, base_url, customer_id, token)
        self._chosen = site_id
        self._identity = known
        self._learned = learned
        self._limits = limits

    def discover(self) -> SiteIdentity:
        """Ask ``/Me`` which site this is. The other methods do it themselves where nobody did before."""
        return self._discovered(self._limits())

    def identity(self) -> SiteIdentity:
        """Which site this is; asked for once."""
        return self._identity or self.discover()

    def probe(self, limits: Limits) -> None:
        """Sign in and ask which site this is, both within ``limits``: whether this host can be used at all."""
        self.endpoint.token.ready(limits)
        self._discovered(limits)

    def _discovered(self, limits: Limits) -> SiteIdentity:
        body = self.endpoint.get("/Me", limits, site_id=None)
        customers = _objects(body.get("Customers"))
        if len(customers) > 1:
            wanted = self.endpoint.customer_id.lower()
            customers = [customer for customer in customers if str(customer.get("Id")).lower() == wanted]
        sites = _objects(customers[0].get("Sites")) if customers else []
        if self._chosen is not None:
            sites = [site for site in sites if str(site.get("Id")).lower() == self._chosen.lower()]
        if len(sites) != 1 or not sites[0].get("Id"):
            raise self._no_single_site(sites)
        site = str(sites[0]["Id"])
        identity = SiteIdentity(site, str(sites[0].get("Name") or site))
        self._identity = identity
        self._learned(identity)
        return identity

    def machines(self) -> Iterator[Machine]:
        """The machine records of the whole site, each once."""
        found = self._items("/Machines", MACHINE_FIELDS, machine_from, vital="Hosting")
        return _distinct(found, lambda machine: machine.id)

    def sample(self) -> None:
        """Read one machine, catalog and delivery group at most: that the account may."""
        for path in ("/Machines", "/MachineCatalogs", "/DeliveryGroups"):
            self.endpoint.get(path, self._limits(), site_id=self._site_id(), params={"limit": 1})

    def catalogs(self) -> Iterator[Folder]:
        """The machine catalogs of the whole site, each once."""
        return _distinct(self._items("/MachineCatalogs", CATALOG_FIELDS, folder_from), lambda catalog: catalog.id)

    def delivery_groups(self) -> Iterator[Folder]:
        """The delivery groups of the whole site, each once."""
        return _distinct(self._items("/DeliveryGroups", GROUP_FIELDS, folder_from), lambda group: group.id)

    def hosting_connections(self) -> tuple[HostingConnection, ...]:
        """The hosting connections of the site. This list has no pages (contract ``citrix.md``, section 7.1)."""
        body = self.endpoint.get("/hypervisors", self._limits(), site_id=self._site_id())
        return tuple(self._records("/hypervisors", body, connection_from))

    def power_states(self) -> Iterator[tuple[MachineId, str]]:
        """Every machine of the site with its power state, in Citrix's words (contract ``citrix.md``, section 4.5)."""
        found = self._items("/Machines", POWER_FIELDS, power_state_from, vital="PowerState")
        return _distinct(found, lambda pair: pair[0])

    def _site_id(self) -> str:
        return self.identity().id

    def _items(
        self, path: str, fields: str, read: Callable[[dict[str, Any]], T], vital: str | None = None
    ) -> Iterator[T]:
        """All items of a paged list. ``vital``: a property without which the items would tell something wrong."""
        limits, site_id = self._limits(), self._site_id()
        params: dict[str, str | int] = {"limit": PAGE, "fields": fields}
        pages = self.endpoint.pages(path, limits, site_id=site_id, params=params)
        as_asked = True
        try:
            first = next(pages)
        except CitrixError as error:
            if not self.too_old_for_parameters(error):
                raise
            log.info("older site takes no fields path=%s status=%s", path, error.http_status)
            pages = self.endpoint.pages(path, limits, site_id=site_id, params={"limit": PAGE})
            first, as_asked = next(pages), False
        for body in chain((first,), pages):
            if not as_asked:
                self._check_vital(path, body, vital)
            yield from self._records(path, body, read)

    def too_old_for_parameters(self, error: CitrixError) -> bool:
        """Older controllers may refuse newer parameters (contract ``citrix.md``, section 10)."""
        return self.endpoint.customer_id == ON_PREMISES_CUSTOMER and error.http_status in (400, 404)

    def _check_vital(self, path: str, body: dict[str, Any], vital: str | None) -> None:
        """A machine without ``Hosting`` reads as one that is not power-managed: a default set must not pass for it."""
        items = _objects(body.get("Items"))
        if vital is not None and items and not any(vital in item for item in items):
            what = f"{path} has no {vital} in its items, and the site refuses to be asked for it"
            raise self.endpoint.malformed(what)

    def _records(self, path: str, body: dict[str, Any], read: Callable[[dict[str, Any]], T]) -> list[T]:
        if not isinstance(body.get("Items"), list):
            raise self.endpoint.malformed(f"{path} has no Items")
        try:
            return [read(item) for item in _objects(body["Items"])]
        except BadRecord as error:
            raise self.endpoint.malformed(f"{path} has {error}") from error

    def _no_single_site(self, sites: list[dict[str, Any]]) -> CitrixError:
        title, words = self.endpoint.title, self.endpoint.wording
        if len(sites) > 1:
            names = ", ".join(f"{site.get('Name')} ({site.get('Id')})" for site in sites)
            what = f"{title} has several sites: {names}. Say by its id in siteId which one is meant."
        elif self._chosen is not None:
            what = f"{title} has no site {self._chosen}. Correct siteId."
        else:
            remedy = words.no_site.format(customer=self.endpoint.customer_id)
            what = f"{title} shows no site to the {words.account} of secret {self.endpoint.token.secret}. {remedy}"
        return CitrixError(what, kind="misconfigured", system=title)


def read_site(client: CitrixSite, *, workers: int = 4) -> Site:
    """The whole site, its four lists read side by side by ``workers`` threads. Raises ``CitrixError``."""
    identity = client.identity()
    stop = Event()
    with Threads(max_workers=max(workers, 1), thread_name_prefix="citrix") as pool:
        machines = pool.submit(_until, stop, client.machines)
        connections = pool.submit(client.hosting_connections)
        catalogs = pool.submit(_until, stop, client.catalogs)
        groups = pool.submit(_until, stop, client.delivery_groups)
        lists: tuple[Future[Any], ...] = (machines, connections, catalogs, groups)
        done, _ = wait(lists, return_when=FIRST_EXCEPTION)
        stop.set()  # one list failed, or all are read: a list that still goes on ends with its page
        for finished in done:
            finished.result()  # raises the error of the list that failed
        names = {connection.id: connection.name for connection in connections.result()}
        site = Site(
            identity.id,
            identity.name,
            tuple(_with_connection_name(machine, names) for machine in machines.result()),
            connections.result(),
            catalogs.result(),
            groups.result(),
        )
    log.info("read site=%s machines=%s connections=%s", site.id, len(site.machines), len(site.connections))
    return site


def _until(stop: Event, read: Callable[[], Iterator[T]]) -> tuple[T, ...]:
    return tuple(takewhile(lambda _: not stop.is_set(), read()))


def _with_connection_name(machine: Machine, names: dict[str, str]) -> Machine:
    """Every member of a reference may be null: a machine that names its connection by id alone is power-managed."""
    hosting = machine.hosting
    if hosting.connection is not None or hosting.connection_id not in names:
        return machine
    return replace(machine, hosting=replace(hosting, connection=names[hosting.connection_id]))


def _objects(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _distinct(items: Iterable[T], key: Callable[[T], str]) -> Iterator[T]:
    """The order of a list is stable in one chain of pages at best, so an item may come twice."""
    seen: set[str] = set()
    for item in items:
        if key(item) not in seen:
            seen.add(key(item))
            yield item
