"""The documentation says what the code does."""

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from connectors.conf import ConnectorsSettings
from connectors.running.metrics import StateCollector as ConnectorCollector
from connectors.running.worker import ConnectWorker
from events.metrics import metrics_text
from pipeline.reference import settings_reference
from sinks.reporting.metrics import SinkMetrics, StateCollector
from sinks.reporting.states import SinkStatus
from sources.metrics import SourceMetrics
from sources.metrics import StateCollector as SourceCollector
from sources.states import SourceStatus
from streams.states import StreamCollector, StreamStatus

PROJECT = Path(__file__).resolve().parent.parent


def test_every_setting_is_in_the_reference() -> None:
    assert (PROJECT / "docs/settings.md").read_text() == settings_reference(), "run `make docs`"


def test_every_variable_is_documented_and_every_documented_one_is_read() -> None:
    sources = "".join(path.read_text() for path in (PROJECT / "settings").glob("*.py"))
    read = set(re.findall(r"""(?:env\.\w+|environ\.get)\(\s*"([A-Z][A-Z0-9_]+)""", sources))
    text = (PROJECT / "docs/configuration.md").read_text()
    documented = set(re.findall(r"^\| `([A-Z0-9_]+)` \|", text, re.MULTILINE))
    assert read - documented == set()
    assert documented - read == set()


def test_every_metric_is_documented_and_every_documented_one_is_there() -> None:
    metrics = SinkMetrics()
    metrics.registry.register(StateCollector(SinkStatus("", [], lambda: 0).report))
    names = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in metrics.registry.collect()
        if family.name.startswith("sink_")
    }
    documented = set(re.findall(r"^\| `(sink_\w+)` \|", (PROJECT / "docs/operations.md").read_text(), re.MULTILINE))
    assert documented == names


def test_every_metric_of_sources_is_documented_and_every_documented_one_is_there() -> None:
    metrics = SourceMetrics()
    metrics.registry.register(SourceCollector(SourceStatus("", []).report))
    names = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in metrics.registry.collect()
        if family.name.startswith("source_")
    }
    documented = set(re.findall(r"^\| `(source_\w+)` \|", (PROJECT / "docs/operations.md").read_text(), re.MULTILINE))
    assert documented == names


def test_every_metric_of_streams_is_documented_and_every_documented_one_is_there() -> None:
    families = StreamCollector(StreamStatus("").stream_report).collect()
    names = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    documented = set(re.findall(r"^\| `(stream_\w+)` \|", (PROJECT / "docs/operations.md").read_text(), re.MULTILINE))
    assert documented == names


def test_every_metric_of_connectors_is_documented_and_every_documented_one_is_there() -> None:
    worker = ConnectWorker(ConnectorsSettings(), frozenset)
    names = {family.name for family in ConnectorCollector(worker).collect() if family.name.startswith("connector_")}
    text = (PROJECT / "docs/operations.md").read_text()
    documented = set(re.findall(r"^\| `(connector_\w+)` \|", text, re.MULTILINE))
    assert documented == names


def test_every_metric_of_the_collector_is_documented_and_every_documented_one_is_there(tmp_path: Path) -> None:
    families = text_string_to_metric_families(metrics_text(tmp_path).decode())
    names = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    documented = set(
        re.findall(r"^\| `(collector_\w+)` \|", (PROJECT / "docs/operations.md").read_text(), re.MULTILINE)
    )
    assert documented == names


def test_every_make_target_is_in_help() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert targets == set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))


@pytest.mark.parametrize(
    "document", ["README.md", *sorted(str(p.relative_to(PROJECT)) for p in PROJECT.glob("docs/*.md"))]
)
def test_links_lead_somewhere(document: str) -> None:
    path = PROJECT / document
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), f"{document} links to {target}"
