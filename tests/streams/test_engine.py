"""What Quix Streams is given. No Kafka here."""

import threading
from pathlib import Path
from typing import Any

import pytest
import quixstreams.kafka.consumer
import quixstreams.kafka.producer
import quixstreams.models.topics.admin
from quixstreams.internal_producer import KafkaProducerTransactionCommitFailed

from streams import engine
from streams.config import StreamConfig

SECURITY = {
    "bootstrap.servers": "kafka-1:9093,kafka-2:9093",
    "security.protocol": "SASL_SSL",
    "sasl.mechanism": "SCRAM-SHA-512",
    "sasl.username": "streams",
    "sasl.password": "secret",
    "ssl.ca.location": "/etc/ca.pem",
    "broker.address.family": "v4",
}


@pytest.fixture
def clients(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """The options of the three clients of a stream, on a cluster with access control."""
    settings.KAFKA = {"secured": SECURITY}
    config = StreamConfig(name="s", kafka="secured", consumer={"fetch.min.bytes": 7}, producer={"linger.ms": 9})
    app = engine._application(config, tmp_path, lambda *_: None)
    found: dict[str, dict[str, Any]] = {}

    def noting(name: str) -> Any:
        class Client:
            def __init__(self, options: dict[str, Any], **_: Any) -> None:
                found[name] = options

            def __getattr__(self, _: str) -> Any:
                return lambda *_, **__: 0

        return Client

    monkeypatch.setattr(quixstreams.kafka.consumer, "ConfluentConsumer", noting("consumer"))
    monkeypatch.setattr(quixstreams.kafka.producer, "ConfluentProducer", noting("producer"))
    monkeypatch.setattr(quixstreams.models.topics.admin, "AdminClient", noting("admin"))
    app._consumer._consumer  # noqa: B018 - each is made at its first use
    app._producer._producer._producer  # noqa: B018
    app._topic_manager._admin.admin_client  # noqa: B018
    return found


@pytest.mark.parametrize("client", ["consumer", "producer", "admin"])
def test_each_client_uses_all_options_of_the_cluster(clients: dict[str, dict[str, Any]], client: str) -> None:
    assert clients[client].items() >= SECURITY.items()


def test_results_state_and_offsets_are_one_transaction(clients: dict[str, dict[str, Any]]) -> None:
    expected = {"group.id": "stream-s", "isolation.level": "read_committed", "enable.auto.commit": False}
    assert clients["consumer"].items() >= {**expected, "session.timeout.ms": 10_000, "fetch.min.bytes": 7}.items()
    expected = {"enable.idempotence": True, "acks": "all", "transaction.timeout.ms": 10_000, "linger.ms": 9}
    assert clients["producer"].items() >= expected.items()
    assert clients["producer"]["transactional.id"]


def test_a_commit_that_kafka_never_answers_is_given_up() -> None:
    is_over = threading.Event()

    def commit(*_: Any, timeout: float) -> None:
        is_over.wait(20)

    with pytest.raises(KafkaProducerTransactionCommitFailed, match=r"has not answered a commit for 0\.1 s"):
        engine._committed(commit, 0.1)
    is_over.set()


def test_what_a_commit_raises_is_raised() -> None:
    def commit(*_: Any, timeout: float) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        engine._committed(commit, 5)
