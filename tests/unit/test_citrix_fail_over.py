"""Several Delivery Controllers of one site, and the differences of a site on premises, against answers from memory."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from shared.citrix.fail_over import PROBE_SECONDS, SiteHosts
from shared.citrix.on_premises_sign_in import OnPremisesSignIn, WindowsCredential
from shared.citrix.site import CitrixSite, read_site
from shared.citrix.token import BearerToken
from shared.citrix.wording import ON_PREMISES_CUSTOMER
from shared.errors import CitrixError
from shared.http import Deadline, Limits
from shared.model.citrix import Site
from shared.profile.endpoints import CvadSite
from tests.unit.answers import Reply, answering

CREDENTIAL = WindowsCredential("citrix-hq", "CORP\\svc", "s3cret")
MACHINE = {
    "Id": "m-1",
    "Name": "CORP\\W11-001",
    "ProvisioningType": "Manual",
    "Hosting": {"HostedMachineId": "AB", "HypervisorConnection": {"Id": "h-1", "Name": "AHV"}},
}
DEAD = requests.exceptions.ConnectionError()
Answerer = Callable[[requests.PreparedRequest], Reply | Exception | None]


class Time:
    """A clock that goes on with each pause, and with each call that a test lets take its time."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


class Controllers:
    """A site with several controllers in memory. ``override``: by host, or host and path, what it answers instead."""

    def __init__(self, *hosts: str, sites: int = 1) -> None:
        self.hosts = hosts
        self.override: dict[str, Answerer] = {}
        self.time = Time()
        self.lists: dict[str, list[Any]] = {
            "/Machines": [MACHINE],
            "/MachineCatalogs": [],
            "/DeliveryGroups": [],
            "/hypervisors": [],
        }
        self.sites = [{"Id": f"site-{number}", "Name": f"HQ{number}"} for number in range(1, sites + 1)]
        self.session, self.answers = answering(self)

    def __call__(self, request: requests.PreparedRequest) -> Reply | Exception:
        parts = urlsplit(str(request.url))
        path = parts.path.removeprefix("/cvad/manage")
        for key in (f"{parts.netloc}{path}", parts.netloc):
            reply = self.override[key](request) if key in self.override else None
            if reply is not None:
                return reply
        if path == "/Tokens":
            return Reply({"Token": f"t-{parts.netloc}", "ExpiresAt": "2099-01-01T00:00:00Z"})
        if request.headers["Authorization"] != f"CWSAuth bearer=t-{parts.netloc}":
            return Reply({"ErrorMessage": "Wrong token"}, status=401)
        if path == "/Me":
            return Reply({"Customers": [{"Id": ON_PREMISES_CUSTOMER, "Sites": self.sites}]})
        return Reply({"Items": self.lists[path], "ContinuationToken": None})

    def limits(self) -> Limits:
        deadline = Deadline.after(480, self.time)
        return Limits(deadline, attempts=7, backoff=1.0, pause=self.time.pause, jitter=lambda: 1.0)

    def open(self, origin: str, limits: Callable[[], Limits]) -> CitrixSite:
        token = BearerToken(OnPremisesSignIn(self.session, origin, CREDENTIAL), limits=limits)
        return CitrixSite(self.session, origin, ON_PREMISES_CUSTOMER, token, self.site_id, limits=limits)

    site_id: str | None = None

    def read(self) -> Site:
        hosts = SiteHosts([f"https://{host}" for host in self.hosts], self.open, self.limits)
        return hosts.run(lambda client: read_site(client, workers=1))

    def asked(self, host: str, path: str = "") -> list[requests.PreparedRequest]:
        parts = [(urlsplit(str(request.url)), request) for request in self.answers.requests]
        return [request for part, request in parts if part.netloc == host and part.path.endswith(path)]


def always(reply: Reply | Exception) -> Answerer:
    return lambda _: reply


def refused(fake: Controllers) -> CitrixError:
    with pytest.raises(CitrixError) as caught:
        fake.read()
    return caught.value


def test_one_controller_is_read_with_the_headers_of_a_site_on_premises() -> None:
    fake = Controllers("ddc01")
    site = fake.read()
    assert (site.id, site.name, len(site.machines)) == ("site-1", "HQ1", 1)
    assert {request.headers.get("Citrix-CustomerId") for request in fake.asked("ddc01")[1:]} == {"CitrixOnPremises"}
    assert {request.headers["Citrix-InstanceId"] for request in fake.asked("ddc01", "/Machines")} == {"site-1"}
    assert len(fake.asked("ddc01", "/Tokens")) == len(fake.asked("ddc01", "/Me")) == 1


def test_the_first_controller_that_answers_is_read_and_no_other_is_asked() -> None:
    fake = Controllers("ddc01", "ddc02")
    fake.read()
    assert fake.asked("ddc02") == []
    assert len(fake.asked("ddc01", "/Tokens")) == len(fake.asked("ddc01", "/Me")) == 1


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(DEAD, id="unreachable"),
        pytest.param(requests.exceptions.ConnectTimeout(), id="timeout"),
        pytest.param(requests.exceptions.SSLError(), id="tls"),
        pytest.param(Reply(status=500), id="500"),
        pytest.param(Reply(status=503), id="503"),
        pytest.param(Reply(raw=b"<html>It works</html>"), id="something-else-answers-there"),
    ],
)
@pytest.mark.parametrize("route", ["/cvad/manage/Tokens", "/Me"])
def test_a_controller_that_cannot_be_used_is_passed_over(
    answer: Reply | Exception, route: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    fake = Controllers("ddc01", "ddc02")
    fake.override[f"ddc01{route.removeprefix('/cvad/manage')}"] = always(answer)
    assert fake.read().id == "site-1"
    assert fake.asked("ddc01", "/Machines") == []
    assert fake.time.now <= PROBE_SECONDS
    assert "site host left host=https://ddc01" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_dead_controller_costs_fifteen_seconds_at_most() -> None:
    fake = Controllers("ddc01", "ddc02")

    def silent(request: requests.PreparedRequest) -> Exception:
        fake.time.now += 5.0
        return requests.exceptions.ConnectTimeout()

    fake.override["ddc01"] = silent
    fake.read()
    assert 5.0 <= fake.time.now <= 15.0


def test_a_controller_that_dies_in_the_middle_of_the_read_costs_nothing_of_it() -> None:
    fake = Controllers("ddc01", "ddc02")
    fake.lists["/Machines"] = [{**MACHINE, "Id": f"m-{number}"} for number in range(4)]
    pages = [Reply({"Items": fake.lists["/Machines"][:2], "ContinuationToken": "more"})]
    fake.override["ddc01/Machines"] = lambda _: pages.pop() if pages else DEAD
    assert [machine.id for machine in fake.read().machines] == ["m-0", "m-1", "m-2", "m-3"]
    assert len(fake.asked("ddc01", "/Machines")) == 4
    assert len(fake.asked("ddc02", "/Tokens")) == 1


def test_a_busy_controller_with_no_other_beside_it_is_asked_with_patience() -> None:
    fake = Controllers("ddc01")
    busy = [Reply(status=503)] * 6
    fake.override["ddc01/Machines"] = lambda _: busy.pop() if busy else None
    assert fake.read().id == "site-1"


@pytest.mark.parametrize(
    ("route", "status", "kind", "words"),
    [
        pytest.param("/Tokens", 401, "sign-in", "refused user name or password", id="wrong-password"),
        pytest.param("/Tokens", 403, "forbidden", "administrator of the Citrix site", id="no-administrator"),
        pytest.param("/Me", 401, "sign-in", "check the account of secret citrix-hq", id="tokens-are-not-accepted"),
        pytest.param("/Machines", 403, "forbidden", "a role of the Citrix site", id="no-rights"),
    ],
)
def test_what_is_about_the_account_leads_to_no_other_controller(route: str, status: int, kind: str, words: str) -> None:
    fake = Controllers("ddc01", "ddc02")
    fake.override[f"ddc01{route}"] = always(Reply(status=status))
    error = refused(fake)
    assert (error.kind, words in str(error)) == (kind, True)
    assert str(error).startswith("Citrix CVAD ddc01 ")
    assert fake.asked("ddc02") == []


def test_a_wrong_password_behind_a_dead_controller_is_tried_once() -> None:
    fake = Controllers("ddc01", "ddc02", "ddc03")
    fake.override["ddc01"] = always(DEAD)
    fake.override["ddc02/Tokens"] = always(Reply(status=401))
    assert refused(fake).kind == "sign-in"
    assert len(fake.asked("ddc02", "/Tokens")) == 1
    assert fake.asked("ddc03") == []


def test_when_all_are_dead_one_error_tells_of_each_and_what_to_do() -> None:
    fake = Controllers("ddc01", "ddc02:8443", "ddc03")
    fake.override["ddc01"] = always(DEAD)
    fake.override["ddc02:8443"] = always(requests.exceptions.ConnectTimeout())
    fake.override["ddc03"] = always(Reply(status=503))
    error = refused(fake)
    for words in (
        "None of the 3 Delivery Controllers of the site could be used.",
        "Citrix CVAD ddc01 closed the connection before an answer came when Realign signed in. Check that",
        "Citrix CVAD ddc02:8443 did not accept a connection within 5 s",
        "Citrix CVAD ddc03 answered HTTP 503",
        "look at the Citrix Orchestration service",
    ):
        assert words in str(error)
    assert (error.kind, error.system, error.retryable) == ("failed", "Citrix CVAD ddc01, ddc02:8443, ddc03", True)


def test_all_dead_in_the_same_way_is_an_error_of_that_kind() -> None:
    fake = Controllers("ddc01", "ddc02")
    fake.override = {"ddc01": always(DEAD), "ddc02": always(DEAD)}
    assert refused(fake).kind == "unreachable"


def test_a_refused_token_is_renewed_once_at_the_same_controller() -> None:
    fake = Controllers("ddc01", "ddc02")
    late = [Reply({"ErrorMessage": "The token is expired."}, status=401)]
    fake.override["ddc01/Machines"] = lambda _: late.pop() if late else None
    fake.read()
    assert len(fake.asked("ddc01", "/Tokens")) == 2
    assert fake.asked("ddc02") == []


@pytest.mark.parametrize("status", [400, 404])
def test_an_older_site_that_takes_no_fields_is_asked_without(status: int) -> None:
    fake = Controllers("ddc01")
    fake.override["ddc01/Machines"] = lambda request: Reply(status=status) if "fields=" in str(request.url) else None
    assert [machine.hosting.connection for machine in fake.read().machines] == ["AHV"]
    queries = [urlsplit(str(request.url)).query for request in fake.asked("ddc01", "/Machines")]
    assert ["fields=" in query for query in queries] == [True, False]


def test_an_older_site_that_leaves_hosting_out_is_not_taken_for_one_without_power_management() -> None:
    fake = Controllers("ddc01")
    fake.lists["/Machines"] = [{key: value for key, value in MACHINE.items() if key != "Hosting"}]
    fake.override["ddc01/Machines"] = lambda request: Reply(status=400) if "fields=" in str(request.url) else None
    assert "/Machines has no Hosting in its items" in str(refused(fake))


def test_a_site_that_refuses_a_list_in_any_form_is_an_error() -> None:
    fake = Controllers("ddc01")
    fake.override["ddc01/Machines"] = always(Reply(status=404))
    assert "Web Studio" in str(refused(fake))
    assert len(fake.asked("ddc01", "/Machines")) == 2


def test_of_several_sites_one_must_be_chosen() -> None:
    fake = Controllers("ddc01", sites=2)
    assert "HQ1 (site-1), HQ2 (site-2). Say by its id in siteId" in str(refused(fake))
    fake.site_id = "SITE-2"
    assert fake.read().id == "site-2"


def test_an_account_that_sees_no_site_is_told_what_it_needs() -> None:
    error = refused(Controllers("ddc01", sites=0))
    assert "shows no site to the account of secret citrix-hq. Make the account an administrator" in str(error)


@pytest.mark.parametrize(
    ("changes", "origins"),
    [
        pytest.param({}, ("https://ddc01", "https://ddc02:8443"), id="in-their-order"),
        pytest.param({"hosts": ["ddc01", "ddc01"]}, ("https://ddc01",), id="each-once"),
        pytest.param({"baseUrl": "https://ddc:444/"}, ("https://ddc:444",), id="replaced"),
    ],
)
def test_the_hosts_of_a_profile_are(changes: dict[str, Any], origins: tuple[str, ...]) -> None:
    document = {"kind": "cvad", "hosts": ["ddc01", {"host": "ddc02", "port": 8443}], "credential": "citrix-hq"}
    assert CvadSite.model_validate_json(json.dumps(document | changes)).origins == origins


def first_of(fake: Controllers) -> CitrixSite:
    return SiteHosts([f"https://{host}" for host in fake.hosts], fake.open, fake.limits).first()


def test_for_a_whole_step_the_first_controller_that_can_be_used_is_chosen() -> None:
    fake = Controllers("ddc01", "ddc02", "ddc03")
    fake.override["ddc01"] = always(DEAD)
    client = first_of(fake)
    assert [machine.id for machine in client.machines()] == ["m-1"]
    assert len(fake.asked("ddc02", "/Machines")) == len(fake.asked("ddc02", "/Me")) == 1
    assert fake.asked("ddc03") == []


def test_the_chosen_controller_is_kept_when_it_dies_and_asked_with_patience() -> None:
    fake = Controllers("ddc01", "ddc02")
    client = first_of(fake)
    busy = [Reply(status=503)] * 6
    fake.override["ddc01/Machines"] = lambda _: busy.pop() if busy else None
    assert len(list(client.machines())) == 1
    fake.override["ddc01"] = always(DEAD)
    with pytest.raises(CitrixError, match="^Citrix CVAD ddc01 closed"):
        list(client.machines())
    assert fake.asked("ddc02") == []


def test_the_only_controller_is_not_probed() -> None:
    fake = Controllers("ddc01")
    first_of(fake)
    assert fake.answers.requests == []


def test_when_no_controller_can_be_chosen_one_error_tells_of_each() -> None:
    fake = Controllers("ddc01", "ddc02")
    fake.override = {"ddc01": always(DEAD), "ddc02": always(Reply(status=503))}
    with pytest.raises(CitrixError, match="None of the 2 Delivery Controllers"):
        first_of(fake)


def test_a_refused_password_ends_the_choice_of_a_controller() -> None:
    fake = Controllers("ddc01", "ddc02")
    fake.override["ddc01/Tokens"] = always(Reply(status=401))
    with pytest.raises(CitrixError, match="refused user name or password"):
        first_of(fake)
    assert fake.asked("ddc02") == []
