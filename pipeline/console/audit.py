"""The log of what operators do and read in the console: writing it, and reading it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q
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
    _delete_old()
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


@dataclass(frozen=True)
class LogQuery:
    """Which entries to show; what is empty or None does not matter.

    user, text: parts of the user's name, and of subject, action or outcome; since is included, until is not; before:
    only entries that were logged before the one of this number.
    """

    user: str = ""
    kind: str = ""
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None


def read_log(query: LogQuery, *, count: int) -> tuple[list[AuditEntry], bool]:
    """Up to `count` entries, the newest first, and whether there are older ones."""
    entries = AuditEntry.objects.filter(at__gte=_kept_since()).order_by("-pk")
    if query.user:
        entries = entries.filter(user__icontains=query.user)
    if query.kind:
        entries = entries.filter(kind=query.kind)
    if query.text:
        words = query.text
        entries = entries.filter(Q(subject__icontains=words) | Q(what__icontains=words) | Q(outcome__icontains=words))
    if query.since is not None:
        entries = entries.filter(at__gte=query.since)
    if query.until is not None:
        entries = entries.filter(at__lt=query.until)
    if query.before is not None:
        entries = entries.filter(pk__lt=query.before)
    found = list(entries[: count + 1])
    return found[:count], len(found) > count


def _delete_old() -> None:
    AuditEntry.objects.filter(at__lt=_kept_since()).delete()


def _kept_since() -> datetime:
    return timezone.now() - timedelta(days=console_settings().audit_days)


def _text(text: str, most: int) -> str:
    """A text that every database stores: PostgreSQL takes no NUL."""
    return shortened(text.replace("\0", "\ufffd"), most)
