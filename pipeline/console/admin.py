"""The admin's entry "Event statistics and console": it leads to the main page, and has no tables of its own."""

from django.contrib import admin
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _

from events.models import SelectColorEvent
from pipeline.access import console_view
from pipeline.console.statistics import views

admin.site.site_header = _("Web activity pipeline")
admin.site.site_title = _("Web activity pipeline")
admin.site.index_title = _("Administration")


@admin.register(SelectColorEvent)
class SelectColorEventAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows what is stored and changes nothing; everything needs the permission `events.view_selectcolorevent`."""

    def _never(self, request: HttpRequest, obj: SelectColorEvent | None = None) -> bool:
        """Events come from Kafka, and stay as they are."""
        return False

    has_add_permission = has_change_permission = has_delete_permission = _never

    def get_urls(self) -> list[URLPattern]:
        """The main page and its panels alone: the admin's other views would look for a table that is not there."""
        return [
            path("", console_view(views.page), name="events_selectcolorevent_changelist"),
            path("panels/", console_view(views.panels), name="events_selectcolorevent_panels"),
        ]
