"""What connectors there are and how they are doing, in the shapes of Kafka Connect's answers."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import msgspec

from connectors.conf import connectors_settings
from connectors.models import Connector, TargetState, Worker
from connectors.plugins.plugin import Plugin
from connectors.plugins.registry import find_plugin
from connectors.plugins.setting import MASK, without_passwords, without_secrets
from connectors.reports import TaskStatus, WorkerReport
from connectors.secrets import is_reference
from worker.clock import database_now

VERSION = "4.3.1"
"""The version of Kafka Connect whose answers these are."""


class Reported(msgspec.Struct, frozen=True):
    """A task as its worker tells of it."""

    worker: WorkerReport
    task: TaskStatus


Reports = dict[tuple[str, int], Reported]
"""By connector and number."""


def workers() -> list[WorkerReport]:
    """Those that were heard of lately."""
    since = database_now() - timedelta(seconds=connectors_settings().away_seconds)
    rows = Worker.objects.filter(heard_at__gte=since).order_by("worker_id").values_list("report", flat=True)
    return [msgspec.json.decode(row, type=WorkerReport) for row in rows]


def reports_of(found: Iterable[WorkerReport]) -> Reports:
    """The tasks of these workers; while a task moves, the worker that has begun it last counts."""
    reports: Reports = {}
    for worker in found:
        for task in worker.tasks:
            key = task.connector, task.task
            if key not in reports or reports[key].task.since < task.since:
                reports[key] = Reported(worker, task)
    return reports


def info(connector: Connector, *, with_secrets: bool) -> dict[str, Any]:
    """Settings and tasks."""
    return {
        "name": connector.name,
        "config": shown_config(connector, with_secrets=with_secrets),
        "tasks": [{"connector": connector.name, "task": task.number} for task in running_tasks(connector)],
        "type": connector.type,
    }


def shown_config(connector: Connector, *, with_secrets: bool) -> dict[str, str]:
    """The settings as they were given. Secrets that are no references are masked, unless the reader may see them."""
    config: dict[str, str] = connector.config
    if with_secrets:
        return config
    plugin = find_plugin(config["connector.class"])
    return {name: _shown(plugin, name, text) for name, text in config.items()}


def _shown(plugin: Plugin | None, name: str, text: str) -> str:
    setting = plugin.settings.get(name) if plugin is not None else None
    if is_reference(text):
        return text
    if setting is None:
        return without_secrets(name, text)
    return MASK if setting.type == "PASSWORD" else without_passwords(text)


def running_tasks(connector: Connector) -> list[Any]:
    """The tasks in order; none of a connector that is stopped."""
    return [] if connector.target_state == TargetState.STOPPED else list(connector.tasks.all())


def task_configs(connector: Connector, *, with_secrets: bool) -> list[dict[str, Any]]:
    """Each task with its settings: all have the connector's."""
    plugin = find_plugin(connector.config["connector.class"])
    own = {"task.class": plugin.task_class if plugin else ""}
    config = {**shown_config(connector, with_secrets=with_secrets), **own}
    return [
        {"id": {"connector": connector.name, "task": task.number}, "config": config}
        for task in running_tasks(connector)
    ]


def status(connector: Connector, reports: Reports) -> dict[str, Any]:
    """The connector's state and those of its tasks."""
    name = connector.name
    if connector.target_state == TargetState.STOPPED:
        # Those that a worker still tells of are about to end.
        tasks = [_told(reported) for (one, _), reported in sorted(reports.items()) if one == name]
    else:
        tasks = [task_status(connector, task, reports) for task in connector.tasks.all()]
    worker = next((task["worker_id"] for task in tasks if task["worker_id"]), "")
    state = connector.target_state
    if state != TargetState.STOPPED and not worker:
        state = "UNASSIGNED"
    return {
        "name": name,
        "connector": {"state": state, "worker_id": worker, "version": VERSION},
        "tasks": tasks,
        "type": connector.type,
    }


def task_status(connector: Connector, task: Any, reports: Reports) -> dict[str, Any]:
    """The state of one task; UNASSIGNED where no worker tells of it."""
    reported = reports.get((connector.name, task.number))
    if reported is None or reported.task.id != task.pk:
        return {"id": task.number, "state": "UNASSIGNED", "worker_id": "", "version": VERSION}
    told = _told(reported)
    if reported.task.restarts < task.restarts or reported.task.generation < connector.generation:
        told["state"] = "RESTARTING"
    return told


def _told(reported: Reported) -> dict[str, Any]:
    task = reported.task
    told = {
        "id": task.task,
        "state": task.state,
        "worker_id": reported.worker.worker_id,
        "version": VERSION,
    }
    # A task that waits for a server says for which, in the place of Kafka Connect's traces.
    trace = task.trace or task.reason
    return {**told, "trace": trace} if trace else told
