"""Short random runs of tests.chaos; `make chaos` is the long one."""

from pathlib import Path

import pytest

from devstack.stack import Stack
from tests.chaos.chaos import Chaos, plan
from tests.chaos.grounds import GROUNDS
from tests.sinks.sink_processes import Nursery

pytestmark = pytest.mark.integration


def test_the_plan_depends_on_the_seed_alone() -> None:
    assert plan(7, 50, 1, ["broker"]) == plan(7, 50, 1, ["broker"])
    assert plan(7, 50, 1, ["broker"]) != plan(8, 50, 1, ["broker"])


@pytest.mark.parametrize(
    ("sink", "mode"), [("hdfs", "flush"), ("hdfs", "append"), ("folder", "append"), ("elasticsearch", "")]
)
def test_random_kills_of_sinks_and_servers_lose_nothing_and_repeat_nothing(
    stack: Stack, tmp_path: Path, sink: str, mode: str
) -> None:
    ground = GROUNDS[sink, mode]
    with Nursery(
        kafka=stack.bootstrap_servers, hdfs=stack.webhdfs_url, elasticsearch=stack.elasticsearch_url, folder=tmp_path
    ) as nursery:
        chaos = Chaos(stack, nursery, ground=ground, report=print)
        assert chaos.run(plan(seed=2026, kills=7, restarts=1, servers=ground.server_names)) > 500
