"""``python -m sandbox serve``: all of the sandbox and the app in it, until Ctrl-C.

The first line on standard output is JSON and says where everything is. The admin route beside it sets faults and shows
the counted calls: ``GET`` and ``POST /faults``, ``DELETE /faults/{name}``, ``GET`` and ``DELETE /calls``; and what the
webhook was told: ``GET /webhook``, and ``POST`` to have it fail.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType
from typing import Any

from aiohttp import web

from sandbox.azurite import AzuriteError
from sandbox.easy_auth import EasyAuthFront
from sandbox.faults import UnavailableFault, UnknownFault, parse
from sandbox.host_process import HostError, HostProcess
from sandbox.large_world import large_world
from sandbox.sandbox import Sandbox
from sandbox.scenario import DEFAULT, Scenario, load
from sandbox.world_builder import ScenarioError

CHECK_SECONDS = 1.0


def main(args: argparse.Namespace) -> int:
    """Runs until Ctrl-C (or SIGTERM) and leaves nothing running. 2: the arguments are wrong, 1: the host ended."""
    stop = threading.Event()
    # Before anything is started: a Ctrl-C during the start ends what was started by then.
    previous = {number: signal.signal(number, _stopper(stop)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        scenario = _scenario(args)
        faults = dict(_fault(text) for text in args.fault)
    except (ScenarioError, UnknownFault) as error:
        print(error, file=sys.stderr)
        return 2
    try:
        return _serve(args, scenario, faults, stop)
    except UnavailableFault as error:
        print(error, file=sys.stderr)
        return 2
    except (AzuriteError, HostError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def admin_app(sandbox: Sandbox) -> web.Application:
    """Faults and counted calls over HTTP, for tools that are not written in Python."""

    async def show_faults(request: web.Request) -> web.Response:
        return web.json_response({"items": sandbox.faults.as_json()})

    async def set_fault(request: web.Request) -> web.Response:
        try:
            body: Any = await request.json()
            # In a thread: cutting a relay waits for the loop that this handler runs on.
            await asyncio.to_thread(sandbox.faults.set, str(body["name"]), body.get("value"))
        except UnknownFault as error:
            return web.json_response({"error": str(error)}, status=400)
        except UnavailableFault as error:
            return web.json_response({"error": str(error)}, status=409)
        except (ValueError, KeyError, TypeError, AttributeError):
            return web.json_response(
                {"error": 'Send {"name": "citrix-429", "value": 3}; value is optional.'}, status=400
            )
        return web.json_response({"items": sandbox.faults.as_json()})

    async def clear_fault(request: web.Request) -> web.Response:
        try:
            await asyncio.to_thread(sandbox.faults.clear, request.match_info["name"])
        except UnknownFault as error:
            return web.json_response({"error": str(error)}, status=404)
        return web.Response(status=204)

    async def show_calls(request: web.Request) -> web.Response:
        return web.json_response({"items": sandbox.calls.as_json(), "defects": sandbox.defects.found})

    async def clear_calls(request: web.Request) -> web.Response:
        sandbox.calls.clear()
        return web.Response(status=204)

    async def show_webhook(request: web.Request) -> web.Response:
        return web.json_response(sandbox.webhook.as_json())

    async def set_webhook(request: web.Request) -> web.Response:
        try:
            sandbox.webhook.behave(await request.json())
        except (ValueError, TypeError, AttributeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(sandbox.webhook.as_json())

    app = web.Application()
    app.add_routes(
        [
            web.get("/webhook", show_webhook),
            web.post("/webhook", set_webhook),
            web.get("/faults", show_faults),
            web.post("/faults", set_fault),
            web.delete("/faults/{name}", clear_fault),
            web.get("/calls", show_calls),
            web.delete("/calls", clear_calls),
        ]
    )
    return app


def _serve(
    args: argparse.Namespace, scenario: Scenario, faults: dict[str, str | int | None], stop: threading.Event
) -> int:
    with ExitStack() as stack:
        # Always through the proxy: any fault may be set while it runs.
        latency = args.latency_ms / 1_000
        sandbox = Sandbox(scenario, latency=latency, faults=faults, storage_proxy=True, relay=args.relay, notify=True)
        stack.enter_context(sandbox)
        admin = sandbox.serve(admin_app(sandbox))
        host = HostProcess(sandbox.environ)
        stack.callback(host.close)
        host.start()
        front = EasyAuthFront()
        app = sandbox.background.run(front.start(host.url, args.port))
        stack.callback(lambda: sandbox.background.run(front.stop()))
        print(json.dumps(_addresses(sandbox, app, admin.url)), flush=True)
        while not stop.wait(CHECK_SECONDS):
            if not host.running:
                print(f"The function host ended. The end of its log:\n{host.log()}", file=sys.stderr)
                return 1
    return 0


def _addresses(sandbox: Sandbox, app: str, admin: str) -> dict[str, object]:
    return {
        "app": app,
        "review": f"{app}/api/review",
        "citrix": sandbox.citrix_url,
        "cvad": sandbox.cvad_url,
        "prism": sandbox.prism_urls,
        "relay": sandbox.azure_relay_url,
        "keyVault": sandbox.vault_url,
        "webhook": sandbox.webhook.url,
        "storage": sandbox.environ["AzureWebJobsStorage"],
        "admin": admin,
        "ca": str(sandbox.ca_file),
        "scenario": sandbox.scenario.name,
        "profile": sandbox.scenario.profile_name,
        "functionKey": sandbox.function_key,
    }


def _scenario(args: argparse.Namespace) -> Scenario:
    if args.scenario is None and args.machines is not None:
        return large_world(args.machines, args.seed)
    return load(args.scenario or DEFAULT)


def _fault(text: str) -> tuple[str, str | int | None]:
    name, _, value = text.partition("=")
    parse(name, value or None)
    return name, value or None


def _stopper(stop: threading.Event) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        stop.set()

    return handle
