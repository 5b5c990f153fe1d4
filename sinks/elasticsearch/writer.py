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
from sinks.records import Batch, Partition, Record, Rejected
from sinks.retry import Retry

logger = logging.getLogger(__name__)

BULK_BYTES = 8 * 1024 * 1024
"""The largest body of a bulk request, in bytes (a single document may be larger)."""

_ANSWER = "errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"


class ElasticsearchWriter:
    """Documents of the indices that `actions` names.

    client: makes no retries of its own; topics: tells a topic that was made again. setup_pipeline has made the index
    or, where there are several, their template.
    """

    group = 1

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
        self.resume_at = resume_at

    def store(self, batches: Sequence[Batch], retry: Retry) -> list[Rejected]:
        """Indexes the batches; returns the records that can't be documents, by Elasticsearch's word or before."""
        # Asked after the records were read: they are those of the topic that has this id even now.
        retry("checking the topic's identity", self._check_topic)
        rejected: list[Rejected] = []
        for batch in batches:
            for chunk in self._chunks(batch, rejected):
                bulk = _Bulk(self._client, chunk, batch.partition, self._actions.versioned, self._metrics)
                retry(f"bulk of {batch}", bulk.send)
                rejected += bulk.rejected
        return rejected

    def rest(self, retry: Retry, *, leaving: bool) -> None:
        """It keeps nothing open."""

    def _chunks(self, batch: Batch, rejected: list[Rejected]) -> Iterator[list["_Item"]]:
        chunk: list[_Item] = []
        size = 0
        for record in batch.records:
            try:
                body = self._actions.body(batch.partition, record)
            except InvalidRecord as error:
                rejected.append(Rejected(record, str(error)))
                continue
            if body is None:
                continue
            if chunk and size + len(body) > BULK_BYTES:
                yield chunk
                chunk, size = [], 0
            chunk.append(_Item(record, body))
            size += len(body)
        if chunk:
            yield chunk


class _Item(NamedTuple):
    """A record and its lines of a bulk request."""

    record: Record
    body: bytes


class _Bulk:
    """Records on their way into the index; each try sends those that are neither stored nor rejected."""

    def __init__(
        self, client: Elasticsearch, items: list[_Item], partition: Partition, versioned: bool, metrics: SinkMetrics
    ) -> None:
        self._client = client
        self._partition = partition
        self._versioned = versioned
        self._metrics = metrics
        self._open = items
        self.rejected: list[Rejected] = []

    def send(self) -> None:
        """Raises Retriable while some remain, Fatal when the sink must stop."""
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

    def _answers(self, items: list[_Item]) -> Iterator[tuple[_Item, int, str]]:
        """Status and reason of each item that is not simply stored."""
        try:
            body: Any = b"".join(item.body for item in items)  # sent as it is, though the client's types do not say so
            with self._metrics.bulk():
                answer = self._client.bulk(operations=body, filter_path=_ANSWER)
        except elasticsearch.ApiError as error:
            failed = classified(error)
            if error.status_code != TOO_LARGE and "action_request_validation_exception" not in str(failed):
                raise failed from error
            if len(items) == 1:
                yield items[0], TOO_LARGE, str(failed)
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
