"""The page of connectors, the page of one of them, and what operators do with them, on any Kafka Connect."""

import json
from typing import Any
from urllib.parse import quote

from django.contrib import messages as notes
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from connectors.access import ADD, CHANGE, DELETE, VIEW
from connectors.plugins.setting import without_secrets
from pipeline.console.connectors.client import Client, Refused, connect_clusters, path_of
from pipeline.console.pages import NotThere, page_response
from pipeline.console.panels import Panel, section
from pipeline.errors import ServerAway, ServerError
from pipeline.guard import guard

PAGE = "console:connectors"

_ACTIONS = {
    "pause": ("PUT", "pause"),
    "resume": ("PUT", "resume"),
    "stop": ("PUT", "stop"),
    "restart": ("POST", "restart"),
    "reset": ("DELETE", "offsets"),
    "delete": ("DELETE", ""),
}


def index(request: HttpRequest) -> HttpResponseBase:
    """A panel for each cluster."""
    panels = [section(LIST, id=f"{LIST.id}-{name}", title=name, cluster=name) for name in connect_clusters()]
    may_add = request.user.has_perm(ADD)
    context = {"clusters": list(connect_clusters()), "may_add": may_add}
    return page_response(request, "connectors/index.html", page=PAGE, title=_("Connectors"), panels=panels, **context)


def connector(request: HttpRequest, cluster: str, name: str) -> HttpResponseBase:
    """A connector's page."""
    Client(request, cluster)
    panels = [section(STATE, cluster=cluster, name=name), section(OFFSETS, cluster=cluster, name=name)]
    return page_response(
        request,
        "connectors/connector.html",
        page=PAGE,
        title=name,
        panels=panels,
        cluster=cluster,
        may_change=request.user.has_perm(CHANGE),
        may_delete=request.user.has_perm(DELETE),
    )


@require_http_methods(["GET", "POST"])
def action(request: HttpRequest, cluster: str, name: str) -> HttpResponseBase:
    """Asks for confirmation of an action, for a reset with what it would do (GET), then does it (POST)."""
    client = Client(request, cluster)
    chosen = request.POST.get("action", "") if request.method == "POST" else request.GET.get("action", "")
    if chosen not in _ACTIONS:
        raise Http404("there is no such action")
    method, address = _ACTIONS[chosen]
    path = path_of(name, address) if address else path_of(name)
    back = reverse("console:connector", args=[cluster, name])
    if request.method == "POST":
        query = {"includeTasks": "true"} if chosen == "restart" else None
        try:
            client.ask(method, path, query=query)
        except (Refused, ServerError) as error:
            notes.error(request, str(error))
        else:
            notes.success(request, _("Asked for. The workers do it within seconds."))
            if chosen == "delete":
                back = reverse(PAGE)
        return HttpResponseRedirect(back)
    changes, refusal = [], ""
    if chosen == "reset" and not client.cluster.url:
        try:
            changes = client.ask(method, path, query={"dry_run": "true"})["changes"]
        except (Refused, ServerError) as error:
            refusal = str(error)
    return page_response(
        request,
        "connectors/action.html",
        page=PAGE,
        title=name,
        cluster=cluster,
        action=chosen,
        changes=changes,
        refusal=refusal,
        back=back,
    )


@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, cluster: str, name: str = "") -> HttpResponseBase:
    """The settings of a connector as JSON: checks them, and makes or changes it."""
    client = Client(request, cluster)
    text, chosen = "", name or request.POST.get("name", "").strip()
    errors: _Texts = []
    warnings: _Texts = []
    if request.method == "POST":
        text = request.POST.get("config", "")
        try:
            config = _config(text)
            errors, warnings = _validated(client, chosen, config)
            if not errors and "save" in request.POST:
                _save(client, chosen, config, is_new=not name)
                notes.success(request, _("Asked for. The workers do it within seconds."))
                return HttpResponseRedirect(reverse("console:connector", args=[cluster, chosen]))
        except (Refused, ServerError, ValueError) as error:
            errors = [("", str(error))]
    elif name:
        try:
            text = json.dumps(client.get(path_of(name, "config")), indent=2, ensure_ascii=False)
        except (Refused, ServerError) as error:
            errors = [("", str(error))]
    return page_response(
        request,
        "connectors/edit.html",
        page=PAGE,
        title=name or _("New connector"),
        cluster=cluster,
        name=name,
        chosen=chosen,
        config=text or _EXAMPLE,
        errors=errors,
        warnings=warnings,
        is_good=request.method == "POST" and not errors,
        back=reverse("console:connector", args=[cluster, name]) if name else reverse(PAGE),
    )


_EXAMPLE = """{
  "connector.class": "FileStreamSource",
  "file": "/tmp/stock.txt",
  "topic": "stock"
}"""


def _config(text: str) -> dict[str, Any]:
    """The settings; what a book posts has them within `config`. Raises ValueError."""
    try:
        config = json.loads(text)
    except ValueError as error:
        raise ValueError(_("The settings are no JSON: {error}").format(error=error)) from error
    if isinstance(config, dict) and isinstance(config.get("config"), dict):
        config = config["config"]
    if not isinstance(config, dict) or not config.get("connector.class"):
        raise ValueError(_("The settings must be a JSON object with a connector.class."))
    return config


_Texts = list[tuple[str, str]]
"""Of settings, each with its name."""


def _validated(client: Client, name: str, config: dict[str, Any]) -> tuple[_Texts, _Texts]:
    """What is wrong with the settings, and which have no effect."""
    plugin = quote(str(config["connector.class"]).strip(), safe="")
    answer = client.ask("PUT", f"/connector-plugins/{plugin}/config/validate", {**config, "name": name})
    errors = [(one["value"]["name"], text) for one in answer["configs"] for text in one["value"]["errors"]]
    given = [one["definition"] for one in answer["configs"] if one["value"]["name"] in config]
    texts = [(one["name"], one["documentation"] or "") for one in given]
    return errors, [(setting, text) for setting, text in texts if text.startswith("Has no effect")]


def _save(client: Client, name: str, config: dict[str, Any], *, is_new: bool) -> None:
    if is_new:
        client.ask("POST", "/connectors", {"name": name, "config": {**config, "name": name}})
    else:
        client.ask("PUT", path_of(name, "config"), {**config, "name": name})


def read_list(request: HttpRequest, cluster: str) -> dict[str, Any]:
    """The connectors of a cluster with the states of their tasks. Raises ServerError."""
    found = _answer(Client(request, cluster), "/connectors", expand=["status", "info"])
    return {"cluster": cluster, "rows": [_row(name, one) for name, one in sorted(found.items())]}


def _row(name: str, found: dict[str, Any]) -> dict[str, Any]:
    status, info = found.get("status", {}), found.get("info", {})
    tasks = status.get("tasks", [])
    trace = next((task["trace"] for task in tasks if task.get("trace")), "").strip()
    return {
        "name": name,
        "type": status.get("type", ""),
        "class": info.get("config", {}).get("connector.class", "").rpartition(".")[2],
        "state": status.get("connector", {}).get("state", ""),
        "tasks": tasks,
        "error": trace.splitlines()[-1] if trace else "",
    }


def read_state(request: HttpRequest, cluster: str, name: str) -> dict[str, Any]:
    """The state of a connector, its tasks with their traces, and its settings. Raises ServerError, NotThere."""
    client = Client(request, cluster)
    config = _answer(client, path_of(name, "config"))
    if not request.user.has_perm(CHANGE):  # another Kafka Connect shows secrets to everybody
        config = {key: without_secrets(key, value) for key, value in config.items()}
    return {"status": _answer(client, path_of(name, "status")), "config": sorted(config.items())}


def read_offsets(request: HttpRequest, cluster: str, name: str) -> dict[str, Any]:
    """Where a connector goes on. Raises ServerError, NotThere."""
    client = Client(request, cluster)
    with guard().read(f"{client.cluster.server}: offsets"):  # it may wait for Kafka and a store
        found = _answer(client, path_of(name, "offsets"))["offsets"]
    shown = [(_flat(one["partition"]), _flat(one["offset"])) for one in found]
    return {"offsets": shown[:200], "left": max(0, len(shown) - 200)}


def _flat(value: dict[str, Any] | None) -> str:
    return ", ".join(f"{key}: {json.dumps(one, ensure_ascii=False)}" for key, one in (value or {}).items())


def _answer(client: Client, path: str, **query: Any) -> Any:
    try:
        return client.get(path, **query)
    except Refused as error:
        if error.status == 404:
            raise NotThere(str(error)) from error
        kind = ServerAway if error.status == 503 else ServerError
        raise kind(client.cluster.server, str(error)) from error


LIST = Panel(
    "connectors",
    gettext_lazy("Connectors"),
    "connectors/list.html",
    read_list,
    "console:connectors_list",
    permission=VIEW,
)
STATE = Panel(
    "connector",
    gettext_lazy("State"),
    "connectors/state.html",
    read_state,
    "console:connector_state",
    permission=VIEW,
)
OFFSETS = Panel(
    "offsets",
    gettext_lazy("Offsets"),
    "connectors/offsets.html",
    read_offsets,
    "console:connector_offsets",
    permission=VIEW,
)
