"""What all searches for operators have in common: client, time on the server, errors in words, ranges and bars."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from elasticsearch import Elasticsearch
from elasticsearch.dsl.connections import connections
from elasticsearch.exceptions import ApiError, TransportError

from pipeline.conf import console_settings
from pipeline.errors import ServerAway, ServerError
from pipeline.guard import guard
from pipeline.time_range import TimeRange, to_milliseconds
from sinks.kind import Documents

_SERVERS_SHARE = 0.8
"""The part of the time that Elasticsearch may take: it must give up before nobody waits for its answer any more."""

_TIMED_OUT = "search_timeout_exception"
"""What Elasticsearch calls it in an error when it has given up."""


@contextmanager
def asking(cluster: str) -> Iterator[Elasticsearch]:
    """A client for one read of a cluster, which is asked once and not waited for longer than the settings say.

    Its errors are raised as ServerError, or ServerAway where it does not answer at all.
    """
    name, timeout = server_name(cluster), console_settings().elasticsearch_timeout_seconds
    with guard().read(name):
        try:
            yield connections.get_connection(cluster).options(request_timeout=timeout, max_retries=0)
        except ApiError as error:
            has_timed_out = _TIMED_OUT in str(error.body)
            raise ServerError(name, _too_long(timeout) if has_timed_out else _reason_of(error)) from error
        except TransportError as error:
            raise ServerAway(name, error.message) from error


def server_name(cluster: str) -> str:
    """A cluster's name for people."""
    nodes = connections.get_connection(cluster).transport.node_pool.all()
    return f"Elasticsearch ({', '.join(node.base_url for node in nodes)})"


def servers_time() -> str:
    """The parameter `timeout` of a search: when Elasticsearch gives it up, before its reader does.

    Every search must have it: without it, Elasticsearch goes on with an expensive search after its reader has gone.
    """
    return f"{max(1, int(1000 * _SERVERS_SHARE * console_settings().elasticsearch_timeout_seconds))}ms"


def search(client: Elasticsearch, target: Documents, filters: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    """The answer to one search of a sink's indices, as it came.

    A missing index answers as an empty one; a shard that fails is an error rather than a number that is too small.
    """
    answer = client.search(
        index=target.readers,
        query={"bool": {"filter": filters}},
        ignore_unavailable=True,
        allow_partial_search_results=False,
        timeout=servers_time(),
        **options,
    )
    return dict(answer)


def within(time_range: TimeRange) -> dict[str, Any]:
    """The bounds of a range query."""
    start, end = to_milliseconds(time_range.start), to_milliseconds(time_range.end)
    return {"gte": start, "lt": end, "format": "epoch_millis"}


def bars_of(time_range: TimeRange, field: str) -> dict[str, Any]:
    """The parameters of a date_histogram with a bar for each interval, also where there are no documents."""
    return {
        "field": field,
        "fixed_interval": f"{time_range.interval // timedelta(seconds=1)}s",
        # Days and hours begin where the reader's do.
        "time_zone": timezone.get_current_timezone_name(),
        "min_doc_count": 0,
        "extended_bounds": {"min": to_milliseconds(time_range.start), "max": to_milliseconds(time_range.end) - 1},
        "format": "epoch_millis",
    }


def _too_long(timeout: float) -> str:
    text = _("It gave this search up after {n} s. A shorter time range, or words without * and /…/, take less.")
    return text.format(n=f"{_SERVERS_SHARE * timeout:g}")


def _reason_of(error: ApiError) -> str:
    """Elasticsearch's own words: the reason of the root cause, else of the error, else its status."""
    details = error.body.get("error") if isinstance(error.body, dict) else None
    if not isinstance(details, dict):
        return str(error)
    causes = details.get("root_cause") or [details]
    return str(causes[0].get("reason") or details.get("reason") or error)
