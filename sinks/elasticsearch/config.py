"""Where an Elasticsearch sink stores, and how."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from kafka_client.clusters import cluster_entry, settings_errors_in
from kafka_client.structs import ready
from sinks.elasticsearch.actions import Actions
from sinks.elasticsearch.names import IndexNames
from sinks.elasticsearch.user_agents import AddingAgent
from worker.urls import check_urls


@ready
class ElasticsearchTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `target` of an Elasticsearch sink."""

    # Elasticsearch's own rule for names: https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-indices-create
    index: Annotated[str, Meta(pattern=r"^[a-z0-9](?:[a-z0-9._-]|%[YmdH]){0,200}$")]
    """The index of the documents. With strftime codes, there is one for each period of the record's time (UTC), for
    example `select-color-%Y.%m.%d`."""
    alias: Annotated[str, Meta(pattern=r"^([a-z0-9][a-z0-9._-]{0,200})?$")] = ""
    """The name under which readers find all indices of the sink (default: `index` up to its first %)."""
    time: str = "timestamp"
    """The field with the time for `index`, or `kafka` for the time of the Kafka record
    ([notations](configuration.md#times))."""
    time_format: Annotated[str, Meta(min_length=1)] = "strict_date_optional_time||epoch_millis"
    """How the index reads the field `time`, as a date format of Elasticsearch: write `epoch_second` for `epoch_millis`
    where its numbers are seconds. An index that has the field keeps its format."""
    id: str = "offset"
    """What a document's id is made of: `offset` (topic-partition-offset), `key` (the record's key; the highest offset
    stays), `header:NAME` or `field:NAME` (the newest record stays; where missing, topic-partition-offset)."""
    tombstones: Literal["dead-letter", "ignore", "delete"] = "dead-letter"
    """What the sink does with a record that has no value: it becomes a dead letter, is ignored, or deletes the document
    of its key (needs `id` key)."""
    user_agent_field: str = ""
    """The field with a User-Agent. Its browser, os, device and bot are stored in `agent`; none by default."""
    shards: Annotated[int, Meta(ge=1, le=1024)] = 1
    """Shards of a new index. More spread a large index over more nodes."""
    replicas: Annotated[int, Meta(ge=0, le=10)] = 1
    """Copies of each shard; with 0, a lost node loses documents."""
    refresh_interval: Annotated[str, Meta(pattern=r"^(-1|[0-9]+(ms|s|m))?$")] = ""
    """How soon a stored document is found, for example 5s (default: as the Document says). A longer interval costs the
    cluster less."""
    cluster: str = "default"
    """The cluster of settings.ELASTICSEARCH_DSL."""

    def names(self) -> IndexNames:
        """Its indices. Raises ValueError naming the key that is wrong."""
        return IndexNames(self.index, time=self.time)

    def actions(self) -> Actions:
        """What a bulk request says of each record. Raises ValueError naming the key that is wrong."""
        names = self.names()
        if self.readers == "":
            raise ValueError(f"alias is needed, for index {self.index!r} begins with a %")
        enrich = AddingAgent(self.user_agent_field) if self.user_agent_field else None
        return Actions(names, id=self.id, delete_tombstones=self.tombstones == "delete", enrich=enrich)

    @property
    def readers(self) -> str:
        """The name under which readers find its documents: an alias, or its only index."""
        return self.alias or self.index.partition("%")[0].rstrip("-._")

    def __str__(self) -> str:
        return f"Elasticsearch ({self.cluster}) {self.index}"


def elasticsearch_cluster(alias: str) -> dict[str, Any]:
    """An entry of settings.ELASTICSEARCH_DSL. Raises ImproperlyConfigured."""
    cluster = cluster_entry("ELASTICSEARCH_DSL", alias)
    with settings_errors_in(f"ELASTICSEARCH_DSL[{alias!r}]"):
        if not hosts_of(cluster):
            raise ValueError("hosts are missing")
        check_urls("host", hosts_of(cluster))
        if not str(cluster.get("api_key") or "").isascii():
            raise ValueError("api_key must be ASCII, as Elasticsearch encodes it")
        if cluster.get("api_key") and cluster.get("basic_auth"):
            raise ValueError("only one of api_key and basic_auth can be used")
    return cluster


def hosts_of(cluster: dict[str, Any]) -> list[str]:
    """The URLs of a cluster."""
    hosts = cluster.get("hosts") or []
    return [hosts] if isinstance(hosts, str) else [str(host) for host in hosts]
