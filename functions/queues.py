"""The queue functions: the work, what webhooks are told, and what failed too often in either."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import azure.functions as func

from shared.telemetry.invocation import invoked

if TYPE_CHECKING:
    from shared.runs.resources import Resources


def blueprint(resources: Callable[[], Resources]) -> func.Blueprint:
    bp = func.Blueprint()

    @bp.function_name("work")
    @bp.queue_trigger(arg_name="msg", queue_name="realign-work", connection="AzureWebJobsStorage")
    def work(msg: func.QueueMessage, context: func.Context) -> None:
        from shared.runs.work import do_work

        with invoked(context):
            do_work(resources(), msg.get_body())

    @bp.function_name("work_poison")
    @bp.queue_trigger(arg_name="msg", queue_name="realign-work-poison", connection="AzureWebJobsStorage")
    def work_poison(msg: func.QueueMessage, context: func.Context) -> None:
        from shared.runs.work import give_up

        with invoked(context):
            give_up(resources(), msg.get_body())

    @bp.function_name("notify")
    @bp.queue_trigger(arg_name="msg", queue_name="realign-notify", connection="AzureWebJobsStorage")
    def notify(msg: func.QueueMessage, context: func.Context) -> None:
        from shared.runs.work import do_work

        with invoked(context):
            do_work(resources(), msg.get_body())

    @bp.function_name("notify_poison")
    @bp.queue_trigger(arg_name="msg", queue_name="realign-notify-poison", connection="AzureWebJobsStorage")
    def notify_poison(msg: func.QueueMessage, context: func.Context) -> None:
        from shared.runs.work import give_up

        with invoked(context):
            give_up(resources(), msg.get_body())

    return bp
