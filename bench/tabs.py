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

ROUNDS = 5
SETTLE_SECONDS = 6
"""Until all tabs wait for the servers, or none does any more."""

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
    """Rounds of both, in turn first and second, on servers of their own; what counts is the median of their ratios."""
    check_wrk()
    seconds = max(2, int(8 * scale))
    loads: dict[bool, list[Load]] = {False: [], True: []}
    answers: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as servers:
        env = _site(Path(folder), [servers.enter_context(HangingServer()).address for _ in range(3)])
        for number in range(ROUNDS):
            with serve(SITE, env) as server:
                put_load_on(server, 2)
                for is_open in (number % 2 == 0, number % 2 == 1):
                    with _console(server, answers) if is_open else ExitStack():
                        time.sleep(SETTLE_SECONDS)
                        loads[is_open].append(put_load_on(server, seconds))
    ratios = [one.p99 / other.p99 for one, other in zip(loads[True], loads[False], strict=True)]
    p99 = {is_open: statistics.median(load.p99 for load in found) for is_open, found in loads.items()}
    rates = {is_open: statistics.median(load.rate for load in found) for is_open, found in loads.items()}
    detail = (
        f"p99 {p99[True]:.1f} ms, closed {p99[False]:.1f} ms; ratios {', '.join(f'{r:.2f}' for r in sorted(ratios))}, "
        f"median {statistics.median(ratios):.2f}; the console's answers {dict(answers)}"
    )
    name = f"the lane, all servers hang, the console open in {len(TABS)} tabs"
    report.add(Figure(name, rates[True], "requests/s", "the console closed", rates[False], detail))


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


@contextmanager
def _console(server: Server, answers: Counter[int]) -> Iterator[None]:
    """The console is open in all tabs until the end of the block."""
    ended = threading.Event()
    threads = [
        threading.Thread(target=_follow, args=(tab, server.url + panel, ended, answers))
        for tab, panels in ((_sign_in(server), panels) for panels in TABS)
        for panel in panels
    ]
    for thread in threads:
        thread.start()
    yield
    ended.set()
    for thread in threads:
        thread.join()


def _sign_in(server: Server) -> dict[str, str]:
    """The cookies of a browser."""
    with requests.Session() as session:
        address = f"{server.url}/admin/login/"
        token = re.findall(r'csrfmiddlewaretoken" value="(\w+)"', session.get(address, timeout=30).text)[0]
        form = {"username": "ada", "password": "secret", "csrfmiddlewaretoken": token}
        session.post(address, form, allow_redirects=False, timeout=30).raise_for_status()
        return session.cookies.get_dict()


def _follow(cookies: dict[str, str], url: str, ended: threading.Event, answers: Counter[int]) -> None:
    """Asks for a panel again and again."""
    with requests.Session() as session:
        session.cookies.update(cookies)
        session.headers["Accept"] = "application/json"
        while not ended.is_set():
            answer = session.get(url, timeout=60)
            answers[answer.status_code] += 1
            data = json.loads(answer.content)
            if answer.status_code == 503:
                seconds = _BUSY_SECONDS * (1 + random.random())
            else:
                seconds = _LATE_SECONDS if data.get("late") or None in data.values() else _REFRESH_SECONDS
            ended.wait(seconds)
