"""The settings of a source that polls JSON documents."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from kafka_client.names import Topic
from kafka_client.structs import ready


@ready
class HttpTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where JSON documents are asked for, and where the answers go."""

    urls: Annotated[tuple[str, ...], Meta(min_length=1, max_length=1000)]
    """The documents, each a URL that is asked every `poll_seconds`. A user and password in it are sent, and not
    shown."""
    topic: Topic
    """The topic of the answers."""
    headers: dict[str, str] = {}
    """Headers of every request, for example `Authorization`. They are not shown."""
    post: Any = None
    """JSON that is sent by POST, for servers that are asked so (Jolokia takes many questions at once). Without it, the
    document is asked for by GET."""
    timeout_seconds: Annotated[float, Meta(gt=0, le=60)] = 10.0
    """A server that has not answered in full after this time is asked again later."""
    max_bytes: Annotated[int, Meta(ge=1, le=256 * 1024 * 1024)] = 900_000
    """A longer answer is an error. More need more memory, and larger records in Kafka."""

    def __repr__(self) -> str:
        return f"HttpTarget(topic={self.topic!r}, {len(self.urls)} urls)"
