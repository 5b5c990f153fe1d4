"""SINKS is read once, typed, and every mistake is named."""

import socket
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import override_settings

from sinks.build import consumer_config
from sinks.checks import check_sinks
from sinks.elasticsearch.config import ElasticsearchTarget
from sinks.hdfs.config import HdfsTarget
from sinks.registry import sinks

HDFS = {"kind": "hdfs", "topics": ["t"], "target": {"path": "/data/t"}}
INDEX = {"kind": "elasticsearch", "topics": ["t"], "target": {"index": "t"}}


def test_default_sinks_are_those_of_the_book() -> None:
    assert {name: (sink.kind, sink.topics, sink.tasks) for name, sink in sinks().items()} == {
        "hdfs": ("hdfs", ("select-color",), 3),
        "elasticsearch": ("elasticsearch", ("select-color",), 3),
    }
    assert sinks()["hdfs"].target == HdfsTarget(path="/data/color")
    assert sinks()["hdfs"].options.flush_records == 10
    assert sinks()["elasticsearch"].target == ElasticsearchTarget(index="select-color")


def test_another_sink_is_an_entry() -> None:
    with override_settings(SINKS={"other": HDFS}):
        sink = sinks()["other"]
    assert (sink.group, sink.event, sink.dead_letter_topic) == ("sink-other", "select-color", "{topic}.dlq")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"kind": "ftp"}, "kind is 'ftp'; it must be one of hdfs, folder, s3, elasticsearch"),
        ({"topics": []}, "$.topics"),
        ({"topics": ["no spaces"]}, "$.topics"),
        ({"tasks": 0}, "$.tasks"),
        ({"target": {}}, "`path`"),
        ({"target": {"path": "relative"}}, "$.target.path"),
        ({"target": {"path": "/x//y"}}, "path '/x//y' must be written without //, /./ and /../ - at `$.target`"),
        ({"target": {"path": "//x"}}, "path '//x' must be written"),
        ({"target": {"path": "/x/./y"}}, "path '/x/./y' must be written"),
        ({"target": {"path": "/x/../y"}}, "path '/x/../y' must be written"),
        ({"target": {"path": "/x/.."}}, "path '/x/..' must be written"),
        ({"target": {"path": "/x:y"}}, "path '/x:y' must be without colons and control characters"),
        ({"target": {"path": "/x\n"}}, r"path '/x\n' must be without"),
        ({"target": {"path": "/x", "index": "y"}}, "unknown field `index`"),
        ({"target": None}, "target"),
        ({"event": "nobody-knows"}, "event is 'nobody-knows'"),
        ({"options": {"flush_records": 0}}, "$.options.flush_records"),
        ({"options": {"flush_recods": 5}}, "flush_recods"),
        ({"options": {"flush_schedule": "weekly"}}, "$.options.flush_schedule"),
        ({"options": {"flush_time_zone": "Mars/Base"}}, "flush_time_zone is 'Mars/Base'"),
        ({"dead_letter_topic": "{topic}"}, "'t', which must be the name of a topic that it does not read"),
        ({"dead_letter_topic": "bad topic!"}, "'bad topic!'"),
        ({"consumer": {"auto.offset.reset": "latest"}}, "auto.offset.reset must be left to the sink"),
        ({"consumer": {"no.such.option": 1}}, "no.such.option"),
        ({"consumer": {"max.poll.interval.ms": 20_000}}, "drain_seconds must be less than max.poll.interval.ms"),
        ({**INDEX, "target": {"index": "Upper"}}, "$.target.index"),
        ({**INDEX, "target": {"index": "t-%d"}}, "must have %Y alone"),
        ({**INDEX, "target": {"index": "t", "tombstones": "delete"}}, "needs id 'key'"),
        ({**INDEX, "topics": ["t", "u"], "target": {"index": "t", "id": "key"}}, "id 'key' needs one topic"),
        ({"kind": ["hdfs"]}, "kind is ['hdfs']; it must be one of"),
        ({"kafka": "elsewhere"}, "kafka is 'elsewhere': KAFKA has no cluster 'elsewhere'; it has default"),
        ({"target": {"path": "/x", "cluster": "c"}}, "target.cluster is 'c': HDFS has no cluster 'c'; it has default"),
        (
            {**INDEX, "target": {"index": "t", "cluster": "c"}},
            "target.cluster is 'c': ELASTICSEARCH_DSL has no cluster 'c'; it has default",
        ),
        ({"target": {"path": "/x", "format": "xml"}}, "format is 'xml'"),
        ({"target": {"path": "/x", "mode": "apend"}}, "$.target.mode"),
        ({"target": {"path": "/x", "mode": "append", "format": "parquet"}}, "mode append stores JSON lines only"),
        ({"target": {"path": "/x", "roll_seconds": 0}}, "$.target.roll_seconds"),
        ({"target": {"path": "/x", "format": "avro"}, "event": "json"}, "format avro needs"),
    ],
)
def test_a_mistake_names_entry_and_key(change: dict[str, Any], named: str) -> None:
    with override_settings(SINKS={"wrong": {**HDFS, **change}}):
        (message,) = check_sinks()
    assert message.id == "sinks.E001"
    assert "SINKS['wrong']" in message.msg
    assert named in message.msg


def test_each_task_is_a_static_member_of_its_own() -> None:
    with override_settings(SINKS={"hdfs": {**HDFS, "consumer": {"group.instance.id": "shop-{host}"}}}):
        sink = sinks()["hdfs"]
    ids = [consumer_config(sink, {}, task=task)["group.instance.id"] for task in range(3)]
    assert ids == [f"shop-{socket.gethostname()}-{task}" for task in range(3)]


def test_an_entry_that_is_no_object_is_named() -> None:
    with override_settings(SINKS={"wrong": 5}), pytest.raises(ImproperlyConfigured) as raised:
        sinks()
    assert str(raised.value) == "SINKS['wrong'] must be an object with kind, topics and target"


def test_sinks_that_are_in_each_others_way_are_named() -> None:
    with override_settings(SINKS={"a": HDFS, "b": {**HDFS, "group": "sink-a"}}):
        messages = check_sinks()
    assert [message.id for message in messages] == ["sinks.E002"] * 2
    assert "read t as group sink-a: each would get a part" in messages[0].msg
    assert "both store t in target.path /data/t: their files would have the same names" in messages[1].msg


def warnings(**target: str) -> list[str]:
    with override_settings(SINKS={"lake": {**HDFS, "target": {"path": "/data/t", **target}}}):
        messages = check_sinks()
    assert {message.id for message in messages} <= {"sinks.W001"}
    return [message.msg for message in messages]


@pytest.mark.parametrize("format", ["parquet", "avro"])
@pytest.mark.parametrize(
    ("folders", "key"),
    [
        ("colorName={colorName}", "colorName"),
        ("dt=%Y-%m-%d/COLORNAME=x-{colorName}", "COLORNAME"),
        ("timestamp=%Y", "timestamp"),
    ],
)
def test_a_folders_key_that_hides_a_column_is_warned_of(format: str, folders: str, key: str) -> None:
    (message,) = warnings(format=format, folders=folders)
    assert message.startswith(f"SINKS['lake']: folders has the key {key}, which is a column of the files, too")
    assert f"for example {key}_folder" in message


@pytest.mark.parametrize("folders", ["", "dt=%Y-%m-%d/color={colorName}", "{colorName}", "{colorName}=x", "colorName"])
def test_other_folders_hide_no_column(folders: str) -> None:
    assert warnings(format="parquet", folders=folders) == []


def test_a_format_without_columns_has_none_to_hide() -> None:
    assert warnings(format="gzip", folders="colorName={colorName}") == []


def conflicts(**others: dict[str, Any]) -> list[str]:
    """What is told of an HDFS sink that stores t in /data/t of HDFS a, beside others."""
    nodes = {"default": "http://a:9870", "again": "http://b:9870;http://A:9870/", "far": "http://c:9870"}
    with override_settings(
        SINKS={"first": HDFS, **{name: {**HDFS, **entry} for name, entry in others.items()}},
        HDFS={name: {"url": url} for name, url in nodes.items()},
        KAFKA={name: {"bootstrap.servers": name} for name in ("default", "elsewhere")},
    ):
        return [message.msg for message in check_sinks()]


@pytest.mark.parametrize("change", [{}, {"kafka": "elsewhere"}, {"target": {"path": "/data/t", "cluster": "again"}}])
def test_one_topic_is_stored_in_a_path_once(change: dict[str, Any]) -> None:
    assert conflicts(second=change) == [
        "SINKS['first'] and SINKS['second'] both store t in target.path /data/t: their files would have the same names"
    ]


@pytest.mark.parametrize("path", ["/data/t/x", "/data/t/_sink/first", "/data"])
@pytest.mark.parametrize("topic", ["t", "u"])
def test_no_path_lies_in_that_of_another_sink(path: str, topic: str) -> None:
    (told,) = conflicts(second={"topics": [topic], "target": {"path": path, "cluster": "again"}})
    assert told.startswith("target.path ")
    assert "SINKS['first']" in told
    assert "SINKS['second']" in told


def test_a_path_may_hold_several_topics_and_be_used_on_several_hdfs() -> None:
    topics = {"topics": ["u"]}
    neighbour = {"target": {"path": "/data/t2"}}
    far = {"target": {"path": "/data/t", "cluster": "far"}}
    assert conflicts(topics=topics, neighbour=neighbour, far=far) == []


def test_indices_that_are_in_each_others_way_are_named() -> None:
    entries = {
        "keys": {**INDEX, "target": {"index": "t", "id": "key"}},
        "same": {**INDEX, "topics": ["u"]},
        "days": {**INDEX, "topics": ["v"], "target": {"index": "t-%Y"}},
        "elsewhere": {**INDEX, "topics": ["w"], "target": {"index": "t", "cluster": "other"}},
    }
    clusters = {"default": {"hosts": ["http://a"]}, "other": {"hosts": ["http://b"]}}
    with override_settings(SINKS=entries, ELASTICSEARCH_DSL=clusters):
        messages = [message.msg for message in check_sinks()]
    assert messages == [
        "SINKS['keys'] stores in t by key, so SINKS['same'] needs another index",
        "the alias t of SINKS['days'] is the index of SINKS['keys']",
        "the alias t of SINKS['days'] is the index of SINKS['same']",
    ]


def test_an_elasticsearch_sink_has_options_of_its_own_kind_unless_given() -> None:
    with override_settings(SINKS={"a": INDEX, "b": {**INDEX, "options": {"flush_records": 7}}}):
        a, b = (sinks()[name].options for name in "ab")
    assert (a.flush_records, a.flush_seconds, a.buffer_bytes) == (2000, 1.0, 64 * 1024 * 1024)
    assert (b.flush_records, b.flush_seconds) == (7, 1.0)


def test_a_command_refuses_an_entry_that_is_not_there_or_not_its_kind() -> None:
    with pytest.raises(CommandError, match="SINKS has no hdfs sink 'elasticsearch'; it has hdfs"):
        call_command("run_hdfs_sink", sink="elasticsearch")
    with pytest.raises(CommandError, match="SINKS has no elasticsearch sink 'nobody'"):
        call_command("run_es_sink", sink="nobody")


def test_an_unknown_cluster_or_librdkafka_option_is_named() -> None:
    with (
        override_settings(SINKS={"hdfs": {**HDFS, "kafka": "elsewhere"}}),
        pytest.raises(CommandError, match="KAFKA has no cluster 'elsewhere'"),
    ):
        call_command("run_hdfs_sink")
    sinks.cache_clear()
    with (
        override_settings(SINKS={"hdfs": {**HDFS, "consumer": {"no.such.option": 1}}}),
        pytest.raises(CommandError, match=r"no\.such\.option"),
    ):
        call_command("run_hdfs_sink")
