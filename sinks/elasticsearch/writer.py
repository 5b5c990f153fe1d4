"""Stores batches by bulk requests; a document's id depends on its record alone, so a repeat overwrites itself."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from elasticsearch import Elasticsearch

from events.schema import InvalidRecord
from sinks.elasticsearch.actions import Actions
from sinks.elasticsearch.bulk import Bulk, Caution, Chunk, Item, piece
from sinks.elasticsearch.compatibility import check_server
from sinks.elasticsearch.notes import TopicNotes
from sinks.elasticsearch.outcomes import translated
from sinks.elasticsearch.refusals import FirstRefusals
from sinks.elasticsearch.versions import Versions
from sinks.errors import Retriable
from sinks.loop.retry import attempt
from sinks.records import Batch, Partition, Rejected, Run
from sinks.reporting.metrics import SinkMetrics
from sinks.reporting.unread_times import UnreadTimes


class ElasticsearchWriter:
    """Documents of the indices that `actions` names.

    client: makes no retries of its own; topics: tells a topic that was made again; latest_time: gives the latest Kafka
    time of a partition's records below an offset, raises Retriable; refusals: of all partitions. setup_pipeline has
    made the index or, where there are several, their template.
    """

    group = 4

    def __init__(
        self,
        client: Elasticsearch,
        actions: Actions,
        topics: TopicNotes,
        metrics: SinkMetrics | None = None,
        *,
        refusals: FirstRefusals,
        latest_time: Callable[[Partition, int], int],
    ) -> None:
        # Versions by time are given in the order of offsets. With keys, documents can be deleted, and Elasticsearch
        # forgets the version of a deleted document in time: until then nothing older may be on its way any more.
        self.ordered = not actions.by_place
        self._client = client
        self._actions = actions
        self._topics = topics
        self._metrics = metrics or SinkMetrics()
        self._unread = UnreadTimes(actions.names.time, self._metrics).note
        self._refusals = refusals
        self._latest_time = latest_time

    async def open(self, partition: Partition, committed: int | None) -> "ElasticsearchPartition":
        """Checks server, index and topic: an index made by a first document would have a guessed mapping."""
        await attempt("asking for the server's version", lambda: check_server(self._client))
        await attempt("looking for the index", self._check_index)
        topic_id = await attempt("checking the topic's identity", lambda: self._topics.note(partition.topic))
        latest = 0
        if self._actions.by_time and committed:
            latest = await attempt("asking for the latest time", lambda: self._latest_time(partition, committed))
        return ElasticsearchPartition(
            self._client,
            self._actions,
            Versions(partition, latest=latest),
            committed,
            check_topic=lambda: self._topics.check(partition.topic, topic_id),
            refusals=self._refusals,
            unread=self._unread,
            metrics=self._metrics,
        )

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    @translated()
    def _check_index(self) -> None:
        names = self._actions.names
        if names.fixed is not None:
            what, exists = f"index {names.fixed}", self._client.indices.exists(index=names.fixed)
        else:
            what = f"index template {names.template}"
            exists = self._client.indices.exists_index_template(name=names.template)
        if not exists:
            raise Retriable(f"Elasticsearch has no {what}: run `manage.py setup_pipeline`", reason="404")


class ElasticsearchPartition:
    """A partition on its way into the index; several may own it at a time, for a repeat overwrites itself.

    versions: of its records from `resume_at` on; check_topic: raises Fatal when the topic is not the one that was
    opened; refusals: of all partitions; unread: is told times that can't be read.
    """

    def __init__(
        self,
        client: Elasticsearch,
        actions: Actions,
        versions: Versions,
        resume_at: int | None,
        *,
        check_topic: Callable[[], None],
        refusals: FirstRefusals,
        unread: Callable[[Partition, Sequence[Any]], None],
        metrics: SinkMetrics,
    ) -> None:
        self._client = client
        self._metrics = metrics
        self._actions = actions
        self._versions = versions
        self._check_topic = check_topic
        self._refusals = refusals
        self._unread = unread
        self._caution = Caution()
        self.resume_at = resume_at

    async def store(self, batches: Sequence[Batch]) -> list[Rejected]:
        """Indexes the batches; returns the records that can't be documents, by Elasticsearch's word or before."""
        # Asked after the records were read: they are those of the topic that has this id even now.
        await attempt("checking the topic's identity", self._check_topic)
        rejected: list[Rejected] = []
        partition = batches[0].partition
        for chunk in self._chunks(partition, [run for batch in batches for run in batch.runs], rejected):
            bulk = Bulk(self._client, chunk, partition, self._actions, self._caution, self._metrics)
            await attempt(f"bulk of {partition} offsets {batches[0].first_offset}-{batches[-1].last_offset}", bulk.send)
            self._refusals.note(taken=bulk.stored, reasons=bulk.refusals)
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
            most = self._caution.most_bytes
            unread: list[Any] = []
            body = self._actions.lines(partition, run, unread.append) if run.size <= most else None
            if body is not None and len(body) > most:
                body = None
            if runs and (body is None or size + len(body) > most):
                chunk = self._whole(partition, runs, bodies)
                runs, bodies, size = [], [], 0  # not to be held while it is sent
                yield chunk
            if body is None:
                yield from self._pieces(partition, run, rejected)
            else:
                self._unread(partition, unread)
                runs.append(run)
                bodies.append(body)
                size += len(body)
        if runs:
            chunk = self._whole(partition, runs, bodies)
            bodies = []
            yield chunk

    def _whole(self, partition: Partition, runs: list[Run], bodies: list[bytes]) -> Chunk:
        def items() -> list[Item]:
            return [Item(record, self._actions.body(partition, record) or b"") for run in runs for record in run]

        return Chunk(sum(len(run.offsets) for run in runs), b"".join(bodies), items)

    def _pieces(self, partition: Partition, run: Run, rejected: list[Rejected]) -> Iterator[Chunk]:
        items: list[Item] = []
        size = 0
        unread: list[Any] = []
        for record in run:
            try:
                body = self._actions.body(partition, record, self._versions.of(record), unread.append)
            except InvalidRecord as error:
                rejected.append(Rejected(record, str(error)))
                continue
            if body is None:
                continue
            if items and size + len(body) > self._caution.most_bytes:
                yield piece(items)
                items, size = [], 0
            items.append(Item(record, body))
            size += len(body)
        self._unread(partition, unread)
        if items:
            yield piece(items)
