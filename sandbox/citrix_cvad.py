"""A simulated Delivery Controller of an on-premises CVAD site (contract ``citrix.md``, sections 2.3 and 10)."""

from __future__ import annotations

from collections.abc import Awaitable

from sandbox.citrix_api import BASE, CitrixApi
from sandbox.citrix_batch import direct_form, gateway_form
from sandbox.citrix_errors import error_data
from sandbox.citrix_sign_in import ON_PREMISES, WindowsDoor
from sandbox.faults import Faults
from sandbox.front import Answer, Call, Handler
from sandbox.world import World


class DeliveryController(CitrixApi):
    """One controller; those of a site share its world. The site's ``old`` makes it one that knows no ``fields``.

    Which form of a batch item's URL a controller takes is not known (section 6.1): the site's ``batch_form`` says.
    """

    def __init__(self, name: str, world: World, faults: Faults) -> None:
        super().__init__(f"cvad/{name}", world, faults, WindowsDoor(world.site), self._form)
        self._known_forms = {
            "gateway": gateway_form(BASE),
            "direct": direct_form(BASE, ON_PREMISES, world.site),
        }
        self.handlers = {**self.handlers, "listMachines": self._without_fields(self.handlers["listMachines"])}

    def _form(self, path: str) -> str | None:
        read = self._known_forms.get(self._world.site.batch_form)
        return None if read is None else read(path)

    def _without_fields(self, list_machines: Handler) -> Handler:
        def handle(call: Call) -> Answer | Awaitable[Answer]:
            if self._world.site.old and call.query.get("fields") is not None:
                return error_data(400, "The parameter fields is not supported.", "InvalidInput")
            return list_machines(call)

        return handle
