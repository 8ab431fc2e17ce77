"""The error shapes of Citrix (contract ``citrix.md``, section 9.1) and the refusals that several calls share."""

from __future__ import annotations

import secrets

from sandbox.contract import Json
from sandbox.front import Answer, Call


def platform_error(status: int, kind: str, detail: str, reason: str) -> Answer:
    """An error of the Citrix Cloud platform in front of the service (section 9.1, second shape)."""
    body: Json = {
        "type": f"https://errors-api.cloud.com/common/{kind}",
        "detail": detail,
        "parameters": [{"name": "reason", "value": reason}],
    }
    return Answer(status, body=body)


def error_data(status: int, message: str, error_type: str | None = None) -> Answer:
    """An error of the service itself (section 9.1, first shape)."""
    body: Json = {
        "ErrorMessage": message,
        "SdkErrorId": secrets.token_hex(8),
        "ErrorType": error_type,
        "ErrorDetails": None,
        "SupportLink": None,
        "ErrorReportXml": None,
        "ErrorReport": None,
    }
    return Answer(status, body=body)


def unknown_machine(call: Call) -> Answer:
    return error_data(404, f"The machine {call.path['nameOrId']} does not exist.", "UnknownMachine")


def unknown_connection(name: str) -> Answer:
    return error_data(404, f"The hosting connection {name} does not exist.", "UnknownHypervisorConnection")


def unknown_catalog(name: str) -> Answer:
    return error_data(404, f"The machine catalog {name} does not exist.", "UnknownCatalog")


def unknown_zone(name: str) -> Answer:
    return error_data(404, f"The zone {name} does not exist.", "UnknownZone")


def not_simulated(call: Call) -> Answer:
    return error_data(501, f"{call.operation.id}: this form of the call is not simulated.")
