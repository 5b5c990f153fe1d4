"""Makes the Elasticsearch client of a sink."""

from typing import Any

from elasticsearch import Elasticsearch
from elasticsearch.serializer import NdjsonSerializer


class _Lines(NdjsonSerializer):
    """Sends lines that are bytes already as they are; the client's own would copy them twice."""

    def dumps(self, data: Any) -> bytes:
        """The body of a request."""
        return data if isinstance(data, bytes) else super().dumps(data)


def connect(cluster: dict[str, Any], *, connections: int) -> Elasticsearch:
    """The client of an entry of settings.ELASTICSEARCH_DSL (its keys are those of elasticsearch.Elasticsearch).

    connections: how many threads use it at a time. It makes no retries: the sink decides what is tried again.
    """
    options: dict[str, Any] = {
        "serializers": {_Lines.mimetype: _Lines()},
        **cluster,
        "connections_per_node": connections,
        "max_retries": 0,
        "retry_on_timeout": False,
    }
    return Elasticsearch(**options)
