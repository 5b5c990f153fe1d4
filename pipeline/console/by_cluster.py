"""Which Kafka clusters pages may read, and pages with the same panel for each of them."""

from django.conf import settings
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase

from events.conf import events_settings
from pipeline.console.pages import page_response
from pipeline.console.panels import Panel, section
from pipeline.kafka_reads import server_name
from sinks.registry import sinks


def clusters() -> list[str]:
    """The configured clusters, those that the pipeline uses first, that of events before all."""
    return list(dict.fromkeys([events_settings().kafka, *(sink.kafka for sink in sinks().values()), *settings.KAFKA]))


def check_cluster(cluster: str) -> None:
    """Raises Http404 for what is no cluster."""
    if cluster not in clusters():
        raise Http404("KAFKA has no such cluster")


def server_of(cluster: str) -> str:
    """The server of a panel's cluster. Raises Http404 for what is no cluster."""
    check_cluster(cluster)
    return server_name(cluster)


def search_page(
    request: HttpRequest, panel: Panel, *, title: str, heading: str, template: str = "by_cluster.html"
) -> HttpResponseBase:
    """A page with the panel of each cluster, or of the one that the query names by `cluster`.

    panel: gets the values of its `query`, too; heading: of each, with {cluster}. Raises Http404 for what is no cluster.
    """
    query = {name: text for name in ("cluster", *panel.query) if (text := request.GET.get(name, ""))}
    shown = clusters()
    if cluster := query.get("cluster", ""):
        check_cluster(cluster)
        shown = [cluster]
    return page_response(
        request,
        template,
        title=title,
        clusters=clusters(),
        panels=[
            section(panel, query, id=f"{panel.id}-{one}", title=heading.format(cluster=one), cluster=one)
            for one in shown
        ],
        query=query,
    )
