"""A short random run of tests.chaos; `make chaos` is the long one."""

from pathlib import Path

import pytest

from devstack.stack import Stack
from tests.chaos.chaos import Chaos, plan
from tests.sinks.sink_processes import Nursery

pytestmark = pytest.mark.integration


def test_the_plan_depends_on_the_seed_alone() -> None:
    assert plan(7, 50, 1) == plan(7, 50, 1)
    assert plan(7, 50, 1) != plan(8, 50, 1)


def test_random_kills_of_sinks_and_servers_lose_nothing_and_repeat_nothing(stack: Stack, tmp_path: Path) -> None:
    with Nursery(kafka=stack.bootstrap_servers, hdfs=stack.webhdfs_url, folder=tmp_path) as nursery:
        chaos = Chaos(stack, nursery, report=print)
        assert chaos.run(plan(seed=2026, kills=30, restarts=1)) > 1000
