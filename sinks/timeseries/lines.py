"""Makes a line of Influx's line protocol of a record: `measurement,tag=value field=1,other="text" time`.

A line is refused here, as a dead letter, when one of the servers would read it in another way than it is meant:
VictoriaMetrics drops such lines and answers that all is well.
"""

import math
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec

from events.schema import InvalidRecord, explained
from sinks.fields import within
from sinks.records import Partition, Record
from sinks.timeseries.config import KAFKA, TimeseriesTarget
from sinks.timeseries.times import FIRST, LAST, UNITS, nanoseconds

_MAX_BYTES = 4000
"""Of a name, and of the value of a tag. VictoriaMetrics cuts, or drops, what is longer than its own bound."""

# A backslash is written as it is. Before these characters the servers take it for the beginning of an escape.
_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f]|\\(?=[\\ ,=]|\Z)")

_IN_MEASUREMENT = str.maketrans({",": r"\,", " ": r"\ "})
_IN_NAME = str.maketrans({",": r"\,", " ": r"\ ", "=": r"\="})

_TIME = "time"
"""InfluxDB has no tag and no field of this name."""

_SPREAD = 1000
"""So many records of a partition and of one millisecond, and so many partitions, get times of their own."""

_INTEGERS = range(-(2**63), 2**63)

Fields = dict[str, Any]


class Lines:
    """Makes the lines of a sink's records. What a line says depends on its record alone."""

    def __init__(self, target: TimeseriesTarget) -> None:
        self._target = target
        self._decode = msgspec.json.Decoder(Fields).decode
        self._is_numeric = target.server == "victoriametrics"
        self._integers = frozenset(target.integers)
        self._used_otherwise = {*target.tags, target.time, target.measurement_field, _TIME} - {KAFKA}
        self._precision = UNITS[target.precision]

    def of(self, partition: Partition, record: Record) -> bytes:
        """The line of a record, with its end. Raises InvalidRecord when the record can't be a point."""
        value = record.value or b""
        try:
            found = self._decode(value)
            series = self._measurement(found) + "".join(self._tags(found))
            fields = ",".join(self._fields(found))
            time = self._time(found, partition, record)
        except InvalidRecord:
            raise
        except (ValueError, RecursionError) as error:  # msgspec's DecodeError is a ValueError
            raise InvalidRecord(explained(value, error)) from error
        if not fields:
            raise InvalidRecord("none of its fields can be a field of a point, which needs one")
        return f"{series} {fields} {time}\n".encode()

    def _measurement(self, found: Fields) -> str:
        field = self._target.measurement_field
        if field is None:
            return measurement(self._target.measurement)
        name = _tag_text(field, within(found, field))
        if not name:
            raise InvalidRecord(f"it has no measurement: the field {field} is missing or empty")
        return measurement(name)

    def _tags(self, found: Fields) -> Iterator[str]:
        for name in self._target.tags:
            if text := _tag_text(name, within(found, name)):
                yield f",{escaped(name)}={escaped(text)}"

    def _fields(self, found: Fields) -> Iterator[str]:
        named = self._target.fields
        for name, value in [(name, within(found, name)) for name in named] if named else self._all(found):
            if value is None:
                continue
            if isinstance(value, bool):
                yield f"{field_name(name)}={'true' if value else 'false'}"
            elif isinstance(value, int | float):
                yield f"{field_name(name)}={self._number(name, value)}"
            elif isinstance(value, str) and not self._is_numeric:
                text = value.replace("\\", r"\\").replace('"', r"\"")
                yield f'{field_name(name)}="{text}"'
            elif named:
                raise InvalidRecord(f"its field {name} is {_kind_of(value)}, which can't be stored as a field")

    def _all(self, found: Fields) -> Iterator[tuple[str, Any]]:
        """Every field that is not used otherwise, also those of objects within."""
        objects = [("", found)]
        while objects:
            outer, fields = objects.pop()
            for name, value in fields.items():
                path = outer + name
                if path in self._used_otherwise:
                    continue
                if isinstance(value, dict):
                    objects.append((f"{path}.", value))
                else:
                    yield path, value

    def _number(self, name: str, value: float) -> str:
        if name in self._integers:
            if int(value) != value or int(value) not in _INTEGERS:
                raise InvalidRecord(f"its field {name} is no integer of 64 bits")
            return f"{int(value)}i"
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise InvalidRecord(f"its field {name} is a number that is too large to be stored")
        return repr(number)

    def _time(self, found: Fields, partition: Partition, record: Record) -> int:
        name = self._target.time
        if name != KAFKA:
            time = nanoseconds(name, within(found, name), self._target.time_unit)
        elif record.timestamp < 0:
            raise InvalidRecord("it has no time: Kafka has none of it")
        else:
            time = record.timestamp * UNITS["ms"]
        if self._target.spread:
            place = record.offset * _SPREAD + partition.number % _SPREAD
            time += place % UNITS["ms"] - time % UNITS["ms"]
        if not FIRST <= time <= LAST:
            raise InvalidRecord("its time is before 1677 or after 2262, which can't be stored")
        return time // self._precision


@lru_cache(16_384)
def escaped(name: str) -> str:
    """The name of a tag or field, or the value of a tag, as it is written. Raises InvalidRecord."""
    return _checked(name).translate(_IN_NAME)


@lru_cache(1024)
def measurement(name: str) -> str:
    """The name of a measurement as it is written. Raises InvalidRecord."""
    if name.startswith("#"):
        raise InvalidRecord("its measurement begins with #, as comments do")
    return _checked(name).translate(_IN_MEASUREMENT)


@lru_cache(4096)
def field_name(name: str) -> str:
    """The name of a field as it is written. Raises InvalidRecord."""
    if '"' in name:
        raise InvalidRecord(f"the name of a field, {name[:100]!r}, has a quotation mark, as texts begin with")
    return escaped(name)


def _checked(name: str) -> str:
    if not name:
        raise InvalidRecord("the name of a field is empty")
    if len(name.encode()) > _MAX_BYTES:
        raise InvalidRecord(f"{name[:100]!r}… has more than {_MAX_BYTES} bytes")
    if _UNWRITABLE.search(name):
        raise InvalidRecord(
            f"{name[:100]!r} can't be written as a name or tag: it has a control character, or a backslash at its end "
            "or before a space, a comma, = or another backslash"
        )
    return name


def _tag_text(name: str, value: Any) -> str:
    """The value of a tag; empty where the record has none."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str() | int() | float():
            return str(value)
    raise InvalidRecord(f"its field {name} is {_kind_of(value)}, which can't be a tag or a measurement")


def _kind_of(value: Any) -> str:
    if isinstance(value, str):
        return "a text"
    return "an object" if isinstance(value, dict) else "an array"
