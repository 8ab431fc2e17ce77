"""What to tell an operator whose Prism serves no API v4: which ``api`` the profile has to name instead."""

from __future__ import annotations

from shared.errors import PrismError
from shared.http import Limits
from shared.prism.central_v3 import BASE as V3
from shared.prism.element_v2 import BASE as V2
from shared.prism.endpoint import Endpoint, PrismCallFailed


class NoV4(PrismError):
    """The Prism serves no API v4. ``answers`` is the profile's word for the API that does answer, None for none."""

    def __init__(self, message: str, *, system: str, answers: str | None) -> None:
        super().__init__(message, kind="misconfigured", system=system)
        self.answers = answers


def no_v4(endpoint: Endpoint, limits: Limits) -> NoV4:
    """Ask what does answer. Raises ``PrismError`` where the host is dead or now refuses the credential."""
    if _answers(endpoint, "POST", f"{V3}/clusters/list", limits, {"kind": "cluster", "offset": 0, "length": 1}):
        return NoV4(
            f"{endpoint.title} answers API v3 but not v4: set api to central-v3 (or central) for this cluster in the "
            "profile.",
            system=endpoint.title,
            answers="central-v3",
        )
    if not endpoint.credential.api_key and _answers(endpoint, "GET", f"{V2}/cluster", limits):
        return NoV4(
            f"{endpoint.title} answers API v2 but neither v4 nor v3, so it is a Prism Element: set api to element-v2 "
            "for this cluster in the profile.",
            system=endpoint.title,
            answers="element-v2",
        )
    return NoV4(
        f"{endpoint.title} answers neither API v4 nor an older one. Check that host and port of this cluster in the "
        "profile name a Prism.",
        system=endpoint.title,
        answers=None,
    )


def _answers(
    endpoint: Endpoint, method: str, path: str, limits: Limits, json: dict[str, str | int] | None = None
) -> bool:
    """An error counts as an answer where it shows that the API is there, only not for this account."""
    try:
        endpoint.ask(method, path, limits, json=json)
    except PrismCallFailed as failure:
        if failure.kind == "forbidden":
            return True
        if failure.kind == "failed" and failure.http_status is not None:
            return False
        raise
    except PrismError:  # something answered, but no JSON object
        return False
    return True
