"""Makes the index of a sink: an index template with mapping and settings, and the index itself."""

from typing import Any

from elasticsearch import Elasticsearch

from sinks.elasticsearch.documents import DOCUMENTS


def prepare(client: Elasticsearch, *, index: str, event: str) -> list[str]:
    """Makes or updates what is missing or differs; returns a line on each thing done. Repeating it does no harm.

    event: the kind of event, whose Document gives mapping and settings; "json" has none, Elasticsearch guesses then.
    Raises elasticsearch.ApiError and TransportError.
    """
    body = _template(event)
    done = []
    client.indices.put_index_template(
        name=index, index_patterns=[index, f"{index}-*"], priority=200, template=body, meta={"event": event}
    )
    done.append(f"index template {index}: put")
    if not client.indices.exists(index=index):
        client.indices.create(index=index)
        done.append(f"index {index}: made")
    elif body.get("mappings"):
        client.indices.put_mapping(index=index, body=body["mappings"])
        done.append(f"index {index}: there already, mapping up to date")
    return done


def _template(event: str) -> dict[str, Any]:
    document = DOCUMENTS.get(event)
    if document is None:
        return {"settings": {"number_of_replicas": 0}}
    body: dict[str, Any] = document._index.to_dict()
    return body
