"""What every object of a profile or a request is made of: closed and strict, of texts that check themselves."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000)]
HOST = re.compile(r"^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$")
HostName = Annotated[str, StringConstraints(pattern=HOST.pattern)]
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_AUTHORITY = rf"^{_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?$"


def _with_a_port(authority: str) -> str:
    port = authority.partition(":")[2]
    if port and not 1 <= int(port) <= 65_535:
        raise ValueError("write it as a host name, or as host:port with a port from 1 to 65535")
    return authority


# a host, with a port where it is not 443
Authority = Annotated[str, StringConstraints(pattern=_AUTHORITY, max_length=259), AfterValidator(_with_a_port)]
SecretName = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z-]{1,127}$")]
Names = Annotated[tuple[Text, ...], Field(min_length=1)]
Port = Annotated[int, Field(ge=1, le=65535)]


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:  # its text may quote the URL, and with it a password
        host, port, parts = "", None, urlsplit("")
    plain = parts.path in ("", "/") and not parts.query and not parts.fragment and "@" not in parts.netloc
    if parts.scheme != "https" or not HOST.fullmatch(host) or port == 0 or not plain:
        raise ValueError("write it as https://host or https://host:port, without a path")
    return f"https://{host}" if port is None else f"https://{host}:{port}"


Origin = Annotated[str, AfterValidator(_origin)]


class Part(BaseModel):
    """What every object of a profile or a request body is: camelCase, strict, closed and frozen."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, strict=True)
