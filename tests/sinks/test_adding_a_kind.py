"""docs/adding-a-sink.md is true: the kind that it adds is made of its text, runs on a real Kafka and is verified."""

import re
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.test import override_settings

import sinks
from devstack.stack import Stack
from events import conf
from pipeline.console.statistics.servers import read_stores
from pipeline.reference import _section
from pipeline.setup import set_up
from sinks import registry
from sinks.build import build_sink
from sinks.kind import Kind
from tests.support import event, produce, wait_until

DOC = Path(settings.BASE_DIR) / "docs" / "adding-a-sink.md"
FILE = re.compile(r"`(sinks/sqlite/\w+\.py)`.*?```python\n(.*?)```", re.DOTALL)


@pytest.fixture
def kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kind]:
    """Does what the page says: the files of the folder, and one line in the registry."""
    files = FILE.findall(DOC.read_text(encoding="utf-8"))
    assert [name for name, _ in files] == [f"sinks/sqlite/{name}.py" for name in ("config", "writer", "kind")]
    for name, text in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(sinks, "__path__", [*sinks.__path__, str(tmp_path / "sinks")])
    from sinks.sqlite.kind import SqliteKind  # type: ignore[import-not-found]

    kind: Kind = SqliteKind()
    monkeypatch.setitem(registry.KINDS, kind.name, kind)
    yield kind
    for module in [name for name in sys.modules if name.startswith("sinks.sqlite")]:
        del sys.modules[module]


def entry(file: Path, topic: str = "t") -> dict[str, Any]:
    return {"kind": "sqlite", "topics": [topic], "target": {"file": str(file)}, "tasks": 2}


def test_its_settings_are_checked_and_in_the_reference(kind: Kind, tmp_path: Path) -> None:
    with override_settings(SINKS={"rows": entry(tmp_path / "rows.sqlite")}):
        assert registry.sinks()["rows"].options.flush_seconds == 1.0
        assert checks.run_checks(tags=["sinks"]) == []
    registry.sinks.cache_clear()
    wrong = {**entry(tmp_path), "target": {"file": ""}}
    with override_settings(SINKS={"rows": wrong}), pytest.raises(ImproperlyConfigured, match=r"\$\.target\.file"):
        registry.sinks()
    assert "The database's file." in "".join(_section("SINKS", kind.target))


@pytest.mark.integration
def test_it_is_prepared_run_verified_and_shown(kind: Kind, servers: Stack, topic: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.sqlite"
    produce(servers, topic, [event(number) for number in range(300)])
    with override_settings(SINKS={"rows": entry(file, topic)}, EVENTS={**settings.EVENTS, "topic": topic}):
        conf.events_settings.cache_clear()
        assert f"SQLite tables in {file}: there" in list(set_up())
        parts = build_sink(registry.sinks()["rows"])
        stop = threading.Event()
        threads = [threading.Thread(target=task.run, args=(stop,)) for task in parts.tasks]
        for thread in threads:
            thread.start()
        wait_until(lambda: rows(file) == 300, what="300 rows")
        stop.set()
        for thread in threads:
            thread.join(60)
        parts.producer.close(5)
        assert verify() == (0, 3)
        with closing(sqlite3.connect(file)) as database, database:
            database.execute('DELETE FROM records WHERE "offset" = 7 AND number = 1')
        assert verify() == (1, 2)
        (shown,) = read_stores(kind, {})["services"]
        assert (shown["name"], shown["error"]) == ("SQLite", None)


def rows(file: Path) -> int:
    with closing(sqlite3.connect(file)) as database:
        return int(database.execute("SELECT count(*) FROM records").fetchone()[0])


def verify() -> tuple[int, int]:
    """The exit code, and of how many partitions each record is stored once."""
    told = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("verify", sink="rows", stdout=told)
    return int(ended.value.code or 0), told.getvalue().count("each is stored once")
