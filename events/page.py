"""The pages for people: to choose a colour, and to read the API's schema. They touch neither Kafka nor a database."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language_info
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from events.conf import events_settings
from events.rules import MAX_TEXT

_COLOR_NAMES = {
    "red": _("Red"),
    "orange": _("Orange"),
    "yellow": _("Yellow"),
    "green": _("Green"),
    "blue": _("Blue"),
    "purple": _("Purple"),
    "pink": _("Pink"),
    "black": _("Black"),
    "white": _("White"),
    "gray": _("Gray"),
}

_TEXTS = {
    "nameMissing": _("Please enter your name"),
    "sending": _("Sending…"),
    "waiting": _("Waiting"),
    "received": _("Received"),
    "notReceived": _("Not received"),
    "sendingLong": _("{color} is noted. Sending…"),
    "offline": _("{color} is noted. You are offline: it will be sent when the connection is back."),
    "busy": _("{color} is noted. The server can't take it yet: it will be sent again by itself."),
    "receivedLong": _("{color} was received. Thank you, {user}!"),
    "notReceivedLong": _("{color} was not received."),
    "refused": _("The server said: {reason}"),
    "dropped": _("Too many choices are waiting: this one, the oldest, was dropped."),
    "ignored": _("Your browser asks not to be tracked, so nothing was kept."),
    "stillWaiting": _("Waiting to be sent: {count}"),
    "scriptMissing": _("A script of this page was blocked, so no choice can be sent. Allow it, then reload."),
    "caughtUp": _("All that was waiting has been received."),
}
"""What page.js says, in the page's language; {…} is filled in there."""


# Swagger UI sets styles in elements' attributes, and its images are data: URLs.
_API_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """The name field and a button for each colour of `EVENTS["colors"]`."""
    context = {
        "colors": [(color, _COLOR_NAMES.get(color.lower(), color)) for color in events_settings().colors],
        "languages": [get_language_info(code) for code in ("en", "ko")],
        "max_text": MAX_TEXT,
        "texts": _TEXTS,
    }
    return render(request, "events/page.html", context)


@require_safe
def api_page(request: HttpRequest) -> HttpResponse:
    """Swagger UI on /api/schema, all of it from this site's static files."""
    response = render(request, "events/api.html")
    response.headers["Content-Security-Policy"] = _API_PAGE_POLICY
    return response
