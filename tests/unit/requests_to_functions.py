"""HTTP requests as the Functions worker hands them to a trigger."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import azure.functions as func

HOME = "https://realign.example"


def http_request(
    method: str = "GET",
    path: str = "/api/runs",
    *,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> func.HttpRequest:
    return func.HttpRequest(
        method=method, url=HOME + path, headers=dict(headers or {}), params=dict(params or {}), body=body
    )


def encoded(document: Any) -> str:
    """A principal as Easy Auth encodes it."""
    return base64.b64encode(json.dumps(document).encode()).decode()
