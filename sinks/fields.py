"""Reads one field of a JSON object without building the rest."""

from collections.abc import Callable
from typing import Any

import msgspec

from events.schema import InvalidRecord


def field_reader(name: str) -> Callable[[bytes], Any]:
    """Gives a function that returns a field of a JSON object; None where there is none.

    It raises InvalidRecord for what is no JSON object, or holds there what no number of Python can be.
    """
    one_field: Any = msgspec.defstruct("OneField", [("value", Any, None)], rename={"value": name}, gc=False)
    decode = msgspec.json.Decoder(one_field).decode

    def read(data: bytes) -> Any:
        try:
            return decode(data).value
        except (ValueError, RecursionError) as error:  # msgspec's DecodeError and ValidationError are ValueErrors
            raise InvalidRecord(f"its field {name}: {error}") from error

    return read
