"""Reads one field of a JSON object without building the rest."""

from collections.abc import Callable
from typing import Any

import msgspec


def field_reader(name: str) -> Callable[[bytes], Any]:
    """Gives a function that returns a field of a JSON object; None where there is none.

    It raises msgspec.DecodeError for what is no JSON object.
    """
    one_field: Any = msgspec.defstruct("OneField", [("value", Any, None)], rename={"value": name}, gc=False)
    decode = msgspec.json.Decoder(one_field).decode

    def read(data: bytes) -> Any:
        return decode(data).value

    return read
