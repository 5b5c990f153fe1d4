"""A topic that Kafka compacts: offsets are not records, and files keep what Kafka has removed since."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.test import override_settings

from devstack.stack import Stack
from tests.support import Process, committed_offsets, compact, make_compactable_topic, make_topics, wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def topic(stack: Stack) -> str:
    """A topic of one partition with 1,997 records of one key."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    make_topics(stack, f"{name}.dlq", partitions=1)
    make_compactable_topic(stack, name)
    return name


def stored(sink: Process, stack: Stack, topic: str) -> None:
    """Waits until the sink has committed the end, and stops it."""
    wait_until(lambda: committed_offsets(stack, f"{topic}-group", topic, 1) == [2_002], what="everything committed")
    assert sink.stop() == 0


@pytest.fixture(params=["hdfs", "elasticsearch"])
def entry(topic: str, index: str, request: Any) -> dict[str, Any]:
    """A sink of each kind."""
    targets = {"hdfs": {"path": f"/t/{topic}"}, "elasticsearch": {"index": index, "replicas": 0}}
    return {
        "kind": request.param,
        "topics": [topic],
        "group": f"{topic}-group",
        "target": targets[request.param],
        "options": {"flush_records": 500, "flush_seconds": 0.3},
    }


def verified(entry: dict[str, Any], capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code and output of `verify`."""
    with override_settings(SINKS={"under-test": entry}), pytest.raises(SystemExit) as ended:
        call_command("verify", "--sink", "under-test", *arguments)
    return int(ended.value.code or 0), capsys.readouterr().out


def test_what_was_stored_before_kafka_removed_it_is_no_difference(
    servers: Stack,
    topic: str,
    entry: dict[str, Any],
    run_sink: Callable[..., Process],
    capsys: pytest.CaptureFixture[str],
) -> None:
    sink = run_sink(entry)
    wait_until(lambda: committed_offsets(servers, f"{topic}-group", topic, 1) == [1_997], what="the first records")
    compact(servers, topic)
    stored(sink, servers, topic)
    code, told = verified(entry, capsys)
    assert code == 0, told
    assert f"{topic}-0: committed 2002, end 2002, lag 0 offsets; offsets 0 to 2002 (excluded): 6 events" in told
    assert "each is stored once" in told
    assert ("Kafka has removed 1996 more since" in told) == (entry["kind"] == "hdfs")


def test_a_sink_that_begins_after_the_compaction_stores_what_is_left(
    servers: Stack,
    topic: str,
    entry: dict[str, Any],
    run_sink: Callable[..., Process],
    capsys: pytest.CaptureFixture[str],
) -> None:
    compact(servers, topic)
    stored(run_sink(entry), servers, topic)
    code, told = verified(entry, capsys)
    assert (code, f"{topic}-0" in told, "6 events and 0 dead letters; each is stored once" in told) == (0, True, True)
    code, told = verified(entry, capsys, "--to", "1000")
    assert (code, "0 events and 0 dead letters" in told) == (0, True)


def test_a_rewind_says_that_what_kafka_has_removed_is_not_stored_again(
    servers: Stack, topic: str, run_sink: Callable[..., Process], capsys: pytest.CaptureFixture[str]
) -> None:
    entry = {"kind": "hdfs", "topics": [topic], "group": f"{topic}-group", "target": {"path": f"/t/{topic}"}}
    sink = run_sink({**entry, "options": {"flush_records": 500, "flush_seconds": 0.3}})
    wait_until(lambda: committed_offsets(servers, f"{topic}-group", topic, 1) == [1_997], what="the first records")
    assert sink.stop() == 0
    rewind = ["rewind", "--sink", "under-test", "--partition", f"{topic}-0", "--to", "0"]
    with override_settings(SINKS={"under-test": entry}):
        call_command(*rewind)
        assert "is compacted" not in capsys.readouterr().out
        compact(servers, topic)
        call_command(*rewind)
    assert f"{topic} is compacted: records of these files that Kafka has removed since" in capsys.readouterr().out
