"""``python -m sandbox demo``: a protection-domain activation, from drift to verified, and back again.

It plays the scenario on the real function app behind the local host, over HTTP as an orchestrator and an approver
would, and compares what the app found, and what Citrix has in the end, with what the scenario says is right.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import requests
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from sandbox.azurite import AzuriteError
from sandbox.host_process import ROOT, HostError, HostProcess
from sandbox.hybrid_connections import HybridConnection
from sandbox.sandbox import DefectiveSandbox, Sandbox
from sandbox.scenario import Expected, Scenario, load

SCENARIO = "activation-old-cluster-dead"
FOLDER = ROOT / ".demo"
RUN_SECONDS = 120.0
LATENCY_SECONDS = 0.15  # so that the progress can be seen
LISTENERS = {"hcm": "Hybrid Connection Manager", "azbridge": "azbridge"}
AT_WORK = ("queued", "planning", "applying", "rolling-back")

_STYLES = {"remap": "green", "aligned": "dim", "excluded": "dim", "unknown": "yellow"}
Json = dict[str, Any]


class DemoFailed(Exception):
    """The demo did not end as it should; the message says how."""


def main(args: argparse.Namespace) -> int:
    """Play the demo; 0 if all that is found, written and taken back is the scenario's."""
    console = Console(highlight=False, soft_wrap=True)
    # SIGTERM ends it as Ctrl-C does, so that nothing is left running then either
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _play(console, load(SCENARIO), args.port)
    except (DemoFailed, HostError, AzuriteError, DefectiveSandbox, requests.RequestException, OSError) as error:
        console.print("[red]The demo failed:[/red]", end=" ")
        console.print(str(error), markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("Stopped.")
        return 130
    return 0


def _play(console: Console, scenario: Scenario, port: int) -> None:
    console.rule("Realign demo: a site is lost, its desktops run elsewhere")
    console.print(scenario.describes.strip())
    console.print()
    storage = FOLDER / "storage"
    shutil.rmtree(storage, ignore_errors=True)
    storage.mkdir(parents=True)
    with console.status("Starting Azurite, Key Vault, Citrix, two Prisms, an Azure Relay and the function host ..."):
        sandbox = Sandbox(scenario, latency=LATENCY_SECONDS, data_directory=storage)
        sandbox.start()
    try:
        with HostProcess(sandbox.environ, port=port) as host:
            _ways(console, sandbox)
            operator = _Client(host.url, "Olive Operator", "Realign.Operator")
            approver = _Client(host.url, "Ada Approver", "Realign.Approver")
            path = f"/api/profiles/{scenario.profile_name}/runs"
            run = _until_rest(console, operator, operator.say(console, path, scenario.run))
            findings = operator.get(f"/api/runs/{run['id']}/remaps?limit=1000")["items"]
            csv_file = FOLDER / "findings.csv"
            csv_file.write_bytes(operator.content(f"/api/runs/{run['id']}/remaps.csv"))
            _show(console, run, findings)
            _compare(console, run, findings, sandbox)
            _apply(console, approver, run, sandbox)
            _roll_back(console, approver, run, sandbox)
            _story(console, operator, run)
    finally:
        sandbox.stop()
    console.print(
        f"All of it stands in Table Storage: tables [b]runs[/b], [b]remaps[/b] and [b]events[/b], partition "
        f"[b]{run['id']}[/b], kept by Azurite in {storage.relative_to(ROOT)}/ ; the findings as CSV in "
        f"{csv_file.relative_to(ROOT)} ."
    )
    console.print("Nothing is left running.")


class _Client:
    """The API as a signed-in person calls it; what Easy Auth would add, it adds itself."""

    def __init__(self, url: str, name: str, role: str) -> None:
        claims = [{"typ": "name", "val": name}, {"typ": "roles", "val": role}]
        principal = {"auth_typ": "aad", "name_typ": "name", "role_typ": "roles", "claims": claims}
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["X-MS-CLIENT-PRINCIPAL"] = base64.b64encode(json.dumps(principal).encode()).decode()

    def get(self, path: str) -> Json:
        document: Json = self._answer("GET", path).json()
        return document

    def content(self, path: str) -> bytes:
        return self._answer("GET", path).content

    def post(self, path: str, body: Mapping[str, Any]) -> Json:
        document: Json = self._answer("POST", path, body).json()
        return document

    def say(self, console: Console, path: str, body: Mapping[str, Any]) -> Json:
        console.print(f"POST {path}  {json.dumps(body)}", markup=False)
        return self.post(path, body)

    def _answer(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> requests.Response:
        answer = self._session.request(method, self._url + path, json=body, timeout=30)
        if answer.status_code >= 400:
            raise DemoFailed(f"{method} {path} answered {answer.status_code}: {answer.text[:500]}")
        return answer


def _until_rest(console: Console, client: _Client, run: Json) -> Json:
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn()
    )
    with bar:
        task = bar.add_task(run["status"], total=100)
        ends = time.monotonic() + RUN_SECONDS
        while run["status"] in AT_WORK:
            if time.monotonic() > ends:
                raise DemoFailed(f"run {run['id']} is still {run['status']} after {RUN_SECONDS:.0f} s")
            time.sleep(0.1)
            run = client.get(run["links"]["self"])
            bar.update(task, completed=run["progress"], description=f"{run['status']:<16}")
    if run["error"]:
        raise DemoFailed(run["error"])
    return run


def _apply(console: Console, approver: _Client, run: Json, sandbox: Sandbox) -> None:
    """Approve the whole plan, and see that Citrix has what it says."""
    console.print()
    body = {"all": True, "fingerprint": run["fingerprint"], "comment": "The site is down."}
    applied = _until_rest(console, approver, approver.say(console, f"{run['links']['self']}/approve", body))
    _steps(console, applied, since=run)
    right = {
        machine: (expected.to_connection, expected.to_uuid)
        for machine, expected in sandbox.expected.items()
        if expected.finding == "remap"
    }
    _check(applied, "completed", {"verified": len(right)}, _in_citrix(sandbox, right), right)
    console.print(f"Citrix has the right hosting connection and VM for all {len(right)} machines.")


def _roll_back(console: Console, approver: _Client, run: Json, sandbox: Sandbox) -> None:
    """Take it back, and see that Citrix has what it had."""
    console.print()
    before = {
        each["machine"]["id"]: (each["from"]["hostingConnection"], each["from"]["hostedMachineId"])
        for each in approver.get(f"/api/runs/{run['id']}/remaps?state=verified&limit=1000")["items"]
    }
    applied = approver.get(run["links"]["self"])
    body = {"comment": "The drill is over."}
    back = _until_rest(console, approver, approver.say(console, f"{run['links']['self']}/rollback", body))
    _steps(console, back, since=applied)
    _check(back, "rolled-back", {"rolled-back": len(before)}, _in_citrix(sandbox, before), before)
    console.print(f"Citrix has again what it had before the run, for all {len(before)} machines.")


def _in_citrix(sandbox: Sandbox, machines: Iterable[str]) -> dict[str, tuple[str | None, str | None]]:
    """Hosting connection and hosted machine id, as the simulated Citrix has them."""
    site = sandbox.world.site
    records = {machine: site.machines[machine] for machine in machines}
    return {
        machine: (site.connections[record.connection_id].name, record.hosted_machine_id)
        for machine, record in records.items()
        if record.connection_id is not None
    }


def _check(run: Json, status: str, states: Json, found: Mapping[str, Any], right: Mapping[str, Any]) -> None:
    if (run["status"], run["counts"]["states"]) != (status, states):
        raise DemoFailed(f"the run is {run['status']} with {run['counts']['states']}, not {status} with {states}")
    if found != right:
        wrong = sum(found.get(machine) != value for machine, value in right.items())
        raise DemoFailed(f"Citrix has other values than it should for {wrong} machines")


def _steps(console: Console, run: Json, since: Json) -> None:
    for step in run["steps"][len(since["steps"]) :]:
        console.print(f"  {step['name']:<14} {step['status']:<8} {step['detail']}", markup=False)
    console.print(f"The run is [b]{run['status']}[/b].")


def _story(console: Console, client: _Client, run: Json) -> None:
    console.print()
    for event in client.get(f"{run['links']['events']}?limit=1000")["items"]:
        console.print(
            f"  {event['at'][11:19]}  {event['actor']:<16} {event['action']:<20} {event['detail']}", markup=False
        )


def _ways(console: Console, sandbox: Sandbox) -> None:
    """How the app comes to what stands on premises."""
    for name, relay in sandbox.relays.items():
        if isinstance(relay, HybridConnection):
            listener = LISTENERS[relay.route["listener"]]
            console.print(
                f"Prism [b]{name}[/b] has no open port: Realign reaches {relay.behind.target} through the Azure Relay "
                f"hybrid connection [b]{relay.entity.path}[/b], where a simulated {listener} listens."
            )
    console.print()


def _show(console: Console, run: Json, findings: list[Json]) -> None:
    console.print()
    for cluster in run["clusters"]:
        said = cluster["error"] or f"{cluster['vms']} VMs"
        console.print(f"Cluster [b]{cluster['name']}[/b] ({cluster['api']}) {cluster['status']}: {said}", markup=True)
    console.print(_table(findings))
    counts = Counter(finding["finding"] for finding in findings)
    console.print("  ".join(f"[{_STYLES.get(kind, 'red')}]{kind} {n}[/]" for kind, n in sorted(counts.items())))
    for move, number in _moves(findings).items():
        console.print(f"{number} remaps {move}")
    for guard in run["guards"]:
        console.print(f"[yellow]Guard {guard['name']}:[/yellow] {guard['explanation']}")
    console.print(f"The run is [b]{run['status']}[/b], plan fingerprint {run['fingerprint']}.")


def _table(findings: list[Json]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("machine", "finding", "reason", "confidence", "Citrix has", "live VM"):
        table.add_column(column, no_wrap=True)
    for finding in sorted(findings, key=lambda each: (each["finding"] != "remap", each["finding"], _name(each))):
        style = _STYLES.get(finding["finding"], "red")
        table.add_row(
            _name(finding),
            f"[{style}]{finding['finding']}[/]",
            finding["reason"],
            finding["confidence"] or "",
            _short(finding["from"]),
            _short(finding["to"]),
        )
    return table


def _moves(findings: list[Json]) -> Counter[str]:
    """How many remaps go from which hosting connection to which."""
    remaps = (finding for finding in findings if finding["to"] is not None)
    return Counter(f"{r['from']['hostingConnection']} -> {r['to']['hostingConnection']}" for r in remaps)


def _name(finding: Json) -> str:
    return str(finding["machine"]["name"])


def _short(hosting: Json | None) -> str:
    """The first part of a VM's UUID: enough to tell two apart on a screen."""
    return hosting["hostedMachineId"][:8] if hosting is not None and hosting["hostedMachineId"] is not None else "-"


def _compare(console: Console, run: Json, findings: list[Json], sandbox: Sandbox) -> None:
    scenario = sandbox.scenario
    found = {finding["machine"]["id"]: _verdict(finding) for finding in findings}
    right = {machine: _right(expected) for machine, expected in sandbox.expected.items()}
    wrong = [f"{machine}: {found.get(machine)}, not {verdict}" for machine, verdict in right.items()
             if found.get(machine) != verdict]  # fmt: skip
    wrong += [f"machine {machine} is not of the scenario" for machine in found.keys() - right.keys()]
    whole = (
        ("guards", [guard["name"] for guard in run["guards"]], list(scenario.guards)),
        ("machines out of scope", run["counts"]["outOfScope"], scenario.out_of_scope),
        ("unmatched names", run["unmatched"], {key: list(names) for key, names in scenario.unmatched.items()}),
    )
    wrong += [f"{what}: {got}, not {wanted}" for what, got, wanted in whole if got != wanted]
    if wrong:
        raise DemoFailed("; ".join(wrong[:5]))
    console.print(f"All {len(right)} findings, the guards and the counts are what the scenario says is right.")


def _verdict(finding: Json) -> tuple[str | None, ...]:
    to = finding["to"] or {"hostingConnection": None, "hostedMachineId": None}
    kind = (finding["finding"], finding["reason"], finding["confidence"])
    return (*kind, to["hostingConnection"], to["hostedMachineId"])


def _right(expected: Expected) -> tuple[str | None, ...]:
    kind = (expected.finding, expected.reason, expected.confidence)
    return (*kind, expected.to_connection, expected.to_uuid)
