"""Who may see and change connectors by the REST API: users with Django's permissions, by session, token or password."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from connectors.conf import connectors_settings

VIEW, ADD = "connectors.view_connector", "connectors.add_connector"
CHANGE, DELETE = "connectors.change_connector", "connectors.delete_connector"

_READING = ("GET", "HEAD", "OPTIONS")


class MayUse(BasePermission):
    """Reading needs VIEW; another verb what the view's `needs` says for it, CHANGE otherwise."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Whether the user has the permission; everybody, where CONNECTORS is open."""
        if connectors_settings().open:
            return True
        needed = VIEW if request.method in _READING else view.needs.get(request.method, CHANGE)
        return bool(request.user and request.user.has_perm(needed))


def sees_secrets(request: Request) -> bool:
    """Whether the passwords among a connector's settings are shown: to those who may set them."""
    return connectors_settings().open or bool(request.user and request.user.has_perm(CHANGE))


def user_name(request: Request) -> str:
    """For the log."""
    return request.user.get_username() or "anonymous" if request.user else "anonymous"
