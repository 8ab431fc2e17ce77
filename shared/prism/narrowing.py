"""``prismClusters``: the registered clusters of a Prism Central that the profile means."""

from __future__ import annotations

from shared.errors import PrismError
from shared.model.nutanix import RegisteredCluster


def narrowed(
    registered: tuple[RegisteredCluster, ...], wanted: tuple[str, ...], *, whole: bool, title: str
) -> tuple[RegisteredCluster, ...]:
    """Those of ``registered`` that ``wanted`` names, by name or UUID, ignoring case; all where it names none.

    Raises ``PrismError`` (``misconfigured``) for a name that is not there; only a ``whole`` list proves that.
    """
    if not wanted:
        return registered
    names = {name.strip().casefold() for name in wanted}
    there = {word.casefold() for cluster in registered for word in (cluster.name, cluster.uuid)}
    missing = [name for name in wanted if name.strip().casefold() not in there]
    if missing and whole:
        known = ", ".join(sorted(cluster.name for cluster in registered)) or "none"
        raise PrismError(
            f"{title} has no registered cluster {', '.join(missing)}. Correct prismClusters in the profile; "
            f"registered there: {known}.",
            kind="misconfigured",
            system=title,
        )
    return tuple(cluster for cluster in registered if cluster.name.casefold() in names or cluster.uuid in names)
