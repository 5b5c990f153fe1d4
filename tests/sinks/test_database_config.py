"""Mistakes in the target of a database sink, which `manage.py check` tells."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from settings.env import _database
from sinks import registry
from sinks.checks import check_sinks
from tests.databases import ALIAS, database_at


@pytest.fixture
def database(tmp_path: Path, django_db_blocker: Any) -> Iterator[str]:
    """A database that DATABASES names."""
    with django_db_blocker.unblock(), database_at(_database("DATABASES", f"sqlite:///{tmp_path / 'rows'}")) as alias:
        yield alias


def mistakes(**target: Any) -> list[str]:
    entry = {"kind": "database", "topics": ["clicks"], "target": {"database": ALIAS, "table": "clicks", **target}}
    with override_settings(SINKS={"under-test": entry}):
        registry.sinks.cache_clear()
        return [str(error) for error in check_sinks()]


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ({"database": "none"}, "target.database is 'none'"),
        ({"table": "x; DROP TABLE y"}, "table"),
        ({"columns": {"a": "no_field"}}, "no_field is no field of select-color"),
        ({"columns": {"a": "kafka.color"}}, "kafka.color is none of kafka.topic"),
        ({"key": ["b"]}, "key names b, which is no column of the sink"),
        ({"tombstones": "delete"}, "tombstones 'delete' needs a key"),
        (
            {"tombstones": "delete", "key": ["color"], "columns": {"color": "colorName"}},
            "color of the key must hold kafka.key",
        ),
        ({"table": "sink_offsets"}, "the table of the sinks' offsets"),
    ],
)
def test_a_mistake_in_the_target_is_told_before_anything_runs(database: str, target: dict[str, Any], text: str) -> None:
    assert [text in told for told in mistakes(**target)] == [True]


def test_a_target_without_a_mistake_passes(database: str) -> None:
    assert mistakes() == []
