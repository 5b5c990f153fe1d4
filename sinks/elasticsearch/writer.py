"""Stores batches by bulk requests; a document's id is its record's place in Kafka, so a repeat overwrites itself."""

from collections.abc import Iterator, Sequence
from typing import Any

import elasticsearch
from elasticsearch import Elasticsearch

from sinks.errors import Fatal, Retriable
from sinks.metrics import SinkMetrics
from sinks.records import Batch, Partition, Record, Rejected
from sinks.retry import Retry

BULK_BYTES = 8 * 1024 * 1024
"""The largest body of a bulk request, in bytes (a single document may be larger)."""

_BUSY = {408, 429, 500, 502, 503, 504}
"""Status codes, of a request or of one document, after which trying again helps."""

_TOO_LARGE = 413

_ANSWER = "errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"


class ElasticsearchWriter:
    """Documents of one index.

    client: makes no retries of its own; index: made by setup_pipeline.
    """

    ordered = False
    group = 1

    def __init__(self, client: Elasticsearch, *, index: str, metrics: SinkMetrics | None = None) -> None:
        self._client = client
        self._index = index
        self._metrics = metrics or SinkMetrics()

    def open(self, partition: Partition, committed: int | None, retry: Retry) -> "ElasticsearchPartition":
        """Checks that the index is there: made by a first document, it would have a guessed mapping."""
        retry("looking for the index", self._check_index)
        return ElasticsearchPartition(self._client, self._index, committed, self._metrics)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _check_index(self) -> None:
        try:
            exists = self._client.indices.exists(index=self._index)
        except (elasticsearch.ApiError, elasticsearch.TransportError) as error:
            raise _classified(error) from error
        if not exists:
            raise Retriable(f"Elasticsearch has no index {self._index}: run `manage.py setup_pipeline`", reason="404")


class ElasticsearchPartition:
    """A partition on its way into the index; several may own it at a time, for a repeat overwrites itself."""

    def __init__(self, client: Elasticsearch, index: str, resume_at: int | None, metrics: SinkMetrics) -> None:
        self._client = client
        self._index = index
        self._metrics = metrics
        self.resume_at = resume_at

    def store(self, batches: Sequence[Batch], retry: Retry) -> list[Rejected]:
        """Indexes the batches; returns the documents that Elasticsearch refuses for what they are."""
        rejected: list[Rejected] = []
        for batch in batches:
            for chunk in _chunks(list(batch.records), BULK_BYTES):
                bulk = _Bulk(self._client, self._index, batch.partition, chunk, self._metrics)
                retry(f"bulk of {batch} to {self._index}", bulk.send)
                rejected += bulk.rejected
        return rejected


class _Bulk:
    """Records on their way into the index; each try sends those that are neither stored nor rejected."""

    def __init__(
        self, client: Elasticsearch, index: str, partition: Partition, records: list[Record], metrics: SinkMetrics
    ) -> None:
        self._client = client
        self._index = index
        self._partition = partition
        self._open = records
        self._metrics = metrics
        self.rejected: list[Rejected] = []

    def send(self) -> None:
        """Raises Retriable while some remain."""
        trouble = None
        remaining: list[Record] = []
        rejected: list[Rejected] = []
        for record, status, reason in self._outcomes(self._open):
            if status < 300:
                continue
            if status in _BUSY:
                remaining.append(record)
                trouble = status, reason
            elif status in (400, _TOO_LARGE):
                kind = "too_large" if status == _TOO_LARGE else "refused"
                rejected.append(Rejected(record, f"Elasticsearch: {reason}", kind))
            elif (status in (403, 404) and "block" in reason) or "index_not_found" in reason:
                # A read-only or missing index is an operator's to release or make again.
                remaining.append(record)
                trouble = status, reason
            else:
                raise Fatal(f"Elasticsearch answers {status} for {self._partition} offset {record.offset}: {reason}")
        self._metrics.indexed(self._partition, len(self._open) - len(remaining) - len(rejected))
        self._open = remaining
        self.rejected += rejected
        if trouble is not None:
            status, reason = trouble
            text = f"Elasticsearch: {len(remaining)} documents wait, status {status}: {reason}"
            raise Retriable(text, reason=str(status))

    def _outcomes(self, records: list[Record]) -> Iterator[tuple[Record, int, str]]:
        try:
            operations = _operations(self._partition, records)
            with self._metrics.bulk():
                answer = self._client.bulk(index=self._index, operations=operations, filter_path=_ANSWER)
        except elasticsearch.ApiError as error:
            if error.status_code != _TOO_LARGE:
                raise _classified(error) from error
            if len(records) == 1:
                yield records[0], _TOO_LARGE, "the document is larger than http.max_content_length"
                return
            middle = len(records) // 2
            yield from self._outcomes(records[:middle])
            yield from self._outcomes(records[middle:])
        except elasticsearch.TransportError as error:
            raise _classified(error) from error
        else:
            if not answer["errors"]:
                return
            for record, item in zip(records, answer["items"], strict=True):
                result = item["index"]
                yield record, result["status"], _reason(result.get("error", {}))


def document_id(partition: Partition, offset: int) -> str:
    """What identifies a record's document: its place in Kafka."""
    return f"{partition.topic}-{partition.number}-{offset}"


def _operations(partition: Partition, records: list[Record]) -> list[Any]:
    prefix = f'{{"index":{{"_id":"{partition.topic}-{partition.number}-'
    lines: list[Any] = []  # the client sends bytes as they are, though its types do not say so
    for record in records:
        value = record.value or b""
        lines.append(f'{prefix}{record.offset}"}}}}'.encode())
        lines.append(value.replace(b"\n", b" ") if b"\n" in value else value)
    return lines


def _chunks(records: list[Record], size: int) -> Iterator[list[Record]]:
    chunk: list[Record] = []
    chunk_size = 0
    for record in records:
        length = len(record.value or b"") + 64
        if chunk and chunk_size + length > size:
            yield chunk
            chunk, chunk_size = [], 0
        chunk.append(record)
        chunk_size += length
    if chunk:
        yield chunk


def _reason(error: dict[str, Any]) -> str:
    reason = f"{error.get('type', '')}: {error.get('reason', '')}"
    cause = error.get("caused_by", {}).get("reason")
    return f"{reason} ({cause})" if cause else reason


def _classified(error: elasticsearch.ApiError | elasticsearch.TransportError) -> Retriable | Fatal:
    if isinstance(error, elasticsearch.ApiError):
        text = f"Elasticsearch answers {error.status_code}: {error.message}"
        if error.status_code in _BUSY or error.status_code == 404 or "block" in str(error.message):
            return Retriable(text, reason=str(error.status_code))
        return Fatal(text)
    return Retriable(f"Elasticsearch: {error.message}", reason="unreachable")
