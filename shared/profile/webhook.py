"""Who is told of runs."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from shared.profile.parts import HOST, Part, SecretName


def _webhook_address(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        plain = parts.port != 0 and not parts.query and not parts.fragment and "@" not in parts.netloc
    except ValueError:  # its text may quote the URL
        host, plain, parts = "", False, urlsplit("")
    if parts.scheme != "https" or not HOST.fullmatch(host) or not plain:
        raise ValueError(
            "write it as https://host/path, without '?': an address with a key in it belongs in the secret's 'url'"
        )
    return url


WebhookAddress = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,1000}$"), AfterValidator(_webhook_address)]
NoticeName = Literal["awaiting-review", "completed", "completed-with-errors", "failed", "drift"]


class Webhook(Part):
    """Who is told when a run comes to rest, and of drift that the schedule finds."""

    url: WebhookAddress | None = Field(
        None, description="Where messages are posted, https://host/path; left out where the secret has the address."
    )
    credential: SecretName = Field(description="Key Vault secret with the key that signs messages, and maybe the url.")
    ca: SecretName | None = Field(
        None, description="Key Vault secret with the CA certificates to trust there, and nothing else."
    )
    on: Annotated[tuple[NoticeName, ...], Field(min_length=1)] = Field(
        ("awaiting-review", "completed", "completed-with-errors", "failed", "drift"), description="What is told."
    )
