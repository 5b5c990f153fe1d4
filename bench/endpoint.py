"""GET /api/select under a real load generator, against a bare Django view on the same server."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from bench.records import make_topic
from bench.report import Figure, Report
from devstack.stack import Stack

WORKERS = 2
CONNECTIONS = 64
QUERY = "/api/select?color=blue&user=%EA%B9%80%ED%95%98%EB%8A%98"


def run(stack: Stack, report: Report, scale: float) -> None:
    """Both servers run one after the other, twice; the better of each counts."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk, the load generator, is missing (Debian: apt-get install wrk)")
    seconds = max(2, int(8 * scale))
    topic = make_topic(stack)
    env = {"TEST_KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers, "EVENTS_TOPIC": topic}
    best: dict[str, tuple[float, str]] = {}
    for _ in range(2):
        for application in ("bench.bare:application", "pipeline.wsgi:application"):
            with _server(application, env) as url:
                _load(url, 1)
                best[application] = max(best.get(application, (0.0, "")), _load(url, seconds))
    bare, _ = best["bench.bare:application"]
    rate, latency = best["pipeline.wsgi:application"]
    report.add(Figure("bare Django view", bare, "requests/s"))
    report.add(Figure("GET /api/select", rate, "requests/s", "a bare Django view", bare, latency))


@contextmanager
def _server(application: str, env: dict[str, str]) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--workers", str(WORKERS)]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port), "--no-ws", "--log-level", "warning", application],
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
        yield url
    finally:
        process.terminate()
        process.wait(60)


def _load(url: str, seconds: int) -> tuple[float, str]:
    """Requests/s and the latencies. Raises RuntimeError when an answer was not 2xx."""
    output = subprocess.run(
        [
            "wrk",
            "--threads",
            "1",
            "--connections",
            str(CONNECTIONS),
            "--duration",
            f"{seconds}s",
            "--latency",
            url + QUERY,
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if "Non-2xx" in output:
        raise RuntimeError(output)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    p50, p99 = re.search(r"50%\s+(\S+)", output), re.search(r"99%\s+(\S+)", output)
    assert rate and p50 and p99, output
    return float(rate[1]), f"p50 {p50[1]}, p99 {p99[1]}"
