"""Which records of a topic an operator asked for, and reading them."""

import heapq
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, cast

from django.utils.translation import gettext as _

from pipeline.conf import console_settings
from pipeline.console.pages import NotThere
from pipeline.console.topics.messages import Bounds, Reading, StoppedBy, TopicMessage, read_messages
from pipeline.errors import ServerError
from pipeline.guard import guard
from pipeline.kafka_reads import MAX_OFFSET, MAX_PARTITION, PartitionOffsets, offsets_at, read_offsets, server_name
from pipeline.time_range import moment_of

Start = Literal["newest", "oldest", "offset", "time"]
STARTS: tuple[Start, ...] = ("newest", "oldest", "offset", "time")

_MOST_OF_ALL = 5_000
"""Records that are read of all partitions together to show one page of them."""
_WINDOW = 4_000
"""Offsets that a search for the newest looks at in one go."""


@dataclass(frozen=True)
class Query:
    """What to show.

    partition: one, or all; start: where; offset, time (ms): for those starts; text: to search for; cursor: partition ->
    the offset at which an earlier page of the same query ended.
    """

    partition: int | None = None
    start: Start = "newest"
    offset: int = 0
    time: int = 0
    text: str = ""
    cursor: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """A page of records.

    ends: where newer ones begin. following: the cursor of the query's next page, if any. is_whole: whether these are
    all records of the partitions. held: how many records the partitions hold; where not all were read, how many at
    most, for compaction and transactions leave gaps.
    """

    messages: list[TopicMessage]
    ends: Mapping[int, int]
    following: Mapping[int, int] | None
    reading: Reading
    errors: list[str]
    held: int = 0
    is_whole: bool = False

    @property
    def bytes_held(self) -> int | None:
        """About how many bytes of keys and values the partitions hold at most, by the mean of the records read.

        Exact when all were read, None without any. Compression, headers, indexes and further replicas are not counted:
        Kafka's client has no way to ask for what a broker has on disk.
        """
        if self.is_whole:
            return self.reading.bytes
        return self.held * self.reading.bytes // self.reading.records if self.reading.records else None


def parse_query(query: Mapping[str, str]) -> Query:
    """The query of a page's address. Raises ValueError saying what is wrong with it."""
    start = query.get("from") or "newest"
    if start not in STARTS:
        raise ValueError(_("“from” must be one of {names}.").format(names=", ".join(STARTS)))
    return Query(
        partition=number_of(query.get("partition", ""), _("Partition")),
        start=start,
        offset=number_of(query.get("offset", ""), _("Offset")) or 0,
        time=time_in_kafka(query["time"]) if start == "time" and query.get("time") else 0,
        text=query.get("q", "").strip(),
        cursor=read_cursor(query.get("cursor", "")),
    )


def number_of(text: str, name: str) -> int | None:
    """A whole number of a query, None for none. Raises ValueError."""
    if not text.strip():
        return None
    if not (text.strip().isascii() and text.strip().isdecimal() and len(text) < 19):
        raise ValueError(_("{name} must be a whole number, not “{text}”.").format(name=name, text=text[:50]))
    return int(text)


def time_in_kafka(text: str) -> int:
    """A time as a form's field gives it, in milliseconds since the epoch. Raises ValueError, also before 1970."""
    found = int(moment_of(text).timestamp() * 1000)
    if found < 0:  # to Kafka these are no times
        raise ValueError(_("“{text}” is before 1970.").format(text=text[:50]))
    return found


def browse(cluster: str, topic: str, query: Query) -> Found:
    """The records that a query asks for: the newest first, or from its start on. Raises ServerError, NotThere."""
    with guard().read(server_name(cluster)):
        parts, errors = _parts(cluster, topic, query.partition)
        firsts = {part.partition: cast("int", part.first) for part in parts}
        ends = {part.partition: cast("int", part.end) for part in parts}
        if query.start == "newest":
            tops = {n: max(firsts[n], min(end, query.cursor.get(n, end))) for n, end in ends.items()}
            reading = _backwards(cluster, topic, query.text, firsts, tops)
            messages, following = _page(reading, newest=True)
            has_more = any(following[n] > firsts[n] for n in ends)
        else:
            starts = _starts(cluster, topic, query, parts)
            starts = {n: max(start, query.cursor.get(n, 0)) for n, start in starts.items()}
            reading = _forwards(cluster, topic, query.text, starts, ends)
            messages, following = _page(reading, newest=False)
            has_more = any(following[n] < ends[n] for n in ends)
    is_whole = query.start in ("newest", "oldest") and not (has_more or query.text or query.cursor)
    held = reading.records if is_whole else sum(ends[n] - firsts[n] for n in ends)
    return Found(messages, ends, following if has_more else None, reading, errors, held, is_whole)


def _forwards(cluster: str, topic: str, text: str, starts: Mapping[int, int], ends: Mapping[int, int]) -> Reading:
    conf = console_settings()
    ranges = {n: (starts[n], end) for n, end in ends.items()}
    if text:
        bounds = Bounds(conf.search_records, conf.search_bytes, conf.search_seconds)
        return read_messages(cluster, topic, ranges, bounds=bounds, keep=conf.records, wanted=_contains(text))
    bounds = Bounds(_MOST_OF_ALL, conf.search_bytes, conf.search_seconds)
    return read_messages(cluster, topic, ranges, bounds=bounds, keep=_MOST_OF_ALL, each=_each(len(ends)))


def _backwards(cluster: str, topic: str, text: str, firsts: Mapping[int, int], tops: Mapping[int, int]) -> Reading:
    """Reads windows of offsets below `tops`, the highest first; `following` says where the last window began.

    Kafka reads a window from its lowest offset on. So of a partition in which a bound ended that, nothing counts: what
    is missing would lie above what was read. When nothing counts at all, a smaller window is tried.
    """
    conf = console_settings()
    wanted = _contains(text) if text else None
    window = max(1, _WINDOW // len(tops))
    each = window if text else _each(len(tops))
    deadline = time.monotonic() + conf.search_seconds
    whole = Bounds(conf.search_records if text else _MOST_OF_ALL, conf.search_bytes, conf.search_seconds)
    left = whole
    messages: list[TopicMessage] = []
    records = size = gaps = 0
    highs = dict(tops)
    while True:
        lows = {n: max(firsts[n], high - each) for n, high in highs.items()}
        ranges = {n: (lows[n], high) for n, high in highs.items()}
        part = read_messages(cluster, topic, ranges, bounds=left, keep=_MOST_OF_ALL, wanted=wanted)
        messages += [message for message in part.messages if message.partition not in part.unread]
        records, size, gaps = records + part.records, size + part.bytes, gaps + part.gaps
        highs.update({n: low for n, low in lows.items() if n not in part.unread})
        left = Bounds(left.records - part.records, left.bytes - part.bytes, deadline - time.monotonic())
        stopped_by: StoppedBy = part.stopped_by
        if all(high <= firsts[n] for n, high in highs.items()):
            break
        if stopped_by != "end":
            if highs != tops or each == 1 or left.seconds <= 0:
                break
            each, left = max(1, each // 8), replace(whole, seconds=left.seconds)
            continue
        stopped_by = "found" if len(messages) >= conf.records else left.reached()
        if stopped_by != "end":
            break
        each = min(4 * each, window)  # few records in many offsets: compaction and transactions leave gaps
    return Reading(messages, highs, records, size, stopped_by, gaps=gaps)


def _each(partitions: int) -> int:
    """How many records of each partition are read for one page."""
    return min(console_settings().records, max(1, _MOST_OF_ALL // max(1, partitions)))


def newer(cluster: str, topic: str, cursor: Mapping[int, int]) -> tuple[Found, int]:
    """The records after a cursor, the newest first, and how many were left out for they were too many.

    Raises ServerError.
    """
    conf = console_settings()
    with guard().read(server_name(cluster)):
        parts, errors = _parts(cluster, topic, None)
        ends = {part.partition: cast("int", part.end) for part in parts if part.partition in cursor}
        each = max(1, conf.records * 4 // max(1, len(ends)))
        ranges = {n: (max(min(cursor[n], end), end - each), end) for n, end in ends.items()}
        skipped = sum(max(0, first - cursor[n]) for n, (first, _end) in ranges.items())
        bounds = Bounds(_MOST_OF_ALL, conf.search_bytes, conf.search_seconds)
        reading = read_messages(cluster, topic, ranges, bounds=bounds, keep=_MOST_OF_ALL)
    following = {**cursor, **reading.following}
    return Found(sorted(reading.messages, key=_age, reverse=True), following, None, reading, errors), skipped


def one_message(cluster: str, topic: str, partition: int, offset: int) -> TopicMessage | None:
    """A record by its place; None when Kafka has none there (any more, or yet). Raises ServerError, NotThere."""
    conf = console_settings()
    with guard().read(server_name(cluster)):
        [part, *_], _errors = _parts(cluster, topic, partition)
        if part.first is None or part.end is None or not part.first <= offset < part.end:
            return None
        bounds = Bounds(1, conf.search_bytes, conf.kafka_timeout_seconds)
        reading = read_messages(cluster, topic, {partition: (offset, offset + 1)}, bounds=bounds, keep=1)
    return next(iter(reading.messages), None)


def write_cursor(cursor: Mapping[int, int]) -> str:
    """A cursor as the text of an address: "0:120,1:33"."""
    return ",".join(f"{number}:{offset}" for number, offset in sorted(cursor.items()))


def read_cursor(text: str) -> dict[int, int]:
    """The cursor of a text. Raises ValueError."""
    cursor = {}
    for part in filter(None, text.split(",")):
        number, _colon, offset = part.partition(":")
        is_place = number.isdecimal() and offset.isdecimal() and part.isascii() and len(part) < 31
        if not is_place or int(number) > MAX_PARTITION or int(offset) > MAX_OFFSET:
            raise ValueError(_("The cursor can’t be read."))
        cursor[int(number)] = int(offset)
    return cursor


def partitions_of(cluster: str, topic: str, partition: int | None) -> list[PartitionOffsets]:
    """The partitions of a topic, or the one of this number. Raises ServerError, NotThere."""
    timeout = console_settings().kafka_timeout_seconds
    offsets = read_offsets(cluster, topics=[topic], groups={}, timeout=timeout).topics.get(topic)
    if offsets is None:
        raise NotThere(_("There is no topic of this name."))
    chosen = [part for part in offsets if partition in (None, part.partition)]
    if not chosen:
        raise NotThere(_("This topic has no partition {number}.").format(number=partition))
    return chosen


def _parts(cluster: str, topic: str, partition: int | None) -> tuple[list[PartitionOffsets], list[str]]:
    """The partitions with known offsets, and what is wrong with others. Raises ServerError, NotThere."""
    chosen = partitions_of(cluster, topic, partition)
    errors = [f"{part.partition}: {part.error}" for part in chosen if part.error is not None]
    known = [part for part in chosen if part.error is None]
    if not known:
        raise ServerError(server_name(cluster), ", ".join(errors))
    return known, errors


def _starts(cluster: str, topic: str, query: Query, parts: list[PartitionOffsets]) -> dict[int, int]:
    """From where each partition may be read."""
    if query.start == "time":
        numbers = [part.partition for part in parts]
        found = offsets_at(cluster, topic, numbers, query.time, timeout=console_settings().kafka_timeout_seconds)
        ends = {part.partition: part.end or 0 for part in parts}
        return {n: end if found[n] is None else cast("int", found[n]) for n, end in ends.items()}
    wanted = query.offset if query.start == "offset" else 0
    return {part.partition: min(max(wanted, part.first or 0), part.end or 0) for part in parts}


def _page(reading: Reading, *, newest: bool) -> tuple[list[TopicMessage], dict[int, int]]:
    """The records of one page by their times, and where the next page goes on in each partition.

    Times may have any order in a partition. So a record is taken only after all that come before it in its partition:
    then what is left of a partition lies together, behind what is shown of it.
    """
    partitions: dict[int, list[TopicMessage]] = {}
    for message in sorted(reading.messages, key=lambda message: message.offset, reverse=newest):
        partitions.setdefault(message.partition, []).append(message)
    ordered = list(heapq.merge(*partitions.values(), key=_age, reverse=newest))
    size = console_settings().records
    following = dict(reading.following)
    for message in ordered[size:]:
        number, offset = message.partition, message.offset
        following[number] = max(following[number], offset + 1) if newest else min(following[number], offset)
    return sorted(ordered[:size], key=_age, reverse=newest), following


def _age(message: TopicMessage) -> tuple[int, int, int]:
    return message.timestamp or 0, message.offset, message.partition


def _contains(text: str) -> Callable[[TopicMessage], bool]:
    """Whether a record has the text in its key, value or a header; capital and small letters are the same."""
    # JSON may have it in another spelling: "\\u00eb" for "ë".
    needles = {text.casefold(), json.dumps(text)[1:-1].casefold()}

    def is_wanted(message: TopicMessage) -> bool:
        parts = [message.value, message.key, *(value for _, value in message.headers)]
        texts = [part.decode(errors="replace") for part in parts if part] + [name for name, _ in message.headers]
        return any(needle in text.casefold() for text in texts for needle in needles)

    return is_wanted
