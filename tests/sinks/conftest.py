"""Fixtures of the tests in which sinks of files run as processes."""

from collections.abc import Iterator

import pytest

from devstack.stack import Stack
from tests.sinks.file_bench import Bench
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
