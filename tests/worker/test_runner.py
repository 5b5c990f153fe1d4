"""How a sink's process ends."""

import threading
import time
from typing import Any

import pytest

from worker.errors import Fatal
from worker.runner import Runner


class Task:
    """Does what it is told instead of running."""

    name = "sink/0"

    def __init__(self, action: Any) -> None:
        self.run = action


def raising(error: Any) -> Any:
    def run(stop: threading.Event) -> None:
        raise error

    return run


def run(*actions: Any, stop_seconds: float = 10) -> int:
    return Runner("sink", [Task(action) for action in actions], stop_seconds=stop_seconds, stopping="stops").run()


@pytest.mark.parametrize("error", [Fatal("no"), ValueError("bug")])
def test_a_task_that_can_not_go_on_stops_the_others_and_the_exit_code_is_1(error: BaseException) -> None:
    stopped = threading.Event()

    def other(stop: threading.Event) -> None:
        stop.wait(10)
        stopped.set()

    assert run(raising(error), other) == 1
    assert stopped.is_set()


def test_a_task_that_hangs_does_not_hold_the_process() -> None:
    begin = time.monotonic()
    assert run(lambda stop: time.sleep(60), raising(Fatal("no")), stop_seconds=0.3) == 1
    assert time.monotonic() - begin < 10
