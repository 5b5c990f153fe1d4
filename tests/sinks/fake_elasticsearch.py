"""An Elasticsearch in memory that answers bulk requests as a test wants, and partitions of a sink that store in it."""

import json
from collections.abc import Callable
from typing import Any

import elasticsearch
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig

from sinks.elasticsearch.actions import Actions, Versions
from sinks.elasticsearch.names import IndexNames
from sinks.elasticsearch.writer import ElasticsearchPartition, ElasticsearchWriter
from sinks.records import Batch, Columns, Partition, Rejected
from sinks.refusals import FirstRefusals
from sinks.reporting.metrics import SinkMetrics
from tests.sinks.schedules import hasty_retry

PARTITION = Partition("select-color", 2)

_CONFLICT = "version_conflict_engine_exception"


def api_error(status: int, body: Any = None) -> elasticsearch.ApiError:
    meta = ApiResponseMeta(status, "1.1", HttpHeaders(), 0.1, NodeConfig("http", "localhost", 9200))
    kind = elasticsearch.exceptions.HTTP_EXCEPTIONS.get(status, elasticsearch.ApiError)
    return kind("failed", meta, body)


class FakeElasticsearch:
    """Keeps documents and their versions; 413 for a request above `most` bytes.

    answer: decides on each document by its id and how often it was sent: status and type of the error.
    """

    def __init__(
        self, answer: Callable[[str, int], tuple[int, str]] = lambda id, time: (201, ""), most: int = 10_000
    ) -> None:
        self._answer = answer
        self._most = most
        self.sent: dict[str, int] = {}
        self.documents: dict[str, Any] = {}
        self.versions: dict[str, int] = {}
        self.requests: list[int] = []
        self.too_large: list[int] = []

    def bulk(self, index: str | None, operations: bytes, filter_path: str) -> dict[str, Any]:
        parts = operations.splitlines()
        self.requests.append(len(parts) // 2)
        if len(operations) > self._most:
            self.too_large.append(len(operations))
            raise api_error(413)
        items = []
        for line, document in zip(parts[::2], parts[1::2], strict=True):
            action = json.loads(line)["index"]
            id = action["_id"]
            self.sent[id] = self.sent.get(id, 0) + 1
            status, type_ = self._answer(id, self.sent[id])
            if status < 300 and self._conflicts(action):
                status, type_ = 409, _CONFLICT
            if status < 300:
                self.documents[id] = json.loads(document)
                self.versions[id] = action.get("version", self.versions.get(id, 0) + 1)
            items.append(
                {"index": {"status": status, **({"error": {"type": type_, "reason": "why"}} if type_ else {})}}
            )
        errors = {"errors": any(item["index"]["status"] >= 300 for item in items)}
        return errors if filter_path == "errors" else {**errors, "items": items}

    def _conflicts(self, action: dict[str, Any]) -> bool:
        known = self.versions.get(action["_id"], 0)
        match action.get("version_type"):
            case "external":
                return known >= action["version"]
            case "external_gte":
                return known > action["version"]
        return False


def partition_of(
    client: Any,
    *,
    actions: Actions | None = None,
    versions: Versions | None = None,
    metrics: SinkMetrics | None = None,
    stop_after: int = 0,
) -> ElasticsearchPartition:
    """stop_after: so many first refusals stop the sink."""
    writer = ElasticsearchWriter(
        client,
        actions or Actions(IndexNames("i", time="timestamp")),
        topics=None,  # type: ignore[arg-type]
        metrics=metrics or SinkMetrics(),
        refusals=FirstRefusals("Elasticsearch", "the index is wrong.", stop_after),
        latest_time=lambda partition, offset: 0,
    )
    return ElasticsearchPartition(writer, versions or Versions(PARTITION), None, check_topic=lambda: None)


def batches_of(*batches: list[bytes]) -> list[Batch]:
    """Batches of one partition with these values."""
    offset = 0
    read = []
    for values in batches:
        batch = Batch(PARTITION, offset, 0, opened_at=0.0)
        batch.add(Columns(range(offset, offset + len(values)), values, [0] * len(values)), {})
        offset += len(values)
        read.append(batch)
    return read


def store(client: FakeElasticsearch, *batches: list[bytes]) -> list[Rejected]:
    """What is refused when the batches are stored one after the other."""
    partition = partition_of(client)
    return [rejected for batch in batches_of(*batches) for rejected in hasty_retry().run(partition.store([batch]))]
