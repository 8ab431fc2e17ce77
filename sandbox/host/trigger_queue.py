"""The storage queue behind a queue trigger: the calls that the listener needs, off the event loop.

The connection is found as Azure does (contract ``azure.md``, section 4.2): a setting with exactly the connection's name
is a connection string and wins; else ``<name>__queueServiceUri`` (or ``__accountName``) with the app's identity.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import ExponentialRetry, QueueClient, QueueServiceClient

from sandbox.host.messages import Received
from sandbox.host.problems import FunctionError

POISON_SUFFIX = "-poison"

# Azurite lags behind the SDK's default version and refuses what it does not know; this one both take.
_API_VERSION = "2025-11-05"
_CONNECT_SECONDS = 5
_READ_SECONDS = 30

T = TypeVar("T")


def service(connection: str, settings: Mapping[str, str]) -> QueueServiceClient:
    """The storage account that ``connection`` names in the app settings.

    Raises:
        FunctionError: no setting names an account, or it can't be read.
    """
    options: dict[str, Any] = {
        "api_version": _API_VERSION,
        # The storage default waits 15 s before its first retry. The listener has its own back-off for polling.
        "retry_policy": ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=3, random_jitter_range=1),
        "connection_timeout": _CONNECT_SECONDS,
        "read_timeout": _READ_SECONDS,
    }
    text = settings.get(connection, "")
    uri = settings.get(f"{connection}__queueServiceUri", "")
    if not uri and (account := settings.get(f"{connection}__accountName")):
        uri = f"https://{account}.queue.core.windows.net"
    if text:
        try:
            return QueueServiceClient.from_connection_string(text, **options)
        except ValueError as error:
            # The error of the SDK may quote the string, and that holds the account's key.
            raise FunctionError(f"the app setting {connection} is no storage connection string. Correct it.") from error
    if uri:
        # Imported late: with a connection string the host has no use for msal, nor for anything of the app's own.
        from shared.azure.identity import credential_from
        from shared.errors import RealignError

        try:
            return QueueServiceClient(uri, credential=credential_from(settings), **options)
        except (RealignError, ValueError) as error:
            raise FunctionError(f"its storage {connection} can't be used: {error}") from error
    raise FunctionError(f"no app setting {connection} or {connection}__queueServiceUri names its storage. Set one.")


class TriggerQueue:
    """One queue and its poison queue. Every method runs the sync client in ``threads``.

    All raise ``azure.core.exceptions.AzureError`` for what storage refuses or does not answer. Times are in seconds.
    """

    def __init__(self, account: QueueServiceClient, name: str, threads: Executor) -> None:
        self.name = name
        self._queue: QueueClient = account.get_queue_client(name)
        # A poison queue has no poison queue of its own.
        self._poison: QueueClient | None = None
        if not name.endswith(POISON_SUFFIX):
            self._poison = account.get_queue_client(name + POISON_SUFFIX)
        self._threads = threads

    @property
    def has_poison_queue(self) -> bool:
        return self._poison is not None

    async def receive(self, count: int, lease: float) -> tuple[Received, ...]:
        """Up to ``count`` messages, hidden from others for ``lease``; none if the queue does not exist."""
        return await self._off_loop(lambda: self._receive(count, lease))

    def _receive(self, count: int, lease: float) -> tuple[Received, ...]:
        messages = self._queue.receive_messages(messages_per_page=count, visibility_timeout=round(lease), retry_total=0)
        try:
            page = list(next(messages.by_page(), ()))
        except ResourceNotFoundError:
            return ()  # the app makes its queues at their first use; listening does not
        return tuple(_received(message) for message in page)

    async def hide(self, message_id: str, pop_receipt: str, seconds: float) -> str:
        """Hides the message for that long from now on and gives its new pop receipt."""

        def update() -> str:
            # By id and without content: storage keeps the text as it is.
            answer = self._queue.update_message(message_id, pop_receipt, visibility_timeout=round(seconds))
            return str(answer.pop_receipt)

        return await self._off_loop(update)

    async def delete(self, message_id: str, pop_receipt: str) -> None:
        await self._off_loop(lambda: self._queue.delete_message(message_id, pop_receipt))

    async def poison(self, text: str) -> None:
        """Copies the wire text to the poison queue, which it makes if need be."""
        await self._off_loop(lambda: self._copy(text))

    def _copy(self, text: str) -> None:
        if self._poison is None:
            raise LookupError(f"The queue {self.name} has no poison queue.")
        try:
            self._poison.send_message(text)
        except ResourceNotFoundError:
            with contextlib.suppress(ResourceExistsError):  # another worker may be faster
                self._poison.create_queue()
            self._poison.send_message(text)

    async def _off_loop(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


def _received(message: Any) -> Received:  # the SDK types as optional what storage always sends
    return Received(
        id=message.id,
        text=str(message.content),
        pop_receipt=message.pop_receipt,
        dequeue_count=message.dequeue_count,
        inserted=message.inserted_on,
        expires=message.expires_on,
        next_visible=message.next_visible_on,
    )
