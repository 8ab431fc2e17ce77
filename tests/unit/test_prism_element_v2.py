"""Prism Element v2.0 against answers of the contract's shape."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from shared.errors import PrismError
from shared.model.nutanix import PowerState, ProtectedVm, ProtectionDomain, ReadStatus, RegisteredCluster
from shared.prism.element_v2 import ElementV2, vm_from_v2
from shared.prism.reading import read_cluster
from shared.prism.sign_in import PrismCredential
from tests.unit.answers import Answers, Reply, answering, quick

BASE = "https://prism-par.corp.example:9440"
ROOT = "/PrismGateway/services/rest/v2.0"
CLUSTER = "0006200e-fe43-236a-0000-00000000601e"
SINCE = datetime(2025, 11, 20, tzinfo=UTC)
CREDENTIAL = PrismCredential("prism-paris", username="svc", password="s3cret")


def uid(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012x}"


def vm(number: int, **members: Any) -> dict[str, Any]:
    return {
        "uuid": uid(number),
        "name": f"W11-{number:03}",
        "power_state": "on",
        "host_uuid": None,
        "vm_features": {"AGENT_VM": False, "VGA_CONSOLE": True},
        "vm_nics": [{"mac_address": "50:6b:8d:97:b5:4d", "ip_address": "192.168.2.142", "ip_addresses": None}],
        **members,
    }


def listed(entities: list[Any], total: int | None = None) -> dict[str, Any]:
    number = len(entities) if total is None else total
    # "count" is the size asked for, as one recorded answer had it: nobody may rely on it.
    return {"metadata": {"grand_total_entities": number, "total_entities": number, "count": 1000}, "entities": entities}


class Element:
    """A Prism Element in memory. ``cap`` is the longest list of VMs that it answers at once."""

    def __init__(
        self,
        vms: list[Any],
        domains: list[Any] | None = None,
        snapshots: Mapping[str, list[Any]] | None = None,
        cap: int = 10_000,
    ) -> None:
        self.vms, self.domains, self.snapshots, self.cap = vms, domains or [], snapshots or {}, cap
        self.total: int | None = None
        self.override: dict[str, Reply | Exception] = {}
        self.session, self.answers = answering(self)

    def __call__(self, request: requests.PreparedRequest) -> Reply | Exception:
        parts = urlsplit(str(request.url))
        path = parts.path.removeprefix(ROOT)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if path in self.override:
            return self.override[path]
        if path == "/cluster":
            return Reply({"id": f"{CLUSTER}::1", "uuid": CLUSTER.upper(), "name": "PAR-CL01", "version": "5.10"})
        if path == "/vms":
            start = int(query.get("offset", 0))
            page = self.vms[start : start + min(self.cap, int(query.get("length", self.cap)))]
            assert query["include_vm_nic_config"] == "true"
            return Reply(listed(page, len(self.vms) if self.total is None else self.total))
        if path == "/protection_domains/":
            return Reply(listed(self.domains))
        return Reply(listed(self.snapshots[path.split("/")[2]]))

    def client(self, credential: PrismCredential = CREDENTIAL) -> ElementV2:
        return ElementV2(self.session, BASE, credential, cluster="paris")

    def read(self) -> Any:
        return read_cluster(self.client(), name="paris", hosting_connection="AHV Paris", since=SINCE, limits=quick())


def paths(answers: Answers) -> list[str]:
    return [path.removeprefix(ROOT) for path in answers.paths]


def test_a_cluster_is_read_whole() -> None:
    element = Element([vm(1), vm(2, power_state="off")])
    reading = element.read()
    assert (reading.status, reading.error, reading.api) == (ReadStatus.ANSWERED, None, "element-v2")
    assert reading.registered == (RegisteredCluster(CLUSTER, "PAR-CL01"),)
    assert [found.power for found in reading.vms] == [PowerState.ON, PowerState.OFF]
    assert {found.cluster_uuid for found in reading.vms} == {CLUSTER}
    assert {found.cluster for found in reading.vms} == {"paris"}
    assert reading.hosting_connection == "AHV Paris"


def test_the_probe_comes_first_and_the_list_is_asked_for_without_a_length() -> None:
    element = Element([vm(1)])
    element.read()
    probe, *rest = paths(element.answers)
    assert probe == "/cluster"
    assert sorted(rest) == ["/protection_domains/", "/vms?include_vm_nic_config=true"], "these two side by side"


def test_a_list_that_is_cut_is_continued_by_the_number_that_came() -> None:
    element = Element([vm(number) for number in range(1200)], cap=700)
    assert len(element.read().vms) == 1200
    assert [path for path in paths(element.answers) if path.startswith("/vms")] == [
        "/vms?include_vm_nic_config=true",
        "/vms?include_vm_nic_config=true&offset=700&length=500",
    ]


def test_a_list_of_another_length_than_announced_is_read_once_more_and_is_then_incomplete() -> None:
    element = Element([vm(1), vm(2)])
    element.total = 3
    reading = element.read()
    assert reading.status is ReadStatus.INCOMPLETE
    assert not reading.dead
    assert not reading.whole
    assert {found.uuid for found in reading.vms} == {uid(1), uid(2)}
    assert "2 of 3 VMs, twice" in str(reading.error)
    assert sum(path.startswith("/vms") for path in paths(element.answers)) == 4


def test_a_vm_that_came_while_the_list_was_read_is_found_by_the_second_read() -> None:
    element = Element([vm(1), vm(2)])
    element.total = 3

    def grow(request: requests.PreparedRequest) -> Reply | Exception:
        if "offset=2" in str(request.url):
            element.vms.append(vm(3))
            element.total = None
            return Reply(listed([], 3))
        return element(request)

    element.session, _ = answering(grow)
    reading = element.read()
    assert (reading.status, len(reading.vms)) == (ReadStatus.ANSWERED, 3)


def test_what_only_the_first_of_two_incomplete_reads_saw_exists_too() -> None:
    pages = [
        listed([vm(1), vm(2, power_state="on")], 3),
        listed([], 3),
        listed([vm(2, power_state="off")], 3),
        listed([], 3),
    ]
    element = Element([])
    element.session, _ = answering(
        lambda request: Reply(pages.pop(0)) if "/vms" in str(request.url) else element(request)
    )
    reading = element.read()
    assert reading.status is ReadStatus.INCOMPLETE
    assert {found.uuid: found.power for found in reading.vms} == {uid(1): PowerState.ON, uid(2): PowerState.OFF}


def test_a_repeated_vm_counts_once() -> None:
    element = Element([vm(1), vm(1), vm(2)])
    reading = element.read()
    assert (reading.status, len(reading.vms)) == (ReadStatus.INCOMPLETE, 2)


def test_a_server_that_ignores_the_offset_does_not_hold_the_read_up() -> None:
    element = Element([])
    element.session, answers = answering(
        lambda request: Reply(listed([vm(1)], 5)) if "/vms" in str(request.url) else element(request)
    )
    assert element.read().status is ReadStatus.INCOMPLETE
    assert len(answers.requests) == 12


def test_addresses_and_macs_are_normalised() -> None:
    nics = [
        {"mac_address": "50-6B-8D-97-B5-4D", "ip_address": "10.0.0.1", "ip_addresses": ["10.0.0.1", "FE80::1", ""]},
        {"mac_address": None, "ip_address": "", "ip_addresses": None},
        {},
        None,
    ]
    found = vm_from_v2(vm(1, vm_nics=nics), cluster="paris", cluster_uuid=CLUSTER)
    assert (found.addresses, found.macs) == (("10.0.0.1", "fe80::1"), ("50:6b:8d:97:b5:4d",))


@pytest.mark.parametrize(
    ("members", "field", "value"),
    [
        pytest.param({"uuid": uid(0xABC).upper()}, "uuid", uid(0xABC), id="an-upper-case-uuid"),
        pytest.param({"name": None}, "name", "", id="a-null-name"),
        pytest.param({"name": "  "}, "name", "", id="a-blank-name"),
        pytest.param({"vm_features": {"AGENT_VM": True}}, "agent", True, id="an-agent-vm"),
        pytest.param({"vm_features": None}, "agent", False, id="null-features"),
        pytest.param({"vm_nics": None}, "macs", (), id="null-nics"),
        pytest.param({"power_state": "ON"}, "power", PowerState.ON, id="upper-case-power"),
        pytest.param({"power_state": "suspended"}, "power", PowerState.OTHER, id="suspended"),
        pytest.param({"power_state": None}, "power", PowerState.OTHER, id="null-power"),
    ],
)
def test_a_vm_with(members: dict[str, Any], field: str, value: object) -> None:
    assert getattr(vm_from_v2(vm(1, **members), cluster="paris", cluster_uuid=CLUSTER), field) == value


@pytest.mark.parametrize("bad", [{"uuid": None}, {"uuid": "none"}, {"uuid": 7}])
def test_a_vm_without_a_uuid_fails_the_cluster_with_the_field(bad: dict[str, Any]) -> None:
    reading = Element([vm(1), vm(2, **bad)]).read()
    assert reading.status is ReadStatus.FAILED
    assert "entity 2 of vms is a VM without a valid uuid" in str(reading.error)


def test_a_list_without_a_total_fails_the_cluster_with_the_field() -> None:
    element = Element([])
    element.override["/vms"] = Reply({"metadata": None, "entities": []})
    assert "metadata.grand_total_entities" in str(element.read().error)


def domain(name: str, *, active: Any, vms: Any) -> dict[str, Any]:
    return {"name": name, "active": active, "vms": vms, "metro_avail": None}


def test_protection_domains_and_the_snapshots_of_those_that_run_here() -> None:
    element = Element(
        [],
        domains=[
            domain("PD/1 ä", active=True, vms=[{"vm_id": uid(1).upper(), "vm_name": "W11-001"}]),
            domain("PD2", active=False, vms=[{"vm_id": uid(2), "vm_name": "W11-002"}]),
            domain("PD3", active=True, vms=[]),
            domain("PD4", active=True, vms=None),
        ],
        snapshots={
            "PD%2F1%20%C3%A4": [
                {"vms": [{"vm_id": uid(9), "vm_name": "W11-001"}, {"vm_id": None, "vm_name": "x"}]},
                {"vms": [{"vm_id": uid(9), "vm_name": "W11-001"}, {"vm_id": uid(8), "vm_name": None}]},
                {"vms": None},
            ]
        },
    )
    reading = element.read()
    assert reading.status is ReadStatus.ANSWERED
    assert reading.domains == (
        ProtectionDomain("PD/1 ä", True, (ProtectedVm(uid(1), "W11-001"),), (ProtectedVm(uid(9), "W11-001"),)),
        ProtectionDomain("PD2", False, (ProtectedVm(uid(2), "W11-002"),)),
        ProtectionDomain("PD3", True),
        ProtectionDomain("PD4", True),
    )
    assert sum("dr_snapshots" in path for path in element.answers.paths) == 1


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (domain("", active=True, vms=[]), "a protection domain without a name"),
        (domain("PD1", active=None, vms=[]), "protection domain PD1 without active"),
    ],
)
def test_domains_that_cannot_be_used_leave_the_vms_but_not_a_whole_read(bad: dict[str, Any], words: str) -> None:
    reading = Element([vm(1)], domains=[bad]).read()
    assert (reading.status, len(reading.vms)) == (ReadStatus.INCOMPLETE, 1)
    assert words in str(reading.error)


def test_snapshots_that_cannot_be_read_leave_the_vms_but_not_a_whole_read() -> None:
    element = Element([vm(1)], domains=[domain("PD1", active=True, vms=[{"vm_id": uid(1), "vm_name": "W11-001"}])])
    element.override["/protection_domains/PD1/dr_snapshots"] = Reply(status=500)
    reading = element.read()
    assert (reading.status, len(reading.vms)) == (ReadStatus.INCOMPLETE, 1)
    assert "answered HTTP 500" in str(reading.error)


def test_a_cluster_that_is_lost_in_the_middle_is_unreachable() -> None:
    element = Element([vm(1)])
    element.override["/protection_domains/"] = requests.exceptions.ReadTimeout()
    reading = element.read()
    assert (reading.status, reading.vms) == (ReadStatus.UNREACHABLE, ())


def test_the_password_travels_as_utf_8() -> None:
    element = Element([])
    element.client(PrismCredential("s", username="svc", password="pä€")).clusters(quick())
    header = str(element.answers.requests[0].headers["Authorization"])
    assert base64.b64decode(header.removeprefix("Basic ")).decode() == "svc:pä€"


def test_an_api_key_is_not_sent_to_prism_element() -> None:
    element = Element([])
    with pytest.raises(PrismError, match=r"cannot sign in with an API key.*secret prism-paris") as caught:
        element.client(PrismCredential("prism-paris", api_key="k")).clusters(quick())
    assert caught.value.kind == "misconfigured"
    assert element.answers.requests == []


def test_a_refused_password_is_tried_once_and_never_again() -> None:
    element = Element([vm(1)])
    element.override["/cluster"] = Reply(raw=b"<html>Unauthorized</html>", status=401)
    reading = read_cluster(element.client(), name="paris", hosting_connection="c", since=SINCE, limits=quick())
    assert (reading.status, len(element.answers.requests)) == (ReadStatus.REFUSED, 1)
    assert reading.error == (
        "Prism Element prism-par.corp.example (cluster paris) refused the user name or password of secret prism-paris "
        "(HTTP 401). Correct the secret; Prism locks accounts, so Realign does not try again for 20 minutes."
    )


def test_a_refusal_that_sets_a_cookie_is_a_refusal_all_the_same() -> None:
    """A cookie that came with the answer is no session that has expired: a second try would count towards the lock."""
    element = Element([vm(1)])
    element.override["/cluster"] = Reply(raw=b"", status=401, cookies={"JSESSIONID": "c"})
    reading = read_cluster(element.client(), name="paris", hosting_connection="c", since=SINCE, limits=quick())
    assert (reading.status, len(element.answers.requests)) == (ReadStatus.REFUSED, 1)


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        pytest.param(Reply(status=403), ReadStatus.REFUSED, "Give the account a role", id="forbidden"),
        pytest.param(Reply(status=404), ReadStatus.FAILED, "profile's api fits", id="not-this-api"),
        pytest.param(
            Reply({"message": "boom", "detailed_message": "com.nutanix..." * 999}, status=500),
            ReadStatus.FAILED,
            "answered HTTP 500: boom. Run again",
            id="server-error",
        ),
        pytest.param(Reply(status=503), ReadStatus.FAILED, "answered HTTP 503", id="busy"),
        pytest.param(Reply(raw=b"<html>"), ReadStatus.FAILED, "no valid JSON", id="not-json"),
        pytest.param(Reply([]), ReadStatus.FAILED, "is no JSON object", id="not-an-object"),
        pytest.param(Reply({"name": "x"}), ReadStatus.FAILED, "a cluster without a valid uuid", id="no-uuid"),
        pytest.param(
            requests.exceptions.ConnectTimeout(), ReadStatus.UNREACHABLE, "within 5 s. Check that it is up", id="down"
        ),
        pytest.param(requests.exceptions.ReadTimeout(), ReadStatus.UNREACHABLE, "port 9440", id="silent"),
        pytest.param(requests.exceptions.ConnectionError(), ReadStatus.UNREACHABLE, "closed the connection", id="cut"),
        pytest.param(requests.exceptions.InvalidURL(), ReadStatus.MISCONFIGURED, "Correct the host", id="bad-host"),
    ],
)
def test_a_cluster_that_does_not_answer_is_a_reading_with_a_sentence(
    answer: Reply | Exception, status: ReadStatus, words: str
) -> None:
    element = Element([vm(1)])
    element.override["/cluster"] = answer
    reading = element.read()
    assert (reading.status, reading.vms, reading.dead) == (status, (), True)
    assert str(reading.error).startswith("Prism Element prism-par.corp.example (cluster paris) ")
    assert words in str(reading.error)
    assert len(str(reading.error)) < 500
    assert "s3cret" not in str(reading.error)


@pytest.mark.parametrize(
    "words",
    [
        "wrong password hunter2!x for svc",
        "could not sign in as svc:hunter2!x",
        "denied: https://svc:hunter2%21x@10.0.0.1/api",
        "bad header c3ZjOmh1bnRlcjIheA==",
        "x" * 195 + "hunter2!x",
    ],
)
def test_a_password_that_prism_echoes_is_not_shown(words: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    element = Element([vm(1)])
    element.override["/cluster"] = Reply({"message": words}, status=503)
    with pytest.raises(PrismError, match=r"\*\*\*") as caught:
        element.client(PrismCredential("prism-paris", username="svc", password="hunter2!x")).clusters(quick())
    for secret in ("hunter2", "c3ZjOmh1bnRlcjIheA"):
        assert secret not in f"{caught.value} {caught.value!r} {caplog.text}"


def test_another_port_than_the_usual_is_named() -> None:
    session, _ = answering(lambda _: Reply(status=404))
    client = ElementV2(session, "https://prism.example:8443", CREDENTIAL, cluster="paris")
    with pytest.raises(PrismError, match=r"^Prism Element prism.example:8443 \(cluster paris\)"):
        client.clusters(quick())
