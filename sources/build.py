"""Puts a source together from its settings: consumers, transactional producers, tasks."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from django.core.exceptions import ImproperlyConfigured

from kafka_client.clusters import kafka_cluster
from kafka_client.log import Outage, client_logger
from sources.config import SourceConfig
from sources.metrics import SourceMetrics, StateCollector
from sources.owner import Work
from sources.positions import Positions, positions_of
from sources.reader import Position
from sources.registry import kind_of
from sources.states import SourceStatus, TaskStatus
from sources.task import CONSUMER_DEFAULTS, CONSUMER_REQUIRED, SourceTask
from sources.topics import check_positions_topic
from sources.transactions import PRODUCER_DEFAULTS, PRODUCER_REQUIRED, Transactions
from worker.log_reader import MessageReader
from worker.metrics import Metrics

logger = logging.getLogger(__name__)

_LEFT_TO_THE_SOURCE = ("transactional.id", *PRODUCER_REQUIRED)


@dataclass(frozen=True)
class Source:
    """The parts of a source. tasks: not started; `status` and `metrics` tell what they do."""

    tasks: list[SourceTask]
    metrics: SourceMetrics
    status: SourceStatus


def build_source(
    source: SourceConfig, *, numbers: Sequence[int] | None = None, shared: Metrics | None = None
) -> Source:
    """Makes the parts of a source; connects to nothing. Raises ImproperlyConfigured.

    numbers: of the tasks, where they are not all made here; shared: the metrics of a process that runs other sources,
    too, and tells the states of all itself.
    """
    cluster = kafka_cluster(source.kafka)
    metrics = SourceMetrics(source.name, shared)
    positions = source_positions(source)
    chosen = range(source.tasks) if numbers is None else numbers
    tasks = [_task(source, cluster, positions, metrics, number) for number in chosen]
    status = SourceStatus(source.name, [task.status for task in tasks])
    if shared is None:
        metrics.registry.register(StateCollector(status.report))
    return Source(tasks, metrics, status)


def source_positions(source: SourceConfig) -> Positions:
    """Where a source keeps its positions."""
    return positions_of(source, local=kind_of(source).local)


def make_transactions(config: dict[str, Any], on_error: Callable[[KafkaError], None], name: str) -> Transactions:
    """The transactions of a transactional id. config: of `producer_config`; on_error: is told what the client meets."""
    return Transactions(partial(_producer, {**config, "transactional.id": name, "error_cb": on_error}))


def producer_config(source: SourceConfig, cluster: dict[str, Any]) -> dict[str, Any]:
    """The librdkafka options of the source's producers, but for the transactional id."""
    return {**PRODUCER_DEFAULTS, **cluster, **source.producer, **PRODUCER_REQUIRED}


def consumer_config(source: SourceConfig, cluster: dict[str, Any], *, task: int = 0) -> dict[str, Any]:
    """The librdkafka options of one task's member of the group."""
    group = source_positions(source).group
    config = {**CONSUMER_DEFAULTS, **cluster, **source.consumer, **CONSUMER_REQUIRED, "group.id": group}
    if instance := config.get("group.instance.id"):
        # Kafka takes two consumers with one id for one that has come back, and shuts the older one out.
        config["group.instance.id"] = f"{str(instance).replace('{host}', source.host_name)}-{task}"
    return config


def check_kafka_options(source: SourceConfig) -> None:
    """Raises ImproperlyConfigured when librdkafka refuses the source's options; connects to nothing."""
    cluster = {key: value for key, value in kafka_cluster(source.kafka).items() if key != "bootstrap.servers"}
    where = f"SOURCES[{source.name!r}]"
    for options, given in ((_LEFT_TO_THE_SOURCE, source.producer), (CONSUMER_REQUIRED, source.consumer)):
        for option in options:
            if option in given or option in cluster:
                raise ImproperlyConfigured(f"{where}: {option} must be left to the source, or records could be lost")
    try:
        Producer({**producer_config(source, cluster), "transactional.id": "check", "log_level": 0})
        Consumer({**consumer_config(source, cluster), "log_level": 0}).close()
    except KafkaException as error:
        raise ImproperlyConfigured(f"{where}: Kafka options: {error.args[0].str()}") from error
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(f"{where}: Kafka options: {error}") from error


class PositionReader:
    """Reads positions for one task; its connections are made at the first use, and kept."""

    def __init__(self, cluster: dict[str, Any], positions: Positions) -> None:
        self._cluster = cluster
        self._positions = positions
        self._reader: MessageReader | None = None

    def read(self, number: int) -> tuple[dict[str, Position], int]:
        """The positions in one partition, and the offset up to which they were read. Raises Retriable and Fatal."""
        if self._reader is None:
            self._reader = MessageReader(self._cluster, group=self._positions.group)
        return self._positions.read(self._reader, number)

    def close(self) -> None:
        """Closes its connections."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()


def _task(
    source: SourceConfig, cluster: dict[str, Any], positions: Positions, metrics: SourceMetrics, number: int
) -> SourceTask:
    outage = Outage(logger, "the source waits for it")
    reader = PositionReader(cluster, positions)
    work = Work(
        source=source,
        kind=kind_of(source),
        positions=positions,
        status=TaskStatus(f"{source.name}/{number}", metrics),
        make_transactions=partial(make_transactions, producer_config(source, cluster), outage.note),
        read_positions=reader.read,
    )
    config = consumer_config(source, cluster, task=number)
    return SourceTask(
        work=work,
        make_consumer=partial(_consumer, config, outage),
        is_static_member="group.instance.id" in config,
        check_topic=partial(check_positions_topic, cluster, positions),
        release=reader.close,
        outage=outage,
    )


def _consumer(config: dict[str, Any], outage: Outage) -> Consumer:
    return Consumer({**config, "error_cb": outage.note}, logger=client_logger("sources.librdkafka"))


def _producer(config: dict[str, Any], on_delivery: Callable[[KafkaError, Message], None]) -> Producer:
    return Producer({**config, "on_delivery": on_delivery}, logger=client_logger("sources.librdkafka"))
