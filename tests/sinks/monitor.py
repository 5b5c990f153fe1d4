"""Metrics, health and status of a running sink."""

import json
import socket
import urllib.error
import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.support import wait_until


class Monitor:
    """What a sink serves."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def _get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric that have these labels."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self._get("/metrics")[1])
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def health(self) -> tuple[int, dict[str, Any]]:
        """The answer's status and content."""
        status, body = self._get("/healthz")
        return status, json.loads(body)

    def partitions(self) -> list[dict[str, Any]]:
        """Those of /status."""
        content: list[dict[str, Any]] = json.loads(self._get("/status")[1])["partitions"]
        return content

    def wait_records(self, count: int) -> None:
        """Waits until so many records are done."""
        wait_until(lambda: self.total("sink_records_total") >= count, seconds=60, what=f"{count} records")

    def wait_lag(self, lag: int) -> list[dict[str, Any]]:
        """Waits until each partition's lag is this; returns the partitions."""
        return wait_until(
            lambda: self.partitions() if [p["lag"] for p in self.partitions()] == [lag] * 3 else None, what=f"lag {lag}"
        )
