"""How sure a remap is (design, section 4, "Confidence" and rules 1, 5 and 7)."""

from __future__ import annotations

import pytest

from shared.model import ClusterReading, ReadStatus
from tests.unit.planning.builders import OFF, central, domain, element, finding_of, machine, plan_of, silent, vm

BARE = element("paris")
OWN_OFF = element("paris", vm(power=OFF))
OWN_ON = element("paris", vm())
ACTIVE = [domain("PD1", ("new", "W11-001"))]
ENTRY = [domain("PD1", ("new", "W11-001"), snapshots=[("u1", "W11-001")])]


def case(name: str, expected: str, *readings: ClusterReading, target: str | None = None) -> object:
    return pytest.param(readings, target, expected, id=name)


CASES = [
    case("own VM alone elsewhere is proof", "proven", BARE, element("amsterdam", vm())),
    case("own VM under a name that is nobody's is proof", "proven", BARE, element("amsterdam", vm(name="renamed"))),
    case("a stale original with the same UUID is no disagreement", "proven", OWN_OFF, element("amsterdam", vm())),
    case("own VM at the target is proof", "proven", silent("paris"), element("amsterdam", vm()), target="amsterdam"),
    case("own VM beside a stopped namesake is strong", "strong", BARE, element("amsterdam", vm(), vm("n", power=OFF))),
    case("one live VM of the name is strong", "strong", BARE, element("amsterdam", vm("new"))),
    case("one replaced where it was is strong", "strong", element("paris", vm("new"))),
    case("a BIOS UUID is at most strong", "strong", BARE, central("amsterdam", {"C": [vm("new", bios="u1")]})),
    case("a snapshot entry is at most strong", "strong", BARE, element("amsterdam", vm("new"), domains=ENTRY)),
    case("a live one among stopped ones is strong", "strong",
         BARE, element("amsterdam", vm("new"), vm("o", power=OFF))),
    case("leaving an existing own VM by name and power alone is weak", "weak",
         OWN_OFF, element("amsterdam", vm("new"))),
    case("leaving it on the same cluster is weak too", "weak", element("paris", vm(power=OFF), vm("new"))),
    case("leaving it by BIOS UUID without more is weak", "weak",
         OWN_OFF, central("amsterdam", {"C": [vm("new", bios="u1")]})),
    case("leaving it for a domain active on one side only is strong", "strong",
         OWN_OFF, element("amsterdam", vm("new"), domains=ACTIVE)),
    case("leaving a running own VM for such a domain is strong", "strong",
         OWN_ON, element("amsterdam", vm("new"), domains=ACTIVE)),
    case("leaving a stopped own VM for the target is strong", "strong",
         OWN_OFF, element("amsterdam", vm("new")), target="amsterdam"),
    case("leaving a dead cluster for the target by name is strong", "strong",
         silent("paris"), element("amsterdam", vm("new")), target="amsterdam"),
    case("leaving a running own VM for the target by name alone is weak", "weak",
         OWN_ON, element("amsterdam", vm("new")), target="amsterdam"),
    case("leaving one that runs under another connection for the target by name alone is weak", "weak",
         BARE, element("amsterdam", vm("new")), element("london", vm()), target="amsterdam"),
    case("leaving a running own VM for the target with a snapshot entry is strong", "strong",
         OWN_ON, element("amsterdam", vm("new"), domains=ENTRY), target="amsterdam"),
    case("leaving a running own VM for the target with a BIOS UUID is strong", "strong",
         OWN_ON, central("amsterdam", {"C": [vm("new", bios="u1")]}), target="amsterdam"),
    case("a running copy of the own VM elsewhere counts although a stopped one is at the target", "weak",
         OWN_ON, element("amsterdam", vm(power=OFF), vm("new")), target="amsterdam"),
    case("a running own VM is not left for its stopped copy at the target without a person", "weak",
         OWN_ON, element("amsterdam", vm(power=OFF)), target="amsterdam"),
    case("leaving one that runs for a stopped VM with a snapshot entry is weak", "weak",
         OWN_ON, element("amsterdam", vm("new", power=OFF), domains=ENTRY), target="amsterdam"),
    case("a stopped namesake alone is no live VM", "weak", BARE, element("amsterdam", vm("new", power=OFF))),
    case("a stopped namesake at the target is no live VM", "weak",
         silent("paris"), element("amsterdam", vm("new", power=OFF)), target="amsterdam"),
    case("a stopped namesake in a domain active on one side only is strong", "strong",
         BARE, element("amsterdam", vm("new", power=OFF), domains=ACTIVE)),
    case("own VM alone elsewhere is proof although it is stopped", "proven",
         BARE, element("amsterdam", vm(power=OFF))),
    case("leaving a stopped own VM for a domain whose other side has an API that knows none is weak", "weak",
         central("paris", {"C": [vm(power=OFF)]}), element("amsterdam", vm("new"), domains=ACTIVE)),
    case("leaving a stopped own VM for a domain whose other side did not tell its domains is weak", "weak",
         element("paris", vm(power=OFF), status=ReadStatus.INCOMPLETE),
         element("amsterdam", vm("new"), domains=ENTRY)),
    case("live outside a domain while another candidate is inside one is weak", "weak",
         BARE, element("amsterdam", vm("live")), element("london", vm("new", power=OFF), domains=ACTIVE)),
    case("the own VM outside a domain while a namesake is inside one is weak", "weak",
         BARE, element("amsterdam", vm()), element("london", vm("new", power=OFF), domains=ACTIVE)),
]  # fmt: skip


@pytest.mark.parametrize(("readings", "target", "expected"), CASES)
def test_confidence(readings: tuple[ClusterReading, ...], target: str | None, expected: str) -> None:
    record = machine()
    finding = finding_of(plan_of(record, *readings, target=target), record)
    assert (finding.kind, finding.confidence) == ("remap", expected)


def test_no_other_finding_has_a_confidence_or_a_destination() -> None:
    records = (
        machine("ALIGNED", holds="a"),
        machine("MISSING", holds="m"),
        machine("AMBIGUOUS", holds="b"),
        machine("OUTSIDE", holds="o", at="outside"),
    )
    paris = element("paris", vm("a", "ALIGNED"), vm("x", "AMBIGUOUS"), vm("y", "AMBIGUOUS"))
    findings = plan_of(records, paris).findings
    assert {finding.kind for finding in findings} == {"aligned", "missing", "ambiguous", "excluded"}
    assert all(finding.confidence is None and finding.after is None for finding in findings)


def test_a_remap_keeps_the_facts_that_it_rests_on() -> None:
    record = machine()
    finding = finding_of(plan_of(record, BARE, element("amsterdam", vm("new"), domains=ENTRY)), record)
    assert {"lineage", "name", "power-state", "protection-domain"} <= {fact.kind for fact in finding.evidence}
    assert all(fact.source and fact.detail for fact in finding.evidence)
    assert finding.explanation.endswith(".")


def test_a_remap_names_the_connection_by_its_name_and_id_in_citrix_and_the_uuid_in_lower_case() -> None:
    record = machine()
    site_name = finding_of(plan_of(record, BARE, element("amsterdam", vm("new"))), record).after
    assert site_name is not None
    assert site_name.connection == "Nutanix AHV Amsterdam"
    assert site_name.connection_id
    assert site_name.machine_id == str(site_name.machine_id).lower()
