"""Stores each batch as one HDFS file, written under a temporary name and renamed when it is whole."""

import logging
import threading
import uuid

import msgspec

from sinks.errors import Fatal
from sinks.hdfs.client import HdfsClient, NotFound
from sinks.records import Batch, Partition, Rejected

logger = logging.getLogger(__name__)


class HdfsWriter:
    """Files of JSON lines under `path`, named by topic, partition, first and last offset.

    What is not whole yet lies under `<path>/_sink/<sink>/<topic>/<partition>/pending/`.
    """

    def __init__(self, client: HdfsClient, *, path: str, sink: str) -> None:
        self._client = client
        self._path = path
        self._sink = sink

    def open(self, partition: Partition, committed: int | None, cancelled: threading.Event) -> int | None:
        """Removes what an earlier owner left unfinished, and goes on where Kafka says."""
        self._client.delete(self._pending(partition), recursive=True)
        return committed

    def store(self, batch: Batch, cancelled: threading.Event) -> list[Rejected]:
        """Stores the batch as one file. Raises Fatal when another file of that name holds something else."""
        final = f"{self._path}/{file_name(batch)}"
        temporary = f"{self._pending(batch.partition)}/{uuid.uuid4().hex}"
        data = json_lines([record.value or b"" for record in batch.records])
        self._client.create(temporary, data)
        if (length := self._client.length(temporary)) != len(data):
            raise Fatal(f"HDFS stored {length} of {len(data)} bytes of {batch} in {temporary}")
        self._publish(temporary, final)
        return []

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _pending(self, partition: Partition) -> str:
        return f"{self._path}/_sink/{self._sink}/{partition.topic}/{partition.number}/pending"

    def _publish(self, temporary: str, final: str) -> None:
        if self._client.rename(temporary, final):
            return
        # Refused: either the file is there since an earlier try or run, or the data folder is missing.
        try:
            same = self._client.checksum(final) == self._client.checksum(temporary)
        except NotFound:
            self._client.make_folders(self._path)
            if not self._client.rename(temporary, final):
                raise Fatal(f"HDFS refuses to rename {temporary} to {final}") from None
            return
        if not same:
            raise Fatal(f"{final} is there already and holds something else; was the topic made again?")
        self._client.delete(temporary)


def file_name(batch: Batch) -> str:
    """The name of a batch's file, for example select-color-0-00000000000000000010-00000000000000000019.log."""
    return f"{batch.partition}-{batch.first_offset:020d}-{batch.last_offset:020d}.log"


def json_lines(values: list[bytes]) -> bytes:
    """One JSON text a line, each as it is; only one that spans lines itself is written anew without them."""
    data = b"\n".join(values) + b"\n"
    if data.count(b"\n") != len(values):
        data = (
            b"\n".join(msgspec.json.format(value, indent=-1) if b"\n" in value else value for value in values) + b"\n"
        )
    return data
