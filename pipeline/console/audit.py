"""The log of what operators do and read in the console: writing it, and reading it."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from events.shortening import shortened
from pipeline.conf import console_settings
from pipeline.console.models import ActionKind, AuditEntry
from pipeline.live import live_reads

_READING = {ActionKind.READ, ActionKind.DOWNLOAD, ActionKind.EXPORT}
_USER = 150
_SUBJECT = 200
_WHAT = 1_000
_OUTCOME = 2_000

READS_TOGETHER = timedelta(minutes=10)
"""The same read by the same user within this time is one entry: a live tail asks every two seconds."""


class Action:
    """What an operator is doing; `done` says how it went."""

    def __init__(self, entry: AuditEntry) -> None:
        self._entry = entry

    def done(self, outcome: str) -> None:
        """Adds the outcome to the log."""
        self._entry.outcome = _text(outcome, _OUTCOME)
        self._entry.save(update_fields=["outcome"])


def audited(request: HttpRequest, kind: ActionKind, subject: str, what: str) -> AbstractContextManager[Action]:
    """What the user of a request does; see audited_by."""
    return audited_by(request.user.get_username(), kind, subject, what)


@contextmanager
def audited_by(user: str, kind: ActionKind, subject: str, what: str) -> Iterator[Action]:
    """Logs an action before it is begun, so that none goes unlogged, and how it failed when it raises.

    subject: what it is done to, such as "topic clicks"; what: the action in English, as logs are. Pages see its effect
    at once.
    """
    AuditEntry.objects.filter(at__lt=_kept_since()).delete()
    action = Action(
        AuditEntry.objects.create(
            user=_text(user, _USER), kind=kind, subject=_text(subject, _SUBJECT), what=_text(what, _WHAT)
        )
    )
    try:
        yield action
    except Exception as error:
        action.done(f"failed: {error}")
        raise
    finally:
        if kind not in _READING:
            live_reads().forget()


def log_read(request: HttpRequest, subject: str, what: str) -> None:
    """Logs that an operator reads what is stored, before it is read; see READS_TOGETHER."""
    same = AuditEntry.objects.filter(
        at__gte=timezone.now() - READS_TOGETHER,
        user=request.user.get_username(),
        kind=ActionKind.READ,
        subject=_text(subject, _SUBJECT),
        what=_text(what, _WHAT),
    )
    if not same.exists():
        with audited(request, ActionKind.READ, subject, what):
            pass


def told(given: Mapping[str, str], *keys: str) -> str:
    """What the log says of a query; with other keys, as its further pages have them, it is the same read."""
    return " ".join(f"{key}={given[key]}" for key in keys if given.get(key))


def kept_entries() -> QuerySet[AuditEntry]:
    """The log, the newest first, as far back as it is kept."""
    return AuditEntry.objects.filter(at__gte=_kept_since()).order_by("-pk")


def _kept_since() -> datetime:
    return timezone.now() - timedelta(days=console_settings().audit_days)


def _text(text: str, most: int) -> str:
    """A text that every database stores: PostgreSQL takes no NUL."""
    return shortened(text.replace("\0", "\ufffd"), most)
