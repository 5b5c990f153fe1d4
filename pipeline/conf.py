"""The typed view of `settings.CONSOLE`: how much the admin's statistics read, and how long they wait for a server."""

from functools import cache
from typing import Annotated

import msgspec
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from msgspec import Meta

from kafka_client.structs import ready


@ready
class ConsoleSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of what operators see; every entry has a default, and CONSOLE itself may be missing."""

    refresh_seconds: Annotated[float, Meta(ge=1)] = 5.0
    """Seconds between two reads of a visible panel."""
    wait_seconds: Annotated[float, Meta(gt=0, le=30)] = 0.7
    """Seconds after which the main page shows what it has, the rest later."""
    elasticsearch_timeout_seconds: Annotated[float, Meta(gt=0, le=60)] = 5.0
    """The longest wait for a search, in seconds."""
    kafka_timeout_seconds: Annotated[float, Meta(gt=0, le=60)] = 5.0
    """The longest wait for the offsets of a Kafka cluster, in seconds."""
    top: Annotated[int, Meta(ge=1, le=100)] = 10
    """Rows of top users and top browsers."""
    colors: Annotated[int, Meta(ge=1, le=20)] = 8
    """Colours with a series of their own in the chart."""
    newest: Annotated[int, Meta(ge=1, le=200)] = 20
    """Rows of the newest events."""
    user_agents: Annotated[int, Meta(ge=1, le=5000)] = 500
    """Different user agents that are read to count browsers."""
    partitions: Annotated[int, Meta(ge=1, le=10_000)] = 200
    """Partitions of one topic that are listed; totals count all of them."""
    store_timeout_seconds: Annotated[float, Meta(gt=0, le=60)] = 5.0
    """The longest wait for a store of files, and for any store's health, in seconds."""
    requests_at_once: Annotated[int, Meta(ge=3, le=1000)] = 8
    """Requests of the console that hold a thread of one process of the website at a time. Collecting has the other
    threads, so it must be less than the web server has (granian: `--blocking-threads`). Requests beyond it are answered
    503 at once, and pages ask again."""
    reads_at_once: Annotated[int, Meta(ge=1, le=100)] = 5
    """Reads of one server that one process of the website makes at a time. Together with `downloads_at_once` it must be
    less than `requests_at_once`, so that a server that hangs leaves places for the pages of others."""
    away_seconds: Annotated[float, Meta(ge=0, le=300)] = 5.0
    """Seconds for which a server that did not answer is not asked again."""
    records: Annotated[int, Meta(ge=1, le=500)] = 50
    """Records, documents and files on one page."""
    search_records: Annotated[int, Meta(ge=1, le=1_000_000)] = 20_000
    """Records of a topic that one search looks at."""
    search_bytes: Annotated[int, Meta(ge=1024, le=1024**3)] = 32 * 1024 * 1024
    """Bytes of a topic that one search looks at, and of the documents on one page."""
    search_seconds: Annotated[float, Meta(gt=0, le=25)] = 5.0
    """Seconds that one search of a topic takes at most."""
    preview_bytes: Annotated[int, Meta(ge=1024, le=16 * 1024 * 1024)] = 64 * 1024
    """Bytes of a record or of a text file that are shown."""
    decoded_bytes: Annotated[int, Meta(ge=1024, le=1024**3)] = 16 * 1024 * 1024
    """Bytes of a compressed, Parquet or Avro file that is previewed."""
    export_rows: Annotated[int, Meta(ge=1, le=10_000_000)] = 100_000
    """Documents of one export."""
    downloads_at_once: Annotated[int, Meta(ge=1, le=100)] = 2
    """Downloads and exports that one process of the website sends at a time."""
    download_stalled_seconds: Annotated[float, Meta(gt=0, le=3600)] = 60.0
    """Seconds for which a download may not be taken before its place is another one's."""
    download_seconds: Annotated[float, Meta(gt=0, le=86_400)] = 900.0
    """The longest that one download or export may take, in seconds."""
    audit_days: Annotated[int, Meta(ge=1, le=36_500)] = 365
    """Days for which the log of what operators did and read is kept. Older entries are deleted when a new one is
    written."""
    practice_topic: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9._-]{1,249}$")] = "practice"
    """The topic of the practice page."""

    def __post_init__(self) -> None:
        """Raises ValueError where entries do not fit together."""
        if self.reads_at_once + self.downloads_at_once >= self.requests_at_once:
            raise ValueError(
                f"reads_at_once ({self.reads_at_once}) and downloads_at_once ({self.downloads_at_once}) must together "
                f"be less than requests_at_once ({self.requests_at_once}), for a server that hangs must leave places"
            )


@cache
def console_settings() -> ConsoleSettings:
    """`settings.CONSOLE`; raises ImproperlyConfigured naming the entry that is wrong."""
    try:
        return msgspec.convert(getattr(settings, "CONSOLE", {}), ConsoleSettings)
    except msgspec.ValidationError as error:
        raise ImproperlyConfigured(f"CONSOLE: {error}") from error
