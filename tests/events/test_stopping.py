"""A process that is told to end notices it, and its web server does, too."""

import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from devstack.stack import Stack
from tests.events.web import Web, spooled_bytes, status_of
from tests.support import Process, end_offsets, kafka_paused, wait_until

SERVER = """
import signal, threading
from events.stopping import when_told_to_end
told, handled = threading.Event(), threading.Event()
when_told_to_end(lambda: (print("told"), told.set()))
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: handled.set())
signal.signal(signal.SIGUSR1, lambda *_: print("another signal"))
print("ready")
handled.wait() and told.wait()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_is_told_of_the_signal_and_the_servers_own_handler_is_called(number: signal.Signals) -> None:
    process = Process([sys.executable, "-c", SERVER], {})
    process.wait_for("ready")
    process.signal(signal.SIGUSR1)
    process.wait_for("another signal")
    assert "told" not in process.text
    process.signal(number)
    assert process.wait() == 0


FORKING = """
import multiprocessing, signal, threading
from events.stopping import when_told_to_end
told = threading.Event()
when_told_to_end(lambda: (print("told"), told.set()))
signal.signal(signal.SIGTERM, lambda *_: None)
child = multiprocessing.get_context("fork").Process(target=signal.raise_signal, args=(signal.SIGTERM,))
child.start()
child.join()
print("ended", child.exitcode)
told.wait()
"""


def test_a_signal_of_a_forked_child_is_not_its_parents() -> None:
    process = Process([sys.executable, "-c", FORKING], {})
    process.wait_for("ended 0")
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    assert process.output == ["ended 0", "told"]


STUCK = b"\r\n".join(
    (
        b"POST /api/events HTTP/1.1",
        b"Host: localhost",
        b"Content-Type: application/json",
        b"Content-Length: 500",
        b"",
        b"[{",
    )
)
"""A request whose body does not come to its end."""


@pytest.mark.integration
def test_a_server_that_is_killed_because_a_request_hangs_has_put_what_a_hanging_kafka_may_lack_into_the_spool(
    stack: Stack, topic: str, web: Callable[..., Web], tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    variables = {"EVENTS_SPOOL_PATH": str(spool), "EVENTS_KAFKA_AWAY_SECONDS": "1", "EVENTS_FLUSH_SECONDS": "1"}
    server = web("--workers-kill-timeout", "6", workers=1, **variables)
    url = f"{server.url}/api/select?color=red&user=Ada"
    assert status_of(url) == 202
    wait_until(lambda: sum(end_offsets(stack, topic)) == 1)
    with kafka_paused(stack), socket.create_connection(("127.0.0.1", server.port)) as hangs:
        hangs.sendall(STUCK)
        for _ in range(20):
            assert status_of(url) == 202
        server.process.stop()
        assert "Killing worker" in server.process.text
        assert spooled_bytes(spool) > 0, server.process.text
    server.start()
    wait_until(lambda: spooled_bytes(spool) == 0 and sum(end_offsets(stack, topic)) >= 21, what="all events")
    assert server.process.stop() == 0
