"""A run is written to the site that it was planned for, and to no other that answers in its place."""

from __future__ import annotations

from shared.errors import RealignError
from shared.model.citrix import Site
from shared.model.run import Run


def check_same_site(run: Run, site: Site) -> None:
    """Raise ``RealignError`` where another site than the run's was read. Nothing was written then."""
    if run.site_id is not None and site.id.lower() != run.site_id.lower():
        raise RealignError(
            f"The run was planned for the Citrix site {run.site_id}, and now the site {site.id} answers in its place. "
            "Nothing was written. Check the site in the profile, and start a new run."
        )
