"""Queue triggers: takes messages, runs the function, and deletes, retries or poisons (contract ``azure.md``, 3.4).

What a crash leaves behind is what Azure leaves behind: a message that stays hidden until its lease of ten minutes ends.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from azure.core.exceptions import AzureError

from sandbox.host.host_json import QueueOptions
from sandbox.host.invoking import Invoker
from sandbox.host.loading import LoadedFunction
from sandbox.host.messages import Received, Undecodable, body, for_function
from sandbox.host.trigger_queue import TriggerQueue
from sandbox.host.waiting import set_within

log = logging.getLogger(__name__)

_LEASE_SECONDS = 600.0
_FIRST_WAIT = 0.1

# What to do with a message and its newest pop receipt.
Verdict = Callable[[Received, str], Awaitable[None]]


class BackOff:
    """Waits between polls of an empty queue: from 100 ms, doubling, up to ``ceiling`` seconds, each a little off."""

    def __init__(self, ceiling: float, jitter: Callable[[], float] = random.random) -> None:
        self._ceiling = ceiling
        self._jitter = jitter
        self._wait = _FIRST_WAIT

    def reset(self) -> None:
        self._wait = _FIRST_WAIT

    def next(self) -> float:
        wait = min(self._wait * (0.8 + 0.4 * self._jitter()), self._ceiling)
        self._wait = min(self._wait * 2, self._ceiling)
        return wait


class _Lease:
    """Keeps one message hidden while its function runs. ``pop_receipt`` is the newest one."""

    def __init__(self, queue: TriggerQueue, message: Received, seconds: float) -> None:
        self._queue = queue
        self._message = message
        self._seconds = seconds
        self._over = asyncio.Event()
        self._renewing = asyncio.create_task(self._renew())
        self.pop_receipt = message.pop_receipt

    async def _renew(self) -> None:
        while not await set_within(self._over, self._seconds / 2):
            try:
                self.pop_receipt = await self._queue.hide(self._message.id, self.pop_receipt, self._seconds)
            except AzureError as error:
                log.warning("queue=%s: a lease was not renewed: %s", self._queue.name, error)

    async def end(self) -> None:
        # Waited for and not cancelled: a renewal under way changes the pop receipt that the next call needs.
        self._over.set()
        await self._renewing


class QueueListener:
    """Serves one queue function. ``lease`` is in seconds and Azure's own unless a test is in a hurry."""

    def __init__(
        self,
        function: LoadedFunction,
        queue: TriggerQueue,
        options: QueueOptions,
        invoker: Invoker,
        *,
        lease: float = _LEASE_SECONDS,
    ) -> None:
        self._function = function
        self._queue = queue
        self._options = options
        self._invoker = invoker
        self._lease = lease
        self._stopping = asyncio.Event()
        self._working: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Listens until ``stop`` is called, then returns when the messages in hand are settled."""
        back_off = BackOff(self._options.max_polling_interval)
        reachable = True
        while not self._stopping.is_set():
            try:
                batch = await self._queue.receive(self._options.batch_size, self._lease)
                reachable = True
            except AzureError as error:
                if reachable:  # one line an outage, not one a poll
                    log.warning("queue=%s can't be read, trying on: %s", self._queue.name, error)
                batch, reachable = (), False
            for message in batch:
                task = asyncio.create_task(self._process(message))
                self._working.add(task)
                task.add_done_callback(self._working.discard)
            if batch:
                back_off.reset()
                await self._until_working(self._options.new_batch_threshold)
            else:
                await set_within(self._stopping, back_off.next())
        await self._until_working(0)

    def stop(self) -> None:
        self._stopping.set()

    async def _until_working(self, at_most: int) -> None:
        while len(self._working) > at_most:
            await asyncio.wait(self._working, return_when=asyncio.FIRST_COMPLETED)

    async def _process(self, message: Received) -> None:
        lease = _Lease(self._queue, message, self._lease)
        try:
            verdict = await self._run_function(message)
        finally:
            await lease.end()
        try:
            await verdict(message, lease.pop_receipt)
        except AzureError as error:
            log.warning(
                "queue=%s message=%s stays hidden until its lease ends, storage refused the last step: %s",
                self._queue.name,
                message.id,
                error,
            )

    async def _run_function(self, message: Received) -> Verdict:
        """Runs the function, unless the message is beyond it, and tells what to do with the message."""
        last = message.dequeue_count >= self._options.max_dequeue_count
        if message.dequeue_count > self._options.max_dequeue_count and self._queue.has_poison_queue:
            return self._to_poison  # it was tried often enough, by workers that did not live to say so
        try:
            payload = body(message.text, self._options.encoding)
        except Undecodable as error:
            log.error("queue=%s message=%s can't be decoded: %s", self._queue.name, message.id, error)
            return self._to_poison
        try:
            await self._invoker.invoke(self._function, for_function(message, payload))
        except Exception as error:  # noqa: BLE001  # the edge: a function may raise anything, and all of it means a retry
            log.warning("queue=%s attempt=%s failed: %s", self._queue.name, message.dequeue_count, error)
            return self._to_poison if last else self._retry
        return self._done

    async def _done(self, message: Received, pop_receipt: str) -> None:
        await self._queue.delete(message.id, pop_receipt)

    async def _retry(self, message: Received, pop_receipt: str) -> None:
        # A poison queue's own failures stay hidden until their lease ends: trying at once would never stop.
        if self._queue.has_poison_queue:
            await self._queue.hide(message.id, pop_receipt, self._options.visibility_timeout)

    async def _to_poison(self, message: Received, pop_receipt: str) -> None:
        if not self._queue.has_poison_queue:
            return
        await self._queue.poison(message.text)
        await self._queue.delete(message.id, pop_receipt)
        log.error("queue=%s message=%s moved to the poison queue", self._queue.name, message.id)
