"""The addresses of collecting: the page and the endpoint."""

from django.urls import path, re_path

from events.api import EventsView, NotFoundView, SchemaView, SelectView
from events.page import api_page, page

app_name = "events"

urlpatterns = [
    path("", page, name="page"),
    path("api/select", SelectView.as_view(), name="select"),
    path("api/events", EventsView.as_view(), name="events"),
    path("api/schema", SchemaView.as_view(), name="schema"),
    path("api/docs", api_page, name="api"),
    re_path(r"^api/", NotFoundView.as_view()),
]
