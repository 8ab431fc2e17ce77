"""How sure a remap is (design, section 4, "Confidence" and rules 1, 5 and 7)."""

from __future__ import annotations

import pytest

from shared.model.nutanix import ClusterReading, ReadStatus
from tests.unit.planning.builders import OFF, central, domain, element, finding_of, job, machine, plan_of, silent, vm

BARE = element("paris")
OWN_OFF = element("paris", vm(power=OFF))
OWN_ON = element("paris", vm())
ACTIVE = [domain("PD1", ("new", "W11-001"))]
ENTRY = [domain("PD1", ("new", "W11-001"), snapshots=[("u1", "W11-001")])]
MOVE = [job(("u1", "new"))]


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
    case("the end of the jobs is proof", "proven",
         BARE, central("amsterdam", {"C": [vm("new", "DR-1")]}, jobs=MOVE)),
    case("the end of two jobs in a row is proof", "proven",
         BARE, central("amsterdam", {"C": [vm("next", "DR-1")]}, jobs=[*MOVE, job(("new", "next"), hour=1)])),
    case("leaving a stopped own VM for the end of the jobs is proof", "proven",
         OWN_OFF, central("amsterdam", {"C": [vm("new")]}, jobs=MOVE)),
    case("leaving a running own VM for the end of the jobs at the target is proof", "proven",
         OWN_ON, central("amsterdam", {"C": [vm("new", "DR-1")]}, jobs=MOVE), target="amsterdam"),
    case("the end of the jobs is proof although it is stopped", "proven",
         BARE, central("amsterdam", {"C": [vm("new", power=OFF)]}, jobs=MOVE)),
    case("the end of the jobs beside a stopped namesake, both of the name, is proof", "proven",
         BARE, central("amsterdam", {"C": [vm("new"), vm("n", power=OFF)]}, jobs=MOVE)),
    case("a move that kept the UUID is proof beside a stopped namesake", "proven",
         BARE, central("amsterdam", {"C": [vm(), vm("n", power=OFF)]}, jobs=[job(("u1", "u1"), action="MIGRATE")])),
    case("a stale original of a move that kept the UUID is no disagreement", "proven",
         OWN_OFF, central("amsterdam", {"C": [vm()]}, jobs=[job(("u1", "u1"), action="MIGRATE")])),
    case("what lies on the map's way is no other VM, whatever its name", "proven",
         element("paris", vm("new", power=OFF)),
         central("amsterdam", {"C": [vm("next", "DR-1")]}, jobs=[*MOVE, job(("new", "next"), hour=1)])),
    case("the map's end is called otherwise, and a stopped VM has the name", "weak",
         BARE, central("amsterdam", {"C": [vm("new", "DR-1"), vm("n", power=OFF)]}, jobs=MOVE)),
    case("the map's end is off, and a running VM has the name", "weak",
         BARE, central("amsterdam", {"C": [vm("new", "DR-1", OFF), vm("n")]}, jobs=MOVE)),
    case("the map's end is nowhere, and a running VM has the name", "weak",
         BARE, central("amsterdam", {"C": [vm("n")]}, jobs=MOVE)),
    case("the map's end is not at the target, and a VM there has the name", "weak",
         BARE, central("amsterdam", {"C": [vm("n")]}), central("london", {"D": [vm("new", "DR-1")]}, jobs=MOVE),
         target="amsterdam"),
    case("the map leads away, and the own VM runs elsewhere", "weak",
         BARE, central("amsterdam", {"C": [vm(), vm("new", power=OFF)]}, jobs=MOVE)),
    case("one of two ends is live", "strong",
         BARE, central("amsterdam", {"C": [vm("new"), vm("again", power=OFF)]},
                       jobs=[*MOVE, job(("u1", "again"), hour=1)])),
    case("one of two ends is live, and has another name than the machine and a third VM", "weak",
         BARE, central("amsterdam", {"C": [vm("new", "DR-1"), vm("n", power=OFF)]},
                       jobs=[*MOVE, job(("u1", "again"), hour=1)])),
    case("a test says nothing of the name", "strong",
         BARE, central("amsterdam", {"C": [vm("n"), vm("copy")]}, jobs=[job(("u1", "copy"), test=True)])),
    case("a job about another VM says nothing of the name", "strong",
         BARE, central("amsterdam", {"C": [vm("n")]}, jobs=[job(("u9", "copy"))])),
    case("leaving an own VM that is a decoupled leftover by name alone is weak", "weak",
         central("paris", {"C": [vm(decoupled=True)]}), element("amsterdam", vm("new"))),
    case("leaving an own VM that a test made by name alone is weak", "weak",
         central("paris", {"C": [vm()]}, jobs=[job(("u9", "u1"), test=True)]), element("amsterdam", vm("new"))),
    case("leaving an own VM that is an agent by name alone is weak", "weak",
         element("paris", vm(agent=True)), element("amsterdam", vm("new"))),
    case("leaving a decoupled leftover for the end of the jobs is proof", "proven",
         central("paris", {"C": [vm(decoupled=True)]}), central("amsterdam", {"C": [vm("new")]}, jobs=MOVE)),
    case("leaving a decoupled leftover for a domain active on one side only is strong", "strong",
         element("paris", vm(), cluster="C"), central("london", {"C": [vm(decoupled=True)]}),
         element("amsterdam", vm("new"), domains=ACTIVE)),
    case("an own VM on a cluster that is down is not known to be there still", "strong",
         BARE, central("london", {"D": [vm(decoupled=True)]}, down=["D"]),
         central("amsterdam", {"E": [vm("new", bios="u1")]})),
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
