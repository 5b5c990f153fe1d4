"""The page on which a person chooses a colour. It touches neither Kafka nor the database."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language_info
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from events.conf import events_settings
from events.rules import MAX_TEXT

ANSWER_SECONDS = 8
"""How long the page waits for the endpoint's answer."""


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """The name field and a button for each colour of `EVENTS["colors"]`."""
    names = _color_names()
    return render(
        request,
        "events/page.html",
        {
            "colors": [(color, names.get(color.lower(), color)) for color in events_settings().colors],
            "languages": [get_language_info(code) for code in ("en", "ko")],
            "max_text": MAX_TEXT,
            "answer_milliseconds": ANSWER_SECONDS * 1000,
            "texts": _script_texts(),
        },
    )


def _color_names() -> dict[str, str]:
    return {
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


def _script_texts() -> dict[str, str]:
    """What page.js says, in the page's language; {…} is filled in there."""
    return {
        "nameMissing": _("Please enter your name"),
        "sending": _("Sending…"),
        "received": _("Received"),
        "notReceived": _("Not received"),
        "receivedLong": _("{color} was received. Thank you, {user}!"),
        "notReceivedLong": _("{color} was not received."),
        "busy": _("The pipeline can't take events right now (503). Please try again in a moment."),
        "unreachable": _("The server can't be reached. Please check the connection and try again."),
        "noAnswer": _("The server gave no answer within {seconds} seconds."),
        "refused": _("The server said: {reason}"),
    }
