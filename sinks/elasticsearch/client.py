"""Makes the Elasticsearch client of a sink."""

from typing import Any

from elasticsearch import Elasticsearch


def connect(cluster: dict[str, Any], *, connections: int) -> Elasticsearch:
    """The client of an entry of settings.ELASTICSEARCH_DSL (its keys are those of elasticsearch.Elasticsearch).

    connections: how many threads use it at a time. It makes no retries: the sink decides what is tried again.
    """
    return Elasticsearch(
        **{**cluster, "connections_per_node": connections, "max_retries": 0, "retry_on_timeout": False}
    )
