"""The smallest collector there can be, as a yardstick: it decodes, encodes and produces, and checks nothing."""

import os
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_plus

from confluent_kafka import Producer
from django.utils import timezone

from bench.hello import application as hello
from events.event import SelectColor, clock, encode
from kafka_client.producer import UNHURRIED

TOPIC = os.environ.get("EVENTS_TOPIC", "select-color")

# Each of the server's processes imports this for itself.
_now = clock(timezone.get_default_timezone())
_producer = Producer({"bootstrap.servers": os.environ["TEST_KAFKA_BOOTSTRAP_SERVERS"], "acks": 1, **UNHURRIED})


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """WSGI's."""
    fields = dict([part.split("=") for part in environ["QUERY_STRING"].split("&")])
    event = SelectColor(_now(), environ["HTTP_USER_AGENT"], unquote_plus(fields["color"]), unquote_plus(fields["user"]))
    _producer.produce(TOPIC, encode(event))
    _producer.poll(0)
    return hello(environ, start_response)
