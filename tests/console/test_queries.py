"""How often polled pages ask the database: a tab asks again every few seconds, however much there is to tell."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sinks.models import SinkLag, SinkProcess
from sinks.reporting.reports import SinkReport
from tests.pipeline.conftest import PAGE

Operator = Callable[..., Client]

POLLS = (
    f"{PAGE}panels/",
    "/admin/console/sinks/overview/",
    "/admin/console/sinks/hdfs/processes/",
    "/admin/console/sinks/hdfs/partitions/",
    "/admin/console/dead-letters/hdfs/reasons/",
)
MOST = 9
"""With those for the session, the user, the user's permissions and the time of the database."""


def heard(process: int, minutes: int) -> None:
    """A process of each sink beats now, and has samples of its lag."""
    now = timezone.now()
    for sink in ("hdfs", "elasticsearch"):
        report: dict[str, Any] = {"healthy": True, "since": now, "buffered_bytes": 0, "records": 7}
        text = msgspec.json.encode(SinkReport(sink=sink, **report, tasks=[], partitions=[])).decode()
        SinkProcess.objects.create(
            sink=sink, host="h", pid=process, started=now, version="1", heard_at=now, report=text
        )
        for minute in range(minutes):
            parts = msgspec.json.encode([("select-color", process % 3, 10 * minute, 9 * minute)]).decode()
            SinkLag.objects.create(sink=sink, sampled_at=now - timedelta(minutes=minute), parts=parts)


@pytest.mark.usefixtures("kafka_is_away")
@pytest.mark.parametrize("poll", POLLS)
def test_a_poll_asks_the_database_as_often_for_many_processes_as_for_one(operator: Operator, poll: str) -> None:
    client = operator("control", "replay")

    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(poll).status_code == 200
        return len(queries)

    heard(1, 2)
    asked()  # what is remembered is remembered now
    few = asked()
    for process in range(2, 30):
        heard(process, 10)
    assert asked() == few <= MOST
