"""Elasticsearch ends each search of the site by itself: none goes on when its reader has gone."""

import json
from typing import Any

import pytest
from django.test import Client
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig, Transport, TransportApiResponse
from pytest_django import Settings

from pipeline.console.statistics.views import panels_of
from pipeline.elasticsearch_reads import servers_time
from sinks import registry as sinks_registry
from tests.pipeline.conftest import panel_data

DOCUMENTS = "/admin/console/documents/elasticsearch/"
NOTHING = {
    "hits": {"total": {"value": 0}, "hits": []},
    "fields": {"userName": {"keyword": {}}},
    "_scroll_id": "x",
    "_shards": {"successful": 1, "total": 1, "skipped": 0},
    "aggregations": {"series": {"buckets": []}, "bars": {"buckets": []}},
}


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """The bodies of all searches by their path; an Elasticsearch that has nothing answers them."""
    asked: dict[str, list[Any]] = {}

    def answer(
        _self: Transport, method: str, target: str, *, body: Any = None, **_options: Any
    ) -> TransportApiResponse:
        if "_search" in target and method == "POST" and "scroll_id" not in (body or {}):
            asked.setdefault(target.partition("?")[0], []).append(body)
        headers = HttpHeaders({"x-elastic-product": "Elasticsearch", "content-type": "application/json"})
        meta = ApiResponseMeta(200, "1.1", headers, 0.1, NodeConfig("http", "localhost", 9200))
        return TransportApiResponse(meta, json.loads(json.dumps(NOTHING)))

    monkeypatch.setattr(Transport, "perform_request", answer)
    return asked


@pytest.mark.parametrize("user_agent_field", ["userAgent", ""])
def test_all_panels_of_the_statistics_bound_their_searches(
    viewer: Client, searches: dict[str, list[Any]], settings: Settings, user_agent_field: str
) -> None:
    entry = settings.SINKS["elasticsearch"]
    target = {**entry["target"], "user_agent_field": user_agent_field}
    settings.SINKS = {"elasticsearch": {**entry, "target": target}}
    sinks_registry.sinks.cache_clear()
    for id, panel in panels_of("select-color").items():
        if panel.server == "elasticsearch":
            panel_data(viewer, id)
    check(searches, at_least=4)


def test_all_pages_of_documents_bound_their_searches(viewer: Client, searches: dict[str, list[Any]]) -> None:
    for path in (
        "histogram/",
        "hits/",
        "fields/",
        "source/?index=i&id=1",
        "export/?format=csv",
        "export/?format=ndjson",
    ):
        assert viewer.get(DOCUMENTS + path).status_code == 200
    check(searches, at_least=6)


def check(searches: dict[str, list[Any]], *, at_least: int) -> None:
    bodies = [body for asked in searches.values() for body in asked]
    assert len(bodies) >= at_least
    assert servers_time() == "4000ms", "less than the five seconds that a reader waits"
    assert {body.get("timeout") for body in bodies} == {servers_time()}
