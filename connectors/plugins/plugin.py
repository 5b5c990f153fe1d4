"""What a class of connectors declares: its names, its settings, and how these become an entry of SINKS or SOURCES."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from connectors.plugins.common import COMMON, COMMON_SINK, COMMON_SOURCE
from connectors.plugins.setting import Setting, Settings, by_name

Values = Mapping[str, Any]
"""The values of settings by name, typed; those that are missing have their defaults."""


class Plugin(ABC):
    """A class of connectors.

    class_name: as Kafka Connect calls it; aliases: further names; type: sink or source; own: its settings besides those
    that all connectors have.
    """

    class_name: str
    aliases: tuple[str, ...] = ()
    type: Literal["sink", "source"]
    own: Sequence[Setting]

    @property
    def settings(self) -> Settings:
        """All its settings by name, those of all connectors first."""
        common = COMMON_SINK if self.type == "sink" else COMMON_SOURCE
        return {**COMMON, **common, **by_name(*self.own)}

    @property
    def names(self) -> set[str]:
        """What `connector.class` may say for it."""
        simple = self.class_name.rpartition(".")[2]
        return {self.class_name, simple, simple.removesuffix("Connector"), *self.aliases}

    @property
    def task_class(self) -> str:
        """What Kafka Connect would call the class of its tasks."""
        return f"{self.class_name.removesuffix('Connector')}Task"

    @abstractmethod
    def entry(self, values: Values) -> dict[str, Any]:
        """The entry of SINKS or SOURCES: kind, target, options, and what else is particular to the class.

        Raises SettingError for values that do not fit together, and ValueError.
        """
