"""The secrets of a profile, fetched once a run, together, and kept nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future

from shared.azure.vault import Secret, Vault
from shared.profile.endpoints import CvadSite
from shared.profile.profile import Profile
from shared.telemetry.threads import Threads

_READERS = 8


class Keyring:
    """Each secret as it came, or the error that came instead. ``repr`` shows nothing."""

    def __init__(self, vault: Vault, names: Iterable[str]) -> None:
        wanted = sorted(set(names))
        with Threads(min(_READERS, len(wanted)) or 1, thread_name_prefix="vault") as readers:
            self._secrets: dict[str, Future[Secret]] = {name: readers.submit(vault.secret, name) for name in wanted}

    def secret(self, name: str) -> Secret:
        """Raises the ``VaultError`` of that secret alone; the others can still be used."""
        return self._secrets[name].result()

    def text(self, name: str | None) -> str | None:
        """The text of an optional secret, such as a CA."""
        return self.secret(name).value if name is not None else None


def secret_names(profile: Profile) -> frozenset[str]:
    """Every secret that a run of the profile needs."""
    names = {cluster.credential for cluster in profile.clusters}
    names |= {cluster.ca for cluster in profile.clusters if cluster.ca is not None}
    return frozenset(names) | site_secret_names(profile)


def site_secret_names(profile: Profile) -> frozenset[str]:
    """The secrets that the profile's site needs."""
    site = profile.site
    authority = site.ca if isinstance(site, CvadSite) else None
    return frozenset({site.credential} if authority is None else {site.credential, authority})
