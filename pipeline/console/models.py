"""What operators may be allowed to do, and the log of what they did and read."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Console(models.Model):
    """Carries the permissions beyond seeing, which is `events.view_selectcolorevent`; it has no table."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [
            ("produce", "Can produce records to Kafka topics"),
            ("control", "Can pause, resume and rewind sinks"),
            ("replay", "Can replay and discard dead letters"),
            ("reset", "Can reset the offsets of consumer groups"),
            ("audit", "Can see what operators did and read"),
        ]
        verbose_name = _("console")
        verbose_name_plural = _("console")


class ActionKind(models.TextChoices):
    """What an entry of the log tells of."""

    PRODUCE = "produce", _("Produced a record")
    PRACTICE = "practice", _("Practised")
    CONTROL = "control", _("Steered a sink")
    REPLAY = "replay", _("Dealt with dead letters")
    RESET = "reset", _("Reset a consumer group")
    CONNECT = "connect", _("Changed a connector")
    READ = "read", _("Read records, documents or files")
    EXPORT = "export", _("Exported documents")
    DOWNLOAD = "download", _("Downloaded")


class AuditEntry(models.Model):
    """Something that somebody did or read in the console.

    user: the name that the user had then, as text, so that the entry outlives the user; subject: what it was done to;
    what: in English, as logs are; outcome: empty until it is known.
    """

    at = models.DateTimeField(default=timezone.now, db_index=True)
    user = models.CharField(max_length=150)
    kind = models.CharField(max_length=10, choices=ActionKind.choices)
    subject = models.CharField(max_length=200)
    what = models.TextField()
    outcome = models.TextField(default="")

    class Meta:
        default_permissions = ()
