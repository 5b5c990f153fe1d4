"""Whether the server is one that this client can speak to."""

import elasticsearch
from elasticsearch import Elasticsearch

from sinks.elasticsearch.outcomes import classified
from sinks.errors import Fatal

CLIENT_MAJOR = elasticsearch.__version__[0]


def check_server(client: Elasticsearch) -> None:
    """Raises Fatal, with what to do, when the server is another product or version; Retriable when it is away."""
    try:
        version = _version(client)
    except (elasticsearch.NotFoundError, elasticsearch.UnsupportedProductError) as error:
        raise Fatal("the server is not Elasticsearch, by its answer to GET /_nodes") from error
    except elasticsearch.BadRequestError as error:
        failed = classified(error)
        if "media_type_header_exception" not in str(failed):
            raise failed from error
        version = "older"  # it does not know the format of this client's requests
    except (elasticsearch.ApiError, elasticsearch.TransportError) as error:
        raise classified(error) from error
    major = version.partition(".")[0]
    # A server also speaks to clients of the major version before its own.
    if major not in (str(CLIENT_MAJOR), str(CLIENT_MAJOR + 1)):
        own = ".".join(map(str, elasticsearch.__version__))
        raise Fatal(
            f"Elasticsearch is {version}, but this client ({own}) needs a server of version {CLIENT_MAJOR} or "
            f"{CLIENT_MAJOR + 1}: upgrade the server, or install the elasticsearch package of its major version"
        )


def _version(client: Elasticsearch) -> str:
    """The oldest version among the nodes."""
    nodes = client.nodes.info(node_id="_all", metric="_none", filter_path="nodes.*.version")["nodes"]
    return min((str(node["version"]) for node in nodes.values()), key=lambda version: int(version.partition(".")[0]))
