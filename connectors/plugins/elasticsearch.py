"""Confluent's connector that stores documents in Elasticsearch."""

from typing import Any

from django.conf import settings

from connectors.plugins.plugin import Plugin, Values
from connectors.plugins.setting import Setting, SettingError
from sinks.elasticsearch.config import hosts_of

_OF_CLUSTER = "the cluster of settings.ELASTICSEARCH_DSL says it"
_OWN_REQUESTS = "the sink has its own rule for requests"
_NULLS = {"ignore": "ignore", "delete": "delete", "fail": "dead-letter"}


class ElasticsearchSink(Plugin):
    """Documents in one index."""

    class_name = "io.confluent.connect.elasticsearch.ElasticsearchSinkConnector"
    type = "sink"
    own = (
        Setting(
            name="connection.url",
            type="LIST",
            required=True,
            importance="HIGH",
            doc="An alias of settings.ELASTICSEARCH_DSL, or the URLs of one of them.",
        ),
        Setting(name="connection.username", ignored=_OF_CLUSTER),
        Setting(name="connection.password", type="PASSWORD", ignored=_OF_CLUSTER),
        Setting(name="connection.timeout.ms", type="INT", ignored=_OF_CLUSTER),
        Setting(name="read.timeout.ms", type="INT", ignored=_OF_CLUSTER),
        Setting(name="elastic.security.protocol", ignored=_OF_CLUSTER),
        Setting(name="elastic.https.*", ignored=_OF_CLUSTER),
        Setting(name="type.name", ignored="Elasticsearch has no types any more"),
        Setting(name="key.ignore", type="BOOLEAN", default="false", doc="true: ids are topic-partition-offset."),
        Setting(name="schema.ignore", type="BOOLEAN", ignored="the mapping is the index's own"),
        Setting(name="compact.map.entries", type="BOOLEAN", ignored="documents are stored as they are"),
        Setting(
            name="behavior.on.null.values",
            default="fail",
            values=tuple(_NULLS),
            doc="A record without a value: ignore, delete, or fail, which makes a dead letter here.",
        ),
        Setting(name="behavior.on.malformed.documents", ignored="what Elasticsearch refuses becomes a dead letter"),
        Setting(name="drop.invalid.message", type="BOOLEAN", ignored="bad records always become dead letters"),
        Setting(name="write.method", default="INSERT", values=("INSERT", "insert"), doc="Documents are replaced."),
        Setting(name="batch.size", type="INT", default="2000", least=1, doc="Documents of one request."),
        Setting(name="linger.ms", type="LONG", default="1000", least=1, doc="The longest wait for a full request."),
        Setting(name="max.in.flight.requests", type="INT", ignored=_OWN_REQUESTS),
        Setting(name="max.buffered.records", type="INT", ignored=_OWN_REQUESTS),
        Setting(name="flush.timeout.ms", type="LONG", ignored=_OWN_REQUESTS),
        Setting(name="max.retries", type="INT", ignored="what fails is tried again for as long as it takes"),
        Setting(name="retry.backoff.ms", type="LONG", ignored="what fails is tried again for as long as it takes"),
        Setting(name="event", default="json", doc="Of this project: the kind of event in the topics."),
        Setting(name="index", default="", doc="Of this project: the index; by default the name of the only topic."),
    )

    def entry(self, values: Values) -> dict[str, Any]:
        """A sink of the kind elasticsearch."""
        topics = values["topics"]
        if not values["index"] and len(topics) > 1:
            raise SettingError("topics", "a connector stores in one index: make one for each topic, or name the index")
        tombstones = _NULLS[values["behavior.on.null.values"]]
        if tombstones == "delete" and values["key.ignore"]:
            raise SettingError("behavior.on.null.values", "delete needs keys: key.ignore must be false")
        return {
            "kind": "elasticsearch",
            "event": values["event"],
            "target": {
                "index": values["index"] or (topics[0].lower() if topics else ""),
                "cluster": _cluster(values["connection.url"]),
                "id": "offset" if values["key.ignore"] else "key",
                "tombstones": tombstones,
            },
            "options": {"flush_records": values["batch.size"], "flush_seconds": values["linger.ms"] / 1000},
        }


def _cluster(urls: list[str]) -> str:
    clusters = settings.ELASTICSEARCH_DSL
    if len(urls) == 1 and urls[0] in clusters:
        return urls[0]
    asked = {url.rstrip("/") for url in urls}
    for alias, entry in clusters.items():
        if asked <= {str(url).rstrip("/") for url in hosts_of(entry)}:
            return str(alias)
    text = f"no cluster of settings.ELASTICSEARCH_DSL has this URL; there are {', '.join(clusters)}"
    raise SettingError("connection.url", text)
