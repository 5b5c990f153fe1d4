"""Makes the index of a sink: an index template with mapping and settings, and the index itself."""

from typing import Any

from elasticsearch import Elasticsearch

from sinks.elasticsearch.config import ElasticsearchTarget
from sinks.elasticsearch.documents import document_of


def prepare(client: Elasticsearch, target: ElasticsearchTarget, *, event: str) -> list[str]:
    """Makes or updates what is missing or differs; returns a line on each thing done. Repeating it does no harm.

    event: the kind of event, whose Document gives mapping and settings; "json" has none, Elasticsearch guesses then.
    Raises elasticsearch.ApiError and TransportError.
    """
    index = target.index
    body = _template(target, event)
    client.indices.put_index_template(
        name=index, index_patterns=[index], priority=200, template=body, meta={"event": event}
    )
    done = [f"index template {index}: put"]
    if not client.indices.exists(index=index):
        client.indices.create(index=index)
        done.append(f"index {index}: made")
    elif body.get("mappings"):
        client.indices.put_mapping(index=index, body=body["mappings"])
        done.append(f"index {index}: there already, mapping up to date")
    return done


def _template(target: ElasticsearchTarget, event: str) -> dict[str, Any]:
    document = document_of(event)
    body: dict[str, Any] = document._index.to_dict() if document is not None else {}
    shards = {"number_of_shards": target.shards, "number_of_replicas": target.replicas}
    return {**body, "settings": {**body.get("settings", {}), **shards}}
