"""The admin's entry "Event statistics and console": the statistics page and the JSON addresses of its panels."""

import time
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import translation
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from events.models import SelectColorEvent
from pipeline.access import CONTENT_SECURITY_POLICY
from pipeline.conf import console_settings
from pipeline.errors import ServerError
from pipeline.live import Question, live_reads
from pipeline.page import SINKS, chosen_field, chosen_kind, page_context
from pipeline.panels import panels_of, sinks, topics
from pipeline.panels.panel import Panel
from pipeline.time_range import RANGE_KEYS, TimeRange, parse_time_range

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
            path("panels/", view(self.panels_view), name="events_selectcolorevent_panels"),
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
        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
        return TemplateResponse(request, "admin/events/selectcolorevent/statistics.html", context, headers=headers)

    def panels_view(self, request: HttpRequest) -> HttpResponse:
        """The data of all panels, or of those named by `panel`, for the kind of event that `event` names: {id: data}.

        A server that can't be read is an answer of this page and no failure of it: `error` in its panel's place; null
        for what is still being read, which a later request finds.
        """
        self._check_permission(request)
        query = request.GET.dict()
        event = chosen_kind(query)
        field = chosen_field(query, event)
        panels = panels_of(event, field)
        ids = request.GET.getlist("panel") or [*panels, SINKS]
        if unknown := set(ids) - {*panels, SINKS}:
            raise Http404(f"there is no panel {', '.join(sorted(unknown))}")
        try:
            time_range = parse_time_range(query, now=datetime.now(UTC))
        except ValueError as error:
            return JsonResponse(ServerError("", str(error)).answer(), status=400)
        chosen = tuple(query.get(key) for key in RANGE_KEYS)
        questions = {
            panel.id: Question(
                (panel.id, get_language(), (event, field, chosen) if panel.ranged else None),
                panel.server,
                partial(_read, panel, time_range, get_language()),
            )
            for id, panel in panels.items()
            if id in ids or (id == topics.PANEL.id and SINKS in ids)
        }
        begun = time.monotonic()
        live_reads().begin(questions.values())
        heard = sinks.read() if SINKS in ids else None  # while the servers are being asked
        left = max(0.0, console_settings().wait_seconds - (time.monotonic() - begun))
        answers = live_reads().answers(questions, wait_seconds=left)
        if heard is not None:
            answers[SINKS] = sinks.shown(heard, answers[topics.PANEL.id])
        return JsonResponse({id: topics.without_offsets(answers[id]) for id in ids})

    def _check_permission(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied


def _read(panel: Panel, time_range: TimeRange, language: str) -> dict[str, Any]:
    with translation.override(language):  # the reader's, on a thread that serves many
        return panel.read(time_range)
