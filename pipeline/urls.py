"""All addresses of the site."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

# Under /api/ every answer is JSON.
handler400 = "events.api.bad_request"
handler500 = "events.api.server_error"

urlpatterns = [
    path("", include("events.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/console/", include("pipeline.console.urls")),
    path("admin/", admin.site.urls),
    path("favicon.ico", RedirectView.as_view(url=f"/{settings.STATIC_URL.strip('/')}/events/icon.svg")),
]
