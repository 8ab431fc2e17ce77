"""Builds the recovery plan jobs of a scenario. Their times are relative to a given now: runs look at the last hours."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.world import SimJob, SimRecovered, stable_uuid

Json = Any
TOOK = timedelta(minutes=20)
AT_WORK = ("QUEUED", "RUNNING")


class JobBuilder:
    """``now`` is aware. Two Prisms that list a job of the same name show the same job."""

    def __init__(self, scenario: str, now: datetime) -> None:
        self._scenario = scenario
        self._now = now.astimezone(UTC).replace(microsecond=0)
        self._jobs: dict[str, list[SimJob]] = {}

    def build(self, entry: Json) -> SimJob:
        """``hoursAgo`` is when the job ended; where it is still at work, when it began."""
        status = entry.get("status", "COMPLETED")
        at = self._now - timedelta(hours=entry["hoursAgo"])
        ended = None if status in AT_WORK else at
        job = SimJob(
            uuid=stable_uuid(self._scenario, "job", entry["name"]),
            name=entry["name"],
            action=entry["action"],
            started=_text(at if ended is None else at - TOOK),
            ended=None if ended is None else _text(ended),
            status=status,
        )
        self._jobs.setdefault(job.name, []).append(job)
        return job

    def recovered(self, name: str, entries: Iterable[Json], vm_uuid: Callable[[str], str]) -> None:
        """What the jobs did to one machine's VM: ``job``, the keys ``from`` and ``to``, and whether it ``failed``.

        Raises ``KeyError`` for a job that no Prism lists.
        """
        for entry in entries:
            source, recovered = vm_uuid(entry["from"]), vm_uuid(entry["to"])
            for job in self._jobs[entry["job"]]:
                job.recovered.append(SimRecovered(source, recovered, name, failed=entry.get("failed", False)))


def _text(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
