"""verify_hdfs, verify_es and replay_dlq end with 0, 1 or 2, and name an argument that makes no sense."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from sinks.dead_letters.replay import Replayer
from sinks.findings import Finding
from sinks.hdfs.kind import HdfsKind
from sinks.kind import Comparison, Verification
from sinks.management.commands import replay_dlq
from sinks.management.commands.verify import Command as VerifyCommand
from sinks.records import Partition, Record

ENTRY = {"kind": "hdfs", "topics": ["t"], "target": {"path": "/data/t"}}


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("replay_dlq --sink hdfs --limit -1", "argument --limit: -1 must be at least 1"),
        ("replay_dlq --sink hdfs --limit many", "argument --limit: 'many' is not a whole number"),
        ("replay_dlq --sink hdfs --reason [", "--reason: unterminated character set"),
        ("replay_dlq --sink hdfs --topic other", "--topic: hdfs reads no topic 'other'"),
        ("replay_dlq --sink elasticsearch --to sink --keyed", "--keyed belongs to --to topic"),
        ("replay_dlq --sink nobody", "SINKS has no entry 'nobody'"),
        ("verify_es --from -1", "argument --from: -1 must be at least 0"),
        ("verify_es --to 99999999999999999999", "argument --to: 99999999999999999999 must be at most"),
        ("verify_hdfs --partition -1", "argument --partition: -1 must be at least 0"),
        ("verify_hdfs --from 9 --to 8", "--from 9 is behind --to 8"),
        ("verify_hdfs --sink elasticsearch", "SINKS has no hdfs sink 'elasticsearch'"),
    ],
)
def test_arguments_that_make_no_sense_are_named_and_end_with_2(command: str, named: str) -> None:
    with pytest.raises(CommandError) as refused:
        call_command(*command.split())
    assert named in str(refused.value)
    assert "argument" in named or refused.value.returncode == 2  # argparse itself ends a process with 2


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("delete_old_indices --days -1", "argument --days: -1 must be at least 0"),
        ("delete_old_indices --days 99999999999", "argument --days: 99999999999 must be at most"),
        ("compact_hdfs --target-bytes 0", "argument --target-bytes: 0 must be at least 1"),
        *(
            (f"compact_hdfs --folder {folder}", f"argument --folder: '{folder}' must be a path below the sink's")
            for folder in ("../..", "..", "dt=1/../..", "/dt=1", "dt=1//h=2", "./dt=1", ".", "/", "_sink", "dt=1/_sink")
        ),
        ("compact_hdfs --older-than nan", "--older-than is nan; it must be at least 0"),
        ("rewind_hdfs --partition select-color-0 --to -1", "argument --to: -1 must be at least 0"),
    ],
)
def test_so_are_those_of_commands_that_change_something(command: str, named: str) -> None:
    with pytest.raises(CommandError, match=re.escape(named)) as refused:
        call_command(*command.split())
    assert "argument" in named or refused.value.returncode == 2


def test_an_empty_folder_is_named_too() -> None:
    with pytest.raises(CommandError, match="argument --folder: '' must be a path below the sink's"):
        call_command("compact_hdfs", "--folder", "")


@pytest.mark.parametrize("command", [["verify_hdfs"], ["verify_es"], ["replay_dlq", "--sink", "hdfs"]])
def test_wrong_settings_and_a_server_that_is_away_end_with_2(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with override_settings(SINKS={"wrong": {}}), pytest.raises(CommandError) as refused:
        call_command(*command, skip_checks=False)
    assert refused.value.returncode == 2
    monkeypatch.setattr("worker.log_reader._STALLED_SECONDS", 0.2)
    monkeypatch.setattr(replay_dlq, "Replayer", partial(Replayer, patience_seconds=0.2))
    away = {"default": {"bootstrap.servers": "127.0.0.1:1"}}
    with override_settings(KAFKA=away), pytest.raises(CommandError, match="Kafka: ") as refused:
        call_command(*command)
    assert refused.value.returncode == 2
    assert "rdkafka#" not in "".join(capfd.readouterr()), "librdkafka's own lines on the terminal"


class Kafka:
    """A LogReader. places: by partition, the first offset, the one after the last, and the committed one.

    has_gaps: offsets are left that are no records.
    """

    places: dict[int, tuple[int, int, int | None]]
    has_gaps = False

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def partitions(self, topic: str) -> list[Partition]:
        return [Partition(topic, number) for number in self.places]

    def bounds(self, partition: Partition) -> tuple[int, int]:
        return self.places[partition.number][:2]

    def committed(self, partition: Partition) -> int | None:
        return self.places[partition.number][2]

    def read(self, partition: Partition, first: int, end: int) -> Iterator[Record]:
        return (Record(offset, b"{}", 0) for offset in range(first, end) if not self.has_gaps)

    def close(self) -> None:
        pass


class Verify(VerifyCommand):
    """Of a store that has everything but offset 13."""

    kind = default = "hdfs"


def all_but_13(*_: Any) -> Verification:
    """Verifies that store."""

    class Comparing(Comparison):
        counted = ""

        def findings(self, records: Iterable[Record]) -> Iterator[Finding]:
            offsets = [record.offset for record in records]
            self.counted = f"{len(offsets)} events"
            if 13 in offsets:
                yield Finding(Partition("t", 0), "gap", 13, 13, "it is not there")

    return lambda *_: Comparing()


@pytest.fixture
def verify(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    def run(*arguments: str, **places: tuple[int, int, int | None]) -> tuple[int, str]:
        monkeypatch.setattr("sinks.management.commands.verify.LogReader", Kafka)
        monkeypatch.setattr(HdfsKind, "verification", all_but_13)
        Kafka.places = {int(name[1:]): place for name, place in places.items()}
        told = StringIO()
        with override_settings(SINKS={"hdfs": ENTRY}), pytest.raises(SystemExit) as ended:
            call_command(Verify(stdout=told), *arguments)
        return int(ended.value.code or 0), told.getvalue()

    return run


def test_each_partition_is_told_with_what_was_committed_and_what_waits(verify: Callable[..., tuple[int, str]]) -> None:
    assert verify(p0=(0, 10, 8), p1=(0, 0, None)) == (
        0,
        "t-0: committed 8, end 10, lag 2 offsets; offsets 0 to 8 (excluded): 8 events; each is stored once\n"
        "t-1: nothing was committed, end 0, lag 0 offsets; nothing to verify\n",
    )
    code, told = verify(p0=(5, 20, 20))
    assert (code, "13-13: it is not there" in told, "15 events; 1 findings" in told) == (1, True, True)


def test_a_sink_that_has_committed_nothing_is_not_well(verify: Callable[..., tuple[int, str]]) -> None:
    code, told = verify(p0=(0, 10, 10), p1=(3, 10, None))
    assert (code, told.splitlines()[1]) == (1, "t-1: nothing was committed, end 10, lag 7 offsets; nothing to verify")
    assert verify(p0=(50, 90, 40))[0] == 1, "what it has committed has expired, what it has not waits"
    assert verify("--from", "5", p0=(0, 10, 3))[0] == 1


def test_a_sink_has_missed_nothing_where_kafka_has_offsets_without_records(
    verify: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Kafka, "has_gaps", True)
    assert verify(p0=(0, 10, None))[0] == 0


def test_a_range_that_was_asked_for_is_looked_at_whatever_was_committed(
    verify: Callable[..., tuple[int, str]],
) -> None:
    code, told = verify("--from", "2", "--to", "4", p0=(0, 10, None))
    assert (code, "offsets 2 to 5 (excluded): 3 events" in told) == (0, True)
    for arguments, named in (
        (["--from", "20", "--to", "30"], "Kafka has no records of this range"),
        (["--partition", "7"], "t has no partition 7"),
    ):
        with pytest.raises(CommandError, match=named) as refused:
            verify(*arguments, p0=(0, 10, 10))
        assert refused.value.returncode == 2
