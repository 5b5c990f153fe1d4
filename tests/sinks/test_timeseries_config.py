"""Mistakes in the target of a sink of time series, which `manage.py check` tells."""

from typing import Any

import pytest
from django.test import override_settings

from sinks import registry
from sinks.checks import check_sinks

URL = "http://localhost:8086"


def told(event: str = "json", topics: tuple[str, ...] = ("sensors",), **target: Any) -> list[str]:
    where = {"url": URL, "database": "d", "measurement": "m", **target}
    entry = {"kind": "timeseries", "topics": list(topics), "event": event, "target": where}
    with override_settings(SINKS={"under-test": entry}):
        registry.sinks.cache_clear()
        return [str(error) for error in check_sinks()]


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ({"url": "localhost:8086"}, "target.url: 1 of 1 must be like https://host:port"),
        ({"url": f"{URL}/?db=x"}, "target.url must be without ?"),
        ({"database": ""}, "target.database is needed for InfluxDB"),
        ({"database": 'a"b'}, "database"),
        ({"server": "opentsdb"}, "server"),
        ({"measurement": "#m"}, "begins with #"),
        ({"measurement": "a\nb"}, "control character"),
        ({"tags": ["time"]}, "can't be named time"),
        ({"fields": ["time"]}, "can't be named time"),
        ({"tags": ["a\\"]}, "backslash at its end"),
        ({"fields": ['a"b']}, "quotation mark"),
        ({"tags": ["a"], "fields": ["a", "b"]}, "a can't be a tag and a field"),
        ({"tags": ["a", "a"]}, "has a name twice"),
        ({"fields": ["a"], "integers": ["b"]}, "b is not among target.fields"),
        ({"spread": True, "precision": "ms"}, "target.spread needs InfluxDB, precision ns, and one topic"),
        ({"spread": True, "topics": ("a", "b")}, "target.spread needs"),
        ({"spread": True, "server": "victoriametrics"}, "target.spread needs"),
        ({"event": "select-color", "tags": ["color"]}, "color is no field of select-color"),
    ],
)
def test_a_mistake_in_the_target_is_told_before_anything_runs(target: dict[str, Any], text: str) -> None:
    assert [text in error for error in told(**target)] == [True]


def test_a_url_that_can_not_be_read_is_not_shown() -> None:
    [error] = told(url="http://me:hid/den@localhost")
    assert "hid" not in error


def test_targets_without_a_mistake_pass() -> None:
    assert told() == []
    assert told(url="http://me:secret@localhost", spread=True) == []
    assert told(server="victoriametrics", database="") == []
    assert told(event="select-color", tags=["colorName"], time="timestamp") == []


def test_a_password_by_plain_http_to_another_host_is_doubtful() -> None:
    [warning] = told(url="http://me:secret@influx:8086")
    assert "target.url has a password and plain http" in warning
