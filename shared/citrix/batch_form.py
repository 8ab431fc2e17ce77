"""How the items of a batch address a machine: known in the cloud, found out by a harmless read on premises.

No source shows what the ``/cvad/manage/$batch`` of a Delivery Controller takes (contract ``citrix.md``, section 6.1).
"""

from __future__ import annotations

import logging
import threading

from shared.citrix.batch import BadResults, RelativeUrl, codes_of, one_read
from shared.citrix.endpoint import segment
from shared.citrix.site import CitrixSite
from shared.citrix.wording import ON_PREMISES_CUSTOMER
from shared.errors import CitrixError
from shared.http import RETRYABLE, Limits
from shared.model.citrix import MachineId

_NOT_ABOUT_THE_FORM = RETRYABLE | {401}  # another time the same form may work

log = logging.getLogger(__name__)


class BatchForm:
    """The form for one site, asked for once. Safe to use from several threads."""

    def __init__(self, site: CitrixSite) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._settled = False
        self._found: RelativeUrl | None = None

    def found(self, limits: Limits) -> RelativeUrl | None:
        """None where the site takes none of the forms. Raises ``CitrixError`` where that could not be found out."""
        with self._lock:
            if not self._settled:
                self._find(limits)
            return self._found

    def _find(self, limits: Limits) -> None:
        if self._site.endpoint.customer_id != ON_PREMISES_CUSTOMER:
            self._found, self._settled = _gateway, True
            return
        machine = self._some_machine(limits)
        if machine is None:
            return
        sure = True
        for name, form in (("gateway", _gateway), ("direct", self._direct)):
            status = self._tried(machine, form, limits)
            if 200 <= status < 300:
                self._found, self._settled = form, True
                log.info("batches found form=%s host=%s", name, self._site.endpoint.base_url)
                return
            sure = sure and status not in _NOT_ABOUT_THE_FORM
        self._settled = sure
        log.warning("batches not taken host=%s sure=%s", self._site.endpoint.base_url, sure)

    def _some_machine(self, limits: Limits) -> MachineId | None:
        """A machine that there is, so that only the form can be wrong. Every version of the list knows ``limit``."""
        endpoint = self._site.endpoint
        body = endpoint.get("/Machines", limits, site_id=self._site.identity().id, params={"limit": 1})
        items = body.get("Items")
        first = items[0] if isinstance(items, list) and items else None
        found = first.get("Id") if isinstance(first, dict) else None
        return MachineId(found) if isinstance(found, str) and found else None

    def _tried(self, machine: MachineId, form: RelativeUrl, limits: Limits) -> int:
        """The HTTP status that the form gets: of the item, or of the whole batch where that is refused."""
        endpoint = self._site.endpoint
        used: list[str] = []

        def body(token: str) -> dict[str, object]:
            used.append(token)
            return one_read(machine, form, token)

        try:
            answer = endpoint.send(
                "POST",
                "/$batch",
                limits,
                self._site.identity().id,
                params={"async": "false"},
                body=body,
                repeatable=True,
            )
        except CitrixError as error:
            if error.http_status is None or error.http_status in _NOT_ABOUT_THE_FORM:
                raise
            return error.http_status
        try:
            status = codes_of(answer.json if isinstance(answer.json, dict) else {}).get(machine, 0)
        except BadResults:
            return 0
        if status == 401:
            endpoint.token.renew_bearer(used[-1])
        return status

    def _direct(self, machine: MachineId) -> str:
        customer = segment(self._site.endpoint.customer_id)
        return f"{customer}/{segment(self._site.identity().id)}/Machines/{segment(machine)}"


def _gateway(machine: MachineId) -> str:
    return f"/Machines/{segment(machine)}"
