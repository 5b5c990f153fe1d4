"""How states and times of sinks are written for people."""

from datetime import datetime

from django import template
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from pipeline.heartbeats import Delay

register = template.Library()

_LABELS = {
    "opening": _("opening"),
    "running": _("running"),
    "paused": _("paused"),
    "backing off": _("backing off"),
    "failed": _("failed"),
    "stopped": _("stopped"),
    "silent": _("not heard"),
    "taken over": _("taken over"),
    "never heard": _("not running"),
}
_SIGNS = {"running": "●", "opening": "◌", "paused": "❚❚", "backing off": "↻", "failed": "✕"}

_AGO = _("{time} ago")

_UNITS = ((86400, _("{n} d")), (3600, _("{n} h")), (60, _("{n} min")), (1, _("{n} s")))


@register.filter
def state_label(state: str) -> str:
    """The state of a sink, task or partition."""
    return str(_LABELS[state])


@register.filter
def state_sign(state: str) -> str:
    """A sign that tells states apart without colour."""
    return _SIGNS.get(state, "○")


@register.filter
def delay(behind: Delay | None) -> str:
    """How long something is behind."""
    return "" if behind is None else behind.bound + duration(behind.seconds)


@register.filter
def ago(moment: datetime | None) -> str:
    """How long ago a moment was."""
    if moment is None:
        return "–"
    return str(_AGO).format(time=duration((timezone.now() - moment).total_seconds()))


@register.filter
def duration(seconds: float) -> str:
    """Seconds in the largest unit that fits."""
    length, label = next(((length, label) for length, label in _UNITS if seconds >= length), _UNITS[-1])
    return str(label).format(n=max(0, round(seconds / length)))
