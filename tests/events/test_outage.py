"""A short run of tests/events/outage.py; `make chaos ARGS=--collector` is the long one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from devstack.stack import Stack
from tests.events import outage
from tests.events.web import Web

pytestmark = pytest.mark.integration


def test_nothing_promised_is_lost_while_kafka_is_away_and_a_process_is_killed(
    stack: Stack, topic: str, web: Callable[..., Web], tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    server = web(*outage.OPTIONS, **outage.environment(spool))
    counts = outage.run(stack, topic, server, spool, away_seconds=10)
    print(*(f"{mode}: {count}" for mode, count in counts.items()), sep="\n")
    assert all(count.promised > 200 for count in counts.values())
    assert {mode: len(count.lost) for mode, count in counts.items()} == dict.fromkeys(outage.MODES, 0)
    assert counts["acknowledged"].refused > 0
    assert {mode: count.ghosts for mode, count in counts.items()} == dict.fromkeys(outage.MODES, 0)


def test_nothing_promised_is_lost_by_full_spools_and_a_kafka_that_comes_and_goes(
    stack: Stack, topic: str, web: Callable[..., Web], tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    server = web(*outage.OPTIONS, **outage.environment(spool), **outage.SMALL_SPOOL)
    counts = outage.run_blips(stack, topic, server, spool, blips=2, seed=2)
    print(*(f"{mode}: {count}" for mode, count in counts.items()), sep="\n")
    assert counts["spooled"].refused > 0, "a spool was full"
    assert {mode: len(count.lost) for mode, count in counts.items()} == dict.fromkeys(outage.MODES, 0)
    assert {mode: count.ghosts for mode, count in counts.items()} == dict.fromkeys(outage.MODES, 0)
