"""The smallest collector there can be, as a yardstick: it decodes, encodes and produces, and checks nothing."""

import os
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import unquote_plus

import msgspec
from confluent_kafka import Producer

from bench.hello import application as hello
from events.event import Clock, SelectColor
from events.process_delivery import UNHURRIED_OPTIONS

TOPIC = os.environ.get("EVENTS_TOPIC", "select-color")

_encode = msgspec.json.Encoder().encode


@cache
def _tools() -> tuple[Producer, Clock]:
    """Made after the server's fork."""
    from django.utils import timezone

    servers = os.environ["TEST_KAFKA_BOOTSTRAP_SERVERS"]
    return Producer({"bootstrap.servers": servers, "acks": 1, **UNHURRIED_OPTIONS}), Clock(
        timezone.get_default_timezone()
    )


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """WSGI's."""
    producer, now = _tools()
    fields = dict([part.split("=") for part in environ["QUERY_STRING"].split("&")])
    event = SelectColor(now(), environ["HTTP_USER_AGENT"], unquote_plus(fields["color"]), unquote_plus(fields["user"]))
    producer.produce(TOPIC, _encode(event))
    producer.poll(0)
    return hello(environ, start_response)
