"""Settings and their checks in the shapes of Kafka Connect's answers."""

from collections.abc import Iterator
from typing import Any

from connectors.plugins.plugin import Plugin
from connectors.plugins.setting import Setting

IGNORED = "Ignored"
"""The group of the settings that were given and have no effect."""


def definitions(plugin: Plugin) -> list[dict[str, Any]]:
    """The settings of a class, without the patterns."""
    return [definition(setting, order) for order, setting in enumerate(_named(plugin), start=1)]


def _named(plugin: Plugin) -> Iterator[Setting]:
    return (setting for setting in plugin.settings.values() if not setting.name.endswith("*"))


def definition(setting: Setting, order: int, *, ignored: str = "") -> dict[str, Any]:
    """A setting, as ConfigDef has it. ignored: why it has no effect."""
    why = ignored or setting.ignored
    return {
        "name": setting.name,
        "type": setting.type,
        "required": setting.required,
        "default_value": setting.default,
        "importance": setting.importance,
        "documentation": f"Has no effect: {why}." if why else setting.doc,
        "group": IGNORED if ignored else setting.group,
        "order_in_group": order,
        "width": "MEDIUM",
        "display_name": setting.name,
        "dependents": [],
    }
