"""The kind of sink that stores documents in Elasticsearch."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

from django.utils.translation import ngettext
from elasticsearch.dsl.connections import connections as dsl_connections

from events.schema import Check, check_for
from kafka_client.clusters import kafka_cluster, settings_errors_in
from sinks.config import SinkConfig
from sinks.dead_letters.log import letter_log
from sinks.elasticsearch.client import connect, node_versions
from sinks.elasticsearch.config import ElasticsearchTarget, elasticsearch_cluster, hosts_of
from sinks.elasticsearch.notes import TopicNotes, deleted_before
from sinks.elasticsearch.outcomes import translated
from sinks.elasticsearch.setup import prepare
from sinks.elasticsearch.verify import Verifier
from sinks.elasticsearch.writer import ElasticsearchWriter
from sinks.kind import Comparison, Documents, Kind, TopicId, Verification
from sinks.log_reader import LogReader
from sinks.loop.writer import Writer
from sinks.records import Partition
from sinks.refusals import FirstRefusals
from sinks.reporting.metrics import SinkMetrics
from sinks.topic_ids import TopicAdmin
from worker.servers import Health, Server
from worker.urls import without_password

_WRONG_INDEX = (
    "the index is most likely not set up as this sink needs it. Compare its mapping with the one that setup_pipeline "
    "makes."
)


class ElasticsearchKind(Kind):
    """Documents in Elasticsearch."""

    name = "elasticsearch"
    title = "Elasticsearch"
    target = ElasticsearchTarget
    options = {"flush_records": 2000, "flush_seconds": 1.0, "buffer_bytes": 64 * 1024 * 1024}
    restarts = True
    stores_letters = True

    def check(self, sink: SinkConfig) -> None:
        """Raises ValueError for ids, indices and topics that do not go together."""
        alias = sink.target.cluster
        with settings_errors_in(f"target.cluster is {alias!r}"):
            elasticsearch_cluster(alias)
        if sink.target.actions().by_key and len(sink.topics) > 1:
            raise ValueError("id 'key' needs one topic: which of two topics' records is newer can't be told")

    def writer(self, sink: SinkConfig, *, topic_id: TopicId, connections: int, metrics: SinkMetrics) -> Writer:
        target: ElasticsearchTarget = sink.target
        client = connect(elasticsearch_cluster(target.cluster), connections=connections)
        topics = TopicNotes(client, index=target.index, topic_id=topic_id)
        refusals = FirstRefusals("Elasticsearch", _WRONG_INDEX, sink.options.stop_after_refusals)
        latest_time = TopicAdmin(kafka_cluster(sink.kafka)).latest_time
        return ElasticsearchWriter(client, target.actions(), topics, metrics, refusals, latest_time)

    def prepare(self, sink: SinkConfig) -> Iterator[str]:
        """Makes template and index, or puts their mapping right."""
        with closing(connect(elasticsearch_cluster(sink.target.cluster), connections=1)) as client:
            for line in prepare(client, sink.target, event=sink.event):
                yield f"Elasticsearch {line}"

    def verification(self, sink: SinkConfig, reader: LogReader) -> Verification:
        """Reads the dead letters: what Elasticsearch has refused is known from them alone."""
        target: ElasticsearchTarget = sink.target
        client = connect(elasticsearch_cluster(target.cluster), connections=1)
        actions, check = target.actions(), self.record_check(sink)
        retention = deleted_before(client, actions.names.pattern)
        dead = letter_log(sink, reader).origins

        def compare(partition: Partition, first: int, end: int) -> Comparison:
            return Verifier(client, actions, check, partition, dead.get(partition, ()), retention)

        return compare

    def servers(self, sinks: Iterable[SinkConfig]) -> list[Server]:
        aliases = dict.fromkeys(sink.target.cluster for sink in sinks)
        return [Server(_server_name(alias), partial(_health, alias)) for alias in aliases]

    def conflicts(self, one: SinkConfig, other: SinkConfig) -> Iterator[str]:
        """Documents of others in an index by key, and names that are an alias here and an index there."""
        if one.target.cluster != other.target.cluster:
            return
        for this, that in ((one, other), (other, one)):
            if this.target.id == "key" and this.target.index == that.target.index:
                where = f"SINKS[{this.name!r}] stores in {this.target.index} by key"
                yield f"{where}, so SINKS[{that.name!r}] needs another index"
            if this.target.readers != this.target.index and this.target.readers == that.target.index:
                yield f"the alias {this.target.readers} of SINKS[{this.name!r}] is the index of SINKS[{that.name!r}]"

    def record_check(self, sink: SinkConfig) -> Check:
        """A record without a value can be stored, too, unless `tombstones` makes it a dead letter."""
        return check_for(sink.event, tombstones=sink.target.tombstones != "dead-letter")

    def keeps_newest(self, sink: SinkConfig) -> bool:
        """Where keys are the ids."""
        return bool(sink.target.actions().by_key)

    def documents(self, sink: SinkConfig) -> Documents:
        """Those of the sink's index, or of all of its indices."""
        target: ElasticsearchTarget = sink.target
        return Documents(target.cluster, target.readers, target.id, target.time, target.user_agent_field)


def _server_name(alias: str) -> str:
    hosts = hosts_of(elasticsearch_cluster(alias))
    return f"Elasticsearch ({', '.join(map(without_password, hosts))})"


@translated()
def _health(alias: str, timeout: float) -> Health:
    client: Any = dsl_connections.get_connection(alias).options(request_timeout=timeout, max_retries=0)
    versions = node_versions(client)
    status = client.cluster.health(filter_path="status", timeout="1s")["status"]
    count = len(versions)
    detail = ngettext("{n} node, {status}", "{n} nodes, {status}", count).format(n=count, status=status)
    return Health(", ".join(sorted(set(versions))), detail)
