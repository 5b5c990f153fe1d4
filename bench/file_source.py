"""The file source against a plain loop that reads the same lines and produces them in transactions of the same size."""

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from itertools import islice
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bench.records import event, make_topic
from bench.report import Figure, Report
from devstack.stack import Stack
from sources.positions import POSITIONS_CONFIG
from sources.transactions import PRODUCER_DEFAULTS, PRODUCER_REQUIRED

_TURNS = 3
_START_SECONDS = 60
_READ_SECONDS = 600


def run(stack: Stack, report: Report, scale: float) -> None:
    """Transactions of 1,000 and of 10,000 records. The best of several turns counts."""
    for size, count in ((10_000, 1_000_000), (1_000, 300_000)):
        count = max(int(count * scale) // size, 1) * size
        plain = source = 0.0
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "lines"
            with file.open("wb") as lines:
                lines.writelines(event(number) + b"\n" for number in range(count))
            for _ in range(_TURNS):
                plain = max(plain, count / _plain_loop(stack, file, size))
                source = max(source, count / _source(stack, file, size))
        title = f"transactions of {size:,} records"
        report.add(Figure(f"file source, {title}", source, "lines/s", "plain loop", plain))


def _plain_loop(stack: Stack, file: Path, size: int) -> float:
    """Seconds of a loop that reads lines and produces them."""
    topic = make_topic(stack)
    own = {"bootstrap.servers": stack.bootstrap_servers, "transactional.id": topic}
    producer = Producer({**PRODUCER_DEFAULTS, **PRODUCER_REQUIRED, **own})
    producer.init_transactions(60)
    begin = time.perf_counter()
    with file.open("rb") as lines:
        while batch := list(islice(lines, size)):
            producer.begin_transaction()
            for line in batch:
                producer.produce(topic, line[:-1])
            producer.commit_transaction(60)
    return time.perf_counter() - begin


def _source(stack: Stack, file: Path, size: int) -> float:
    """Seconds from the moment when a running source can see the file until the last line is committed."""
    topic = make_topic(stack)
    positions = f"{topic}-positions"
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    for future in admin.create_topics([NewTopic(positions, 1, 1, config=POSITIONS_CONFIG)]).values():
        future.result()
    shown = file.with_name(f"shown-{uuid.uuid4().hex}")
    entry = {
        "kind": "file",
        "target": {"paths": [str(shown)], "topic": topic},
        "positions_topic": positions,
        "positions_partitions": 1,
        "poll_seconds": 0.1,
        "options": {"transaction_records": size, "batch_records": size, "batch_bytes": 16 * 1024 * 1024},
    }
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "settings.test",
        "TEST_KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "SOURCES": json.dumps({topic: entry}),
    }
    log = file.with_name("log")
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "run_source", "--source", topic], env=env, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while "owns it" not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the source did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.1)
        begin = time.perf_counter()
        shown.hardlink_to(file)
        _wait_read(stack, positions, file.stat().st_size)
        return time.perf_counter() - begin
    finally:
        process.kill()
        process.wait()
        shown.unlink(missing_ok=True)


def _wait_read(stack: Stack, positions: str, size: int) -> None:
    """Waits until a committed position says that so many bytes were read."""
    consumer = Consumer(
        {
            "bootstrap.servers": stack.bootstrap_servers,
            "group.id": "bench-positions",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(positions, 0, 0)])
    deadline = time.monotonic() + _READ_SECONDS
    try:
        while time.monotonic() < deadline:
            message = consumer.poll(1)
            if message is not None and message.error() is None and message.value() is not None:
                files = json.loads(message.value())["files"]
                if any(place["offset"] >= size for place in files):
                    return
        raise RuntimeError("the source did not read the file in time")
    finally:
        consumer.close()
