"""What a database source reads."""

from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import dj_database_url
import msgspec
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from msgspec import Meta

from kafka_client.names import TOPIC
from kafka_client.structs import ready

Column = Annotated[str, Meta(pattern=r'^[^"`\x00%]{0,64}$')]
"""The name of a column, or of what holds it; empty for none."""

Pattern = Annotated[str, Meta(pattern=r'^[^"`\x00%]{1,64}$')]

ENGINES = {"django.db.backends.postgresql": "PostgreSQL", "django.db.backends.mysql": "MariaDB"}

_PATTERN = frozenset("*?[")


@ready
class DatabaseTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `target` of a database source."""

    database: Annotated[str, Meta(min_length=1)] = DEFAULT_DB_ALIAS
    """The database: an entry of settings.DATABASES, or a URL such as postgres://user:password@host/name or
    mysql://user:password@host/name. PostgreSQL or MariaDB."""
    user: str = ""
    """The user of the database, where `database` names none."""
    password: str = ""
    """The password of the user, where `database` has none."""
    schema: Column = ""
    """The schema of the tables in PostgreSQL. Default: the first one of the user's search path."""
    tables: tuple[Pattern, ...] = ()
    """The tables to read: names, or patterns such as `shop_*`. A table that is made later and fits is read, too."""
    exclude: tuple[Pattern, ...] = ()
    """Tables that are not read although `tables` names them: names or patterns."""
    query: str = ""
    """A SELECT to read instead of tables. It is used as a subquery, so it has no semicolon at its end. A view of the
    database needs one as well: `SELECT * FROM the_view`."""
    mode: Literal["bulk", "incrementing", "timestamp", "timestamp+incrementing"]
    """How new rows are found. `bulk`: all rows are read each time. `incrementing`: by a number that grows; changes of
    rows are not seen. `timestamp`: by the time of each row's last change. `timestamp+incrementing`: the same, where
    the number tells which row is which."""
    incrementing_column: Column = ""
    """The column with the number that grows."""
    timestamp_column: Column = ""
    """The column with the time of the row's last change. It needs an index."""
    time_zone: str = ""
    """The IANA time zone that `timestamp_column` is written in, for a column whose type has no time zone: PostgreSQL's
    `timestamp` and MariaDB's `DATETIME`. Times there must not go back, so a zone with summer time is no good choice."""
    topic: Annotated[str, Meta(min_length=1)]
    """The topic of the records; {table} stands for the table's name."""
    key: tuple[Column, ...] = ()
    """The columns whose values become the key of the record: one value as a text, several as a JSON array. Default:
    none, and records have no key. For `timestamp` and `bulk` they also tell which row is which; default there: the
    table's primary key."""
    decimals: Literal["text", "number"] = "text"
    """Whether a decimal becomes a text, which loses nothing, or a number of JSON, which many readers round."""
    gap_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    """A number that is missing between rows is waited for at least for so many seconds. Needed where numbers are drawn
    outside the transaction that inserts the row (a sequence with CACHE above 1, numbers of an application), and where
    the server does not tell which transactions are alive. Rows that come later than that are missed."""
    clock_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 5.0
    """How many seconds the time in a row may lie before the beginning of the transaction that writes the row: clocks of
    applications differ, and they may take the time early. Rows with an older time are missed. More make the source read
    more rows again."""
    max_gaps: Annotated[int, Meta(ge=1, le=10_000)] = 1000
    """While so many gaps between numbers may still be filled, new rows wait. More need larger positions in Kafka."""
    max_young: Annotated[int, Meta(ge=1, le=10_000)] = 2000
    """While so many rows are younger than the oldest transaction, further ones wait. More need larger positions in
    Kafka."""
    statement_seconds: Annotated[float, Meta(ge=1, le=600)] = 30.0
    """A statement that takes longer is given up and tried again, and so is a connection."""

    def check(self, name: str) -> None:
        """Raises ValueError naming what is wrong; the text holds no password."""
        self.entry()
        if bool(self.tables) == bool(self.query):
            raise ValueError("target needs either tables or a query")
        if "incrementing" in self.mode and not self.incrementing_column:
            raise ValueError(f"target.incrementing_column is needed for the mode {self.mode}")
        if "timestamp" in self.mode and not self.timestamp_column:
            raise ValueError(f"target.timestamp_column is needed for the mode {self.mode}")
        if self.query and self.mode in ("bulk", "timestamp") and not self.key:
            raise ValueError(f"target.key is needed for a query in the mode {self.mode}")
        if self.query and ";" in self.query:
            raise ValueError("target.query is used as a subquery: it must not hold a semicolon")
        if "{table}" not in self.topic and not self.query and not self._is_one_table:
            raise ValueError("target.topic needs {table}: each of the tables has a topic of its own")
        if not TOPIC.fullmatch(self.topic_of(name)):
            raise ValueError(f"target.topic is {self.topic!r}, which gives no name of a topic")
        if self.time_zone:
            try:
                ZoneInfo(self.time_zone)
            except (OSError, ValueError, KeyError):
                raise ValueError(f"target.time_zone is {self.time_zone!r}, which is no IANA time zone") from None

    @property
    def named_tables(self) -> list[str]:
        """The tables that `tables` gives by name."""
        return [table for table in self.tables if not _PATTERN & set(table) and not self._is_excluded(table)]

    @property
    def has_patterns(self) -> bool:
        """Whether `tables` has patterns, so that the database must be asked which tables there are."""
        return any(_PATTERN & set(table) for table in self.tables)

    def takes(self, table: str) -> bool:
        """Whether a table is to be read."""
        return any(fnmatchcase(table, pattern) for pattern in self.tables) and not self._is_excluded(table)

    def topic_of(self, table: str) -> str:
        """The topic of a table's records."""
        return self.topic.replace("{table}", table)

    def entry(self) -> dict[str, Any]:
        """The database as an entry of DATABASES. Raises ValueError, without the URL."""
        if "://" in self.database:
            found = _entry_of(self.database)
        elif self.database in settings.DATABASES:
            found = dict(settings.DATABASES[self.database])
        else:
            raise ValueError(f"target.database is none of {', '.join(settings.DATABASES)}, and no URL")
        if found.get("ENGINE") not in ENGINES:
            raise ValueError(f"target.database is none of {', '.join(ENGINES.values())}")
        for name, value in (("USER", self.user), ("PASSWORD", self.password)):
            if value and not found.get(name):
                found[name] = value
        return found

    @property
    def _is_one_table(self) -> bool:
        return len(self.tables) == 1 and not self.has_patterns

    def _is_excluded(self, table: str) -> bool:
        return any(fnmatchcase(table, pattern) for pattern in self.exclude)

    def __repr__(self) -> str:
        """Without a password."""
        return f"{type(self).__name__}(mode={self.mode!r})"


def _entry_of(url: str) -> dict[str, Any]:
    """A URL as an entry of DATABASES. Raises ValueError, without the URL."""
    try:
        found: dict[str, Any] = dict(dj_database_url.parse(url))
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("target.database is no URL such as postgres://user:password@host/name") from None
    # postgres://user:1#2@host/name would be the host "user" with the port 1, which logs may show.
    if parts.fragment or (parts.netloc and "@" in parts.path + parts.query and not found["USER"]):
        raise ValueError(
            "target.database: in user, password and name, characters such as # / ? : @ [ ] % are percent-encoded, for "
            "example # as %23 and / as %2F"
        )
    return found
