from __future__ import annotations

import json
import logging
import re
from typing import Any

import azure.functions as func
import pytest

from functions.respond import json_answer, respond
from shared import errors
from tests.unit.requests_to_functions import http_request

ERRORS = [
    pytest.param(
        errors.InvalidRequest("limit: too big. Lower it.", field="limit"),
        (400, "invalid-request", {"field": "limit"}),
        id="invalid-request-names-the-field",
    ),
    pytest.param(errors.InvalidRequest("Wrong."), (400, "invalid-request", {}), id="invalid-request-without-a-field"),
    pytest.param(errors.NotAuthenticated("Sign in."), (401, "not-authenticated", {}), id="not-authenticated"),
    pytest.param(errors.NotAllowed("Ask."), (403, "not-allowed", {}), id="not-allowed"),
    pytest.param(errors.NotFound("There is none."), (404, "not-found", {}), id="not-found"),
    pytest.param(errors.Conflict("Again."), (409, "conflict", {}), id="conflict"),
    pytest.param(
        errors.ProfileInvalid("Has errors.", errors=("a", "b")),
        (409, "profile-invalid", {"errors": ["a", "b"]}),
        id="profile-invalid-lists-the-errors",
    ),
    pytest.param(
        errors.ProfileBusy("Wait.", run_id="r-1"), (409, "profile-busy", {"runId": "r-1"}), id="profile-busy-names-run"
    ),
    pytest.param(errors.EditedElsewhere("Again."), (409, "edited-elsewhere", {}), id="edited-elsewhere"),
    pytest.param(errors.LockLost("Again."), (409, "lock-lost", {}), id="lock-lost"),
    pytest.param(errors.IllegalMove("Look again."), (409, "illegal-move", {}), id="illegal-move"),
    pytest.param(errors.NotWaiting("It is done."), (409, "not-waiting", {}), id="not-waiting"),
    pytest.param(errors.PlanOutdated("Start anew."), (409, "plan-outdated", {}), id="plan-outdated"),
    pytest.param(
        errors.PlanChanged("Look again.", fingerprint="f-2"),
        (409, "plan-changed", {"fingerprint": "f-2"}),
        id="plan-changed-names-the-present-fingerprint",
    ),
    pytest.param(
        errors.RemapNotOpen("Leave them out.", machines=("m-1", "m-2")),
        (409, "remap-not-open", {"machines": ["m-1", "m-2"]}),
        id="remap-not-open-lists-the-machines",
    ),
    pytest.param(errors.PlanImpossible("Change it."), (409, "plan-impossible", {}), id="plan-impossible"),
    pytest.param(errors.NotActiveYet("Wait."), (409, "plan-impossible", {}), id="not-active-yet"),
    pytest.param(errors.BodyTooLarge("Split it."), (413, "body-too-large", {}), id="body-too-large"),
    pytest.param(errors.UnsupportedMediaType("Send JSON."), (415, "unsupported-media-type", {}), id="media-type"),
    pytest.param(errors.IdempotencyMismatch("New key."), (422, "idempotency-mismatch", {}), id="idempotency-mismatch"),
    pytest.param(errors.TooManyRequests("Wait.", retry_after=60), (429, "too-many-requests", {}), id="too-many"),
    pytest.param(errors.SettingsInvalid(("Set A.", "Set B.")), (500, "settings-invalid", {}), id="settings-invalid"),
    pytest.param(errors.CitrixError("Down.", kind="failed"), (502, "citrix-error", {}), id="citrix"),
    pytest.param(errors.PrismError("Down.", kind="failed"), (502, "prism-error", {}), id="prism"),
    pytest.param(errors.VaultError("Denied.", kind="forbidden"), (502, "vault-error", {}), id="vault"),
    pytest.param(errors.StorageError("Busy.", kind="throttled"), (502, "storage-error", {}), id="storage"),
]


def raising(error: Exception) -> Any:
    def handler() -> func.HttpResponse:
        raise error

    return handler


def answer(error: Exception, **headers: str) -> tuple[func.HttpResponse, dict[str, Any]]:
    response = respond(http_request(headers=headers), {"GET": raising(error)})
    return response, json.loads(response.get_body())


@pytest.mark.parametrize(("error", "expected"), ERRORS)
def test_every_expected_error_becomes_the_one_problem_shape(
    error: errors.RealignError, expected: tuple[int, str, dict[str, Any]]
) -> None:
    response, document = answer(error)
    status, code, extra = expected
    trace = document.pop("traceId")
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    assert re.fullmatch("[0-9a-f]{32}", trace)
    assert document == {
        "type": f"urn:realign:{code}",
        "title": error.title,
        "status": status,
        "detail": str(error),
        "code": code,
        **extra,
    }


def test_the_cases_above_leave_no_error_class_out() -> None:
    def below(kind: type[errors.RealignError]) -> set[type[errors.RealignError]]:
        return {kind}.union(*(below(sub) for sub in kind.__subclasses__() if sub.__module__ == errors.__name__))

    shown = {type(case.values[0]) for case in ERRORS} | {errors.MethodNotAllowed}
    assert below(errors.RealignError) - shown == {errors.RealignError, errors.Upstream}


def test_too_many_requests_says_when_to_come_back() -> None:
    response, _ = answer(errors.TooManyRequests("Wait.", retry_after=60))
    assert response.headers["Retry-After"] == "60"


def test_the_trace_id_is_the_callers_and_stands_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    with caplog.at_level(logging.INFO):
        _, document = answer(errors.NotFound("There is none."), traceparent=f"00-{trace}-b7ad6b7169203331-01")
    assert document["traceId"] == trace
    assert trace in caplog.text


@pytest.mark.parametrize("header", ["", "00-xyz-b7ad6b7169203331-01", "0af7651916cd43dd8448eb211c80319c", "00-" * 9])
def test_a_malformed_traceparent_gets_a_new_trace_id(header: str) -> None:
    first, second = answer(errors.NotFound("No."), traceparent=header), answer(errors.NotFound("No."))
    assert re.fullmatch("[0-9a-f]{32}", first[1]["traceId"])
    assert first[1]["traceId"] != second[1]["traceId"]


def test_whom_a_refusal_names_is_told_to_them_and_not_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        _, document = answer(errors.NotAllowed("olive@corp.example may not approve remaps."))
    assert document["detail"].startswith("olive@corp.example")
    assert f"403 not-allowed trace={document['traceId']}" in caplog.text
    assert "olive" not in caplog.text


def test_a_fault_of_ours_is_logged_as_an_error_and_the_callers_fault_is_not(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        answer(errors.SettingsInvalid(("Set A.",)))
        answer(errors.NotFound("No."))
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


def test_what_nobody_expected_is_a_problem_without_details_and_a_log_entry_with_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    response, document = answer(ZeroDivisionError("secret detail"))
    assert (response.status_code, document["code"]) == (500, "internal-error")
    assert "secret detail" not in response.get_body().decode()
    assert document["traceId"] in caplog.text
    assert "ZeroDivisionError: secret detail" in caplog.text


@pytest.mark.parametrize("method", ["DELETE", "PUT", "HEAD", "OPTIONS"])
def test_another_method_gets_405_with_those_allowed(method: str) -> None:
    handlers = {"POST": raising(AssertionError()), "GET": raising(AssertionError())}
    response = respond(http_request(method), handlers)
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, POST"
    document = json.loads(response.get_body())
    assert document["code"] == "method-not-allowed"
    assert "Use GET or POST." in document["detail"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 200, id="no-browser"),
        pytest.param({"Sec-Fetch-Site": "same-origin"}, 200, id="own-page"),
        pytest.param({"Sec-Fetch-Site": "none"}, 200, id="typed-by-the-user"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, 403, id="other-site"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, 403, id="other-app-of-the-same-domain"),
        pytest.param({"Origin": "https://realign.example"}, 200, id="old-browser-own-page"),
        pytest.param({"Origin": "https://evil.example"}, 403, id="old-browser-other-site"),
        pytest.param({"Origin": "https://realign.example.evil.example"}, 403, id="origin-that-begins-like-ours"),
        pytest.param({"Origin": "null"}, 403, id="origin-hidden"),
        pytest.param({"Origin": "https://[evil"}, 403, id="origin-malformed"),
        pytest.param(
            {"Origin": "https://realign.example", "Sec-Fetch-Site": "cross-site"}, 403, id="the-stricter-header-wins"
        ),
    ],
)
def test_a_post_by_another_sites_page_is_refused(headers: dict[str, str], status: int) -> None:
    response = respond(http_request("POST", headers=headers), {"POST": lambda: json_answer({})})
    assert response.status_code == status


def test_another_sites_page_may_link_to_what_only_reads() -> None:
    request = http_request("GET", headers={"Sec-Fetch-Site": "cross-site"})
    assert respond(request, {"GET": lambda: json_answer({})}).status_code == 200


def test_answers_are_compact_utf8_that_no_cache_keeps() -> None:
    response = json_answer({"name": "Büro"})
    assert response.get_body() == '{"name":"Büro"}'.encode()
    assert response.mimetype == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_text_without_a_utf8_form_is_answered_all_the_same() -> None:
    assert json.loads(json_answer({"name": "a\ud800b"}).get_body()) == {"name": "a?b"}
