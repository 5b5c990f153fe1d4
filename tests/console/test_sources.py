"""The pages of the sources: what their processes said last."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from sources import registry
from sources.models import SourceProcess
from sources.reports import PartReport, SourceReport
from worker.reports import RecentError, TaskReport

Operator = Callable[..., Client]

PAGES = "/admin/console/sources/"
BEGUN = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
URL = "http://kim:geheim@shop:8778/memory"


@pytest.fixture(autouse=True)
def _one_source(settings: Settings) -> None:
    settings.SOURCES = {"brokers": {"kind": "http", "target": {"urls": [URL], "topic": "metrics"}}}
    registry.sources.cache_clear()


def part(name: str = "http://shop:8778/memory", **values: Any) -> PartReport:
    known = {"task": "brokers/0", "partition": 1, "state": "running", "since": BEGUN, "healthy": True, "reason": ""}
    return PartReport(**{"part": name, "tries": 0, **known, **values})


def heard(*parts: PartReport, error: str = "", host: str = "one", ago: int = 0, stopped: bool = False) -> None:
    """A process whose last heartbeat is so many seconds old."""
    errors = [RecentError(moment=BEGUN, where="brokers/0", text=error)] if error else []
    task = TaskReport(task="brokers/0", state="running", since=BEGUN, healthy=True, reason="", tries=0, errors=errors)
    states = {one.state: sum(other.state == one.state for other in parts) for one in parts}
    report = SourceReport(
        source="brokers",
        healthy=True,
        since=BEGUN,
        records=1234,
        tasks=[task],
        partitions=[1],
        states=states,
        parts=list(parts),
        last_write=BEGUN,
    )
    SourceProcess.objects.create(
        source="brokers",
        host=host,
        pid=7,
        version="1",
        started=BEGUN,
        heard_at=timezone.now() - timedelta(seconds=ago),
        stopped=stopped,
        records_per_second=0 if stopped else 2.5,
        report=msgspec.json.encode(report).decode(),
    )


def html(client: Client, path: str) -> str:
    answer = client.get(f"{PAGES}{path}/").json()
    return str(answer["html"])


def test_a_source_that_never_ran_is_shown_with_the_command_that_starts_it(operator: Operator) -> None:
    client = operator()
    assert 'data-state="never heard"' in html(client, "overview")
    assert "python manage.py run_source --source brokers" in html(client, "brokers/state")
    assert "No process of the source reads a part now." in html(client, "brokers/parts")


def test_the_overview_has_state_rate_and_last_error_of_all_processes(operator: Operator) -> None:
    heard(part(), error="no <answer>")
    heard(part("b"), host="two")
    shown = html(operator(), "overview")
    assert 'data-state="running"' in shown
    assert '<td class="console-number">5</td>' in shown  # 2.5 records/s of each process
    assert "no &lt;answer&gt;" in shown


def test_a_part_that_backs_off_comes_first_and_is_the_state_of_its_source(operator: Operator) -> None:
    heard(part("a", position={"time": 5}), part("b", state="backing off", reason="reading: away"))
    client = operator()
    parts = html(client, "brokers/parts")
    assert parts.index("reading: away") < parts.index("{&quot;time&quot;:5}")
    assert 'data-state="backing off"' in html(client, "overview")


@pytest.mark.parametrize(("stopped", "state"), [(True, "stopped"), (False, "silent")])
def test_a_source_whose_processes_are_gone_says_since_when(operator: Operator, stopped: bool, state: str) -> None:
    heard(part(), ago=60, stopped=stopped)
    client = operator()
    assert f'data-state="{state}"' in html(client, "overview")
    assert "No process of the source reads a part now." in html(client, "brokers/parts")


def test_a_report_of_another_version_is_no_failure(operator: Operator) -> None:
    heard(part())
    SourceProcess.objects.update(report='{"source":')
    client = operator()
    assert 'data-state="running"' in html(client, "overview")
    assert "one" in html(client, "brokers/state")


def test_a_page_has_no_password_and_a_source_that_is_not_configured_has_no_page(operator: Operator) -> None:
    client = operator()
    page = client.get(f"{PAGES}brokers/").content.decode()
    assert "http://shop:8778/memory" in page
    assert "geheim" not in page
    for path in ("other/", "other/state/", "other/parts/"):
        assert client.get(f"{PAGES}{path}").status_code == 404
