"""The small parts of the Elasticsearch sink: index names, ids, bulk lines, what answers mean, enrichment."""

import json
from datetime import UTC, datetime
from typing import Any

import elastic_transport
import elasticsearch
import pytest

from events.schema import InvalidRecord
from sinks.elasticsearch.actions import MAX_ID_BYTES, Actions
from sinks.elasticsearch.client import check_server
from sinks.elasticsearch.config import ElasticsearchTarget
from sinks.elasticsearch.names import IndexNames
from sinks.elasticsearch.outcomes import Outcome, classified, outcome_of, reason_of
from sinks.elasticsearch.user_agents import AddingAgent
from sinks.records import Batch, Columns, Record, Run
from tests.sinks.fake_elasticsearch import PARTITION, FakeElasticsearch, api_error, partition_of, store
from tests.sinks.schedules import hasty_retry
from tests.support import event
from worker.errors import Fatal, Retriable

DAILY = IndexNames("select-color-%Y.%m.%d", time="timestamp")


def at(timestamp: object, kafka: int = 0) -> Record:
    return Record(7, json.dumps({"timestamp": timestamp}).encode(), kafka)


def lines(actions: Actions, record: Record) -> list[Any]:
    return [json.loads(line) for line in (actions.body(PARTITION, record) or b"").splitlines()]


@pytest.mark.parametrize(
    ("timestamp", "index"),
    [
        ("2026-11-20T10:15:30.123+0900", "select-color-2026.11.20"),
        ("2026-11-20T08:59:59.999+0900", "select-color-2026.11.19"),
        ("2026-11-20T08:59:59.999+09:00", "select-color-2026.11.19"),
        ("2026-11-20T05:29:00.000+0530", "select-color-2026.11.19"),
        ("2026-11-20T05:30:00.000+0530", "select-color-2026.11.20"),
        ("2026-11-20T23:59:59.1234567Z", "select-color-2026.11.20"),
        ("2026-12-31T23:00:00.000-0200", "select-color-2027.01.01"),
        ("no time", "select-color-1970.01.02"),
        (12, "select-color-1970.01.02"),
        (None, "select-color-1970.01.02"),
    ],
)
def test_the_index_is_that_of_the_events_own_time_in_utc(timestamp: object, index: str) -> None:
    assert DAILY.of(at(timestamp, kafka=86_400_000)) == index


def test_the_index_may_be_that_of_kafkas_time() -> None:
    hourly = IndexNames("i-%Y%m%d-%H", time="kafka")
    assert hourly.of(at("2026-11-20T10:15:30.123+0900", kafka=3_600_000)) == "i-19700101-01"


def test_a_name_tells_when_its_period_ends() -> None:
    assert DAILY.end("select-color-2026.12.31") == datetime(2027, 1, 1, tzinfo=UTC)
    assert IndexNames("m-%Y-%m", time="kafka").end("m-2028-02") == datetime(2028, 3, 1, tzinfo=UTC)
    assert IndexNames("y-%Y", time="kafka").end("y-2028") == datetime(2029, 1, 1, tzinfo=UTC)
    assert IndexNames("h-%Y.%m.%d.%H", time="kafka").end("h-2026.11.20.23") == datetime(2026, 11, 21, tzinfo=UTC)
    for other in (
        "select-color",
        "select-color-2026.13.01",
        "select-color-old-2026.12.31",
        "select-color-2026.12.31-1",
    ):
        assert DAILY.end(other) is None
    assert IndexNames("select-color", time="timestamp").end("select-color") is None


def test_two_patterns_never_have_one_template() -> None:
    patterns = ["a-%Y", "a-y", "a-%Y.%m", "a-y.m", "a-%Y.m", "a-%Ym", "a"]
    names = [IndexNames(pattern, time="kafka").template for pattern in patterns]
    assert len(set(names)) == len(patterns)
    assert all(name == name.lower() for name in names)


def test_a_bulk_holds_the_bytes_of_kafka_and_the_id_of_their_place() -> None:
    value = '{"userName": "김"}'.encode()
    body = Actions(IndexNames("i", time="timestamp")).body(PARTITION, Record(12, value, 0))
    assert body == b'{"index":{"_id":"select-color-2-12"}}\n' + value + b"\n"


def test_pretty_printed_json_is_one_line_and_says_the_same() -> None:
    value = b'{\n  "a": "x\\ny"\n}'
    _, document = lines(Actions(IndexNames("i", time="timestamp")), Record(1, value, 0))
    assert document == {"a": "x\ny"}


def test_ids_are_what_the_setting_says() -> None:
    names = IndexNames("i", time="timestamp")
    record = Record(5, b'{"order":"o-1","n":7,"none":null}', 0, key=b"k\xea\xb9\x80", headers=[("event-id", b'e"1')])
    expected = {
        "offset": "select-color-2-5",
        "key": "k김",
        "header:event-id": 'e"1',
        "header:missing": "select-color-2-5",
        "field:order": "o-1",
        "field:n": "7",
        "field:none": "select-color-2-5",
        "field:missing": "select-color-2-5",
    }
    for id, found in expected.items():
        actions = Actions(names, id=id)
        assert lines(actions, record)[0]["index"]["_id"] == found
        assert actions.document(PARTITION, record) == ("i", found)


def test_a_keyed_document_has_its_offset_as_version() -> None:
    action, _ = lines(Actions(IndexNames("i", time="timestamp"), id="key"), Record(5, b"{}", 0, key=b"k"))
    assert action == {"index": {"_index": "i", "_id": "k", "version": 5, "version_type": "external"}}


@pytest.mark.parametrize(
    ("id", "record", "reason"),
    [
        ("key", Record(1, b"{}", 0), "has no key"),
        ("key", Record(1, b"{}", 0, key=b"\xff"), "not UTF-8"),
        ("header:h", Record(1, b"{}", 0, headers=[("h", b"x" * (MAX_ID_BYTES + 1))]), "more than 512 bytes"),
    ],
)
def test_an_id_that_can_not_be_one_refuses_the_record_alone(id: str, record: Record, reason: str) -> None:
    with pytest.raises(InvalidRecord, match=reason):
        Actions(IndexNames("i", time="timestamp"), id=id).body(PARTITION, record)


def test_tombstones_are_left_out_or_delete() -> None:
    names = IndexNames("i", time="timestamp")
    tombstone = Record(9, None, 0, key=b"k")
    assert Actions(names, id="key").body(PARTITION, tombstone) is None
    assert lines(Actions(names, id="key", delete_tombstones=True), tombstone) == [
        {"delete": {"_index": "i", "_id": "k", "version": 9, "version_type": "external"}}
    ]


@pytest.mark.parametrize(
    ("target", "named"),
    [
        ({"index": "i-%d"}, "must have %Y"),
        ({"index": "i-%Y-%Y"}, "must have %Y"),
        ({"index": "%Y"}, "alias is needed"),
        ({"index": "i", "id": "colour"}, "id is 'colour'"),
        ({"index": "i", "id": "header:"}, "id is 'header:'"),
        ({"index": "i-%Y", "id": "key"}, "needs one index"),
        ({"index": "i", "tombstones": "delete"}, "needs id 'key'"),
    ],
)
def test_a_target_that_can_not_work_is_explained(target: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ElasticsearchTarget(**target).actions()


def test_readers_have_one_name() -> None:
    assert ElasticsearchTarget(index="select-color").readers == "select-color"
    assert ElasticsearchTarget(index="select-color-%Y.%m.%d").readers == "select-color"
    assert ElasticsearchTarget(index="select-color-%Y.%m.%d", alias="clicks").readers == "clicks"


@pytest.mark.parametrize(
    ("status", "reason", "outcome"),
    [
        (200, "", Outcome.DONE),
        (201, "", Outcome.DONE),
        (404, "", Outcome.DONE),
        (429, "es_rejected_execution_exception: full", Outcome.AGAIN),
        (429, "circuit_breaking_exception: Data too large", Outcome.AGAIN),
        (502, "", Outcome.AGAIN),
        (503, "unavailable_shards_exception: primary shard is not active", Outcome.AGAIN),
        (504, "", Outcome.AGAIN),
        (403, "cluster_block_exception: index [i] blocked by: [FORBIDDEN/8/index write (api)];", Outcome.AGAIN),
        (404, "index_not_found_exception: no such index [i]", Outcome.AGAIN),
        (400, "index_closed_exception: closed", Outcome.AGAIN),
        (
            400,
            "validation_exception: this cluster currently has [1000]/[1000] maximum normal shards open",
            Outcome.AGAIN,
        ),
        (400, "document_parsing_exception: failed to parse field [n]", Outcome.REFUSED),
        (400, "strict_dynamic_mapping_exception: introduction of [x] is not allowed", Outcome.REFUSED),
        (400, "illegal_argument_exception: Limit of total fields [1000] has been exceeded", Outcome.REFUSED),
        (413, "too large", Outcome.REFUSED),
        (400, "illegal_argument_exception: pipeline with id [p] does not exist", Outcome.FATAL),
        (401, "security_exception: unable to authenticate", Outcome.FATAL),
        (403, "security_exception: action is unauthorized", Outcome.FATAL),
        (409, "version_conflict_engine_exception: conflict", Outcome.FATAL),
        (418, "", Outcome.FATAL),
    ],
)
def test_each_answer_is_done_or_tried_again_or_a_dead_letter_or_stops_the_sink(
    status: int, reason: str, outcome: Outcome
) -> None:
    assert outcome_of(status, reason, versioned=False) is outcome


@pytest.mark.parametrize(
    "value",
    [
        "cluster_block_exception: x",
        "index_not_found_exception: x",
        "pipeline with id [a] does not exist",
        "maximum shards open",
    ],
)
def test_a_document_that_quotes_an_answer_is_a_dead_letter_all_the_same(value: str) -> None:
    error = {
        "type": "document_parsing_exception",
        "reason": f"failed to parse field [n] of type [long]. Preview of field's value: '{value}'",
        "caused_by": {"reason": f'For input string: "{value}"'},
    }
    assert outcome_of(400, reason_of(error), versioned=False) is Outcome.REFUSED


@pytest.mark.parametrize("number", ["1e999", "9" * 5000])
def test_a_number_that_python_can_not_hold_is_a_dead_letter(number: str) -> None:
    record = Record(0, b'{"n":%b,"timestamp":%b}' % ((number.encode(),) * 2), 0)
    for actions in (
        Actions(IndexNames("i", time="timestamp"), id="field:n"),
        Actions(IndexNames("i-%Y", time="timestamp")),
    ):
        with pytest.raises(InvalidRecord):
            actions.body(PARTITION, record)


def test_a_conflict_of_versions_means_that_a_newer_document_is_there() -> None:
    assert outcome_of(409, "version_conflict_engine_exception: conflict", versioned=True) is Outcome.DONE


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (elastic_transport.ConnectionTimeout("timed out"), Retriable),
        (elastic_transport.ConnectionError("refused"), Retriable),
        (elastic_transport.TlsError("EOF occurred in violation of protocol"), Retriable),
        (elastic_transport.TlsError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate"), Fatal),
        (elastic_transport.SerializationError("<html>"), Retriable),
        (api_error(503), Retriable),
        (api_error(429), Retriable),
        (api_error(403, {"error": {"type": "cluster_block_exception", "reason": "blocked"}}), Retriable),
        (api_error(401), Fatal),
        (api_error(403, {"error": {"type": "security_exception", "reason": "no"}}), Fatal),
        (api_error(400), Fatal),
    ],
)
def test_a_failed_request_is_tried_again_or_stops_the_sink(error: Exception, kind: type[Exception]) -> None:
    assert type(classified(error)) is kind  # type: ignore[arg-type]


def test_of_a_reason_that_quotes_the_document_the_beginning_is_kept() -> None:
    words, cause = "field [a] " + "x" * 600_000, {"reason": "y" * 600_000}
    reason = reason_of({"type": "document_parsing_exception", "reason": words, "caused_by": cause})
    assert reason.startswith("document_parsing_exception: field [a] xxx")
    assert "… (yyy" in reason
    assert len(reason) < 1_100


@pytest.mark.parametrize("poison", [0, 4, 9])
def test_a_poison_pill_is_rejected_and_the_others_are_stored_wherever_it_is(poison: int) -> None:
    client = FakeElasticsearch(
        lambda id, time: (400, "document_parsing_exception") if id.endswith(f"-{poison}") else (201, "")
    )
    values = [event(number) for number in range(10)]
    (rejected,) = store(client, values)
    assert (rejected.record.offset, rejected.reason) == (poison, "Elasticsearch: document_parsing_exception: why")
    assert client.documents == {
        f"select-color-2-{number}": json.loads(value) for number, value in enumerate(values) if number != poison
    }
    assert client.requests == [10, 10]  # the second asks which one it was


def test_only_what_was_refused_for_load_is_sent_again() -> None:
    client = FakeElasticsearch(
        lambda id, time: (429, "es_rejected_execution_exception") if time < 4 and id.endswith("1") else (201, "")
    )
    assert store(client, [event(number) for number in range(20)]) == []
    assert client.requests == [20, 20, 2, 2]
    assert len(client.documents) == 20


def test_a_kafka_time_that_is_no_date_is_the_records_fault() -> None:
    names = IndexNames("i-%Y", time="kafka")
    good, bad = Record(1, event(1), 1_790_000_000_000), Record(2, event(2), 10**17)
    assert names.of(good) == "i-2026"
    with pytest.raises(InvalidRecord, match="its Kafka time 100000000000000000 names no index"):
        names.of(bad)
    run = Run(Columns(range(2), [event(1), event(2)], [good.timestamp, bad.timestamp]))
    assert Actions(names).lines(PARTITION, run) is None


def test_batches_that_wait_go_together() -> None:
    client = FakeElasticsearch(lambda id, time: (201, ""))
    batches = []
    for number in range(3):
        batches.append(Batch(PARTITION, number, 0, opened_at=0.0))
        batches[-1].add(Columns([number], [event(number)], [0]), {})
    assert hasty_retry().run(partition_of(client).store(batches)) == []
    assert client.requests == [3]
    assert len(client.documents) == 3


def test_after_a_refusal_the_next_requests_ask_for_each_document_at_once() -> None:
    client = FakeElasticsearch(
        lambda id, time: (400, "document_parsing_exception") if id.endswith(("-0", "-7")) else (201, "")
    )
    values = [event(number) for number in range(9)]
    rejected = store(client, values[:3], values[3:6], values[6:])
    assert [each.record.offset for each in rejected] == [0, 7]
    assert client.requests == [3, 3, 3, 3]
    assert len(client.documents) == 7


def test_a_request_that_is_too_large_is_split_down_to_the_document_that_is() -> None:
    client = FakeElasticsearch(lambda id, time: (201, ""), most=2000)
    values = [event(number, userName="x" * 5000 if number == 13 else "y") for number in range(20)]
    (rejected,) = store(client, values)
    assert rejected.record.offset == 13
    assert "413" in rejected.reason
    assert len(client.documents) == 19


def test_how_much_a_proxy_takes_is_learned_and_more_is_tried_only_now_and_then() -> None:
    client = FakeElasticsearch(lambda id, time: (201, ""), most=2000)
    assert store(client, *([event(30 * batch + number) for number in range(30)] for batch in range(100))) == []
    assert len(client.documents) == 3000
    assert set(client.sent.values()) == {1}
    assert len(client.requests) > 200
    assert 2 <= len(client.too_large) <= 10


def test_one_document_that_was_too_large_does_not_make_requests_small_for_ever() -> None:
    client = FakeElasticsearch(lambda id, time: (201, ""))
    few = [[event(10 * batch + number) for number in range(10)] for batch in range(100)]
    (rejected,) = store(client, [event(0), event(1, userName="x" * 10_000), *few[0]], *few, *few)
    assert rejected.record.offset == 1
    assert client.requests[-50:] == [10] * 50


def test_what_can_not_be_told_stops_the_sink() -> None:
    with pytest.raises(Fatal, match=r"answers 418 for select-color-2 offset 0: odd: why"):
        store(FakeElasticsearch(lambda id, time: (418, "odd")), [event(0)])


def test_bulks_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.elasticsearch.bulk.BULK_BYTES", 1000)
    client = FakeElasticsearch(lambda id, time: (201, ""), most=1000)
    assert store(client, [event(number) for number in range(30)]) == []
    assert len(client.documents) == 30
    assert len(client.requests) > 4


class OtherServer:
    """A server whose nodes are of some versions, or one that refuses this client's requests."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.nodes = self

    def info(self, **_: Any) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return {"nodes": {str(number): {"version": version} for number, version in enumerate(self._answer)}}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (["9.5.3", "7.17.0"], "Elasticsearch is 7.17.0, but this client"),
        (["12.0.0"], "needs a server of version 9 or 10"),
        (api_error(400, {"error": {"type": "media_type_header_exception"}}), "Elasticsearch is older, but"),
        (api_error(404), "is not Elasticsearch"),
        (api_error(403), "answers 403"),
        (elasticsearch.UnsupportedProductError("no header", api_error(200).meta, None), "is not Elasticsearch"),
    ],
)
def test_a_server_that_this_client_can_not_speak_to_stops_the_sink(answer: Any, told: str) -> None:
    with pytest.raises(Fatal, match=told):
        check_server(OtherServer(answer))  # type: ignore[arg-type]


def test_a_server_of_this_or_the_next_version_is_taken_and_one_that_is_away_is_waited_for() -> None:
    check_server(OtherServer(["9.0.0", "10.1.0"]))  # type: ignore[arg-type]
    with pytest.raises(Retriable):
        check_server(OtherServer(elastic_transport.ConnectionError("refused")))  # type: ignore[arg-type]


CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/17.5 Mobile/15E148 Safari/604.1"
)
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


@pytest.mark.parametrize(
    ("user_agent", "agent"),
    [
        (CHROME, {"browser": "Chrome", "os": "Windows", "bot": False}),
        (IPHONE, {"browser": "Mobile Safari", "os": "iOS", "device": "iPhone", "bot": False}),
        (GOOGLEBOT, {"browser": "Googlebot", "bot": True}),
        ("?", {"bot": False}),
        ("", {"bot": False}),
    ],
)
def test_the_agent_is_added_behind_the_event_which_stays_as_it_was(user_agent: str, agent: dict[str, Any]) -> None:
    value = event(1, userAgent=user_agent)
    added = AddingAgent("userAgent")(value + b" \n")
    assert added.startswith(value[:-1])
    assert json.loads(added) == {**json.loads(value), "agent": agent}


@pytest.mark.parametrize(
    "value",
    [b"{}", b'{"userAgent":5}', b'{"userAgent":"x","agent":{"own":1}}', b'{"userAgent":"x","agent":null}'],
)
def test_nothing_is_added_where_there_is_no_user_agent_or_an_agent_already(value: bytes) -> None:
    assert AddingAgent("userAgent")(value) == value


def test_a_text_that_reads_agent_is_no_agent() -> None:
    added = AddingAgent("userAgent")(b'{"userAgent":"x","userName":"agent"}')
    assert json.loads(added)["agent"] == {"bot": False}


ODD_VALUES = [
    event(1),
    event(2, userName="박지훈"),
    event(3, timestamp="2026-11-20T23:59:59.999+0900"),
    event(4, timestamp="2026-01-01T00:00:00Z"),
    event(5, timestamp="soon"),
    b'{"userName":"no time, no agent"}',
    b'{"userAgent":7,"timestamp":8}',
    b'{"userAgent":"x","agent":{"browser":"its own"}}',
    b'{"userAgent":"' + b"x" * 600 + b'"} ',
    b'{"userName":"\\n",\r"userAgent":""}',
]


@pytest.mark.parametrize("index", ["events", "events-%Y.%m.%d", "events-%Y"])
@pytest.mark.parametrize("time", ["timestamp", "kafka"])
@pytest.mark.parametrize("enrich", [None, AddingAgent("userAgent")])
def test_lines_made_at_once_are_those_made_one_by_one(index: str, time: str, enrich: AddingAgent | None) -> None:
    actions = Actions(IndexNames(index, time=time), enrich=enrich)
    for values in (ODD_VALUES, ODD_VALUES[:6], ODD_VALUES[5:7]):
        offsets = [10 * number for number in range(len(values))]
        run = Run(Columns(offsets, values, [1_790_000_000_000 + 40_000_000 * number for number in offsets]))
        assert actions.lines(PARTITION, run) == b"".join(actions.body(PARTITION, record) or b"" for record in run)


def test_what_needs_a_look_at_each_record_is_not_made_at_once() -> None:
    by_offset = Actions(IndexNames("events-%Y", time="userName"), enrich=AddingAgent("userAgent"))
    several_lines = Run(Columns(range(2), [event(1), b'{\n"userName":"x"}'], [0, 0]))
    tombstone = Run(Columns(range(2), [event(1), None], [0, 0]))
    too_great = Run(Columns(range(2), [event(1), b'{"userName":' + b"9" * 5000 + b"}"], [0, 0]))
    for run in (several_lines, tombstone, too_great):
        assert by_offset.lines(PARTITION, run) is None
    by_key = Actions(IndexNames("events", time="timestamp"), id="key")
    assert by_key.lines(PARTITION, Run(Columns(range(1), [event(1)], [0], [b"k"]))) is None
