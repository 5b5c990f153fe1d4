"""The addresses of the REST API, below CONNECTORS' path. As in Kafka Connect, a slash at the end does not matter."""

from django.urls import re_path

from connectors import views

app_name = "connectors"

# No database has a NUL, and no connector so many tasks that their numbers had ten digits.
_NAME = r"^connectors/(?P<name>[^/\0]+)"
_TASK = rf"{_NAME}/tasks/(?P<task>[0-9]{{1,9}})"
_PLUGIN = r"^connector-plugins/(?P<plugin>[^/\0]+)"

urlpatterns = [
    re_path(r"^$", views.RootView.as_view(), name="root"),
    re_path(r"^health/?$", views.HealthView.as_view()),
    re_path(r"^connectors/?$", views.ConnectorsView.as_view(), name="connectors"),
    re_path(rf"{_NAME}/?$", views.ConnectorView.as_view(), name="connector"),
    re_path(rf"{_NAME}/config/?$", views.ConfigView.as_view()),
    re_path(rf"{_NAME}/status/?$", views.StatusView.as_view()),
    re_path(rf"{_NAME}/restart/?$", views.RestartView.as_view()),
    re_path(rf"{_NAME}/pause/?$", views.PauseView.as_view()),
    re_path(rf"{_NAME}/resume/?$", views.ResumeView.as_view()),
    re_path(rf"{_NAME}/stop/?$", views.StopView.as_view()),
    re_path(rf"{_NAME}/tasks/?$", views.TasksView.as_view()),
    re_path(rf"{_TASK}/status/?$", views.TaskStatusView.as_view()),
    re_path(rf"{_TASK}/restart/?$", views.TaskRestartView.as_view()),
    re_path(rf"{_NAME}/offsets/?$", views.OffsetsView.as_view()),
    re_path(rf"{_NAME}/topics/?$", views.TopicsView.as_view()),
    re_path(rf"{_NAME}/topics/reset/?$", views.TopicsResetView.as_view()),
    re_path(r"^connector-plugins/?$", views.PluginsView.as_view()),
    re_path(rf"{_PLUGIN}/config/?$", views.PluginConfigView.as_view()),
    re_path(rf"{_PLUGIN}/config/validate/?$", views.ValidateView.as_view()),
    re_path(r"", views.NotFoundView.as_view()),
]
