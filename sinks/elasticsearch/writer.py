"""Stores batches by bulk requests; a document's id depends on its record alone, so a repeat overwrites itself."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from elasticsearch import Elasticsearch

from events.schema import InvalidRecord
from sinks.elasticsearch.actions import Actions, Versions
from sinks.elasticsearch.bulk import Bulk, Caution, Chunk, Item, piece
from sinks.elasticsearch.client import check_server
from sinks.elasticsearch.notes import TopicNotes
from sinks.elasticsearch.outcomes import translated
from sinks.records import Batch, Partition, Rejected, Run
from sinks.refusals import FirstRefusals
from sinks.reporting.metrics import SinkMetrics, UnreadTimes
from worker.errors import Retriable
from worker.retry import attempt


@dataclass(eq=False)
class ElasticsearchWriter:
    """Documents of the indices that `actions` names.

    client: makes no retries of its own; topics: tells a topic that was made again; refusals: of all partitions;
    latest_time: gives the latest Kafka time of a partition's records below an offset, raises Retriable. setup_pipeline
    has made the index or, where there are several, their template.
    """

    group = 4

    client: Elasticsearch
    actions: Actions
    topics: TopicNotes
    metrics: SinkMetrics
    refusals: FirstRefusals
    latest_time: Callable[[Partition, int], int]

    def __post_init__(self) -> None:
        # Versions by time are given in the order of offsets. With keys, documents can be deleted, and Elasticsearch
        # forgets the version of a deleted document after a while: then nothing older may be on its way any more.
        self.ordered = not self.actions.by_place
        self.unread = UnreadTimes(self.actions.names.time, self.metrics).note

    async def open(self, partition: Partition, committed: int | None) -> "ElasticsearchPartition":
        """Checks server, index and topic: an index made by a first document would have a guessed mapping."""
        await attempt("asking for the server's version", lambda: check_server(self.client))
        await attempt("looking for the index", self._check_index)
        topic_id = await attempt("checking the topic's identity", lambda: self.topics.note(partition.topic))
        latest = 0
        if self.actions.by_time and committed:
            latest = await attempt("asking for the latest time", lambda: self.latest_time(partition, committed))
        check_topic = partial(self.topics.check, partition.topic, topic_id)
        return ElasticsearchPartition(self, Versions(partition, latest=latest), committed, check_topic)

    def close(self) -> None:
        self.client.close()

    @translated()
    def _check_index(self) -> None:
        names = self.actions.names
        if names.fixed is not None:
            what, exists = f"index {names.fixed}", self.client.indices.exists(index=names.fixed)
        else:
            what = f"index template {names.template}"
            exists = self.client.indices.exists_index_template(name=names.template)
        if not exists:
            raise Retriable(f"Elasticsearch has no {what}: run `manage.py setup_pipeline`", reason="404")


@dataclass(eq=False)
class ElasticsearchPartition:
    """A partition on its way into the index; several may own it at a time, for a repeat overwrites itself.

    versions: of its records from `resume_at` on; check_topic: raises Fatal when the topic is not the one that was
    opened.
    """

    sink: ElasticsearchWriter
    versions: Versions
    resume_at: int | None
    check_topic: Callable[[], None]
    caution: Caution = field(default_factory=Caution)

    async def store(self, batches: Sequence[Batch]) -> list[Rejected]:
        """Indexes the batches; returns the records that can't be documents, by Elasticsearch's word or before."""
        # Checked after the records were read, so that they are records of the topic that has this id.
        await attempt("checking the topic's identity", self.check_topic)
        rejected: list[Rejected] = []
        partition = batches[0].partition
        for chunk in self._chunks(partition, [run for batch in batches for run in batch.runs], rejected):
            bulk = Bulk(self.sink.client, chunk, partition, self.sink.actions, self.caution, self.sink.metrics)
            await attempt(f"bulk of {partition} offsets {batches[0].first_offset}-{batches[-1].last_offset}", bulk.send)
            self.sink.refusals.note(taken=bulk.stored, reasons=bulk.refusals)
            rejected += bulk.rejected
        return rejected

    async def rest(self, *, leaving: bool) -> None:
        """It keeps nothing open."""

    def _chunks(self, partition: Partition, read: Sequence[Run], rejected: list[Rejected]) -> Iterator[Chunk]:
        """Runs whose lines can be made at once go together as far as they fit; the others record by record."""
        runs: list[Run] = []
        bodies: list[bytes] = []
        size = 0
        for run in read:
            most = self.caution.most_bytes
            unread: list[Any] = []
            body = self.sink.actions.lines(partition, run, unread.append) if run.size <= most else None
            if body is not None and len(body) > most:
                body = None
            if runs and (body is None or size + len(body) > most):
                chunk = self._whole(partition, runs, bodies)
                runs, bodies, size = [], [], 0  # not to be held while it is sent
                yield chunk
            if body is None:
                yield from self._pieces(partition, run, rejected)
            else:
                self.sink.unread(partition, unread)
                runs.append(run)
                bodies.append(body)
                size += len(body)
        if runs:
            chunk = self._whole(partition, runs, bodies)
            bodies = []
            yield chunk

    def _whole(self, partition: Partition, runs: list[Run], bodies: list[bytes]) -> Chunk:
        def items() -> list[Item]:
            return [Item(record, self.sink.actions.body(partition, record) or b"") for run in runs for record in run]

        return Chunk(sum(len(run.offsets) for run in runs), b"".join(bodies), items)

    def _pieces(self, partition: Partition, run: Run, rejected: list[Rejected]) -> Iterator[Chunk]:
        items: list[Item] = []
        size = 0
        unread: list[Any] = []
        for record in run:
            try:
                body = self.sink.actions.body(partition, record, self.versions.of(record), unread.append)
            except InvalidRecord as error:
                rejected.append(Rejected(record, str(error)))
                continue
            if body is None:
                continue
            if items and size + len(body) > self.caution.most_bytes:
                yield piece(items)
                items, size = [], 0
            items.append(Item(record, body))
            size += len(body)
        self.sink.unread(partition, unread)
        if items:
            yield piece(items)
