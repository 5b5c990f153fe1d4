"""GET /api/select under a real load generator, through both doors, each against the same server's own speed."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from bench.browsers import browsers
from bench.records import make_topic
from bench.report import Figure, Report
from devstack.stack import Stack

WORKERS = 2
CONNECTIONS = 64
QUERY = "/api/select?color=blue&user=%EA%B9%80%ED%95%98%EB%8A%98"
WARM_UP_SECONDS = 15

HELLO = "bench.hello:application"
PLAIN = "bench.plain_collector:application"
BARE = "bench.bare:application"
SITE = "pipeline.wsgi:application"


@dataclass(frozen=True)
class Load:
    """What wrk saw: requests/s, latencies in milliseconds.

    rss: memory of the server's processes, in MiB; cpu: their time for a request, in microseconds, which other work on
    the machine changes less than the rates.
    """

    rate: float
    p50: float
    p99: float
    rss: float
    cpu: float

    def __str__(self) -> str:
        return f"p50 {self.p50:.1f} ms, p99 {self.p99:.1f} ms, CPU {self.cpu:.0f} us, RSS {self.rss:.0f} MiB"


def run(stack: Stack, report: Report, scale: float) -> None:
    """The servers run one after the other, three times, and the best of each counts.

    Before, Kafka gets events for a while: a broker that has just started takes five times the CPU for each.
    """
    check_wrk()
    seconds = max(2, int(8 * scale))
    topic = make_topic(stack)
    env = {"TEST_KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers, "EVENTS_TOPIC": topic}
    doors = {
        "hello": (HELLO, env),
        "plain": (PLAIN, env),
        "lane": (SITE, env),
        "bare": (BARE, env),
        "view": (SITE, {**env, "EVENTS_LANE": "false"}),
    }
    with serve(SITE, env) as server:
        put_load_on(server, max(2, int(WARM_UP_SECONDS * scale)))
    best: dict[str, Load] = {}
    for _ in range(3):
        for name, (application, variables) in doors.items():
            with serve(application, variables) as server:
                put_load_on(server, 1)
                load = put_load_on(server, seconds)
            if name not in best or load.rate > best[name].rate:
                best[name] = load
    for name, title, yardstick in (
        ("hello", "hello-world WSGI application", ""),
        ("plain", "the smallest collector", "hello"),
        ("lane", "GET /api/select, the lane", "hello"),
        ("lane", "the same", "plain"),
        ("bare", "bare Django view", ""),
        ("view", "GET /api/select, the DRF view", "bare"),
    ):
        compared = best[yardstick].rate if yardstick else 0.0
        report.add(Figure(title, best[name].rate, "requests/s", yardstick, compared, str(best[name])))
    _report_absence(stack, report, env, seconds)


def _report_absence(stack: Stack, report: Report, env: dict[str, str], seconds: int) -> None:
    """The lane with Kafka there, then stopped, on the same server."""
    with serve(SITE, env) as server:
        put_load_on(server, 1)
        there = put_load_on(server, seconds)
        stack.kafka[0].kill()
        try:
            put_load_on(server, 1)
            away = put_load_on(server, seconds)
        finally:
            stack.kafka[0].start()
            stack.kafka[0].wait_ready()
    detail = f"with Kafka: {there}; without: {away}; p99 {away.p99 / there.p99:.2f} x"
    report.add(Figure("the lane, Kafka stopped", away.rate, "requests/s", "Kafka there", there.rate, detail))


@dataclass(frozen=True)
class Server:
    """A running server. pid: of the process whose children answer."""

    url: str
    pid: int

    def rss(self) -> float:
        """The memory of its processes, in MiB."""
        return sum(each.memory_info().rss for each in self._processes()) / 2**20

    def cpu(self) -> float:
        """The CPU time that they have used, in seconds."""
        used = [each.cpu_times() for each in self._processes()]
        return sum(times.user + times.system for times in used)

    def _processes(self) -> list[psutil.Process]:
        process = psutil.Process(self.pid)
        return [process, *process.children()]


def granian(port: int) -> list[str]:
    """The command of the server that is in use, with as many threads as the README says."""
    options = ["--interface", "wsgi", "--workers", str(WORKERS), "--blocking-threads", "16", "--no-ws"]
    options += ["--log-level", "warning"]
    return [sys.executable, "-m", "granian", *options, "--host", "127.0.0.1", "--port", str(port)]


@contextmanager
def serve(application: str, env: dict[str, str], command: Callable[[int], list[str]] = granian) -> Iterator[Server]:
    """Runs a WSGI application until the end of the block. command: of the web server, by port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [*command(port), application],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "settings.test", **env},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(url + QUERY, timeout=5):
                    break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.1)
        yield Server(url, process.pid)
    finally:
        process.terminate()
        process.wait(60)


def check_wrk() -> None:
    """Says what is missing where there is no load generator."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk, the load generator, is missing (Debian: apt-get install wrk)")


def put_load_on(server: Server, seconds: int, *, pause_ms: int = 0) -> Load:
    """As much as the server answers, or with a pause between an answer and a connection's next request.

    Raises RuntimeError when an answer was not 2xx.
    """
    command = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s", "--latency"]
    before = server.cpu()
    with browsers(pause_ms) as script:
        command += ["--script", str(script), server.url]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in output:
        raise RuntimeError(output)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    p50, p99 = (re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)", output) for percent in (50, 99))
    requests = re.search(r"(\d+) requests in", output)
    assert rate and p50 and p99 and requests, output
    cpu = (server.cpu() - before) / int(requests[1]) * 1e6
    return Load(float(rate[1]), _milliseconds(*p50.groups()), _milliseconds(*p99.groups()), server.rss(), cpu)


def _milliseconds(number: str, unit: str) -> float:
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]
