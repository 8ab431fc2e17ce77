"""Profiles in a blob container, on a real Blob service: they count at once, and only what changed is fetched."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from azure.storage.blob import ContainerClient

from sandbox.azurite import Azurite
from shared.azure.profile_blobs import BLOB_VERSION, LARGEST, ProfileBlobs
from shared.errors import StorageError
from shared.settings.storage import StorageSettings
from tests.integration.workplace import workplace
from tests.unit.profiles import SMALLEST


def document(**changes: Any) -> dict[str, Any]:
    return {**SMALLEST, **changes}


def no_identity() -> Any:
    raise AssertionError("the account's key is enough")


@pytest.fixture
def container(azurite: Azurite) -> Iterator[ContainerClient]:
    name = f"profiles-{uuid.uuid4().hex[:8]}"
    with ContainerClient.from_connection_string(azurite.connection_string, name, api_version=BLOB_VERSION) as client:
        client.create_container()
        yield client


@pytest.fixture
def blobs(azurite: Azurite, container: ContainerClient) -> Iterator[ProfileBlobs]:
    settings = StorageSettings(connection_string=azurite.connection_string)
    blobs = ProfileBlobs(container.url, settings, no_identity)
    yield blobs
    blobs.close()


def put(container: ContainerClient, name: str, content: bytes | dict[str, Any]) -> None:
    container.upload_blob(name, json.dumps(content) if isinstance(content, dict) else content, overwrite=True)


def fetched(blobs: ProfileBlobs, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the blobs that are fetched from now on."""
    names: list[str] = []
    download = ContainerClient.download_blob

    def noted(self: ContainerClient, blob: str) -> Any:
        names.append(blob)
        return download(self, blob)

    monkeypatch.setattr(ContainerClient, "download_blob", noted)
    return names


def test_an_empty_container_has_no_profiles(blobs: ProfileBlobs) -> None:
    assert blobs.read() == {}


def test_a_change_counts_at_the_next_look(container: ContainerClient, blobs: ProfileBlobs) -> None:
    put(container, "emea.json", document(name="emea"))
    put(container, "apac.json", document(name="apac"))
    put(container, "notes.txt", b"no profile")
    put(container, "old/emea.json", document(name="emea"))
    assert sorted(blobs.read()) == ["apac", "emea"]
    put(container, "emea.json", document(name="emea", schedule=True))
    container.delete_blob("apac.json")
    found = blobs.read()
    assert list(found) == ["emea"]
    assert found["emea"].profile is not None
    assert found["emea"].profile.schedule is True


def test_only_what_is_new_is_fetched(
    container: ContainerClient, blobs: ProfileBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = fetched(blobs, monkeypatch)
    put(container, "emea.json", document(name="emea"))
    put(container, "apac.json", b"{")
    first = blobs.read()
    assert sorted(names) == ["apac.json", "emea.json"]
    assert blobs.read() == first
    assert len(names) == 2
    put(container, "apac.json", document(name="apac"))
    assert blobs.read()["apac"].errors == ()
    assert names[2:] == ["apac.json"]


def test_a_broken_blob_disables_that_profile_alone(container: ContainerClient, blobs: ProfileBlobs) -> None:
    put(container, "emea.json", document(name="emea"))
    put(container, "broken.json", b"{")
    put(container, "bytes.json", b"\xff\xfe\x00")
    put(container, "huge.json", b" " * (LARGEST + 1))
    put(container, "twice.json", document(name="twice"))
    put(container, "again.json", document(name="twice"))
    found = blobs.read()
    assert [name for name, file in sorted(found.items()) if file.profile is not None] == ["emea"]
    assert "is not UTF-8" in found["bytes"].errors[0]
    assert "1,000,001 bytes" in found["huge"].errors[0]
    assert "stands in several files" in found["twice"].errors[0]


def test_a_blob_that_goes_between_the_list_and_the_look_is_left_out(
    container: ContainerClient, blobs: ProfileBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(container, "emea.json", document(name="emea"))
    download = ContainerClient.download_blob

    def gone(self: ContainerClient, blob: str) -> Any:
        container.delete_blob(blob)
        return download(self, blob)

    monkeypatch.setattr(ContainerClient, "download_blob", gone)
    assert blobs.read() == {}


def test_a_container_that_is_not_there_is_named(azurite: Azurite) -> None:
    settings = StorageSettings(connection_string=azurite.connection_string)
    blobs = ProfileBlobs(f"{azurite.blob_url}/nowhere", settings, no_identity)
    with pytest.raises(StorageError, match="has no container nowhere. Create it and put the profiles there"):
        blobs.read()
    blobs.close()


def test_another_account_takes_the_identity_and_only_over_tls(azurite: Azurite) -> None:
    settings = StorageSettings(connection_string=azurite.connection_string)
    with pytest.raises(StorageError, match="Write it with https://"):
        ProfileBlobs("http://other.example/profiles", settings, no_identity)
    with pytest.raises(AssertionError, match="key is enough"):
        ProfileBlobs("https://other.blob.core.windows.net/profiles", settings, no_identity)


def test_a_run_takes_its_profile_from_there(azurite: Azurite, container: ContainerClient) -> None:
    with workplace(azurite) as place:
        put(container, "at-work.json", place.sandbox.profile_file.read_bytes())
        place.sandbox.environ["REALIGN_PROFILES"] = container.url
        place.resources = place.another_worker()
        run_id = place.planned("at-work")
        assert place.run(run_id).states == {"proposed": 11}
        container.delete_blob("at-work.json")
        place.approve(run_id)
        place.work()
        assert place.run(run_id).states == {"verified": 11}, "a run keeps the profile that it was planned with"
