"""`manage.py rewind_source`: moves the position from which a source reads a part on."""

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser

from sources.management.base import SourceCommand
from sources.reader import Position
from sources.registry import kind_of
from sources.rewind import read_positions, write_positions
from worker.commands import CARRIED_OUT_OR_NOT, CheckedCommand


class Command(CheckedCommand, SourceCommand):
    """Lets a part be read again, or leaves something of it out."""

    help = (
        "Shows the positions of a source; with --part and --to moves one, also while the source runs. What lies behind "
        "the new position is read again, so its records come to Kafka once more. Without --yes it only tells what it "
        f"would do. Exit code 0: done or told; {CARRIED_OUT_OR_NOT}"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--part", help="the part whose position is moved (default: all are shown)")
        text = "the new position as JSON, or as the kind of source reads it; `beginning`: as if it was never read"
        parser.add_argument("--to", metavar="POSITION", help=text)
        parser.add_argument("--yes", action="store_true", help="do it")

    def handle(self, *args: Any, **options: Any) -> None:
        """Tells what it would do, and does it with --yes."""
        source, part, to = self.source(options), options["part"], options["to"]
        if (part is None) != (to is None):
            raise CommandError("--part and --to belong together")
        positions = read_positions(source)
        if part is None:
            for name, position in sorted(positions.items()):
                self.stdout.write(f"{name}: {_shown(position)}")
            if not positions:
                self.stdout.write(f"{source.name} has no position: nothing was read yet")
            return
        kind = kind_of(source)
        if part not in positions and part not in set(kind.parts(source)):
            raise CommandError(f"{source.name} has no part {part!r}; without --part all are shown")
        try:
            after = None if to == "beginning" else kind.position(source, part, to)
        except ValueError as error:
            raise CommandError(f"--to: {error}") from error
        self.stdout.write(f"{part}: from {_shown(positions.get(part))} to {_shown(after)}")
        if not options["yes"]:
            self.stdout.write("Nothing was changed; --yes does it.")
            return
        write_positions(source, {part: after})
        self.stdout.write(f"{part}: is read on from {_shown(after)}; a source that is running notices at once")


def _shown(position: Position | None) -> str:
    return "the beginning" if position is None else json.dumps(position, ensure_ascii=False)
