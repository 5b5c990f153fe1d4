"""A file source as a process on a real Kafka, killed again and again while logs are rotated in all ways."""

import json
import random
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devstack.stack import Stack
from sources.positions import POSITIONS_CONFIG
from tests.sources.rotation import Writer
from tests.support import Process, kafka_alone, make_topics, stack_env, wait_until
from worker.errors import Retriable
from worker.log_reader import MessageReader

pytestmark = pytest.mark.integration

PARTITIONS = 4


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Kafka of its own."""
    with kafka_alone(tmp_path_factory.mktemp("kafka")) as stack:
        yield stack


class Lines:
    """A file source with topics of its own."""

    def __init__(self, stack: Stack, **target: Any) -> None:
        self._stack = stack
        self.topic = f"lines-{uuid.uuid4().hex[:8]}"
        positions = f"{self.topic}-positions"
        make_topics(stack, self.topic, partitions=1)
        make_topics(stack, positions, partitions=PARTITIONS, config=POSITIONS_CONFIG)
        self.entry = {
            "kind": "file",
            "target": {"topic": self.topic, "quiet_seconds": 2, **target},
            "positions_topic": positions,
            "positions_partitions": PARTITIONS,
            "poll_seconds": 0.2,
            "options": {"batch_records": 20, "transaction_seconds": 0.2, "retry_seconds": 1},
            # Kafka does not wait for the member that was killed.
            "consumer": {"group.instance.id": "one", "session.timeout.ms": 6000},
        }

    def command(self, name: str) -> Process:
        """Runs a management command for the source."""
        env = stack_env(self._stack, SOURCES=json.dumps({self.topic: self.entry}))
        return Process([sys.executable, "manage.py", name, "--source", self.topic], env)

    def committed(self) -> Counter[bytes]:
        """How often each line is committed."""
        reader = MessageReader({"bootstrap.servers": self._stack.bootstrap_servers}, group="tests-read")
        try:
            messages = reader.messages(self.topic, 0, *reader.ends(self.topic, 0))
            return Counter(message.value() for message in messages)
        except Retriable:
            return Counter()  # a transaction hides some
        finally:
            reader.close()


def test_killed_while_logs_are_rotated_in_all_ways_each_line_is_committed_once(kafka: Stack, tmp_path: Path) -> None:
    chance = random.Random(1)
    writers = [Writer(tmp_path, "a.log", chance), Writer(tmp_path, "b.log", chance, header=b"the same first line")]
    writers += [Writer(tmp_path, "c.log", chance, header=b"the same first line")]
    source = Lines(kafka, paths=[f"{tmp_path}/*.log*"])
    for _ in range(3):
        process = source.command("run_source")
        begun = source.committed().total()
        wait_until(lambda: _act(writers) or source.committed().total() > begun + 30, what="further lines")  # noqa: B023
        process.kill()
        for _ in range(10):
            _act(writers)
    process = source.command("run_source")
    for writer in writers:
        while writer.steps:
            writer.act()
        writer.append()
    expected = Counter(line for writer in writers for line in writer.written)
    wait_until(lambda: source.committed().total() >= expected.total(), what="all lines")
    assert process.stop() == 0
    assert source.committed() == expected
    verify = source.command("verify_source")
    assert verify.wait() == 0, verify.text
    assert "each is in Kafka once" in verify.text


def _act(writers: list[Writer]) -> None:
    for writer in writers:
        writer.act()


def test_a_thousand_files_are_read(kafka: Stack, tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / f"{number}.txt").write_bytes(b"header\nline of %d\n" % number)
    source = Lines(kafka, paths=[f"{tmp_path}/*.txt"])
    process = source.command("run_source")
    wait_until(lambda: source.committed().total() >= 2000, what="2,000 lines")
    handles = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
    assert process.stop() == 0
    assert source.committed() == Counter({b"header": 1000, **{b"line of %d" % number: 1 for number in range(1000)}})
    assert handles < 400
