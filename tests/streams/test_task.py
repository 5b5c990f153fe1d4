"""What a stream's process does about errors. No Kafka here."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from quixstreams.exceptions import PartitionAssignmentError
from quixstreams.models.topics.exceptions import TopicNotFoundError
from quixstreams.state.exceptions import StateRecoveryOffsetOutOfRange

from streams import engine
from streams.engine import StreamTask
from streams.registry import StreamEntry, stream_of
from streams.states import StreamStatus
from tests.support import wait_until
from worker.errors import Fatal


class Engine:
    """Stands for Quix Streams: each run does the next of `runs`; the last one lasts until it is stopped."""

    def __init__(self, *runs: Exception) -> None:
        self._runs = list(runs)
        self.running = threading.Event()
        self._stopped = threading.Event()

    def make(self, *_: Any) -> "Engine":
        return self

    def run(self) -> None:
        if self._runs:
            raise self._runs.pop(0)
        self.running.set()
        assert self._stopped.wait(10)

    def stop(self) -> None:
        self._stopped.set()


@pytest.fixture
def task_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Engine], tuple[StreamTask, StreamStatus]]:
    def make(fake: Engine) -> tuple[StreamTask, StreamStatus]:
        monkeypatch.setattr(engine, "_application", fake.make)
        entry = stream_of("s", {"type": "tests.streams.shouting.Shouting", "settings": {"read": "a", "to": "b"}})
        monkeypatch.setattr(type(entry.stream), "build", lambda *_: None)
        status = StreamStatus("s")
        return StreamTask(StreamEntry(entry.config, entry.stream), status, tmp_path), status

    return make


def away() -> Exception:
    return KafkaException(KafkaError(KafkaError._TRANSPORT))


def wrapped(error: Exception) -> Exception:
    found = PartitionAssignmentError("Error during partition assignment")
    found.__cause__ = error
    return found


@pytest.mark.parametrize("error", [away(), wrapped(away()), TopicNotFoundError("topic a is missing")])
def test_an_error_of_kafka_has_it_begin_again(task_on: Any, error: Exception) -> None:
    fake = Engine(error)
    task, status = task_on(fake)
    stop = threading.Event()
    thread = threading.Thread(target=task.run, args=(stop,))
    thread.start()
    assert fake.running.wait(10)
    assert (status.restarts, status.report().state) == (1, "running")
    assert status.report().errors[0].text
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_an_error_that_somebody_must_mend_ends_it_with_its_text(task_on: Any) -> None:
    task, status = task_on(Engine(StateRecoveryOffsetOutOfRange("offsets are gone")))
    with pytest.raises(Fatal, match="offsets are gone"):
        task.run(threading.Event())
    assert status.report().state == "failed"


def test_an_error_of_the_streams_own_code_ends_it(task_on: Any) -> None:
    task, status = task_on(Engine(ZeroDivisionError("in the stream")))
    with pytest.raises(ZeroDivisionError):
        task.run(threading.Event())
    assert (status.report().state, status.report().reason) == ("failed", "in the stream")


def test_a_stop_while_kafka_is_away_ends_it(task_on: Any) -> None:
    stop = threading.Event()
    task, status = task_on(Engine(*[away() for _ in range(1000)]))
    thread = threading.Thread(target=task.run, args=(stop,))
    thread.start()
    wait_until(lambda: status.restarts, what="the first error")
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
