"""`manage.py verify`: proves that a sink of any kind has stored every Kafka record once."""

from dataclasses import dataclass
from typing import Any

from django.core.management.base import CommandError, CommandParser

from kafka_client.clusters import kafka_cluster
from sinks.log_reader import LogReader
from sinks.management.base import SinkCommand
from sinks.records import Partition
from sinks.registry import kind_of
from worker.commands import CARRIED_OUT_OR_NOT, ReportingCommand, whole


class Command(ReportingCommand, SinkCommand):
    """Compares the store of a sink with Kafka."""

    help = (
        "Compares what a sink has stored with the records in Kafka, record by record, and prints gaps, repeats and "
        "differences. Exit code 0: every record is stored once, or became a dead letter; 1: not, or nothing was "
        f"committed of what Kafka has; {CARRIED_OUT_OR_NOT}"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--partition", type=whole(0), help="only this partition (default: all)")
        text = "the first offset (default: the first in Kafka)"
        parser.add_argument("--from", type=whole(0), dest="first", help=text)
        text = "the last offset (default: what the sink has committed)"
        parser.add_argument("--to", type=whole(0), dest="last", help=text)

    def report(self, options: dict[str, Any]) -> bool:
        """Whether each record of the range is stored once, and there was one to look for where Kafka has records."""
        sink = self.sink(options)
        if None not in (options["first"], options["last"]) and options["first"] > options["last"]:
            raise CommandError(f"--from {options['first']} is behind --to {options['last']}")
        reader = LogReader(kafka_cluster(sink.kafka), group=sink.group)
        # Before the store is looked at: what a running sink stores meanwhile is not asked for.
        places = [
            _range_of(partition, reader, options["first"], options["last"])
            for topic in sink.topics
            for partition in reader.partitions(topic)
            if options["partition"] in (None, partition.number)
        ]
        if not places:
            raise CommandError(f"--partition: {', '.join(sink.topics)} has no partition {options['partition']}")
        is_asked = options["first"] is not None or options["last"] is not None
        if is_asked and all(place.is_empty and not place.is_unread for place in places):
            raise CommandError("--from, --to: Kafka has no records of this range")
        verification = kind_of(sink).verification(sink, reader)
        sound = True
        for place in places:
            if place.is_empty:
                self.stdout.write(f"{place}; nothing to verify")
                # Offsets without records are nothing that the sink has missed: compaction and transactions leave some.
                if place.is_unread and any(reader.read(place.partition, place.first, place.high)):
                    sound = False
                continue
            comparison = verification(place.partition, place.first, place.end)
            for note in comparison.notes:
                self.stdout.write(note)
            count = 0
            for finding in comparison.findings(reader.read(place.partition, place.first, place.end)):
                self.stdout.write(str(finding))
                count += 1
            sound = sound and not count
            verdict = f"{count} findings" if count else "each is stored once"
            offsets = f"offsets {place.first} to {place.end} (excluded)"
            self.stdout.write(f"{place}; {offsets}: {comparison.counted}; {verdict}")
        reader.close()
        return sound


@dataclass(frozen=True)
class _Range:
    """What is looked at of a partition: its offsets from `first` to `end` (excluded).

    low, high: the first offset in Kafka and the one after the last; committed: None when the group has committed
    nothing; is_unread: nothing is looked at, for the sink has committed nothing of what Kafka has.
    """

    partition: Partition
    low: int
    high: int
    committed: int | None
    first: int
    end: int
    is_unread: bool

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it."""
        return self.end <= self.first

    def __str__(self) -> str:
        committed = "nothing was committed" if self.committed is None else f"committed {self.committed}"
        lag = self.high - max(self.low, self.committed or 0)
        return f"{self.partition}: {committed}, end {self.high}, lag {lag} offsets"


def _range_of(partition: Partition, reader: LogReader, asked_first: int | None, asked_last: int | None) -> _Range:
    (low, high), committed = reader.bounds(partition), reader.committed(partition)
    first = max(low, asked_first or 0)
    end = min(high, (committed or 0) if asked_last is None else asked_last + 1)
    return _Range(partition, low, high, committed, first, end, is_unread=asked_last is None and end <= first < high)
