"""What verify_hdfs and verify_es share: a command that compares what a sink has stored with what Kafka still has."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from django.core.management.base import BaseCommand, CommandError, CommandParser

from events.conf import kafka_cluster
from sinks.config import SinkConfig, sinks
from sinks.errors import Fatal, Retriable
from sinks.findings import Finding
from sinks.log_reader import LogReader
from sinks.records import Partition, Record


class Counts(Protocol):
    """How many records belong into the store and how many do not, once all findings were told."""

    valid: int
    refused: int


Findings = Callable[[Iterable[Record]], Iterator[Finding]]
"""Given Kafka's records of a range, in order, tells what is wrong with the store."""


class VerifyCommand(BaseCommand):
    """Compares the store of a sink with Kafka. kind: of the entries of SINKS; default: the entry without --sink."""

    kind = ""
    default = ""
    requires_system_checks = ["sinks"]

    def begin(self, sink: SinkConfig, reader: LogReader) -> Callable[[Partition, int, int], tuple[Counts, Findings]]:
        """Gives a function that begins the comparison of a partition from an offset up to another (excluded)."""
        raise NotImplementedError

    def add_arguments(self, parser: CommandParser) -> None:
        """--sink, --from, --to, --partition."""
        parser.add_argument("--sink", default=self.default, help=f"the entry of SINKS (default: {self.default})")
        parser.add_argument("--partition", type=int, help="only this partition (default: all)")
        parser.add_argument("--from", type=int, dest="first", help="the first offset (default: the first in Kafka)")
        parser.add_argument(
            "--to", type=int, dest="last", help="the last offset (default: what the sink has committed)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError when a server does not answer."""
        sink = sinks().get(options["sink"])
        if sink is None or sink.kind != self.kind:
            raise CommandError(f"SINKS has no {self.kind} sink {options['sink']!r}")
        try:
            sound = self._verify(sink, options)
        except (Retriable, Fatal) as error:
            raise CommandError(str(error)) from error
        sys.exit(0 if sound else 1)

    def _verify(self, sink: SinkConfig, options: dict[str, Any]) -> bool:
        reader = LogReader(kafka_cluster(sink.kafka), group=sink.group)
        # Before the store is looked at: what a running sink stores meanwhile is not asked for.
        ranges = [
            (partition, *self._range(reader, partition, options))
            for topic in sink.topics
            for partition in reader.partitions(topic)
            if options["partition"] in (None, partition.number)
        ]
        verification = self.begin(sink, reader)
        sound = True
        for partition, first, end in ranges:
            counts, compare = verification(partition, first, end)
            findings = list(compare(reader.read(partition, first, end)))
            for finding in findings:
                self.stdout.write(str(finding))
            sound = sound and not findings
            verdict = f"{len(findings)} findings" if findings else "each is stored once"
            counted = f"{counts.valid} events and {counts.refused} dead letters"
            self.stdout.write(f"{partition}: offsets {first} to {end} (excluded): {counted}; {verdict}")
        reader.close()
        return sound

    def _range(self, reader: LogReader, partition: Partition, options: dict[str, Any]) -> tuple[int, int]:
        first, end = reader.bounds(partition)
        committed = reader.committed(partition)
        return max(first, options["first"] or 0), min(
            end, committed if options["last"] is None else options["last"] + 1
        )
