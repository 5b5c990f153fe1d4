"""`manage.py rewind`: moves the offset at which a sink of any kind that stores files reads a partition on."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from kafka_client.clusters import kafka_cluster
from sinks.config import SinkConfig
from sinks.file_kind import FileKind, layout_of
from sinks.files.contents import FileLayout
from sinks.files.rewind import Plan
from sinks.log_reader import LogReader
from sinks.management.base import FilesCommand, patient
from sinks.records import Partition
from sinks.registry import sinks
from sinks.topic_ids import TopicAdmin
from worker.commands import whole
from worker.errors import Retriable


class Command(FilesCommand):
    """Lets records be stored again, or leaves some out."""

    help = (
        "Moves the offset at which a sink reads a partition on. Back: the files from there on are moved out of "
        "sight, and their records are stored again. Forward (--skip): the records up to there will be in no file. "
        "Without --yes it only tells what it would do."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--partition", required=True, help="topic and number, for example select-color-0")
        parser.add_argument("--to", type=whole(0), required=True, metavar="OFFSET", help="where to go on")
        parser.add_argument("--skip", action="store_true", help="go forward, leaving records out")
        parser.add_argument("--yes", action="store_true", help="do it")

    def work(self, sink: SinkConfig, kind: FileKind, options: dict[str, Any]) -> None:
        """Tells what it would do, and does it with --yes."""
        reader = LogReader(kafka_cluster(sink.kafka), group=sink.group)
        partition = _partition(reader, sink, options["partition"])
        first, end = reader.bounds(partition)
        with kind.rewinding(sink, partition, _layouts_of_others(sink, kind)) as rewind:
            plan = rewind.plan(options["to"])
            for line in [*_told(partition, options["to"], plan), *_lost(sink, partition, plan)]:
                self.stdout.write(line)
            reader.close()
            if not first <= plan.to <= end:
                bounds = f"Kafka has offsets {first} to {end} (excluded) of {partition}"
                raise CommandError(f"{plan.to} can't be read: {bounds}")
            if plan.to > (plan.now or 0) and not options["skip"]:
                raise CommandError("to leave records out is what --skip is for; nothing was changed")
            if not options["yes"]:
                self.stdout.write("Nothing was changed; --yes does it.")
                return
            replaced = rewind.carry_out(plan, patient(sink), skip=options["skip"])
        self.stdout.write(f"{partition}: goes on at offset {plan.to}; files that were replaced lie in {replaced}")
        self.stdout.write("A sink that is running notices with its next file, or is restarted to begin there at once.")


def _partition(reader: LogReader, sink: SinkConfig, name: str) -> Partition:
    for topic in sink.topics:
        for partition in reader.partitions(topic):
            if str(partition) == name:
                return partition
    raise CommandError(f"{sink.name} reads no partition {name!r}")


def _layouts_of_others(sink: SinkConfig, kind: FileKind) -> list[FileLayout]:
    """What the files of other sinks in the same folder look like."""
    others = [other for other in sinks().values() if other.name != sink.name and other.kind == sink.kind]
    in_folder = [other for other in others if other.target.path == sink.target.path]
    return [layout_of(other) for other in in_folder if kind.places(other) & kind.places(sink)]


def _lost(sink: SinkConfig, partition: Partition, plan: Plan) -> list[str]:
    """What to know of files whose records Kafka has compacted since they were written."""
    try:
        if not plan.replaced or not TopicAdmin(kafka_cluster(sink.kafka)).is_compacted(partition.topic):
            return []
    except Retriable as error:
        return [f"whether Kafka compacts {partition.topic} is not known: {error}"]
    which = "records of these files that Kafka has removed since, for newer ones of their keys"
    return [f"{partition.topic} is compacted: {which}, are not stored again"]


def _told(partition: Partition, asked: int, plan: Plan) -> list[str]:
    now = "the beginning" if plan.now is None else f"offset {plan.now}"
    lines = [f"{partition}: up to now the sink goes on at {now}"]
    if plan.to < asked:
        lines.append(f"offset {asked} is in the middle of a file, which is replaced as a whole: from offset {plan.to}")
    if plan.replaced:
        what = f"{len(plan.replaced)} with offsets {plan.to} to {max(file.last for file in plan.replaced)}"
        lines.append(f"files that would be moved out of sight, {what}; what Kafka has of them is stored again:")
        lines += [f"  {file.path}" for file in plan.replaced]
    if plan.growing:
        lines.append("files that are still open, which are closed first and replaced when they hold such records:")
        lines += [f"  {path}" for path in plan.growing]
    if plan.replaced and plan.unknown:
        lines.append(
            f"files with names that no sink of this folder gives, {len(plan.unknown)}, stay; if they hold such "
            f"records, move them away, or these will be there twice: {plan.unknown[0]}"
        )
    if plan.to > (plan.now or 0):
        what = f"offsets {plan.now or 0} to {plan.to - 1} would be left out"
        lines.append(f"{what}: in no file, a gap that `manage.py verify` reports as long as Kafka has them")
    return lines
