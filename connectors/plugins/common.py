"""The settings that connectors of all classes have, and their part of an entry of SINKS or SOURCES.

What would change the records and is not done here is refused, whatever Kafka Connect would do. What only tunes Kafka
Connect's own works is ignored, and the answer names it.
"""

import re
from collections.abc import Mapping
from typing import Any

from connectors.plugins.setting import Setting, SettingError, by_name
from connectors.reach import check_client_option

_COMMON, _ERRORS = "Common", "Error Handling"

_PLAIN = ("JsonConverter", "StringConverter", "ByteArrayConverter")
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}")

CONVERTER = re.compile(r"(key|value|header)\.converter\..*")


def _plain_converter(name: str) -> None:
    if name.rpartition(".")[2] not in _PLAIN:
        raise ValueError(
            f"records are read and written as they are, as by {', '.join(_PLAIN)}; schema registries are not supported"
        )


def _no_schemas(enabled: bool) -> None:
    if enabled:
        raise ValueError("records are plain JSON without the schema of Kafka Connect's JsonConverter")


def _nothing(names: list[str]) -> None:
    if names:
        raise ValueError("transformations are not supported: the records would not be what you expect")


def _name(name: str) -> None:
    if not name:
        raise ValueError("String may not be empty")
    if not _NAME.fullmatch(name):
        raise ValueError("it must be 1 to 100 letters, digits, dots, underscores and hyphens, the first no sign")


def _no_regex(text: str) -> None:
    if text:
        raise ValueError("topics must be named one by one in topics")


_OWN_RETRIES = "what fails is tried again for as long as it takes"
_VERSIONS = "there is one version"

COMMON = by_name(
    Setting(name="name", required=True, importance="HIGH", group=_COMMON, check=_name, doc="The connector's name."),
    Setting(name="connector.class", required=True, importance="HIGH", group=_COMMON, doc="The connector's class."),
    Setting(name="connector.plugin.version", group=_COMMON, ignored=_VERSIONS),
    Setting(
        name="tasks.max",
        type="INT",
        default="1",
        least=1,
        importance="HIGH",
        group=_COMMON,
        doc="How many tasks share the work, on any number of workers.",
    ),
    Setting(name="tasks.max.enforce", type="BOOLEAN", group=_COMMON, ignored="there are never more than tasks.max"),
    Setting(name="key.converter", type="CLASS", group=_COMMON, check=_plain_converter, doc="Keys stay."),
    Setting(name="value.converter", type="CLASS", group=_COMMON, check=_plain_converter, doc="Values stay."),
    Setting(name="key.converter.schemas.enable", type="BOOLEAN", default="false", group=_COMMON, check=_no_schemas),
    Setting(name="value.converter.schemas.enable", type="BOOLEAN", default="false", group=_COMMON, check=_no_schemas),
    Setting(name="header.converter", type="CLASS", group=_COMMON, ignored="headers stay as they are"),
    Setting(name="transforms", type="LIST", default="", group="Transforms", check=_nothing, doc="Must be empty."),
    Setting(name="predicates", type="LIST", default="", group="Predicates", check=_nothing, doc="Must be empty."),
    Setting(name="config.action.reload", group=_COMMON, ignored="secrets are read when a task begins"),
    Setting(name="errors.retry.timeout", type="LONG", group=_ERRORS, ignored=_OWN_RETRIES),
    Setting(
        name="errors.retry.delay.max.ms",
        type="LONG",
        least=1,
        group=_ERRORS,
        doc="The longest wait between two tries of what has failed.",
    ),
    Setting(name="errors.log.enable", type="BOOLEAN", group=_ERRORS, ignored="errors are always logged"),
    Setting(name="errors.log.include.messages", type="BOOLEAN", group=_ERRORS, ignored="records are never logged"),
)

COMMON_SINK = by_name(
    Setting(
        name="topics",
        type="LIST",
        required=True,
        importance="HIGH",
        group=_COMMON,
        doc="The topics that are read, separated by commas.",
    ),
    Setting(name="topics.regex", default="", group=_COMMON, check=_no_regex, doc="Must be empty."),
    Setting(name="errors.tolerance", group=_ERRORS, ignored="bad records always become dead letters"),
    Setting(
        name="errors.deadletterqueue.topic.name",
        default="",
        group=_ERRORS,
        doc="Where bad records go; by default the topic's own name and .dlq.",
    ),
    Setting(
        name="errors.deadletterqueue.topic.replication.factor",
        type="INT",
        group=_ERRORS,
        ignored="EVENTS_TOPIC_REPLICATION says it for all topics",
    ),
    Setting(
        name="errors.deadletterqueue.context.headers.enable",
        type="BOOLEAN",
        group=_ERRORS,
        ignored="dead letters always say where they come from",
    ),
    Setting(
        name="consumer.override.auto.offset.reset",
        default="earliest",
        values=("earliest",),
        doc="A sink begins at the beginning.",
    ),
    Setting(name="consumer.override.*", doc="An option of librdkafka's consumer; group.id is the group's name."),
)

COMMON_SOURCE = by_name(
    Setting(name="errors.tolerance", group=_ERRORS, ignored="a source never skips a record"),
    Setting(
        name="exactly.once.support",
        default="required",
        values=("required", "requested"),
        group="Exactly Once Support",
        doc="Every source writes each record exactly once.",
    ),
    Setting(name="transaction.boundary", group="Exactly Once Support", ignored="transactions end by size and time"),
    Setting(
        name="transaction.boundary.interval.ms",
        type="LONG",
        least=1,
        group="Exactly Once Support",
        doc="A transaction is committed after this time at the latest.",
    ),
    Setting(name="offsets.storage.topic", group="Exactly Once Support", doc="The topic of the positions."),
    Setting(name="topic.creation.*", group="Topic Creation", ignored="EVENTS_TOPIC_… say it for all topics"),
    Setting(name="producer.override.*", doc="An option of librdkafka's producer."),
    Setting(name="consumer.override.*", doc="An option of librdkafka's consumer, which divides the parts."),
)


def entry_of_sink(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the settings of all sinks say. Raises SettingError."""
    if not values["topics"]:
        raise SettingError("topics", "Must configure one of topics or topics.regex")
    consumer = _with_prefix(values, "consumer.override.")
    del consumer["auto.offset.reset"]  # the only value is what the sink does anyway
    group = consumer.pop("group.id", f"connect-{values['name']}")
    _check_tuning(consumer=consumer)
    entry: dict[str, Any] = {"topics": list(dict.fromkeys(values["topics"])), "group": group, "consumer": consumer}
    if letters := values["errors.deadletterqueue.topic.name"]:
        entry["dead_letter_topic"] = letters
    return entry


def entry_of_source(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the settings of all sources say. Raises SettingError."""
    producer, consumer = (_with_prefix(values, f"{client}.override.") for client in ("producer", "consumer"))
    _check_tuning(producer=producer, consumer=consumer)
    entry: dict[str, Any] = {"producer": producer, "consumer": consumer, "options": {}}
    if (interval := values["transaction.boundary.interval.ms"]) is not None:
        entry["options"]["transaction_seconds"] = interval / 1000
    if topic := values["offsets.storage.topic"]:
        entry["positions_topic"] = topic
    return entry


def options_of_all(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options that sinks and sources share."""
    delay = values["errors.retry.delay.max.ms"]
    return {} if delay is None else {"retry_seconds": delay / 1000}


def _check_tuning(**clients: Mapping[str, Any]) -> None:
    for client, options in clients.items():
        for option in options:
            try:
                check_client_option(option)
            except ValueError as error:
                raise SettingError(f"{client}.override.{option}", str(error)) from error


def _with_prefix(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
