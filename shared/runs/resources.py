"""What the use cases work with: profiles, secrets, tables, queue and clock, opened at first use.

``function_app`` makes one for the process; a test makes one for its sandbox.
"""

from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from shared.azure.batches import Batches
from shared.azure.departed import Departed
from shared.azure.events import Events
from shared.azure.holds import Holds
from shared.azure.idempotency import Idempotency
from shared.azure.identity import credential
from shared.azure.inputs import Inputs
from shared.azure.lock import Locks
from shared.azure.notices import Notices
from shared.azure.refusals import Refusals
from shared.azure.remaps import Remaps
from shared.azure.runs import Runs
from shared.azure.storage import Storage
from shared.azure.vault import Vault
from shared.azure.work_queue import WorkQueue
from shared.azure.zone_moves import ZoneMoves
from shared.citrix.token_memory import TokenMemory
from shared.errors import NotFound, ProfileInvalid
from shared.profile.profile import Profile
from shared.profile_files import ProfileFile, read_profiles
from shared.relay.token import RelayToken
from shared.runs.clients.site_memory import SiteMemory
from shared.runs.reading.gathered import Settling
from shared.runs.reading.listings import Listings
from shared.settings.settings import load
from shared.transport import trust_anchors

if TYPE_CHECKING:
    from shared.azure.profile_blobs import ProfileBlobs


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Resources:
    """``environ`` are the app settings; ``now`` is UTC."""

    def __init__(self, environ: Mapping[str, str], now: Callable[[], datetime] = _utc_now) -> None:
        self.environ = environ
        self.now = now
        self.opened_at = now()
        self.settings = load(environ)
        self.random_bytes: Callable[[int], bytes] = secrets.token_bytes
        self.pause: Callable[[float], None] = time.sleep
        self.listings = Listings()
        self.sites = SiteMemory()
        self.settling = Settling()
        self.tokens = TokenMemory()

    @cached_property
    def _storage(self) -> Storage:
        needs_identity = self.settings.storage.connection_string is None
        identity = credential(self.settings.identity) if needs_identity else None
        return Storage(self.settings.storage, identity, trust=self.settings.trust)

    @cached_property
    def _profile_blobs(self) -> ProfileBlobs:
        from shared.azure.profile_blobs import ProfileBlobs  # its SDK is for those who keep their profiles there

        settings = self.settings
        return ProfileBlobs(
            settings.profiles.container, settings.storage, lambda: credential(settings.identity), trust=settings.trust
        )

    @cached_property
    def vault(self) -> Vault:
        settings = self.settings
        return Vault(settings.vault.url, credential(settings.identity), trust=settings.trust)

    @cached_property
    def relay_token(self) -> RelayToken:
        return RelayToken(credential(self.settings.identity))

    @cached_property
    def public_trust(self) -> ssl.SSLContext:
        """What the services of Azure are trusted by: a public authority, or the one that the app's setting names."""
        return trust_anchors(None, self.environ)

    @cached_property
    def runs(self) -> Runs:
        return Runs(self._storage)

    @cached_property
    def remaps(self) -> Remaps:
        return Remaps(self._storage)

    @cached_property
    def batches(self) -> Batches:
        return Batches(self._storage)

    @cached_property
    def zone_moves(self) -> ZoneMoves:
        return ZoneMoves(self._storage)

    @cached_property
    def departed(self) -> Departed:
        return Departed(self._storage)

    @cached_property
    def events(self) -> Events:
        return Events(self._storage)

    @cached_property
    def inputs(self) -> Inputs:
        return Inputs(self._storage)

    @cached_property
    def idempotency(self) -> Idempotency:
        return Idempotency(self._storage)

    @cached_property
    def refusals(self) -> Refusals:
        return Refusals(self._storage)

    @cached_property
    def locks(self) -> Locks:
        return Locks(self._storage, clock=self.now)

    @cached_property
    def holds(self) -> Holds:
        return Holds(self._storage)

    @cached_property
    def notices(self) -> Notices:
        return Notices(self._storage)

    @cached_property
    def queue(self) -> WorkQueue:
        return WorkQueue(self._storage, clock=self.now)

    def close(self) -> None:
        """Close the connections that were opened. The app keeps its resources as long as its process lives."""
        opened = vars(self)
        for name in ("_storage", "_profile_blobs", "vault"):
            if name in opened:
                opened[name].close()

    def storage_origin(self) -> str:
        """Where the account's tables are, ``https://host``."""
        return self._storage.origin

    def try_storage(self) -> datetime:
        """Use the account as a run does; its time, in UTC. Raises ``StorageError`` when that cannot be."""
        return self._storage.probe()

    def profiles(self) -> dict[str, ProfileFile]:
        """All profiles by name, broken ones included; read anew, so that an edited file counts at once.

        Raises ``StorageError`` where they are in a blob container that cannot be read.
        """
        place = self.settings.profiles
        return self._profile_blobs.read() if place.container else read_profiles(Path(place.folder))

    def profile_file(self, name: str) -> ProfileFile:
        """Raises ``NotFound``."""
        files = self.profiles()
        if name not in files:
            known = ", ".join(sorted(files)) or "none"
            raise NotFound(f"There is no profile '{name[:63]}'. Correct the name; there are: {known[:500]}.")
        return files[name]

    def profile(self, name: str) -> Profile:
        """Raises ``NotFound``, or ``ProfileInvalid`` with the validation errors."""
        file = self.profile_file(name)
        if file.profile is None:
            raise ProfileInvalid(
                f"Profile {file.name} has errors and cannot run: {' '.join(file.errors)}", errors=file.errors
            )
        return file.profile
