"""All addresses of the site."""

import re

from django.conf import settings
from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from connectors.conf import connectors_path

# Under /api/ every answer is JSON.
handler400 = "events.api.bad_request"
handler500 = "events.api.server_error"

urlpatterns = [
    path("", include("events.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    # Without a slash, too: clients of Kafka Connect ask what they are given as its address.
    re_path(rf"^{re.escape(connectors_path().strip('/'))}(?:/|$)", include("connectors.urls")),
    path("admin/console/", include("pipeline.console.urls")),
    path("admin/", admin.site.urls),
    path("favicon.ico", RedirectView.as_view(url=f"/{settings.STATIC_URL.strip('/')}/events/icon.svg")),
]
