"""Bulk requests: records on their way into the index, until each is stored or refused."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import elasticsearch
from elasticsearch import Elasticsearch

from sinks.elasticsearch.actions import Actions
from sinks.elasticsearch.outcomes import TOO_LARGE, Outcome, classified, outcome_of, reason_of
from sinks.records import Partition, Record, Rejected
from sinks.reporting.metrics import SinkMetrics
from worker.errors import Fatal, Retriable

BULK_BYTES = 8 * 1024 * 1024
"""The largest body of a bulk request, in bytes (a single document may be larger)."""

_WARY_REQUESTS = 100
"""After this many requests of a partition without trouble its `Caution` is relaxed."""

_OUTCOMES = "errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"


class Item(NamedTuple):
    """A record and its lines of a bulk request."""

    record: Record
    body: bytes


class Chunk(NamedTuple):
    """Records of one bulk request. records: how many; body: the lines of all; items: gives each."""

    records: int
    body: bytes
    items: Callable[[], list[Item]]


def piece(items: list[Item]) -> Chunk:
    """A request of records whose lines were made one by one."""
    return Chunk(len(items), b"".join(item.body for item in items), lambda: items)


@dataclass(eq=False)
class Caution:
    """What a partition's requests do differently for a while after one of them had trouble.

    Several threads may use it without a lock: a note that another thread sees too late costs one request more.

    most_bytes: the largest body that is tried. A proxy in between may take much less than Elasticsearch.
    """

    most_bytes: int = BULK_BYTES
    _wary: int = 0
    _taken: int = 0

    def note_errors(self) -> None:
        """A request had errors: the next ones may have some, too."""
        self._wary = _WARY_REQUESTS

    def asks_for_each(self) -> bool:
        """Whether the next request asks for the outcome of each document; to ask whether all are stored is quicker."""
        self._wary = max(0, self._wary - 1)
        return self._wary > 0

    def note_too_large(self, size: int) -> None:
        """A body of `size` bytes was too large. The next bodies are smaller."""
        self.most_bytes = min(self.most_bytes, size * 3 // 4)
        self._taken = 0

    def note_taken(self) -> None:
        """A request was not too large. After many such requests larger ones are tried again."""
        self._taken += 1
        if self._taken >= _WARY_REQUESTS:
            self._taken = 0
            self.most_bytes = min(BULK_BYTES, self.most_bytes * 2)


@dataclass(eq=False)
class Bulk:
    """Records on their way into the index; each try sends those that are neither stored nor rejected.

    rejected: those that can't be documents; refusals: why Elasticsearch has refused some of them, for what they are or
    for what the index is; stored: how many documents are in the index.
    """

    client: Elasticsearch
    chunk: Chunk | None
    partition: Partition
    actions: Actions
    caution: Caution
    metrics: SinkMetrics
    rejected: list[Rejected] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    stored: int = 0
    _open: list[Item] = field(default_factory=list)

    def send(self) -> None:
        """Raises Retriable while some remain, Fatal when the sink must stop."""
        if self.chunk is not None:
            if not self.caution.asks_for_each() and self._is_stored(self.chunk):
                return
            self._open, self.chunk = self.chunk.items(), None
        remaining: list[Item] = []
        rejected: list[Rejected] = []
        troubles: list[tuple[int, str]] = []
        for item, status, reason in self._answers(self._open):
            match outcome_of(status, reason, versioned=not self.actions.by_place):
                case Outcome.AGAIN:
                    remaining.append(item)
                    troubles.append((status, reason))
                case Outcome.REFUSED:
                    kind = "too_large" if status == TOO_LARGE else "refused"
                    rejected.append(Rejected(item.record, f"Elasticsearch: {reason}", kind))
                    self.refusals += [reason] if kind == "refused" else []
                case Outcome.FATAL:
                    place = f"{self.partition} offset {item.record.offset}"
                    raise Fatal(f"Elasticsearch answers {status} for {place}: {reason}")
        self._note_stored(len(self._open) - len(remaining) - len(rejected))
        self._open = remaining
        self.rejected += rejected
        if troubles:
            status, reason = troubles[0]
            text = f"Elasticsearch: {len(remaining)} documents wait, status {status}: {reason}"
            raise Retriable(text, reason=str(status))

    def _is_stored(self, chunk: Chunk) -> bool:
        """Sends the whole chunk; False when a document was not stored. Documents that are sent again do no harm."""
        with suppress(_TooLarge):
            if not self._request(chunk.body, "errors")["errors"]:
                self._note_stored(chunk.records)
                return True
        self.caution.note_errors()
        return False

    def _note_stored(self, documents: int) -> None:
        self.metrics.indexed(self.partition, documents)
        self.stored += documents

    def _answers(self, items: list[Item]) -> Iterator[tuple[Item, int, str]]:
        """Status and reason of each item that is not simply stored."""
        answer = None
        if len(items) == 1 or sum(len(item.body) for item in items) <= self.caution.most_bytes:
            try:
                answer = self._request(b"".join(item.body for item in items), _OUTCOMES)
            except _TooLarge as error:
                if len(items) == 1:
                    yield items[0], TOO_LARGE, str(error)
                    return
        if answer is None:
            # Either one document is too large, or all are together. Halves find out which.
            middle = len(items) // 2
            yield from self._answers(items[:middle])
            yield from self._answers(items[middle:])
        elif answer["errors"]:
            for item, outcome in zip(items, answer["items"], strict=True):
                (result,) = outcome.values()
                yield item, result["status"], reason_of(result.get("error"))
                if result["status"] >= 300:
                    self.caution.note_errors()

    def _request(self, body: Any, filter_path: str) -> Any:
        """The answer, with the fields of `filter_path`. Raises _TooLarge, Retriable, Fatal.

        body: bytes, which the client sends as they are, though its types do not say so.
        """
        try:
            with self.metrics.bulk():
                answer = self.client.bulk(index=self.actions.names.fixed, operations=body, filter_path=filter_path)
        except (elasticsearch.ApiError, elasticsearch.TransportError) as error:
            failed = classified(error)
            if isinstance(error, elasticsearch.ApiError) and error.status_code == TOO_LARGE:
                self.caution.note_too_large(len(body))
            elif "action_request_validation_exception" not in str(failed):
                raise failed from error
            raise _TooLarge(str(failed)) from error
        self.caution.note_taken()
        return answer


class _TooLarge(Exception):
    """Elasticsearch takes the request, or one document of it, for too large."""
