"""Quix Streams changes nothing for those who use no streams."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project
from django.core.management import CommandError, call_command

ROOT = Path(project.BASE_DIR)
PIN = re.compile(r"^([\w.-]+)(?:\[\w+\])?==(\S+)$", re.MULTILINE)


def pins(file: str) -> dict[str, str]:
    found = PIN.findall((ROOT / file).read_text(encoding="utf-8"))
    return {re.sub(r"[-_.]+", "-", name).lower(): number for name, number in found}


def test_what_streams_need_is_pinned_beside_the_other_pins_and_changes_none() -> None:
    streams, others = pins("requirements-streams.txt"), pins("requirements.txt") | pins("requirements-dev.txt")
    assert not streams.keys() & others.keys()
    installed = {name: version(name) for name in (*streams, "confluent-kafka")}
    assert installed == {**streams, "confluent-kafka": others["confluent-kafka"]}


def test_quix_streams_is_imported_by_a_running_stream_alone() -> None:
    code = (
        "import sys, django; django.setup(); import pipeline.urls, pipeline.setup; print('quixstreams' in sys.modules)"
    )
    env = {"DJANGO_SETTINGS_MODULE": "settings.test", "STREAMS": '{"activity-counts": {}}'}
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert answer.stdout == "False\n"


def test_where_it_is_missing_it_is_told_how_to_install_it(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.STREAMS = {"activity-counts": {}}
    monkeypatch.delitem(sys.modules, "streams.engine", raising=False)
    monkeypatch.setitem(sys.modules, "quixstreams", None)
    with pytest.raises(CommandError, match=r"pip install --no-deps -r requirements-streams\.txt"):
        call_command("run_stream", "activity-counts")
