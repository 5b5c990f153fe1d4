"""A password in the settings reaches no page and no line of the log, whatever becomes of the servers."""

import logging
from collections.abc import Callable

import pytest
from django.test import Client
from pytest_django import Settings

from pipeline.console.statistics.views import panels_of
from pipeline.console.urls import urlpatterns
from pipeline.statistics import EVENT
from sinks.registry import sinks
from tests.console.test_garbage import filled
from tests.pipeline.conftest import PAGE

Operator = Callable[..., Client]

SECRETS = ("geheim-1", "geheim-2", "geheim-3", "geheim-4")


@pytest.fixture
def _servers_with_passwords(settings: Settings) -> None:
    hdfs, elasticsearch, kafka, user = SECRETS
    settings.HDFS = {"default": {"url": f"http://{user}:{hdfs}@localhost:1", "timeout_seconds": 0.5}}
    settings.ELASTICSEARCH_DSL = {
        "default": {"hosts": [f"http://{user}:{elasticsearch}@localhost:1"], "request_timeout": 0.5, "max_retries": 0}
    }
    options = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"}
    settings.KAFKA = {
        "default": {"bootstrap.servers": "localhost:1", "sasl.username": user, "sasl.password": kafka, **options}
    }
    sinks.cache_clear()


@pytest.mark.usefixtures("kafka_is_away", "_servers_with_passwords")
def test_no_page_and_no_line_of_the_log_has_a_password(operator: Operator, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    reader = operator("audit", "control", "produce", "replay")
    pages = [filled(pattern, {}, "x", 0) for pattern in urlpatterns]
    panels = [{"panel": panel} for panel in panels_of(EVENT)]
    for address in (PAGE, f"{PAGE}panels/", *pages):
        for query in ({}, {"path": "/"}, *panels):
            answer = reader.get(address, query)
            text = b"".join(answer.streaming_content) if answer.streaming else answer.content  # type: ignore[attr-defined]
            assert not [secret for secret in SECRETS if secret.encode() in text], address
    assert not [secret for secret in SECRETS if secret in caplog.text]
