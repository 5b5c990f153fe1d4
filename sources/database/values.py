"""Rows as JSON, and values as keys of records. No Django here."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from math import isfinite
from typing import Any

import msgspec

Converter = Callable[[Any], Any]
"""Makes a value that msgspec can write of one that is not NULL."""


class RowEncoder:
    """An object of JSON for each row. Dates are ISO 8601, binary values base64, decimals texts or numbers."""

    def __init__(
        self,
        names: Sequence[str],
        converters: Sequence[Converter | None],
        *,
        key: Sequence[int],
        decimals_are_numbers: bool,
    ) -> None:
        self._names = tuple(names)
        self._converters = [(place, convert) for place, convert in enumerate(converters) if convert]
        self._key = tuple(key)
        decimals = "number" if decimals_are_numbers else "string"
        self._json = msgspec.json.Encoder(decimal_format=decimals, enc_hook=str)  # type: ignore[arg-type]

    def encode(self, row: Sequence[Any]) -> tuple[bytes, bytes | None]:
        """The value and the key of the record."""
        if self._converters:
            values = list(row)
            for place, convert in self._converters:
                if values[place] is not None:
                    values[place] = convert(values[place])
            row = values
        value = self._json.encode(dict(zip(self._names, row, strict=False)))
        return value, self._key_of([row[place] for place in self._key]) if self._key else None

    def _key_of(self, values: Sequence[Any]) -> bytes | None:
        if len(values) == 1 and values[0] is None:
            return None
        text = self._json.encode(values[0] if len(values) == 1 else values)
        if len(values) == 1 and text.startswith(b'"'):
            return bytes(msgspec.json.decode(text, type=str).encode())
        return text


def finite(value: float) -> float | str:
    """JSON has no number for NaN and infinity."""
    return value if isfinite(value) else str(value)


def finite_decimal(value: Decimal) -> Decimal | str:
    """The same for decimals, which may be larger than any floating-point number."""
    return value if value.is_finite() else str(value)


def raw(text: str | bytes) -> msgspec.Raw:
    """A text that is JSON already."""
    return msgspec.Raw(text.encode() if isinstance(text, str) else bytes(text))


def within(convert: Converter) -> Converter:
    """The same for the elements of arrays, in any depth."""

    def convert_all(value: Any) -> Any:
        if isinstance(value, list):
            return [convert_all(element) for element in value]
        return None if value is None else convert(value)

    return convert_all
