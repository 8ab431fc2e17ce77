"""What may be after a run, whatever went wrong: as planned and verified, or untouched and reported."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping

from azure.data.tables import TableServiceClient

from sandbox.azurite import KEY
from sandbox.citrix_jobs import BATCH
from sandbox.citrix_site import SimHosting
from sandbox.sandbox import Sandbox
from sandbox.scenario import Expected
from shared.azure.runs import ACTIVE
from shared.model.citrix import Hosting, MachineId
from shared.model.remap import Remap
from shared.model.run import RemapState, Run, RunId, RunStatus
from shared.runs.resources import Resources

NOT_DONE = (RemapState.PROPOSED, RemapState.REJECTED, RemapState.SUPERSEDED, RemapState.APPROVED)
TOLD_STUCK = "does not come to an end and may still change it"  # the one failure after which a machine may still move
CITRIX_TOKEN = "eyJhbGciOiJub25lIn0."
ENTRA_TOKEN = base64.urlsafe_b64encode(b'{"alg":"RS256"').decode()[:18]

Places = Mapping[str, SimHosting]


def rows_of(resources: Resources, run_id: RunId) -> dict[MachineId, Remap]:
    return {row.value.machine: row.value for row in resources.remaps.load(run_id)}


def check_applied(run: Run, rows: Mapping[MachineId, Remap], before: Places, now: Places) -> None:
    """After a run that began when Citrix had ``before``."""
    assert run.status not in ACTIVE, run.status
    assert run.status is not RunStatus.FAILED or run.error, "a run failed in silence"
    for machine, place in now.items():
        row = rows.get(MachineId(machine))
        if row is None:
            assert place == before[machine], f"{machine} was changed without a record"
        elif row.state is RemapState.VERIFIED:
            assert _at(place, row.after), f"{row} is verified, and Citrix has {place}"
        elif row.state is RemapState.FAILED:
            assert row.error, f"{row} does not say why"
            still = place == before[machine] or (TOLD_STUCK in row.error and _at(place, row.after))
            assert still, f"{row} failed, and Citrix has {place}"
        else:
            assert row.state in NOT_DONE, f"{row} is left under way"
            assert row.error or row.state is not RemapState.SUPERSEDED, f"{row} does not say why"
            assert place == before[machine], f"{row} was changed: Citrix has {place}"


def check_rolled_back(rows: Mapping[MachineId, Remap], before: Places, applied: Places, now: Places) -> None:
    """``before`` the run, when it was ``applied``, and ``now`` that it was taken back."""
    for machine, place in now.items():
        row = rows.get(MachineId(machine))
        if row is None or row.state in NOT_DONE:
            assert place == before[machine], f"{machine} was changed by a roll back that does not concern it"
        elif row.state is RemapState.ROLLED_BACK:
            assert _at(place, row.before), f"{row} is rolled back, and Citrix has {place}"
        elif row.state in (RemapState.ROLLBACK_FAILED, RemapState.FAILED):
            assert row.error, f"{row} does not say why"
            still = place == applied[machine] or TOLD_STUCK in row.error
            assert still, f"{row} was not rolled back, and Citrix has {place}"
        else:
            # the order to roll back failed as a whole, and says so
            assert row.state is RemapState.VERIFIED, f"{row} is left under way"
            assert place == applied[machine], f"{row} was not touched, and Citrix has {place}"


def check_right(rows: Iterable[Remap], expected: Mapping[str, Expected]) -> None:
    """No fault makes a wrong remap: what was applied is what the scenario says is right."""
    for row in rows:
        if row.state in (RemapState.VERIFIED, RemapState.ROLLED_BACK):
            wanted = expected[row.machine]
            found = (row.after.connection, row.after.machine_id)
            assert found == (wanted.to_connection, wanted.to_uuid), f"{row} is not {wanted}"


def check_quiet(sandbox: Sandbox) -> None:
    """A run that rests has left nothing under way at Citrix but what does not end.

    The jobs that items of a batch began are named by its results alone: where its own job was lost, nobody knows them.
    """
    jobs = list(sandbox.world.site.jobs.values())
    known = [job for job in jobs if job.type == BATCH or not any(each.lost for each in jobs)]
    busy = [job for job in known if job.ended is None and not job.stuck]
    assert not busy, f"a run rests, and Citrix works on {busy}"


def check_written(sandbox: Sandbox, rows: Iterable[Mapping[MachineId, Remap]]) -> None:
    """Every write that Citrix executed has a record that says so."""
    told = list(rows)
    for write in sandbox.world.history:
        records = [found for each in told if (found := each.get(MachineId(write.machine_id))) is not None]
        meant = [
            each for each in records if each.sent and (_at(write.after, each.after) or _at(write.after, each.before))
        ]
        assert meant, f"{write} has no record among {records}"


def check_no_secret(sandbox: Sandbox, connection_string: str, logged: str) -> None:
    """Neither a row of any table nor a line of the log holds a secret."""
    secrets = {"a storage key": KEY, "a Citrix token": CITRIX_TOKEN, "an Entra token": ENTRA_TOKEN}
    for name, text in sandbox.scenario.secrets(sandbox.corporate_ca_pem).items():
        content = json.loads(text) if text.startswith("{") else {}
        secrets |= {f"{name}/{key}": value for key, value in content.items() if key not in ("clientId", "username")}
    rows = ""
    with TableServiceClient.from_connection_string(connection_string) as service:
        for table in service.list_tables():
            rows += " ".join(str(dict(row)) for row in service.get_table_client(table.name).list_entities())
    for what, secret in secrets.items():
        assert secret not in rows, f"{what} stands in a table"
        assert secret not in logged, f"{what} stands in the log"


def _at(place: SimHosting, hosting: Hosting) -> bool:
    wanted = (hosting.connection_id, (hosting.machine_id or "").lower())
    return (place.connection_id, (place.hosted_machine_id or "").lower()) == wanted
