"""A small function app that shows what a host does to one. Each call of interest adds a line to the journal file."""

import asyncio
import json
import logging
import os
import threading
import time
from pathlib import Path

import azure.functions as func

bp = func.Blueprint()
log = logging.getLogger("sample")

LOCK = threading.Lock()
RUNNING = {"now": 0, "most": 0}
GATE = Path(os.environ.get("GATE_FILE", "gate"))
STARTED = time.monotonic()


def journal(**entry: object) -> None:
    with LOCK, open(os.environ["JOURNAL"], "a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def wait_for_gate() -> None:
    while not GATE.exists():
        time.sleep(0.01)


@bp.route(route="echo/{id}/{*rest}", auth_level=func.AuthLevel.ANONYMOUS)
def echo(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    return func.HttpResponse(
        json.dumps(
            {
                "method": req.method,
                "url": req.url,
                "params": dict(req.params),
                "route": dict(req.route_params),
                "headers": dict(req.headers),
                "body": req.get_body().decode("latin-1"),
                "function": context.function_name,
                "invocation": context.invocation_id,
                "thread": threading.current_thread().name,
            }
        ),
        mimetype="application/json",
    )


@bp.route(route="first", methods=["GET", "POST"], auth_level=func.AuthLevel.ANONYMOUS)
def b_second(req: func.HttpRequest) -> str:
    return "b_second"


@bp.route(route="{anything}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def a_first(req: func.HttpRequest) -> str:
    return "a_first"


@bp.route(route="rich/answer", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def rich(req: func.HttpRequest) -> func.HttpResponse:
    answer = func.HttpResponse(
        "f\u00fcr", status_code=418, mimetype="text/x-tea", charset="latin-1", headers={"X-Kind": "green"}
    )
    answer.headers.add("Set-Cookie", "a=1")
    answer.headers.add("Set-Cookie", "b=2; Path=/")
    return answer


@bp.route(route="no/content", auth_level=func.AuthLevel.ANONYMOUS)
def nothing(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(status_code=204)


@bp.route(route="raise/error", auth_level=func.AuthLevel.ANONYMOUS)
def raises(req: func.HttpRequest) -> func.HttpResponse:
    raise ZeroDivisionError("the sample fails\nFORGED line")


@bp.route(route="raise/wrong", auth_level=func.AuthLevel.ANONYMOUS)
def returns_the_wrong_thing(req: func.HttpRequest) -> func.HttpResponse:
    return 7  # type: ignore[return-value]


@bp.route(route="secret/function")
def keyed(req: func.HttpRequest) -> str:
    return "keyed"


@bp.route(route="secret/admin", auth_level=func.AuthLevel.ADMIN)
def keyed_admin(req: func.HttpRequest) -> str:
    return "keyed_admin"


@bp.route(route="async/where", auth_level=func.AuthLevel.ANONYMOUS)
async def on_loop(req: func.HttpRequest) -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name


@bp.route(route="log/line", auth_level=func.AuthLevel.ANONYMOUS)
def logs_a_line(req: func.HttpRequest) -> str:
    log.info("from the app %s", req.params.get("text"))
    logging.getLogger("azure.core").info("quiet please")
    return "logged"


@bp.route(route="busy/gate", auth_level=func.AuthLevel.ANONYMOUS)
def busy(req: func.HttpRequest) -> str:
    with LOCK:
        RUNNING["now"] += 1
        RUNNING["most"] = max(RUNNING["most"], RUNNING["now"])
    journal(busy="in", running=RUNNING["now"])
    wait_for_gate()
    with LOCK:
        RUNNING["now"] -= 1
    return str(RUNNING["most"])


@bp.timer_trigger(arg_name="timer", schedule="%SAMPLE_SCHEDULE%")
def scheduled(timer: func.TimerRequest) -> None:
    journal(timer="scheduled", past_due=timer.past_due)


@bp.timer_trigger(arg_name="timer", schedule="* * * * * *")
def overlapping(timer: func.TimerRequest) -> None:
    journal(timer="overlapping", event="begin", at=time.monotonic() - STARTED)
    time.sleep(1.2)
    journal(timer="overlapping", event="end", at=time.monotonic() - STARTED)


@bp.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
async def yearly(timer: func.TimerRequest, context: func.Context) -> None:
    journal(timer=context.function_name, past_due=timer.past_due)


@bp.queue_trigger(arg_name="message", queue_name="%SAMPLE_QUEUE%", connection="AzureWebJobsStorage")
def worker(message: func.QueueMessage) -> None:
    body = message.get_body().decode()
    with LOCK:
        RUNNING["now"] += 1
    journal(
        queue=body,
        id=message.id,
        attempt=message.dequeue_count,
        running=RUNNING["now"],
        at=time.monotonic(),
        receipt=bool(message.pop_receipt),
        inserted=message.insertion_time.isoformat() if message.insertion_time else None,
    )
    try:
        if body.startswith("gate"):
            wait_for_gate()
        if body.startswith("fail"):
            raise ValueError("the sample can't do this")
        if body.startswith("stuck"):
            threading.Event().wait()
    finally:
        with LOCK:
            RUNNING["now"] -= 1


@bp.queue_trigger(arg_name="message", queue_name="%SAMPLE_QUEUE%-poison", connection="AzureWebJobsStorage")
def poisoned(message: func.QueueMessage) -> None:
    journal(poison=message.get_body().decode("latin-1"))


app = func.FunctionApp()
app.register_functions(bp)
