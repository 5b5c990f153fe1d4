"""Fixtures: real servers on free ports, fresh topics and indices, sinks as processes, a headless browser."""

import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import override_settings
from django.utils import translation
from elasticsearch.dsl import connections

from devstack.config import StackConfig
from devstack.server import Server
from devstack.stack import Stack
from events import conf, process_collector
from events.event import EVENT_TYPES
from kafka_client.log import Repeats
from pipeline.conf import console_settings
from sinks import registry as sinks_registry
from sinks.elasticsearch import client as elasticsearch_client
from sinks.elasticsearch import setup as elasticsearch_setup
from sinks.elasticsearch.config import ElasticsearchTarget
from sources import registry as sources_registry
from streams import registry as streams_registry
from tests.databases import running_mariadb
from tests.on_postgres import running_postgres
from tests.support import Process, make_topics, manage, stack_env

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Java's second compiler works for servers that live longer than those of tests; without it they start sooner.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where a database is given (`python -m tests.on_postgres`), only the tests that use it run.

    All others would be the same on any database.
    """
    if "TEST_DATABASE_URL" in os.environ:
        items[:] = [item for item in items if _uses_database(item)]


def _uses_database(item: pytest.Item) -> bool:
    return "db" in getattr(item, "fixturenames", ()) or item.get_closest_marker("django_db") is not None


@pytest.fixture(autouse=True)
def _language_of_the_next_test() -> Iterator[None]:
    """A request in another language leaves it behind on its thread."""
    yield
    translation.deactivate()


@pytest.fixture(autouse=True)
def _log_of_the_next_test() -> Iterator[None]:
    """What one test has logged does not count as told in the next one."""
    yield
    for logger in logging.root.manager.loggerDict.values():
        for repeats in getattr(logger, "filters", ()):
            if isinstance(repeats, Repeats):
                repeats._told.clear()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Kafka, HDFS and Elasticsearch of this test run alone; a test that stops a server starts it again."""
    # A file whose writer died with its DataNode is released soon; a bulk request is soon too large for Elasticsearch.
    config = StackConfig.on_free_ports(
        tmp_path_factory.mktemp("stack"), lease_seconds=15, elasticsearch_max_content="1mb"
    )
    stack = Stack(config)
    stack.up()
    yield stack
    stack.kill()
    shutil.rmtree(stack.config.data, ignore_errors=True)


@pytest.fixture
def servers(stack: Stack) -> Iterator[Stack]:
    """Django's settings point at the stack."""
    with override_settings(
        KAFKA={"default": {"bootstrap.servers": stack.bootstrap_servers}},
        HDFS={"default": {"url": stack.webhdfs_url, "user": "hdfs", "timeout_seconds": 30.0}},
        ELASTICSEARCH_DSL={"default": {"hosts": [stack.elasticsearch_url], "request_timeout": 30}},
    ):
        connections.configure(**django_settings.ELASTICSEARCH_DSL)
        yield stack
        process_collector.close_process_collector()
    connections.configure(**django_settings.ELASTICSEARCH_DSL)


@pytest.fixture(autouse=True)
def _settings_are_read_anew() -> Iterator[None]:
    """What was read once for a process is read again for each test."""
    yield
    conf.events_settings.cache_clear()
    conf.kinds.cache_clear()
    sinks_registry.sinks.cache_clear()
    sources_registry.sources.cache_clear()
    streams_registry.streams.cache_clear()


@pytest.fixture
def kafka_is_away(settings: Any) -> None:
    """The console does not wait long for a Kafka that is not there."""
    settings.CONSOLE = {"kafka_timeout_seconds": 0.2}
    console_settings.cache_clear()


@pytest.fixture
def page_view(settings: Any) -> Iterator[None]:
    """A second kind of event, page-view, is declared."""
    settings.EVENTS = {
        **settings.EVENTS,
        "kinds": {"page-view": {"type": "tests.events.page_view.PageView", "topic": "views"}},
    }
    conf.events_settings.cache_clear()
    conf.kinds.cache_clear()
    conf.register_kinds()
    yield
    del EVENT_TYPES["page-view"]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    """A PostgreSQL; a test that stops it starts it again."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def mariadb() -> Iterator[Server]:
    """A MariaDB; a test that stops it starts it again."""
    with running_mariadb() as server:
        yield server


@pytest.fixture
def topic(stack: Stack) -> str:
    """A fresh topic of 3 partitions; its dead-letter topic is there too."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    make_topics(stack, name)
    make_topics(stack, f"{name}.dlq", partitions=1)
    return name


@pytest.fixture
def index(stack: Stack) -> str:
    """A fresh index with the mapping of the select-color event."""
    name = f"i-{uuid.uuid4().hex[:8]}"
    client = elasticsearch_client.connect({"hosts": [stack.elasticsearch_url], "request_timeout": 30}, connections=1)
    elasticsearch_setup.prepare(client, ElasticsearchTarget(index=name, replicas=0), event="select-color")
    client.close()
    return name


@pytest.fixture
def run_sink(stack: Stack) -> Iterator[Callable[..., Process]]:
    """Starts `run_sink` for an entry of SINKS, with further variables; what still runs at the end is killed."""
    started: list[Process] = []

    def run(entry: dict[str, Any], *, name: str = "under-test", wait: bool = True, **variables: str) -> Process:
        env = stack_env(stack, SINKS=json.dumps({name: entry}), LOG_LEVEL="DEBUG", **variables)
        process = Process(manage("run_sink", "--sink", name), env)
        started.append(process)
        if wait:
            process.wait_for(": reads ")
        return process

    yield run
    for process in started:
        if process.is_running():
            process.kill()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium; skipped loudly where there is none, unless REQUIRE_BROWSER is set."""
    executable = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)
    if executable is None:
        message = "no chromium on this machine: the browser tests do NOT run (Debian: apt-get install chromium)"
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(message)
        pytest.skip(message)
    # Playwright's event loop makes Django think that it is called from asynchronous code.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A fresh page in English."""
    context = browser.new_context(locale="en-US")
    page = context.new_page()
    page.set_default_timeout(15_000)
    yield page
    context.close()


@pytest.fixture
def user_agents() -> list[str]:
    """Real User-Agent strings, where they lie beside the project."""
    path = Path(__file__).resolve().parents[2] / "shared" / "data" / "user_agents.tsv"
    if not path.exists():
        pytest.skip(f"{path.name} is not there")
    return [line.split("\t")[0] for line in path.read_text(encoding="utf-8").splitlines()]
