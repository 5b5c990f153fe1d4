"""Puts a sink together from its settings: writer, consumers, dead letters, tasks."""

import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaException
from django.core.exceptions import ImproperlyConfigured

from kafka_client.clusters import kafka_cluster
from kafka_client.log import Outage, client_logger
from kafka_client.producer import EventProducer, check_options
from sinks.config import SinkConfig
from sinks.control import Control
from sinks.dead_letters.producing import PRODUCER_OPTIONS, dead_letters
from sinks.loop.memory import MemoryBudget
from sinks.loop.task import CONSUMER_DEFAULTS, CONSUMER_REQUIRED, OnCommit, SinkTask
from sinks.loop.writer import Writer
from sinks.registry import kind_of
from sinks.reporting.metrics import SinkMetrics, StateCollector
from sinks.reporting.states import SinkStatus
from sinks.topic_ids import TopicAdmin
from worker.metrics import Metrics

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sink:
    """The parts of a sink.

    tasks: not started; writer, producer: of dead letters; both are shared by the tasks, to be closed after them;
    control: tells the tasks what operators want.
    """

    tasks: list[SinkTask]
    writer: Writer
    producer: EventProducer
    metrics: SinkMetrics
    status: SinkStatus
    control: Control


def build_sink(sink: SinkConfig, *, numbers: Sequence[int] | None = None, shared: Metrics | None = None) -> Sink:
    """Makes the parts of a sink. Raises ImproperlyConfigured.

    numbers: of the tasks to make, all by default; shared: the metrics of a process that runs other sinks, too, and
    tells the states of all itself.
    """
    cluster = kafka_cluster(sink.kafka)
    metrics = SinkMetrics(sink.name, shared)
    writer = build_writer(sink, cluster, metrics)
    # Storing waits for dead letters anyway, so its producer never refuses for Kafka being away.
    producer = EventProducer({**cluster, **PRODUCER_OPTIONS}, away_seconds=float("inf"), reports=True)
    check = kind_of(sink).record_check(sink)
    control = Control()
    budget = MemoryBudget(sink.options.buffer_bytes)
    tasks = []
    for number in range(sink.tasks) if numbers is None else numbers:
        outage = Outage(logger, "the sink waits for it")
        config = consumer_config(sink, cluster, task=number)
        task = SinkTask(
            name=f"{sink.name}/{number}",
            topics=sink.topics,
            options=sink.options,
            make_consumer=partial(_consumer, config, outage),
            is_static_member="group.instance.id" in config,
            writer=writer,
            check=check,
            dead_letters=dead_letters(producer, sink=sink.name, topic_of=sink.dead_letters_of),
            budget=budget,
            metrics=metrics,
            control=control,
            outage=outage,
        )
        tasks.append(task)
    status = SinkStatus(sink.name, [task.status for task in tasks], lambda: budget.used)
    if shared is None:
        metrics.registry.register(StateCollector(status.report))
    return Sink(tasks, writer, producer, metrics, status, control)


def consumer_config(sink: SinkConfig, cluster: dict[str, Any], *, task: int = 0) -> dict[str, Any]:
    """The librdkafka options of the consumer of one task of a sink."""
    config = {**CONSUMER_DEFAULTS, **cluster, **sink.consumer, **CONSUMER_REQUIRED, "group.id": sink.group}
    if instance := config.get("group.instance.id"):
        # Kafka takes two consumers with one id for one that has come back, and shuts the older one out.
        config["group.instance.id"] = f"{str(instance).replace('{host}', socket.gethostname())}-{task}"
    return config


def check_kafka_options(sink: SinkConfig) -> None:
    """Raises ImproperlyConfigured when librdkafka refuses the sink's options; connects to nothing."""
    cluster = {key: value for key, value in kafka_cluster(sink.kafka).items() if key != "bootstrap.servers"}
    where = f"SINKS[{sink.name!r}]"
    for option in CONSUMER_REQUIRED:
        if option in cluster or option in sink.consumer:
            raise ImproperlyConfigured(f"{where}: {option} must be left to the sink, or records could be lost")
    config = {**consumer_config(sink, cluster), "log_level": 0}
    most = float(config.get("max.poll.interval.ms", 300_000)) / 1000
    if sink.options.drain_seconds >= most:
        raise ImproperlyConfigured(f"{where}: drain_seconds must be less than max.poll.interval.ms ({most:g} s)")
    try:
        Consumer(config).close()
        check_options({**cluster, **PRODUCER_OPTIONS})
    except KafkaException as error:
        raise ImproperlyConfigured(f"{where}: Kafka options: {error.args[0].str()}") from error
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(f"{where}: Kafka options: {error}") from error


def _consumer(config: dict[str, Any], outage: Outage, on_commit: OnCommit) -> Consumer:
    config = {**config, "error_cb": outage.note, "on_commit": on_commit}
    try:
        return Consumer(config, logger=client_logger("sinks.librdkafka"))
    except KafkaException as error:
        raise ImproperlyConfigured(f"Kafka options: {error.args[0].str()}") from error


def build_letters_writer(sink: SinkConfig) -> Writer:
    """Where a sink stores records of its dead letters, however many are refused again. Raises ImproperlyConfigured."""
    patient = msgspec.structs.replace(sink.options, stop_after_refusals=0)
    sink = msgspec.structs.replace(sink, options=patient)
    return build_writer(sink, kafka_cluster(sink.kafka), SinkMetrics(sink.name))


def build_writer(sink: SinkConfig, kafka: dict[str, Any], metrics: SinkMetrics) -> Writer:
    """Where a sink stores; kafka: librdkafka options of the cluster that it reads. Raises ImproperlyConfigured."""
    connections = sink.tasks * sink.options.in_flight
    return kind_of(sink).writer(sink, topic_id=TopicAdmin(kafka).topic_id, connections=connections, metrics=metrics)
