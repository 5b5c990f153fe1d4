"""Values of a database as JSON and back, without a loss: positions hold them. No Django here."""

from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

Plain = None | bool | int | float | str | list[str]
"""What is no value of JSON is a list of its type's name and a text."""

_FROM: dict[str, Callable[[str], Any]] = {
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "decimal": Decimal,
    "uuid": UUID,
    "bytes": b64decode,
}


def to_plain(value: Any) -> Plain:
    """Raises ValueError for a type that can't be told from its text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime | date | time):
        return [type(value).__name__, value.isoformat()]
    if isinstance(value, Decimal | UUID):
        return [type(value).__name__.lower(), str(value)]
    if isinstance(value, bytes | bytearray | memoryview):
        return ["bytes", b64encode(value).decode()]
    raise ValueError(f"a {type(value).__name__} can't be part of a key")


def from_plain(value: Plain) -> Any:
    """The value. Raises ValueError for what `to_plain` does not give."""
    if not isinstance(value, list):
        return value
    try:
        kind, text = value
        return _FROM[kind](text)
    except (KeyError, ArithmeticError, TypeError) as error:
        raise ValueError(f"{value} is no value of a position") from error
