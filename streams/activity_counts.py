"""Counts events as they happen: of each topic, and of each value of chosen fields, in windows of time."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from events.conf import events_settings
from kafka_client.names import Topic
from kafka_client.structs import ready
from streams.stream import BadRecord, Flow, Record, Stream, decoded

VALUE_LENGTH = 200
"""Values of a field are told apart by so many characters: a key must not grow with what callers send."""

_decoder = msgspec.json.Decoder(dict[str, Any])


class Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a window is, and how often one begins."""

    seconds: Annotated[int, Meta(ge=1, le=86_400)]
    step_seconds: Annotated[int, Meta(ge=1, le=86_400)] | None = None


@ready
class ActivityCountsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is counted, and in which windows."""

    topics: dict[Topic, list[str]] = {}
    """Each topic that is read, with the fields whose values are counted, for example `{"select-color":
    ["colorName"]}`. Default: the collector's topic with `colorName`. The state grows with the number of values, so a
    field with a value for each user needs much disk."""
    to: Topic = "activity.counts"
    """The topic of the counts."""
    windows: tuple[Window, ...] = (Window(seconds=10),)
    """The windows. `{"seconds": 60, "step_seconds": 10}` is the last minute, every 10 seconds; each event is then
    counted in six windows. Without `step_seconds`, windows follow each other."""
    grace_seconds: Annotated[int, Meta(ge=0, le=31 * 86_400)] = 7 * 86_400
    """A window takes events until an event with the same topic, field and value is this many seconds later than the
    window's end. What comes after that is not counted there (metric `stream_late_total`). The partitions of a topic
    are read side by side, so this must be longer than the times in them are apart after a long stop; the default is
    how long Kafka keeps records by default. More need more disk."""


class Counted(msgspec.Struct, frozen=True):
    """A count so far: a record of the topic `to`. The last one of a window, field and value holds.

    begin, end: of the window, in milliseconds; kind: the topic; field and value are None in the count of all events.
    """

    begin: int
    end: int
    kind: str
    field: str | None
    value: Any
    count: int


class ActivityCounts(Stream[ActivityCountsSettings]):
    """Events per topic, per value of a field, and per window."""

    name = "activity-counts"
    settings = ActivityCountsSettings

    def check(self) -> None:
        """Windows must be told apart by their lengths, and leave no gaps."""
        if not self.values.windows:
            raise ValueError("windows must have one at least")
        if len({window.seconds for window in self.values.windows}) < len(self.values.windows):
            raise ValueError("windows must differ in seconds")
        for window in self.values.windows:
            if window.step_seconds is not None and window.seconds % window.step_seconds:
                raise ValueError(f"windows: {window.seconds} seconds must be a multiple of step_seconds")

    @property
    def topics(self) -> dict[str, list[str]]:
        """The topics that are read, with the fields whose values are counted."""
        return self.values.topics or {events_settings().topic: ["colorName"]}

    @property
    def topics_in(self) -> Sequence[str]:
        """The topics of the events."""
        return list(self.topics)

    @property
    def topics_out(self) -> Sequence[str]:
        """The topic of the counts."""
        return [self.values.to]

    def build(self, flow: Flow) -> None:
        """Each event becomes a key for each of its counts; records of one key meet in one partition of a topic between,
        where they are counted."""
        for topic, fields in self.topics.items():
            keys = flow.read(topic, read_event).apply(partial(keys_of, topic, fields), expand=True)
            keyed = keys.set_headers(_no_headers).group_by(_itself, name="counted")
            for window in self.values.windows:
                times = {"duration_ms": window.seconds * 1000, "grace_ms": self.values.grace_seconds * 1000}
                if window.step_seconds in (None, window.seconds):
                    windows = keyed.tumbling_window(**times, on_late=flow.on_late)
                else:
                    windows = keyed.hopping_window(**times, step_ms=window.step_seconds * 1000, on_late=flow.on_late)
                counts = windows.count().current().apply(_counted, metadata=True)
                flow.write(counts, self.values.to, key=key_of)


def read_event(record: Record) -> dict[str, Any]:
    """The event that a record holds. Raises BadRecord."""
    if record.timestamp < 0:
        raise BadRecord("the record has no time")
    return decoded(record, _decoder)


def keys_of(topic: str, fields: Sequence[str], event: dict[str, Any]) -> list[str]:
    """What an event counts for: [topic, null, null], and [topic, field, value] for each field; as JSON."""
    keys = [_key(topic, None, None)]
    for field in fields:
        value = event.get(field)
        if isinstance(value, str):
            value = value[:VALUE_LENGTH]
        elif isinstance(value, (dict, list)):
            continue  # no value to count by
        keys.append(_key(topic, field, value))
    return keys


def key_of(counted: Counted) -> bytes:
    """The key of a count: without the window, so that the counts of all windows stay in order."""
    return _key(counted.kind, counted.field, counted.value).encode()


def _key(topic: str, field: str | None, value: Any) -> str:
    return msgspec.json.encode((topic, field, value)).decode()


def _counted(window: dict[str, int], key: str, _timestamp: int, _headers: Any) -> Counted:
    kind, field, value = msgspec.json.decode(key)
    return Counted(window["start"], window["end"], kind, field, value, window["value"])


def _itself(key: str) -> str:
    return key


def _no_headers(*_: Any) -> list[tuple[str, bytes]]:
    return []
