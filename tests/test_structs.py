"""Types that several threads may decode at first are made ready when they are imported (kafka_client/structs.py)."""

import re
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

ROOT = Path(settings.BASE_DIR)
DECODED = re.compile(r"msgspec\.(?:(?:json|msgpack)\.decode|convert)\([^\n]*?(?:type=|, )(\w+)\)")
STRUCT = re.compile(r"^(@ready\n)?(?:@\w+.*\n)*class (\w+)\((?:msgspec\.)?(?:Struct|\w*FilesTarget)\b", re.MULTILINE)


def sources() -> Iterator[str]:
    for package in ("kafka_client", "events", "worker", "sinks", "sources", "streams", "pipeline"):
        for path in (ROOT / package).rglob("*.py"):
            yield path.read_text(encoding="utf-8")


def test_each_struct_that_is_decoded_in_a_function_is_ready_when_it_is_imported() -> None:
    code = "\n\n".join(sources())
    is_ready = {name: bool(ready) for ready, name in STRUCT.findall(code)}
    decoded = {name for name in DECODED.findall(code) if name in is_ready}
    assert decoded >= {"SinkReport", "ConsoleSettings", "EventsSettings", "SinkConfig", "Merge"}
    targets = {name for name in is_ready if name.endswith("Target") and name != "FilesTarget"}
    assert {name for name in decoded | targets if not is_ready[name]} == set()
