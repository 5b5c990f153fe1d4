"""The settings that sources of every kind have. The registry reads `settings.SOURCES` with them."""

import socket
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from kafka_client.names import Topic
from kafka_client.structs import ready


class SourceOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much a source reads at once, and how much one Kafka transaction holds. A kind may have other defaults."""

    batch_records: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    """One read of a part gives at most this many records. More need more memory and fewer reads."""
    batch_bytes: Annotated[int, Meta(ge=1024)] = 1024 * 1024
    """One read of a part stops when its records have this many bytes. More need more memory."""
    transaction_records: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """A transaction is committed when it has this many records. More make fewer transactions; records become visible
    later."""
    transaction_bytes: Annotated[int, Meta(ge=1024)] = 16 * 1024 * 1024
    """A transaction is committed when its records have this many bytes. Each positions partition that a process owns
    may need about twice as much memory."""
    transaction_seconds: Annotated[float, Meta(gt=0, le=60)] = 1.0
    """A transaction is committed this many seconds after its first read at the latest. More make fewer transactions;
    records become visible later."""
    retry_seconds: Annotated[float, Meta(gt=0)] = 10.0
    """The longest wait between two tries of a failed read, in seconds. More spare a server that is overloaded; the
    source goes on later once the server is back."""
    stop_seconds: Annotated[float, Meta(ge=0, le=240)] = 30.0
    """A source that is told to stop finishes its open transactions for at most this many seconds. What was not
    committed by then is read again."""


@ready
class SourceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of SOURCES."""

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}$")]
    """The key of its entry in SOURCES."""
    kind: str
    """The kind of system that is read, for example http."""
    target: Any
    """What the source reads and into which topics; the keys depend on the kind."""
    kafka: str = "default"
    """The cluster of settings.KAFKA that the source writes to."""
    tasks: Annotated[int, Meta(ge=1, le=64)] = 1
    """Threads that read, each with a share of the parts. More than `positions_partitions` in all processes are idle."""
    poll_seconds: Annotated[float, Meta(gt=0, le=86_400)] = 1.0
    """A part that had nothing new is asked again after this many seconds. More load the system less; records come
    later."""
    positions_topic: Topic = "source-positions"
    """The compacted topic that keeps how far each part is read. Sources may share it."""
    positions_partitions: Annotated[int, Meta(ge=1, le=1000)] = 8
    """The number of partitions of that topic; so many tasks, in all processes, can share the parts of a source. It
    can't be changed later: parts would move to other partitions."""
    dead_letter_topic: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9._-]{0,249}$")] = ""
    """The topic for what can't become a record, such as one that is too large for Kafka. Without it, the source stops
    there and says why."""
    host: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9._-]{0,255}$")] = ""
    """The name of this host in the positions of a source that reads what belongs to the host, such as files. Default:
    the host's own name. Give one where that name changes, as in containers."""
    producer: dict[str, Any] = {}
    """librdkafka options of the producers."""
    consumer: dict[str, Any] = {}
    """librdkafka options of the members of the source's group, for example `session.timeout.ms`."""
    options: SourceOptions = SourceOptions()
    """How much is read and committed at once, see below."""
    heartbeat_seconds: Annotated[float, Meta(ge=0.5, le=60)] = 5.0
    """Seconds between two reports of each process to the project's database. With more, the console shows errors
    later."""
    metrics_port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    """The port on which the source's process serves metrics and status, 1 to 65535; none by default."""
    metrics_host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    """The address of that port; 0.0.0.0 lets other machines reach it."""

    @property
    def host_name(self) -> str:
        """The name of this host in positions."""
        return self.host or socket.gethostname()
