"""Sites behind the relay, by each kind of listener."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox.sandbox import Sandbox
from tests.integration.relay.site import SCENARIO, Site, Start


@pytest.fixture
def site_with(sandbox_for: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    sites: list[Site] = []

    def start(relay: str, scenario: Any = SCENARIO, **options: Any) -> Site:
        sandbox = sandbox_for(scenario, relay=relay, **options)
        for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):  # msal reads these itself
            monkeypatch.setenv(name, sandbox.environ[name])
        sites.append(Site(sandbox))
        return sites[-1]

    yield start
    for site in sites:
        site.resources.close()


@pytest.fixture(params=["hcm", "azbridge"])
def site(request: pytest.FixtureRequest, site_with: Start) -> Site:
    return site_with(request.param)


@pytest.fixture
def hcm(site_with: Start) -> Site:
    return site_with("hcm")


@pytest.fixture
def azbridge(site_with: Start) -> Site:
    return site_with("azbridge")
