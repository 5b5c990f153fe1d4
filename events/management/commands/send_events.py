"""`manage.py send_events`: realistic synthetic clicks, through the endpoint or straight to Kafka."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse
from tqdm import tqdm

from events.conf import events_settings
from events.sending import Door, HttpDoor, KafkaDoor, Unreachable, paced, send_all
from events.synthetic import clicks

DEFAULT_COUNT = 100


class Command(BaseCommand):
    """Sends clicks and says how they fared; fails when one of them was refused or not delivered."""

    help = "Sends realistic synthetic clicks to the HTTP endpoint, or straight to Kafka by the endpoint's own code."

    def add_arguments(self, parser: CommandParser) -> None:
        """How many, how fast, where to."""
        end = parser.add_mutually_exclusive_group()
        end.add_argument("--count", type=int, help=f"send this many clicks (default {DEFAULT_COUNT})")
        end.add_argument("--seconds", type=float, help="send clicks for this long")
        parser.add_argument("--rate", type=float, help="clicks per second (default: as fast as they are taken)")
        parser.add_argument("--to", choices=["http", "kafka"], default="http", help="the way in (default http)")
        parser.add_argument("--url", help="the site's address (default http://localhost:8000, or devstack's web port)")
        parser.add_argument("--users", type=int, default=50, help="how many people click (default 50)")
        parser.add_argument("--threads", type=int, default=4, help="HTTP connections (default 4)")
        parser.add_argument("--seed", type=int, help="the same number gives the same clicks")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for wrong arguments, and when a click was refused or not delivered."""
        for name in ("count", "seconds", "rate", "users", "threads"):
            if options[name] is not None and not options[name] > 0:
                raise CommandError(f"--{name} must be greater than 0")
        count, seconds = options["count"], options["seconds"]
        if count is None and seconds is None:
            count = DEFAULT_COUNT
        made_up = clicks(colors=events_settings().colors, users=options["users"], seed=options["seed"])
        due = paced(made_up, count=count, seconds=seconds, rate=options["rate"])
        threads = options["threads"] if options["to"] == "http" else 1
        # disable=None: no bar where nobody watches it.
        with tqdm(total=count, unit=" events", file=sys.stderr, disable=None) as bar:
            try:
                tally = send_all(due, _door(options), threads=threads, progress=bar.update)
            except Unreachable as error:
                raise CommandError(str(error)) from error
        refused = tally.refused.total()
        self.stdout.write(
            f"sent {tally.sent} events in {tally.seconds:.1f} s: {tally.accepted} accepted, {refused} refused,"
            f" {tally.undelivered} undelivered, {tally.sent / tally.seconds:.0f} events/s"
        )
        if refused:
            reason, times = tally.refused.most_common(1)[0]
            raise CommandError(f"{refused} events were refused, {times} of them: {reason}")
        if tally.undelivered:
            raise CommandError(f"{tally.undelivered} events were not delivered to Kafka")


def _door(options: dict[str, Any]) -> Door:
    if options["to"] == "kafka":
        if options["url"]:
            raise CommandError("--url is for --to http; KAFKA_BOOTSTRAP_SERVERS says where Kafka is")
        return KafkaDoor()
    port = getattr(settings, "DEVSTACK", {}).get("web_port", 8000)
    url = options["url"] or f"http://localhost:{port}"
    if not url.startswith(("http://", "https://")):
        raise CommandError(f"--url must begin with http:// or https://, not {url!r}")
    return HttpDoor(url.rstrip("/") + reverse("events:select"), connections=options["threads"])
