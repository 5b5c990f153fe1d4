"""The processes of a website share what they read. Here each LiveReads is a process; all reach the same folder."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.core.cache.backends.filebased import FileBasedCache
from django.test import override_settings

from pipeline import live, shared_answers
from pipeline.errors import ServerAway
from pipeline.live import LiveReads, Question
from pipeline.shared_answers import SharedAnswers

Process = Callable[[], LiveReads]


@pytest.fixture(autouse=True)
def _fresh_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FRESH_SECONDS", 1.0)


@pytest.fixture
def process(tmp_path: Path) -> Process:
    def start() -> LiveReads:
        return LiveReads(shared=SharedAnswers(partial(FileBasedCache, str(tmp_path / "answers"), {})))

    return start


class Kafka:
    """Counts its reads, and answers when it may."""

    def __init__(self) -> None:
        self.reads = 0
        self.is_asked = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def read(self) -> dict[str, Any]:
        self.reads += 1
        self.is_asked.set()
        assert self.may_answer.wait(10)
        return {"read": self.reads}

    def asked_by(self, process: LiveReads, key: str = "topics", wait_seconds: float = 10) -> Any:
        questions = {"panel": Question((key, "en"), "kafka", self.read)}
        return process.answers(questions, wait_seconds=wait_seconds)["panel"]


def test_what_one_process_has_read_is_the_answer_of_the_others(process: Process) -> None:
    kafka = Kafka()
    assert [kafka.asked_by(process()) for _ in range(4)] == [{"read": 1}] * 4
    assert kafka.asked_by(process(), "groups") == {"read": 2}


def test_a_process_waits_for_the_read_of_another_one(process: Process) -> None:
    kafka, processes = Kafka(), [process() for _ in range(3)]
    kafka.may_answer.clear()
    assert kafka.asked_by(processes[0], wait_seconds=0) is None
    assert kafka.is_asked.wait(10)
    assert [kafka.asked_by(other, wait_seconds=0.2) for other in processes[1:]] == [None, None]
    kafka.may_answer.set()
    assert [kafka.asked_by(one) for one in processes] == [{"read": 1}] * 3


def test_a_process_that_died_while_it_read_is_not_waited_for_long(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = Kafka()
    kafka.may_answer.clear()
    assert kafka.asked_by(process(), wait_seconds=0) is None
    assert kafka.is_asked.wait(10)
    monkeypatch.setattr(shared_answers, "BUSY_SECONDS", 0.2)
    other = Kafka()
    assert other.asked_by(process()) == {"read": 1}
    kafka.may_answer.set()


def test_an_action_of_an_operator_ends_what_was_read_before_in_all_processes(process: Process) -> None:
    kafka, first = Kafka(), process()
    assert kafka.asked_by(first) == {"read": 1}
    first.forget()
    assert kafka.asked_by(process()) == {"read": 2}
    assert kafka.asked_by(first) == {"read": 2}


def test_what_was_read_before_an_action_is_not_found_after_it_although_the_read_ended_later(tmp_path: Path) -> None:
    answers = SharedAnswers(partial(FileBasedCache, str(tmp_path), {}))
    reading = answers.find("topics")
    answers.forget()
    answers.give(reading.name, {"read": "before"}, seconds=10)
    assert answers.find("topics").answer is None


def test_an_answer_that_can_not_be_kept_is_not_waited_for(tmp_path: Path) -> None:
    answers = SharedAnswers(partial(FileBasedCache, str(tmp_path), {}))
    answers.give(answers.find("topics").name, {"no pickle": lambda: None}, seconds=10)
    begun = time.monotonic()
    assert answers.find("topics").answer is None
    assert time.monotonic() - begun < shared_answers.BUSY_SECONDS / 2


def test_an_error_is_shared_as_it_is(process: Process) -> None:
    def away() -> dict[str, Any]:
        return {"known": {"files": (None, ServerAway("Kafka", "no answer"))}}

    found = [process().answers({"panel": Question(1, "kafka", away)}, wait_seconds=10)["panel"] for _ in range(2)]
    errors = [answer["known"]["files"][1] for answer in found if answer]
    assert [(type(error), error.server, error.text) for error in errors] == [(ServerAway, "Kafka", "no answer")] * 2


def test_a_cache_that_fails_costs_reads_and_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "no folder").write_text("")
    kafka = Kafka()
    caplog.set_level(logging.WARNING)
    for number in (1, 2):
        broken = LiveReads(shared=SharedAnswers(partial(FileBasedCache, str(tmp_path / "no folder"), {})))
        assert kafka.asked_by(broken) == {"read": number}
    assert 'CACHES["console"] failed (' in caplog.text


def test_without_such_a_cache_each_process_reads_for_itself(tmp_path: Path) -> None:
    assert shared_answers.shared_answers() is None  # the settings of tests have none
    backend = "django.core.cache.backends.filebased.FileBasedCache"
    with override_settings(CACHES={"console": {"BACKEND": backend, "LOCATION": str(tmp_path)}}):
        assert shared_answers.shared_answers() is not None
