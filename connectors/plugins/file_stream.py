"""Kafka's own connectors for files: FileStreamSource and FileStreamSink."""

import posixpath
from typing import Any

from connectors.plugins.plugin import Plugin, Values
from connectors.plugins.setting import Setting, SettingError


def _path(values: Values) -> str:
    if not values["file"]:
        raise SettingError("file", "a file must be named: a worker has no standard input and output of its own")
    return posixpath.normpath(str(values["file"]))


class FileStreamSource(Plugin):
    """Follows a file like `tail -F`: each line is a record. What is read belongs to the host of the worker."""

    class_name = "org.apache.kafka.connect.file.FileStreamSourceConnector"
    type = "source"
    own = (
        Setting(name="host", default="", doc="Of this project: whose file it is, where hosts change their names."),
        Setting(name="file", importance="HIGH", doc="The file, on the hosts of the workers."),
        Setting(name="topic", required=True, importance="HIGH", doc="The topic of the lines."),
        Setting(name="batch.size", type="INT", default="2000", least=1, importance="LOW", doc="Lines of one read."),
    )

    def entry(self, values: Values) -> dict[str, Any]:
        """One task: a file has one reader."""
        return {
            "kind": "file",
            "tasks": 1,
            "host": values["host"],
            "target": {"paths": [_path(values)], "topic": values["topic"]},
            "options": {"batch_records": values["batch.size"]},
        }


class FileStreamSink(Plugin):
    """Stores lines in files of a folder that has the name of the file: one file for all could not be exact."""

    class_name = "org.apache.kafka.connect.file.FileStreamSinkConnector"
    type = "sink"
    own = (
        Setting(name="file", importance="HIGH", doc="The folder of the files, on the hosts of the workers."),
        Setting(name="event", default="text", doc="Of this project: the kind of event, text for lines of any kind."),
    )

    def entry(self, values: Values) -> dict[str, Any]:
        """Files that grow, as one does in Kafka Connect."""
        return {
            "kind": "folder",
            "event": values["event"],
            "target": {"path": _path(values), "mode": "append"},
            "options": {"flush_seconds": 1.0, "flush_records": 1000},
        }
