"""Produces one record that an operator typed, and waits until Kafka has it."""

from dataclasses import dataclass
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from kafka_client.clusters import kafka_cluster
from pipeline.conf import console_settings
from pipeline.errors import ServerAway, ServerError
from pipeline.guard import guard
from pipeline.kafka_reads import error_text, server_name
from worker.dead_letters import ORIGIN


@dataclass(frozen=True)
class NewRecord:
    """value: None makes it a tombstone; partition: None lets Kafka's partitioner choose."""

    value: bytes | None
    key: bytes | None = None
    partition: int | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


def check_json(text: str) -> bytes:
    """The text as a record's value. Raises ValidationError when it is not JSON."""
    try:
        return bytes(msgspec.json.format(text.encode(), indent=-1))
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValidationError(_("This is not JSON: {error}").format(error=error)) from error


def read_headers(text: str) -> tuple[tuple[str, bytes], ...]:
    """Headers from lines of "name: value". Raises ValidationError."""
    headers = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise ValidationError(_("A header must be a line “name: value”, not “{text}”.").format(text=line[:50]))
        headers.append((name.strip(), value.strip().encode()))
    return tuple(headers)


def is_of_letters(record: NewRecord) -> bool:
    """Whether a record has headers of a dead letter, or of the note that one was dealt with."""
    return any(name.startswith(ORIGIN) for name, _value in record.headers)


def produce(cluster: str, topic: str, record: NewRecord) -> tuple[int, int]:
    """Returns partition and offset of the record. Raises ServerError when Kafka has not taken it in time."""
    timeout = console_settings().kafka_timeout_seconds
    name = server_name(cluster)
    outcome: list[tuple[KafkaError | None, Message]] = []
    with guard().read(name):
        # Its own timeout ends before the wait for it, so that what is reported as failed is not sent later.
        options = {"enable.idempotence": True, "message.timeout.ms": int(timeout * 1000), "log_level": 0}
        producer = Producer({**kafka_cluster(cluster), "acks": "all", **options})
        chosen: dict[str, Any] = {"headers": list(record.headers) or None}
        if record.partition is not None:
            chosen["partition"] = record.partition
        try:
            producer.produce(
                topic, record.value, key=record.key, on_delivery=lambda *answer: outcome.append(answer), **chosen
            )
            producer.flush(timeout + 1)
        except KafkaException as error:
            raise ServerError(name, error_text(error)) from error
        finally:
            producer.purge()
            producer.close()
        if not outcome:
            raise ServerAway(name, _("no answer within {n} s").format(n=f"{timeout:g}"))
        failure, message = outcome[0]
        if failure is not None:
            raise ServerError(name, failure.str())
    return message.partition(), message.offset()
