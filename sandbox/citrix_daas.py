"""Simulated Citrix DaaS: token service and API on one origin."""

from __future__ import annotations

from sandbox.citrix_api import BASE, CitrixApi
from sandbox.citrix_batch import gateway_form
from sandbox.citrix_sign_in import CloudDoor
from sandbox.faults import Faults
from sandbox.world import World


class CitrixDaas(CitrixApi):
    """One DaaS customer with one site."""

    def __init__(self, world: World, faults: Faults) -> None:
        super().__init__("citrix", world, faults, CloudDoor(world.site), gateway_form(BASE))
