"""A kind of source whose parts hold the numbers from 0 on; `python -m tests.sources.numbers run_source …` runs it.

Each record's value is `<part> <number>`, its key the part.
"""

import os
import sys
import time
from collections.abc import Iterable
from typing import Any

import msgspec

from kafka_client.producer import Record
from kafka_client.structs import ready
from sources.config import SourceConfig
from sources.kind import SourceKind
from sources.reader import Chunk, Position
from worker.servers import Server


@ready
class NumbersTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """count: how many numbers each part has; chunk: how many one read gives; pause: seconds that a read takes."""

    topic: str
    parts: tuple[str, ...] = ("a",)
    count: int = 1000
    chunk: int = 10
    pause: float = 0.0


class NumbersReader:
    """Gives the numbers of a part."""

    def __init__(self, target: NumbersTarget, part: str) -> None:
        self._target = target
        self._part = part
        self._next = 0

    def open(self, position: Position | None) -> None:
        """Goes to the number that a position names."""
        self._next = position["next"] if position else 0

    def read(self) -> Chunk | None:
        """The next numbers, where there are any."""
        if self._target.pause:
            time.sleep(self._target.pause)
        end = min(self._next + self._target.chunk, self._target.count)
        if end <= self._next:
            return None
        topic, key = self._target.topic, self._part.encode()
        records = [Record(topic, b"%s %d" % (key, number), key=key) for number in range(self._next, end)]
        self._next = end
        return Chunk(records, {"next": end}, more=end < self._target.count)

    def close(self) -> None:
        """Holds nothing."""


class NumbersVerification:
    """Finds numbers below the positions that are not in Kafka once."""

    def __init__(self, topic: str, positions: dict[str, Position]) -> None:
        self.topics = [topic]
        self._positions = positions
        self._seen: dict[str, list[int]] = {}

    def take(self, record: Record) -> None:
        """Notes a number."""
        part, number = (record.value or b"").decode().split()
        self._seen.setdefault(part, []).append(int(number))

    def findings(self) -> Iterable[str]:
        """A line for each part that is not as it should be."""
        for part, position in self._positions.items():
            if self._seen.get(part, [])[: position["next"]] != list(range(position["next"])):
                yield f"{part}: not each number is there once"

    @property
    def counted(self) -> str:
        """How many numbers there are."""
        return f"{sum(map(len, self._seen.values()))} numbers"


class NumbersKind(SourceKind):
    """Parts that hold numbers."""

    name = "numbers"
    title = "Numbers"
    target = NumbersTarget

    def check(self, source: SourceConfig) -> None:
        """Everything can be used."""

    def topics(self, source: SourceConfig) -> list[str]:
        """Its topic."""
        return [source.target.topic]

    def parts(self, source: SourceConfig) -> Iterable[str]:
        """Those of the target."""
        return source.target.parts

    def reader(self, source: SourceConfig, part: str) -> NumbersReader:
        """A reader of one part."""
        return NumbersReader(source.target, part)

    def servers(self, sources: Iterable[SourceConfig]) -> list[Server]:
        """There are none."""
        return []

    def verification(self, source: SourceConfig, positions: Any) -> NumbersVerification:
        """Compares all numbers."""
        return NumbersVerification(source.target.topic, positions)


def main() -> None:
    """Runs a management command that knows this kind; arguments: those of manage.py."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.test")
    import django

    django.setup()
    from django.core.management import execute_from_command_line

    from sources import registry

    registry.KINDS["numbers"] = NumbersKind()
    execute_from_command_line(["manage.py", *sys.argv[1:]])


if __name__ == "__main__":
    main()
