"""The timer functions: the schedule, the sweeper, the retention, and the look at what waits and what is ready."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import azure.functions as func

from shared.telemetry.invocation import invoked

if TYPE_CHECKING:
    from shared.runs.resources import Resources


def blueprint(resources: Callable[[], Resources]) -> func.Blueprint:
    bp = func.Blueprint()

    @bp.function_name("reconcile")
    @bp.timer_trigger(arg_name="timer", schedule="%REALIGN_SCHEDULE%", run_on_startup=False, use_monitor=True)
    def reconcile(timer: func.TimerRequest, context: func.Context) -> None:
        from shared.runs.schedule import start_scheduled

        with invoked(context):
            start_scheduled(resources())

    @bp.function_name("sweep")
    @bp.timer_trigger(arg_name="timer", schedule="*/30 * * * * *", run_on_startup=False, use_monitor=False)
    def sweep(timer: func.TimerRequest, context: func.Context) -> None:
        from shared.runs.sweep import sweep as queue_again

        with invoked(context):
            queue_again(resources())

    @bp.function_name("retention")
    @bp.timer_trigger(arg_name="timer", schedule="0 40 3 * * *", run_on_startup=False, use_monitor=True)
    def retention(timer: func.TimerRequest, context: func.Context) -> None:
        from shared.runs.retention import remove_old

        with invoked(context):
            remove_old(resources())

    @bp.function_name("watch")
    @bp.timer_trigger(arg_name="timer", schedule="15 */5 * * * *", run_on_startup=False, use_monitor=False)
    def watch(timer: func.TimerRequest, context: func.Context) -> None:
        from shared.runs.watch import watch as look

        with invoked(context):
            look(resources())

    return bp
