"""What the console's templates need beyond Django's own tags."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django import template
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from events.shortening import shortened
from pipeline.console.pages import PAGES
from pipeline.console.panels import Section

register = template.Library()

_COLOR = re.compile(r"#[0-9a-fA-F]{3,8}|[a-zA-Z]{3,30}|(rgb|hsl)a?\([\d\s.,%/]+\)")


@register.inclusion_tag("console/navigation.html", takes_context=True)
def console_navigation(context: dict[str, Any]) -> dict[str, Any]:
    """Links to the console's pages that the reader may see."""
    request = context["request"]
    pages = [(reverse(page.url), page.title) for page in PAGES if request.user.has_perm(page.permission)]
    return {"pages": [(url, title, request.path.startswith(url)) for url, title in pages]}


@register.inclusion_tag("console/panel.html")
def console_panel(section: Section, *, is_part: bool = False) -> dict[str, Any]:
    """The place of a panel, which a script fills; is_part: its address answers other panels of the page, too."""
    every = section.panel.is_live
    return {"id": section.id, "title": section.title, "every": every, "url": section.url, "is_part": is_part}


register.filter("shortened", shortened)


@register.filter
def count(number: int | None) -> str:
    """A number as people write it; a dash for one that is not known."""
    return "–" if number is None else f"{number:,}"


@register.filter
def moment(milliseconds: int | None) -> str:
    """Epoch milliseconds as date and time in the reader's zone."""
    if milliseconds is None:
        return "–"
    try:
        moment = timezone.localtime(datetime.fromtimestamp(milliseconds / 1000, UTC))
        return moment.replace(tzinfo=None).isoformat(" ", "milliseconds")
    except (ValueError, OverflowError, OSError):
        return str(milliseconds)  # records may carry any number


@register.filter
def share(part: int, whole: int) -> float:
    """A part of the whole in percent, 0 to 100."""
    return round(100 * part / whole, 2) if whole else 0.0


@register.filter
def percent(part: int, whole: int) -> str:
    """A part of the whole for people, such as 66.7%."""
    return f"{100 * part / whole if whole else 0:.1f}".removesuffix(".0") + "%"


@register.filter
def rate(number: float) -> str:
    """A number of things in some time: the smaller it is, the more digits behind the point."""
    if number >= 100:
        return f"{number:,.0f}"
    # A Decimal, because a small float is written with an exponent.
    return f"{number:.1f}".removesuffix(".0") if number >= 1 else f"{Decimal(f'{number:.2g}'):f}"


@register.filter
def full_time(moment: datetime | int | None) -> str:
    """A moment, or epoch milliseconds, in the reader's zone and words."""
    if moment is None:
        return "–"
    try:
        if isinstance(moment, int):
            moment = datetime.fromtimestamp(moment / 1000, UTC)
        return formats.date_format(timezone.localtime(moment), _("M j, Y, H:i:s"))
    except (ValueError, OverflowError, OSError):
        return str(moment)  # other programs store documents with any number, and it may be the newest one


@register.filter
def at(values: Mapping[str, Any], key: str) -> Any:
    """What a mapping has for a key, None without it."""
    return values.get(key)


@register.filter
def css_color(name: str) -> str:
    """The name of a colour for an attribute of SVG; "none" for what can be no colour."""
    return name if _COLOR.fullmatch(name) else "none"
