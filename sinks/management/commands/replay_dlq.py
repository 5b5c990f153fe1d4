"""`manage.py replay_dlq`: gives a sink's dead letters another chance."""

import re
import threading
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from events.conf import kafka_cluster
from sinks.build import build_writer
from sinks.config import SinkConfig, sinks
from sinks.dead_letter_log import StoredLetter, kind_of, read_letters
from sinks.elasticsearch.config import ElasticsearchTarget
from sinks.errors import Fatal, Retriable
from sinks.log_reader import LogReader
from sinks.metrics import SinkMetrics
from sinks.replay import Replayer, store
from sinks.retry import Backoff, Retry

_AT_A_TIME = 100
_REASON = 120


class Command(BaseCommand):
    """Replays dead letters, each once, however often it is called or killed."""

    help = (
        "Sends the dead letters of a sink back to the topic that they came from, or has an Elasticsearch sink store "
        "them under their own ids now that its mapping was put right. What was replayed is noted in the dead-letter "
        "topic and not replayed again."
    )
    requires_system_checks = ["sinks"]

    def add_arguments(self, parser: CommandParser) -> None:
        """--sink, --to, --reason, --topic, --limit, --dry-run."""
        parser.add_argument("--sink", required=True, help="the entry of SINKS")
        parser.add_argument(
            "--to",
            choices=("topic", "sink"),
            default="topic",
            help="topic: as new records, for every sink that reads the topic; sink: into the index of this sink alone",
        )
        parser.add_argument("--reason", default="", help="only those whose reason has this regular expression in it")
        parser.add_argument("--topic", help="only those that came from this topic")
        parser.add_argument("--limit", type=int, help="at most so many, the oldest first")
        parser.add_argument("--dry-run", action="store_true", help="tell which there are and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for wrong options, and when a server does not answer."""
        sink = sinks().get(options["sink"])
        if sink is None:
            raise CommandError(f"SINKS has no entry {options['sink']!r}; it has {', '.join(sinks())}")
        if options["to"] == "sink" and not isinstance(sink.target, ElasticsearchTarget):
            raise CommandError("an HDFS sink stores each offset once and in order; replay its dead letters --to topic")
        try:
            reason = re.compile(options["reason"])
        except re.error as error:
            raise CommandError(f"--reason: {error}") from error
        try:
            self._replay(sink, reason, options)
        except (Retriable, Fatal) as error:
            raise CommandError(str(error)) from error

    def _replay(self, sink: SinkConfig, reason: "re.Pattern[str]", options: dict[str, Any]) -> None:
        cluster = kafka_cluster(sink.kafka)
        replayer = Replayer(cluster, sink=sink.name, letters_of=sink.dead_letters_of)
        if not options["dry_run"]:
            replayer.begin()
        reader = LogReader(cluster, group=sink.group)
        letters = [
            letter
            for letter in read_letters(sink, reader).values()
            if reason.search(letter.reason) and options["topic"] in (None, letter.origin[0].topic)
        ][: options["limit"]]
        reader.close()
        self._list(letters)
        whole = [letter for letter in letters if letter.is_whole]
        if len(whole) < len(letters):
            self.stdout.write(f"{len(letters) - len(whole)} were too large for the dead-letter topic: left out")
        if options["dry_run"]:
            self.stdout.write(f"dry run: {len(whole)} dead letters would be replayed")
            return
        done = 0
        for begin in range(0, len(whole), _AT_A_TIME):
            part = whole[begin : begin + _AT_A_TIME]
            if options["to"] == "topic":
                replayer.to_topic(part)
            else:
                part = self._store(sink, part)
                replayer.note_stored(part)
            done += len(part)
        self.stdout.write(f"{done} dead letters replayed, {len(letters) - done} left")

    def _list(self, letters: list[StoredLetter]) -> None:
        reasons = Counter((letter.origin[0].topic, kind_of(letter.reason)) for letter in letters)
        for (topic, reason), count in reasons.most_common():
            self.stdout.write(f"{topic}: {count} x {reason}")

    def _store(self, sink: SinkConfig, letters: list[StoredLetter]) -> list[StoredLetter]:
        """Those that the index takes now."""
        writer = build_writer(sink, kafka_cluster(sink.kafka), SinkMetrics(sink.name))
        retry = Retry(f"replay of {sink.name}", Backoff(maximum=sink.options.retry_seconds), threading.Event())
        try:
            refused = store(writer, sink.check(), letters, retry)
        finally:
            writer.close()
        for (partition, offset), reason in refused.items():
            self.stdout.write(f"{partition} offset {offset} is still refused: {reason[:_REASON]}")
        return [letter for letter in letters if letter.origin not in refused]
