"""What a comparison of a store with Kafka finds."""

from dataclasses import dataclass

from sinks.records import Partition


@dataclass(frozen=True)
class Finding:
    """Something that is wrong. kind: gap, repeat, or difference; first, last: offsets."""

    partition: Partition
    kind: str
    first: int
    last: int
    detail: str

    def __str__(self) -> str:
        return f"{self.partition}: {self.kind}: offsets {self.first}-{self.last}: {self.detail}"
