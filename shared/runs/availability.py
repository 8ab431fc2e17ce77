"""What a profile may say already, but this version does not do yet.

It validates, so that a profile can be written ahead; a run that needs it is refused instead of doing half of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from shared.errors import NotAvailableYet
from shared.profile import CvadSite, Profile


def not_available_in(profile: Profile) -> tuple[str, ...]:
    """The parts of a profile that keep all its runs from starting, as ``field: value``."""
    return tuple(_of_profile(profile))


def check_available(profile: Profile) -> None:
    """Raise ``NotAvailableYet`` with every part of the profile that a run would need."""
    features = not_available_in(profile)
    if features:
        raise NotAvailableYet(
            f"Profile {profile.name} cannot run in this version, which does not do yet: {'; '.join(features)}. "
            "Take it out of the profile, or use a later version.",
            features=features,
        )


def _of_profile(profile: Profile) -> Iterator[str]:
    if isinstance(profile.site, CvadSite):
        for controller in profile.site.hosts:
            if controller.relay is not None:
                yield f"site.hosts ({controller.host}).relay"
    for cluster in profile.clusters:
        if cluster.relay is not None:
            yield f"clusters ({cluster.name}).relay"
