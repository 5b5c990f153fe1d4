"""The Django app that brings the `devstack` management command."""

from django.apps import AppConfig


class DevstackConfig(AppConfig):
    """Local servers; no models, no URLs."""

    name = "devstack"
    verbose_name = "Local servers"
