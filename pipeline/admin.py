"""The admin's entry "Events": the statistics page and the JSON addresses of its panels."""

from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _

from events.models import SelectColorEvent
from pipeline.errors import ServerError
from pipeline.page import page_context
from pipeline.panels import PANELS
from pipeline.time_range import parse_time_range

admin.site.site_header = _("Web activity pipeline")
admin.site.site_title = _("Web activity pipeline")
admin.site.index_title = _("Administration")


@admin.register(SelectColorEvent)
class SelectColorEventAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows what is stored and changes nothing; everything needs the permission `events.view_selectcolorevent`."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never: events come from Kafka."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: SelectColorEvent | None = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: SelectColorEvent | None = None) -> bool:
        """Never."""
        return False

    def get_urls(self) -> list[URLPattern]:
        """The page and its panels alone: the admin's other views would look for a table that is not there."""
        view = self.admin_site.admin_view
        return [
            path("", view(self.changelist_view), name="events_selectcolorevent_changelist"),
            path("panels/<slug:panel_id>/", view(self.panel_view), name="events_selectcolorevent_panel"),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """The statistics page; its panels are filled by scripts."""
        self._check_permission(request)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Event statistics"),
            "opts": self.opts,
            **page_context(request.GET.dict()),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/events/selectcolorevent/statistics.html", context)

    def panel_view(self, request: HttpRequest, panel_id: str) -> HttpResponse:
        """The data of one panel.

        A server that can't be read is an answer of this page and no failure of it: status 200 with `error`.
        """
        self._check_permission(request)
        panel = PANELS.get(panel_id)
        if panel is None:
            raise Http404(f"there is no panel {panel_id}")
        try:
            time_range = parse_time_range(request.GET.dict(), now=datetime.now(UTC))
        except ValueError as error:
            return JsonResponse({"error": {"server": "", "text": str(error)}}, status=400)
        try:
            return JsonResponse(panel.read(time_range))
        except ServerError as error:
            return JsonResponse({"error": {"server": error.server, "text": error.text}})

    def _check_permission(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied
