"""A process that stores 30 records of a partition in a folder in append mode, as a sink does; run as a program.

Told a number, it stops itself (SIGSTOP) when it has opened a file for the append of this number and not written yet.
It prints "stored" when all is stored, "fenced" when another owner has the partition.
"""

import os
import signal
import sys
from typing import Any

from sinks.files.contents import FileLayout
from sinks.files.formats import make_format
from sinks.files.layout import Layout
from sinks.files.naming import FileNames, Folders
from sinks.files.ownership import Ownership
from sinks.files.partitions import AppendPartition
from sinks.folder.config import FolderTarget
from sinks.folder.store import FolderStore
from sinks.records import Batch, Columns, Partition
from tests.sinks.schedules import hasty_retry
from worker.errors import Fenced

RECORDS = 30
PARTITION = Partition("topic", 0)


def stop_at(number: int) -> None:
    """Lets this process stop in its append of this number."""
    appends = 0
    really_open = os.open

    def open_and_stop(path: str, flags: int, *arguments: Any, **options: Any) -> int:
        nonlocal appends
        file = really_open(path, flags, *arguments, **options)
        if flags & os.O_APPEND:
            appends += 1
            if appends == number:
                os.kill(os.getpid(), signal.SIGSTOP)
        return file

    os.open = open_and_stop  # type: ignore[assignment]


def store_all(root: str) -> None:
    """Takes the partition over and stores what is missing. Raises Fenced."""
    retry = hasty_retry()
    ownership = Ownership(FolderStore(root), Layout(root, "sink", PARTITION))
    position = retry.run(ownership.take_over()) or 0
    format_ = make_format("json", "json")
    names = FileNames("{topic}-{partition}-{start}-{end}.{ext}", format_.extension)
    partition = AppendPartition(
        ownership,
        position,
        FileLayout(Folders("", time="kafka", zone="UTC"), names, format_),
        partition=PARTITION,
        target=FolderTarget(path=root, mode="append", roll_records=1000, roll_bytes=1_000_000, open_files=1),
        check_identity=lambda: None,
        published=lambda files: None,
    )
    for first in range(position, RECORDS, 5):
        batch = Batch(PARTITION, first, 0, opened_at=0.0)
        batch.add(Columns(range(first, first + 5), [b"%d" % offset for offset in range(first, first + 5)], [0] * 5), {})
        retry.run(partition.store([batch]))
    retry.run(partition.rest(leaving=True))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        stop_at(int(sys.argv[2]))
    try:
        store_all(sys.argv[1])
    except Fenced:
        print("fenced")
    else:
        print("stored")
