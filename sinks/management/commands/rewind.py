"""`manage.py rewind`: moves the offset at which a sink reads a partition on."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from kafka_client.clusters import kafka_cluster
from sinks.config import SinkConfig
from sinks.log_reader import LogReader
from sinks.management.base import SinkCommand, patient
from sinks.records import Partition
from sinks.registry import kind_of, sinks
from worker.commands import CheckedCommand, whole


class Command(CheckedCommand, SinkCommand):
    """Lets records be stored again, or leaves some out."""

    help = (
        "Moves the offset at which a sink reads a partition on. Back: what is stored from there on is put out of "
        "sight (files) or deleted (rows), and its records are stored again. Forward (--skip): the records up to there "
        "will be stored nowhere. Without --yes it only tells what it would do."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--partition", required=True, help="topic and number, for example select-color-0")
        parser.add_argument("--to", type=whole(0), required=True, metavar="OFFSET", help="where to go on")
        parser.add_argument("--skip", action="store_true", help="go forward, leaving records out")
        parser.add_argument("--yes", action="store_true", help="do it")

    def handle(self, *args: Any, **options: Any) -> None:
        """Tells what it would do, and does it with --yes."""
        sink = self.sink(options)
        reader = LogReader(kafka_cluster(sink.kafka), group=sink.group)
        partition = _partition(reader, sink, options["partition"])
        first, end = reader.bounds(partition)
        reader.close()
        others = [other for other in sinks().values() if other.name != sink.name and other.kind == sink.kind]
        rewinding = kind_of(sink).rewinding(sink, partition, options["to"], others)
        if rewinding is None:
            raise CommandError(f"SINKS[{sink.name!r}] is of the kind {sink.kind}, which this command can't rewind")
        with rewinding as plan:
            for line in plan.told:
                self.stdout.write(line)
            if not first <= plan.to <= end:
                known = f"Kafka has offsets {first} to {end} (excluded) of {partition}"
                raise CommandError(f"{plan.to} can't be read: {known}")
            if plan.leaves_out and not options["skip"]:
                raise CommandError("to leave records out is what --skip is for; nothing was changed")
            if not options["yes"]:
                self.stdout.write("Nothing was changed; --yes does it.")
                return
            self.stdout.write(plan.carry_out(patient(sink), skip=options["skip"]))


def _partition(reader: LogReader, sink: SinkConfig, name: str) -> Partition:
    for topic in sink.topics:
        for partition in reader.partitions(topic):
            if str(partition) == name:
                return partition
    raise CommandError(f"{sink.name} reads no partition {name!r}")
