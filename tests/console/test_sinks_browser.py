"""Operators see and steer a running sink in a real browser: web server and sink are processes that share a database."""

import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch
from playwright.sync_api import Page, expect

from devstack.stack import Stack
from tests.accessibility import check_fits, check_page
from tests.support import PROJECT, Process, event, manage, produce, stack_env, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.browser]

expect.set_options(timeout=15_000)


@dataclass
class Site:
    """A website with a sink `docs` that stores `topic` in `index`; database: an SQLite file."""

    url: str
    env: dict[str, str]
    database: Path
    server: Process
    sinks: list[Process]

    def start_sink(self) -> Process:
        """Starts the sink and waits until it has begun."""
        sink = Process(manage("run_es_sink", "--sink", "docs"), self.env)
        self.sinks.append(sink)
        return sink

    def logged(self) -> list[str]:
        """What operators did, by the console's own log."""
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            rows = connection.execute("SELECT subject, what, outcome FROM console_auditentry ORDER BY id")
            return [f"{subject}: {what}: {outcome}" for subject, what, outcome in rows]


@pytest.fixture
def site(stack: Stack, topic: str, index: str, tmp_path: Path) -> Iterator[Site]:
    database = tmp_path / "console.sqlite3"
    entry = {
        "kind": "elasticsearch",
        "topics": [topic],
        "target": {"index": index},
        "heartbeat_seconds": 0.5,
        "options": {"flush_seconds": 0.2},
    }
    env = stack_env(
        stack,
        SINKS=json.dumps({"docs": entry}),
        CONSOLE=json.dumps({"refresh_seconds": 1}),
        TEST_DATABASE_URL=f"sqlite:///{database}",
        DJANGO_SUPERUSER_PASSWORD="secret",
    )
    for command in (
        ["migrate", "-v0"],
        ["createsuperuser", "--noinput", "--username", "kim", "--email", "kim@shop.example"],
    ):
        subprocess.run(manage(*command), cwd=PROJECT, env={**os.environ, **env}, check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    granian = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)]
    server = Process([*granian, "--blocking-threads", "4", "pipeline.wsgi:application"], env)
    found = Site(f"http://127.0.0.1:{port}", env, database, server, [])

    def answers() -> bool:
        assert server.is_running(), server.text
        try:
            with urllib.request.urlopen(f"{found.url}/admin/login/", timeout=5):
                return True
        except OSError:
            return False

    try:
        wait_until(answers, what="the web server")
        yield found
    finally:
        for sink in found.sinks:
            if sink.is_running():
                sink.kill()
        if server.is_running():
            server.stop()  # killed, it would leave its worker behind


def count(stack: Stack, index: str) -> int:
    with Elasticsearch(stack.elasticsearch_url, request_timeout=30) as client:
        client.indices.refresh(index=index)
        return int(client.count(index=index)["count"])


def test_a_sink_is_paused_resumed_and_restarted_in_the_console(
    page: Page, site: Site, stack: Stack, topic: str, index: str
) -> None:
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto(f"{site.url}/admin/login/?next=/admin/console/sinks/")
    page.fill("#id_username", "kim")
    page.fill("#id_password", "secret")
    page.click("[type=submit]")
    overview = page.locator("#sinks-overview")
    expect(overview).to_contain_text("not running")

    sink = site.start_sink()
    produce(stack, topic, [event(number) for number in range(300)])
    expect(overview).to_contain_text("running")
    wait_until(lambda: count(stack, index) == 300, what="300 documents")
    check_page(page)
    overview.get_by_role("link", name="docs").click()
    processes, partitions = page.locator("#sink-processes"), page.locator("#sink-partitions")
    expect(partitions.locator("[data-lag]")).to_have_text(["0", "0", "0"])
    check_fits(partitions.locator(".console-scroll"))

    page.get_by_role("link", name="Pause all").click()
    expect(page.locator(".console-body")).to_contain_text("Lag grows until it is resumed")
    page.get_by_role("button", name="Yes, pause").click()
    expect(partitions.locator("[data-state=paused]")).to_have_count(3)
    expect(processes).to_contain_text("Paused by kim")
    expect(processes).not_to_contain_text("not done yet")
    check_page(page)
    produce(stack, topic, [event(number) for number in range(300, 330)])
    expect(partitions.locator("[data-lag]")).to_have_text(["10", "10", "10"])
    assert count(stack, index) == 300

    sink.stop()
    expect(processes).to_contain_text("stopped at")
    site.start_sink()
    expect(partitions.locator("[data-state=paused]")).to_have_count(3)  # the wish outlives the process
    assert count(stack, index) == 300

    page.get_by_role("link", name="Resume all").click()
    page.get_by_role("button", name="Yes, resume").click()
    expect(partitions.locator("[data-state=running]")).to_have_count(3)
    expect(partitions.locator("[data-lag]")).to_have_text(["0", "0", "0"])
    wait_until(lambda: count(stack, index) == 330, what="330 documents")

    row = partitions.locator(f"[data-partition='{topic}-0']")
    row.get_by_role("link", name="Restart from an offset").click()
    page.fill("#offset", "500")
    page.get_by_role("button", name="Show what would be repeated").click()
    expect(page.get_by_role("alert")).to_contain_text("going forward would leave records out")
    expect(page.get_by_role("button", name="Yes, restart")).to_have_count(0)
    page.fill("#offset", "20")
    page.get_by_role("button", name="Show what would be repeated").click()
    expect(page.locator("#repeated")).to_have_text("90")
    check_page(page)
    page.get_by_role("button", name="Yes, restart").click()
    expect(processes).to_contain_text("done at")
    expect(partitions.locator("[data-lag]")).to_have_text(["0", "0", "0"])
    assert count(stack, index) == 330  # each repeat has overwritten itself
    assert site.logged() == [
        "sink docs: pause all partitions: asked for",
        "sink docs: resume all partitions: asked for",
        f"sink docs: restart {topic}-0 from offset 20: asked for",
    ]
    assert problems == [], site.server.text

    # The database is away, which no sink needs, and back.
    hidden = site.database.with_suffix(".hidden")
    site.database.rename(hidden)
    site.database.mkdir()
    expect(page.locator(".console-error").first).to_contain_text("SQLite can’t be read")
    page.goto(f"{site.url}/admin/events/selectcolorevent/")
    expect(page.get_by_role("heading")).to_have_text("SQLite can’t be read")
    assert "Traceback" not in page.content()
    site.database.rmdir()
    hidden.rename(site.database)
    page.get_by_role("link", name="Try again").click()
    expect(page.locator('[data-panel="sinks"]')).to_contain_text("running")
