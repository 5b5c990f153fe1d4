"""Writes what operators do into Django's own log of the admin (LogEntry), and reads it."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest

from pipeline.console.models import Console

_NAME = 200


class Action:
    """What an operator is doing; `done` says how it went."""

    def __init__(self, entry: LogEntry) -> None:
        self._entry = entry

    def done(self, outcome: str) -> None:
        """Adds the outcome to the log."""
        self._entry.change_message = f"{self._entry.change_message}: {outcome}"
        self._entry.save(update_fields=["change_message"])


@contextmanager
def audited(request: HttpRequest, subject: str, what: str) -> Iterator[Action]:
    """Logs an action before it is begun, so that none goes unlogged, and how it failed when it raises.

    subject: what it is done to, such as "topic clicks"; what: the action in English, as logs are.
    """
    entry = LogEntry.objects.create(
        user_id=str(request.user.pk),
        content_type=ContentType.objects.get_for_model(Console),
        object_id=subject[:_NAME],
        object_repr=subject[:_NAME],
        action_flag=CHANGE,
        change_message=what,
    )
    action = Action(entry)
    try:
        yield action
    except Exception as error:
        action.done(f"failed: {error}")
        raise


def read_log(*, before: int | None, count: int) -> tuple[list[LogEntry], bool]:
    """Up to `count` actions of the console, the newest first, and whether there are older ones.

    before: only those that were logged before the one of this number.
    """
    entries = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(Console)).order_by("-pk")
    if before is not None:
        entries = entries.filter(pk__lt=before)
    found = list(entries.select_related("user")[: count + 1])
    return found[:count], len(found) > count
