"""Reading a Citrix site against answers of the contract's shape."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
import requests

from shared.citrix.cloud_sign_in import CloudCredential, CloudSignIn
from shared.citrix.records import folder_from, machine_from
from shared.citrix.site import CitrixSite, SiteIdentity, read_site
from shared.citrix.token import BearerToken
from shared.errors import CitrixError
from shared.model.citrix import Folder, Hosting, HostingConnection, Machine, Provisioning
from tests.unit.answers import Answers, Reply, answering, quick

ORIGIN = "https://api.cloud.com"
ME = {"Customers": [{"Id": "acme", "Name": None, "Sites": [{"Id": "site-1", "Name": "cloudxdsite"}]}]}
VM = "6f4d2f0c-52e5-4b0e-9f0e-0d4f5f1f7a11"


def machine(number: int, **members: Any) -> dict[str, Any]:
    return {
        "Id": f"m-{number}",
        "Name": f"CORP\\W11-{number:03}",
        "DnsName": f"w11-{number:03}.corp.example",
        "ProvisioningType": "Manual",
        "MachineCatalog": {"Id": "c-1", "Uid": 1, "Name": "Persistent W11"},
        "DeliveryGroup": {"Id": "g-1", "Uid": 1, "Name": "Desktops"},
        "Hosting": {
            "HostedMachineId": VM.upper(),
            "HostedMachineName": f"W11-{number:03}",
            "HypervisorConnection": {"Id": "h-1", "Uid": 3, "Name": "AHV Paris"},
        },
        **members,
    }


class Site:
    """A Citrix site in memory, with pages of three."""

    def __init__(self, machines: list[Any] | None = None) -> None:
        self.lists: dict[str, list[Any]] = {
            "/Machines": machines if machines is not None else [machine(1)],
            "/MachineCatalogs": [{"Id": "c-1", "Name": "Persistent W11", "FullName": "EMEA\\Persistent W11"}],
            "/DeliveryGroups": [{"Id": "g-1", "Name": "Desktops", "FullName": None}],
            "/hypervisors": [
                {
                    "Id": "h-1",
                    "Name": "AHV Paris",
                    "PluginId": "AcropolisFactory",
                    "InMaintenanceMode": False,
                    "Zone": {"Id": "z-1", "Name": "Paris"},
                }
            ],
        }
        self.me: Any = ME
        self.override: dict[str, Callable[[requests.PreparedRequest], Reply | Exception | None]] = {}
        self.signed_in = 0
        self.session, self.answers = answering(self)
        self.pauses: list[float] = []

    def __call__(self, request: requests.PreparedRequest) -> Reply | Exception:
        parts = urlsplit(str(request.url))
        if parts.path.startswith("/cctrustoauth2/"):
            self.signed_in += 1
            return Reply({"access_token": f"t-{self.signed_in}", "expires_in": "3600"})
        path = parts.path.removeprefix("/cvad/manage")
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        reply = self.override[path](request) if path in self.override else None
        if reply is not None:
            return reply
        if path == "/Me":
            return Reply(self.me)
        if path == "/hypervisors":
            return Reply({"Items": self.lists[path]})
        start = int(query.get("continuationToken", "tok+/= &0").removeprefix("tok+/= &"))
        following = start + 3
        more = following < len(self.lists[path])
        return Reply(
            {
                "Items": self.lists[path][start:following],
                "ContinuationToken": f"tok+/= &{following}" if more else None,
            }
        )

    def client(self, site_id: str | None = None, customer_id: str = "acme") -> CitrixSite:
        credential = CloudCredential("citrix-emea", "id", "s3cret")
        token = BearerToken(CloudSignIn(self.session, ORIGIN, customer_id, credential))
        return CitrixSite(
            self.session, ORIGIN, customer_id, token, site_id, limits=lambda: quick(attempts=7, pauses=self.pauses)
        )

    def asked(self, path: str) -> list[requests.PreparedRequest]:
        return [
            request for request in self.answers.requests if urlsplit(str(request.url)).path == f"/cvad/manage{path}"
        ]


def always(reply: Reply | Exception) -> Callable[[requests.PreparedRequest], Reply | Exception]:
    return lambda _: reply


def first(*replies: Reply | Exception) -> Callable[[requests.PreparedRequest], Reply | Exception | None]:
    left = list(replies)
    return lambda _: left.pop(0) if left else None


def test_a_site_is_read_whole() -> None:
    site = read_site(Site().client(), workers=4)
    assert (site.id, site.name) == ("site-1", "cloudxdsite")
    assert site.machines == (
        Machine(
            id="m-1",  # type: ignore[arg-type]
            name="CORP\\W11-001",
            dns_name="w11-001.corp.example",
            hosting=Hosting("AHV Paris", VM, "h-1"),  # type: ignore[arg-type]
            provisioning=Provisioning.MANUAL,
            hosted_name="W11-001",
            catalog="Persistent W11",
            catalog_id="c-1",
            delivery_group="Desktops",
            delivery_group_id="g-1",
        ),
    )
    assert site.connections == (HostingConnection("h-1", "AHV Paris", "AcropolisFactory", "Paris", "z-1", False),)
    assert site.catalogs == (Folder("c-1", "Persistent W11", "EMEA\\Persistent W11"),)
    assert site.delivery_groups == (Folder("g-1", "Desktops", "Desktops"),)


def test_the_lists_are_read_side_by_side() -> None:
    fake, together = Site(), threading.Barrier(4)

    def meet(_: requests.PreparedRequest) -> None:
        together.wait(5)

    for path in fake.lists:
        fake.override[path] = meet
    assert len(read_site(fake.client(), workers=4).machines) == 1
    assert fake.signed_in == 1


def test_one_worker_reads_the_same() -> None:
    assert read_site(Site().client(), workers=1) == read_site(Site().client(), workers=4)


@pytest.mark.timeout(20)
def test_a_list_that_fails_fails_the_site_and_stops_the_others() -> None:
    fake, pages = Site(), count()
    fake.override["/hypervisors"] = always(Reply(status=403))
    fake.override["/Machines"] = lambda _: Reply({"Items": [machine(next(pages))], "ContinuationToken": f"{pages}"})
    with pytest.raises(CitrixError, match="/hypervisors"):
        read_site(fake.client(), workers=4)


def test_machines_come_page_by_page_until_no_token_comes_back() -> None:
    fake = Site([machine(number) for number in range(7)])
    assert [found.id for found in fake.client().machines()] == [f"m-{number}" for number in range(7)]
    queries = [parse_qs(urlsplit(str(request.url)).query) for request in fake.asked("/Machines")]
    assert [query.get("continuationToken") for query in queries] == [None, ["tok+/= &3"], ["tok+/= &6"]]
    assert {(query["limit"][0], query["fields"][0]) for query in queries} == {
        ("1000", "Id,Name,DnsName,ProvisioningType,Hosting,MachineCatalog,DeliveryGroup")
    }


def test_a_page_is_asked_for_only_when_it_is_needed() -> None:
    fake = Site([machine(number) for number in range(7)])
    assert next(fake.client().machines()).id == "m-0"
    assert len(fake.asked("/Machines")) == 1


def test_an_empty_page_with_a_token_is_not_the_end() -> None:
    fake = Site([machine(1)])
    fake.override["/Machines"] = first(Reply({"Items": [], "ContinuationToken": "tok+/= &0"}))
    assert len(list(fake.client().machines())) == 1


def test_an_empty_token_is_the_end() -> None:
    fake = Site()
    fake.override["/Machines"] = always(Reply({"Items": [machine(1)], "ContinuationToken": ""}))
    assert len(list(fake.client().machines())) == 1


def test_a_machine_that_comes_twice_counts_once() -> None:
    fake = Site([machine(1), machine(2), machine(1), machine(1)])
    assert [found.id for found in fake.client().machines()] == ["m-1", "m-2"]


def test_a_list_that_would_never_end_is_an_error() -> None:
    fake = Site()
    fake.override["/Machines"] = always(Reply({"Items": [], "ContinuationToken": "same"}))
    with pytest.raises(CitrixError, match="same continuation token twice") as caught:
        list(fake.client().machines())
    assert caught.value.kind == "malformed"
    assert len(fake.asked("/Machines")) == 2


def test_every_call_carries_the_headers_of_the_contract() -> None:
    fake = Site()
    read_site(fake.client(), workers=2)
    for path in ("/Me", *fake.lists):
        (request,) = fake.asked(path)
        assert request.headers["Authorization"] == "CWSAuth bearer=t-1"
        assert request.headers["Citrix-CustomerId"] == "acme"
        assert request.headers.get("Citrix-InstanceId") == (None if path == "/Me" else "site-1")
        assert UUID(str(request.headers["Citrix-TransactionId"]))


def test_each_attempt_has_a_transaction_id_of_its_own_and_the_error_names_the_last() -> None:
    fake = Site()
    fake.override["/Machines"] = always(Reply(raw=b"", status=502))
    with pytest.raises(CitrixError) as caught:
        list(fake.client().machines())
    sent = [str(request.headers["Citrix-TransactionId"]) for request in fake.asked("/Machines")]
    assert len(set(sent)) == len(sent) == 7
    assert caught.value.transaction_id == sent[-1]
    assert f"(transaction {sent[-1]})" in str(caught.value)
    assert caught.value.retryable


def test_the_transaction_id_that_citrix_answers_goes_first() -> None:
    fake = Site()
    fake.override["/Machines"] = always(Reply(status=404, headers={"Citrix-TransactionId": "theirs"}))
    with pytest.raises(CitrixError, match=r"\(transaction theirs\)") as caught:
        list(fake.client().machines())
    assert caught.value.transaction_id == "theirs"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_page_is_asked_for_again_after(status: int) -> None:
    fake = Site([machine(number) for number in range(7)])
    fake.override["/Machines"] = first(Reply(status=status), Reply(status=status))
    assert len(list(fake.client().machines())) == 7
    assert len(fake.asked("/Machines")) == 5


def test_retry_after_is_obeyed() -> None:
    fake = Site()
    fake.override["/Machines"] = first(Reply(status=429, headers={"Retry-After": "9"}))
    list(fake.client().machines())
    assert fake.pauses == [9.0]


def test_a_refused_token_is_renewed_once() -> None:
    fake = Site()
    fake.override["/Machines"] = first(Reply(status=401))
    assert len(list(fake.client().machines())) == 1
    assert [request.headers["Authorization"] for request in fake.asked("/Machines")] == [
        "CWSAuth bearer=t-1",
        "CWSAuth bearer=t-2",
    ]


def test_a_second_refusal_ends_the_read() -> None:
    fake = Site()
    fake.override["/Machines"] = always(Reply(status=401))
    with pytest.raises(CitrixError, match=r"HTTP 401.*secret citrix-emea") as caught:
        list(fake.client().machines())
    assert (caught.value.kind, len(fake.asked("/Machines"))) == ("sign-in", 2)


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        pytest.param(
            Reply({"type": "x", "detail": "Forbidden"}, status=403),
            "forbidden",
            "answered HTTP 403 to /Machines: Forbidden",
            id="the-platforms-words",
        ),
        pytest.param(
            Reply({"errorMessage": "Bad filter", "SdkErrorId": "x"}, status=400),
            "failed",
            "HTTP 400 to /Machines: Bad filter",
            id="the-services-words-in-any-case",
        ),
        pytest.param(Reply(status=403), "forbidden", "a role that may read the site", id="rights"),
        pytest.param(Reply(status=429), "throttled", "Run again later", id="throttled"),
        pytest.param(Reply(raw=b"<html>"), "malformed", "no valid JSON", id="html"),
        pytest.param(Reply([]), "malformed", "/Machines is no JSON object", id="no-object"),
        pytest.param(Reply({"Items": None}), "malformed", "/Machines has no Items", id="no-items"),
        pytest.param(Reply({"Items": [{"Name": "x"}]}), "malformed", "a machine without Id", id="no-id"),
        pytest.param(requests.exceptions.ConnectTimeout(), "timeout", "Check the way to this host", id="no-connection"),
    ],
)
def test_a_failure_is_a_sentence_with_a_remedy(reply: Reply | Exception, kind: str, words: str) -> None:
    fake = Site()
    fake.override["/Machines"] = always(reply)
    with pytest.raises(CitrixError) as caught:
        list(fake.client().machines())
    assert str(caught.value).startswith("Citrix api.cloud.com (customer acme) ")
    assert words in str(caught.value)
    assert caught.value.kind == kind
    assert "s3cret" not in str(caught.value)
    assert "t-1" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "secret"),
    [
        pytest.param("Invalid client secret s3cret+x provided", "s3cret+x", id="client-secret"),
        pytest.param("form was client_secret=s3cret%2Bx&a=b", "s3cret%2Bx", id="form"),
        pytest.param("Client 4d6f-a1 may not do this", "4d6f-a1", id="client-id"),
        pytest.param("The credential tok-1 is not known here", "tok-1", id="token"),
    ],
)
def test_a_secret_that_citrix_echoes_is_not_shown(words: str, secret: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def answer(request: requests.PreparedRequest) -> Reply:
        if "/cctrustoauth2/" in str(request.url):
            return Reply({"access_token": "tok-1", "expires_in": "3600"})
        return Reply({"detail": words}, status=503, headers={"Citrix-TransactionId": words})

    session, _ = answering(answer)
    token = BearerToken(CloudSignIn(session, ORIGIN, "acme", CloudCredential("citrix-emea", "4d6f-a1", "s3cret+x")))
    site = CitrixSite(session, ORIGIN, "acme", token, None, limits=quick)
    with pytest.raises(CitrixError, match=r"\*\*\*") as caught:
        site.discover()
    assert secret not in f"{caught.value} {caught.value!r} {caught.value.transaction_id} {caplog.text}"


def test_the_token_that_was_sent_is_not_shown_when_another_thread_has_renewed_it() -> None:
    session, _ = answering(always(Reply()))
    token = BearerToken(CloudSignIn(session, ORIGIN, "acme", CloudCredential("citrix-emea", "4d6f-a1", "s3cret+x")))
    issued = iter(("tok-1", "tok-2"))

    def answer(request: requests.PreparedRequest) -> Reply:
        if "/cctrustoauth2/" in str(request.url):
            return Reply({"access_token": next(issued), "expires_in": "3600"})
        token.renew(str(request.headers["Authorization"]))
        return Reply({"detail": "tok-1 is too old"}, status=400)

    session.mount("https://", Answers(answer))
    with pytest.raises(CitrixError, match=r"\*\*\* is too old"):
        CitrixSite(session, ORIGIN, "acme", token, None, limits=quick).discover()


def test_a_frozen_site_is_reported_and_not_woken() -> None:
    fake = Site()
    fake.override["/Me"] = always(Reply(status=530))
    with pytest.raises(CitrixError, match=r"HTTP 530.*The site is frozen: open it once") as caught:
        read_site(fake.client(), workers=4)
    assert not caught.value.retryable
    assert len(fake.answers.requests) == 2


def customers(*sites_of: tuple[str, list[str]]) -> dict[str, Any]:
    return {
        "Customers": [
            {"Id": name, "Sites": [{"Id": site, "Name": site.upper()} for site in sites]} for name, sites in sites_of
        ]
    }


@pytest.mark.parametrize(
    ("me", "chosen", "found"),
    [
        pytest.param(customers(("acme", ["s-1"])), None, "s-1", id="one-customer-one-site"),
        pytest.param(customers(("other", ["s-1"])), None, "s-1", id="the-only-customer-whatever-its-name"),
        pytest.param(customers(("x", ["s-9"]), ("ACME", ["s-1"])), None, "s-1", id="several-customers"),
        pytest.param(customers(("acme", ["s-1", "s-2"])), "S-2", "s-2", id="the-chosen-one-of-several-sites"),
    ],
)
def test_the_site_is(me: Any, chosen: str | None, found: str) -> None:
    fake = Site()
    fake.me = me
    assert fake.client(chosen).discover() == SiteIdentity(found, found.upper())


@pytest.mark.parametrize(
    ("me", "chosen", "words"),
    [
        pytest.param({"Customers": []}, None, "shows no site", id="no-customer"),
        pytest.param({}, None, "shows no site", id="nothing"),
        pytest.param(customers(("acme", [])), None, "shows no site", id="no-site"),
        pytest.param(customers(("x", ["s"]), ("y", ["s"])), None, "shows no site", id="not-this-customer"),
        pytest.param(customers(("acme", ["s-1", "s-2"])), None, "S-1 (s-1), S-2 (s-2)", id="several-sites"),
        pytest.param(customers(("acme", ["s-1"])), "s-2", "has no site s-2", id="not-the-chosen-site"),
    ],
)
def test_no_single_site_is_an_error_that_says_which_there_are(me: Any, chosen: str | None, words: str) -> None:
    fake = Site()
    fake.me = me
    with pytest.raises(CitrixError) as caught:
        fake.client(chosen).discover()
    assert words in str(caught.value)
    assert caught.value.kind == "misconfigured"


def test_the_site_is_asked_for_once() -> None:
    fake = Site()
    client = fake.client()
    list(client.machines())
    list(client.catalogs())
    assert len(fake.asked("/Me")) == 1


@pytest.mark.parametrize(
    ("members", "field", "value"),
    [
        pytest.param({"Hosting": None}, "hosting", Hosting(None, None), id="null-hosting"),
        pytest.param(
            {"Hosting": {"HostedMachineId": None, "HypervisorConnection": None}},
            "hosting",
            Hosting(None, None),
            id="null-connection-and-id",
        ),
        pytest.param({"Hosting": {"HostedMachineId": ""}}, "hosting", Hosting(None, None), id="an-empty-id"),
        pytest.param({"MachineCatalog": None}, "catalog", None, id="null-catalog"),
        pytest.param({"DeliveryGroup": {"Id": None, "Name": None}}, "delivery_group_id", None, id="null-reference"),
        pytest.param({"ProvisioningType": "MCS"}, "provisioning", Provisioning.MCS, id="mcs"),
        pytest.param({"ProvisioningType": "manual"}, "provisioning", Provisioning.MANUAL, id="lower-case"),
        pytest.param({"ProvisioningType": "Quantum"}, "provisioning", Provisioning.UNKNOWN, id="a-new-kind"),
        pytest.param({"ProvisioningType": None}, "provisioning", Provisioning.UNKNOWN, id="a-null-kind"),
        pytest.param({"Name": None}, "name", "w11-001.corp.example", id="a-null-name"),
        pytest.param({"Name": None, "DnsName": ""}, "name", "m-1", id="no-name-at-all"),
    ],
)
def test_a_machine_with(members: dict[str, Any], field: str, value: object) -> None:
    assert getattr(machine_from(machine(1, **members)), field) == value


def test_a_machine_with_nothing_but_an_id_and_members_nobody_asked_for_is_read() -> None:
    assert machine_from({"Id": "m-1", "Tags": ["x"], "AssociatedUsers": []}).hosting == Hosting(None, None)


def test_a_connection_named_by_id_alone_is_named_from_the_list() -> None:
    hosting = {"HostedMachineId": VM, "HypervisorConnection": {"Id": "h-1", "Name": None}}
    (found,) = read_site(Site([machine(1, Hosting=hosting)]).client(), workers=4).machines
    assert found.hosting == Hosting("AHV Paris", VM, "h-1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"FullName": "EMEA\\Paris\\W11"}, "EMEA\\Paris\\W11"),
        ({"FullName": "EMEA|Paris|W11"}, "EMEA\\Paris\\W11"),
        ({"FullName": None, "AdminFolder": {"Name": "EMEA\\Paris\\"}}, "EMEA\\Paris\\W11"),
        ({"AdminFolder": {"Name": None}}, "W11"),
        ({"AdminFolder": None}, "W11"),
    ],
)
def test_the_path_of_a_catalog(members: dict[str, Any], path: str) -> None:
    assert folder_from({"Id": "c-1", "Name": "W11", **members}).path == path


def test_a_connection_in_maintenance_without_a_zone() -> None:
    fake = Site()
    fake.lists["/hypervisors"] = [{"Id": "h-2", "Name": "n", "PluginId": None, "InMaintenanceMode": True, "Zone": None}]
    assert fake.client().hosting_connections() == (HostingConnection("h-2", "n", "", None, None, True),)


def test_shared_names_are_kept_once() -> None:
    one, two = machine_from(machine(1)), machine_from(machine(2))
    assert one.catalog is two.catalog
    assert one.hosting.connection is two.hosting.connection


def test_a_catalog_names_its_zone_by_id_too() -> None:
    found = folder_from({"Id": "c-1", "Name": "W11", "Zone": {"Id": "z-1", "Name": "Paris"}})
    assert (found.zone, found.zone_id) == ("Paris", "z-1")
