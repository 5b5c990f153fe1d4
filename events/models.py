"""The stored event as Django sees it: no table, but a name, permissions and an entry in the admin."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class SelectColorEvent(models.Model):
    """A choice of a colour, as stored in Elasticsearch."""

    timestamp = models.DateTimeField(_("time"))
    userAgent = models.TextField(_("user agent"))
    colorName = models.CharField(_("colour"), max_length=256)
    userName = models.CharField(_("user"), max_length=256)

    class Meta:
        managed = False
        default_permissions = ("view",)
        verbose_name = _("event")
        verbose_name_plural = _("event statistics and console")

    def __str__(self) -> str:
        return f"{self.userName}: {self.colorName}"
