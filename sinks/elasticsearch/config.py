"""Where an Elasticsearch sink stores, and how."""

from typing import Annotated, Any, Literal

import msgspec
from django.core.exceptions import ImproperlyConfigured
from msgspec import Meta

from sinks.config import cluster_entry
from sinks.elasticsearch.actions import Actions
from sinks.elasticsearch.names import IndexNames
from sinks.elasticsearch.user_agents import FIELD, AddingAgent
from sinks.urls import check_url


class ElasticsearchTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `target` of an Elasticsearch sink."""

    # Elasticsearch's own rule for names: https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-indices-create
    index: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9](?:[a-z0-9._-]|%[YmdH]){0,200}$",
            description="The index of its documents, or one a period of the record's time (UTC), for example "
            "`select-color-%Y.%m.%d`.",
        ),
    ]
    alias: Annotated[
        str,
        Meta(
            pattern=r"^([a-z0-9][a-z0-9._-]{0,200})?$",
            description="The name under which readers find all of its indices (default: `index` up to its first %).",
        ),
    ] = ""
    time: Annotated[
        str,
        Meta(
            description="The field with the time for `index`, or `kafka` for the time of the Kafka record "
            "([notations](configuration.md#times))."
        ),
    ] = "timestamp"
    time_format: Annotated[
        str,
        Meta(
            min_length=1,
            description="How the index reads the field `time`, as a date format of Elasticsearch: write `epoch_second` "
            "for `epoch_millis` where its numbers are seconds. An index that has the field keeps its format.",
        ),
    ] = "strict_date_optional_time||epoch_millis"
    id: Annotated[
        str,
        Meta(
            description="What a document's id is made of: `offset` (topic-partition-offset), `key` (the record's key; "
            "the highest offset stays), `header:NAME` or `field:NAME` (the newest record stays; where missing, "
            "topic-partition-offset)."
        ),
    ] = "offset"
    tombstones: Annotated[
        Literal["dead-letter", "ignore", "delete"],
        Meta(description="What becomes of records without a value; delete needs `id` key."),
    ] = "dead-letter"
    user_agent_field: Annotated[
        str,
        Meta(description=f"The field whose browser, os, device and bot are stored in `{FIELD}`; none by default."),
    ] = ""
    shards: Annotated[int, Meta(ge=1, le=1024, description="Shards of an index.")] = 1
    replicas: Annotated[
        int, Meta(ge=0, le=10, description="Copies of each shard; with 0, a lost node loses documents.")
    ] = 1
    refresh_interval: Annotated[
        str,
        Meta(
            pattern=r"^(-1|[0-9]+(ms|s|m))?$",
            description="How soon documents are found, for example 5s (default: as the Document says).",
        ),
    ] = ""
    cluster: Annotated[str, Meta(description="The cluster of settings.ELASTICSEARCH_DSL.")] = "default"

    def names(self) -> IndexNames:
        """Its indices. Raises ValueError naming the key that is wrong."""
        return IndexNames(self.index, time=self.time)

    def actions(self) -> Actions:
        """What a bulk request says of each record. Raises ValueError naming the key that is wrong."""
        names = self.names()
        if self.readers == "":
            raise ValueError(f"alias is needed, for index {self.index!r} begins with a %")
        return Actions(
            names,
            id=self.id,
            delete_tombstones=self.tombstones == "delete",
            enrich=AddingAgent(self.user_agent_field) if self.user_agent_field else None,
        )

    @property
    def readers(self) -> str:
        """The name under which readers find its documents: an alias, or its only index."""
        return self.alias or self.index.partition("%")[0].rstrip("-._")

    def __str__(self) -> str:
        return f"Elasticsearch ({self.cluster}) {self.index}"


def elasticsearch_cluster(alias: str) -> dict[str, Any]:
    """An entry of settings.ELASTICSEARCH_DSL. Raises ImproperlyConfigured."""
    cluster = cluster_entry("ELASTICSEARCH_DSL", alias)
    where = f"ELASTICSEARCH_DSL[{alias!r}]"
    hosts = hosts_of(cluster)
    if not hosts:
        raise ImproperlyConfigured(f"{where}: hosts are missing")
    for number, host in enumerate(hosts, 1):
        try:
            check_url(host)
        except ValueError as error:
            raise ImproperlyConfigured(f"{where}: host {number} of {len(hosts)} {error}") from error
    if not str(cluster.get("api_key") or "").isascii():
        raise ImproperlyConfigured(f"{where}: api_key must be ASCII, as Elasticsearch encodes it")
    if cluster.get("api_key") and cluster.get("basic_auth"):
        raise ImproperlyConfigured(f"{where}: only one of api_key and basic_auth can be used")
    return cluster


def hosts_of(cluster: dict[str, Any]) -> list[str]:
    """The URLs of a cluster."""
    hosts = cluster.get("hosts") or []
    return [hosts] if isinstance(hosts, str) else [str(host) for host in hosts]
