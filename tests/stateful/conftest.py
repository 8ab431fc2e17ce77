"""Storage for the stateful test: one Azurite, and the resources of one app on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.azurite import Azurite
from shared.runs.resources import Resources


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Resources]:
    """On real tables; what else the use cases talk to is in memory. ``REALIGN_PROFILES`` is an empty folder."""
    folder: Path = tmp_path_factory.mktemp("profiles")
    with Azurite() as azurite:
        environ = {
            "AzureWebJobsStorage": azurite.connection_string,
            "KEY_VAULT_URL": "https://vault.invalid",
            "IDENTITY_ENDPOINT": "http://127.0.0.1:1/token",
            "IDENTITY_HEADER": "none",
            "REALIGN_PROFILES": str(folder),
        }
        made = Resources(environ)
        yield made
        made.close()
