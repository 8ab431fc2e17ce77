"""Fixtures of the end-to-end tests: one Azurite a session, and an app in its sandbox wherever a module wants one."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient, QueueServiceClient

from sandbox.azurite import Azurite
from sandbox.host_process import HostProcess
from sandbox.sandbox import Sandbox
from sandbox.scenario import Scenario, load
from tests.e2e.client import Api

QUEUE_VERSION = "2025-11-05"  # the emulator lags behind the SDK


@dataclass
class App:
    """The sandbox of one scenario, the host that serves the app in it, and a client of its API."""

    sandbox: Sandbox
    host: HostProcess
    api: Api

    @property
    def name(self) -> str:
        """The scenario's profile."""
        return self.sandbox.scenario.profile_name

    def document(self) -> dict[str, Any]:
        """The scenario's profile as its file says it."""
        document: dict[str, Any] = json.loads(self.sandbox.profile_file.read_text("utf-8"))
        return document

    def add_profile(self, name: str, document: dict[str, Any] | None = None, **changes: Any) -> str:
        """Puts one more profile beside the scenario's, the same but for ``changes``; its name."""
        whole = {**(document or self.document()), "name": name, **changes}
        self.add_file(f"{name}.json", json.dumps(whole))
        return name

    def add_file(self, name: str, text: str) -> None:
        (self.sandbox.profile_file.parent / name).write_text(text, encoding="utf-8")

    def remove_profile(self, name: str) -> None:
        (self.sandbox.profile_file.parent / f"{name}.json").unlink()

    def rows(self, table: str, partition: str | None = None) -> list[dict[str, Any]]:
        """Rows as they stand in Table Storage."""
        with self.tables() as service:
            client = service.get_table_client(table)
            chosen = client.query_entities(f"PartitionKey eq '{partition}'") if partition else client.list_entities()
            try:
                return [dict(row) for row in chosen]
            except ResourceNotFoundError:
                return []

    def tables(self) -> TableServiceClient:
        return TableServiceClient.from_connection_string(self.sandbox.environ["AzureWebJobsStorage"])

    def queue(self, name: str = "realign-work") -> QueueClient:
        text = self.sandbox.environ["AzureWebJobsStorage"]
        return QueueClient.from_connection_string(text, name, api_version=QUEUE_VERSION)


Serve = Callable[..., AbstractContextManager[App]]


@pytest.fixture(scope="session")
def storages() -> Iterator[list[Azurite]]:
    """The Azurites that nobody uses at the moment: two hosts on one would take each other's messages."""
    free: list[Azurite] = []
    yield free
    for azurite in free:
        azurite.stop()


@pytest.fixture(scope="session")
def serve(storages: list[Azurite]) -> Serve:
    """``with serve("healthy") as app``: the scenario's sandbox with empty storage, and a host in it.

    ``settings`` are app settings over the sandbox's own; what else there is goes to the sandbox.
    """

    @contextlib.contextmanager
    def start(scenario: str | Scenario, settings: dict[str, str] | None = None, **options: Any) -> Iterator[App]:
        chosen = load(scenario) if isinstance(scenario, str) else scenario
        with (
            storage_of(storages) as azurite,
            Sandbox(chosen, azurite=azurite, **options) as sandbox,
            HostProcess({**sandbox.environ, **(settings or {})}) as host,
            Api(host.url, sandbox.function_key) as api,
        ):
            yield App(sandbox, host, api)

    return start


@contextlib.contextmanager
def storage_of(free: list[Azurite]) -> Iterator[Azurite]:
    if not free:
        started = Azurite()
        started.start()
        free.append(started)
    azurite = free.pop()
    try:
        empty(azurite.connection_string)
        yield azurite
    finally:
        free.append(azurite)


def empty(connection_string: str) -> None:
    """Removes every table and queue: what another test left must not be worked on here."""
    with TableServiceClient.from_connection_string(connection_string) as tables:
        for table in list(tables.list_tables()):
            tables.delete_table(table.name)
    with QueueServiceClient.from_connection_string(connection_string, api_version=QUEUE_VERSION) as queues:
        for queue in list(queues.list_queues()):
            queues.delete_queue(queue.name)
