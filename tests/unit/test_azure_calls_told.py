"""What telemetry hears of the Azure SDK's calls: each attempt by its number, and a vault's challenge as no failure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from azure.core import PipelineClient
from azure.core.exceptions import ServiceRequestError
from azure.core.pipeline.policies import RetryPolicy
from azure.core.rest import HttpRequest
from opentelemetry.trace import StatusCode
from requests.exceptions import ConnectionError as NoConnection

from shared.azure.transport import BoundedTransport
from shared.telemetry import telling
from shared.telemetry.subject import working_on
from tests.telemetry import Kept, by, kept_telemetry
from tests.unit.answers import Handler, Reply, answering, one_after_the_other

URL = "https://acme.table.core.windows.net/remaps(PartitionKey='marker')?sig=marker"


@pytest.fixture
def kept() -> Iterator[Kept]:
    with kept_telemetry() as opened:
        yield opened


def client(handler: Handler, system: str | None) -> PipelineClient[Any, Any]:
    session, _ = answering(handler)
    transport = BoundedTransport(system=system, session=session, session_owner=False, use_env_settings=False)
    retries: RetryPolicy[Any, Any] = RetryPolicy(retry_backoff_factor=0, retry_total=3)
    return PipelineClient("https://acme.example", policies=[retries], transport=transport)


def ask(handler: Handler, system: str | None = "storage", times: int = 1) -> None:
    asking = client(handler, system)
    with working_on("r1"), telling.step("plan", None):
        for _ in range(times):
            asking.send_request(HttpRequest("GET", URL))


def attempts(kept: Kept) -> list[tuple[Any, Any]]:
    told = [dict(span.attributes or {}) for span in kept.spans("storage") + kept.spans("vault")]
    return [(of["attempt"], of.get("http.response.status_code", of.get("failure"))) for of in told]


def test_each_attempt_of_the_sdk_has_its_number_and_another_request_begins_anew(kept: Kept) -> None:
    ask(one_after_the_other(Reply(status=503), Reply(status=500), Reply({}), Reply({})), times=2)
    assert attempts(kept) == [(1, 503), (2, 500), (3, 200), (1, 200)]
    assert by(kept.points()["realign.retries"], "system") == {"storage": 2}
    assert "marker" not in kept.text()


def test_a_connection_that_is_not_made_is_an_attempt_too(kept: Kept) -> None:
    ask(one_after_the_other(NoConnection("marker"), Reply({})))
    assert attempts(kept) == [(1, "unreachable"), (2, 200)]
    with pytest.raises(ServiceRequestError):
        ask(one_after_the_other(NoConnection("marker")))
    assert "marker" not in kept.text()


def test_the_answers_that_storage_gives_every_day_are_no_failures(kept: Kept) -> None:
    for status in (404, 409, 412):
        ask(one_after_the_other(Reply(status=status)))
    assert {span.status.status_code for span in kept.spans("storage")} == {StatusCode.UNSET}
    for status in (400, 401, 403):
        ask(one_after_the_other(Reply(status=status)))
        assert kept.spans("storage")[-1].status.status_code is StatusCode.ERROR, status


def test_the_challenge_of_a_vault_is_no_failure_and_what_follows_no_retry(kept: Kept) -> None:
    session, _ = answering(one_after_the_other(Reply(status=401), Reply({})))
    transport = BoundedTransport(system="vault", session=session, session_owner=False, use_env_settings=False)
    request = HttpRequest("GET", URL)
    with working_on("r1"), telling.step("plan", None):
        for _ in range(2):
            transport.send(request)
    assert attempts(kept) == [(1, 401), (1, 200)]
    assert {span.status.status_code for span in kept.spans("vault")} == {StatusCode.UNSET}
    assert "realign.retries" not in kept.points()


def test_of_its_own_calls_telemetry_is_not_told(kept: Kept) -> None:
    ask(one_after_the_other(Reply(status=503), Reply({})), system=None)
    assert "realign.calls" not in kept.points()
