"""What repeats itself is told once an interval, with how often."""

import logging

import pytest
from confluent_kafka import KafkaError

from kafka_client.log import REPEAT_SECONDS, Outage, Repeats, client_logger, repeating_logger

CACHE = "METADATAUPDATE [rdkafka#consumer-%d] [thrd:main]: Partition clicks(%s)[%d]: not found in cache"
IDS = ("AYTrhBEBQKu3dXGyzpvrqQ", "b3x9-_2zR0uNfZ0pK1Q8wA")


class Log:
    """A logger with the filter; `now` is set by the test, `lines` is what came through."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self.logger = logging.Logger("test")
        self.logger.addFilter(Repeats(clock=lambda: self.now))
        handler = logging.Handler()
        handler.emit = lambda record: self.lines.append(record.getMessage())  # type: ignore[method-assign]
        self.logger.addHandler(handler)


@pytest.fixture
def log() -> Log:
    return Log()


def test_lines_of_one_cause_are_told_once_and_then_counted_once_an_interval(log: Log) -> None:
    for number in range(300):
        log.logger.warning(CACHE, number % 4, IDS[number % 2], number % 3)
        log.now += 0.01
    assert log.lines == [CACHE % (0, IDS[0], 0)]
    log.now = REPEAT_SECONDS
    log.logger.warning(CACHE, 1, IDS[1], 2)
    assert log.lines[1:] == [CACHE % (1, IDS[1], 2) + " (repeated 299 times)"]
    log.now = 3 * REPEAT_SECONDS
    log.logger.warning(CACHE, 1, IDS[1], 2)
    assert log.lines[2:] == [CACHE % (1, IDS[1], 2)]


def test_lines_of_different_causes_keep_each_other_from_nothing(log: Log) -> None:
    log.logger.warning("topic %s can't be read", "a")
    log.logger.warning("topic %s can't be read", "b")
    log.logger.error("topic %s can't be read", "b")
    for error in (ValueError("7 of 8"), ValueError("9 of 10"), KeyError("7 of 8")):
        log.logger.error("it failed", exc_info=error)
    assert len(log.lines) == 5


def test_who_debugs_reads_every_line(log: Log) -> None:
    for _ in range(3):
        log.logger.debug("[thrd:main]: Requesting metadata")
    assert len(log.lines) == 3


def test_what_is_remembered_is_bounded(log: Log) -> None:
    for number in range(10_000):
        log.logger.warning("".join(chr(ord("a") + int(digit)) for digit in str(number)))
    (repeats,) = log.logger.filters
    assert isinstance(repeats, Repeats)
    assert len(repeats._told) <= 1000


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A logger of the test's own."""
    return f"test.{request.node.name}"


def test_what_kafkas_clients_say_is_counted_for_all_clients_of_a_process_together(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(100):
        client_logger(name).warning(CACHE, number, IDS[0], number % 3)
        client_logger(name).error("FAIL [rdkafka#producer-%d]: refused", number)
    assert len(caplog.messages) == 1


def test_errors_of_a_client_that_come_with_each_try_are_counted(name: str, caplog: pytest.LogCaptureFixture) -> None:
    outages = [Outage(logging.getLogger(name), "the test waits") for _ in range(2)]
    for _ in range(50):
        for outage in outages:
            outage.note(KafkaError(KafkaError._AUTHENTICATION, "wrong password"))
    assert len(caplog.messages) == 1
    assert "wrong password" in caplog.messages[0]


def test_what_a_module_says_beside_its_loops_is_told_each_time(name: str, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        logging.getLogger(name).error("event %d is lost", number)
        repeating_logger(name).error("the disk can't be read (%d)", number)
    assert len(caplog.messages) == 4
