"""Each way to say which machines are meant: an uploaded CSV, folders, connections, categories, protection domains.

And the checks that keep a machine from being moved although it is meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import pytest

from tests.e2e.client import Json
from tests.e2e.conftest import App, Serve
from tests.e2e.estates import by_host, clusters, estate, of, profile
from tests.e2e.test_starting import check_problem

LARGEST = 10 * 1024 * 1024
NAMES = 200_000
ESTATE = """
name: scopes
connections:
  - {name: Nutanix AHV Paris}
  - {name: Nutanix AHV Lyon}
  - {name: Nutanix Europe, plugin: AcropolisPCFactory}
  - {name: Nutanix Oslo, plugin: AcropolisHypervisorPCFactory}
  - {name: Nutanix Retired}
clusters:
  - {name: paris, api: element-v2, hostingConnection: Nutanix AHV Paris, registered: [{name: PAR-CL01}]}
  - {name: lyon, api: element-v2, hostingConnection: Nutanix AHV Lyon, registered: [{name: LYO-CL01}]}
  - {name: pc, api: central-v4, hostingConnection: Nutanix Europe, registered: [{name: AMS-CL01}]}
  - {name: old, api: central-v3, v4: false, hostingConnection: Nutanix Oslo, registered: [{name: OSL-CL01}]}
protectionDomains:
  - {name: PD-VDI, active: [PAR-CL01], inactive: [LYO-CL01]}
  - {name: PD-ASLEEP, inactive: [PAR-CL01, LYO-CL01]}
catalogs:
  - {name: Persistent W11, folder: EMEA}
  - {name: Persistent W11, folder: APAC\\Tokyo}
  - {name: Developers}
deliveryGroups:
  - {name: Desktops}
  - {name: Finance}
machines:
  - {names: "PAR-{:02d}", count: 3, catalog: EMEA\\Persistent W11, deliveryGroup: Desktops,
     record: {connection: Nutanix AHV Paris, id: vm}, vms: [{at: PAR-CL01, id: vm, domain: PD-VDI}]}
  - {names: "TYO-{:02d}", count: 2, catalog: APAC\\Tokyo\\Persistent W11, deliveryGroup: Finance,
     record: {connection: Nutanix AHV Paris, id: vm}, vms: [{at: PAR-CL01, id: vm}]}
  - {names: "AMS-{:02d}", count: 3, catalog: Developers, deliveryGroup: Desktops,
     record: {connection: Nutanix Europe, id: vm}, vms: [{at: AMS-CL01, id: vm, categories: {Env: VDI}}]}
  - {names: "AMS-{:02d}", first: 4, catalog: Developers, record: {connection: Nutanix Europe, id: vm},
     vms: [{at: AMS-CL01, id: vm, categories: {Env: Test}}]}
  - {names: "OSL-{:02d}", count: 2, catalog: Developers, record: {connection: Nutanix Oslo, id: vm},
     vms: [{at: OSL-CL01, id: vm, categories: {Env: VDI}}]}
  - {names: "RET-{:02d}", count: 2, catalog: Developers, record: {connection: Nutanix Retired, id: vm},
     vms: [{at: PAR-CL01, id: vm}]}
profile: {name: scopes, policy: {maxChangePercent: 100}}
"""
PARIS = {"PAR-01", "PAR-02", "PAR-03"}
TOKYO = {"TYO-01", "TYO-02"}
AMSTERDAM = {"AMS-01", "AMS-02", "AMS-03"}


@pytest.fixture(scope="module")
def app(serve: Serve) -> Iterator[App]:
    with serve(estate(ESTATE)) as running:
        yield running


def run(app: App, scope: Json, names: tuple[str, ...] = ("paris", "lyon"), **more: object) -> Json:
    """A run over the named clusters alone."""
    with profile(app, "chosen", clusters=clusters(app, *names)) as chosen:
        return app.api.run(chosen, {"scope": scope, "mode": "report", **more})


def unmatched(app: App, ended: Json) -> Json:
    found: Json = app.api.of(ended["id"])["unmatched"]
    return found


class TestCsv:
    def test_it_is_read_as_excel_writes_it(self, app: App) -> None:
        lines = [
            '\ufeffName;"Comment"',
            'par-01;"says ""hello""; and more"',
            ";",
            "",
            '"CORP\\PAR-02"; ',
            '" tyo-01.corp.example ";x',
            '"";x',
            'PAR-01;"two\r\nlines"',
            '"GHOST ""9""";',
            "",
        ]
        ended = app.api.run(app.name, {"machinesCsv": "\r\n".join(lines), "mode": "report"})
        assert by_host(app, ended).keys() == {"PAR-01", "PAR-02", "TYO-01"}
        assert unmatched(app, ended) == {"machines": ['GHOST "9"']}

    def test_it_narrows_the_profiles_scope_and_never_lifts_an_exclusion(self, app: App) -> None:
        scope = {"catalogs": ["EMEA\\Persistent W11"], "exclude": ["par-03"]}
        with profile(app, "narrow", scope=scope) as name:
            body = {"machinesCsv": "Name\nPAR-01\nPAR-03\nTYO-01\n", "mode": "report"}
            ended = app.api.run(name, body)
            both = app.api.run(name, {**body, "scope": {"machines": ["PAR-03", "PAR-02"], "exclude": ["TYO-*"]}})
        assert {host: f["reason"] for host, f in by_host(app, ended).items()} == {
            "PAR-01": "own-vm-live", "PAR-03": "excluded-by-scope",
        }  # fmt: skip
        assert {host: f["reason"] for host, f in by_host(app, both).items()} == {"PAR-03": "excluded-by-scope"}
        assert ended["counts"]["outOfScope"] == len(app.sandbox.world.site.machines) - 2
        assert unmatched(app, ended) == {}, "TYO-01 is there; it only lies outside"

    def test_two_hundred_thousand_names_in_10_mb_are_taken_and_those_that_match_nothing_are_told(
        self, app: App
    ) -> None:
        text = sized(LARGEST)
        began = monotonic()
        ended = app.api.run(app.name, {"machinesCsv": text, "mode": "report"})
        seconds = monotonic() - began
        assert (ended["status"], ended["error"]) == ("planned", None)
        assert by_host(app, ended).keys() == {"PAR-01"}
        assert ended["counts"]["unmatched"] == NAMES - 1
        shown = app.api.get(f"/api/runs/{ended['id']}")
        assert shown.json()["unmatched"] == {"machines": [ghost(number) for number in range(1_000)]}
        assert len(shown.content) < 50_000, "whoever waits for a run asks for it again and again"
        assert seconds < 60

    def test_one_character_more_is_refused_with_the_limit(self, app: App) -> None:
        answer = app.api.start(app.name, {"machinesCsv": sized(LARGEST + 1)})
        problem = check_problem(answer, 400, "invalid-request")
        assert problem["field"] == "machinesCsv"
        for part in ("10,485,761", "10,485,760 is the most", "Split it"):
            assert part in problem["detail"]
        assert len(answer.content) < 1_000


def ghost(number: int) -> str:
    return f"GHOST-{number:06d}"


def sized(characters: int) -> str:
    """A CSV of that many characters with 200,000 names, one of which is a machine's."""
    lines = [f"{ghost(number)};{'x' * 38}" for number in range(NAMES - 1)]
    text = "\n".join(["Name;Comment", *lines, "PAR-01;"])
    return text + "x" * (characters - len(text))


class TestFolders:
    def test_a_catalog_that_stands_in_two_folders_ends_the_run_with_their_paths(self, app: App) -> None:
        ended = run(app, {"catalogs": ["persistent w11"]})
        assert ended["status"] == "failed"
        for part in (
            "scope.catalogs",
            "'persistent w11'",
            "several folders",
            "EMEA",
            "APAC",
            "Tokyo",
            "path or the id",
        ):
            assert part in ended["error"]
        assert ended["steps"][-1]["status"] == "failed"

    @pytest.mark.parametrize("how", ["EMEA\\Persistent W11", "emea/persistent w11", "emea|Persistent W11", "id"])
    def test_path_or_id_decides(self, app: App, how: str) -> None:
        catalogs = app.sandbox.world.site.catalogs.values()
        first = next(each.id for each in catalogs if each.folder == "EMEA")
        ended = run(app, {"catalogs": [first.upper() if how == "id" else how, "Nowhere"]})
        assert by_host(app, ended).keys() == PARIS
        assert unmatched(app, ended) == {"catalogs": ["Nowhere"]}

    def test_several_catalogs_add_up_and_a_name_that_stands_once_needs_no_path(self, app: App) -> None:
        ended = run(app, {"catalogs": ["developers", "apac\\tokyo\\persistent w11"], "exclude": ["AMS-*"]})
        assert by_host(app, ended).keys() >= TOKYO | {"OSL-01", "RET-02"}
        assert not PARIS & by_host(app, ended).keys()

    def test_delivery_groups_narrow(self, app: App) -> None:
        ended = run(app, {"deliveryGroups": ["FINANCE", "Contractors"]})
        assert by_host(app, ended).keys() == TOKYO
        assert unmatched(app, ended) == {"deliveryGroups": ["Contractors"]}

    def test_keys_narrow_together(self, app: App) -> None:
        ended = run(app, {"deliveryGroups": ["Desktops"], "catalogs": ["Developers"], "machines": ["PAR-01", "AMS-02"]})
        assert by_host(app, ended).keys() == {"AMS-02"}
        assert unmatched(app, ended) == {}


class TestConnections:
    def test_they_narrow_to_the_machines_that_have_them_now(self, app: App) -> None:
        ended = run(app, {"hostingConnections": ["nutanix ahv paris", "Nutanix AHV Rome"]})
        assert by_host(app, ended).keys() == PARIS | TOKYO
        assert unmatched(app, ended) == {"hostingConnections": ["Nutanix AHV Rome"]}

    def test_one_that_belongs_to_no_cluster_of_the_profile_is_reached_only_by_its_name(self, app: App) -> None:
        unnamed = by_host(app, run(app, {"machines": ["RET-01", "RET-02"]}))
        assert {(f["finding"], f["reason"]) for f in unnamed.values()} == {("excluded", "connection-not-in-profile")}
        assert "Nutanix Retired" in unnamed["RET-01"]["explanation"]
        named = by_host(app, run(app, {"hostingConnections": ["Nutanix Retired"]}))
        assert {(h, f["finding"], f["confidence"]) for h, f in named.items()} == {
            ("RET-01", "remap", "proven"), ("RET-02", "remap", "proven"),
        }  # fmt: skip
        assert named["RET-01"]["to"]["hostingConnection"] == "Nutanix AHV Paris"


class TestCategories:
    @pytest.mark.parametrize(("central", "hosts"), [("pc", AMSTERDAM), ("old", {"OSL-01", "OSL-02"})])
    def test_a_category_of_v4_and_of_v3_narrows_to_its_vms(self, app: App, central: str, hosts: set[str]) -> None:
        ended = run(app, {"prismCategory": {"key": "ENV", "value": "vdi"}}, ("paris", central))
        assert by_host(app, ended).keys() == hosts
        facts = [fact for f in by_host(app, ended).values() for fact in f["evidence"] if fact["kind"] == "category"]
        assert len(facts) == len(hosts)
        assert "Env:VDI" in facts[0]["detail"]

    def test_one_that_no_vm_has_is_told_and_nothing_is_in_scope(self, app: App) -> None:
        ended = run(app, {"prismCategory": {"key": "Env", "value": "Nothing"}}, ("paris", "pc", "old"))
        assert by_host(app, ended) == {}
        assert unmatched(app, ended) == {"prismCategory": ["Env:Nothing"]}

    def test_without_a_central_that_answers_the_run_fails_and_says_so(self, app: App) -> None:
        category = {"prismCategory": {"key": "Env", "value": "VDI"}}
        alone = run(app, category)
        assert alone["status"] == "failed"
        for part in ("scope.prismCategory", "Env:VDI", "none in the profile"):
            assert part in alone["error"]
        app.sandbox.faults.set("prism-500", "pc")
        try:
            silent = run(app, category, ("paris", "pc"), target="paris")
        finally:
            app.sandbox.faults.clear("prism-500")
        assert silent["status"] == "failed"
        for part in ("no Prism Central answered", "(pc)", "Run again when one answers"):
            assert part in silent["error"]


class TestPlugIns:
    def test_a_connection_that_is_not_nutanixs_is_moved_to_only_with_the_bypass(self, app: App) -> None:
        connection = app.sandbox.world.site.connection("Nutanix AHV Paris")
        assert connection is not None
        plugin, connection.plugin_id = connection.plugin_id, "VMwareFactory"
        retired: Json = {"scope": {"hostingConnections": ["Nutanix Retired"]}, "mode": "report"}
        ended = {}
        try:
            for bypass in (False, True):
                policy = {"maxChangePercent": 100, "bypassHypervisorTypeCheck": bypass}
                with profile(app, "plug-in", clusters=clusters(app, "paris"), policy=policy) as name:
                    ended[bypass] = app.api.run(name, retired)
        finally:
            connection.plugin_id = plugin
        assert {(f["finding"], f["reason"]) for f in by_host(app, ended[False]).values()} == {
            ("excluded", "hypervisor-type")
        }
        assert "VMwareFactory" in of(ended[False], "paris")["error"]
        assert {(f["finding"], f["to"]["hostingConnection"]) for f in by_host(app, ended[True]).values()} == {
            ("remap", "Nutanix AHV Paris")
        }
        assert of(ended[True], "paris")["error"] is None


class TestProtectionDomain:
    def test_its_machines_are_meant_where_it_is_active(self, app: App) -> None:
        assert by_host(app, run(app, {"protectionDomain": "pd-vdi"})).keys() == PARIS
        assert by_host(app, run(app, {"protectionDomain": "PD-VDI"}, target="paris")).keys() == PARIS

    @pytest.mark.parametrize(
        ("name", "target", "parts"),
        [
            ("PD-ASLEEP", None, ("'PD-ASLEEP' is not active", "known on: paris, lyon", "Activate or migrate it")),
            ("PD-VDI", "lyon", ("'PD-VDI' is not active on the target lyon", "known on: ", "Activate or migrate it")),
            ("PD-NOWHERE", None, ("'PD-NOWHERE' is not active", "known on: no cluster", "correct the name")),
        ],
        ids=["active-nowhere", "active-elsewhere-than-the-target", "unknown"],
    )
    def test_where_it_is_not_active_the_run_fails_and_says_so(
        self, app: App, name: str, target: str | None, parts: tuple[str, ...]
    ) -> None:
        ended = run(app, {"protectionDomain": name}, target=target) if target else run(app, {"protectionDomain": name})
        assert ended["status"] == "failed"
        for part in ("scope.protectionDomain", *parts):
            assert part in ended["error"]

    def test_a_profile_without_an_element_cannot_ask_for_one(self, app: App) -> None:
        ended = run(app, {"protectionDomain": "PD-VDI"}, ("pc",))
        assert ended["status"] == "failed"
        assert "known on: no cluster" in ended["error"]
        with profile(app, "no-element", clusters=clusters(app, "pc"), scope={"protectionDomain": "PD-VDI"}) as name:
            problem = check_problem(app.api.start(name), 409, "profile-invalid")
        assert any("element-v2" in error for error in problem["errors"])
