"""Reads for pages that poll: one for all who ask, none that holds who asks."""

import threading
from typing import Any

from pipeline import live
from pipeline.errors import ServerError
from pipeline.live import LiveReads, Question


class Server:
    """Answers when it is told to; counts its reads."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.reads = 0

    def read(self) -> dict[str, Any]:
        self.reads += 1
        assert self.may_answer.wait(10)
        return {"read": self.reads}


def test_who_asks_a_slow_server_gets_the_others_now_and_its_answer_later() -> None:
    slow, quick, reads = Server(), Server(), LiveReads()
    quick.may_answer.set()
    questions = {
        "slow": Question("slow", "elasticsearch", slow.read),
        "quick": Question("quick", "kafka", quick.read),
    }
    assert reads.answers(questions, wait_seconds=0.1) == {"slow": None, "quick": {"read": 1}}
    assert reads.answers(questions, wait_seconds=0.1)["slow"] is None
    slow.may_answer.set()
    assert reads.answers(questions, wait_seconds=10)["slow"] == {"read": 1}
    assert slow.reads == 1


def test_the_same_question_of_many_is_read_once(monkeypatch: Any) -> None:
    monkeypatch.setattr(live, "FRESH_SECONDS", 1.0)
    now = 100.0
    server, reads = Server(), LiveReads(clock=lambda: now)
    server.may_answer.set()
    question = {"panel": Question("key", "kafka", server.read)}
    assert [reads.answers(question, wait_seconds=10)["panel"] for _ in range(3)] == [{"read": 1}] * 3
    now += 1.5
    assert reads.answers(question, wait_seconds=10) == {"panel": {"read": 2}}


def test_an_answer_that_took_long_is_asked_for_less_often_and_an_error_is_not(monkeypatch: Any) -> None:
    monkeypatch.setattr(live, "MOST_FRESH_SECONDS", 15.0)
    now, seconds, asked = 100.0, 2.0, 0
    outcome: dict[str, Any] = {"some": "data"}

    def read() -> dict[str, Any]:
        nonlocal now, asked
        now, asked = now + seconds, asked + 1
        return outcome

    reads = LiveReads(clock=lambda: now)
    question = {"panel": Question("key", "elasticsearch", read)}
    for later, expected in ((0.0, 1), (5.9, 1), (0.2, 2)):  # read for 2 seconds, so fresh for 6
        now += later
        reads.answers(question, wait_seconds=10)
        assert asked == expected
    outcome = {"error": {}}
    for later, expected in ((6.1, 3), (0.1, 4)):
        now += later
        reads.answers(question, wait_seconds=10)
        assert asked == expected


def test_a_server_that_hangs_takes_no_more_than_its_own_threads() -> None:
    hanging, other, reads = Server(), Server(), LiveReads()
    other.may_answer.set()
    questions = {str(n): Question(n, "elasticsearch", hanging.read) for n in range(20)}
    reads.answers(questions, wait_seconds=0.1)
    assert hanging.reads == live.THREADS
    assert reads.answers({"other": Question("other", "kafka", other.read)}, wait_seconds=10)["other"] == {"read": 1}
    hanging.may_answer.set()


def test_an_error_is_an_answer() -> None:
    def refused() -> dict[str, Any]:
        raise ServerError("Kafka", "connection refused")

    def mistaken() -> dict[str, Any]:
        raise KeyError("oops")

    questions = {"away": Question(1, "kafka", refused), "mistake": Question(2, "kafka", mistaken)}
    answers: Any = LiveReads().answers(questions, wait_seconds=10)
    assert answers["away"] == {"error": {"server": "Kafka", "text": "connection refused"}}
    assert "KeyError" in answers["mistake"]["error"]["text"]


def test_who_may_have_the_answer_before_gets_it_while_the_next_one_is_late(monkeypatch: Any) -> None:
    monkeypatch.setattr(live, "FRESH_SECONDS", 1.0)
    monkeypatch.setattr(live, "MOST_FRESH_SECONDS", 15.0)
    now = 100.0
    server, reads = Server(), LiveReads(clock=lambda: now)
    question = {"panel": Question("key", "kafka", server.read)}
    assert reads.answers(question, wait_seconds=0.1, or_before=True) == {"panel": None}
    server.may_answer.set()
    assert reads.answers(question, wait_seconds=10, or_before=True) == {"panel": {"read": 1}}
    server.may_answer.clear()
    now += 5
    assert reads.answers(question, wait_seconds=0.1, or_before=True) == {"panel": {"read": 1}}
    assert reads.answers(question, wait_seconds=0.1) == {"panel": None}
    server.may_answer.set()
    assert reads.answers(question, wait_seconds=10, or_before=True) == {"panel": {"read": 2}}
    server.may_answer.clear()
    now += 16
    assert reads.answers(question, wait_seconds=0.1, or_before=True) == {"panel": None}, "that was too long ago"
    server.may_answer.set()


def test_what_was_read_before_a_change_is_not_given_after_it(monkeypatch: Any) -> None:
    monkeypatch.setattr(live, "FRESH_SECONDS", 1.0)
    server, reads = Server(), LiveReads()
    question = {"panel": Question("key", "kafka", server.read)}
    assert reads.answers(question, wait_seconds=0.1) == {"panel": None}
    reads.forget()
    server.may_answer.set()
    assert reads.answers(question, wait_seconds=10) == {"panel": {"read": 2}}


def test_an_answer_for_which_nobody_came_is_not_given_to_one_who_comes_much_later() -> None:
    now = 100.0
    server, reads = Server(), LiveReads(clock=lambda: now)
    question = Question("key", "kafka", server.read)
    assert reads.answers({"panel": question}, wait_seconds=0.01) == {"panel": None}  # its tab is closed then
    server.may_answer.set()
    reads._asked["key"].future.result(10)
    now += live.MOST_FRESH_SECONDS + 1
    assert reads.answers({"panel": question}, wait_seconds=10) == {"panel": {"read": 2}}


def test_the_answer_before_is_not_given_when_it_has_become_old_while_the_server_is_asked(monkeypatch: Any) -> None:
    monkeypatch.setattr(live, "MOST_FRESH_SECONDS", 15.0)
    now = 100.0
    server, reads = Server(), LiveReads(clock=lambda: now)
    server.may_answer.set()
    question = {"panel": Question("key", "kafka", server.read)}
    reads.answers(question, wait_seconds=10)
    server.may_answer.clear()
    now += 14
    assert reads.answers(question, wait_seconds=0.01, or_before=True) == {"panel": {"read": 1}}
    now += 2
    assert reads.answers(question, wait_seconds=0.01, or_before=True) == {"panel": None}
    server.may_answer.set()
