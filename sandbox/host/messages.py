"""From a message on the wire to the ``func.QueueMessage`` that a function gets, with the host's surprises.

Contract ``azure.md``, sections 3.4 and 3.8: base64 unless host.json says otherwise, and top-level JSON properties that
are named like trigger metadata replace it.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime

from azure.functions.meta import Datum
from azure.functions.queue import QueueMessage, QueueMessageInConverter

from sandbox.host.host_json import MessageEncoding

_METADATA = ("Id", "DequeueCount", "PopReceipt", "InsertionTime", "ExpirationTime", "NextVisibleTime")
_BY_LOWER_NAME = {name.lower(): name for name in _METADATA}


class Undecodable(ValueError):
    """The text is not base64: the message goes to the poison queue without being tried."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message as it was taken from the queue; ``text`` is its wire form."""

    id: str
    text: str
    pop_receipt: str
    dequeue_count: int
    inserted: datetime
    expires: datetime
    next_visible: datetime


def body(text: str, encoding: MessageEncoding) -> bytes:
    """The payload of a wire text.

    Raises:
        Undecodable: it is not base64 (white space in it is no error, as in .NET).
    """
    if encoding is MessageEncoding.NONE:
        return text.encode()
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Undecodable("the message is not base64") from error


def for_function(message: Received, payload: bytes) -> QueueMessage:
    """What the function gets.

    Raises:
        ValueError: a property of the payload replaced metadata by something that is no such value.
    """
    metadata = {
        "Id": Datum(message.id, "string"),
        "DequeueCount": Datum(message.dequeue_count, "int"),
        "PopReceipt": Datum(message.pop_receipt, "string"),
        "InsertionTime": Datum(message.inserted.isoformat(), "string"),
        "ExpirationTime": Datum(message.expires.isoformat(), "string"),
        "NextVisibleTime": Datum(message.next_visible.isoformat(), "string"),
    }
    metadata.update(_replacements(payload))
    converted: QueueMessage = QueueMessageInConverter.decode(Datum(payload, "bytes"), trigger_metadata=metadata)
    return converted


def _replacements(payload: bytes) -> dict[str, Datum]:
    try:
        document = json.loads(payload)
    except ValueError:
        return {}
    if not isinstance(document, dict):
        return {}
    return {
        _BY_LOWER_NAME[name.lower()]: Datum(value if isinstance(value, str) else json.dumps(value), "string")
        for name, value in document.items()
        if name.lower() in _BY_LOWER_NAME
    }
