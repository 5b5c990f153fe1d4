"""Makes the Elasticsearch client of a sink, and tells whether the server is one that it can speak to."""

from typing import Any

import elasticsearch
from elasticsearch import Elasticsearch
from elasticsearch.serializer import NdjsonSerializer

from sinks.elasticsearch.outcomes import classified, translated
from worker.errors import Fatal

CLIENT_MAJOR = elasticsearch.__version__[0]


class _Lines(NdjsonSerializer):
    """Sends lines that are bytes already as they are; the client's own would copy them twice."""

    def dumps(self, data: Any) -> bytes:
        """The body of a request."""
        return data if isinstance(data, bytes) else super().dumps(data)


def connect(cluster: dict[str, Any], *, connections: int) -> Elasticsearch:
    """The client of an entry of settings.ELASTICSEARCH_DSL (its keys are those of elasticsearch.Elasticsearch).

    connections: how many threads use it at a time. It makes no retries: the sink decides what is tried again.
    """
    options: dict[str, Any] = {"serializers": {_Lines.mimetype: _Lines()}, **cluster}
    options |= {"connections_per_node": connections, "max_retries": 0, "retry_on_timeout": False}
    return Elasticsearch(**options)


@translated()
def check_server(client: Elasticsearch) -> None:
    """Raises Fatal, with what to do, when the server is another product or version; Retriable when it is away."""
    try:
        version = min(node_versions(client), key=_major)
    except (elasticsearch.NotFoundError, elasticsearch.UnsupportedProductError) as error:
        raise Fatal("the server is not Elasticsearch, by its answer to GET /_nodes") from error
    except elasticsearch.BadRequestError as error:
        if "media_type_header_exception" not in str(classified(error)):
            raise
        version = "older"  # it does not know the format of this client's requests
    # A server also speaks to clients of the major version before its own.
    if _major(version) not in (CLIENT_MAJOR, CLIENT_MAJOR + 1):
        own = ".".join(map(str, elasticsearch.__version__))
        raise Fatal(
            f"Elasticsearch is {version}, but this client ({own}) needs a server of version {CLIENT_MAJOR} or "
            f"{CLIENT_MAJOR + 1}: upgrade the server, or install the elasticsearch package of its major version"
        )


def node_versions(client: Elasticsearch) -> list[str]:
    """The version of each node. Raises the client's exceptions."""
    nodes = client.nodes.info(node_id="_all", metric="_none", filter_path="nodes.*.version")["nodes"]
    return [str(node["version"]) for node in nodes.values()]


def _major(version: str) -> int:
    number = version.partition(".")[0]
    return int(number) if number.isdecimal() else 0
