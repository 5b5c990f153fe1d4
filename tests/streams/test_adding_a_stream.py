"""docs/adding-a-stream.md is true: the stream that it adds is made of its text."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project

from devstack.stack import Stack
from streams.checks import check_streams
from streams.registry import streams
from tests.streams.running import RunningStream, read_committed, send

DOCUMENT = (Path(project.BASE_DIR) / "docs/adding-a-stream.md").read_text(encoding="utf-8")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with the module that the document shows."""
    found = re.search(r"`(shop/streams\.py)`:\n\n```python\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found is not None
    file = tmp_path / found[1]
    file.parent.mkdir()
    file.write_text(found[2], encoding="utf-8")
    return tmp_path


def entry() -> dict[str, dict[str, str]]:
    """The setting that the document shows."""
    found = re.search(r"^STREAMS=(.*)$", DOCUMENT, re.MULTILINE)
    assert found is not None
    given: dict[str, dict[str, str]] = json.loads(found[1])
    return given


def test_its_entry_is_right(shop: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(shop)
    settings.STREAMS = entry()
    assert check_streams() == []
    assert streams()["totals"].topics == ["orders", "totals", "totals.dlq"]
    for name in ("shop", "shop.streams"):
        del sys.modules[name]


@pytest.mark.integration
@pytest.mark.xdist_group("streams")
def test_it_counts_what_each_customer_has_spent(kafka: Stack, shop: Path) -> None:
    (given,) = entry().values()
    stream = RunningStream(kafka, shop / "state", given, "orders", "totals", PYTHONPATH=str(shop))
    values = [json.dumps({"customer": f"c{number % 2}", "amount": number}).encode() for number in range(20)]
    orders = [(number % 3, 0, value) for number, value in enumerate(values)]
    send(kafka, "orders", [*orders, (0, 0, b'{"customer": "c0", "amount": "much"}')])
    with stream.running() as process:
        read_committed(kafka, "totals", at_least=20)
        read_committed(kafka, stream.dead_letters, at_least=1)
        assert process.stop() == 0, process.text
    last = {message.key(): json.loads(message.value())["total"] for message in read_committed(kafka, "totals")}
    assert last == {b"c0": sum(range(0, 20, 2)), b"c1": sum(range(1, 20, 2))}
    (letter,) = read_committed(kafka, stream.dead_letters)
    assert dict(letter.headers())["dlq.reason"] == b"Expected `int`, got `str` - at `$.amount`"
