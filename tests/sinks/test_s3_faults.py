"""The promise of docs/s3-sink.md, on a real Kafka and a real store that fail: every record once, whole, in order.

Each test counts every record across all files (`Store.check`). Most sinks are in a group of their own: that one goes on
exactly where the one before it ended is the work of the chain in the store alone.
"""

import random
import signal
from typing import Any

import pytest

from devstack.server import Server
from devstack.stack import Stack
from tests.proxy import HttpProxy, Rule
from tests.sinks.counting import Store
from tests.sinks.file_bench import each, killed_before, wait_killed
from tests.sinks.s3_bench import BUCKET, S3Bench
from tests.sinks.sink_processes import Nursery
from tests.stores import S3Files

pytestmark = pytest.mark.integration

STORE = {"upload", "commit", "look for checkpoint", "publish", "note checkpoint", "remove record"}
ROLL_FORWARD = ["walk", "publish", "note checkpoint", "remove record"]


@pytest.fixture
def bench(stack: Stack, nursery: Nursery, seaweedfs: Server) -> S3Bench:
    """A fresh topic and where its sinks store it."""
    return S3Bench(stack, nursery, seaweedfs)


def test_killed_between_two_steps_the_next_sink_stores_each_record_once(bench: S3Bench) -> None:
    """At each step of storing. Of the steps before, with nothing stored, only the one that writes something counts."""
    bench.stream.produce(20)
    whole = bench.start(bench.store("whole"))
    bench.finish(bench.store("whole"), whole)

    def kill_before(place: int) -> str | None:
        store = bench.store(place)
        sink = bench.start(store, fault=killed_before(whole.steps, place))
        step = wait_killed(sink, store, 20)
        bench.finish(store)
        assert bench.leftovers(store) == []
        return step

    steps = whole.steps
    begin = steps.index("upload")
    storing = {steps.index(step, begin) for step in steps[begin:]}
    killed = each(sorted({steps.index("note topic"), *storing}), kill_before)
    assert set(killed) >= {"note topic", *STORE}


def test_killed_at_a_step_of_a_take_over_the_next_sink_completes_it(bench: S3Bench) -> None:
    bench.stream.produce(20)
    in_mid_publishing = {"do": "kill_after", "step": "publish", "number": 1}

    def die(case: object, fault: dict[str, Any]) -> str | None:
        return wait_killed(bench.start(bench.store(case), fault=fault), bench.store(case), 20)

    die("whole", in_mid_publishing)
    whole = bench.start(bench.store("whole"))
    bench.finish(bench.store("whole"), whole)
    steps = whole.steps

    def kill_before(place: int) -> str | None:
        die(place, in_mid_publishing)
        step = die(place, killed_before(steps, place))
        bench.finish(bench.store(place))
        assert bench.leftovers(bench.store(place)) == []
        return step

    places = [steps.index(step) for step in ROLL_FORWARD]
    assert each(places, kill_before) == ROLL_FORWARD


@pytest.mark.parametrize("fate", ["lose", "refuse", "late"])
def test_requests_whose_answer_is_lost_are_done_once(bench: S3Bench, fate: str) -> None:
    """lose: they are done, but not answered; refuse: neither; late: done when the sink no longer waits for them, and
    perhaps has done them by a second try."""
    bench.stream.produce(15)
    with HttpProxy(bench.server.address, spoiling(fate), late_seconds=0.8, passes_all=True) as proxy:
        die = {"do": "kill", "step": "publish", "number": 1}
        dying = bench.start(bench.store(), url=proxy.url, timeout=0.5, fault=die)
        assert dying.wait() == -signal.SIGKILL
        sink = bench.start(bench.store(), url=proxy.url, timeout=0.5)
        bench.stream.produce(15)
        bench.finish(bench.store(), sink)
        spoilt = {line.split(" ")[1] for line in proxy.spoilt}
        assert spoilt >= {"GET", "PUT", "POST"}
    bench.finish(bench.store())


def spoiling(fate: str) -> Rule:
    """This fate for a fifth of the requests."""
    chance = random.Random(fate)

    def spoil(number: int, line: str) -> str:
        return fate if chance.random() < 0.2 else "pass"

    return spoil


def test_a_sink_that_slept_until_another_had_its_partition_stores_nothing_twice(
    stack: Stack, nursery: Nursery, seaweedfs: Server
) -> None:
    """Both are in groups of their own, so that only the store can keep them apart."""

    def sleep_at(step: str) -> None:
        bench = S3Bench(stack, nursery, seaweedfs)
        store = bench.store()
        bench.stream.produce(30)
        sleep = {"do": "stop", "step": step, "number": 0}
        sleeper = bench.start(store, fault=sleep, consumer={"session.timeout.ms": 120_000})
        sleeper.wait_stopped()
        other = bench.start(store)
        other.wait_for(": reads ")
        store.wait_count(30, sinks=[other])
        assert other.stop() == 0
        sleeper.signal(signal.SIGCONT)
        bench.stream.produce(30)
        bench.finish(store, sleeper)
        assert bench.files_of_bucket.uploads(store.path) == []

    each(("upload", "commit", "publish", "note checkpoint", "walk"), sleep_at)


def test_two_sinks_that_both_own_a_partition_store_each_record_once(bench: S3Bench) -> None:
    store = bench.store()
    sinks = [bench.start(store) for _ in range(2)]
    for sink in sinks:
        sink.wait_for(": reads ")
    with bench.stream.load(10):
        store.wait_count(200, sinks=sinks)
    store.wait_count(sum(bench.stream.counts), sinks=sinks)
    for sink in sinks:
        assert sink.stop() == 0, sink.text[-4000:]
    store.check(bench.stream)
    assert any("fenced" in sink.text for sink in sinks)


def test_a_store_that_is_killed_and_comes_back_loses_nothing(bench: S3Bench) -> None:
    bench.stream.produce(100)
    sink = bench.start(bench.store(), options={"flush_records": 20})
    bench.store().wait_count(20)
    bench.server.kill()
    try:
        bench.stream.produce(100)
        sink.wait_for("failed (try 2")
    finally:
        bench.server.start()
        bench.server.wait_ready()
    bench.finish(bench.store(), sink)


def test_wrong_credentials_stop_the_sink_with_a_clear_error_that_does_not_show_them(bench: S3Bench) -> None:
    secret = "another-secret"
    sink = bench.start(bench.store(), environment={"AWS_SECRET_ACCESS_KEY": secret})
    assert sink.wait() == 1
    assert "S3: " in sink.text and "403" in sink.text
    assert secret not in sink.text


def test_a_bucket_that_does_not_exist_is_waited_for(bench: S3Bench) -> None:
    bench.stream.produce(20)
    late = S3Files(bench.server.address, "late")
    store = Store(late, bench.store().path)
    sink = bench.start(store, target={"bucket": "late"})
    sink.wait_for("there is no such bucket")
    late.make_bucket()
    bench.finish(store, sink)


def test_a_server_that_ignores_if_none_match_is_refused_by_name(bench: S3Bench) -> None:
    bench.stream.produce(20)
    with HttpProxy(bench.server.address, passes_all=True, told={412: 200}) as proxy:
        sink = bench.start(bench.store(), url=proxy.url)
        assert sink.wait() == 1
        assert f"S3 ({proxy.url}, {BUCKET}) ignores If-None-Match" in sink.text
    assert bench.store().files() == {}
