"""The REST API of Kafka Connect, for the connectors of this project: verbs, statuses, shapes and errors as there.

docs/connectors.md names the differences, and tests/connectors/test_contract.py holds both to one contract.
"""

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

import msgspec
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponseBase
from django.utils import translation
from rest_framework import exceptions
from rest_framework.authentication import BasicAuthentication, SessionAuthentication, TokenAuthentication
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from connectors import offsets, services, status
from connectors.access import ADD, DELETE, VIEW, MayUse, sees_secrets, user_name
from connectors.cluster import cluster_id
from connectors.errors import RestError
from connectors.models import Connector, TargetState
from connectors.plugins.described import definition, definitions
from connectors.plugins.registry import PLUGINS, find_plugin
from connectors.plugins.setting import MASK, Setting
from connectors.validation import Checked, NoPlugin, checked, pattern_of
from kafka_client.log import repeating_logger

logger = repeating_logger(__name__)

IGNORED_HEADER = "X-Ignored-Settings"
"""Names the settings of a connector that have no effect; `…/config/validate` says why."""

MOST_BYTES = 1024 * 1024
"""Of a body."""

_MOST_IGNORED = 4_000
"""Characters of the header with the ignored settings: clients take a few thousand of all headers."""

_STATES = {state.value for state in TargetState}


class _AlwaysJson(DefaultContentNegotiation):
    """Answers JSON whatever the Accept header says."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """The first renderer, always."""
        return renderers[0], renderers[0].media_type


class _BoundedJson(JSONParser):
    """JSON of at most MOST_BYTES."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        """The JSON. Raises RestError."""
        body = stream.read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES:
            raise RestError(413, f"the body must not have more than {MOST_BYTES} bytes")
        try:
            return msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise RestError(400, f"the body is no JSON: {error}") from None


class ConnectView(APIView):
    """What all addresses share: who may, JSON in English, and the shape of errors.

    needs: the permission for each verb that needs another one than access.MayUse says.
    """

    schema = None
    # The first one says how to sign in: programs get a 401 and not a 403.
    authentication_classes = (BasicAuthentication, TokenAuthentication, SessionAuthentication)
    permission_classes = (MayUse,)
    parser_classes = (_BoundedJson,)
    content_negotiation_class = _AlwaysJson
    needs: ClassVar[Mapping[str, str]] = {}

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answers programs in one language, whatever Accept-Language says."""
        with translation.override("en"):
            return super().dispatch(request, *args, **kwargs)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Nothing is cached."""
        response.headers.setdefault("Cache-Control", "no-store")
        # Otherwise Django logs a line for each refused request, although the answer tells the caller.
        response._has_been_logged = True
        return super().finalize_response(request, response, *args, **kwargs)

    def get_exception_handler(self) -> Any:
        """The one shape of errors."""
        return _error_answer


class RootView(ConnectView):
    """The versions."""

    def get(self, request: Request) -> Response:
        """The version of the API, and which Kafka the connectors use."""
        commit = f"web-activity-pipeline-{settings.VERSION}"
        return Response({"version": status.VERSION, "commit": commit, "kafka_cluster_id": cluster_id()})


class HealthView(ConnectView):
    """Whether the API answers, and whether there are workers."""

    def get(self, request: Request) -> Response:
        """503 while no worker runs: nothing that is asked for takes effect."""
        if status.workers():
            text = "Worker has completed startup and is ready to handle requests."
            return Response({"status": "healthy", "message": text})
        return Response({"status": "unhealthy", "message": "No worker runs: start manage.py run_connectors."}, 503)


class ConnectorsView(ConnectView):
    """All connectors."""

    needs = {"POST": ADD}

    def get(self, request: Request) -> Response:
        """Their names, or with `expand` their status and info."""
        connectors = list(Connector.objects.prefetch_related("tasks"))
        if "expand" not in request.query_params:
            return Response([connector.name for connector in connectors])
        expand = request.query_params.getlist("expand")
        reports = status.reports_of(status.workers()) if "status" in expand else {}
        answer: dict[str, Any] = {}
        for connector in connectors:
            one = answer[connector.name] = {}
            if "status" in expand:
                one["status"] = status.status(connector, reports)
            if "info" in expand:
                one["info"] = status.info(connector, with_secrets=sees_secrets(request))
        return Response(answer)

    def post(self, request: Request) -> Response:
        """Makes a connector."""
        body = _object(request.data, {"name", "config", "initial_state"})
        name, config = body.get("name", ""), body.get("config")
        if not isinstance(config, dict):
            raise RestError(400, "config must be an object with the connector's settings")
        state = str(body.get("initial_state") or TargetState.RUNNING.value).upper()
        if state not in _STATES:
            raise RestError(400, f"initial_state must be one of {', '.join(sorted(_STATES))}")
        if not isinstance(name, str):
            raise RestError(400, "name must be a text")
        connector, found = services.create(user_name(request), name, _texts(config), state=state)
        return _made(request, connector, found, 201)


class ConnectorView(ConnectView):
    """One connector."""

    needs = {"DELETE": DELETE}

    def get(self, request: Request, name: str) -> Response:
        """Its info."""
        connector = services.find(name)
        answer = status.info(connector, with_secrets=sees_secrets(request))
        return Response(answer, headers=_ignored(connector))

    def delete(self, request: Request, name: str) -> Response:
        """Removes it."""
        services.delete(user_name(request), name)
        return Response(status=204)


class ConfigView(ConnectView):
    """The settings of a connector."""

    def get(self, request: Request, name: str) -> Response:
        """As they were given."""
        connector = services.find(name)
        answer = status.shown_config(connector, with_secrets=sees_secrets(request))
        return Response(answer, headers=_ignored(connector))

    def put(self, request: Request, name: str) -> Response:
        """Replaces them, or makes the connector."""
        is_new = not Connector.objects.filter(name=name).exists()
        if is_new and not (MayUse().has_permission(request, _Adding)):
            raise exceptions.PermissionDenied
        connector, found, was_made = services.change(user_name(request), name, _texts(_object(request.data)))
        return _made(request, connector, found, 201 if was_made else 200)

    def patch(self, request: Request, name: str) -> Response:
        """Changes some; null removes one."""
        connector, found = services.patch(user_name(request), name, _texts(_object(request.data)))
        return _made(request, connector, found, 200)


class _Adding:
    """Asks MayUse for the permission to add."""

    needs = {"PUT": ADD}


class StatusView(ConnectView):
    """How a connector is doing."""

    def get(self, request: Request, name: str) -> Response:
        """Its state and those of its tasks."""
        connector = Connector.objects.filter(name=name).first()
        if connector is None:
            raise RestError(404, f"No status found for connector {name}")
        answer = status.status(connector, status.reports_of(status.workers()))
        return Response(answer, headers=_ignored(connector))


class RestartView(ConnectView):
    """Begins a connector anew."""

    def post(self, request: Request, name: str) -> Response:
        """With `includeTasks` or `onlyFailed`, tells what it has restarted."""
        connector = Connector.objects.filter(name=name).first()
        if connector is None:
            raise RestError(404, f"Unknown connector: {name}")
        with_tasks, only_failed = _flag(request, "includeTasks"), _flag(request, "onlyFailed")
        now = status.status(connector, status.reports_of(status.workers()))
        if with_tasks:
            chosen = [task["id"] for task in now["tasks"] if not only_failed or task["state"] == "FAILED"]
            if connector.target_state != TargetState.STOPPED:
                services.restart_tasks(user_name(request), name, chosen)
                for task in now["tasks"]:
                    if task["id"] in chosen:
                        task["state"] = "RESTARTING"
        if not (with_tasks or only_failed):
            return Response(status=204)
        if not only_failed:
            now["connector"]["state"] = "RESTARTING"
        return Response(now, 202)


class _SetState(ConnectView):
    state: ClassVar[TargetState]
    answer = 202

    def put(self, request: Request, name: str) -> Response:
        """Workers obey within seconds."""
        services.set_state(user_name(request), name, self.state)
        return Response(status=self.answer)


class PauseView(_SetState):
    """Keeps the tasks and reads nothing."""

    state = TargetState.PAUSED


class ResumeView(_SetState):
    """Runs it again."""

    state = TargetState.RUNNING


class StopView(_SetState):
    """Ends the tasks."""

    state = TargetState.STOPPED
    answer = 204


class TasksView(ConnectView):
    """The tasks of a connector."""

    def get(self, request: Request, name: str) -> Response:
        """With their settings."""
        return Response(status.task_configs(services.find(name), with_secrets=sees_secrets(request)))


class TaskStatusView(ConnectView):
    """How a task is doing."""

    def get(self, request: Request, name: str, task: str) -> Response:
        """Its state."""
        connector = Connector.objects.filter(name=name).first()
        found = connector and connector.tasks.filter(number=int(task)).first()
        if connector is None or found is None:
            raise RestError(404, f"No status found for task {name}-{task}")
        return Response(status.task_status(connector, found, status.reports_of(status.workers())))


class TaskRestartView(ConnectView):
    """Begins a task anew."""

    def post(self, request: Request, name: str, task: str) -> Response:
        """Workers obey within seconds."""
        connector = Connector.objects.filter(name=name).first()
        if connector is None:
            raise RestError(404, f"Unknown connector: {name}")
        if not connector.tasks.filter(number=int(task)).exists():
            raise RestError(404, f"Unknown task: {name}-{task}")
        services.restart_tasks(user_name(request), name, [int(task)])
        return Response(status=204)


class OffsetsView(ConnectView):
    """Where a connector goes on. With `?dry_run=true`, which Kafka Connect has not, nothing is changed."""

    def get(self, request: Request, name: str) -> Response:
        """The offsets of a sink, or the positions of a source."""
        return Response({"offsets": offsets.read(services.find(name))})

    def patch(self, request: Request, name: str) -> Response:
        """Moves some, while the connector is stopped."""
        connector = services.find(name)
        answer = offsets.alter(user_name(request), connector, request.data, dry_run=_flag(request, "dry_run"))
        return Response(answer)

    def delete(self, request: Request, name: str) -> Response:
        """Has it begin at the beginning."""
        return Response(offsets.reset(user_name(request), services.find(name), dry_run=_flag(request, "dry_run")))


class TopicsView(ConnectView):
    """The topics that a connector has used."""

    def get(self, request: Request, name: str) -> Response:
        """As in Kafka Connect, one that is not there has used none."""
        topics = Connector.objects.filter(name=name).values_list("topics", flat=True).first() or []
        return Response({name: {"topics": topics}})


class TopicsResetView(ConnectView):
    """Forgets the topics that a connector has used."""

    def put(self, request: Request, name: str) -> Response:
        """As in Kafka Connect, one that is not there has none to forget."""
        services.reset_topics(user_name(request), name)
        return Response(status=202)


class PluginsView(ConnectView):
    """The classes of connectors."""

    def get(self, request: Request) -> Response:
        """All of them; there are no others, such as converters."""
        answer = [{"class": one.class_name, "type": one.type, "version": status.VERSION} for one in PLUGINS]
        return Response(sorted(answer, key=lambda one: one["class"]))


class PluginConfigView(ConnectView):
    """The settings of a class."""

    def get(self, request: Request, plugin: str) -> Response:
        """Those that it knows, also those that have no effect."""
        found = find_plugin(plugin)
        if found is None:
            raise RestError(404, f"Unknown plugin {plugin}.")
        return Response(definitions(found))


class ValidateView(ConnectView):
    """Checks settings."""

    needs = {"PUT": VIEW}

    def put(self, request: Request, plugin: str) -> Response:
        """Each setting of the class with its value and errors, then those that were given and have no effect."""
        config = _texts(_object(request.data))
        asked = find_plugin(plugin)
        try:
            found = checked({**config, "connector.class": config.get("connector.class")})
        except NoPlugin as error:
            raise RestError(400, str(error)) from error
        if found.plugin is not asked:
            named = config.get("connector.class")
            raise RestError(400, f"Included connector type {named} does not match request type {plugin}")
        return Response(_validated(plugin, found), headers=_ignored_header(found.ignored))


class NotFoundView(ConnectView):
    """Any other address."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Ends each request."""
        raise RestError(404, "HTTP 404 Not Found")


def _validated(name: str, found: Checked) -> dict[str, Any]:
    definitions_ = definitions(found.plugin)
    unknown = [name for name in found.given if name not in found.plugin.settings]
    for order, one in enumerate(unknown, start=1):
        why = found.ignored.get(one, "")
        setting = pattern_of(found.plugin, one)
        setting = Setting(name=one) if setting is None else setting.named(one)
        definitions_.append(definition(setting, order, ignored=why))
    configs = []
    for item in definitions_:
        value = found.given.get(item["name"], item["default_value"])
        if value is not None and item["type"] == "PASSWORD":
            value = MASK
        configs.append(
            {
                "definition": item,
                "value": {
                    "name": item["name"],
                    "value": value,
                    "recommended_values": [],
                    "errors": found.errors.get(item["name"], []),
                    "visible": True,
                },
            }
        )
    groups = list(dict.fromkeys(item["group"] for item in definitions_))
    return {"name": name, "error_count": found.error_count, "groups": groups, "configs": configs}


def _made(request: Request, connector: Connector, found: Checked, code: int) -> Response:
    headers = _ignored_header(found.ignored)
    if code == 201:
        base = request.path_info.partition("/connectors")[0]
        headers["Location"] = request.build_absolute_uri(f"{base}/connectors/{quote(connector.name)}")
    return Response(status.info(connector, with_secrets=sees_secrets(request)), code, headers=headers)


def _ignored(connector: Connector) -> dict[str, str]:
    try:
        return _ignored_header(checked(connector.config).ignored)
    except NoPlugin:  # a class of an earlier version: its task says so
        return {}


def _ignored_header(ignored: Mapping[str, str]) -> dict[str, str]:
    if not ignored:
        return {}
    text = ", ".join(ignored).encode("ascii", "replace").decode()
    return {IGNORED_HEADER: text if len(text) <= _MOST_IGNORED else f"{text[:_MOST_IGNORED]}..."}


def _object(body: Any, known: set[str] | None = None) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise RestError(400, "the request must have a JSON object")
    if known is not None and (unknown := sorted(body.keys() - known)):
        raise RestError(400, f"Unrecognized field {unknown[0]!r}; there are {', '.join(sorted(known))}")
    return body


def _texts(config: dict[str, Any]) -> dict[str, str | None]:
    """Settings are texts; numbers and truth values become texts, as in Kafka Connect."""
    for name, value in config.items():
        if not name.isprintable():
            raise RestError(400, f"the name of a setting must have no control characters, as {name!r} has")
        if isinstance(value, str) and "\0" in value:
            raise RestError(400, f"the setting {name} must not have the character NUL, which no database stores")
        if isinstance(value, (dict, list)):
            raise RestError(400, f"the setting {name} must be a text, a number, true or false")
    return {
        name: value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in config.items()
    }


def _flag(request: Request, name: str) -> bool:
    return str(request.query_params.get(name, "false")).lower() == "true"


def _error_answer(error: Exception, context: dict[str, Any]) -> Response:
    headers: dict[str, str] = {}
    match error:
        case RestError():
            code, text = error.status, str(error)
        case exceptions.MethodNotAllowed():
            code, text = 405, "HTTP 405 Method Not Allowed"
        case exceptions.APIException():
            code, text = error.status_code, str(error.detail)
            if header := getattr(error, "auth_header", None):
                headers["WWW-Authenticate"] = header
        case DatabaseError():
            logger.warning("%s can't be answered: %s", context["request"].path, error)
            code, text = 503, "The project's database does not answer; its log has more"
        case ImproperlyConfigured():
            code, text = 500, str(error)
        case _:
            logger.error("unexpected error at %s", context["request"].path, exc_info=error)
            code, text = 500, "Unexpected error; the log of the website has more"
    return Response({"error_code": code, "message": text}, code, headers=headers)
