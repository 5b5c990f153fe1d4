"""Who may see the console's pages and act on them, and the policy that browsers hold the pages to."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase

VIEW = "events.view_selectcolorevent"
PRODUCE = "console.produce"
CONTROL = "console.control"
REPLAY = "console.replay"
RESET = "console.reset"
AUDIT = "console.audit"

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Scripts, styles and images of this site alone, nothing inline."""

View = Callable[..., HttpResponseBase]


def console_view(view: View, *, permission: str = VIEW) -> View:
    """A view for staff who may see the console and have the permission, with the policy on its answer.

    Others are sent to the login, or refused with 403 when they are signed in.
    """

    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.has_perms({VIEW, permission}):
            raise PermissionDenied
        response = view(request, *args, **kwargs)
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        return response

    return admin.site.admin_view(checked)
