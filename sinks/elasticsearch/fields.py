"""Reads one field of JSON objects without decoding the other fields."""

from typing import Any

import msgspec

from events.schema import InvalidRecord, explained


class FieldReader:
    """Reads the field `name`; None where an object has none.

    Raises InvalidRecord for what is no JSON object, or holds there what no number of Python can be.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        one_field: Any = msgspec.defstruct("OneField", [("value", Any, None)], rename={"value": name}, gc=False)
        self._decoder = msgspec.json.Decoder(one_field)

    def __call__(self, data: bytes) -> Any:
        """The field of one object."""
        try:
            return self._decoder.decode(data).value
        except (ValueError, RecursionError) as error:  # msgspec's DecodeError and ValidationError are ValueErrors
            raise InvalidRecord(f"its field {self._name}: {explained(data, error)}") from error

    def all(self, lines: bytes) -> list[Any]:
        """The field of the object of each line."""
        try:
            return [found.value for found in self._decoder.decode_lines(lines)]
        except (ValueError, RecursionError) as error:
            raise InvalidRecord(f"its field {self._name}: {error}") from error
