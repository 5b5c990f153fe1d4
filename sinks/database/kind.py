"""The kind of sink that stores rows in a table of a database."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache, partial
from typing import Any

from django.conf import settings
from django.db import connections, models

from events.event import EVENT_TYPES, field_types
from events.schema import Check, check_for
from kafka_client.clusters import kafka_cluster
from sinks.config import SinkConfig
from sinks.database import offsets
from sinks.database.config import OF_KAFKA, OFFSET, TOPIC, DatabaseTarget
from sinks.database.connection import name_of, transaction, version_of
from sinks.database.dialects import DIALECTS, dialect_of
from sinks.database.offsets import TABLE, Fields, make, make_table
from sinks.database.rewind import DatabaseRewinding
from sinks.database.rows import find_columns
from sinks.database.verify import RowComparison
from sinks.database.writer import DatabaseWriter
from sinks.dead_letters.log import letter_log
from sinks.kind import Comparison, Kind, TopicId, Verification
from sinks.log_reader import LogReader
from sinks.loop.writer import Writer
from sinks.records import Partition
from sinks.refusals import FirstRefusals
from sinks.reporting.metrics import SinkMetrics
from sinks.topic_ids import TopicAdmin
from worker.errors import Fatal
from worker.servers import Health, Server

_WRONG_TABLE = "the table is most likely not made for these records. Compare its columns with those of the sink."

_FIELDS: dict[Any, Any] = {
    str: models.TextField,
    int: models.BigIntegerField,
    float: models.FloatField,
    bool: models.BooleanField,
    None: models.DateTimeField,
}
_LONGEST_TOPIC = 249


class DatabaseKind(Kind):
    """Rows in PostgreSQL or MariaDB."""

    name = "database"
    title = "Database"
    target = DatabaseTarget
    options = {"flush_records": 1000, "flush_seconds": 1.0}

    def check(self, sink: SinkConfig) -> None:
        """Raises ValueError for a database that there is not, and for columns that hold nothing."""
        alias = sink.target.database
        if alias not in settings.DATABASES:
            raise ValueError(f"target.database is {alias!r}; it must be one of {', '.join(settings.DATABASES)}")
        if connections[alias].vendor not in DIALECTS:
            titles = ", ".join(dialect.title for dialect in DIALECTS.values())
            raise ValueError(f"target.database {alias!r} is none of {titles}")
        if sink.target.table == TABLE:
            raise ValueError(f"target.table: {TABLE} is the table of the sinks' offsets")
        sink.target.check(sink.event)
        if sink.event in EVENT_TYPES:
            fields = field_types(EVENT_TYPES[sink.event])
            for source in sink.target.sources(sink.event).values():
                if not source.startswith("kafka.") and source.partition(".")[0] not in fields:
                    raise ValueError(f"target.columns: {source} is no field of {sink.event}: {', '.join(fields)}")

    def conflicts(self, one: SinkConfig, other: SinkConfig) -> Iterator[str]:
        """The same records as rows of the same table: the table takes one of the two alone."""
        same = one.target.database == other.target.database and one.target.table == other.target.table
        if same and (topics := one.shared_topics(other)):
            yield f"SINKS[{one.name!r}] and SINKS[{other.name!r}] both store {topics} in {one.target}"

    def writer(self, sink: SinkConfig, *, topic_id: TopicId, connections: int, metrics: SinkMetrics) -> Writer:
        """Rows and offsets."""
        refusals = FirstRefusals(name_of(sink.target.database), _WRONG_TABLE, sink.options.stop_after_refusals)
        return DatabaseWriter(sink.target, sink.name, sink.group, sink.event, topic_id, refusals)

    def prepare(self, sink: SinkConfig) -> Iterator[str]:
        """Makes the table of the offsets, and the sink's own."""
        target: DatabaseTarget = sink.target
        with transaction(target.database) as connection:
            offsets_made = make_table(connection)
            key = target.key or target.place(sink.event) or ()
            made = _made(sink, key, dialect_of(connection).longest_key)
            table_made = make(connection, target.table, made, key)
        with transaction(target.database) as connection:
            find_columns(connection, target.table, target.sources(sink.event), target.key)
        for table, was_made in ((TABLE, offsets_made), (target.table, table_made)):
            yield f"{name_of(target.database)} table {table}: {'made' if was_made else 'there already'}"

    def verification(self, sink: SinkConfig, reader: LogReader) -> Verification:
        """Reads the dead letters: what the database has refused is known from them alone."""
        target: DatabaseTarget = sink.target
        place = target.place(sink.event)
        if place is None or target.key:
            raise Fatal(
                "rows can be compared with Kafka when each record is a row of its own (no key), and columns hold "
                f"{', '.join((TOPIC, 'kafka.partition', OFFSET))}"
            )
        with transaction(target.database) as connection:
            columns = find_columns(connection, target.table, target.sources(sink.event), target.key)
        check, dead = self.record_check(sink), letter_log(sink, reader).origins
        is_compacted = cache(TopicAdmin(kafka_cluster(sink.kafka)).is_compacted)

        def compare(partition: Partition, first: int, end: int) -> Comparison:
            letters, asked = dead.get(partition, ()), partial(is_compacted, partition.topic)
            return RowComparison(target.database, columns, place, check, partition, letters, asked)

        return compare

    def databases(self, sink: SinkConfig) -> Iterable[str]:
        """One."""
        return [sink.target.database]

    def resume_offset(self, sink: SinkConfig, partition: Partition) -> int | None:
        """What the row of the partition says."""
        with transaction(sink.target.database) as connection:
            return offsets.where_it_is(connection, sink.name, partition)

    def servers(self, sinks: Iterable[SinkConfig]) -> list[Server]:
        """The databases."""
        aliases = dict.fromkeys(sink.target.database for sink in sinks)
        return [Server(name_of(alias), partial(_health, alias)) for alias in aliases]

    @contextmanager
    def rewinding(
        self, sink: SinkConfig, partition: Partition, to: int, others: Sequence[SinkConfig]
    ) -> Iterator[DatabaseRewinding]:
        """Rows from the offset on are deleted, and their records stored again."""
        yield DatabaseRewinding(sink.target, sink.event, sink.name, partition, to)

    def rewind_command(self, sink: SinkConfig, partition: str, to: str) -> str:
        """Rows are deleted by a command."""
        return f"python manage.py rewind --sink {sink.name} --partition {partition} --to {to}"

    def record_check(self, sink: SinkConfig) -> Check:
        """A record without a value can be used, too, unless `tombstones` makes it a dead letter."""
        return check_for(sink.event, tombstones=sink.target.tombstones != "dead-letter")

    def keeps_newest(self, sink: SinkConfig) -> bool:
        """Where a record replaces the row of its key."""
        return bool(sink.target.key)


def _made(sink: SinkConfig, key: Iterable[str], longest_key: int | None) -> Fields:
    """The columns of a table that is made for a sink."""
    fields: dict[str, Any] = field_types(EVENT_TYPES[sink.event]) if sink.event in EVENT_TYPES else {}
    types = {**OF_KAFKA, **fields, "timestamp": None if "timestamp" in fields else str}
    made: dict[str, Any] = {}
    for name, source in sink.target.sources(sink.event).items():
        if source == TOPIC:
            made[name] = models.CharField(max_length=_LONGEST_TOPIC)
        elif longest_key and name in key and types.get(source, str) is str:
            made[name] = models.CharField(max_length=longest_key)
        else:
            made[name] = _FIELDS[types.get(source, str)](null=name not in key)
    return made


def _health(alias: str, timeout: float) -> Health:
    with closing(connections[alias]):
        return Health(version_of(alias), "")
