"""Jobs of Citrix: what their records mean, and waiting for one (contract ``citrix.md``, section 6.2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain, islice, repeat
from typing import Any, Protocol
from urllib.parse import urlsplit

from shared.call_failure import excerpt
from shared.model.job import Job, JobStatus

POLL_PAUSES = (1.0, 2.0, 5.0)
LAST_POLL_PAUSE = 10.0

_JOB_ID = re.compile(r"[-_0-9A-Za-z.]+")
_STATUS = {status.value.lower(): status for status in JobStatus}
_DETAIL = "errormessage"


class Jobs(Protocol):
    """Where jobs can be looked up."""

    def job(self, job_id: str) -> Job: ...


def poll_pauses() -> Iterator[float]:
    """Seconds to wait before each look at a job."""
    return chain(POLL_PAUSES, repeat(LAST_POLL_PAUSE))


def wait_for_job(
    writer: Jobs, job_id: str, pause: Callable[[float], None], check: Callable[[], None], most_polls: int
) -> Job | None:
    """The job when it has ended; None when it has not after ``most_polls`` looks. ``check`` runs before each look.

    Raises what ``writer.job`` and ``check`` raise.
    """
    for seconds in islice(poll_pauses(), most_polls):
        pause(seconds)
        check()
        job = writer.job(job_id)
        if job.ended:
            return job
    return None


def job_id_from(location: str | None) -> str | None:
    """The id at the end of a ``Location``; None where it has none that can be part of an address of ours."""
    try:
        last = urlsplit(location or "").path.rpartition("/")[2]
    except ValueError:
        return None
    return last if is_job_id(last) else None


def is_job_id(text: str) -> bool:
    return _JOB_ID.fullmatch(text) is not None and text.strip(".") != ""


def job_from(item: Mapping[str, Any], job_id: str, hidden: tuple[str, ...]) -> Job:
    """The job ``job_id`` from its record. ``hidden``: what no error may show."""
    return Job(
        id=job_id,
        type=str(item.get("Type") or ""),
        status=_STATUS.get(str(item.get("Status")).lower(), JobStatus.UNKNOWN),
        cancellable=item.get("IsCancellable") is True,
        created_at=_moment(item.get("FormattedCreationTime")),
        error=excerpt(_trouble(item), hidden) or None,
    )


def _moment(text: Any) -> datetime | None:
    """RFC 3339 as UTC. A time without a zone could be any."""
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo is not None else None
    except (TypeError, ValueError, OverflowError):
        return None


def _trouble(item: Mapping[str, Any]) -> str:
    """Code and text of a job's error, whichever of its three places they stand in."""
    texts = [item.get("ErrorCode"), item.get("ErrorString") or _detail(item.get("ErrorParameters"))]
    return ": ".join(str(text) for text in texts if text)


def _detail(parameters: Any) -> str:
    """The lines ``ErrorMessage : ...`` of the parameter ``ErrorDetails``."""
    for parameter in parameters if isinstance(parameters, list) else ():
        if isinstance(parameter, dict) and str(parameter.get("Name")).lower() == "errordetails":
            lines = (line.partition(":") for line in str(parameter.get("Value") or "").splitlines())
            return " ".join(text.strip() for name, _, text in lines if name.strip().lower() == _DETAIL)
    return ""
