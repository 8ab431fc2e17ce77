"""What Prism says about an error, in the shapes of its three APIs (contract ``prism.md``, 3.6, 4.4 and 5.8)."""

from __future__ import annotations

from typing import Any

from shared.prism.entity import entries, member, text

RATE_GROUPS = frozenset({"RATE_LIMIT_EXCEEDED", "RATE_LIMIT_ERROR"})


def vendor_message(said: Any) -> str:
    """v2 ``message``, v3 ``message_list[].message``, v4 ``data.error``, which is a list or an object; "" for none."""
    if not isinstance(said, dict):
        return ""
    for listed in (said.get("message_list"), member(said, "data").get("error")):
        if isinstance(listed, list):
            return "; ".join(str(entry.get("message") or "") for entry in entries(listed))
    invalid = member(member(said, "data"), "error")
    if invalid:
        reasons = (entry.get("message") for entry in entries(invalid.get("validationErrorMessages")))
        return "; ".join(str(part) for part in (invalid.get("error"), *reasons) if part)
    return str(said.get("message") or "")


def error_groups(said: Any) -> frozenset[str]:
    """The ``errorGroup`` of each message of a v4 error."""
    listed = entries(member(said, "data").get("error"))
    return frozenset(group for entry in listed if (group := text(entry.get("errorGroup"))))
