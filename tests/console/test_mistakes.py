"""What is asked wrongly is the asker's own error: it breaks no page, and others go on reading."""

from collections.abc import Callable
from concurrent.futures import Future

import pytest
from confluent_kafka import KafkaError, KafkaException
from django.test import Client
from django.utils import translation

from pipeline.console.dead_letters import letters
from pipeline.console.payload import payload
from pipeline.console.practice import exercises
from pipeline.console.topics import browse, describe, views
from pipeline.errors import ServerAway, ServerError
from pipeline.kafka_reads import server_error
from sinks.dead_letters.log import StoredLetter
from sinks.records import Partition, Record
from sinks.registry import sinks
from worker.errors import Retriable

Operator = Callable[..., Client]
PRACTICE = "/admin/console/practice/read/"


@pytest.mark.parametrize(
    ("error", "is_away"),
    [
        (KafkaException(KafkaError(KafkaError._TIMED_OUT)), True),
        (KafkaException(KafkaError(KafkaError._TRANSPORT)), True),
        (KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN)), True),
        (TimeoutError(), True),
        (KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)), False),
        (KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION)), False),
        (KafkaException(KafkaError(KafkaError._INVALID_ARG)), False),
        (KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)), False),
    ],
)
def test_only_what_tells_of_the_cluster_is_remembered_of_it(error: Exception, is_away: bool) -> None:
    assert isinstance(server_error("default", error), ServerAway) == is_away


class _Refusing:
    """An AdminClient to which no topic is known."""

    def describe_configs(self, resources: list[object], request_timeout: float) -> dict[object, "Future[object]"]:
        future: Future[object] = Future()
        future.set_exception(KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)))
        return {resources[0]: future}


def test_the_settings_of_an_unknown_topic_are_not_there_and_the_cluster_is_asked_again(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(describe, "admin_client", lambda _config: _Refusing())
    client = operator()
    for _ in range(2):
        answer = client.get("/admin/console/topics/default/nosuch/settings/").json()
        assert answer == {"error": {"server": "", "text": "There is no topic of this name."}}


def test_times_before_1970_are_refused_before_kafka_is_asked(operator: Operator) -> None:
    answer = operator().get("/admin/console/topics/default/clicks/messages/?from=time&time=1960-01-01T00:00")
    assert answer.status_code == 400
    assert "before 1970" in answer.json()["error"]["text"]
    assert browse.parse_query({"from": "time", "time": "1970-01-02T00:00"}).time > 0


@pytest.fixture
def practice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exercises, "_offsets", lambda _cluster, _topic: ({0: 0, 1: 0}, {0: 9, 1: 9}))


@pytest.mark.usefixtures("practice")
def test_records_of_a_partition_that_is_not_there_are_not_waited_for(operator: Operator) -> None:
    answer = operator().get(PRACTICE, {"begun": "7:0", "reached": "7:5"})
    assert answer.json()["error"]["text"] == "This topic has no partition 7."


@pytest.mark.usefixtures("practice")
@pytest.mark.parametrize("place", [f"0:{2**63}", f"{2**31}:0", f"0:{10**25}"])
def test_numbers_that_kafka_has_no_room_for_are_no_cursor(operator: Operator, place: str) -> None:
    client = operator()
    assert client.get(PRACTICE, {"begun": place, "reached": "0:5"}).status_code == 400
    assert client.get(PRACTICE, {"begun": "0:0", "reached": place}).status_code == 400
    assert browse.read_cursor(f"{2**31 - 1}:{2**63 - 1}") == {2**31 - 1: 2**63 - 1}


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"kind": "text", "partition": "2147483648", "value": "a"}, "less than or equal to 2147483647"),
        ({"kind": "text", "partition": "3", "value": "a"}, "This topic has no partition 3."),
        ({"kind": "json", "value": "[" * 5000 + "]" * 5000}, "This is not JSON"),
    ],
)
def test_records_that_can_not_be_produced_are_told_in_the_form(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, record: dict[str, str], text: str
) -> None:
    monkeypatch.setattr(describe, "partition_numbers", lambda _cluster, _topic: [0])
    answer = operator("produce").post("/admin/console/topics/default/clicks/produce/", record)
    assert answer.status_code == 200
    assert text in answer.content.decode()


def test_headers_of_dead_letters_are_for_those_who_may_replay(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(describe, "partition_numbers", lambda _cluster, _topic: [0])
    monkeypatch.setattr(views, "produce", lambda *_args: (0, 7))
    address = "/admin/console/topics/default/clicks/produce/"
    record = {"kind": "text", "value": "a", "headers": "own: 1\n dlq.replayed: nowhere"}
    client = operator("produce")
    answer = client.post(address, record)
    assert "only those who may replay may write them" in answer.content.decode()
    assert operator("produce", "replay").post(address, record).status_code == 302
    assert client.post(address, {**record, "headers": "own: dlq."}).status_code == 302


def test_json_too_deep_to_be_indented_is_shown_as_text() -> None:
    deep = b"[" * 5000 + b"]" * 5000
    assert payload(deep, limit=len(deep)).kind == "text"


class _HalfAway:
    """A Replayer whose Kafka takes one transaction."""

    open = 0

    def __init__(self, *_args: object, **_options: object) -> None:
        self._left = 1
        _HalfAway.open += 1

    def close(self) -> None:
        _HalfAway.open -= 1

    def begin(self) -> None:
        pass

    def replay(self, _part: list[object], *, to: str) -> None:
        if not self._left:
            raise Retriable("Kafka: no broker")
        self._left -= 1


@pytest.fixture
def half_away(monkeypatch: pytest.MonkeyPatch) -> type[_HalfAway]:
    """What replays; there are 150 letters."""
    monkeypatch.setattr(letters, "Replayer", _HalfAway)
    monkeypatch.setattr(letters, "read_letters", lambda _sink: letters.Letters({}, is_complete=True))
    monkeypatch.setattr(letters, "chosen", lambda *_args, **_options: [_letter(n) for n in range(150)])
    return _HalfAway


def test_a_replay_that_fails_midway_tells_how_many_were_done(half_away: type[_HalfAway]) -> None:
    for _ in range(2):  # the first one leaves nothing behind
        with translation.override("en"), pytest.raises(ServerError, match=r"100 were done, then: Kafka: no broker"):
            letters.discard(sinks()["elasticsearch"], topic="", reason="", origins=None)
        assert half_away.open == 0


def test_a_process_makes_one_replay_at_a_time(half_away: type[_HalfAway]) -> None:
    config = sinks()["elasticsearch"]
    with letters._replaying(config), translation.override("en"):
        with pytest.raises(ServerError, match="being dealt with already"):
            letters.discard(config, topic="", reason="", origins=None)
        assert half_away.open == 1


def _letter(number: int) -> StoredLetter:
    return StoredLetter((Partition("clicks", 0), number), (), "", Record(number, b"", 0), is_whole=True)
