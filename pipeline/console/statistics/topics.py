"""Topics and partitions: the offsets they hold, and how far each sink is."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as translated
from django.utils.translation import gettext_lazy as _

from pipeline.conf import console_settings
from pipeline.console.panels import Panel
from pipeline.console.statistics.choice import URL
from pipeline.console.topics.lag import lag_table
from pipeline.errors import ServerError
from pipeline.kafka_reads import server_name
from pipeline.lag import total
from pipeline.offsets import pipeline_topics, shared_offsets
from sinks.registry import sinks


def read(_query: Mapping[str, str]) -> dict[str, Any]:
    """All topics of the pipeline with a row for each partition; they are of now, whatever the range."""
    conf = console_settings()
    clusters = {
        cluster: offsets or ServerError(server_name(cluster), translated("no answer in time"))
        for cluster, offsets in shared_offsets(wait_seconds=1 + conf.kafka_timeout_seconds).items()
    }
    errors = [offsets for offsets in clusters.values() if isinstance(offsets, ServerError)]
    if len(errors) == len(clusters):
        raise errors[0]
    listed = [(topic, clusters[topic.cluster]) for topic in pipeline_topics(sinks().values())]
    listed.sort(key=lambda entry: list(clusters).index(entry[0].cluster))
    table = lag_table(listed, list(sinks().values()))
    of_sinks = [sink for entry in table["topics"] for sink in entry["sinks"].values()]
    return {
        **table,
        "several_clusters": len(clusters) > 1,
        "lag": total(sink["lag"] for sink in of_sinks),
        "uncommitted": sum(sink["uncommitted"] for sink in of_sinks),
    }


PANEL = Panel("topics", _("Topics and partitions"), "statistics/topics.html", read, URL, server="kafka")
