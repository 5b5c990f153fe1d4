"""`manage.py verify_source`: compares what a source has read with what Kafka holds."""

from typing import Any

from django.core.management.base import CommandError

from sources.build import source_positions
from sources.management.base import SourceCommand
from sources.registry import kind_of
from sources.rewind import committed_records, message_reader
from worker.commands import CARRIED_OUT_OR_NOT, ReportingCommand


class Command(ReportingCommand, SourceCommand):
    """Compares the system that a source reads with Kafka."""

    help = (
        "Compares what a source has read, up to its committed positions, with the committed records in Kafka, and "
        "prints what is missing, twice or different. Exit code 0: each is there once; 1: not; "
        f"{CARRIED_OUT_OR_NOT}"
    )

    def report(self, options: dict[str, Any]) -> bool:
        """Whether each record is in Kafka once."""
        source = self.source(options)
        kind = kind_of(source)
        with message_reader(source) as reader:
            # Before Kafka is read: what a running source commits meanwhile is not asked for.
            positions = source_positions(source).read_all(reader)
            verification = kind.verification(source, positions)
            if verification is None:
                raise CommandError(f"a source of the kind {source.kind} can't be verified: what it read is gone")
            for topic in verification.topics:
                for record in committed_records(reader, topic):
                    verification.take(record)
            count = 0
            for finding in verification.findings():
                self.stdout.write(finding)
                count += 1
        verdict = f"{count} findings" if count else "each is in Kafka once"
        self.stdout.write(f"{source.name}, {len(positions)} parts: {verification.counted}; {verdict}")
        return not count
