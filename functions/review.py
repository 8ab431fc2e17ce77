"""What people do with a run that is there: ``runs/{id}/approve`` and its siblings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import azure.functions as func

from functions.body import body_of
from functions.parameters import check_known, wait_of
from functions.principal import caller_of
from functions.respond import failed, handler_for, json_answer, subject_of
from functions.waiting import answer_at_work
from shared.model.run import Run, RunId
from shared.runs.access import Caller, Role
from shared.telemetry.invocation import invoked

if TYPE_CHECKING:
    from shared.runs.resources import Resources


@dataclass(frozen=True, slots=True)
class _Action:
    """``what`` completes "may not ..."; ``do`` gets the request's body. ``order``: it is accepted, and done later."""

    role: Role
    what: str
    do: Callable[[Resources, RunId, bytes, Caller], Run]
    order: bool = False


def blueprint(resources: Callable[[], Resources]) -> func.Blueprint:
    bp = func.Blueprint()

    # async: they may wait for the run as a start does
    @bp.function_name("runs_approve")
    @bp.route(route="runs/{id}/approve", auth_level=func.AuthLevel.ANONYMOUS)
    async def runs_approve(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        return await _answer(req, context, resources, _Action(Role.APPROVER, "approve remaps", _approve))

    @bp.function_name("runs_reject")
    @bp.route(route="runs/{id}/reject", auth_level=func.AuthLevel.ANONYMOUS)
    async def runs_reject(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        return await _answer(req, context, resources, _Action(Role.APPROVER, "reject remaps", _reject))

    @bp.function_name("runs_resolve")
    @bp.route(route="runs/{id}/resolve", auth_level=func.AuthLevel.ANONYMOUS)
    async def runs_resolve(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        return await _answer(
            req, context, resources, _Action(Role.APPROVER, "decide which VM is a machine's", _resolve)
        )

    @bp.function_name("runs_apply")
    @bp.route(route="runs/{id}/apply", auth_level=func.AuthLevel.ANONYMOUS)
    async def runs_apply(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        return await _answer(req, context, resources, _Action(Role.APPROVER, "apply remaps", _apply, order=True))

    @bp.function_name("runs_rollback")
    @bp.route(route="runs/{id}/rollback", auth_level=func.AuthLevel.ANONYMOUS)
    async def runs_rollback(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        return await _answer(req, context, resources, _Action(Role.APPROVER, "roll back runs", _rollback, order=True))

    @bp.function_name("runs_cancel")
    @bp.route(route="runs/{id}/cancel", auth_level=func.AuthLevel.ANONYMOUS)
    async def runs_cancel(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        return await _answer(req, context, resources, _Action(Role.OPERATOR, "cancel runs", _cancel, order=True))

    return bp


async def _answer(
    req: func.HttpRequest, context: func.Context, resources: Callable[[], Resources], action: _Action
) -> func.HttpResponse:
    """202 with where to look for an order and a run at work, or 200 when it rests in the time to wait; else 200."""
    from functions.shapes import run_shape
    from shared.azure.runs import ACTIVE

    with invoked(context), subject_of(req):
        try:
            handler_for(req, {"POST": None})
            opened = await asyncio.to_thread(resources)
            run, wait = await asyncio.to_thread(_done, req, opened, action)
            if action.order or run.status in ACTIVE:
                return await answer_at_work(opened, run, wait, run_shape)
            return json_answer(run_shape(run))
        except Exception as error:  # noqa: BLE001 - the edge, as in respond
            return failed(req, error)


def _done(req: func.HttpRequest, resources: Resources, action: _Action) -> tuple[Run, int | None]:
    """The run once the action was taken, and how long the caller wants to wait. Who calls is checked first."""
    caller = caller_of(req, easy_auth=resources.settings.auth.enabled, role=action.role, what=action.what)
    check_known(req)
    wait = wait_of(req)
    return action.do(resources, RunId(req.route_params["id"]), body_of(req), caller), wait


def _approve(resources: Resources, run_id: RunId, body: bytes, caller: Caller) -> Run:
    from shared.runs.deciding.review import approve
    from shared.runs.deciding.review_request import ApproveRequest
    from shared.runs.request import parse_request

    return approve(resources, run_id, parse_request(body, ApproveRequest), caller)


def _reject(resources: Resources, run_id: RunId, body: bytes, caller: Caller) -> Run:
    from shared.runs.deciding.review import reject
    from shared.runs.deciding.review_request import ReviewRequest
    from shared.runs.request import parse_request

    return reject(resources, run_id, parse_request(body, ReviewRequest), caller)


def _resolve(resources: Resources, run_id: RunId, body: bytes, caller: Caller) -> Run:
    from shared.runs.deciding.resolve import resolve
    from shared.runs.deciding.review_request import ResolveRequest
    from shared.runs.request import parse_request

    return resolve(resources, run_id, parse_request(body, ResolveRequest), caller)


def _apply(resources: Resources, run_id: RunId, body: bytes, caller: Caller) -> Run:
    from shared.runs.deciding.orders import order_apply
    from shared.runs.deciding.review_request import MachinesRequest
    from shared.runs.request import parse_request

    return order_apply(resources, run_id, parse_request(body, MachinesRequest), caller)


def _rollback(resources: Resources, run_id: RunId, body: bytes, caller: Caller) -> Run:
    from shared.runs.deciding.orders import order_roll_back
    from shared.runs.deciding.review_request import MachinesRequest
    from shared.runs.request import parse_request

    return order_roll_back(resources, run_id, parse_request(body, MachinesRequest), caller)


def _cancel(resources: Resources, run_id: RunId, body: bytes, caller: Caller) -> Run:
    from shared.runs.deciding.cancel import cancel
    from shared.runs.deciding.review_request import CancelRequest
    from shared.runs.request import parse_request

    return cancel(resources, run_id, parse_request(body, CancelRequest), caller)
