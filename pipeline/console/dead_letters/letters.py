"""Bounded reads of a sink's dead letters, and what operators do with them: replay or discard."""

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from kafka_client.clusters import kafka_cluster
from pipeline.conf import console_settings
from pipeline.console.topics.messages import Bounds, TopicMessage, read_messages
from pipeline.errors import ServerError
from pipeline.guard import guard
from pipeline.kafka_reads import PartitionOffsets, read_offsets, server_name
from sinks.build import build_letters_writer
from sinks.config import SinkConfig
from sinks.dead_letters.log import LetterLog, Place, StoredLetter, example_of, is_own, reason_kind
from sinks.dead_letters.replay import Replayer, parts, store
from sinks.records import Partition, Record
from sinks.registry import kind_of
from worker.errors import Cancelled, Fatal, Retriable
from worker.retry import Backoff, Retry

T = TypeVar("T")

_PATIENCE_SECONDS = 15.0
"""For each step of Kafka, and for the store of a sink, to take letters, before they are left as they are."""

_replay_of_process = threading.Lock()
"""A replay holds a thread of the website: one that waits for a Kafka that hangs must not be joined by others."""


@dataclass(frozen=True)
class Letters:
    """Dead letters by their origins, the newest last.

    is_complete: whether all records of their topics were read, notes included; unreadable: how many records say that
    they are dead letters of this sink, but are not what a sink writes; in_time: False when time ran out, so that the
    same read may find more.
    """

    found: dict[Place, StoredLetter]
    is_complete: bool
    unreadable: int = 0
    in_time: bool = True


@dataclass(frozen=True)
class Replayed:
    """What became of letters: how many were replayed, were too large for their topic, or are left for their keys.

    refused: how many the sink's store still does not take, with the reason of one of them; foreign: how many are said
    to come from a topic that the sink does not read.
    """

    done: int
    too_large: int
    keyed: int = 0
    refused: int = 0
    reason: str = ""
    foreign: int = 0


@dataclass(frozen=True)
class Reason:
    """Letters of a topic with one kind of reason.

    example: the reason of the newest letter; newest: when the newest of these records was written (ms).
    """

    topic: str
    example: str
    count: int
    newest: int


def letter_offsets(sink: SinkConfig) -> Mapping[str, list[PartitionOffsets]]:
    """The partitions of a sink's dead-letter topics, of those that exist. Raises ServerError."""
    timeout = console_settings().kafka_timeout_seconds
    with guard().read(server_name(sink.kafka)):
        return read_offsets(sink.kafka, topics=sink.dead_letter_topics, groups={}, timeout=timeout).topics


def read_letters(sink: SinkConfig) -> Letters:
    """The dead letters of a sink; when there are more records than may be read, the newest. Raises ServerError."""
    conf = console_settings()
    is_complete = in_time = True
    records: list[tuple[Partition, Record]] = []
    offsets = letter_offsets(sink)
    ranges = _ranges(sink, offsets, conf.search_records)
    bytes_left = conf.search_bytes
    with guard().read(server_name(sink.kafka)):
        # The small topics first: what they leave is for the large ones.
        topics = sorted(offsets, key=lambda topic: sum(end - first for first, end in ranges[topic].values()))
        for number, topic in enumerate(topics):
            is_complete &= all(ranges[topic][part.partition][0] == part.first for part in offsets[topic])
            bounds = Bounds(conf.search_records, bytes_left // (len(topics) - number), conf.search_seconds)
            reading = read_messages(sink.kafka, topic, ranges[topic], bounds=bounds, keep=conf.search_records)
            bytes_left -= reading.bytes
            is_complete &= reading.stopped_by == "end"
            in_time &= reading.stopped_by != "seconds"
            messages = sorted(reading.messages, key=lambda message: (message.timestamp or 0, message.offset))
            records += [(Partition(topic, message.partition), _record(message)) for message in messages]
    log = LetterLog(lambda: records, sink=sink.name)
    return Letters({letter.origin: letter for letter in log}, is_complete, len(log.unreadable), in_time)


def _ranges(
    sink: SinkConfig, offsets: Mapping[str, list[PartitionOffsets]], bound: int
) -> dict[str, dict[int, tuple[int, int]]]:
    """The newest offsets of each partition, `bound` of all together. Raises ServerError where one is not known."""
    held: dict[tuple[str, int], tuple[int, int]] = {}
    for topic, partitions in offsets.items():
        for part in partitions:
            if part.first is None or part.end is None:
                raise ServerError(server_name(sink.kafka), f"{topic} {part.partition}: {part.error}")
            held[topic, part.partition] = part.first, part.end
    shares = share({place: end - first for place, (first, end) in held.items()}, bound)
    ranges: dict[str, dict[int, tuple[int, int]]] = {topic: {} for topic in offsets}
    for (topic, number), (_first, end) in held.items():
        ranges[topic][number] = end - shares[topic, number], end
    return ranges


def share(wanted: Mapping[T, int], bound: int) -> dict[T, int]:
    """What each gets of `bound`: what it wants where that is little; the others get equal parts of what is left."""
    shares: dict[T, int] = {}
    for number, one in enumerate(sorted(wanted, key=lambda one: wanted[one])):
        shares[one] = min(max(0, wanted[one]), bound // (len(wanted) - number))
        bound -= shares[one]
    return shares


def reasons(letters: Letters) -> list[Reason]:
    """The letters by topic and kind of reason, the most frequent first."""
    groups: dict[tuple[str, str], list[StoredLetter]] = {}
    for letter in letters.found.values():
        groups.setdefault((letter.origin[0].topic, reason_kind(letter.reason)), []).append(letter)
    found = [
        Reason(topic, example_of(group[-1].reason), len(group), max(letter.record.timestamp for letter in group))
        for (topic, _kind), group in sorted(groups.items())
    ]
    return sorted(found, key=lambda reason: -reason.count)


def chosen(
    letters: Letters, *, topic: str = "", reason: str | None = None, origins: Collection[Place] | None = None
) -> list[StoredLetter]:
    """Those of a topic (empty: of all), with a reason like this one and of these origins where they are given.

    An empty reason is that of letters that have none.
    """
    kind = None if reason is None else reason_kind(reason)
    return [
        letter
        for origin, letter in letters.found.items()
        if topic in ("", origin[0].topic)
        and kind in (None, reason_kind(letter.reason))
        and (origins is None or origin in origins)
    ]


def own(sink: SinkConfig, found: Iterable[StoredLetter]) -> list[StoredLetter]:
    """Those that come from a topic of the sink."""
    return [letter for letter in found if is_own(letter, sink)]


def replay(sink: SinkConfig, *, topic: str, reason: str | None, origins: Collection[Place] | None) -> Replayed:
    """Sends letters back to the topics that they came from, each once, whoever else replays. Raises ServerError.

    Not those with a key, of which they would become the newest record, nor those of other topics than the sink's.
    """
    with _replaying(sink) as session:
        said = chosen(session.letters, topic=topic, reason=reason, origins=origins)
        found = own(sink, said)
        whole = [letter for letter in found if letter.is_whole]
        keyless = [letter for letter in whole if letter.record.key is None]
        for part in parts(keyless):
            session.replayer.replay(part, to="topic")
            session.done += len(part)
    return Replayed(len(keyless), len(found) - len(whole), len(whole) - len(keyless), foreign=len(said) - len(found))


def can_store(sink: SinkConfig) -> bool:
    """Whether the sink itself may be given its letters: a repeat does no harm, and nothing newer can be overwritten."""
    kind = kind_of(sink)
    return kind.stores_letters and not kind.keeps_newest(sink)


def store_again(sink: SinkConfig, *, topic: str, reason: str | None, origins: Collection[Place] | None) -> Replayed:
    """Has a sink for which `can_store` holds store the records of letters under their own ids, and nobody else.

    Not those of other topics than the sink's. Raises ServerError; what was stored by then is noted.
    """
    given_up = threading.Event()
    patience = threading.Timer(_PATIENCE_SECONDS, given_up.set)
    refused: dict[Place, str] = {}
    with _replaying(sink) as session:
        said = chosen(session.letters, topic=topic, reason=reason, origins=origins)
        found = own(sink, said)
        whole = [letter for letter in found if letter.is_whole]
        writer = build_letters_writer(sink)
        retry = Retry(f"replay of {sink.name}", Backoff(maximum=1.0), given_up)
        patience.start()
        try:
            for part in parts(whole):
                refused |= store(writer, kind_of(sink).record_check(sink), part, retry)
                stored = [letter for letter in part if letter.origin not in refused]
                session.replayer.replay(stored, to="sink")
                session.done += len(stored)
        finally:
            patience.cancel()
            writer.close()
    why = next(iter(refused.values()), "")
    return Replayed(
        len(whole) - len(refused),
        len(found) - len(whole),
        refused=len(refused),
        reason=why,
        foreign=len(said) - len(found),
    )


def discard(sink: SinkConfig, *, topic: str, reason: str | None, origins: Collection[Place] | None) -> int:
    """Notes that letters are not wanted any more; returns how many. Raises ServerError."""
    with _replaying(sink) as session:
        found = chosen(session.letters, topic=topic, reason=reason, origins=origins)
        for part in parts(found):
            session.replayer.replay(part, to="nowhere")
            session.done += len(part)
    return len(found)


@dataclass
class _Session:
    """A replay under way. done: letters of which it is noted."""

    replayer: Replayer
    letters: Letters
    done: int = 0


@contextmanager
def _replaying(sink: SinkConfig) -> Iterator[_Session]:
    """Begins a replay, after which no other one can do the letters that are read then.

    Raises ServerError that says how many were done before, if any.
    """
    name = server_name(sink.kafka)
    session: _Session | None = None
    try:
        with _replayer(sink) as replayer:
            replayer.begin()
            letters = read_letters(sink)
            if not letters.is_complete:
                # A letter whose note was not read would be replayed twice.
                text = _("There are more dead letters than are read here; use the command {command}.")
                raise ServerError(name, text.format(command=f"manage.py replay_dlq --sink {sink.name}"))
            session = _Session(replayer, letters)
            yield session
    except (Cancelled, Fatal, Retriable) as error:
        text = str(error)
        if session is not None and session.done:
            done = ngettext("{n} was done, then: {error}", "{n} were done, then: {error}", session.done)
            text = done.format(n=session.done, error=text)
        raise ServerError(name if isinstance(error, Retriable) else sink.name, text) from error


@contextmanager
def _replayer(sink: SinkConfig) -> Iterator[Replayer]:
    """The only replayer of this process. Raises ServerError while there is another, or when Kafka is away."""
    if not _replay_of_process.acquire(blocking=False):
        raise ServerError("", _("Dead letters are being dealt with already. Ask again when that has ended."))
    try:
        read_letters(sink)  # a server that is away is told of before the replay waits for it for long
        with closing(
            Replayer(kafka_cluster(sink.kafka), sink=sink.name, patience_seconds=_PATIENCE_SECONDS)
        ) as replayer:
            yield replayer
    finally:
        _replay_of_process.release()


def _record(message: TopicMessage) -> Record:
    headers = [(name, value or b"") for name, value in message.headers]
    return Record(message.offset, message.value, message.timestamp or 0, message.key, headers or None)
