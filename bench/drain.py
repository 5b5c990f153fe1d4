"""Measures how fast a sink drains a topic: the real management command, as a process of its own."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.records import PARTITIONS, Committed, fill
from devstack.stack import Stack

_ASSIGNED_SECONDS = 60
_DRAIN_SECONDS = 600


@dataclass(frozen=True)
class Drained:
    """rate: records/s from the first record on until everything is stored and committed; peak_rss: bytes."""

    rate: float
    peak_rss: int

    @property
    def detail(self) -> str:
        """The memory, for people."""
        return f"peak RSS {self.peak_rss / 2**20:.0f} MiB"


def drain(
    stack: Stack, command: str, topic: str, count: int, entry: dict[str, Any], variables: Mapping[str, str] = {}
) -> Drained:
    """Runs a sink, with further variables, until it has drained `count` events of an empty topic.

    The sink waits, stopped, with its partitions assigned while the topic is filled, so neither the start of Python
    nor the group's forming is measured.
    """
    group = f"bench-{entry['kind']}-{time.monotonic_ns()}"
    # It must not be missed by its group while it is stopped.
    consumer = {"session.timeout.ms": 120_000, "max.poll.interval.ms": 300_000, **entry.pop("consumer", {})}
    entry = {"topics": [topic], "group": group, "consumer": consumer, **entry}
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "settings.test",
        "TEST_KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "TEST_HDFS_URL": stack.webhdfs_url,
        "TEST_ELASTICSEARCH_URL": stack.elasticsearch_url,
        "SINKS": json.dumps({"bench": entry}),
        **variables,
    }
    committed = Committed(stack, group, topic)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "manage.py", command, "--sink", "bench"], env=env, stdout=output, stderr=output
            )
        try:
            _wait_assigned(process, log)
            process.send_signal(signal.SIGSTOP)
            fill(stack, topic, count)
            begin = time.perf_counter()
            process.send_signal(signal.SIGCONT)
            while committed() < count:
                if process.poll() is not None or time.perf_counter() - begin > _DRAIN_SECONDS:
                    raise RuntimeError(f"the sink did not drain:\n{log.read_text()[-3000:]}")
                time.sleep(0.05)
            seconds = time.perf_counter() - begin
            peak = _peak_rss(process.pid)
        finally:
            process.kill()
            process.wait()
            committed.close()
    return Drained(count / seconds, peak)


def _wait_assigned(process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Every partition is read, and has been for long enough that no rebalance is under way."""
    deadline = time.monotonic() + _ASSIGNED_SECONDS
    balanced_since = None
    size = -1
    while balanced_since is None or time.monotonic() - balanced_since < 4:
        text = log.read_text()
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the sink did not start:\n{text[-3000:]}")
        owned = text.count(": reads ") - text.count(": leaves ")
        if owned == PARTITIONS and len(text) == size:
            balanced_since = balanced_since or time.monotonic()
        else:
            balanced_since = None
        size = len(text)
        time.sleep(0.1)


def _peak_rss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
