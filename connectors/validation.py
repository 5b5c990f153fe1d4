"""Checks the settings of a connector, and makes them the configuration of a sink or source."""

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from connectors.conf import connectors_settings
from connectors.plugins.common import CONVERTER, entry_of_sink, entry_of_source, options_of_all
from connectors.plugins.plugin import Plugin
from connectors.plugins.registry import PLUGINS, find_plugin
from connectors.plugins.setting import Setting, SettingError
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
        shown = ", ".join(f"{key}={_shown(key, text)}" for key, text in config.items())
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
    errors: dict[str, list[str]] = {}
    for name in config.keys() - given.keys():
        errors.setdefault(name, []).append("Null value can not be supplied as the configuration value.")
    try:
        texts = with_secrets(given)
    except SecretError as error:
        texts = dict(given)
        wrong = [name for name, text in given.items() if has_references(text)]
        errors.setdefault(wrong[0], []).append(str(error))
    settings = plugin.settings
    values: dict[str, Any] = {}
    for setting in [setting for setting in settings.values() if not setting.name.endswith("*")]:
        _read(setting, texts.get(setting.name), values, errors)
    ignored = {}
    for name in given.keys() - settings.keys():
        pattern = pattern_of(plugin, name)
        if pattern is None:
            ignored[name] = _OF_CONVERTERS if CONVERTER.fullmatch(name) else UNKNOWN
        else:
            _read(pattern.named(name), texts[name], values, errors)
            if pattern.ignored:
                ignored[name] = pattern.ignored
    ignored |= {name: settings[name].ignored for name in given if name in settings and settings[name].ignored}
    ignored = {name: ignored[name] for name in given if name in ignored}  # in the order of the settings
    found = None
    if not errors:
        try:
            found = _config(plugin, values)
        except SettingError as error:
            errors[error.name] = [str(error)]
        except (ValueError, ImproperlyConfigured) as error:
            errors["connector.class"] = [str(error)]
    return Checked(plugin, given, errors, ignored, found)


def pattern_of(plugin: Plugin, name: str) -> Setting | None:
    """The setting whose name stands for all that begin as this name does."""
    patterns = [setting for setting in plugin.settings.values() if setting.name.endswith("*")]
    return next((setting for setting in patterns if name.startswith(setting.name[:-1])), None)


def _read(setting: Setting, text: str | None, values: dict[str, Any], errors: dict[str, list[str]]) -> None:
    if setting.ignored:
        return
    try:
        values[setting.name] = setting.read(text)
    except SettingError as error:
        errors.setdefault(error.name, []).append(str(error))


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
        _check_paths(sinks_registry.kind_of(sink).host_paths(sink))
        return sink
    source = source_of(name, entry)
    _check_paths(sources_registry.kind_of(source).host_paths(source))
    return source


def _check_paths(paths: Iterable[str]) -> None:
    allowed = connectors_settings().folders
    for path in map(posixpath.normpath, paths):
        if not any(path == folder or path.startswith(f"{folder.rstrip('/')}/") for folder in allowed):
            where = f"below {', '.join(allowed)} alone" if allowed else "nowhere"
            raise ValueError(f"{path}: connectors may use files and folders of workers {where} (CONNECTORS folders)")


def _shown(name: str, text: str) -> str:
    secret = any(word in name for word in ("password", "secret", "key", "token"))
    return "********" if secret else text
