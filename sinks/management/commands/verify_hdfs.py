"""`manage.py verify_hdfs`: proves that every Kafka record is stored in HDFS once."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from events.conf import kafka_cluster
from events.schema import check_for
from sinks.clusters import hdfs_cluster
from sinks.config import SinkConfig, sinks
from sinks.errors import Fatal, Retriable
from sinks.hdfs.client import connect
from sinks.hdfs.config import HdfsTarget
from sinks.hdfs.verify import Verifier, stored_files
from sinks.log_reader import LogReader


class Command(BaseCommand):
    """Compares a sink's files with what Kafka still has."""

    help = (
        "Compares the files of an HDFS sink with the records in Kafka, line by line, and prints gaps, repeats and "
        "differences. Exit code 0: every record is stored once; 1: not; for cron."
    )
    requires_system_checks = ["sinks"]

    def add_arguments(self, parser: CommandParser) -> None:
        """--sink, --from, --to, --partition."""
        parser.add_argument("--sink", default="hdfs", help="the entry of SINKS (default: hdfs)")
        parser.add_argument("--partition", type=int, help="only this partition (default: all)")
        parser.add_argument("--from", type=int, dest="first", help="the first offset (default: the first in Kafka)")
        parser.add_argument(
            "--to", type=int, dest="last", help="the last offset (default: what the sink has committed)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError when a server does not answer."""
        sink = sinks().get(options["sink"])
        if sink is None or not isinstance(sink.target, HdfsTarget):
            raise CommandError(f"SINKS has no hdfs sink {options['sink']!r}")
        try:
            sound = self._verify(sink, sink.target, options)
        except (Retriable, Fatal) as error:
            raise CommandError(str(error)) from error
        sys.exit(0 if sound else 1)

    def _verify(self, sink: SinkConfig, target: HdfsTarget, options: dict[str, Any]) -> bool:
        client = connect(hdfs_cluster(target.cluster), connections=1)
        reader = LogReader(kafka_cluster(sink.kafka), group=sink.group)
        check = check_for(sink.event)
        layout = target.layout(sink.event)
        files = stored_files(client, target.path, layout)
        sound = True
        for topic in sink.topics:
            for partition in reader.partitions(topic):
                if options["partition"] not in (None, partition.number):
                    continue
                first, end = reader.bounds(partition)
                first = max(first, options["first"] or 0)
                committed = reader.committed(partition)
                end = min(end, committed if options["last"] is None else options["last"] + 1)
                verifier = Verifier(client, layout, check, partition=partition, first=first, end=end)
                findings = list(verifier.findings(files, reader.read(partition, first, end)))
                for finding in findings:
                    self.stdout.write(str(finding))
                sound = sound and not findings
                verdict = f"{len(findings)} findings" if findings else "each is stored once"
                counts = f"{verifier.valid} events and {verifier.refused} dead letters"
                self.stdout.write(f"{partition}: offsets {first} to {end} (excluded): {counts}; {verdict}")
        reader.close()
        return sound
