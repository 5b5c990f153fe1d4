"""The classes of connectors that there are."""

from connectors.plugins.elasticsearch import ElasticsearchSink
from connectors.plugins.file_stream import FileStreamSink, FileStreamSource
from connectors.plugins.hdfs import HdfsSink
from connectors.plugins.jdbc import JdbcSink, JdbcSource
from connectors.plugins.native import NativePlugin
from connectors.plugins.plugin import Plugin
from connectors.plugins.s3 import S3Sink
from sinks import registry as sinks_registry
from sources import registry as sources_registry

PLUGINS: tuple[Plugin, ...] = (
    FileStreamSource(),
    FileStreamSink(),
    HdfsSink(),
    ElasticsearchSink(),
    JdbcSource(),
    JdbcSink(),
    S3Sink(),
    *(NativePlugin(kind.name, "sink", kind.target) for kind in sinks_registry.KINDS.values()),
    *(NativePlugin(kind.name, "source", kind.target) for kind in sources_registry.KINDS.values()),
)
"""A further class is a module, and a line here."""


def find_plugin(name: str) -> Plugin | None:
    """The plugin that `connector.class` means."""
    return next((plugin for plugin in PLUGINS if name in plugin.names), None)
