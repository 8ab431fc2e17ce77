"""Batches of changes: how they are written, and what their results are taken for."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.citrix.batch import fields_of, machine_of, reference_of
from shared.errors import CitrixError
from shared.model.citrix import Hosting, MachineId
from shared.model.job import ItemOutcome
from tests.unit.answers import Reply, body_of
from tests.unit.citrix_answers import VM, WritableSite, accepted, always, change, first

PATTERN = re.compile(r"^[-_0-9a-zA-Z]*$")  # the contract's own words for a reference
GUID = "cf8582de-61dd-4c61-9649-636004c89907"


def taking(*replies: Reply | Exception) -> WritableSite:
    fake = WritableSite()
    fake.on["POST /$batch"] = first(*replies, then=accepted())
    return fake


def test_a_batch_is_written_as_the_contract_says() -> None:
    fake = taking()
    assert fake.writer().submit([change(GUID, "AHV “DR”", VM.upper()), change("m-2")]) == "job-1"
    assert fake.query("POST /$batch") == [{"async": "true"}]
    assert fake.items()[0] == {
        "Reference": GUID,
        "Method": "PATCH",
        "RelativeUrl": f"/Machines/{GUID}",
        "Headers": [{"Name": "Authorization", "Value": "Bearer tok-1"}],
        "Body": json.dumps({"HostedMachineId": VM, "HypervisorConnection": "AHV “DR”"}),
    }
    (request,) = fake.asked("POST /$batch")
    assert request.headers["Content-Type"] == "application/json; charset=utf-8"
    assert request.headers["Authorization"] == "CWSAuth bearer=tok-1"
    assert request.headers["Citrix-InstanceId"] == "site-1"
    assert request.headers["Citrix-TransactionId"]


def test_a_batch_that_goes_again_with_a_new_token_has_it_in_its_items_too() -> None:
    fake = taking(Reply(status=401))
    fake.writer().submit([change()])
    assert [fake.items(number)[0]["Headers"][0]["Value"] for number in (0, 1)] == ["Bearer tok-1", "Bearer tok-2"]
    assert fake.tokens == 2


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param([], id="nothing"),
        pytest.param([change(connection=None)], id="no-connection"),
        pytest.param([change(connection=" ")], id="a-blank-connection"),
        pytest.param([change(vm=None)], id="no-vm"),
        pytest.param([change(vm="")], id="an-empty-vm"),
        pytest.param([change("")], id="no-machine"),
        pytest.param([change("..")], id="a-machine-that-is-no-segment"),
        pytest.param([change("m-1"), change("m-2"), change("M-1")], id="one-machine-twice"),
    ],
)
def test_what_must_not_be_sent_is_refused_before_anything_is(wrong: list[Any]) -> None:
    fake = taking()
    with pytest.raises(ValueError, match=r"batch|change|segment"):
        fake.writer().submit(wrong)
    assert fake.asked("POST /$batch") == []


def test_a_single_change_with_an_empty_field_is_refused_before_anything_is_sent() -> None:
    fake = WritableSite()
    for wrong in (change(connection=""), change(vm=None), change("")):
        with pytest.raises(ValueError, match=r"change|segment"):
            fake.writer().change(wrong)
    assert fake.answers.requests == []


@given(st.text(min_size=1))
def test_a_reference_fits_the_contract_and_leads_back_to_its_machine(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    reference = reference_of(MachineId(text))
    assert PATTERN.fullmatch(reference)
    assert machine_of(reference) == text


@given(st.sets(st.sampled_from(["m-1", "hex-6d2d31", "M-1", "a b", "a%20b", "m-1\n", "DOMAIN\\host", "ü"]), min_size=2))
def test_two_machines_never_share_a_reference(machines: set[str]) -> None:
    assert len({reference_of(MachineId(machine)) for machine in machines}) == len(machines)


def test_a_machine_id_goes_into_the_address_encoded_whole() -> None:
    fake = taking()
    fake.writer().submit([change("a b/c%|d")])
    assert fake.items()[0]["RelativeUrl"] == "/Machines/a%20b%2Fc%25%7Cd"


def test_both_fields_are_always_there() -> None:
    assert fields_of(Hosting("x", VM)) == {"HypervisorConnection": "x", "HostedMachineId": VM}


def test_a_429_is_raised_at_once_with_the_pause_that_citrix_asks_for() -> None:
    fake = taking(Reply(status=429, headers={"Retry-After": "7"}))
    with pytest.raises(CitrixError) as caught:
        fake.writer().submit([change()])
    error = caught.value
    assert (error.kind, error.retry_after, error.unsent, error.http_status) == ("throttled", 7.0, True, 429)
    assert fake.pauses == []
    assert len(fake.asked("POST /$batch")) == 1


def test_a_batch_without_a_job_to_follow_is_an_error_that_leaves_open_what_was_done() -> None:
    for reply in (Reply({"Items": []}), Reply(status=202), Reply(status=202, headers={"Location": "/Jobs/a%20b"})):
        with pytest.raises(CitrixError) as caught:
            taking(reply).writer().submit([change()])
        assert (caught.value.kind, caught.value.unsent) == ("malformed", False)


def results(*items: Any, body: Any = None) -> WritableSite:
    fake = WritableSite()
    fake.on["GET /Jobs/job-1/Results"] = always(Reply(body if body is not None else {"Items": list(items)}))
    return fake


def item(reference: str, code: Any, body: Any = None, **headers: str) -> dict[str, Any]:
    named = [{"Name": name.replace("_", "-"), "Value": value} for name, value in headers.items()]
    return {"Reference": reference, "Code": code, "Headers": named or None, "Body": body}


@pytest.mark.parametrize("code", [200, 201, 204, 299])
def test_an_item_is_done_with(code: int) -> None:
    assert results(item("m-1", code)).writer().results("job-1") == {"m-1": ItemOutcome(code)}


def test_results_are_matched_by_reference_in_any_order_by_any_worker() -> None:
    odd = MachineId("CORP\\W11 1")
    answers = [item("m-2", 204), item(reference_of(odd), 500), item("m-1", 202, Location="/cvad/manage/Jobs/n-1")]
    found = results(*answers).writer().results("job-1")
    assert [found[MachineId(name)].code for name in ("m-1", "m-2", odd)] == [202, 204, 500]
    assert found[MachineId("m-1")] == ItemOutcome(202, job="n-1")


def test_an_item_that_only_began_with_a_job_that_cannot_be_followed_is_not_known() -> None:
    answers = [item("m-1", 202), item("m-2", 202, Location="https://x/Jobs/.."), item("m-3", 204)]
    assert list(results(*answers).writer().results("job-1")) == ["m-3"]


@pytest.mark.parametrize(
    ("code", "body", "words"),
    [
        pytest.param(
            403,
            {"ErrorMessage": "You may not.", "SdkErrorId": "x"},
            "Citrix answered HTTP 403 for this machine: You may not (transaction t-9). Give the API client of secret "
            "citrix-emea a role that may change machines, hosting connections and the zones of catalogs.",
            id="rights",
        ),
        pytest.param(
            404,
            {"errormessage": "No such machine"},
            "HTTP 404 for this machine: No such machine (transaction t-9). It is no longer in the site",
            id="gone",
        ),
        pytest.param(400, {"ErrorMessage": "In maintenance"}, "In maintenance (transaction t-9). Look at", id="state"),
        pytest.param(401, {"detail": "expired"}, "expired (transaction t-9). Its token had ended", id="token"),
        pytest.param(500, "<html>", "HTTP 500 for this machine (transaction t-9). Run again; if it", id="no-json"),
        pytest.param(429, None, "Run again later", id="throttled"),
    ],
)
def test_an_item_that_failed_is_a_sentence_with_citrix_s_words(code: int, body: Any, words: str) -> None:
    text = json.dumps(body) if isinstance(body, dict) else body
    answers = results(item("m-1", code, text, Citrix_TransactionId="t-9"))
    (outcome,) = answers.writer().results("job-1").values()
    assert (outcome.code, outcome.job) == (code, None)
    assert words in str(outcome.error)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "no Items"),
        ({"Items": [7]}, "an item without Reference"),
        ({"Items": [{"Code": 204}]}, "an item without Reference"),
        ({"Items": [item("m-1", "204")]}, "no Code for machine m-1"),
        ({"Items": [item("m-1", None)]}, "no Code for machine m-1"),
        ({"Items": [item("m-1", 204), item("m-1", 500)]}, "two results for machine m-1"),
        ({"Items": [item("CORP\\host", 204)]}, "a reference that Realign did not give"),
        ({"Items": [item("hex-zz", 204)]}, "a reference that Realign did not give"),
    ],
)
def test_results_that_cannot_be_understood_are_an_error(body: Any, words: str) -> None:
    with pytest.raises(CitrixError, match=re.escape(words)) as caught:
        results(body=body).writer().results("job-1")
    assert caught.value.kind == "malformed"


@pytest.mark.parametrize("status", [303, 404])
def test_a_job_without_results_is_missing_and_no_redirect_is_followed(status: int) -> None:
    fake = WritableSite()
    fake.on["GET /Jobs/job-1/Results"] = always(Reply(status=status, headers={"Location": "https://evil.example/x"}))
    with pytest.raises(
        CitrixError, match=r"no job job-1, or no results of it \(transaction .+\)\. Citrix keeps"
    ) as caught:
        fake.writer().results("job-1")
    assert (caught.value.kind, caught.value.http_status) == ("missing", status)
    assert not [request for request in fake.answers.requests if "evil" in str(request.url)]


def on_premises(accepts: str | None, *, status: int = 200) -> WritableSite:
    """A controller whose batches take addresses that begin with ``accepts``; None: it takes none."""
    fake = WritableSite(on_premises=True)
    fake.on["GET /Machines"] = always(Reply({"Items": [{"Id": "m-0"}], "ContinuationToken": "more"}))

    def run(request: Any) -> Reply:
        asked = body_of(request)["Items"]
        fits = accepts is not None and all(each["RelativeUrl"].startswith(accepts) for each in asked)
        if "async=true" in str(request.url):
            return accepted()
        return Reply({"Items": [item(each["Reference"], status if fits else 404) for each in asked]})

    fake.on["POST /$batch"] = run
    return fake


@pytest.mark.parametrize(
    ("accepts", "url"),
    [("/Machines/", "/Machines/m-1"), ("CitrixOnPremises/site-1/", "CitrixOnPremises/site-1/Machines/m-1")],
)
def test_on_premises_the_form_is_found_with_a_read_and_remembered(accepts: str, url: str) -> None:
    fake = on_premises(accepts)
    writer = fake.writer()
    assert writer.takes_batches()
    probes = len(fake.asked("POST /$batch"))
    for number in range(probes):
        (probe,) = fake.items(number)
        assert (probe["Method"], "Body" in probe, probe["Reference"]) == ("GET", False, "m-0")
        assert fake.query("POST /$batch")[number] == {"async": "false"}
    assert writer.submit([change()]) == "job-1"
    assert fake.items(probes)[0]["RelativeUrl"] == url
    assert writer.takes_batches()
    assert len(fake.asked("POST /$batch")) == probes + 1
    assert len(fake.asked("GET /Machines")) == 1


def test_on_premises_a_site_that_takes_no_form_takes_no_batches() -> None:
    fake = on_premises(None)
    writer = fake.writer()
    assert not writer.takes_batches()
    assert not writer.takes_batches()
    assert len(fake.asked("POST /$batch")) == 2
    with pytest.raises(CitrixError, match="Change its machines one by one") as caught:
        writer.submit([change()])
    assert caught.value.unsent


@pytest.mark.parametrize("status", [400, 404, 405, 500, 501])
def test_on_premises_a_site_without_batches_at_all_takes_none(status: int) -> None:
    fake = on_premises(None)
    fake.on["POST /$batch"] = always(Reply(status=status))
    assert not fake.writer().takes_batches()


def test_on_premises_a_token_that_ends_in_the_try_is_renewed_for_the_next() -> None:
    fake = on_premises("/Machines/", status=401)
    writer = fake.writer()
    assert not writer.takes_batches(), "not now"
    good = on_premises("/Machines/")
    fake.on["POST /$batch"] = good.on["POST /$batch"]
    assert writer.takes_batches(), "but that was not about the form"
    assert fake.items(2)[0]["Headers"][0]["Value"] == "Bearer tok-2"


def test_on_premises_a_site_without_machines_takes_no_batches() -> None:
    fake = on_premises("/Machines/")
    fake.on["GET /Machines"] = always(Reply({"Items": []}))
    assert not fake.writer().takes_batches()


def test_in_the_cloud_nothing_is_tried() -> None:
    fake = taking()
    assert fake.writer().takes_batches()
    assert fake.answers.requests == []
