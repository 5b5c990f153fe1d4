"""`manage.py verify_hdfs`: proves that every Kafka record is stored in HDFS once."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from sinks.clusters import hdfs_cluster
from sinks.config import SinkConfig
from sinks.errors import Retriable
from sinks.files.layout import Layout
from sinks.files.rewind_marks import RewindMarks, describe
from sinks.files.store import NotFound
from sinks.files.stored import committed_open_files, settled_files
from sinks.files.verify import Verifier
from sinks.hdfs.client import connect
from sinks.hdfs.config import HdfsTarget
from sinks.log_reader import LogReader
from sinks.management.exit_codes import CARRIED_OUT_OR_NOT
from sinks.management.verify import Counts, Findings, VerifyCommand
from sinks.records import Partition


class Command(VerifyCommand):
    """Compares a sink's files with what Kafka still has."""

    help = (
        "Compares the files of an HDFS sink with the records in Kafka, line by line, and prints gaps, repeats and "
        "differences. Exit code 0: every record is stored once; 1: not, or nothing was committed of what Kafka has; "
        f"{CARRIED_OUT_OR_NOT}"
    )
    kind = "hdfs"
    default = "hdfs"

    def report(self, options: dict[str, Any]) -> bool:
        """Whether each record of the range is stored once."""
        try:
            return super().report(options)
        except NotFound as error:
            raise Retriable(f"{error}: files were moved meanwhile; run it again") from error

    def begin(self, sink: SinkConfig, reader: LogReader) -> Callable[[Partition, int, int], tuple[Counts, Findings]]:
        """Lists the files once, for all partitions."""
        target = cast(HdfsTarget, sink.target)
        client = connect(hdfs_cluster(target.cluster), connections=1)
        layout, check = target.layout(sink.event), sink.check()
        open_files = committed_open_files(client, target.path, sink.name, sink.topics)
        folders = [Layout(target.path, sink.name, Partition(topic, 0)) for topic in sink.topics]
        files = sorted(file for folder in folders for file in settled_files(client, folder, layout, open_files))

        def compare(partition: Partition, first: int, end: int) -> tuple[Counts, Findings]:
            for mark in RewindMarks(client, Layout(target.path, sink.name, partition)).under_way():
                self.stdout.write(f"{partition}: {describe(mark)} is unfinished: run rewind_hdfs again")
            verifier = Verifier(client, layout, sink.event, check, partition=partition, first=first, end=end)
            return verifier, partial(verifier.findings, files)

        return compare
