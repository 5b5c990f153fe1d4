"""The command `drain`."""

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from events.conf import events_settings
from events.draining import drain


class Command(BaseCommand):
    """Run before the web server is told to end, so that a load balancer turns away from it first."""

    help = "Lets /readyz of the web processes of this machine answer 503, and waits; requests are still answered."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Adds the options."""
        parser.add_argument(
            "--seconds", type=float, help="how long it waits (EVENTS_DRAIN_SECONDS unless told otherwise)"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Returns when the server may end."""
        conf = events_settings()
        drain(Path(conf.spool.path))
        seconds = conf.drain_seconds if options["seconds"] is None else options["seconds"]
        self.stdout.write(f"draining for {seconds:g} s")
        time.sleep(max(0.0, seconds))
