"""Operating an Elasticsearch sink: indices by time, retention, routing, schema changes, verify_es, replay_dlq."""

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Producer
from django.core.management import CommandError, call_command
from django.test import override_settings
from elasticsearch import Elasticsearch

from devstack.stack import Stack
from sinks.dead_letters.log import letter_log
from sinks.dead_letters.replay import Replayer
from sinks.elasticsearch.actions import Versions
from sinks.elasticsearch.config import ElasticsearchTarget
from sinks.elasticsearch.documents import SelectColorDocument
from sinks.elasticsearch.setup import prepare
from sinks.log_reader import LogReader
from sinks.records import Partition, Record
from sinks.registry import sinks
from tests.sinks.counting import Documents
from tests.support import (
    Process,
    committed_count,
    end_offsets,
    event,
    hdfs_lines,
    make_topics,
    produce,
    read_topic,
    wait_until,
)
from worker.errors import Fatal

pytestmark = pytest.mark.integration

RunSink = Callable[..., Process]
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)


@pytest.fixture
def client(stack: Stack) -> Iterator[Elasticsearch]:
    client = Elasticsearch(stack.elasticsearch_url, request_timeout=30)
    yield client
    client.close()


def entry(topic: str, index: str, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "elasticsearch",
        "topics": [topic],
        "group": f"g-{topic}",
        "tasks": 1,
        "target": {"index": index, "replicas": 0, **changes.pop("target", {})},
        "options": {"flush_records": 100, "flush_seconds": 0.2},
        **changes,
    }


def set_up(client: Elasticsearch, entry: dict[str, Any]) -> None:
    """What setup_pipeline does for a sink."""
    target = {key: value for key, value in entry["target"].items() if key != "cluster"}
    prepare(client, ElasticsearchTarget(**target), event=entry.get("event", "select-color"))


def run_command(name: str, sink: dict[str, Any], **options: Any) -> int:
    """The exit code of a command that knows one sink, "under-test"."""
    sinks.cache_clear()
    with override_settings(SINKS={"under-test": sink}):
        try:
            call_command(name, sink="under-test", **options)
        except SystemExit as ended:
            return int(ended.code or 0)
        finally:
            sinks.cache_clear()
    return 0


def test_events_lie_in_the_index_of_their_own_day_and_readers_find_all_by_one_name(
    servers: Stack, topic: str, client: Elasticsearch, run_sink: RunSink, capsys: Any
) -> None:
    sink = entry(topic, f"{topic}-%Y.%m.%d")
    set_up(client, sink)
    days = ["2019-11-20T08:59:59.000+0900", "2019-11-20T09:00:00.000+0900", "2131-01-01T00:00:00.000Z"]
    values = [event(number, timestamp=days[number % 3]) for number in range(30)]
    produce(servers, topic, values, partition=0)
    run_sink(sink)
    wait_until(lambda: committed_count(servers, f"g-{topic}", topic) == 30, what="all committed")
    client.indices.refresh(index=topic)
    expected = {f"{topic}-2019.11.19", f"{topic}-2019.11.20", f"{topic}-2131.01.01"}
    assert {index: client.count(index=index)["count"] for index in expected} == dict.fromkeys(expected, 10)
    assert client.count(index=topic, query={"term": {"userName": "user-7"}})["count"] == 1  # the alias, the mapping
    assert set(client.indices.get(index=f"{topic}*")) == expected
    assert run_command("verify_es", sink) == 0
    # A second one elsewhere is a repeat.
    client.index(index=f"{topic}-2019.11.21", id=f"{topic}-0-7", document=json.loads(values[7]), refresh=True)
    assert run_command("verify_es", sink) == 1
    assert f"{topic}-0: repeat: offsets 7-7: {topic}-0-7 is in {topic}-2019.11.20, {topic}-2019.11.21" in (
        capsys.readouterr().out
    )
    # What retention has deleted is told apart from what is missing, also where its index was deleted by hand.
    client.indices.delete(index=f"{topic}-2019.11.20")
    assert run_command("verify_es", sink) == 1
    run_command("delete_old_indices", sink, days=7, delete=True)
    assert run_command("verify_es", sink) == 0
    assert "10 events and 0 dead letters and 20 deleted by retention; each is stored once" in capsys.readouterr().out
    client.delete(index=f"{topic}-2131.01.01", id=f"{topic}-0-2")
    assert run_command("verify_es", sink) == 1
    assert f"{topic}-0: gap: offsets 2-2" in capsys.readouterr().out


def test_a_time_may_be_a_number_and_what_is_none_is_stored_by_kafkas_time_and_told(
    servers: Stack, topic: str, client: Elasticsearch, run_sink: RunSink
) -> None:
    sink = entry(topic, f"{topic}-%Y.%m", target={"time": "ts"}, event="json")
    set_up(client, sink)
    milliseconds, seconds, text, bad = 1700000000000, 1711000000, "2024-05-06T07:08:09Z", "soon"
    values = [json.dumps({"ts": value}).encode() for value in (milliseconds, seconds, text, bad)]
    produce(servers, topic, values, partition=0)
    process = run_sink(sink)
    wait_until(lambda: committed_count(servers, f"g-{topic}", topic) == 4, what="all committed")
    assert process.stop() == 0
    now = f"{datetime.now(UTC):%Y.%m}"
    client.indices.refresh(index=topic)
    found = {hit["_index"]: hit["_source"]["ts"] for hit in client.search(index=topic)["hits"]["hits"]}
    assert found == {
        f"{topic}-2023.11": milliseconds,
        f"{topic}-2024.03": seconds,
        f"{topic}-2024.05": text,
        f"{topic}-{now}": bad,
    }
    assert "the field ts of 1 records is no time, as 'soon'" in process.text
    assert run_command("verify_es", sink) == 0
    in_2023 = {"range": {"ts": {"gte": "2023-11-01", "lt": "2023-12-01"}}}
    assert client.count(index=topic, query=in_2023)["count"] == 1
    # As setup_pipeline is run again, the indices keep what they have.
    set_up(client, sink)
    assert client.indices.get_mapping(index=f"{topic}-{now}")[f"{topic}-{now}"]["mappings"]["properties"]["ts"] == {
        "type": "date",
        "ignore_malformed": True,
    }


def test_an_index_whose_time_is_a_number_for_elasticsearch_is_kept_and_told(
    servers: Stack, topic: str, client: Elasticsearch
) -> None:
    client.index(index=topic, document={"ts": 1700000000000})
    target = ElasticsearchTarget(index=topic, time="ts")
    assert f"index {topic}: field ts is no date there, so the console can't search it by time" in prepare(
        client, target, event="json"
    )


def test_retention_deletes_whole_indices_that_are_old_and_no_others(
    servers: Stack, topic: str, client: Elasticsearch, capsys: Any
) -> None:
    sink = entry(topic, f"{topic}-%Y.%m.%d")
    set_up(client, sink)
    today = datetime.now(UTC)
    names = {age: f"{topic}-{today - timedelta(days=age):%Y.%m.%d}" for age in (0, 6, 7, 8, 400)}
    others = [f"{topic}-2020.01.01-kept", f"{topic}-2020.13.01", f"{topic}-other-2020.01.01"]
    for name in [*names.values(), *others]:
        client.indices.create(index=name)
    run_command("delete_old_indices", sink, days=7)
    out = capsys.readouterr().out
    assert [line.split(":")[0] for line in out.splitlines()] == [names[400], names[8]]
    assert "would be deleted" in out
    assert set(client.indices.get(index=f"{topic}*")) == {*names.values(), *others}
    run_command("delete_old_indices", sink, days=7, delete=True)
    assert set(client.indices.get(index=f"{topic}*")) == {names[0], names[6], names[7], *others}
    with pytest.raises(CommandError, match="one index for all time"):
        run_command("delete_old_indices", entry(topic, topic), days=7)


def test_a_new_field_is_searchable_in_old_and_new_indices_after_setup(
    servers: Stack, topic: str, client: Elasticsearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = entry(topic, f"{topic}-%Y")
    set_up(client, sink)
    client.index(index=f"{topic}-2025", id="1", document={"userName": "a"})
    mapping = SelectColorDocument._index.to_dict()
    mapping["mappings"]["properties"]["page"] = {"type": "keyword"}
    monkeypatch.setattr(SelectColorDocument._index, "to_dict", lambda: mapping)
    set_up(client, sink)
    for year in (2025, 2026):
        client.index(index=f"{topic}-{year}", id="2", document={"userName": "b", "page": "/a b"}, refresh=True)
    assert client.count(index=topic, query={"term": {"page": "/a b"}})["count"] == 2


def test_shards_that_differ_are_told_and_replicas_change(servers: Stack, topic: str, client: Elasticsearch) -> None:
    prepare(client, ElasticsearchTarget(index=topic, shards=1, replicas=0), event="select-color")
    *_, told = prepare(client, ElasticsearchTarget(index=topic, shards=2, replicas=1), event="select-color")
    assert told == (
        f"index {topic}: there already, mapping and settings up to date; it keeps its 1 shards where `shards` is 2"
    )
    settings = client.indices.get_settings(index=topic)[topic]["settings"]["index"]
    assert (settings["number_of_shards"], settings["number_of_replicas"]) == ("1", "1")


def test_an_index_with_another_mapping_is_named(servers: Stack, topic: str, client: Elasticsearch) -> None:
    client.indices.create(index=topic, mappings={"properties": {"colorName": {"type": "long"}}})
    with pytest.raises(Fatal, match=rf"the index {topic} has another mapping .* mapper \[colorName\] cannot be"):
        prepare(client, ElasticsearchTarget(index=topic, replicas=0), event="select-color")


def test_one_topic_to_two_indices_and_two_topics_to_one_by_entries_alone(
    servers: Stack, topic: str, client: Elasticsearch, run_sink: RunSink
) -> None:
    other = f"{topic}-other"
    make_topics(servers, other, f"{other}.dlq")
    both = entry(topic, f"both-{topic}", topics=[topic, other])
    alone = entry(topic, f"alone-{topic}", group=f"alone-{topic}")
    for sink in (both, alone):
        set_up(client, sink)
    produce(servers, topic, [event(number) for number in range(30)])
    produce(servers, other, [event(number) for number in range(30)])
    run_sink(both, name="both")
    run_sink(alone, name="alone")
    Documents(servers, f"alone-{topic}").wait_count(30)
    Documents(servers, f"both-{topic}").wait_count(60)
    expected = {f"{t}-{n % 3}-{n // 3}": json.loads(event(n)) for t in (topic, other) for n in range(30)}
    assert Documents(servers, f"both-{topic}").found() == expected
    assert Documents(servers, f"alone-{topic}").found() == {
        id: document for id, document in expected.items() if not id.startswith(other)
    }


def test_the_agent_behind_an_event_is_found_by_keyword_fields(
    servers: Stack, topic: str, client: Elasticsearch, run_sink: RunSink
) -> None:
    sink = entry(topic, topic, target={"user_agent_field": "userAgent"})
    set_up(client, sink)
    values = [event(0, userAgent=CHROME), event(1, userAgent="Googlebot/2.1 (+http://www.google.com/bot.html)")]
    produce(servers, topic, values, partition=0)
    run_sink(sink)
    Documents(servers, topic).wait_count(2)
    for query, offset in (
        ({"agent.browser": "Chrome"}, 0),
        ({"agent.os": "Windows"}, 0),
        ({"agent.bot": "false"}, 0),
        ({"agent.bot": "true"}, 1),
    ):
        (hit,) = client.search(index=topic, query={"term": query})["hits"]["hits"]
        assert hit["_id"] == f"{topic}-0-{offset}"
        stored = hit["_source"]
        stored.pop("agent")
        assert stored == json.loads(values[offset])
    wait_until(lambda: committed_count(servers, f"g-{topic}", topic) == 2, what="both committed")
    assert run_command("verify_es", sink) == 0


def test_verify_es_tells_a_whole_index_from_a_damaged_one(
    servers: Stack, topic: str, client: Elasticsearch, run_sink: RunSink, capsys: Any
) -> None:
    sink = entry(topic, topic)
    set_up(client, sink)
    client.indices.put_mapping(index=topic, properties={"extra": {"type": "integer"}})
    values = [b"no json", event(1, extra="no number"), *(event(number) for number in range(2, 40))]
    produce(servers, topic, values, partition=0)
    run_sink(sink)
    wait_until(lambda: committed_count(servers, f"g-{topic}", topic) == 40, what="all committed")
    assert run_command("verify_es", sink) == 0
    assert "offsets 0 to 40 (excluded): 38 events and 2 dead letters; each is stored once" in capsys.readouterr().out
    for offset in (5, 6, 7, 20):
        client.delete(index=topic, id=f"{topic}-0-{offset}")
    client.index(index=topic, id=f"{topic}-0-30", document={"userName": "somebody else"})
    assert run_command("verify_es", sink) == 1
    out = capsys.readouterr().out
    assert f"{topic}-0: gap: offsets 5-7: 3 records are in no document" in out
    assert f"{topic}-0: gap: offsets 20-20" in out
    assert f"{topic}-0: difference: offsets 30-30" in out
    assert "3 findings" in out
    assert run_command("verify_es", sink, first=8, last=19, partition=0) == 0


def test_the_newest_record_of_an_id_stays_and_verify_es_sees_an_older_one(
    servers: Stack, topic: str, client: Elasticsearch, run_sink: RunSink, capsys: Any
) -> None:
    """The index has documents from before there were versions by time."""
    sink = entry(topic, topic, target={"id": "header:id"})
    set_up(client, sink)
    for _ in range(5):
        client.index(index=topic, id="a", document={"userName": "from before"})
    client.index(index=topic, id="c", document={"userName": "from before"})
    now = int(time.time() * 1000)
    producer = Producer({"bootstrap.servers": servers.bootstrap_servers})
    # In partition 1 the newer record of b has the lower offset, and c is what the index has already.
    for number, (id, partition, age) in enumerate([("a", 0, 60), ("b", 0, 50), ("a", 0, 40), ("b", 1, 30)]):
        producer.produce(topic, event(number), partition=partition, headers=[("id", id)], timestamp=now - 1000 * age)
    assert producer.flush(30) == 0
    process = run_sink(sink)
    wait_until(lambda: committed_count(servers, f"g-{topic}", topic) == 4, what="all committed")
    assert process.stop() == 0
    expected = {"a": json.loads(event(2)), "b": json.loads(event(3)), "c": {"userName": "from before"}}
    assert Documents(servers, topic).found() == expected
    assert run_command("verify_es", sink) == 0
    older = Versions(Partition(topic, 0)).of(Record(0, event(0), now - 60_000))
    client.indices.delete(index=topic)
    set_up(client, sink)
    client.index(index=topic, id="a", document=json.loads(event(0)), version=older, version_type="external")
    client.index(index=topic, id="b", document=json.loads(event(3)))
    capsys.readouterr()
    assert run_command("verify_es", sink) == 1
    out = capsys.readouterr().out
    assert f"{topic}-0: difference: offsets 2-2: a is older than what Kafka has" in out
    assert out.count("difference") == 1


def test_dead_letters_are_replayed_into_the_index_once_its_mapping_takes_them(
    servers: Stack, topic: str, client: Elasticsearch, run_sink: RunSink, capsys: Any
) -> None:
    sink = entry(topic, topic)
    set_up(client, sink)
    client.indices.put_mapping(index=topic, properties={"extra": {"type": "integer"}})
    values = [event(0), event(1, extra="no number"), b"no json", event(3, extra="again none")]
    produce(servers, topic, values, partition=0)
    process = run_sink(sink)
    wait_until(lambda: committed_count(servers, f"g-{topic}", topic) == 4, what="all committed")
    assert process.stop() == 0
    # The mapping is put right.
    client.indices.delete(index=topic)
    set_up(client, sink)
    assert run_command("replay_dlq", sink, to="sink", dry_run=True, reason="failed to parse field") == 0
    out = capsys.readouterr().out
    assert f"{topic}: 2 x Elasticsearch: document_parsing_exception" in out
    assert "dry run: 2 dead letters would be replayed, 0 left" in out
    assert Documents(servers, topic).count() == 0
    assert run_command("replay_dlq", sink, to="sink") == 1
    out = capsys.readouterr().out
    assert f"{topic}-0 offset 2 is still refused: JSON is malformed" in out
    assert "2 dead letters replayed, 1 left" in out
    expected = {f"{topic}-0-{offset}": json.loads(values[offset]) for offset in (1, 3)}
    assert Documents(servers, topic).found() == expected
    run_command("replay_dlq", sink, to="sink")
    assert "0 dead letters replayed, 1 left" in capsys.readouterr().out


def test_verify_es_counts_what_was_a_dead_letter_whatever_became_of_it(
    servers: Stack, topic: str, client: Elasticsearch, run_sink: RunSink, capsys: Any
) -> None:
    sink = entry(topic, topic)
    set_up(client, sink)
    client.indices.put_mapping(index=topic, properties={"extra": {"type": "integer"}})
    produce(servers, topic, [event(0), *(event(number, extra="no number") for number in (1, 2, 3))], partition=0)
    assert run_command("verify_es", sink) == 1, "nothing was committed"
    run_sink(sink)
    wait_until(lambda: committed_count(servers, f"g-{topic}", topic) == 4, what="all committed")
    assert run_command("replay_dlq", sink, limit=1) == 0
    wait_until(lambda: committed_count(servers, f"g-{topic}", topic) == 5, what="the one replayed, refused again")
    with override_settings(SINKS={"under-test": sink}):
        reader = LogReader({"bootstrap.servers": servers.bootstrap_servers}, group=f"g-{topic}")
        *waiting, again = letter_log(sinks()["under-test"], reader)
        assert [letter.origin for letter in waiting] == [(Partition(topic, 0), 2), (Partition(topic, 0), 3)]
        assert json.loads(again.record.value or b"")["userName"] == "user-1"
        replayer = Replayer({"bootstrap.servers": servers.bootstrap_servers}, sink="under-test")
        replayer.begin()
        replayer.replay(waiting[:1], to="nowhere")
        assert [letter.origin for letter in letter_log(sinks()["under-test"], reader)] == [
            waiting[1].origin,
            again.origin,
        ]
        reader.close()
    assert run_command("verify_es", sink) == 0
    told = capsys.readouterr().out
    assert f"{topic}-0: nothing was committed, end 4, lag 4 offsets; nothing to verify" in told
    assert sum(map(int, re.findall(r"(\d+) events", told))) == 1
    assert sum(map(int, re.findall(r"(\d+) dead letters; each is stored once", told))) == 4


def test_a_replay_never_replaces_a_newer_record_of_a_key_or_brings_a_deleted_one_back(
    servers: Stack, topic: str, client: Elasticsearch, run_sink: RunSink, capsys: Any
) -> None:
    sink = entry(topic, topic, target={"id": "key", "tombstones": "delete"})
    set_up(client, sink)
    client.indices.put_mapping(index=topic, properties={"extra": {"type": "integer"}})
    records = [("newer", b"bad"), ("newer", event(1)), ("deleted", event(2)), ("deleted", b"bad"), ("deleted", None)]
    records += [("newest", event(5)), ("newest", b"bad")]
    producer = Producer({"bootstrap.servers": servers.bootstrap_servers})
    for number, (key, value) in enumerate(records):
        producer.produce(topic, event(number, extra="no number") if value == b"bad" else value, key=key, partition=0)
    assert producer.flush(30) == 0
    process = run_sink(sink)
    wait_until(lambda: committed_count(servers, f"g-{topic}", topic) == 7, what="all committed")
    assert process.stop() == 0
    client.indices.put_mapping(index=topic, properties={"extra": {"type": "integer", "ignore_malformed": True}})
    client.indices.put_settings(index=topic, settings={"gc_deletes": "0s"})  # it has forgotten what was deleted
    assert run_command("replay_dlq", sink) == 1
    out = capsys.readouterr().out
    assert "3 left out: they have a key: as new records they would be the newest" in out
    assert "0 dead letters replayed, 3 left" in out
    assert run_command("replay_dlq", sink, to="sink") == 1
    out = capsys.readouterr().out
    assert "2 left out: they have a key, and Kafka has a newer record of it" in out
    assert "1 dead letters replayed, 2 left" in out
    newest = {"newer": json.loads(event(1)), "newest": json.loads(event(6, extra="no number"))}
    assert Documents(servers, topic).found() == newest
    assert run_command("verify_es", sink) == 0
    assert end_offsets(servers, topic) == [7, 0, 0]
    assert run_command("replay_dlq", sink, keyed=True) == 0
    assert [message.key() for message in read_topic(servers, topic, 9)].count(b"deleted") == 4


@pytest.mark.parametrize("to", ["topic", "sink"])
def test_a_letter_that_names_a_topic_which_the_sink_does_not_read_is_left_alone(
    servers: Stack, topic: str, client: Elasticsearch, capsys: Any, to: str
) -> None:
    """Whoever may write to the dead-letter topic could have written it."""
    sink = entry(topic, topic, target={"id": "key"})
    set_up(client, sink)
    make_topics(servers, foreign := f"{topic}.other")
    producer = Producer({"bootstrap.servers": servers.bootstrap_servers})
    for where, key in ((foreign, "key"), (topic, None)):
        headers = {"dlq.sink": "under-test", "dlq.reason": "bad", "dlq.topic": where, "dlq.partition": "0"}
        headers |= {"dlq.offset": "0", "dlq.timestamp": "1763000000000"}
        producer.produce(f"{topic}.dlq", event(0), key=key, headers=list(headers.items()))
    assert producer.flush(30) == 0
    assert run_command("replay_dlq", sink, to=to) == 1
    out = capsys.readouterr().out
    assert "1 left out: they are said to come from topics that the sink does not read" in out
    assert sum(end_offsets(servers, foreign)) == 0


def test_nothing_is_replayed_while_a_transaction_hides_what_was_noted(servers: Stack, topic: str) -> None:
    """Of another sink, perhaps, with the same dead-letter topic."""
    sink = entry(topic, topic)
    producer = Producer({"bootstrap.servers": servers.bootstrap_servers, "transactional.id": f"other-{topic}"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(f"{topic}.dlq", b"x")
    producer.flush(30)
    with pytest.raises(CommandError, match="a transaction is still open at offset 0") as refused:
        run_command("replay_dlq", sink, dry_run=True)
    assert refused.value.returncode == 2
    producer.abort_transaction(30)
    assert run_command("replay_dlq", sink, dry_run=True) == 0


def test_dead_letters_go_back_to_their_topic_once(servers: Stack, topic: str, run_sink: RunSink, capsys: Any) -> None:
    """Of an HDFS sink; a second call, and one of a letter that the sink wrote twice, do nothing."""
    values = [b"bad 1", event(1), b"bad 2", None]
    produce(servers, topic, values, partition=0)
    sink = {
        "kind": "hdfs",
        "topics": [topic],
        "group": f"g-{topic}",
        "target": {"path": f"/t/{topic}"},
        "options": {"flush_seconds": 0.2},
    }
    process = run_sink(sink)
    wait_until(lambda: committed_count(servers, f"g-{topic}", topic) == 4, what="all committed")
    assert process.stop() == 0
    # As if it had died before it committed: the same letters again.
    process = run_sink({**sink, "group": f"again-{topic}", "target": {"path": f"/t/{topic}-again"}})
    read_topic(servers, f"{topic}.dlq", 6)
    assert process.stop() == 0
    with pytest.raises(CommandError, match="replay its dead letters --to topic"):
        run_command("replay_dlq", sink, to="sink")
    assert run_command("replay_dlq", sink, reason="malformed|no value", limit=2) == 0
    assert "2 dead letters replayed, 0 left" in capsys.readouterr().out
    run_command("replay_dlq", sink)
    assert "1 dead letters replayed, 0 left" in capsys.readouterr().out
    run_command("replay_dlq", sink)
    assert "0 dead letters replayed, 0 left" in capsys.readouterr().out
    assert sorted(m.value() or b"" for m in read_topic(servers, topic, 7)) == sorted(
        value or b"" for value in [*values, b"bad 1", b"bad 2", None]
    )
    assert hdfs_lines(servers, f"/t/{topic}") == [event(1)]
