"""The reference of all settings, written from the types that check them, so that it can't go stale."""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, get_args, get_origin

import msgspec
from msgspec import Meta

from connectors.conf import ConnectorsSettings
from events.conf import BadEventsSettings, EventsSettings, KindSettings, SpoolSettings
from pipeline.conf import ConsoleSettings
from sinks.config import SinkConfig, SinkOptions
from sinks.hdfs.webhdfs import HdfsCluster
from sinks.registry import KINDS
from sinks.s3.config import S3Store
from sources.config import SourceConfig, SourceOptions
from sources.registry import KINDS as SOURCE_KINDS
from streams.config import StreamConfig
from streams.registry import BUILT_IN

SECTIONS: tuple[tuple[str, type[msgspec.Struct]], ...] = (
    ("EVENTS", EventsSettings),
    ('EVENTS["spool"]', SpoolSettings),
    ('EVENTS["bad_events"]', BadEventsSettings),
    ('EVENTS["kinds"][name]', KindSettings),
    ("HDFS[cluster]", HdfsCluster),
    ("S3[store]", S3Store),
    ("SINKS[name]", SinkConfig),
    ('SINKS[name]["options"]', SinkOptions),
    *((f'SINKS[name]["target"] of kind {kind.name}', kind.target) for kind in KINDS.values()),
    ("SOURCES[name]", SourceConfig),
    ('SOURCES[name]["options"]', SourceOptions),
    *((f'SOURCES[name]["target"] of kind {kind.name}', kind.target) for kind in SOURCE_KINDS.values()),
    ("STREAMS[name]", StreamConfig),
    *((f'STREAMS[name]["settings"] of stream {stream.name}', stream.settings) for stream in BUILT_IN.values()),
    ("CONNECTORS", ConnectorsSettings),
    ("CONSOLE", ConsoleSettings),
)

HEAD = """\
# Reference of the settings

Written by `make docs` from the types that check the settings at start; a test keeps it true.
[configuration.md](configuration.md) explains how they are given.
"""


def settings_reference() -> str:
    """The text of docs/settings.md."""
    return HEAD + "".join(line for title, kind in SECTIONS for line in _section(title, kind))


def _other_defaults(kind: type[msgspec.Struct]) -> Iterator[str]:
    """Where the defaults of a section are others for a kind of sink or source."""
    others: dict[str, Mapping[str, Any]] = {}
    if kind is SinkOptions:
        others = {sink.name: sink.options for sink in KINDS.values()}
    elif kind is SourceConfig:
        others = {source.name: source.defaults for source in SOURCE_KINDS.values()}
    elif kind is SourceOptions:
        others = {source.name: source.defaults.get("options", {}) for source in SOURCE_KINDS.values()}
    for name, defaults in others.items():
        if texts := [f"`{key}` {value}" for key, value in defaults.items() if key != "options"]:
            yield f"\nOf kind {name}: {', '.join(texts)}.\n"


def _section(title: str, kind: type[msgspec.Struct]) -> Iterator[str]:
    yield f"\n## `{title}`\n\n{inspect.getdoc(kind)}\n\n"
    yield "| key | default | bounds | what it is |\n| --- | --- | --- | --- |\n"
    texts = _texts(kind)
    for field in msgspec.structs.fields(kind):
        meta = _meta(field.type)
        text = meta.description or texts.get(field.name, "")
        yield f"| `{field.encode_name}` | {_default(field)} | {_bounds(meta)} | {text} |\n"
    yield from _other_defaults(kind)


def _texts(kind: type[msgspec.Struct]) -> dict[str, str]:
    """What stands below each field of a type, and of the types that it inherits from, in triple quotes."""
    texts: dict[str, str] = {}
    for base in kind.__mro__[::-1]:
        if not issubclass(base, msgspec.Struct) or base is msgspec.Struct:
            continue
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(body, ast.ClassDef)
        for field, text in pairwise(body.body):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(written))):
                    texts[name] = " ".join(written.split())
    return texts


def _meta(annotation: Any) -> Meta:
    if get_origin(annotation) is not None:
        for part in get_args(annotation):
            if isinstance(part, Meta):
                return part
    return Meta()


def _default(field: Any) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    else:
        default = field.default
    if default is msgspec.NODEFAULT:
        return "needed"
    return "see below" if isinstance(default, msgspec.Struct) else f"`{default!r}`"


def _bounds(meta: Meta) -> str:
    bounds = [
        f"{sign} {getattr(meta, name)}"
        for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
        if getattr(meta, name) is not None
    ]
    return ", ".join(bounds)
