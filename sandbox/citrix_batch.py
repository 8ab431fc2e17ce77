"""``$batch`` of the simulated Citrix (contract ``citrix.md``, section 6.1): many calls in one.

Eight items of a batch are under way at a time, each as long as a call of its own, in an order that is drawn. A caller
may have four batches under way. Each item goes the way of a call, with its own credential.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from multidict import CIMultiDict

from sandbox.citrix_errors import error_data
from sandbox.citrix_faults import answer_instead_of_item, slow_down, too_many
from sandbox.citrix_jobs import BATCH, Jobs, batch_answer, new_job
from sandbox.citrix_site import CitrixSite, SiteJob
from sandbox.contract import Json, Operation
from sandbox.faults import Faults
from sandbox.front import Answer, Call, Handler
from sandbox.world import World

ITEMS_AT_ONCE = 8
BATCHES_AT_ONCE = 4
WITHOUT_BODY = ("get", "head", "delete")
# What an item takes over from its batch; its credential it brings itself.
SHARED_HEADERS = ("Host", "Accept", "Citrix-CustomerId", "Citrix-InstanceId", "Citrix-TransactionId", "User-Agent")
SUB_JOB_TYPES = {"updateMachine": "UpdateMachineCatalogMachine", "getMachine": "GetMachine"}

Route = Callable[[str, str], tuple[Operation, dict[str, str]]]
# The path of an item below the API's base, from its RelativeUrl; None where this surface does not take its form.
Form = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class _Item:
    reference: str
    call: Call | None
    job: SiteJob


class Batches:
    """The batches of one site. ``route`` finds an item's operation, ``form`` reads its ``RelativeUrl``."""

    def __init__(self, world: World, faults: Faults, jobs: Jobs, route: Route, form: Form) -> None:
        self._world = world
        self._faults = faults
        self._jobs = jobs
        self._route = route
        self._form = form
        self._waited_for: Counter[str] = Counter()
        self._batches = 0
        self._patches = 0
        self.handlers: Mapping[str, Handler] = {"submitBatch": self._submit}

    async def _submit(self, call: Call) -> Answer:
        items = [self._item(call, each) for each in call.body["Items"]]
        problem = self._problem(call.body["Items"], items)
        if problem is not None:
            return error_data(400, problem, "InvalidInput")
        if self._jobs.under_way(call.caller, BATCH) + self._waited_for[call.caller] >= BATCHES_AT_ONCE:
            return too_many(f"No more than {BATCHES_AT_ONCE} batches are executed at a time.")
        if call.query.get("async"):
            return self._jobs.start(
                call, BATCH, lambda job: self._do(items, job), sub_jobs=[each.job for each in items]
            )
        job = new_job(BATCH, call.caller)
        self._waited_for[call.caller] += 1
        try:
            await self._do(items, job)
        finally:
            self._waited_for[call.caller] -= 1
        return batch_answer(job.results)

    def _problem(self, sent: list[Json], items: list[_Item]) -> str | None:
        twice = [name for name, number in Counter(each.reference for each in items).items() if number > 1]
        if twice:
            return f"The reference {twice[0]} stands twice in the batch."
        for each in sent:
            if each.get("Body") is not None and each.get("Method", "GET").lower() in WITHOUT_BODY:
                return f"The item {each['Reference']} may not have a body."
        written = Counter(self._written(each) for each in items)
        if any(number > 1 for machine, number in written.items() if machine is not None):
            return "Two items of the batch change the same machine."
        return None

    def _written(self, item: _Item) -> str | None:
        if item.call is None or item.call.operation.id != "updateMachine":
            return None
        machine = self._world.site.machine(item.call.path["nameOrId"])
        return None if machine is None else machine.id

    def _item(self, call: Call, sent: Json) -> _Item:
        path, _, query = sent["RelativeUrl"].partition("?")
        below = self._form(path)
        if below is None:
            return _Item(sent["Reference"], None, new_job("Unknown", call.caller))
        operation, found = self._route(sent.get("Method", "GET"), below)
        headers = CIMultiDict({name: call.headers[name] for name in SHARED_HEADERS if name in call.headers})
        body = (sent.get("Body") or "").encode()
        if body:
            headers["Content-Type"] = "application/json; charset=utf-8"
        headers.update({each["Name"]: each["Value"] for each in sent.get("Headers") or []})
        made = Call(
            operation=operation,
            path=found,
            headers=headers,
            cookies={},
            raw_query=parse_qsl(query, keep_blank_values=True),
            inside=call.inside,
            raw_body=body,
            item=True,
        )
        parameters = (("Id", found["nameOrId"]),) if "nameOrId" in found else ()
        job = new_job(SUB_JOB_TYPES.get(operation.id, "Unknown"), call.caller, parameters)
        return _Item(sent["Reference"], made, job)

    async def _do(self, items: list[_Item], job: SiteJob) -> Answer | None:
        self._batches += 1
        drawn = random.Random(f"{self._world.seed}/{self._batches}").sample(items, len(items))
        waiting = iter(drawn[: len(drawn) // 2] if job.stuck else drawn)
        workers = [self._work(waiting, len(items), job) for _ in range(ITEMS_AT_ONCE)]
        await asyncio.gather(*workers)
        # Results come in another order than the items, always: who goes by position is wrong every time.
        if [each["Reference"] for each in job.results] == [each.reference for each in items]:
            job.results.reverse()
        return None

    async def _work(self, waiting: Iterator[_Item], number: int, job: SiteJob) -> None:
        for item in waiting:
            item.job.status, item.job.started = "InProgress", datetime.now(UTC)
            answer = await self._answer(item.call)
            item.job.status = "Complete" if answer.status < 400 else "Failed"
            item.job.ended, item.job.percent = datetime.now(UTC), 100
            job.results.append(_result(item.reference, answer))
            job.percent = len(job.results) * 100 // number

    async def _answer(self, call: Call | None) -> Answer:
        if call is None:
            return error_data(404, "The relative URL of the item is not known here.", "InvalidRelativeUrl")
        await slow_down(self._faults, call)
        await call.inside.pause()
        if call.operation.id == "submitBatch":
            return error_data(400, "A batch cannot hold another batch.", "InvalidInput")
        instead = answer_instead_of_item(self._faults, call)
        if instead is not None:
            return instead
        if call.operation.id == "updateMachine":
            self._patches += 1
            if self._world.nested_items and self._patches % self._world.nested_items == 0:
                call.raw_query = [*call.raw_query, ("async", "true")]
        return await call.inside.ask(call)


def gateway_form(base: str) -> Form:
    """``/Machines/{id}`` or ``Machines/{id}``."""
    return lambda path: f"{base}/{path.removeprefix('/')}"


def direct_form(base: str, customer: str, site: CitrixSite) -> Form:
    """``{customer}/{site}/Machines/{id}``, in which the official provider writes one slash too many."""
    prefix = f"{customer}/{site.id}/".lower()

    def read(path: str) -> str | None:
        path = path.removeprefix("/")
        return f"{base}/{path[len(prefix) :].lstrip('/')}" if path.lower().startswith(prefix) else None

    return read


def _result(reference: str, answer: Answer) -> Json:
    text = answer.bytes().decode("utf-8")
    headers = [{"Name": name, "Value": value} for name, value in answer.headers.items()]
    return {"Reference": reference, "Code": answer.status, "Headers": headers, "Body": text or None}
