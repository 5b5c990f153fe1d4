"""`manage.py compact`: merges the small files of a sink of any kind that stores files into large ones."""

import time
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import CommandError, CommandParser

from sinks.config import SinkConfig
from sinks.file_kind import FileKind, layout_of
from sinks.management.base import FilesCommand, patient
from worker.commands import whole


class Command(FilesCommand):
    """Compacts what no longer changes; the sink may run."""

    help = (
        "Merges small files of a sink into large ones, while the sink runs or not. Killed at any time, it loses "
        "and repeats nothing; the next run finishes what it has begun."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        which = parser.add_mutually_exclusive_group()
        text = "a closed folder below the sink's path, with all below it; may be given again"
        which.add_argument("--folder", type=_folder, action="append", dest="folders", help=text)
        text = (
            "all folders in which nothing was written for so long; without folders, files that are so old (default: 24)"
        )
        which.add_argument("--older-than", type=float, default=24.0, metavar="HOURS", help=text)
        text = "the size of merged files; a file of half of it is left alone (default: 134217728)"
        parser.add_argument("--target-bytes", type=whole(1), default=128 * 1024 * 1024, help=text)

    def work(self, sink: SinkConfig, kind: FileKind, options: dict[str, Any]) -> None:
        """Merges, and tells each merged file."""
        if not options["older_than"] >= 0:
            raise CommandError(f"--older-than is {options['older_than']:g}; it must be at least 0")
        folders = options["folders"] or []
        files = layout_of(sink)
        if folders and files.folders.is_flat:
            raise CommandError(f"{sink.name} has no folders; --older-than chooses the files")
        target, retry = options["target_bytes"], patient(sink)
        before = time.time() - (0 if folders else options["older_than"] * 3600)
        lines = 0
        with kind.compacting(sink, target=target, retry=retry) as compaction:
            for topic in sink.topics:
                for line in compaction.run(topic, folders=folders or [""], before=before):
                    self.stdout.write(line)
                    lines += 1
        if not lines:
            age = "" if folders else f" that have not changed for {options['older_than']:g} hours"
            self.stdout.write(f"{sink.name}: no neighbouring small files{age}; nothing to merge")


def _folder(text: str) -> str:
    """The argparse type of a folder below a data folder, in which readers see files; without a slash at its end."""
    path = text.removesuffix("/")
    if any(part == "" or part[0] in "._" for part in path.split("/")):
        raise ArgumentTypeError(
            f"{text!r} must be a path below the sink's, with no slash first, no // and no part that begins with . or _"
        )
    return path
