"""What differs from one database to another: how each sends rows, names types, and words its errors."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from typing import Any, ClassVar, NamedTuple

import msgspec
from django.db import DataError, IntegrityError

Connection = Any
"""A connection of Django's."""

Column = Sequence[Any]
"""The values of a column, one for each row."""


class Holds(Enum):
    """What a column holds, as far as values must be prepared for it.

    ZONED_TIME: a time with its zone, for which the database reads a text that has one by itself.
    """

    TEXT = auto()
    DATE = auto()
    TIME = auto()
    ZONED_TIME = auto()
    JSON = auto()
    DECIMAL = auto()
    INTEGER = auto()
    ARRAY = auto()
    OTHER = auto()


class Type(NamedTuple):
    """The type of a column. name: as the database writes it in a cast, without its length."""

    holds: Holds
    name: str


class Dialect(ABC):
    """One kind of database.

    title: for people; begin: what each transaction begins with; reads_zones: whether a time may be given with its
    zone; longest_key: characters of a text that can be part of a key, None where there is no bound; table_options: what
    a CREATE TABLE ends with.
    """

    title: ClassVar[str]
    begin: ClassVar[str] = ""
    longest_key: ClassVar[int | None] = None
    table_options: ClassVar[str] = ""
    reads_zones: ClassVar[bool] = False

    def is_of_row(self, error: Exception) -> bool:
        """Whether a row was refused for what it holds."""
        return isinstance(error, DataError | IntegrityError | OverflowError)

    def is_lasting(self, error: Exception) -> bool:
        """Whether the same statement would fail again and again, until somebody changes the database."""
        return False

    def words(self, error: Exception) -> str:
        """The database's own words. Those before a colon tell the type of the error."""
        return str(error)

    @abstractmethod
    def types(self, connection: Connection, table: str) -> dict[str, Type]:
        """Column -> its type, of a table or a view; empty where there is none. Raises DatabaseError."""

    def unusable(self, connection: Connection, table: str, filled: Sequence[str], key: Sequence[str]) -> str:
        """Why rows of a table that is there would get lost, or replace others than those with their key; empty: fine.

        filled: the columns that the sink fills; key: may be none. Raises DatabaseError.
        """
        return ""

    def unfit(self, type_: Type, values: Column) -> dict[int, str]:
        """Which values the database would change without a word instead of refusing them: place -> reason."""
        return {}

    @abstractmethod
    def insert(
        self,
        connection: Connection,
        table: str,
        types: Mapping[str, Type],
        columns: Sequence[Column],
        key: Sequence[str],
    ) -> None:
        """Inserts rows by one statement. types: of the columns that are filled, in their order; key: may be none.

        Raises DatabaseError, and OverflowError for more than a statement can hold.
        """

    def same(self, connection: Connection, table: str, column: str, type_: Type) -> str | None:
        """The condition that `column` has the value `%s`, once the database has made of it what the column is."""
        return None

    def text(self, value: Any) -> str:
        """A value, not None, as `same` compares it."""
        return str(value)

    def compared(self, value: Any) -> Any:
        """A value, not None, as a parameter that a column of any type is compared with."""
        return value

    @contextmanager
    def making(self, connection: Connection, table: str) -> Iterator[None]:
        """Holds other processes up that make the same table. Raises DatabaseError."""
        yield


_encode = msgspec.json.Encoder(decimal_format="number").encode


def to_json(value: Any) -> str:
    """JSON of a value; decimals are numbers with all their digits."""
    return _encode(value).decode()


def on_conflict(connection: Connection, names: Sequence[str], key: Sequence[str]) -> str:
    """The clause that replaces the row with the same key, as PostgreSQL and SQLite have it."""
    if not key:
        return ""
    quote = connection.ops.quote_name
    sets = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in names if name not in key)
    return f" ON CONFLICT ({', '.join(map(quote, key))}) DO " + (f"UPDATE SET {sets}" if sets else "NOTHING")
