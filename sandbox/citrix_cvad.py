"""A simulated Delivery Controller of an on-premises CVAD site (contract ``citrix.md``, sections 2.3 and 10)."""

from __future__ import annotations

from sandbox.citrix_api import CitrixApi
from sandbox.citrix_sign_in import WindowsDoor, error_data
from sandbox.faults import Faults
from sandbox.front import Answer, Call
from sandbox.world import World


class DeliveryController(CitrixApi):
    """One controller; those of a site share its world. The site's ``old`` makes it one that knows no ``fields``."""

    def __init__(self, name: str, world: World, faults: Faults) -> None:
        super().__init__(f"cvad/{name}", world, faults, WindowsDoor(world.site))

    def _machines(self, call: Call) -> Answer:
        if self._world.site.old and call.query.get("fields") is not None:
            return error_data(400, "The parameter fields is not supported.", "InvalidInput")
        return super()._machines(call)
