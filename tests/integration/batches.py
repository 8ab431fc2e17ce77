"""Batches as a client of Citrix sends them, and the waiting for their jobs."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import requests

from sandbox.citrix_site import SimMachine
from tests.integration.callers import CitrixCaller

TARGET = "Nutanix AHV Amsterdam"
ENDED = ("Complete", "Failed", "Canceled")
WAIT_SECONDS = 20.0

Json = Any


def manual(citrix: CitrixCaller, number: int) -> list[SimMachine]:
    """The first machines whose hosting can be changed."""
    found = [each for each in citrix.site.machines.values() if each.provisioning == "Manual"][:number]
    assert len(found) == number
    return found


def item(citrix: CitrixCaller, reference: str, path: str, method: str = "GET", **more: Any) -> Json:
    token = str(citrix.session.headers["Authorization"]).partition("=")[2]
    headers = [{"Name": "Authorization", "Value": f"Bearer {token}"}]
    return {"Reference": reference, "Method": method, "RelativeUrl": path, "Headers": headers, **more}


def patch(citrix: CitrixCaller, machine: SimMachine, hosted: str | None = None) -> Json:
    """An item that moves the machine to a VM of the target connection."""
    body = json.dumps({"HostedMachineId": hosted or str(uuid.uuid4()), "HypervisorConnection": TARGET})
    return item(citrix, machine.id, f"/Machines/{machine.id}", "PATCH", Body=body)


def patches(citrix: CitrixCaller, machines: Iterable[SimMachine]) -> list[Json]:
    return [patch(citrix, each) for each in machines]


def submit(citrix: CitrixCaller, items: list[Json]) -> requests.Response:
    return citrix.call("POST", "/$batch?async=true", json={"Items": items})


def started(citrix: CitrixCaller, items: list[Json]) -> str:
    """The job's id."""
    answer = submit(citrix, items)
    assert (answer.status_code, answer.content) == (202, b"")
    base, _, job = answer.headers["Location"].rpartition("/")
    assert base == f"{citrix.base}/Jobs"
    return job


def until(holds: Callable[[], object]) -> None:
    """Asks again and again until it holds."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        time.sleep(0.01)


def job_until(citrix: CitrixCaller, job: str, *statuses: str) -> Json:
    """Polls a job until it has one of the statuses."""
    seen: list[Json] = []

    def reached() -> bool:
        seen[:] = [citrix.get(f"/Jobs/{job}").json()]
        return seen[0]["Status"] in statuses

    until(reached)
    return seen[0]


def results(citrix: CitrixCaller, job: str) -> list[Json]:
    """Of a job that ends: its items."""
    job_until(citrix, job, *ENDED)
    items: list[Json] = citrix.get(f"/Jobs/{job}/Results").json()["Items"]
    return items


def by_reference(items: Iterable[Json]) -> dict[str, Json]:
    return {each["Reference"]: each for each in items}
