"""What operators can ask of a sink: to pause, to resume, and to read a partition again from an earlier offset."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from django.utils.translation import gettext as _

from pipeline.console.sinks.progress import PartitionProgress, partition_progress, progress_now
from pipeline.errors import ServerError
from pipeline.heartbeats import HeardSink
from pipeline.kafka_offsets import Partition
from pipeline.kafka_reads import MAX_OFFSET, MAX_PARTITION
from sinks.config import SinkConfig
from sinks.models import ALL_PARTITIONS, SinkPause, SinkRestart
from sinks.registry import kind_of

Kind = Literal["pause", "resume", "restart"]


@dataclass(frozen=True)
class Action:
    """What is asked. partition: None for the whole sink; offset: of a restart, None while it is not chosen."""

    sink: SinkConfig
    kind: Kind
    partition: Partition | None
    offset: int | None = None

    @property
    def place(self) -> str:
        """The partition for people, empty for the whole sink."""
        return f"{self.partition[0]}-{self.partition[1]}" if self.partition else ""

    @property
    def logged(self) -> str:
        """What the log says of it."""
        to = "" if self.offset is None else f" from offset {self.offset}"
        return f"{self.kind} {self.place or 'all partitions'}{to}"


@dataclass(frozen=True)
class Plan:
    """What an action would do, as far as can be said now.

    row: the partition; error: why Kafka can't be asked; repeated: records that a restart would store again, at most;
    refusal: why it can't be done; command: what does it instead, from a shell.
    """

    row: PartitionProgress | None = None
    error: ServerError | None = None
    repeated: int | None = None
    refusal: str = ""
    command: str = ""


def parse(sink: SinkConfig, query: Mapping[str, str]) -> Action:
    """The action that a query names: action, topic and partition, offset. Raises ValueError."""
    kind = query.get("action", "")
    if kind not in get_args(Kind):
        raise ValueError(f"there is no action {kind!r}")
    topic, number, offset = query.get("topic", ""), query.get("partition", ""), query.get("offset", "")
    partition = (topic, int(number)) if topic else None
    if partition is not None and (topic not in sink.topics or not 0 <= partition[1] <= MAX_PARTITION):
        raise ValueError(f"{sink.name} does not read {topic}-{number}")
    if kind == "restart" and partition is None:
        raise ValueError("a restart is of one partition")
    if offset and not 0 <= int(offset) <= MAX_OFFSET:
        raise ValueError(f"{offset} is no offset")
    return Action(sink, kind, partition, int(offset) if offset and kind == "restart" else None)  # type: ignore[arg-type]


def plan(action: Action, heard: HeardSink) -> Plan:
    """The dry run: asks Kafka, changes nothing."""
    if action.partition is None:
        return Plan()
    offsets, error = progress_now(action.sink)
    rows = partition_progress(heard, offsets)
    row = next((row for row in rows if (row.topic, row.partition) == action.partition), None)
    if action.kind == "pause" and row is None and error is None:
        return Plan(refusal=_("This topic has no partition {number}.").format(number=action.partition[1]))
    if action.kind != "restart":
        return Plan(row, error)
    if row is None or error is not None:
        return Plan(row, error, refusal=_("Kafka does not tell how far the sink is."))
    command = ""
    if not kind_of(action.sink).restarts:
        to = "OFFSET" if action.offset is None else str(action.offset)
        command = kind_of(action.sink).rewind_command(action.sink, action.place, to)
    if action.offset is None:
        return Plan(row, command=command)
    repeated = None if row.committed is None else max(0, row.committed - action.offset)
    return Plan(row, None, repeated, _refusal(row, action.offset), command)


def carry_out(action: Action, heard: HeardSink, *, asked_by: str) -> str:
    """Writes the wish down for the sink to find; returns why not, if not."""
    name = action.sink.name
    if action.kind != "resume" and (refusal := plan(action, heard).refusal):
        return refusal
    if action.kind == "restart":
        return _ask_restart(action, asked_by)
    topic, number = action.partition or ("", ALL_PARTITIONS)
    place: dict[str, Any] = {"sink": name, "topic": topic, "partition": number}
    # Another operator may do the same now: nothing is deleted that is to be there afterwards.
    others = SinkPause.objects.filter(sink=name) if action.partition is None else SinkPause.objects.filter(**place)
    if action.kind == "pause":
        pause, _created = SinkPause.objects.get_or_create(**place, defaults={"asked_by": asked_by})
        others = others.exclude(pk=pause.pk)
    others.delete()  # resuming all takes the pauses of single partitions back, and a pause of all covers them
    return ""


def _ask_restart(action: Action, asked_by: str) -> str:
    if not kind_of(action.sink).restarts or action.partition is None or action.offset is None:
        return _("A sink of this kind can’t be restarted here.")
    topic, number = action.partition
    place = {"sink": action.sink.name, "topic": topic, "partition": number}
    SinkRestart.objects.create(**place, offset=action.offset, asked_by=asked_by)
    # The latest wish counts. Where two operators ask at once, the one who comes last here sees both wishes.
    pending = SinkRestart.objects.filter(**place, done_at=None)
    if latest := pending.order_by("pk").last():
        pending.filter(pk__lt=latest.pk).delete()
    return ""


def _refusal(row: PartitionProgress, offset: int) -> str:
    if row.committed is None:
        return _("The sink has not committed anything of this partition yet.")
    if offset >= row.committed:
        return _(
            "Offset {offset} is not below {committed}, where the sink is: going forward would leave records out."
        ).format(offset=offset, committed=row.committed)
    if row.first is not None and offset < row.first:
        return _("Kafka has no records before offset {first} any more.").format(first=row.first)
    return ""
