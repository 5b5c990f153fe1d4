"""`manage.py replay_dlq`: gives a sink's dead letters another chance."""

import re
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.core.management.base import CommandError, CommandParser

from events.shortening import shortened
from kafka_client.clusters import kafka_cluster
from sinks.build import build_letters_writer
from sinks.config import SinkConfig
from sinks.dead_letters.log import LetterLog, StoredLetter, example_of, is_own, letter_log, reason_kind
from sinks.dead_letters.replay import Replayer, newest_of_keys, parts, store
from sinks.log_reader import LogReader
from sinks.management.base import SinkCommand
from sinks.registry import kind_of
from worker.commands import CARRIED_OUT_OR_NOT, ReportingCommand, whole
from worker.errors import Cancelled
from worker.retry import Backoff, Retry

_REASON = 120
_PATIENCE_SECONDS = 60.0

_TOO_LARGE = "were too large for the dead-letter topic, which has no value of theirs"
_FOREIGN = (
    "are said to come from topics that the sink does not read: whoever may write to the dead-letter topic could have "
    "named any topic"
)
_KEYED = (
    "have a key: as new records they would be the newest of their keys, also where a newer one has come since; "
    "--keyed sends them all the same"
)
_SUPERSEDED = (
    "have a key, and Kafka has a newer record of it, or no longer has theirs: they could overwrite what is newer, or "
    "bring back what was deleted"
)


class Command(ReportingCommand, SinkCommand):
    """Replays dead letters, each once, however often it is called or killed."""

    help = (
        "Sends the dead letters of a sink back to the topic that they came from, or has an Elasticsearch sink store "
        "them under their own ids now that its mapping was put right. What was replayed is noted in the dead-letter "
        "topic and not replayed again. "
        f"Exit code 0: all that were chosen were replayed, or would be; 1: some are left; {CARRIED_OUT_OR_NOT}"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        text = "topic: as new records, for every sink that reads the topic; sink: into the index of this sink alone"
        parser.add_argument("--to", choices=("topic", "sink"), default="topic", help=text)
        text = "with --to topic: also records that have a key, though they become the newest of it"
        parser.add_argument("--keyed", action="store_true", help=text)
        parser.add_argument("--reason", default="", help="only those whose reason has this regular expression in it")
        parser.add_argument("--topic", help="only those that came from this topic")
        parser.add_argument("--limit", type=whole(1), help="at most so many, in the order of the dead-letter topic")
        parser.add_argument("--dry-run", action="store_true", help="tell which there are and change nothing")

    def report(self, options: dict[str, Any]) -> bool:
        """Whether all letters that were chosen were replayed, or would be."""
        sink = self.sink(options)
        if options["to"] == "sink" and not kind_of(sink).stores_letters:
            why = f"a sink of the kind {sink.kind} stores each offset once and in order"
            raise CommandError(f"{why}; replay its dead letters --to topic")
        if options["to"] == "sink" and options["keyed"]:
            raise CommandError("--keyed belongs to --to topic: --to sink never replaces a newer record of a key")
        if options["topic"] not in (None, *sink.topics):
            raise CommandError(f"--topic: {sink.name} reads no topic {options['topic']!r}")
        try:
            reason = re.compile(options["reason"])
        except re.error as error:
            raise CommandError(f"--reason: {error}") from error
        return self._replay(sink, reason, options)

    def _replay(self, sink: SinkConfig, reason: "re.Pattern[str]", options: dict[str, Any]) -> bool:
        cluster = kafka_cluster(sink.kafka)
        replayer = None
        if not options["dry_run"]:
            replayer = Replayer(cluster, sink=sink.name)
            replayer.begin()
        reader = LogReader(cluster, group=sink.group)
        log = letter_log(sink, reader)
        if log.unreadable:
            partition, offset = log.unreadable[0]
            self.stdout.write(
                f"{len(log.unreadable)} records of the dead-letter topic say that they are of this sink but are not "
                f"what it writes, the first in {partition} offset {offset}: left alone"
            )
        choice = _Choice(sink, log, reader, reason, options)
        done = refused = 0
        for part in parts(islice(choice.letters(), options["limit"])):
            dealt_with = part
            if replayer is not None:
                dealt_with = self._store(sink, part) if options["to"] == "sink" else part
                replayer.replay(dealt_with, to=options["to"])
            done += len(dealt_with)
            refused += len(part) - len(dealt_with)
        if replayer is not None:
            replayer.close()
        reader.close()
        for (topic, kind), count in choice.reasons.most_common():
            self.stdout.write(f"{topic}: {count} x {shortened(choice.examples[topic, kind], _REASON)}")
        for why, count in choice.left_out.items():
            self.stdout.write(f"{count} left out: they {why}")
        left = refused + choice.left_out.total()
        more = "; --limit ended it, there may be more" if done + refused == options["limit"] else ""
        verdict = f"{done} dead letters replayed" if replayer else f"dry run: {done} dead letters would be replayed"
        self.stdout.write(f"{verdict}, {left} left{more}")
        return not left

    def _store(self, sink: SinkConfig, letters: list[StoredLetter]) -> list[StoredLetter]:
        """Those that the index takes now."""
        writer = build_letters_writer(sink)
        given_up = threading.Event()
        patience = threading.Timer(_PATIENCE_SECONDS, given_up.set)
        patience.start()
        retry = Retry(f"replay of {sink.name}", Backoff(maximum=sink.options.retry_seconds), given_up)
        try:
            refused = store(writer, kind_of(sink).record_check(sink), letters, retry)
        except Cancelled as error:
            raise CommandError(f"gave up after {_PATIENCE_SECONDS:g} s: {error}; the log tells why") from error
        finally:
            patience.cancel()
            writer.close()
        for (partition, offset), reason in refused.items():
            self.stdout.write(f"{partition} offset {offset} is still refused: {shortened(reason, _REASON)}")
        return [letter for letter in letters if letter.origin not in refused]


@dataclass(eq=False)
class _Choice:
    """The letters that options choose.

    reasons, left_out: how many there are, once `letters` has come to its end; examples: one reason of each kind.
    """

    sink: SinkConfig
    log: LetterLog
    reader: LogReader
    reason: "re.Pattern[str]"
    options: dict[str, Any]
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], str] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)

    def letters(self) -> Iterator[StoredLetter]:
        """Those that can be replayed."""
        keeps_newest = self.options["to"] == "sink" and kind_of(self.sink).keeps_newest(self.sink)
        own = (letter for letter in self._fitting() if is_own(letter, self.sink))
        is_newest = newest_of_keys(own, self.reader) if keeps_newest else lambda letter: True
        for letter in self._fitting():
            kind = letter.origin[0].topic, reason_kind(letter.reason)
            self.reasons[kind] += 1
            self.examples.setdefault(kind, example_of(letter.reason))
            if why := self._hindrance(letter) or ("" if is_newest(letter) else _SUPERSEDED):
                self.left_out[why] += 1
            else:
                yield letter

    def _fitting(self) -> Iterator[StoredLetter]:
        for letter in self.log:
            if self.reason.search(letter.reason) and self.options["topic"] in (None, letter.origin[0].topic):
                yield letter

    def _hindrance(self, letter: StoredLetter) -> str:
        if not is_own(letter, self.sink):
            return _FOREIGN
        if not letter.is_whole:
            return _TOO_LARGE
        if self.options["to"] == "topic" and letter.record.key is not None and not self.options["keyed"]:
            return _KEYED
        return ""
