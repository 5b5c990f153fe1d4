"""Checks the settings of a connector, and makes them the configuration of a sink or source."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from connectors.conf import connectors_settings
from connectors.plugins.common import CONVERTER, entry_of_sink, entry_of_source, options_of_all
from connectors.plugins.plugin import Plugin
from connectors.plugins.registry import PLUGINS, find_plugin
from connectors.plugins.setting import Setting, SettingError, without_secrets
from connectors.reach import check_databases, check_paths, check_urls
from connectors.secrets import SecretError, has_references, with_secrets
from sinks import registry as sinks_registry
from sinks.config import SinkConfig
from sinks.registry import sink_of
from sources import registry as sources_registry
from sources.config import SourceConfig
from sources.registry import source_of

_BUFFER_BYTES = 32 * 1024 * 1024
"""Of each task, where nothing else is said: a worker runs many."""

UNKNOWN = "it is not known here"
"""Why a setting has no effect of which no class knows anything."""

_OF_CONVERTERS = "records are neither encoded nor decoded"


class NoPlugin(ValueError):
    """`connector.class` is missing, or no class has this name."""


@dataclass(frozen=True)
class Checked:
    """Settings after a look at them.

    given: the texts; errors: by setting; ignored: why each of the given settings that have no effect has none; config:
    of the sink or source, where there are no errors.
    """

    plugin: Plugin
    given: Mapping[str, str]
    errors: Mapping[str, list[str]] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)
    config: SinkConfig | SourceConfig | None = None

    @property
    def error_count(self) -> int:
        """How many settings are wrong."""
        return len(self.errors)


def plugin_of(config: Mapping[str, str]) -> Plugin:
    """The class that the settings name. Raises NoPlugin with Kafka Connect's words."""
    name = config.get("connector.class")
    if not name:
        shown = ", ".join(f"{key}={without_secrets(key, text)}" for key, text in config.items())
        raise NoPlugin(f"Connector config {{{shown}}} contains no connector type")
    plugin = find_plugin(name.strip())
    if plugin is None:
        there = ", ".join(plugin.class_name for plugin in PLUGINS)
        raise NoPlugin(
            f"Failed to find any class that implements Connector and which name matches {name}, available connectors "
            f"are: {there}"
        )
    return plugin


def checked(config: Mapping[str, str | None]) -> Checked:
    """Looks at the settings; connects to nothing. Raises NoPlugin.

    References to secrets are looked up where they can be: a worker's host may have others, and tells what it misses.
    """
    given = {name: text for name, text in config.items() if text is not None}
    plugin = plugin_of(given)
    nulls = {name: ["Null value can not be supplied as the configuration value."] for name in config.keys() - given}
    ignored = _ignored(plugin, given)
    try:
        texts = with_secrets(given)
    except SecretError as error:
        first = next(name for name, text in given.items() if has_references(text))
        errors = _together(nulls, {first: [str(error)]}, _values(plugin, given)[1])
        return Checked(plugin, given, errors, ignored)
    found, errors = _looked_at(plugin, texts)
    if errors and texts != given:
        # An error may quote what a reference stands for. The errors of the settings as they were given do not.
        known = _looked_at(plugin, given)[1]
        errors = {name: known.get(name, [_hidden(name)]) for name in errors}
    errors = _together(nulls, errors)
    return Checked(plugin, given, errors, ignored, None if errors else found)


def _together(*errors: Mapping[str, list[str]]) -> dict[str, list[str]]:
    names = dict.fromkeys(name for some in errors for name in some)
    return {name: [text for some in errors for text in some.get(name, ())] for name in names}


def _hidden(name: str) -> str:
    return f"Invalid value for configuration {name}: what a reference to a secret stands for can't be used"


def _ignored(plugin: Plugin, given: Mapping[str, str]) -> dict[str, str]:
    """Why each setting that has no effect has none, by name: PostgreSQL keeps no other order."""
    found = {}
    for name in sorted(given):
        setting = plugin.settings.get(name) or pattern_of(plugin, name)
        if setting is None:
            found[name] = _OF_CONVERTERS if CONVERTER.fullmatch(name) else UNKNOWN
        elif setting.ignored:
            found[name] = setting.ignored
    return found


def _values(plugin: Plugin, texts: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The values of the settings by name, and the errors of those that have none."""
    values: dict[str, Any] = {}
    errors: dict[str, list[str]] = {}
    settings = plugin.settings
    known = [setting for setting in settings.values() if not setting.name.endswith("*")]
    patterns = {name: pattern_of(plugin, name) for name in texts if name not in settings}
    by_pattern = [pattern.named(name) for name, pattern in patterns.items() if pattern is not None]
    for setting in (*known, *by_pattern):
        if not setting.ignored:
            try:
                values[setting.name] = setting.read(texts.get(setting.name))
            except SettingError as error:
                errors.setdefault(error.name, []).append(str(error))
    return values, errors


def _looked_at(
    plugin: Plugin, texts: Mapping[str, str]
) -> tuple[SinkConfig | SourceConfig | None, dict[str, list[str]]]:
    """The sink or source that the settings describe, or why they describe none."""
    values, errors = _values(plugin, texts)
    if errors:
        return None, errors
    try:
        return _config(plugin, values), {}
    except SettingError as error:
        return None, {error.name: [str(error)]}
    except (ValueError, ImproperlyConfigured) as error:
        return None, {"connector.class": [str(error)]}


def pattern_of(plugin: Plugin, name: str) -> Setting | None:
    """The setting whose name stands for all that begin as this name does."""
    patterns = [setting for setting in plugin.settings.values() if setting.name.endswith("*")]
    return next((setting for setting in patterns if name.startswith(setting.name[:-1])), None)


def _config(plugin: Plugin, values: Mapping[str, Any]) -> SinkConfig | SourceConfig:
    name = values["name"]
    common = entry_of_sink(values) if plugin.type == "sink" else entry_of_source(values)
    own = plugin.entry(values)
    options = {**common.pop("options", {}), **options_of_all(values), **own.pop("options", {})}
    tasks, kafka = values["tasks.max"], connectors_settings().kafka
    entry = {"tasks": min(tasks, 64), "kafka": kafka, **common, **own, "options": options}
    if plugin.type == "sink":
        entry["options"] = {"buffer_bytes": _BUFFER_BYTES, **options}
        sink = sink_of(name, entry)
        kind = sinks_registry.kind_of(sink)
        check_paths(kind.host_paths(sink))
        check_databases(kind.databases(sink))
        check_urls(kind.urls(sink))
        return sink
    source = source_of(name, entry)
    source_kind = sources_registry.kind_of(source)
    check_paths(source_kind.host_paths(source))
    check_databases(source_kind.databases(source))
    check_urls(source_kind.urls(source))
    return source
