"""The console on the real web server, while what it reads hangs: collecting keeps its threads."""

import json
import os
import re
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path

import pytest
import requests

from devstack.hanging import HangingServer
from events.spool.reader import SpoolReader
from tests.console.counted import MOST
from tests.events.web import Web
from tests.support import Process, manage, wait_until

AT_ONCE = 4
"""Of the 8 threads of the web server."""
TABS = 10
EVENTS = 2_000
FILE_BYTES = 64 * 1024 * 1024

CONSOLE = "/admin/console/"
POLLS = (
    "/admin/",
    "/admin/events/selectcolorevent/panels/",
    "/admin/events/selectcolorevent/panels/?range=24h",
    f"{CONSOLE}sinks/overview/",
    f"{CONSOLE}sinks/hdfs/partitions/",
    f"{CONSOLE}topics/default/",
    f"{CONSOLE}topics/default/select-color/partitions/",
    f"{CONSOLE}topics/default/select-color/groups/",
    f"{CONSOLE}topics/default/select-color/settings/",
    f"{CONSOLE}topics/default/select-color/messages/",
    f"{CONSOLE}documents/elasticsearch/histogram/",
    f"{CONSOLE}documents/elasticsearch/hits/",
    f"{CONSOLE}documents/elasticsearch/fields/",
    f"{CONSOLE}documents/elasticsearch/export/",
    f"{CONSOLE}files/hdfs/summary/",
    f"{CONSOLE}files/hdfs/list/",
    f"{CONSOLE}files/hdfs/download/?path=a",
    f"{CONSOLE}dead-letters/hdfs/reasons/",
)


class Site:
    """One process of the website; Kafka, HDFS and Elasticsearch take connections and never answer."""

    def __init__(self, folder: Path, servers: list[str]) -> None:
        kafka, hdfs, elasticsearch = servers
        self.spool = folder / "spool"
        self.files = folder / "files"
        (self.files / "_sink").mkdir(parents=True)
        sinks = {"files": {"kind": "folder", "topics": ["select-color"], "target": {"path": str(self.files)}}}
        env = {
            "DJANGO_SETTINGS_MODULE": "tests.console.counted",
            "TEST_KAFKA_BOOTSTRAP_SERVERS": kafka,
            "TEST_HDFS_URL": f"http://{hdfs}",
            "TEST_ELASTICSEARCH_URL": f"http://{elasticsearch}",
            "TEST_DATABASE_URL": f"sqlite:///{folder}/admin.sqlite3",
            "EVENTS_SPOOL_PATH": str(self.spool),
            "EVENTS_FLUSH_SECONDS": "0",
            "SINKS": json.dumps(sinks),
            "CONSOLE": json.dumps({"requests_at_once": AT_ONCE, "reads_at_once": 2, "downloads_at_once": 1}),
            "DJANGO_SUPERUSER_PASSWORD": "secret",
        }
        for command in (["migrate"], ["createsuperuser", "--username", "ada", "--email", "ada@shop.example"]):
            process = Process(manage(*command, "--no-input"), env)
            assert process.wait(120) == 0, process.text
        self.web = Web(env, workers=1)
        self.answers: Counter[int] = Counter()
        self.most = 0

    def tab(self) -> requests.Session:
        """A browser of an operator."""
        session = requests.Session()
        address = f"{self.web.url}/admin/login/"
        token = re.findall(r'csrfmiddlewaretoken" value="(\w+)"', session.get(address, timeout=20).text)[0]
        form = {"username": "ada", "password": "secret", "csrfmiddlewaretoken": token}
        assert session.post(address, form, allow_redirects=False, timeout=20).status_code == 302
        return session

    def ask(self, tab: requests.Session, path: str) -> None:
        """Asks as a page's script does."""
        answer = tab.get(self.web.url + path, headers={"Accept": "application/json"}, timeout=60)
        self.answers[answer.status_code] += 1
        self.most = max(self.most, int(answer.headers.get(MOST, 0)))

    def collect(self, number: int) -> int:
        """The status of an event's answer."""
        query = {"color": "red", "user": f"user-{number}"}
        return requests.get(f"{self.web.url}/api/select", query, timeout=60).status_code

    def spooled(self) -> int:
        """How many events wait for Kafka, when the web server has ended."""
        folders = [path for path in self.spool.iterdir() if (path / "lock").exists()]
        return sum(len(SpoolReader(folder).read(10 * EVENTS, 2**30)) for folder in folders)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as servers:
        site = Site(tmp_path, [servers.enter_context(HangingServer()).address for _ in range(3)])
        yield site
        if site.web.process.is_running():
            site.web.kill()


def test_ten_tabs_on_servers_that_hang_leave_collecting_its_threads_and_lose_no_event(site: Site) -> None:
    tabs = [site.tab() for _ in range(TABS)]
    ended = threading.Event()

    def use(number: int, tab: requests.Session) -> None:
        polls = cycle(POLLS[number:] + POLLS[:number])
        while not ended.is_set():
            site.ask(tab, next(polls))

    with ThreadPoolExecutor(TABS + 4) as pool:
        uses = [pool.submit(use, number, tab) for number, tab in enumerate(tabs)]
        try:
            wait_until(lambda: site.most == AT_ONCE and site.answers[503], what="a console that is busy")
            statuses = Counter(pool.map(site.collect, range(EVENTS)))
        finally:
            ended.set()
        for use_of_tab in uses:
            use_of_tab.result()
    assert statuses == {202: EVENTS}
    assert site.most == AT_ONCE
    assert site.answers[200] > 0
    assert set(site.answers) <= {200, 503}
    assert site.web.process.stop() == 0, site.web.process.text
    assert site.spooled() == EVENTS


def test_downloads_that_nobody_takes_any_more_give_their_places_back(site: Site) -> None:
    with (site.files / "large").open("wb") as file:
        os.truncate(file.fileno(), FILE_BYTES)
    tab = site.tab()

    def begin() -> bool:
        with tab.get(f"{site.web.url}{CONSOLE}files/files/download/?path=large", stream=True, timeout=60) as answer:
            return answer.status_code == 200 and len(answer.raw.read(1000)) == 1000

    for _ in range(2 * AT_ONCE):
        wait_until(begin, what="a download that is begun, and left")
