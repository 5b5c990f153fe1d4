"""The numbers of the panels are those of the index and of Kafka (on real servers)."""

import json
import re
import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from django.test import Client
from elasticsearch.dsl import connections
from pytest_django import Settings

from devstack.stack import Stack
from events.event import format_timestamp
from pipeline import conf
from pipeline.console.statistics import chart, topics
from pipeline.console.templatetags.console import moment as moment_text
from sinks.registry import sinks
from tests.console.support import text_of
from tests.pipeline.conftest import PAGE, PANELS, index_events, panel_data, panel_html, panel_url, rows_of
from tests.support import event, produce

pytestmark = [pytest.mark.integration]

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"


def drawn(markup: str) -> Any:
    """What the script draws the chart from."""
    found = re.search(r'<script id="chart-data" type="application/json">(.*?)</script>', markup)
    assert found is not None
    return json.loads(found[1])


def commit(stack: Stack, group: str, topic: str, offsets: dict[int, int]) -> None:
    """Commits offsets by partition for a group that nobody is in."""
    consumer = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": group})
    wanted = [TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]
    consumer.commit(offsets=wanted, asynchronous=False)
    consumer.close()


@pytest.mark.parametrize("zone", ["UTC", "Asia/Seoul", "Asia/Kathmandu", "America/New_York"])
@pytest.mark.parametrize("span", ["15m", "30d"])
def test_bars_are_filled_with_zeros_and_add_up(
    console: Stack, index: str, viewer: Client, settings: Settings, zone: str, span: str
) -> None:
    settings.TIME_ZONE = zone
    now = datetime.now().astimezone()
    index_events(
        index,
        [
            {"colorName": color, "userName": "a", "timestamp": format_timestamp(now - timedelta(minutes=age))}
            for color, age in [("red", 1), ("red", 1), ("blue", 5), ("red", 14), ("green", 50), ("red", 50_000)]
        ],
    )
    assert f">{ ({'15m': 4, '30d': 5}[span]) }</template>" in panel_html(viewer, "events-over-time", f"range={span}")
    data = chart.read({"range": span})
    expected = {"15m": 4, "30d": 5}[span]
    assert data["total"] == expected
    assert sum(data["counts"]) == expected
    assert {one["name"]: sum(one["counts"]) for one in data["series"]} == {"red": 3, "blue": 1} | (
        {"green": 1} if span == "30d" else {}
    )
    assert data["per_minute"] == pytest.approx(expected / {"15m": 15, "30d": 43_200}[span])
    assert 60 <= len(data["starts"]) <= 62
    steps = {later - earlier for earlier, later in zip(data["starts"], data["starts"][1:], strict=False)}
    interval = 1000 * data["seconds"]
    assert interval in steps
    # Where a clock is put back or forward, one bar is an hour longer or shorter.
    assert all(abs(step - interval) <= 3_600_000 for step in steps)
    assert data["starts"][0] <= data["start"] < data["starts"][1]
    assert data["starts"][-1] < data["end"]


def test_colours_beyond_the_bound_are_counted_together(
    console: Stack, index: str, viewer: Client, settings: Settings
) -> None:
    settings.CONSOLE = {"colors": 2}
    conf.console_settings.cache_clear()
    colors = ["red"] * 4 + ["teal"] * 3 + ["pink"] * 2 + ["<b>"]
    index_events(index, [{"colorName": color, "userName": "a"} for color in colors])
    shown = panel_html(viewer, "events-over-time")
    assert [(one["name"], sum(one["counts"])) for one in drawn(shown)["series"]] == [("red", 4), ("teal", 3), (None, 3)]
    assert "red 4 (40%) teal 3 (30%) other 3 (30%)" in text_of(shown)


def test_top_users_and_browsers(console: Stack, index: str, viewer: Client, settings: Settings) -> None:
    settings.CONSOLE = {"top": 2, "user_agents": 3}
    conf.console_settings.cache_clear()
    agents = [FIREFOX] * 5 + ["curl/8.5.0"] * 3 + ["curl/8.6.0"] * 3 + ["Wget/1.21"] * 2
    users = ["민지"] * 6 + ["bob"] * 4 + ["eve"] * 3
    pairs = zip(agents, users, strict=True)
    index_events(index, [{"colorName": "red", "userName": user, "userAgent": agent} for agent, user in pairs])
    users_shown = panel_html(viewer, "top-users")
    assert rows_of(users_shown) == [["민지", "6", "46.2%"], ["bob", "4", "30.8%"]]
    assert "3 users in all; the top 2 are shown." in users_shown
    browsers_shown = panel_html(viewer, "top-browsers")
    assert rows_of(browsers_shown) == [
        ["curl", "6", "46.2%"],
        ["Firefox", "5", "38.5%"],
        ["unknown", "6", "46.2%"],
        ["Linux", "5", "38.5%"],
    ]
    assert "Read from the most frequent user agents, 3 of about 4; events: 11 of 13." in browsers_shown


def test_top_browsers_are_those_that_the_sink_has_stored(
    console: Stack, index: str, viewer: Client, settings: Settings
) -> None:
    settings.CONSOLE = {"top": 2}
    settings.SINKS["elasticsearch"]["target"]["user_agent_field"] = "userAgent"
    conf.console_settings.cache_clear()
    sinks.cache_clear()
    agents = (
        [{"browser": "Firefox", "os": "Linux", "bot": False}] * 2
        + [{"browser": "curl", "bot": False}]
        + [{"bot": False}] * 3
    )
    events = [{"colorName": "red", "userName": "a", "agent": agent} for agent in agents]
    index_events(index, [*events, {"colorName": "red", "userName": "a"}])  # the last one from before they were stored
    shown = panel_html(viewer, "top-browsers")
    assert rows_of(shown) == [
        ["unknown", "3", "42.9%"],
        ["Firefox", "2", "28.6%"],
        ["unknown", "4", "57.1%"],
        ["Linux", "2", "28.6%"],
    ]
    assert "Read from the most frequent user agents, 1 of about 1; events: 6 of 7." in shown


def test_newest_events_are_bounded_and_come_as_they_are_stored(
    console: Stack, index: str, viewer: Client, settings: Settings
) -> None:
    settings.CONSOLE = {"newest": 2}
    conf.console_settings.cache_clear()
    now = datetime.now().astimezone()
    stamps = [format_timestamp(now - timedelta(seconds=age)) for age in (30, 10, 20)]
    hostile = "<img src=x onerror=alert(1)>"
    index_events(
        index,
        [
            {"timestamp": stamps[0], "colorName": "red", "userName": "oldest"},
            {"timestamp": stamps[1], "colorName": "blue", "userName": hostile, "userAgent": "x" * 1000},
            {"timestamp": stamps[2], "colorName": "green"},
        ],
    )
    shown = panel_html(viewer, "newest")
    first, second = rows_of(shown)
    moment = int(datetime.fromisoformat(stamps[1]).timestamp() * 1000 + 0.5)
    assert (first[0], first[1], first[2], first[4]) == (moment_text(moment), "blue", hostile, "topic-0-1")
    assert hostile not in shown
    assert f"/admin/console/documents/elasticsearch/document/?index={index}&amp;id=topic-0-1" in shown
    assert len(first[3]) == 300
    assert (second[1], second[2]) == ("green", "missing")


def test_of_newest_events_that_are_large_only_so_many_bytes_are_read(
    console: Stack, index: str, viewer: Client, settings: Settings
) -> None:
    settings.CONSOLE = {"search_bytes": 1024}
    conf.console_settings.cache_clear()
    now = datetime.now().astimezone()
    ages = [format_timestamp(now - timedelta(seconds=age)) for age in range(6)]
    index_events(index, [{"timestamp": at, "colorName": "red", "userName": "a" * 500} for at in ages])
    assert [row[1] for row in rows_of(panel_html(viewer, "newest"))] == ["red"] * 4 + ["not read"] * 2


def test_any_kind_that_is_stored_has_its_statistics(viewer: Client, index: str, views: str) -> None:
    index_events(index, [{"colorName": "red", "userName": "a"}])
    paths = ["/a"] * 3 + ["/b"] * 2
    index_events(views, [{"path": path, "title": "T", "seconds": n, "isNew": True} for n, path in enumerate(paths)])
    of_views = "event=page-view"
    bars = chart.read({"event": "page-view"})
    assert (bars["total"], bars["index"], bars["field"]) == (5, views, "path")
    assert "/a 3 (60%) /b 2 (40%)" in text_of(panel_html(viewer, "events-over-time", of_views))
    values = panel_html(viewer, "top-values", of_views)
    assert rows_of(values) == [["/a", "3", "60%"], ["/b", "2", "40%"], ["T", "5", "100%"]]
    assert "Different values: 2." in values
    assert "Different values: 1." in values
    newest = panel_html(viewer, "newest-of-kind", of_views)
    for field in ("path", "title", "seconds", "share", "isNew"):
        assert f"<bdi>{field}</bdi>" in newest
    assert sorted(row[1:-1] for row in rows_of(newest))[0] == ["/a", "T", "0", "missing", "True", "curl/8.5.0"]
    assert f'href="/admin/console/documents/views/document/?index={views}&amp;id=topic-0-' in newest
    assert chart.read({})["total"] == 1
    page = viewer.get(f"{PAGE}?{of_views}").content.decode()
    assert re.search('<a [^>]*href="[?]event=page-view" aria-current="true">page-view</a>', page)
    assert 'data-panel="top-users"' not in page
    assert viewer.get(panel_url("top-users", of_views)).status_code == 404


def test_no_index_and_no_documents_are_an_empty_state(console: Stack, viewer: Client, settings: Settings) -> None:
    empty, shown = chart.read({}), panel_html(viewer, "events-over-time")
    settings.SINKS["elasticsearch"]["target"]["index"] = "not-there"
    sinks.cache_clear()
    missing, also_shown = chart.read({}), panel_html(viewer, "events-over-time")
    for data, text in ((empty, shown), (missing, also_shown)):
        assert (data["total"], data["newest"]) == (0, None)
        assert f"No documents yet in the index “{data['index']}”." in text
    assert sum(empty["counts"]) == 0
    assert missing["index"] == "not-there"
    for panel in ("top-users", "top-browsers", "newest"):
        assert rows_of(panel_html(viewer, panel)) == []


def test_an_empty_range_names_the_newest_event_and_can_go_to_it(console: Stack, index: str, viewer: Client) -> None:
    past = datetime.now().astimezone() - timedelta(days=400)
    index_events(index, [{"timestamp": format_timestamp(past), "colorName": "red", "userName": "a"}])
    data = chart.read({})
    assert data["total"] == 0
    assert abs(data["newest"] - past.timestamp() * 1000) <= 1
    assert data["to_newest"] == {"range": "1h", "end": str(data["newest"] + 1)}
    there = panel_html(viewer, "events-over-time", f"range=15m&end={data['newest'] + 1}")
    assert '<template data-place="tile-total">1</template>' in there


def test_an_index_without_the_mapping_shows_elasticsearchs_own_words(
    console: Stack, viewer: Client, settings: Settings, index: str
) -> None:
    wrong = f"{index}-wrong"
    mappings = {"properties": {"timestamp": {"type": "date"}, "userName": {"type": "text"}}}
    connections.get_connection().indices.create(index=wrong, mappings=mappings)
    settings.SINKS["elasticsearch"]["target"]["index"] = wrong
    sinks.cache_clear()
    error = panel_data(viewer, "top-users")["error"]
    assert error["server"] == f"Elasticsearch ({console.elasticsearch_url})"
    assert "userName" in error["text"]


def test_offsets_and_lag_are_kafkas(console: Stack, topic: str, viewer: Client) -> None:
    for partition, count in ((0, 10), (1, 4)):
        produce(console, topic, [event(number) for number in range(count)], partition=partition)
    commit(console, f"{topic}-hdfs", topic, {0: 7, 1: 4})
    commit(console, f"{topic}-es", topic, {0: 12})
    data = topics.read({})
    assert [sink["name"] for sink in data["sinks"]] == ["hdfs", "elasticsearch"]
    events, dead = data["topics"]
    assert [(part["first"], part["end"]) for part in events["partitions"]] == [(0, 10), (0, 4), (0, 0)]
    assert [part["sinks"]["hdfs"] for part in events["partitions"]] == [
        {"committed": 7, "lag": 3, "state": "ok"},
        {"committed": 4, "lag": 0, "state": "ok"},
        {"committed": None, "lag": 0, "state": "none"},
    ]
    assert events["partitions"][0]["sinks"]["elasticsearch"] == {"committed": 12, "lag": 0, "state": "ahead"}
    assert events["sinks"]["hdfs"] == {"error": None, "lag": 3, "uncommitted": 1}
    assert (dead["name"], dead["is_dead_letters"], dead["exists"]) == (f"{topic}.dlq", True, True)
    shown = rows_of(panel_html(viewer, "topics"))
    assert shown[1] == ["0", "0", "10", "7", "3", "12 beyond the end: was the topic made anew?", "0"]
    assert shown[2] == ["1", "0", "4", "4", "0", "no commit yet", "4"]


def test_servers_tell_their_version_and_a_stopped_one_its_error_while_the_others_go_on(
    console: Stack, index: str, viewer: Client
) -> None:
    index_events(index, [{"colorName": "red", "userName": "a"}])
    kafka = panel_html(viewer, "service-kafka")
    assert f'title="Kafka ({console.bootstrap_servers})"' in kafka
    assert text_of(kafka).split() == ["●", "Kafka", "≥", "4.0", "1", "broker"]
    assert " 9." in text_of(panel_html(viewer, "service-elasticsearch"))
    hdfs = text_of(panel_html(viewer, "service-hdfs"))
    assert "● HDFS 3.5.0" in hdfs
    assert "1 DataNode" in hdfs
    console.elasticsearch.kill()
    try:
        elasticsearch = text_of(panel_html(viewer, "service-elasticsearch"))
        assert "✕ Elasticsearch away:" in elasticsearch
        assert "refused" in elasticsearch
        for panel in PANELS[:4]:
            error = panel_data(viewer, panel)["error"]
            assert error["server"] == f"Elasticsearch ({console.elasticsearch_url})"
            assert "refused" in error["text"]
        assert rows_of(panel_html(viewer, "topics"))[1][:3] == ["0", "0", "0"]
    finally:
        console.elasticsearch.start()
        console.elasticsearch.wait_ready()
    assert '<template data-place="tile-total">1</template>' in panel_html(viewer, "events-over-time")


def test_a_server_that_does_not_answer_costs_its_timeout_and_no_more(
    console: Stack, viewer: Client, settings: Settings
) -> None:
    settings.CONSOLE = {"elasticsearch_timeout_seconds": 0.5, "kafka_timeout_seconds": 0.5}
    conf.console_settings.cache_clear()
    for server in (console.elasticsearch, *console.kafka):
        server.pause()
    try:
        for panel in PANELS:
            started = time.monotonic()
            assert "error" in panel_data(viewer, panel)
            assert time.monotonic() - started < 2.0
    finally:
        for server in (console.elasticsearch, *console.kafka):
            server.resume()


def test_offsets_are_read_again_after_kafka_was_restarted(console: Stack, topic: str, viewer: Client) -> None:
    produce(console, topic, [event(0)], partition=0)
    commit(console, f"{topic}-hdfs", topic, {0: 1})
    before = panel_data(viewer, "topics")
    for broker in console.kafka:
        broker.kill()
    assert "Kafka" in panel_data(viewer, "topics")["error"]["server"]
    for broker in console.kafka:
        broker.start()
        broker.wait_ready()
    deadline = time.monotonic() + 30
    while (after := panel_data(viewer, "topics")) != before:
        assert time.monotonic() < deadline, after
        time.sleep(0.5)
