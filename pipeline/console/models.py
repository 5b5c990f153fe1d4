"""The console as Django sees it: no table, but what operators may be allowed to do."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Console(models.Model):
    """Carries the permissions beyond seeing, which is `events.view_selectcolorevent`; actions are logged under it."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [
            ("produce", "Can produce records to Kafka topics"),
            ("control", "Can pause, resume and rewind sinks"),
            ("replay", "Can replay and discard dead letters"),
        ]
        verbose_name = _("console")
        verbose_name_plural = _("console")
