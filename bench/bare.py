"""The endpoint's yardstick: a bare Django view that answers 202, in the same project, middleware and server."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.test")

from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path


def accepted(request: HttpRequest) -> HttpResponse:
    """202 and nothing else done."""
    return HttpResponse(b'{"status":"accepted"}', content_type="application/json", status=202)


urlpatterns = [path("api/select", accepted)]


def _application() -> object:
    from django.conf import settings

    settings.ROOT_URLCONF = "bench.bare"
    return get_wsgi_application()


application = _application()
