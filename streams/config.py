"""The settings that every stream has. The registry reads `settings.STREAMS` with them."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from kafka_client.names import Topic
from kafka_client.structs import ready


@ready
class StreamConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of STREAMS."""

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}$")]
    """The key of its entry in STREAMS."""
    type: str = ""
    """The stream's class, as a dotted path. Not needed for a built-in stream under its own name."""
    settings: dict[str, Any] = {}
    """The settings of the stream itself, see below for those of the built-in ones."""
    kafka: str = "default"
    """The cluster of settings.KAFKA that the stream reads and writes."""
    group: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9._-]{0,100}$")] = ""
    """The consumer group of all processes of the stream; it is a part of the names of the topics that keep its state.
    Default: `stream-` and the name. With another group, the stream begins anew with an empty state."""
    dead_letter_topic: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9._-]{0,249}$")] = ""
    """The topic for records that the stream can't use. Default: the name and `.dlq`."""
    commit_seconds: Annotated[float, Meta(ge=0.05, le=5)] = 0.5
    """A transaction is committed after this many seconds. More make fewer transactions; results become visible
    later."""
    consumer: dict[str, Any] = {}
    """librdkafka options of the consumer, for example `session.timeout.ms`."""
    producer: dict[str, Any] = {}
    """librdkafka options of the producer, for example `compression.type`."""
    stop_seconds: Annotated[float, Meta(ge=0, le=240)] = 30.0
    """A stream that is told to stop commits what it has read for at most this many seconds. What was not committed by
    then is read again."""
    heartbeat_seconds: Annotated[float, Meta(ge=0.5, le=60)] = 5.0
    """Seconds between two reports of each process to the project's database."""
    metrics_port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    """The port on which the stream's process serves metrics and status, 1 to 65535; none by default."""
    metrics_host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    """The address of that port; 0.0.0.0 lets other machines reach it."""

    @property
    def group_id(self) -> str:
        """The consumer group."""
        return self.group or f"stream-{self.name}"

    @property
    def dead_letters(self) -> Topic:
        """The topic for records that the stream can't use."""
        return self.dead_letter_topic or f"{self.name}.dlq"
