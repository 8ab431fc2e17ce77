"""Single writes to a site: what is sent, what is sent again, what is told of a doubt, and that no secret is shown."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import requests

from shared.citrix.endpoint import segment
from shared.citrix.writer import SiteWriter
from shared.errors import CitrixError
from shared.http import Deadline, Limits
from shared.model.citrix import Hosting, HostingConnection, MachineId
from tests.unit.answers import Reply, body_of
from tests.unit.citrix_answers import CLOUD_TOKENS, SECRET, VM, WritableSite, accepted, always, change, first

PATCH = "PATCH /Machines/m-1"
RESET = "POST /hypervisors/h-2/$resetConnection"
MOVE = "POST /Zones/z-2/$moveItems"
BATCH = "POST /$batch"
DONE = Reply(status=204)
LOST = requests.exceptions.ConnectionError()
UNSENT = requests.exceptions.ConnectTimeout()
MACHINE = {
    "Id": "m-1",
    "Name": "CORP\\W11-001",
    "ProvisioningType": "Manual",
    "PowerState": "Off",
    "Hosting": {"HostedMachineId": VM.upper(), "HypervisorConnection": {"Id": "h-2", "Name": "AHV DR"}},
}


def write(fake: WritableSite, call: str) -> str | None:
    writer = fake.writer()
    if call == PATCH:
        return writer.change(change())
    if call == RESET:
        return writer.reset("h-2")
    if call == MOVE:
        return writer.move_catalog("c-1", "Persistent W11", "z-2")
    return writer.submit([change()])


WRITES = [pytest.param(call, id=call.rpartition("/")[2]) for call in (PATCH, RESET, MOVE, BATCH)]
ONCE = [pytest.param(call, id=call.rpartition("/")[2]) for call in (PATCH, MOVE, BATCH)]


def failure(fake: WritableSite, call: str) -> CitrixError:
    with pytest.raises(CitrixError) as caught:
        write(fake, call)
    return caught.value


def test_a_change_is_one_patch_with_both_fields() -> None:
    fake = WritableSite()
    fake.on[PATCH] = always(DONE)
    assert fake.writer().change(change(vm=VM.upper())) is None
    (request,) = fake.asked(PATCH)
    assert body_of(request) == {"HostedMachineId": VM, "HypervisorConnection": "AHV DR"}
    assert fake.query(PATCH) == [{"async": "false"}]
    assert request.headers["Content-Type"] == "application/json; charset=utf-8"
    assert request.headers["Citrix-InstanceId"] == "site-1"


def test_a_reset_has_no_body_and_a_move_names_the_catalog() -> None:
    fake = WritableSite()
    fake.on[RESET] = fake.on[MOVE] = always(DONE)
    assert fake.writer().reset("h-2") is None
    assert fake.writer().move_catalog("c-1", "Persistent W11", "z-2") is None
    (reset,), (move,) = fake.asked(RESET), fake.asked(MOVE)
    assert (reset.body, "Content-Type" in reset.headers) == (None, False)
    assert body_of(move) == {"Items": [{"Id": "c-1", "Name": "Persistent W11", "ItemType": "MachineCatalog"}]}
    assert fake.query(MOVE) == [{"async": "true"}]


@pytest.mark.parametrize("call", WRITES)
def test_what_only_began_is_a_job_whose_id_alone_is_taken_from_its_location(call: str) -> None:
    fake = WritableSite()
    fake.on[call] = always(accepted("job-7"))
    assert write(fake, call) == "job-7"
    assert not [request for request in fake.answers.requests if "elsewhere" in str(request.url)]


@pytest.mark.parametrize("call", WRITES)
@pytest.mark.parametrize("location", [None, "https://x/Jobs/", "https://x/Jobs/a b", "https://x/Jobs/../.."])
def test_a_job_that_cannot_be_addressed_is_an_error(call: str, location: str | None) -> None:
    fake = WritableSite()
    headers = {"Citrix-TransactionId": "theirs"} | ({"Location": location} if location else {})
    fake.on[call] = always(Reply(status=202, headers=headers))
    error = failure(fake, call)
    assert (error.kind, error.unsent, error.transaction_id) == ("malformed", False, "theirs")


def test_a_move_goes_again_after_a_429_and_obeys_it() -> None:
    fake = WritableSite()
    fake.on[MOVE] = first(Reply(status=429, headers={"Retry-After": "3"}), Reply(status=429), then=DONE)
    write(fake, MOVE)
    assert len(fake.asked(MOVE)) == 3
    assert fake.pauses[0] == 3.0
    ids = [request.headers["Citrix-TransactionId"] for request in fake.asked(MOVE)]
    assert len(set(ids)) == 3


@pytest.mark.parametrize("call", [pytest.param(PATCH, id="patch"), pytest.param(BATCH, id="batch")])
def test_a_change_says_a_429_at_once_so_that_all_of_them_slow_down(call: str) -> None:
    fake = WritableSite()
    fake.on[call] = always(Reply(status=429, headers={"Retry-After": "3"}))
    error = failure(fake, call)
    assert (error.kind, error.unsent, error.retry_after) == ("throttled", True, 3.0)
    assert (len(fake.asked(call)), fake.pauses) == (1, [])


@pytest.mark.parametrize("call", WRITES)
def test_a_write_that_was_never_sent_goes_again(call: str) -> None:
    fake = WritableSite()
    fake.on[call] = first(UNSENT, then=accepted())
    assert write(fake, call) == "job-1"


@pytest.mark.parametrize("call", ONCE)
@pytest.mark.parametrize("answer", [LOST, Reply(status=500), Reply(status=502), Reply(status=503), Reply(raw=b"{")])
def test_a_write_that_may_have_been_executed_is_not_sent_again(call: str, answer: Reply | Exception) -> None:
    fake = WritableSite()
    fake.on[call] = always(answer)
    error = failure(fake, call)
    assert len(fake.asked(call)) == 1
    assert not error.unsent
    assert "It may have been done all the same" in str(error)


@pytest.mark.parametrize("answer", [LOST, Reply(status=502), Reply(status=503), Reply(status=504), Reply(status=429)])
def test_a_reset_does_no_harm_twice(answer: Reply | Exception) -> None:
    fake = WritableSite()
    fake.on[RESET] = first(answer, then=DONE)
    assert fake.writer().reset("h-2") is None
    assert len(fake.asked(RESET)) == 2


@pytest.mark.parametrize("call", ONCE)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 415, 429])
def test_a_write_that_was_refused_was_not_executed(call: str, status: int) -> None:
    fake = WritableSite()
    fake.on[call] = always(Reply({"ErrorMessage": "Not so."}, status=status, headers={"Retry-After": "2"}))
    error = failure(fake, call)
    assert (error.unsent, error.http_status, error.retry_after) == (True, status, 2.0)
    assert error.transaction_id
    assert f"Not so. (transaction {error.transaction_id})." in str(error)


@pytest.mark.parametrize("status", [303, 307, 408, 499])
def test_what_does_not_say_that_nothing_was_done_is_no_refusal(status: int) -> None:
    fake = WritableSite()
    fake.on[PATCH] = always(Reply(status=status, headers={"Location": "https://evil.example/"}))
    assert not failure(fake, PATCH).unsent
    assert len(fake.asked(PATCH)) == 1
    assert not [request for request in fake.answers.requests if "evil" in str(request.url)]


def test_a_write_that_never_found_a_connection_is_unsent() -> None:
    fake = WritableSite()
    fake.on[PATCH] = always(UNSENT)
    assert failure(fake, PATCH).unsent


def test_a_write_for_which_there_is_no_time_left_is_unsent() -> None:
    fake = WritableSite()
    writer = fake.writer()
    writer.site.identity()
    hurried = SiteWriter(writer.site, limits=lambda: Limits(Deadline(0.0, lambda: 1.0)))
    with pytest.raises(CitrixError) as caught:
        hurried.change(change())
    assert (caught.value.kind, caught.value.unsent) == ("timeout", True)
    assert fake.asked(PATCH) == []


@pytest.mark.parametrize("call", ONCE)
def test_a_write_for_which_nobody_could_sign_in_is_unsent(call: str) -> None:
    fake = WritableSite()
    fake.on[call] = always(Reply(status=401))
    fake.on[f"POST {CLOUD_TOKENS}"] = first(
        Reply({"access_token": "tok-1", "expires_in": 3600}), then=Reply(status=401)
    )
    error = failure(fake, call)
    assert (error.kind, error.unsent) == ("sign-in", True)
    assert len(fake.asked(call)) == 1, "refused with the first token, and not sent again"


@pytest.mark.parametrize("call", WRITES)
def test_a_refused_token_is_renewed_once(call: str) -> None:
    fake = WritableSite()
    fake.on[call] = first(Reply(status=401), then=accepted())
    assert write(fake, call) == "job-1"
    sent = [request.headers["Authorization"] for request in fake.asked(call)]
    assert sent == ["CWSAuth bearer=tok-1", "CWSAuth bearer=tok-2"]


@pytest.mark.parametrize(
    ("on_premises", "status", "kind", "words"),
    [
        (False, 403, "forbidden", "Give the API client of secret citrix-emea a role that may change machines, hosting"),
        (True, 403, "forbidden", "Give the account of secret citrix-hq a role of the Citrix site that may change"),
        (False, 404, "missing", "It is no longer in the site: run again"),
        (False, 409, "failed", "Look at the machine and its hosting connection in Citrix"),
        (False, 400, "failed", "Look at the machine and its hosting connection in Citrix"),
        (False, 429, "throttled", "let fewer clients use this site"),
        (False, 530, "failed", "The site is frozen"),
    ],
)
def test_a_refusal_says_what_to_do(on_premises: bool, status: int, kind: str, words: str) -> None:
    fake = WritableSite(on_premises=on_premises)
    fake.on[PATCH] = always(Reply(status=status))
    error = failure(fake, PATCH)
    assert (error.kind, words in str(error)) == (kind, True)
    assert f"answered HTTP {status} to /Machines/m-1 (transaction " in str(error)


@pytest.mark.parametrize("name", ["AHV DR", "a/b", "100%", "a|b", "ü", "a?b#c", "a+b"])
def test_each_segment_of_a_path_is_encoded_whole(name: str) -> None:
    fake = WritableSite()
    path = f"/hypervisors/{segment(name)}/$resetConnection"
    fake.on[f"POST {path}"] = always(DONE)
    assert fake.writer().reset(name) is None
    assert set("/?#|+ ").isdisjoint(segment(name))


@pytest.mark.parametrize("wrong", ["", ".", ".."])
def test_what_is_no_segment_is_not_sent(wrong: str) -> None:
    fake = WritableSite()
    writer = fake.writer()
    for attempt in (writer.job, writer.results, writer.cancel, writer.reset, writer.hosting_connection):
        with pytest.raises(ValueError, match="segment of a path"):
            attempt(wrong)
    assert fake.answers.requests == []


def test_one_machine_is_read() -> None:
    fake = WritableSite()
    fake.on["GET /Machines/m-1"] = always(Reply(MACHINE))
    found = fake.writer().machine(MachineId("m-1"))
    assert found is not None
    assert found.hosting == Hosting("AHV DR", VM, "h-2")
    assert "Hosting" in fake.query("GET /Machines/m-1")[0]["fields"]


def test_what_is_gone_is_none() -> None:
    writer = WritableSite().writer()
    assert writer.machine(MachineId("m-1")) is None
    assert writer.hosting_connection("h-2") is None
    assert writer.power_state(MachineId("m-1")) is None


def test_the_platform_s_own_word_for_what_is_gone_is_understood() -> None:
    fake = WritableSite()
    fake.on["GET /Machines/m-1"] = always(Reply({"detail": "Object does not exist."}, status=500))
    assert fake.writer().machine(MachineId("m-1")) is None


@pytest.mark.parametrize("status", [403, 500, 503])
def test_what_cannot_be_read_is_not_taken_for_gone(status: int) -> None:
    fake = WritableSite()
    fake.on["GET /hypervisors/h-2"] = always(Reply(status=status))
    with pytest.raises(CitrixError):
        fake.writer().hosting_connection("h-2")


def test_a_machine_without_hosting_is_not_taken_for_one_without_power_management() -> None:
    fake = WritableSite()
    fake.on["GET /Machines/m-1"] = always(Reply({"Id": "m-1", "Name": "x"}))
    with pytest.raises(CitrixError, match="/Machines/m-1 has no Hosting"):
        fake.writer().machine(MachineId("m-1"))


def test_a_hosting_connection_is_read_past_the_cache() -> None:
    fake = WritableSite()
    fake.on["GET /hypervisors/h-2"] = always(
        Reply({"Id": "h-2", "Name": "AHV DR 2", "PluginId": "AcropolisPCFactory", "InMaintenanceMode": True})
    )
    found = fake.writer().hosting_connection("h-2")
    assert found == HostingConnection("h-2", "AHV DR 2", "AcropolisPCFactory", None, None, True)
    assert fake.query("GET /hypervisors/h-2") == [{"noCache": "true"}]


@pytest.mark.parametrize("status", [400, 404])
def test_an_older_site_is_asked_without_what_it_does_not_know(status: int) -> None:
    fake = WritableSite(on_premises=True)

    def old(answer: Any) -> Any:
        return lambda request: Reply(status=status) if "?" in str(request.url) else Reply(answer)

    fake.on["GET /hypervisors/h-2"] = old({"Id": "h-2", "Name": "AHV DR"})
    fake.on["GET /Machines/m-1"] = old(MACHINE)
    writer = fake.writer()
    connection, machine = writer.hosting_connection("h-2"), writer.machine(MachineId("m-1"))
    assert connection is not None
    assert machine is not None
    assert writer.power_state(MachineId("m-1")) == "Off"


def test_power_states_are_read_by_pages() -> None:
    fake = WritableSite()
    pages = [
        Reply({"Items": [{"Id": "m-1", "PowerState": "On"}, {"Id": "m-2"}], "ContinuationToken": "x"}),
        Reply({"Items": [{"Id": "m-2", "PowerState": "Off"}, {"Id": "m-3", "PowerState": "VirtualMachineNotFound"}]}),
    ]
    fake.on["GET /Machines"] = first(*pages, then=pages[1])
    assert list(fake.writer().power_states()) == [("m-1", "On"), ("m-2", "Unknown"), ("m-3", "VirtualMachineNotFound")]
    assert [query["fields"] for query in fake.query("GET /Machines")] == ["Id,PowerState"] * 2


def test_the_site_reads_through_the_same_host_and_is_asked_once_who_it_is() -> None:
    fake = WritableSite()
    fake.on[PATCH] = always(DONE)
    fake.on["GET /Machines"] = always(Reply({"Items": [MACHINE]}))
    writer = fake.writer()
    writer.change(change())
    assert [machine.id for machine in writer.site.machines()] == ["m-1"]
    assert (len(fake.asked("GET /Me")), fake.tokens) == (1, 1)


ECHOES = [
    pytest.param("Value was Bearer tok-1 here", id="as-sent"),
    pytest.param('{"Headers":[{"Name":"Authorization","Value":"Bearer tok-1"}]}', id="the-body"),
    pytest.param("tok-1", id="alone"),
    pytest.param(f"client_secret={SECRET}", id="the-credential"),
]


@pytest.mark.parametrize("words", ECHOES)
@pytest.mark.parametrize("status", [400, 401, 403, 429, 500])
@pytest.mark.parametrize("call", WRITES)
def test_no_secret_is_in_an_error_its_causes_or_a_log(
    call: str, status: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fake = WritableSite()
    fake.on[call] = always(Reply({"ErrorMessage": words}, status=status, headers={"Citrix-TransactionId": words}))
    error: BaseException | None = failure(fake, call)
    shown = [caplog.text, repr(fake.writer()), repr(fake.writer().site.endpoint)]
    while error is not None:
        shown += [str(error), repr(error), str(getattr(error, "transaction_id", ""))]
        error = error.__cause__
    for text in shown:
        assert "tok-1" not in text
        assert "tok-2" not in text
        assert SECRET not in text


def test_no_token_or_body_is_in_a_log_or_a_result_of_what_goes_well(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    fake = WritableSite()
    fake.on[BATCH] = first(UNSENT, then=accepted())
    fake.on["GET /Jobs/job-1/Results"] = always(
        Reply({"Items": [{"Reference": "m-1", "Code": 500, "Body": '{"ErrorMessage": "sent Bearer tok-1 and tok-1"}'}]})
    )
    writer = fake.writer()
    job = writer.submit([change()])
    shown = f"{caplog.text} {writer.results(job)!r} {writer!r}"
    assert "batch begun job=job-1 changes=1" in shown
    for secret in ("tok-1", "HypervisorConnection", VM, SECRET):
        assert secret not in shown
