"""Stores batches by bulk requests; a document's id depends on its record alone, so a repeat overwrites itself."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import elasticsearch
from elasticsearch import Elasticsearch

from events.schema import InvalidRecord
from sinks.elasticsearch.actions import Actions
from sinks.elasticsearch.compatibility import check_server
from sinks.elasticsearch.outcomes import TOO_LARGE, Outcome, classified, outcome_of, reason_of
from sinks.elasticsearch.topics import TopicNotes
from sinks.errors import Fatal, Retriable
from sinks.metrics import SinkMetrics
from sinks.records import Batch, Partition, Record, Rejected, Run
from sinks.retry import Retry

logger = logging.getLogger(__name__)

BULK_BYTES = 8 * 1024 * 1024
"""The largest body of a bulk request, in bytes (a single document may be larger)."""

_WARY_REQUESTS = 100
"""After one with errors so many requests of a partition ask at once for the outcome of each document."""

_OUTCOMES = "errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"


class ElasticsearchWriter:
    """Documents of the indices that `actions` names.

    client: makes no retries of its own; topics: tells a topic that was made again. setup_pipeline has made the index
    or, where there are several, their template.
    """

    group = 4

    def __init__(
        self, client: Elasticsearch, actions: Actions, topics: TopicNotes, metrics: SinkMetrics | None = None
    ) -> None:
        # Versions are kept for a while after a deletion: until then nothing older may be on its way any more.
        self.ordered = actions.versioned
        self._client = client
        self._actions = actions
        self._topics = topics
        self._metrics = metrics or SinkMetrics()

    def open(self, partition: Partition, committed: int | None, retry: Retry) -> "ElasticsearchPartition":
        """Checks server, index and topic: an index made by a first document would have a guessed mapping."""
        retry("asking for the server's version", lambda: check_server(self._client))
        retry("looking for the index", self._check_index)
        topic_id = retry("checking the topic's identity", lambda: self._topics.note(partition.topic))
        return ElasticsearchPartition(
            self._client,
            self._actions,
            committed,
            check_topic=lambda: self._topics.check(partition.topic, topic_id),
            metrics=self._metrics,
        )

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _check_index(self) -> None:
        names = self._actions.names
        try:
            if names.fixed is not None:
                exists = self._client.indices.exists(index=names.fixed)
            else:
                exists = self._client.indices.exists_index_template(name=names.template)
        except (elasticsearch.ApiError, elasticsearch.TransportError) as error:
            raise classified(error) from error
        if not exists:
            what = f"index {names.fixed}" if names.fixed is not None else f"index template {names.template}"
            raise Retriable(f"Elasticsearch has no {what}: run `manage.py setup_pipeline`", reason="404")


class ElasticsearchPartition:
    """A partition on its way into the index; several may own it at a time, for a repeat overwrites itself.

    check_topic: raises Fatal when the topic is not the one that was opened.
    """

    def __init__(
        self,
        client: Elasticsearch,
        actions: Actions,
        resume_at: int | None,
        *,
        check_topic: Callable[[], None],
        metrics: SinkMetrics,
    ) -> None:
        self._client = client
        self._metrics = metrics
        self._actions = actions
        self._check_topic = check_topic
        self._caution = _Caution()
        self.resume_at = resume_at

    def store(self, batches: Sequence[Batch], retry: Retry) -> list[Rejected]:
        """Indexes the batches; returns the records that can't be documents, by Elasticsearch's word or before."""
        # Asked after the records were read: they are those of the topic that has this id even now.
        retry("checking the topic's identity", self._check_topic)
        rejected: list[Rejected] = []
        partition = batches[0].partition
        for chunk in self._chunks(partition, [run for batch in batches for run in batch.runs], rejected):
            bulk = _Bulk(self._client, chunk, partition, self._actions, self._caution, self._metrics)
            retry(f"bulk of {partition} offsets {batches[0].first_offset}-{batches[-1].last_offset}", bulk.send)
            rejected += bulk.rejected
        return rejected

    def rest(self, retry: Retry, *, leaving: bool) -> None:
        """It keeps nothing open."""

    def _chunks(self, partition: Partition, read: Sequence[Run], rejected: list[Rejected]) -> Iterator["_Chunk"]:
        """Runs whose lines can be made at once go together as far as they fit; the others record by record."""
        runs: list[Run] = []
        bodies: list[bytes] = []
        size = 0
        for run in read:
            body = self._actions.lines(partition, run) if run.size <= BULK_BYTES else None
            if body is not None and len(body) > BULK_BYTES:
                body = None
            if runs and (body is None or size + len(body) > BULK_BYTES):
                chunk = self._whole(partition, runs, bodies)
                runs, bodies, size = [], [], 0  # not to be held while it is sent
                yield chunk
            if body is None:
                yield from self._pieces(partition, run, rejected)
            else:
                runs.append(run)
                bodies.append(body)
                size += len(body)
        if runs:
            chunk = self._whole(partition, runs, bodies)
            bodies = []
            yield chunk

    def _whole(self, partition: Partition, runs: list[Run], bodies: list[bytes]) -> "_Chunk":
        def items() -> list[_Item]:
            return [_Item(record, self._actions.body(partition, record) or b"") for run in runs for record in run]

        return _Chunk(sum(len(run.offsets) for run in runs), b"".join(bodies), items)

    def _pieces(self, partition: Partition, run: Run, rejected: list[Rejected]) -> Iterator["_Chunk"]:
        items: list[_Item] = []
        size = 0
        for record in run:
            try:
                body = self._actions.body(partition, record)
            except InvalidRecord as error:
                rejected.append(Rejected(record, str(error)))
                continue
            if body is None:
                continue
            if items and size + len(body) > BULK_BYTES:
                yield _piece(items)
                items, size = [], 0
            items.append(_Item(record, body))
            size += len(body)
        if items:
            yield _piece(items)


class _Item(NamedTuple):
    """A record and its lines of a bulk request."""

    record: Record
    body: bytes


class _Chunk(NamedTuple):
    """Records of one bulk request. records: how many; body: the lines of all; items: gives each."""

    records: int
    body: bytes
    items: Callable[[], list[_Item]]


def _piece(items: list[_Item]) -> _Chunk:
    return _Chunk(len(items), b"".join(item.body for item in items), lambda: items)


class _Caution:
    """How a partition's requests are to be answered: whether one has failed is told quicker than the fate of each."""

    def __init__(self) -> None:
        self._requests = 0

    def note_errors(self) -> None:
        """A request had some: the next ones may, too."""
        self._requests = _WARY_REQUESTS

    def asks_for_each(self) -> bool:
        """Whether the next request is to be answered document by document."""
        self._requests = max(0, self._requests - 1)
        return self._requests > 0


class _Bulk:
    """Records on their way into the index; each try sends those that are neither stored nor rejected."""

    def __init__(
        self,
        client: Elasticsearch,
        chunk: _Chunk,
        partition: Partition,
        actions: Actions,
        caution: _Caution,
        metrics: SinkMetrics,
    ) -> None:
        self._client = client
        self._partition = partition
        self._caution = caution
        self._metrics = metrics
        self._versioned = actions.versioned
        self._index = actions.names.fixed
        self._chunk: _Chunk | None = chunk
        self._open: list[_Item] = []
        self.rejected: list[Rejected] = []

    def send(self) -> None:
        """Raises Retriable while some remain, Fatal when the sink must stop."""
        if self._chunk is not None:
            if not self._caution.asks_for_each() and self._is_stored(self._chunk):
                return
            self._open, self._chunk = self._chunk.items(), None
        remaining: list[_Item] = []
        rejected: list[Rejected] = []
        troubles: list[tuple[int, str]] = []
        for item, status, reason in self._answers(self._open):
            match outcome_of(status, reason, versioned=self._versioned):
                case Outcome.AGAIN:
                    remaining.append(item)
                    troubles.append((status, reason))
                case Outcome.REFUSED:
                    kind = "too_large" if status == TOO_LARGE else "refused"
                    rejected.append(Rejected(item.record, f"Elasticsearch: {reason}", kind))
                case Outcome.FATAL:
                    place = f"{self._partition} offset {item.record.offset}"
                    raise Fatal(f"Elasticsearch answers {status} for {place}: {reason}")
        self._metrics.indexed(self._partition, len(self._open) - len(remaining) - len(rejected))
        self._open = remaining
        self.rejected += rejected
        if troubles:
            status, reason = troubles[0]
            text = f"Elasticsearch: {len(remaining)} documents wait, status {status}: {reason}"
            raise Retriable(text, reason=str(status))

    def _is_stored(self, chunk: _Chunk) -> bool:
        """Sends all of it; False when that did not work for some. Sent again, what is stored stays as it is."""
        try:
            with self._metrics.bulk():
                answer = self._client.bulk(index=self._index, operations=_as_it_is(chunk.body), filter_path="errors")
        except elasticsearch.ApiError as error:
            if not _is_too_large(error):
                raise classified(error) from error
        except elasticsearch.TransportError as error:
            raise classified(error) from error
        else:
            if not answer["errors"]:
                self._metrics.indexed(self._partition, chunk.records)
                return True
        self._caution.note_errors()
        return False

    def _answers(self, items: list[_Item]) -> Iterator[tuple[_Item, int, str]]:
        """Status and reason of each item that is not simply stored."""
        try:
            body = _as_it_is(b"".join(item.body for item in items))
            with self._metrics.bulk():
                answer = self._client.bulk(index=self._index, operations=body, filter_path=_OUTCOMES)
        except elasticsearch.ApiError as error:
            if not _is_too_large(error):
                raise classified(error) from error
            if len(items) == 1:
                yield items[0], TOO_LARGE, str(classified(error))
                return
            # One of them is too large, or they are together: the others are no worse for it.
            middle = len(items) // 2
            yield from self._answers(items[:middle])
            yield from self._answers(items[middle:])
        except elasticsearch.TransportError as error:
            raise classified(error) from error
        else:
            if not answer["errors"]:
                return
            for item, outcome in zip(items, answer["items"], strict=True):
                (result,) = outcome.values()
                yield item, result["status"], reason_of(result.get("error"))
                if result["status"] >= 300:
                    self._caution.note_errors()


def _as_it_is(body: bytes) -> Any:
    """The client sends bytes as they are, though its types do not say so."""
    return body


def _is_too_large(error: elasticsearch.ApiError) -> bool:
    return error.status_code == TOO_LARGE or "action_request_validation_exception" in str(classified(error))
