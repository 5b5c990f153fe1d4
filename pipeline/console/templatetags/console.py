"""What the console's templates need beyond Django's own tags."""

from datetime import UTC, datetime
from typing import Any

from django import template
from django.urls import reverse
from django.utils import timezone

from events.shortening import shortened
from pipeline.console.pages import PAGES

register = template.Library()


@register.inclusion_tag("console/navigation.html", takes_context=True)
def console_navigation(context: dict[str, Any], current: str) -> dict[str, Any]:
    """Links to the console's pages that the reader may see; current: the `url` of the one that is shown."""
    user = context["request"].user
    return {
        "pages": [
            {"url": reverse(page.url), "title": page.title, "is_current": page.url == current}
            for page in PAGES
            if user.has_perm(page.permission)
        ]
    }


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
        return timezone.localtime(datetime.fromtimestamp(milliseconds / 1000, UTC)).strftime("%Y-%m-%d %H:%M:%S.%f")[
            :-3
        ]
    except (ValueError, OverflowError, OSError):
        return str(milliseconds)  # records may carry any number


@register.filter
def share(part: int, whole: int) -> float:
    """A part of the whole in percent, 0 to 100."""
    return round(100 * part / whole, 2) if whole else 0.0
