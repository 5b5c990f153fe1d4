"""A table, or a query, as the readers of the modes see it: rows in order, as records."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from kafka_client.producer import Record
from sources.config import SourceOptions
from sources.database.config import DatabaseTarget
from sources.database.connection import Column, Database, MissingColumn
from sources.database.gaps import Range
from sources.database.horizon import Look
from sources.database.rows import Key, Page, Row, Timed
from sources.database.values import RowEncoder
from worker.errors import Fatal

P = TypeVar("P")

_FIRST_ROWS = 100
_GROWTH = 4
_RANGES = 100

_OR_QUERY = (
    "Make it so, or read the table by target.query (SELECT * FROM the_table), by which you promise that it is so"
)

Order = Sequence[str]


class Condition(NamedTuple):
    """A part of WHERE. none: an empty text."""

    sql: str = ""
    values: Sequence[Any] = ()


class TableRows:
    """The rows of a part. Its methods raise Retriable and Fatal.

    A read fetches few rows at first; later so many as fit into `batch_bytes`, as the last ones were.
    """

    def __init__(self, database: Database, target: DatabaseTarget, part: str, options: SourceOptions) -> None:
        self._database = database
        self._target = target
        self._part = part
        self._topic = target.topic_of(part)
        self._bytes = options.batch_bytes
        self._rows = _FIRST_ROWS
        self._columns: Sequence[Column] = ()
        self._encoder: RowEncoder | None = None
        quoted = database.quoted
        self._number = quoted(target.incrementing_column)
        self._time = quoted(target.timestamp_column)
        # The parameters' sign in the query of an operator is no sign of a parameter.
        query = target.query.replace("%", "%%")
        self._from = f"({query}) AS {quoted('source_query')}" if query else quoted(part)

    @property
    def name(self) -> str:
        """For people."""
        return f"{self._database.name} {'query' if self._target.query else f'table {self._part}'}"

    @cached_property
    def key(self) -> Sequence[str]:
        """The columns that tell which row is which."""
        if self._target.mode == "timestamp+incrementing":
            return [self._target.incrementing_column]
        if self._target.key:
            return self._target.key
        # MariaDB tells who may only read the table which index is PRIMARY, but not that it is the primary key.
        found = [c["columns"] for name, c in self._constraints.items() if c["primary_key"] or name == "PRIMARY"]
        return found[0] if found else ()

    def check(self) -> None:
        """Looks whether the table can be read in this mode. Raises Fatal with the reason."""
        target, mode = self._target, self._target.mode
        columns = {column[0]: column for column in self._described()}
        wanted = [name for name in (target.incrementing_column, target.timestamp_column, *target.key) if name]
        for name in wanted:
            if name not in columns:
                raise Fatal(f"{self.name}: there is no column {name}; there are {', '.join(columns)}")
        if "incrementing" in mode:
            self._check_number(columns[target.incrementing_column])
        if "timestamp" in mode:
            self._check_time(columns[target.timestamp_column])
        if mode in ("bulk", "timestamp") and not self.key:
            raise Fatal(f"{self.name} has no primary key: name the columns that tell which row is which in target.key")
        if not target.query:
            self._check_constraints()

    def warnings(self) -> Iterable[str]:
        """What an operator should know of the table. Raises Retriable and Fatal."""
        target = self._target
        if target.mode == "bulk":
            return
        if target.mode == "incrementing" and not target.query and not target.gap_seconds:
            why = self._database.drawn_outside(self._part, target.incrementing_column)
            if why:
                yield f"{self.name}: {target.incrementing_column}: {why}. Set target.gap_seconds, or rows are missed"
        if not self._can_look:
            yield (
                f"{self._database.name}: {self._database.blind_because()}; rows of transactions that take longer than "
                f"{target.gap_seconds:g} s are missed"
            )

    def look(self) -> Look | None:
        """The transactions that are alive."""
        return self._database.look() if self._can_look else Look(frozenset())

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read within is of one moment."""
        self._database.begin_snapshot()
        try:
            yield
        finally:
            self._database.end_snapshot()

    def highest(self) -> int | None:
        """The highest number."""
        [[found]] = self._read(f"SELECT MAX({self._number}) FROM {self._from}").rows
        return None if found is None else int(found)

    def within(self, ranges: Sequence[Range], limit: int) -> Page[int]:
        """A statement holds a bounded number of ranges."""
        rows: list[Row[int]] = []
        for begin in range(0, len(ranges), _RANGES):
            some = ranges[begin : begin + _RANGES]
            sql = " OR ".join([f"{self._number} BETWEEN %s AND %s"] * len(some))
            values = [number for found in some for number in found]
            page = self._page(Condition(f"({sql})", values), [self._number], self._number_of, limit - len(rows))
            rows += page.rows
            if not page.is_last:
                return Page(rows, is_last=False)
        return Page(rows, is_last=True)

    def above(self, number: int, limit: int) -> Page[int]:
        """The first rows above a number."""
        page = self._page(Condition(f"{self._number} > %s", [number]), [self._number], self._number_of, limit)
        for before, row in zip(page.rows, page.rows[1:], strict=False):
            if before.place == row.place:
                raise Fatal(f"{self.name}: two rows have {row.place} in {self._target.incrementing_column}")
        return page

    def clock(self) -> datetime:
        """The time up to which rows of transactions that begin later can lie, as the column writes times."""
        now = self._database.now() - timedelta(seconds=self._target.clock_seconds)
        return self._as_written(now)

    def after(self, place: Timed | None, before: datetime | None, limit: int) -> Page[Timed]:
        """The first rows behind a place."""
        conditions = []
        key = [self._database.quoted(name) for name in self.key]
        if place is not None and place.key is None:
            conditions.append(Condition(f"{self._time} >= %s", [place.time]))
        elif place is not None and place.key is not None:
            conditions.append(_behind([self._time, *key], [place.time, *place.key]))
        if before is not None:
            conditions.append(Condition(f"{self._time} < %s", [before]))
        return self._page(_all(conditions), [self._time, *key], self._time_of, limit)

    def from_key(self, key: Key | None, limit: int) -> Page[Key]:
        """The first rows behind a key."""
        names = [self._database.quoted(name) for name in self.key]
        return self._page(_behind(names, key) if key else Condition(), names, self._key_of, limit)

    # --- Reading

    def _page(self, where: Condition, order: Order, place_of: Any, limit: int) -> Page[Any]:
        wanted = min(limit, self._rows)
        condition = f" WHERE {where.sql}" if where.sql else ""
        sql = f"SELECT * FROM {self._from}{condition} ORDER BY {', '.join(order)} LIMIT {wanted}"
        columns, found = self._read(sql, where.values)
        encoder = self._encoder_for(columns)
        rows: list[Row[Any]] = []
        size = 0
        encode, topic = encoder.encode, self._topic
        for row in found:
            value, key = encode(row)
            rows.append(Row(place_of(row), Record(topic, value, None, key)))
            size += len(value)
            if size >= self._bytes:
                break
        if rows:
            fit = self._bytes * len(rows) // (size + 1)
            self._rows = max(1, min(fit, _GROWTH * self._rows))
        return Page(rows, is_last=len(rows) == len(found) < wanted)

    def _read(self, sql: str, values: Sequence[Any] = ()) -> Any:
        try:
            return self._database.query(sql, values)
        except MissingColumn as error:
            raise Fatal(f"{self.name}: a column that the source needs was dropped or renamed: {error}") from error

    def _encoder_for(self, columns: Sequence[Column]) -> RowEncoder:
        """A table's change of columns is followed."""
        if self._encoder is None or columns != self._columns:
            names = [column[0] for column in columns]
            for name in (*self._target.key, *self.key):
                if name not in names:
                    raise Fatal(f"{self.name}: the column {name} was dropped or renamed")
            converters = self._database.converters(columns, None if self._target.query else self._part)
            places = {name: place for place, name in enumerate(names)}
            self._columns = columns
            self._number_place = places.get(self._target.incrementing_column, 0)
            self._time_place = places.get(self._target.timestamp_column, 0)
            self._key_places = [places[name] for name in self.key]
            self._encoder = RowEncoder(
                names,
                converters,
                key=[places[name] for name in self._target.key],
                decimals_are_numbers=self._target.decimals == "number",
            )
        return self._encoder

    def _number_of(self, row: Sequence[Any]) -> int:
        return int(row[self._number_place])

    def _time_of(self, row: Sequence[Any]) -> Timed:
        found = row[self._time_place]
        if not isinstance(found, datetime):
            raise Fatal(f"{self.name}: {self._target.timestamp_column} is {found!r}, which is no time to read rows by")
        return Timed(found, self._key_of(row))

    def _key_of(self, row: Sequence[Any]) -> Key:
        return tuple(row[place] for place in self._key_places)

    # --- What the table is

    @cached_property
    def _can_look(self) -> bool:
        why = self._database.blind_because()
        if why and not self._target.gap_seconds:
            raise Fatal(f"{self._database.name}: {why}. Or set target.gap_seconds, and see docs/sources-database.md")
        return not why

    @cached_property
    def _constraints(self) -> dict[str, dict[str, Any]]:
        if self._target.query:
            return {}
        found: dict[str, dict[str, Any]] = self._database.introspect("get_constraints", self._part)
        return found

    def _described(self) -> Sequence[Column]:
        return list(self._read(f"SELECT * FROM {self._from} LIMIT 0").columns)

    def _as_written(self, now: datetime) -> datetime:
        if self._has_zone:
            return now if self._database.reads_zones else now.replace(tzinfo=None)
        return now.astimezone(ZoneInfo(self._target.time_zone)).replace(tzinfo=None)

    @cached_property
    def _has_zone(self) -> bool:
        columns = {column[0]: column for column in self._described()}
        return bool(self._database.time_has_zone(columns[self._target.timestamp_column]))

    def _check_number(self, column: Column) -> None:
        if not self._database.is_whole(column):
            raise Fatal(f"{self.name}: {column[0]} does not hold whole numbers, so it can't be the one that grows")

    def _check_time(self, column: Column) -> None:
        has_zone = self._database.time_has_zone(column)
        if has_zone is None:
            raise Fatal(f"{self.name}: {column[0]} does not hold dates with times")
        if not has_zone and not self._target.time_zone:
            raise Fatal(f"{self.name}: the type of {column[0]} has no time zone; target.time_zone must name it")

    def _check_constraints(self) -> None:
        target = self._target
        key = [target.incrementing_column] if "incrementing" in target.mode else self.key
        described = {found.name: found for found in self._database.introspect("get_table_description", self._part)}
        for name in dict.fromkeys((target.incrementing_column, target.timestamp_column, *key)):
            if name and described[name].null_ok:
                raise Fatal(f"{self.name}: {name} may be NULL, and such rows would never be read. {_OR_QUERY}")
        for name in key:
            if why := self._database.not_comparable(described[name]):
                raise Fatal(
                    f"{self.name}: {name} {why}, so rows would be missed or come again. Read it as another type by "
                    f"target.query (SELECT …, CAST({name} AS CHAR) AS {name} FROM …)"
                )
        partial = self._database.partial_indexes(self._part)
        unique = [
            set(found["columns"])
            for name, found in self._constraints.items()
            if found["unique"] and name not in partial
        ]
        if not any(found <= set(key) for found in unique if found):
            raise Fatal(f"{self.name}: {', '.join(key)} is not unique, so rows could be missed. {_OR_QUERY}")


def _behind(names: Sequence[str], values: Sequence[Any]) -> Condition:
    """(a, b) > (1, 2), as each database can use an index for it."""
    terms, found = [], []
    for place in range(len(names)):
        equal = [f"{name} = %s" for name in names[:place]]
        terms.append(" AND ".join([*equal, f"{names[place]} > %s"]))
        found += [*values[:place], values[place]]
    if len(names) == 1:
        return Condition(terms[0], found)
    first = f"{names[0]} >= %s AND "
    return Condition(f"{first}({' OR '.join(f'({term})' for term in terms)})", [values[0], *found])


def _all(conditions: Sequence[Condition]) -> Condition:
    return Condition(
        " AND ".join(condition.sql for condition in conditions),
        [value for condition in conditions for value in condition.values],
    )
