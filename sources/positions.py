"""Where the positions of a source are kept: keys and values of the compacted positions topic, and who owns which.

The position of a part lies under the key `<source>/<part>`, or `<source>@<host>/<part>` where what is read belongs to
a host. The key decides the partition. Who owns the partition reads the part, and produces its records and its new
position in transactions of the partition's transactional id.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from zlib import crc32

import msgspec

from kafka_client.producer import Record
from sources.config import SourceConfig
from sources.reader import Position
from worker.errors import Fatal
from worker.log_reader import MessageReader

_OPEN_SECONDS = 5.0
"""Transactions of other sources that hide positions end within this time, unless their owners have died."""

POSITIONS_CONFIG = {
    "cleanup.policy": "compact",
    # Whoever takes a partition over reads it from its beginning: small segments are compacted soon, and what a
    # transaction leaves there is removed after ten minutes.
    "segment.bytes": str(8 * 1024 * 1024),
    "min.cleanable.dirty.ratio": "0.1",
    "delete.retention.ms": "600000",
}
"""The settings of topics that keep the positions of sources."""

OWNER = "owner"
"""The header of a position's record that says which take-over wrote it."""


@dataclass(frozen=True)
class Positions:
    """The place of a source's positions.

    owner: the source, with its host where the positions belong to one; partitions: as many as the topic must have.
    """

    owner: str
    topic: str
    partitions: int

    @property
    def group(self) -> str:
        """The consumer group in which Kafka divides the partitions among the source's tasks."""
        return f"source-{self.owner}"

    def transactional_id(self, number: int) -> str:
        """The transactional id of who owns a partition."""
        return f"source-{self.owner}-{number}"

    def key(self, part: str) -> bytes:
        """The key of a part's position."""
        return f"{self.owner}/{part}".encode()

    def part(self, key: bytes | None) -> str | None:
        """The part that a key belongs to; None for a key of another source."""
        text = (key or b"").decode(errors="replace")
        prefix = f"{self.owner}/"
        return text.removeprefix(prefix) if text.startswith(prefix) else None

    def partition_of(self, part: str) -> int:
        """The partition in which a part's position lies."""
        return crc32(self.key(part)) % self.partitions

    def record(self, part: str, position: Position | None, writer: str) -> Record:
        """A part's position as a record. writer: the take-over that writes it; None as position removes the key."""
        value = None if position is None else msgspec.json.encode(position)
        return Record(self.topic, value, [(OWNER, writer.encode())], self.key(part))

    def check_partitions(self, numbers: Iterable[int]) -> None:
        """Raises Fatal when the topic has another number of partitions: parts would move and be read twice."""
        found = len(list(numbers))
        if found != self.partitions:
            raise Fatal(
                f"topic {self.topic} has {found} partitions where positions_partitions is {self.partitions}: parts "
                "would be looked for in other partitions and read again from their beginning; set "
                f"positions_partitions to the number with which the positions were written"
            )

    def read(self, reader: MessageReader, number: int) -> tuple[dict[str, Position], int]:
        """The positions of this source in one partition, and the offset up to which they were read.

        Whoever owns the partition calls it after its producer has fenced all earlier owners. Raises Retriable, also
        while an open transaction (of another source) hides a part of the partition: an older position may lie before.
        """
        first, end = reader.ends(self.topic, number)
        found: dict[str, Position] = {}
        for message in reader.messages(self.topic, number, first, end, wait_seconds=_OPEN_SECONDS):
            part = self.part(message.key())
            if part is None:
                continue
            value = message.value()
            if value is None:
                found.pop(part, None)
            else:
                found[part] = self._position(part, value)
        return found, end

    def read_all(self, reader: MessageReader) -> dict[str, Position]:
        """The positions of this source in all partitions. Raises Retriable and Fatal."""
        numbers = reader.numbers(self.topic)
        self.check_partitions(numbers)
        found: dict[str, Position] = {}
        for number in numbers:
            found |= self.read(reader, number)[0]
        return found

    def _position(self, part: str, value: bytes) -> Position:
        try:
            position = msgspec.json.decode(value)
        except ValueError:  # also what is no UTF-8
            position = None
        if not isinstance(position, dict):
            raise Fatal(f"the position of {part} in topic {self.topic} is {value[:200]!r}, which is no JSON object")
        return position


def positions_of(source: SourceConfig, *, local: bool) -> Positions:
    """Where a source keeps its positions. local: whether they belong to this host."""
    owner = f"{source.name}@{source.host_name}" if local else source.name
    return Positions(owner, source.positions_topic, source.positions_partitions)
