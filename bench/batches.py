"""Batches of 500 events through `collect`, against a plain loop that decodes and produces, in one process."""

import io
import json
import resource
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from confluent_kafka import Producer
from django.test import override_settings

from bench.records import make_topic
from bench.report import Figure, Report
from devstack.stack import Stack
from events import conf
from events.collect import EVENTS_PATH, collect
from events.process_collector import close_process_collector, process_collector, process_delivery
from kafka_client.producer import DEFAULTS

EVENTS = 500
MAX_WAITING = 50_000


class Rate(NamedTuple):
    """Events per second that Kafka has; microseconds of CPU that one takes of the calling thread."""

    delivered: float
    cpu: float


def run(stack: Stack, report: Report, scale: float) -> None:
    """Both in turn, three times; the better of each counts."""
    topic = make_topic(stack)
    seconds = max(1.0, 5 * scale)
    # With what the server sets, so that both produce records of the same size.
    common = {"timestamp": "2026-11-20T10:15:30.123+0900", "userAgent": "bench", "colorName": "blue"}
    batch = [{**common, "userName": f"user-{number}"} for number in range(EVENTS)]
    body = json.dumps(batch, separators=(",", ":")).encode()
    plain = collected = Rate(0.0, 0.0)
    for _ in range(3):
        plain = max(plain, _plain(stack, topic, body, seconds))
        collected = max(collected, _collected(stack, topic, body, seconds))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    name = f"POST /api/events, batches of {EVENTS}"
    detail = f"CPU {collected.cpu:.1f} us an event, the plain loop {plain.cpu:.1f}; peak RSS {peak} MiB"
    report.add(Figure(name, collected.delivered, "events/s", "a plain loop", plain.delivered, detail))


def _plain(stack: Stack, topic: str, body: bytes, seconds: float) -> Rate:
    producer = Producer({**DEFAULTS, "bootstrap.servers": stack.bootstrap_servers})

    def one_batch() -> None:
        for event in msgspec.json.decode(body):
            producer.produce(topic, msgspec.json.encode(event))

    def waiting() -> int:
        producer.poll(0)
        return len(producer)

    rate = _rate(one_batch, waiting, seconds)
    producer.flush(30)
    return rate


def _collected(stack: Stack, topic: str, body: bytes, seconds: float) -> Rate:
    from django.conf import settings

    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": EVENTS_PATH, "QUERY_STRING": ""}
    environ |= {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body)), "HTTP_USER_AGENT": "bench"}
    with override_settings(
        KAFKA={"default": {"bootstrap.servers": stack.bootstrap_servers}}, EVENTS={**settings.EVENTS, "topic": topic}
    ):
        conf.events_settings.cache_clear()
        conf.kinds.cache_clear()
        delivery = process_delivery()

        def one_batch() -> None:
            answer = collect({**environ, "wsgi.input": io.BytesIO(body)}, process_collector)
            if answer.status != 202:
                raise RuntimeError(f"{answer}")

        rate = _rate(one_batch, lambda: delivery.counts().waiting, seconds)
        close_process_collector()
    return rate


def _rate(one_batch: Callable[[], None], waiting: Callable[[], int], seconds: float) -> Rate:
    """As fast as Kafka takes them: at most MAX_WAITING events wait."""
    batches, cpu = 0, 0.0
    started_at = time.monotonic()
    while time.monotonic() - started_at < seconds:
        before = time.thread_time()
        one_batch()
        cpu += time.thread_time() - before
        batches += 1
        while waiting() > MAX_WAITING:
            time.sleep(0.001)
    while waiting():
        time.sleep(0.001)
    events = batches * EVENTS
    return Rate(events / (time.monotonic() - started_at), cpu / events * 1e6)
