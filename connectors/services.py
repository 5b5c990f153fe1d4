"""Changes of connectors. Each is logged before it is made, and workers see it with their next look at the tables."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from connectors.audit import changing
from connectors.conf import connectors_settings
from connectors.errors import RestError, not_found
from connectors.models import Connector, ConnectorTask, TargetState
from connectors.validation import Checked, NoPlugin, checked
from sinks.config import SinkConfig
from sinks.registry import kind_of, sinks
from sources.config import SourceConfig
from sources.registry import topics_of

Config = Mapping[str, str | None]


def find(name: str) -> Connector:
    """Raises RestError where there is none."""
    connector = Connector.objects.filter(name=name).first()
    if connector is None:
        raise not_found(name)
    return connector


def create(user: str, name: str, config: Config, *, state: str = TargetState.RUNNING) -> tuple[Connector, Checked]:
    """Makes a connector. Raises RestError."""
    found = _usable(name, config)
    if Connector.objects.filter(name=name).exists():
        raise RestError(409, f"Connector {name} already exists")
    if name in settings.SINKS or name in settings.SOURCES:
        raise RestError(409, f"The settings have a sink or source {name}, and a connector can't have its name")
    with changing(user, name, f"create, {_told(found)}"):
        try:
            with _one_by_one():
                _check_conflicts(found)
                connector = Connector.objects.create(
                    name=name, type=found.plugin.type, config=dict(found.given), target_state=state
                )
                _place_tasks(connector, found)
        except IntegrityError:
            raise RestError(409, f"Connector {name} already exists") from None
    return connector, found


def change(user: str, name: str, config: Config) -> tuple[Connector, Checked, bool]:
    """Gives a connector other settings, or makes it; says whether it was made. Raises RestError."""
    if not Connector.objects.filter(name=name).exists():
        return *create(user, name, config), True
    connector, found = _change(user, find(name), config)
    return connector, found, False


def patch(user: str, name: str, changes: Config) -> tuple[Connector, Checked]:
    """Changes some settings of a connector; None removes one. Raises RestError."""
    connector = find(name)
    config = {key: text for key, text in {**connector.config, **changes}.items() if text is not None}
    return _change(user, connector, config)


def _change(user: str, connector: Connector, config: Config) -> tuple[Connector, Checked]:
    """Of two changes at the same moment one is refused: it may have been made of settings that are no more."""
    found = _usable(connector.name, config)
    if found.plugin.type != connector.type:
        raise RestError(400, f"Connector {connector.name} is a {connector.type} and can't become a {found.plugin.type}")
    with changing(user, connector.name, f"change, {_told(found)}"), _one_by_one():
        _check_conflicts(found)
        generation = connector.generation + 1
        seen = Connector.objects.filter(pk=connector.pk, generation=connector.generation)
        if not seen.update(config=dict(found.given), generation=generation, changed_at=timezone.now()):
            raise RestError(409, f"Connector {connector.name} was changed or deleted at the same moment: try again")
        connector.refresh_from_db()
        _place_tasks(connector, found)
    return connector, found


def delete(user: str, name: str) -> None:
    """Removes a connector; what it has stored and its offsets stay. Raises RestError."""
    connector = find(name)
    with changing(user, name, "delete"):
        connector.delete()


def set_state(user: str, name: str, state: str) -> None:
    """Pauses, resumes or stops a connector. Raises RestError."""
    if not Connector.objects.filter(name=name).exists():
        raise RestError(404, f"Unknown connector {name}")
    with changing(user, name, {"RUNNING": "resume", "PAUSED": "pause"}.get(state, "stop")):
        Connector.objects.filter(name=name).update(target_state=state)


def restart_tasks(user: str, name: str, numbers: list[int]) -> None:
    """Has tasks begin anew."""
    with changing(user, name, f"restart tasks {', '.join(map(str, numbers)) or '(none)'}"):
        tasks = ConnectorTask.objects.filter(connector__name=name, number__in=numbers)
        tasks.update(restarts=F("restarts") + 1)


def reset_topics(user: str, name: str) -> None:
    """Forgets which topics the connector has used. As in Kafka Connect, one that is not there has none to forget."""
    if not Connector.objects.filter(name=name).exists():
        return
    with changing(user, name, "reset the topics that it has used"):
        Connector.objects.filter(name=name).update(topics=[])


def _usable(name: str, config: Config) -> Checked:
    """Raises RestError, with Kafka Connect's words, where settings are wrong."""
    named = config.get("name", name)
    if named != name:
        text = f"Connector name configuration ({named}) doesn't match connector name in the URL ({name})"
        raise RestError(400, text)
    try:
        found = checked({**config, "name": name})
    except NoPlugin as error:
        raise RestError(400, str(error)) from error
    texts = [text for texts in found.errors.values() for text in texts]
    if isinstance(found.config, SourceConfig) and (topic := connectors_settings().topic) in topics_of(found.config):
        texts.append(f"topic {topic} is that of the workers")
    _check(texts)
    return found


def _check(errors: list[str]) -> None:
    if errors:
        raise RestError(
            400,
            f"Connector configuration is invalid and contains the following {len(errors)} error(s):\n"
            + "\n".join(errors)
            + "\nYou can also find the above list of errors at the endpoint "
            "`/connector-plugins/{connectorType}/config/validate`",
        )


@contextmanager
def _one_by_one() -> Iterator[None]:
    """A transaction that changes connectors while no other one does: whether a sink can run depends on the others."""
    with transaction.atomic():
        # Any row that is always there would do. SQLite has one writer anyway.
        ContentType.objects.select_for_update().get(app_label="connectors", model="connector")
        yield


def _check_conflicts(found: Checked) -> None:
    if isinstance(found.config, SinkConfig):
        _check(_conflicts(found.config))


def other_sinks(name: str) -> list[SinkConfig]:
    """The sinks of the settings and of the connectors but for one connector."""
    others = list(sinks().values())
    for connector in Connector.objects.filter(type="sink").exclude(name=name):
        with suppress(NoPlugin):  # a class of an earlier version, which does not run
            other = checked(connector.config).config
            if isinstance(other, SinkConfig):
                others.append(other)
    return others


def _conflicts(sink: SinkConfig) -> list[str]:
    """Why this sink can't run beside those of the settings and of other connectors."""
    texts = []
    for other in other_sinks(sink.name):
        if (shared := sink.shared_topics(other)) and (sink.kafka, sink.group) == (other.kafka, other.group):
            texts.append(
                f"{other.name} reads {shared} as group {sink.group}, too: each would get a part of the records"
            )
        if other.kind == sink.kind:
            texts += kind_of(sink).conflicts(sink, other)
    return texts


def _place_tasks(connector: Connector, found: Checked) -> None:
    """Gives each task that is new a slot: the one with the fewest tasks, the lowest of these."""
    assert found.config is not None
    count = found.config.tasks
    connector.tasks.filter(number__gte=count).delete()
    there = set(connector.tasks.values_list("number", flat=True))
    used = Counter(dict.fromkeys(range(connectors_settings().slots), 0))
    used.update(slot for slot in ConnectorTask.objects.values_list("slot", flat=True) if slot in used)
    for number in range(count):
        if number not in there:
            slot = min(used, key=lambda slot: (used[slot], slot))
            used[slot] += 1
            ConnectorTask.objects.create(connector=connector, number=number, slot=slot)


def _told(found: Checked) -> str:
    """The settings for the log, without values: these may be secret."""
    return f"{found.plugin.class_name} with {', '.join(sorted(found.given))}"
