"""What a bulk request says of each record: the document's id, its version, its index, and the bytes from Kafka."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any
from zlib import crc32

import msgspec

from events.schema import InvalidRecord
from sinks.elasticsearch.fields import FieldReader
from sinks.elasticsearch.names import IndexNames
from sinks.elasticsearch.user_agents import AddingAgent
from sinks.records import Partition, Record, Run
from sinks.times import Unread, no_unread

MAX_ID_BYTES = 512
"""Elasticsearch's own bound: a longer id would have the whole request refused."""

_MILLISECOND = 2**20
"""How much later a version becomes with each millisecond of Kafka's time; with each offset it becomes later by 1."""

_TIMES = (2**30, 2**42 - 1)
"""The times of 1970 and 2109 that all others are drawn to: every version fits into Elasticsearch's long."""

FIRST = _TIMES[0] * _MILLISECOND
"""The lowest version. Documents that were stored without versions count 1, 2, 3 … and never reach it."""

Identify = Callable[[Record], str | None]
"""Gives the id that a record brings along, None where it brings none. Raises InvalidRecord."""


class Actions:
    """Makes the lines of a bulk request.

    names: gives the index; id: "offset" (topic-partition-offset), "key" (the record's key), "header:NAME" or
    "field:NAME" (where a record has none, topic-partition-offset); delete_tombstones: a record without a value deletes
    the document of its key, otherwise it is left out; enrich: gives the value that is stored instead of Kafka's.
    Raises ValueError.

    Of records with one id the newest stays, in whatever order they arrive, for a document has a version. by_key: the
    version is the offset; by_time: one of `Versions`; by_place: each record has its own document, so none is needed.
    """

    def __init__(
        self,
        names: IndexNames,
        *,
        id: str = "offset",
        delete_tombstones: bool = False,
        enrich: AddingAgent | None = None,
    ) -> None:
        self.names = names
        self.by_place = id == "offset"
        self.by_key = id == "key"
        self.by_time = not (self.by_place or self.by_key)
        self._delete_tombstones = delete_tombstones
        self._enrich = enrich
        self._identify = _identify(id)
        self._head = lru_cache(1024)(self._head_of)
        if self.by_key and names.fixed is None:
            raise ValueError("id 'key' needs one index: in another period's index a key's older document would stay")
        if delete_tombstones and not self.by_key:
            raise ValueError("tombstones 'delete' needs id 'key', which says what is deleted")

    def body(self, partition: Partition, record: Record, version: int = 0, unread: Unread = no_unread) -> bytes | None:
        """The lines of a record; None when nothing is to be done. Raises InvalidRecord when it can't be stored.

        version: of the record, where documents have versions by time; unread: called with a time that can't be read.
        """
        value = record.value
        if value is None:
            place = self._place(partition, record, version, unread) if self._delete_tombstones else None
            return b'{"delete":{%b}}\n' % place if place is not None else None
        if self._enrich is not None:
            value = self._enrich(value)
        if b"\n" in value:
            value = value.replace(b"\n", b" ")  # between the parts of the JSON: inside its strings there can be none
        if self.by_place:
            return b'%b%d"}}\n%b\n' % (self._head(self.names.of(record, unread), partition), record.offset, value)
        return b'{"index":{%b}}\n%b\n' % (self._place(partition, record, version, unread), value)

    def lines(self, partition: Partition, run: Run, unread: Unread = no_unread) -> bytes | None:
        """The lines of all records of a run, made much quicker than one by one; None where each needs a look.

        unread: called with times that can't be read.
        """
        if not self.by_place or run.lines is None:
            return None
        values: Sequence[bytes | None]
        try:
            values = self._enrich.all(run.lines) if self._enrich is not None else run.values
            indices = self.names.all(run, unread)
        except InvalidRecord:
            return None
        heads = [self._head(index, partition) for index in indices]
        lines = [b'%b%d"}}\n%b\n' % line for line in zip(heads, run.offsets, values, strict=True)]  # type: ignore[str-format]
        return b"".join(lines)

    def document(self, partition: Partition, record: Record) -> tuple[str, str]:
        """The index and the id of a record's document. Raises InvalidRecord when it can't be stored."""
        return self.names.of(record), self._id(partition, record)

    def _head_of(self, index: str, partition: Partition) -> bytes:
        """The line of a document up to its offset; nothing in it needs escaping. One index is named by the request."""
        where = "" if index == self.names.fixed else f'"_index":"{index}",'
        return f'{{"index":{{{where}"_id":"{partition.topic}-{partition.number}-'.encode()

    def _place(self, partition: Partition, record: Record, version: int, unread: Unread) -> bytes:
        id = msgspec.json.encode(self._id(partition, record))
        place = b'"_index":"%b","_id":%b' % (self.names.of(record, unread).encode(), id)
        if self.by_key:
            return place + b',"version":%d,"version_type":"external"' % record.offset
        # Equal versions are one record: read again, it is stored again, for settings may have changed.
        return place + b',"version":%d,"version_type":"external_gte"' % version

    def _id(self, partition: Partition, record: Record) -> str:
        own = self._identify(record) if self._identify is not None else None
        if own is None:
            return f"{partition.topic}-{partition.number}-{record.offset}"
        if len(own.encode()) > MAX_ID_BYTES:
            raise InvalidRecord(f"its id has more than {MAX_ID_BYTES} bytes")
        return own


class Versions:
    """The versions of a partition's records, asked for in the order of their offsets.

    latest: the latest Kafka time (ms) of the records before the first one that is asked for.

    A version is made of Kafka's time, then of the offset. Producers may set times that run backwards, so a record
    counts as no older than any record before it in its partition. Versions therefore rise with the offsets, and
    whoever reads a record again gives it the same version.
    """

    def __init__(self, partition: Partition, *, latest: int = 0) -> None:
        self._latest = latest
        # Of records of one millisecond in two partitions always the same one is the newer one.
        self._partition = crc32(str(partition).encode()) % _MILLISECOND

    def of(self, record: Record) -> int:
        """The version of the next record."""
        self._latest = max(self._latest, record.timestamp)
        first, last = _TIMES
        return min(max(self._latest, first), last) * _MILLISECOND + self._partition + record.offset


def _identify(id: str) -> Identify | None:
    kind, _, name = id.partition(":")
    if id == "offset":
        return None
    if id == "key":
        return _key
    if kind == "header" and name:
        return lambda record: _header(record, name)
    if kind == "field" and name:
        read = FieldReader(name)
        return lambda record: _field(read(record.value or b""))
    raise ValueError(f"id is {id!r}; it must be offset, key, header:NAME or field:NAME")


def _key(record: Record) -> str:
    if not record.key:
        raise InvalidRecord("the record has no key, which is to be its id")
    return _text(record.key)


def _header(record: Record, name: str) -> str | None:
    for header, value in record.headers or ():
        if header == name and value:
            return _text(value)
    return None


def _field(value: Any) -> str | None:
    return str(value) if value != "" and isinstance(value, str | int) and not isinstance(value, bool) else None


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise InvalidRecord(f"its id is not UTF-8: {error}") from error
