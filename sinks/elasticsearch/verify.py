"""Proves that every record of a range of offsets is a document once: documents are compared with Kafka."""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby, islice
from typing import Any, NamedTuple

import msgspec
from elasticsearch import Elasticsearch

from events.schema import Check, InvalidRecord
from sinks.elasticsearch.actions import FIRST, Actions, Versions
from sinks.elasticsearch.outcomes import translated
from sinks.elasticsearch.setup import indices
from sinks.elasticsearch.user_agents import FIELD
from sinks.findings import Finding
from sinks.kind import Comparison
from sinks.records import Partition, Record

_CHUNK = 1_000
_HITS = 10_000
"""The most hits of one search, by Elasticsearch's own default."""


class _Document(NamedTuple):
    """What must be stored. place: its index; version: the offset, or one of `Versions`."""

    place: str
    id: str
    version: int
    record: Record


@dataclass(eq=False)
class Verifier(Comparison):
    """Compares records of one partition with their documents.

    check: tells the records that can be documents; dead_letters: the offsets of those that became dead letters;
    deleted_before: retention has deleted the indices that ended by then, None when none was deleted.

    valid, refused, deleted: how many records are to be documents, are dead letters, and were deleted by retention, once
    `findings` has come to its end.
    """

    client: Elasticsearch
    actions: Actions
    check: Check
    partition: Partition
    dead_letters: Container[int]
    deleted_before: datetime | None
    valid: int = 0
    refused: int = 0
    deleted: int = 0
    _indices: set[str] = field(default_factory=set)

    @property
    def counted(self) -> str:
        """Its counts in words."""
        deleted = f" and {self.deleted} deleted by retention" if self.deleted else ""
        return f"{self.valid} events and {self.refused} dead letters{deleted}"

    def findings(self, records: Iterable[Record]) -> Iterator[Finding]:
        """What is wrong; records: Kafka's of the range, in order. Raises Retriable and Fatal."""
        with translated():
            self.client.indices.refresh(index=self.actions.names.wildcard)
            self._indices = set(indices(self.client, self.actions.names))
        missing: list[int] = []
        expected = self._documents(records)
        if self.actions.by_key:  # the last one of each id: with deletions, an older record may have no document
            expected = iter({document.id: document for document in expected}.values())
        while chunk := list(islice(expected, _CHUNK)):
            found = self._found({document.id for document in chunk})
            for document in chunk:
                record, offset = document.record, document.record.offset
                hits = found.get(document.id, [])
                if not self.actions.by_place:  # in another index it is the document of another record
                    hits = [hit for hit in hits if hit["_index"] == document.place]
                if len(hits) > 1:
                    places = ", ".join(sorted(hit["_index"] for hit in hits))
                    yield Finding(self.partition, "repeat", offset, offset, f"{document.id} is in {places}")
                if hits and (difference := self._difference(document, hits[0])):
                    yield Finding(self.partition, "difference", offset, offset, f"{document.id} {difference}")
                if not hits and self._was_deleted(record):
                    self.deleted += 1
                    continue
                if not hits and record.value is not None:
                    missing.append(offset)
                self.valid += record.value is not None
        yield from self._gaps(missing)

    def _documents(self, records: Iterable[Record]) -> Iterator[_Document]:
        """The document of each record that must be one."""
        versions = Versions(self.partition)
        for record in records:
            try:
                self.check(record.value)
                version = versions.of(record) if self.actions.by_time else record.offset
                index, id = self.actions.document(self.partition, record)
            except InvalidRecord:
                self.refused += 1
                continue
            if record.offset in self.dead_letters:
                self.refused += 1
            elif record.value is not None or self.actions.by_key:
                yield _Document(index, id, version, record)

    def _was_deleted(self, record: Record) -> bool:
        """Whether retention has deleted the index of a record that is in none."""
        if self.deleted_before is None or record.value is None:
            return False
        index = self.actions.names.of(record)
        end = self.actions.names.end(index)
        return end is not None and end <= self.deleted_before and index not in self._indices

    def _difference(self, document: _Document, hit: dict[str, Any]) -> str:
        """What is wrong with a document that was found; empty for nothing."""
        version: int = hit["_version"]
        is_newer = not self.actions.by_place and version > document.version
        if is_newer or _is_same(document.record, hit["_source"]):
            return ""
        if document.record.value is None:
            return "should have been deleted"
        if self.actions.by_time and version < document.version:
            # A document from before there were versions by time does not tell how old it is.
            return "is older than what Kafka has" if version >= FIRST else ""
        return "is not what Kafka has"

    @translated()
    def _found(self, ids: set[str]) -> dict[str, list[dict[str, Any]]]:
        """The documents with these ids, in whatever index of the sink."""
        answer = self.client.search(
            index=self.actions.names.wildcard,
            query={"ids": {"values": sorted(ids)}},
            size=_HITS,
            version=True,
            filter_path="hits.hits._id,hits.hits._index,hits.hits._version,hits.hits._source",
        )
        found: dict[str, list[dict[str, Any]]] = {}
        for hit in answer.get("hits", {}).get("hits", ()):
            if self.actions.names.gives(hit["_index"]):
                found.setdefault(hit["_id"], []).append(hit)
        return found

    def _gaps(self, missing: list[int]) -> Iterator[Finding]:
        for _, gap in groupby(enumerate(missing), key=lambda placed: placed[1] - placed[0]):
            offsets = [offset for _, offset in gap]
            detail = f"{len(offsets)} records are in no document"
            yield Finding(self.partition, "gap", offsets[0], offsets[-1], detail)


def _is_same(record: Record, stored: dict[str, Any]) -> bool:
    """Whether a document is that of a record; what the sink may have added to the record is not compared."""
    if record.value is None:
        return False
    expected = msgspec.json.decode(record.value, type=dict[str, Any])
    return stored == ({FIELD: stored[FIELD], **expected} if FIELD in stored else expected)
