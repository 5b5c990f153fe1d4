"""Web servers compared: a hello-world, the lane and the DRF view in each, by the same load."""

import sys

from bench.endpoint import HELLO, SITE, WORKERS, granian, put_load_on, serve
from bench.records import make_topic
from bench.report import Figure, Report
from devstack.stack import Stack

THREADS = 16


def gunicorn_sync(port: int) -> list[str]:
    """gunicorn, one request at a time and a new connection for each."""
    return _gunicorn(port, "--worker-class", "sync")


def gunicorn_gthread(port: int) -> list[str]:
    """gunicorn with threads, and connections that are kept."""
    return _gunicorn(port, "--worker-class", "gthread", "--threads", str(THREADS), "--keep-alive", "60")


SERVERS = {"granian": granian, "gunicorn, gthread": gunicorn_gthread, "gunicorn, sync": gunicorn_sync}


def run(stack: Stack, report: Report, scale: float) -> None:
    """Each application in each server; its yardstick is the same application in granian."""
    seconds = max(2, int(6 * scale))
    env = {"TEST_KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers, "EVENTS_TOPIC": make_topic(stack)}
    applications = {
        "hello-world": (HELLO, env),
        "the lane": (SITE, env),
        "the DRF view": (SITE, {**env, "EVENTS_LANE": "false"}),
    }
    for title, (application, variables) in applications.items():
        yardstick = 0.0
        for name, command in SERVERS.items():
            with serve(application, variables, command) as server:
                put_load_on(server, 1)
                load = put_load_on(server, seconds)
            compared = ("granian", yardstick) if yardstick else ("", 0.0)
            report.add(Figure(f"{title}, {name}", load.rate, "requests/s", *compared, detail=str(load)))
            yardstick = yardstick or load.rate


def _gunicorn(port: int, *options: str) -> list[str]:
    address = f"127.0.0.1:{port}"
    shared = ["--workers", str(WORKERS), "--bind", address, "--log-level", "warning"]
    return [sys.executable, "-m", "gunicorn", *shared, *options]
