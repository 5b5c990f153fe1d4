"""Documents' values as text: JSON may hold halves of surrogate pairs (`\\ud800`), which no UTF-8 has."""

import json
from typing import Any

import msgspec


def readable(text: str) -> str:
    """The text with halves of surrogate pairs written out as `\\ud800`."""
    return text.encode(errors="backslashreplace").decode()


def to_json(value: Any) -> bytes:
    """A value as JSON; one with halves of surrogate pairs in ASCII, so that they stay what they are."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()
