"""`manage.py verify_hdfs`: proves that every Kafka record is stored in HDFS once."""

from collections.abc import Callable
from functools import partial
from typing import cast

from sinks.clusters import hdfs_cluster
from sinks.config import SinkConfig
from sinks.hdfs.client import connect
from sinks.hdfs.config import HdfsTarget
from sinks.hdfs.verify import Verifier, committed_open_files, stored_files
from sinks.log_reader import LogReader
from sinks.records import Partition
from sinks.verify_command import Counts, Findings, VerifyCommand


class Command(VerifyCommand):
    """Compares a sink's files with what Kafka still has."""

    help = (
        "Compares the files of an HDFS sink with the records in Kafka, line by line, and prints gaps, repeats and "
        "differences. Exit code 0: every record is stored once; 1: not; for cron."
    )
    kind = "hdfs"
    default = "hdfs"

    def begin(self, sink: SinkConfig, reader: LogReader) -> Callable[[Partition, int, int], tuple[Counts, Findings]]:
        """Lists the files once, for all partitions."""
        target = cast(HdfsTarget, sink.target)
        client = connect(hdfs_cluster(target.cluster), connections=1)
        layout, check = target.layout(sink.event), sink.check()
        open_files = committed_open_files(client, target.path, sink.name, sink.topics)
        files = stored_files(client, target.path, layout, open_files)

        def compare(partition: Partition, first: int, end: int) -> tuple[Counts, Findings]:
            verifier = Verifier(client, layout, check, partition=partition, first=first, end=end)
            return verifier, partial(verifier.findings, files)

        return compare
