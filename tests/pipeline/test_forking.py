"""A web server that forks after the console has read Kafka: the child must neither hang nor crash."""

import multiprocessing
from typing import Any

from confluent_kafka.admin import AdminClient

from pipeline import kafka_reads


def test_a_forked_child_leaves_its_parents_clients_alone(monkeypatch: Any) -> None:
    monkeypatch.setattr(kafka_reads, "_admins", {"away": AdminClient({"bootstrap.servers": "localhost:1"})})
    child = multiprocessing.get_context("fork").Process(target=lambda: None)
    child.start()
    child.join(20)
    assert child.exitcode == 0
