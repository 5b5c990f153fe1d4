"""What all searches for operators have in common: their client, their time on the server, and its errors in words."""

from elasticsearch import Elasticsearch
from elasticsearch.dsl.connections import connections
from elasticsearch.exceptions import ApiError

_SERVERS_SHARE = 0.8
"""The part of the time that Elasticsearch may take: it must give up before nobody waits for its answer any more."""

_TIMED_OUT = "search_timeout_exception"
"""What Elasticsearch calls it in an error when it has given up."""


def client_of(cluster: str, *, timeout: float) -> Elasticsearch:
    """A cluster's client that waits for an answer for so many seconds, once."""
    return connections.get_connection(cluster).options(request_timeout=timeout, max_retries=0)


def server_name(cluster: str) -> str:
    """A cluster's name for people."""
    nodes = connections.get_connection(cluster).transport.node_pool.all()
    return f"Elasticsearch ({', '.join(node.base_url for node in nodes)})"


def servers_seconds(timeout: float) -> float:
    """The seconds after which Elasticsearch gives a search up whose reader waits for `timeout` seconds."""
    return _SERVERS_SHARE * timeout


def servers_time(timeout: float) -> str:
    """The same as the parameter `timeout` of a search.

    Every search must have it: without it, Elasticsearch goes on with an expensive search after its reader has gone.
    """
    return f"{max(1, int(1000 * servers_seconds(timeout)))}ms"


def has_timed_out(error: ApiError) -> bool:
    """Whether Elasticsearch has given the search up."""
    return _TIMED_OUT in str(error.body)


def reason_of(error: ApiError) -> str:
    """Elasticsearch's own words: the reason of the root cause, else of the error, else its status."""
    details = error.body.get("error") if isinstance(error.body, dict) else None
    if not isinstance(details, dict):
        return str(error)
    causes = details.get("root_cause") or [details]
    return str(causes[0].get("reason") or details.get("reason") or error)
