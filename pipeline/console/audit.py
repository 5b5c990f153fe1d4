"""Writes what operators do into Django's own log of the admin (LogEntry)."""

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
