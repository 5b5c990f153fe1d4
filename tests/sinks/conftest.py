"""Fixtures of the tests in which sinks of files run as processes."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.test import override_settings

from devstack.server import Server
from devstack.stack import Stack
from sinks import registry as sinks_registry
from tests.sinks.file_bench import Bench, Told
from tests.sinks.s3_bench import running_seaweedfs
from tests.sinks.sink_processes import Nursery


@pytest.fixture(scope="module")
def nursery(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Where sinks are born; what still runs at the end is killed."""
    folder = tmp_path_factory.mktemp("sinks")
    with Nursery(kafka=stack.bootstrap_servers, hdfs=stack.webhdfs_url, folder=folder) as nursery:
        yield nursery


@pytest.fixture
def bench(request: pytest.FixtureRequest, stack: Stack, nursery: Nursery) -> Bench:
    """A fresh topic and where its sinks store it: HDFS, unless the test asks for another kind."""
    return Bench(stack, nursery, kind=getattr(request, "param", "hdfs"))


@pytest.fixture
def command(servers: Stack, capsys: Any) -> Callable[..., Told]:
    """Runs a management command for an entry of SINKS."""

    def run(entry: dict[str, Any], name: str, *arguments: str) -> Told:
        sinks_registry.sinks.cache_clear()
        code = 0
        with override_settings(SINKS={"under-test": entry}):
            try:
                call_command(name, "--sink", "under-test", *arguments)
            except SystemExit as ended:
                code = int(ended.code or 0)
        return Told(code, capsys.readouterr().out)

    return run


@pytest.fixture(scope="module")
def seaweedfs() -> Iterator[Server]:
    """A SeaweedFS; a test that stops it starts it again."""
    with running_seaweedfs() as server:
        yield server
