"""Which site a host serves is asked once an hour."""

from __future__ import annotations

from dataclasses import replace

from shared.citrix.site import CitrixSite, SiteIdentity
from shared.runs.clients.site_memory import KEPT_SECONDS, SiteKey, SiteMemory
from tests.unit.answers import Reply, quick
from tests.unit.citrix_answers import WritableSite, always

KEY = SiteKey("https://api.cloud.com", "acme", None, "citrix-emea", "v1")
SITE = SiteIdentity("site-1", "cloudxdsite")


def test_a_site_is_known_for_an_hour() -> None:
    now = [0.0]
    memory = SiteMemory(lambda: now[0])
    memory.learn(KEY, SITE)
    now[0] = KEPT_SECONDS - 1
    assert memory.known(KEY) == SITE
    now[0] = KEPT_SECONDS
    assert memory.known(KEY) is None


def test_what_one_account_sees_is_not_what_another_does() -> None:
    memory = SiteMemory()
    memory.learn(KEY, SITE)
    for other in (
        replace(KEY, origin="https://ddc01"),
        replace(KEY, customer_id="other"),
        replace(KEY, chosen="site-2"),
        replace(KEY, secret="citrix-two"),
        replace(KEY, version="v2"),
    ):
        assert memory.known(other) is None


def test_a_client_that_is_told_its_site_does_not_ask_but_a_probe_does_and_tells() -> None:
    fake = WritableSite()
    fake.on["GET /Machines"] = always(Reply({"Items": []}))
    told: list[SiteIdentity] = []
    client = CitrixSite(fake.session, fake.origin, "acme", fake.token, limits=quick, known=SITE, learned=told.append)
    assert client.identity() == SITE
    list(client.machines())
    assert (fake.asked("GET /Me"), told) == ([], [])
    client.probe(quick())
    assert len(fake.asked("GET /Me")) == 1
    assert told == [SiteIdentity("site-1", "s")]
