"""The project's own kinds as classes of connectors: their settings are the keys of an entry of SINKS or SOURCES."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from connectors.plugins.plugin import Plugin, Values
from connectors.plugins.setting import Setting, SettingError
from sinks.config import SinkConfig, SinkOptions
from sources.config import SourceConfig, SourceOptions

_OF_COMMON = {"name", "kind", "topics", "target", "options", "tasks", "group", "kafka", "consumer", "producer"}
_OF_PROCESS = {"heartbeat_seconds", "metrics_port", "metrics_host"}

_Fields = Mapping[str, msgspec.structs.FieldInfo]


class NativePlugin(Plugin):
    """A kind: the class `sinks.<kind>` or `sources.<kind>`. Keys of `target` and `options` are written behind a dot."""

    def __init__(self, kind: str, type_: Literal["sink", "source"], target: type[msgspec.Struct]) -> None:
        self.class_name = f"{type_}s.{kind}"
        self.type = type_
        self._kind = kind
        options = SinkOptions if type_ == "sink" else SourceOptions
        entry = _fields(SinkConfig if type_ == "sink" else SourceConfig)
        self._fields: dict[str, msgspec.structs.FieldInfo] = {
            **{name: field for name, field in entry.items() if name not in _OF_COMMON | _OF_PROCESS},
            **{f"target.{name}": field for name, field in _fields(target).items()},
            **{f"options.{name}": field for name, field in _fields(options).items()},
        }
        self.own = tuple(_setting(name, field) for name, field in self._fields.items())

    @property
    def names(self) -> set[str]:
        """The class alone: both a sink and a source may be called database."""
        return {self.class_name}

    @property
    def task_class(self) -> str:
        """There is none; the kind says as much."""
        return self.class_name

    def entry(self, values: Values) -> dict[str, Any]:
        """The keys as they are; texts that are JSON become what they say where a key is no text."""
        entry: dict[str, Any] = {"kind": self._kind, "target": {}, "options": {}}
        for name, field in self._fields.items():
            if (text := values.get(name)) is not None:
                room, _, key = name.rpartition(".")
                (entry[room] if room else entry)[key] = _typed(name, text, field)
        return entry


def _fields(struct: type[msgspec.Struct]) -> _Fields:
    return {field.name: field for field in msgspec.structs.fields(struct)}


def _setting(name: str, field: msgspec.structs.FieldInfo) -> Setting:
    needed = field.required
    return Setting(
        name=name,
        type="PASSWORD" if _is_secret(name, field) else "STRING",
        required=needed,
        importance="HIGH" if needed else "LOW",
        group=name.partition(".")[0] if "." in name else "Connector",
        doc="See docs/settings.md.",
    )


def _is_secret(name: str, field: msgspec.structs.FieldInfo) -> bool:
    """The headers of requests may have a token."""
    return "password" in name or (name == "target.headers" and field.type is not bool)


def _typed(name: str, text: str, field: msgspec.structs.FieldInfo) -> Any:
    plain = get_args(field.type)[0] if get_origin(field.type) is Annotated else field.type
    if plain is str or get_origin(plain) is Literal:
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        if "[" in text or "{" in text:
            raise SettingError(name, f"{name} must be JSON") from None
        return text
