"""The kind of source that reads tables of a database."""

import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial

from kafka_client.names import TOPIC
from sources.config import SourceConfig
from sources.database.config import DatabaseTarget
from sources.database.connection import database_of, name_of
from sources.database.part import TablePart, check_position
from sources.database.verify import DatabaseVerification
from sources.kind import SourceKind, Verification
from sources.reader import PartReader, Position
from worker.errors import Fatal
from worker.servers import Health, Server

logger = logging.getLogger(__name__)

QUERY = "query"
"""The only part of a source that reads a query."""

_LIST_SECONDS = 10.0


class DatabaseKind(SourceKind):
    """Rows of PostgreSQL and MariaDB."""

    name = "database"
    title = "Database"
    target = DatabaseTarget

    def __init__(self) -> None:
        # Which tables of a source there were, and when.
        self._listed: dict[str, tuple[float, Sequence[str]]] = {}

    def check(self, source: SourceConfig) -> None:
        """Raises ValueError for settings that can't be used."""
        source.target.check(QUERY)

    def databases(self, source: SourceConfig) -> Iterable[str]:
        """The one that it reads, unless a URL names it."""
        return [source.target.database]

    def topics(self, source: SourceConfig) -> list[str]:
        """Those of the query, and of tables that are named without a pattern."""
        target: DatabaseTarget = source.target
        return [target.topic_of(part) for part in ([QUERY] if target.query else target.named_tables)]

    def parts(self, source: SourceConfig) -> Iterable[str]:
        """The tables. A named one that there is not is a part, too: it may be made later."""
        target: DatabaseTarget = source.target
        if target.query:
            return [QUERY]
        return dict.fromkeys([*target.named_tables, *(self._matching(source) if target.has_patterns else ())])

    def reader(self, source: SourceConfig, part: str) -> PartReader:
        """Reads a table in the source's mode."""
        return TablePart(source, part)

    def prepare(self, source: SourceConfig) -> Iterator[str]:
        """Looks whether each table can be read; makes nothing."""
        for part in self.parts(source):
            with closing(TablePart(source, part)) as reader:
                yield from reader.look()

    def servers(self, sources: Iterable[SourceConfig]) -> list[Server]:
        """The databases."""
        found = {name_of(source.target.entry()): source.target for source in sources}
        return [Server(name, partial(_health, target)) for name, target in found.items()]

    def described(self, source: SourceConfig) -> str:
        """The database, and the tables or that it is a query."""
        target: DatabaseTarget = source.target
        what = "a query" if target.query else f"tables {', '.join(target.tables)}"
        return f"{name_of(target.entry())}, {what}, mode {target.mode}"

    def position(self, source: SourceConfig, part: str, text: str) -> Position:
        """A JSON object, for example {"seen": 100} in the mode incrementing: the rows above 100 are read."""
        found = json.loads(text)
        check_position(source.target, found)
        return dict(found)

    def verification(self, source: SourceConfig, positions: Mapping[str, Position]) -> Verification | None:
        """None for the mode bulk: a row belongs there as often as it was read."""
        return None if source.target.mode == "bulk" else DatabaseVerification(source, positions)

    def _matching(self, source: SourceConfig) -> Sequence[str]:
        """The tables of the database that the patterns take. The database is not asked each time."""
        asked, found = self._listed.get(source.name, (-_LIST_SECONDS, ()))
        if time.monotonic() - asked < _LIST_SECONDS:
            return found
        target: DatabaseTarget = source.target
        with closing(database_of(target)) as database:
            listed = database.introspect("get_table_list")
        found = sorted(table.name for table in listed if table.type == "t" and target.takes(table.name))
        for table in found:
            if not TOPIC.fullmatch(target.topic_of(table)):
                raise Fatal(f"table {table} would have the topic {target.topic_of(table)!r}: name it in target.exclude")
        self._listed[source.name] = time.monotonic(), found
        return found


def _health(target: DatabaseTarget, timeout: float) -> Health:
    with closing(database_of(target)) as database:
        return Health(database.version(), "")
