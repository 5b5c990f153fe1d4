"""What the classes of connectors that store files share: Confluent's names of formats, folders and rotation."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from connectors.plugins.setting import Setting, SettingError

_FORMATS = {"JsonFormat": "json", "AvroFormat": "avro", "ParquetFormat": "parquet"}
_STORAGE, _PARTITIONS = "Storage", "Partitioner"
_TUNING = "the writer here has other steps; see the options of a sink"

FILE_SETTINGS: Sequence[Setting] = (
    Setting(
        name="flush.size",
        type="INT",
        required=True,
        least=1,
        importance="HIGH",
        doc="A file is stored when it has so many records.",
    ),
    Setting(
        name="rotate.interval.ms",
        type="LONG",
        default="-1",
        doc="Records of different intervals go to different files.",
    ),
    Setting(
        name="rotate.schedule.interval.ms",
        type="LONG",
        default="-1",
        doc="A file is stored after this time at the latest.",
    ),
    Setting(
        name="format.class",
        type="CLASS",
        required=True,
        importance="HIGH",
        group=_STORAGE,
        doc="JsonFormat, AvroFormat or ParquetFormat.",
    ),
    Setting(name="topics.dir", default="topics", importance="HIGH", group=_STORAGE, doc="The folder of the files."),
    Setting(
        name="partitioner.class",
        type="CLASS",
        default="io.confluent.connect.storage.partitioner.DefaultPartitioner",
        group=_PARTITIONS,
        doc="Default, Field, Hourly, Daily or TimeBased.",
    ),
    Setting(
        name="partition.field.name", type="LIST", default="", group=_PARTITIONS, doc="The fields of FieldPartitioner."
    ),
    Setting(name="path.format", default="", group=_PARTITIONS, doc="The folders of TimeBasedPartitioner."),
    Setting(
        name="partition.duration.ms",
        type="LONG",
        group=_PARTITIONS,
        ignored="path.format alone says what goes into one folder",
    ),
    Setting(
        name="timestamp.extractor", default="Record", group=_PARTITIONS, doc="Record (Kafka's time) or RecordField."
    ),
    Setting(name="timestamp.field", default="timestamp", group=_PARTITIONS, doc="The field of RecordField."),
    Setting(name="timezone", default="UTC", group=_PARTITIONS, doc="The time zone of the folders."),
    Setting(name="locale", group=_PARTITIONS, ignored="folders are numbers"),
    Setting(name="directory.delim", group=_STORAGE, default="/", values=("/",)),
    Setting(name="file.delim", group=_STORAGE, ignored="names are {topic}-{partition}-{start}-{end}"),
    Setting(name="filename.offset.zero.pad.width", type="INT", group=_STORAGE, ignored="offsets have 20 digits"),
    Setting(name="storage.class", type="CLASS", group=_STORAGE, ignored="the connector's class says it"),
    Setting(name="schema.compatibility", ignored="records have no schema of a registry"),
    Setting(name="schema.cache.size", type="INT", ignored="records have no schema of a registry"),
    Setting(name="enhanced.avro.schema.support", type="BOOLEAN", ignored="records have no schema of a registry"),
    Setting(name="connect.meta.data", type="BOOLEAN", ignored="records have no schema of a registry"),
    Setting(name="retry.backoff.ms", type="LONG", ignored=_TUNING),
    Setting(name="shutdown.timeout.ms", type="LONG", ignored=_TUNING),
    Setting(
        name="event",
        default="json",
        doc="Of this project: the kind of event in the topics, which Parquet and Avro need.",
    ),
)

# Joda's letters for times, by ours.
_LETTERS = {"YYYY": "%Y", "yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
_TIMES = re.compile(r"'([^']*)'|(YYYY|yyyy|MM|dd|HH|mm|ss)|([A-Za-z]+)|([^A-Za-z']+)")

HOURLY = "'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH"
DAILY = "'year'=YYYY/'month'=MM/'day'=dd"


def options_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """How records are put into files."""
    options: dict[str, Any] = {"flush_records": values["flush.size"]}
    if values["rotate.interval.ms"] > 0:
        options["flush_interval_seconds"] = values["rotate.interval.ms"] / 1000
    # Kafka Connect keeps a file open for as long as it lacks records, unless it is told otherwise.
    schedule = values["rotate.schedule.interval.ms"]
    options["flush_seconds"] = schedule / 1000 if schedule > 0 else 60.0
    return options


def target_of(values: Mapping[str, Any], *, compression: str = "none") -> dict[str, Any]:
    """Format and folders. Raises SettingError."""
    name = values["format.class"].rpartition(".")[2]
    if name not in _FORMATS:
        raise SettingError("format.class", f"{name} is not supported; it must be one of {', '.join(_FORMATS)}")
    format_ = _FORMATS[name]
    if compression == "gzip":
        if format_ != "json":
            raise SettingError("format.class", "only JsonFormat is compressed with gzip")
        format_ = "gzip"
    return {"format": format_, **_folders(values)}


def _folders(values: Mapping[str, Any]) -> dict[str, Any]:
    kind = values["partitioner.class"].rpartition(".")[2].removesuffix("Partitioner")
    if kind == "Default":
        return {}
    if kind == "Field":
        if not values["partition.field.name"]:
            raise SettingError("partition.field.name", "FieldPartitioner needs the names of fields")
        return {"folders": "/".join(f"{name}={{{name}}}" for name in values["partition.field.name"])}
    formats = {"Hourly": HOURLY, "Daily": DAILY, "TimeBased": values["path.format"]}
    if kind not in formats:
        raise SettingError("partitioner.class", f"{kind}Partitioner is not supported")
    if not formats[kind]:
        raise SettingError("path.format", "TimeBasedPartitioner needs the format of the folders")
    return {"folders": strftime_of(formats[kind]), "time": _time(values), "time_zone": values["timezone"]}


def _time(values: Mapping[str, Any]) -> str:
    extractor = values["timestamp.extractor"].rpartition(".")[2].removesuffix("TimestampExtractor")
    if extractor == "RecordField":
        return str(values["timestamp.field"])
    if extractor != "Record":
        raise SettingError("timestamp.extractor", "it must be Record or RecordField: a file is made again the same")
    return "kafka"


def strftime_of(path_format: str) -> str:
    """Folders in Joda's letters as strftime's codes. Raises SettingError."""
    parts = []
    for quoted, code, other, text in _TIMES.findall(path_format):
        if other:
            raise SettingError("path.format", f"{other} is not supported; use {', '.join(_LETTERS)} and quoted texts")
        parts.append(_LETTERS[code] if code else quoted or text)
    return "".join(parts)
