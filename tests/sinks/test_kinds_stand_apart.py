"""Outside of the kinds' own folders nothing asks which kind a sink is of."""

import re
from pathlib import Path

from django.conf import settings

from sinks.registry import KINDS

ROOT = Path(settings.BASE_DIR)
ASKING = re.compile(
    rf"""isinstance\([^)]*Target\b|\bkind\b[\w.()\s]*(?:==|!=|\bin\b)\s*[\[({{]?["'](?:{"|".join(KINDS)})["']"""
)


def test_no_code_outside_of_a_kind_compares_the_kind_of_a_sink_or_the_type_of_its_target() -> None:
    own = [ROOT / "sinks" / kind for kind in KINDS]
    sources = [
        path
        for folder in ("sinks", "pipeline", "events", "kafka_client", "templates")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".html", ".js") and not any(path.is_relative_to(folder) for folder in own)
    ]
    assert len(sources) > 100
    asking = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sources
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if ASKING.search(line)
    ]
    assert asking == []


def test_the_pattern_finds_what_it_looks_for() -> None:
    for line in (
        'if sink.kind == "hdfs":',
        "{% if sink.kind == 'elasticsearch' %}",
        "isinstance(sink.target, HdfsTarget)",
    ):
        assert ASKING.search(line)
