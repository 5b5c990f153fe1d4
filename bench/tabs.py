"""The lane while Kafka, HDFS and Elasticsearch hang: with the console open in ten tabs, against the console closed."""

import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests

from bench.endpoint import SITE, Load, Server, check_wrk, put_load_on, serve
from bench.report import Figure, Report
from devstack.hanging import HangingServer
from devstack.stack import Stack

ROUNDS = 12
SETTLE_SECONDS = 2
"""Until tabs that are opened wait for the servers, and nobody does any more after they are closed."""

LOADS = {"all that it answers": 0, "a pause of 20 ms": 20}
"""Between an answer and the next request of each of the 64 connections, in milliseconds."""

_MAIN = "/admin/events/selectcolorevent/panels/?range=24h"
_CONSOLE = "/admin/console/"
_TOPIC = f"{_CONSOLE}topics/default/select-color/"
_DOCUMENTS = f"{_CONSOLE}documents/elasticsearch/"
_FILES = f"{_CONSOLE}files/hdfs/"
TABS = (
    *([_MAIN],) * 4,
    [f"{_CONSOLE}sinks/overview/"],
    [f"{_CONSOLE}sinks/hdfs/processes/", f"{_CONSOLE}sinks/hdfs/partitions/"],
    [f"{_CONSOLE}topics/default/"],
    [f"{_TOPIC}{panel}/" for panel in ("partitions", "groups", "settings", "messages")],
    [f"{_DOCUMENTS}{panel}/" for panel in ("histogram", "fields", "hits")],
    [f"{_FILES}{panel}/" for panel in ("summary", "list")],
)
"""The panels of each; those that a page reads once are read again by an operator who is impatient."""

_REFRESH_SECONDS, _LATE_SECONDS, _BUSY_SECONDS = 5.0, 0.5, 1.0
"""As the scripts of the pages do."""


def run(_stack: Stack, report: Report, scale: float) -> None:
    """Rounds of both in turn, closed first or open first; what counts is the median of their ratios."""
    check_wrk()
    seconds = max(2, int(4 * scale))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as servers:
        env = _site(Path(folder), [servers.enter_context(HangingServer()).address for _ in range(3)])
        server = servers.enter_context(serve(SITE, env))
        console = servers.enter_context(_console(server))
        put_load_on(server, 2)
        for title, pause_ms in LOADS.items():
            loads: dict[bool, list[Load]] = {False: [], True: []}
            for number in range(ROUNDS):
                for is_open in (number % 2 == 0, number % 2 == 1):
                    console.set_open(is_open)
                    time.sleep(SETTLE_SECONDS)
                    loads[is_open].append(put_load_on(server, seconds, pause_ms=pause_ms))
            report.add(_figure(title, loads, console))


def _figure(title: str, loads: dict[bool, list[Load]], console: "_Console") -> Figure:
    ratios = [one.p99 / other.p99 for one, other in zip(loads[True], loads[False], strict=True)]
    p99, rates = (
        {is_open: statistics.median(getattr(load, name) for load in found) for is_open, found in loads.items()}
        for name in ("p99", "rate")
    )
    detail = (
        f"p99 {p99[True]:.1f} ms, closed {p99[False]:.1f} ms; p99 {statistics.median(ratios):.2f} x (median of "
        f"{', '.join(f'{ratio:.2f}' for ratio in sorted(ratios))}); the console's answers {dict(console.answers)}"
    )
    return Figure(f"the lane, {title}, {len(TABS)} tabs", rates[True], "requests/s", "closed", rates[False], detail)


def _site(folder: Path, servers: list[str]) -> dict[str, str]:
    """The environment of the website, whose database has the user ada."""
    kafka, hdfs, elasticsearch = servers
    env = {
        "TEST_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "TEST_HDFS_URL": f"http://{hdfs}",
        "TEST_ELASTICSEARCH_URL": f"http://{elasticsearch}",
        "TEST_DATABASE_URL": f"sqlite:///{folder}/admin.sqlite3",
        "DJANGO_SUPERUSER_PASSWORD": "secret",
        "EVENTS_FLUSH_SECONDS": "0",
        "EVENTS_SPOOL_PATH": f"{folder}/spool",
    }
    for command in (["migrate", "-v0"], ["createsuperuser", "--username", "ada", "--email", "ada@shop.example"]):
        subprocess.run([sys.executable, "manage.py", *command, "--no-input"], env={**os.environ, **env}, check=True)
    return env


class _Console:
    """Tabs of as many operators, all of them seen or none. answers: how many of each status they got."""

    def __init__(self, server: Server) -> None:
        self.answers: Counter[int] = Counter()
        self._url = server.url
        self._is_open = threading.Event()
        self._is_over = False
        self._threads = [
            threading.Thread(target=self._follow, args=(cookies, panel))
            for cookies, panels in ((self._sign_in(), panels) for panels in TABS)
            for panel in panels
        ]
        for thread in self._threads:
            thread.start()

    def set_open(self, is_open: bool) -> None:
        """Tabs that are not seen ask nothing."""
        if is_open:
            self._is_open.set()
        else:
            self._is_open.clear()

    def close(self) -> None:
        """Closes all tabs."""
        self._is_over = True
        self._is_open.set()
        for thread in self._threads:
            thread.join()

    def _sign_in(self) -> dict[str, str]:
        """The cookies of a browser."""
        with requests.Session() as session:
            address = f"{self._url}/admin/login/"
            token = re.findall(r'csrfmiddlewaretoken" value="(\w+)"', session.get(address, timeout=30).text)[0]
            form = {"username": "ada", "password": "secret", "csrfmiddlewaretoken": token}
            session.post(address, form, allow_redirects=False, timeout=30).raise_for_status()
            return session.cookies.get_dict()

    def _follow(self, cookies: dict[str, str], panel: str) -> None:
        """Asks for a panel again and again, as its page's script does."""
        with requests.Session() as session:
            session.cookies.update(cookies)
            session.headers["Accept"] = "application/json"
            while self._is_open.wait() and not self._is_over:
                answer = session.get(self._url + panel, timeout=60)
                self.answers[answer.status_code] += 1
                data = json.loads(answer.content)
                if answer.status_code == 503:
                    time.sleep(_BUSY_SECONDS * (1 + random.random()))
                else:
                    time.sleep(_LATE_SECONDS if data.get("late") or None in data.values() else _REFRESH_SECONDS)


@contextmanager
def _console(server: Server) -> Iterator[_Console]:
    console = _Console(server)
    try:
        yield console
    finally:
        console.close()
