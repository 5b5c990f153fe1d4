"""The table `sink_offsets`: how far each sink has stored each partition, and who owns it.

A row moves in the transaction that stores the records, so both happen or neither does. Each owner writes a name of its
own into the row when it takes the partition over. An earlier owner that goes on late finds another name and stores
nothing.

A dead letter is delivered after that transaction. So the row also keeps which records the database has refused, with
the reasons, until their letters are delivered: after a crash in between, the next owner delivers them.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from django.db import IntegrityError, models

from sinks.database.connection import Connection, change, name_of, select, transaction
from sinks.records import Partition
from worker.errors import Fatal, Fenced, Retriable

TABLE = "sink_offsets"

Fields = Mapping[str, Any]
"""Column -> the Django field whose type it gets."""

_COLUMNS: Fields = {
    "sink": models.CharField(max_length=100),
    "topic": models.CharField(max_length=249),
    "partition_number": models.IntegerField(),
    "topic_id": models.CharField(max_length=50),
    "owner": models.CharField(max_length=32),
    "next_offset": models.BigIntegerField(null=True),
    "refused": models.TextField(),
}
_KEY = ("sink", "topic", "partition_number")
_WHERE = f"FROM {TABLE} WHERE sink = %s AND topic = %s AND partition_number = %s"
_AND_WHERE = _WHERE.removeprefix(f"FROM {TABLE} ")


@dataclass(frozen=True)
class Stored:
    """What the row of a partition tells.

    end: every record below it is stored or refused, None when nothing is; refused: offset -> reason, of the records
    whose dead letters may not be delivered yet.
    """

    end: int | None
    refused: Mapping[int, str]


@dataclass(frozen=True)
class Ownership:
    """A partition's row. alias: of the database; sink: its name; owner: the name that this owner wrote into the row."""

    alias: str
    sink: str
    partition: Partition
    owner: str

    def lock(self, connection: Connection) -> Stored:
        """Reads the row within a transaction, which no other owner can then pass. Raises Fenced."""
        found = _row(connection, (self.sink, *self.partition))
        if found is None or found[1] != self.owner:
            raise Fenced(f"{self.partition} has another owner")
        return _stored(found)

    def move(self, connection: Connection, stored: Stored) -> None:
        """Changes the row, in the transaction that has locked it."""
        refused = msgspec.json.encode(sorted(stored.refused.items())).decode()
        update = f"UPDATE {TABLE} SET next_offset = %s, refused = %s {_AND_WHERE}"
        change(connection, update, (stored.end, refused, self.sink, *self.partition))


def take_over(
    alias: str, sink: str, partition: Partition, *, topic_id: str, group: str, committed: int | None
) -> tuple[Ownership, Stored]:
    """Becomes the owner. A partition that was never stored begins at the offset that Kafka holds for the group.

    topic_id: Kafka's own id of the topic. Raises Fatal when the topic was made again, or Kafka's offset is further than
    the row's; Retriable.
    """
    place = (sink, *partition)
    ownership = Ownership(alias, sink, partition, uuid.uuid4().hex)
    with transaction(alias) as connection:
        found = _row(connection, place)
        if found is None:
            names = ", ".join(_COLUMNS)
            insert = f"INSERT INTO {TABLE} ({names}) VALUES (%s, %s, %s, %s, %s, %s, %s)"
            try:
                change(connection, insert, (*place, topic_id, ownership.owner, committed, "[]"))
            except IntegrityError as error:
                raise Retriable(f"another process takes {partition} over at the same time") from error
            return ownership, Stored(committed, {})
        stored, known, decided = _stored(found), found[0], not found[1]
        where = f"the table {TABLE} of {name_of(alias)}"
        if known != topic_id:
            raise Fatal(
                f"the topic {partition.topic} was deleted and made again since its records were stored (its id was "
                f"{known}, now it is {topic_id}): its offsets begin anew. Give the sink another name, or delete the "
                f"rows of the sink {sink!r} and this topic from {where}"
            )
        # An owner that was emptied says that an operator has decided (docs/database-sink.md, Storing again).
        if committed is not None and committed > (stored.end or 0) and not decided:
            raise Fatal(
                f"{partition}: Kafka says that group {group} has stored everything below offset {committed}, but "
                f"{where} says {stored.end or 0}. Was the database put back to an earlier state, or do two deployments "
                f"share the group? To go on from offset N: UPDATE {TABLE} SET next_offset = N, owner = '' {_AND_WHERE}"
                % (f"'{sink}'", f"'{partition.topic}'", partition.number)
            )
        update = f"UPDATE {TABLE} SET owner = %s {_AND_WHERE}"
        change(connection, update, (ownership.owner, *place))
    return ownership, stored


def make_table(connection: Connection) -> bool:
    """Makes the table if it is missing; returns whether it was."""
    return make(connection, TABLE, _COLUMNS, _KEY)


def make(connection: Connection, table: str, columns: Fields, key: Any) -> bool:
    """Makes a table if it is missing; returns whether it was. key: the columns of its primary key, may be none."""
    if connection.vendor == "postgresql":  # of two that make it at once, the second one would fail
        select(connection, "SELECT pg_advisory_xact_lock(hashtext(%s))", (table,))
    with connection.cursor() as cursor:
        if table in connection.introspection.table_names(cursor):
            return False
    quote = connection.ops.quote_name
    lines = [
        f"{quote(name)} {field.db_type(connection)}{'' if field.null else ' NOT NULL'}"
        for name, field in columns.items()
    ]
    if key:
        lines.append(f"PRIMARY KEY ({', '.join(map(quote, key))})")
    change(connection, f"CREATE TABLE {quote(table)} ({', '.join(lines)})")
    return True


def _row(connection: Connection, place: tuple[Any, ...]) -> tuple[str, str, int | None, str] | None:
    lock = " FOR UPDATE" if connection.features.has_select_for_update else ""
    rows = select(connection, f"SELECT topic_id, owner, next_offset, refused {_WHERE}{lock}", place)
    return rows[0] if rows else None


def _stored(row: tuple[str, str, int | None, str]) -> Stored:
    return Stored(row[2], dict(msgspec.json.decode(row[3], type=list[tuple[int, str]])))


def resume_offset(alias: str, sink: str, partition: Partition) -> int | None:
    """Where the row says that the sink goes on; None where there is no row. Raises Fatal and Retriable."""
    with transaction(alias) as connection:
        with connection.cursor() as cursor:
            if TABLE not in connection.introspection.table_names(cursor):
                return None
        rows = select(connection, f"SELECT next_offset {_WHERE}", (sink, *partition))
    return rows[0][0] if rows else None


def move_offset(alias: str, sink: str, partition: Partition, to: int) -> None:
    """Has the sink go on at an offset; its owner is fenced. Raises Fatal and Retriable."""
    with transaction(alias) as connection:
        with connection.cursor() as cursor:
            if TABLE not in connection.introspection.table_names(cursor):
                return
        update = f"UPDATE {TABLE} SET next_offset = %s, refused = '[]', owner = '' {_AND_WHERE}"
        change(connection, update, (to, sink, *partition))
