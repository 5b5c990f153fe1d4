"""All addresses of the site."""

from django.contrib import admin
from django.urls import include, path

# Under /api/ every answer is JSON.
handler400 = "events.api.bad_request"
handler500 = "events.api.server_error"

urlpatterns = [
    path("", include("events.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
]
