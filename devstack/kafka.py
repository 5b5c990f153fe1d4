"""Kafka 4.4 in KRaft mode: one or several processes, each broker and controller in one."""

import shutil
from functools import partial
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from devstack import java
from devstack.config import StackConfig
from devstack.errors import DevstackError
from devstack.fetch import jar_folder
from devstack.ports import HOST, Port, accepts
from devstack.server import Server

CLUSTER_ID = "ZGV2c3RhY2stY2x1c3Rlcg"  # 16 bytes in base64url, as the format tool wants it

_LOG4J = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p %c{1}: %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
logger.config.name = org.apache.kafka.common.config
logger.config.level = warn
logger.kafkaconfig.name = kafka.server.KafkaConfig
logger.kafkaconfig.level = warn
"""


def kafka_servers(config: StackConfig) -> list[Server]:
    """The brokers of one cluster; the first listens on `config.kafka_port`."""
    book = config.port_book
    brokers = [config.kafka_port] + [book.port(f"kafka-{n}") for n in range(2, config.brokers + 1)]
    controllers = [book.port(f"kafka-{n}-controller") for n in range(1, config.brokers + 1)]
    return [_server(config, node, brokers, controllers) for node in range(1, config.brokers + 1)]


def _server(config: StackConfig, node: int, brokers: list[int], controllers: list[int]) -> Server:
    name = f"kafka-{node}"
    folder = config.data / name
    log_file = config.logs / f"{name}.log"
    port = brokers[node - 1]
    jars = f"{jar_folder(config.home, 'kafka')}/*"
    java_options = [f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}"]
    properties = folder / "server.properties"
    title = "Kafka" if config.brokers == 1 else f"Kafka broker {node}"

    def command(*main: str) -> list[str]:
        return java.java_command(
            folder=folder,
            class_path=[jars],
            heap=config.kafka_heap,
            options=java_options,
            main=main,
            full_speed=config.full_speed,
        )

    def prepare() -> None:
        _check_size(config, folder)
        (folder / "log4j2.properties").write_text(_LOG4J)
        properties.write_text(_properties(node, brokers, controllers, folder / "data"))
        formatted = folder / "formatted"
        if not formatted.exists():
            shutil.rmtree(folder / "data", ignore_errors=True)
            tool = command("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties))
            java.run_once(f"{title}: formatting {folder}", tool, log_file.with_name(f"{name}-format.log"))
            formatted.write_text(f"{config.brokers}\n")

    return Server(
        name=name,
        title=title,
        command=command("kafka.Kafka", str(properties)),
        marker=java.marker(folder),
        folder=folder,
        log_file=log_file,
        ports=[
            Port(port, title, "DEVSTACK_KAFKA_PORT" if node == 1 else ""),
            Port(controllers[node - 1], f"{title}'s controller"),
        ],
        address=f"{HOST}:{port}",
        answers=partial(is_in_cluster, port, node),
        prepare=prepare,
    )


def is_in_cluster(port: int, node: int) -> bool:
    """Whether the broker on `port` answers a metadata request and counts itself as a member."""
    if not accepts(port):
        return False
    client = AdminClient({"bootstrap.servers": f"{HOST}:{port}", "log_level": 0, "error_cb": lambda _: None})
    try:
        return node in client.list_topics(timeout=2.0).brokers
    except KafkaException:
        return False


def _check_size(config: StackConfig, folder: Path) -> None:
    """The voters are fixed when a cluster is born: three new ones could outvote the one that has the data."""
    formatted = folder / "formatted"
    first = config.data / "kafka-1" / "formatted"
    for path in (formatted, first):
        if path.exists() and path.read_text().strip() != str(config.brokers):
            raise DevstackError(
                f"the Kafka data in {config.data} was made for {path.read_text().strip()} broker(s),"
                f" not {config.brokers}: use another data folder, or remove this one"
            )


def _properties(node: int, brokers: list[int], controllers: list[int], data: Path) -> str:
    size = len(brokers)
    replication = min(3, size)
    voters = ",".join(f"{n}@{HOST}:{port}" for n, port in enumerate(controllers, start=1))
    settings: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": node,
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{HOST}:{brokers[node - 1]},CONTROLLER://{HOST}:{controllers[node - 1]}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{brokers[node - 1]}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": data,
        "auto.create.topics.enable": "false",
        "default.replication.factor": replication,
        "offsets.topic.replication.factor": replication,
        "offsets.topic.num.partitions": 10,
        "transaction.state.log.replication.factor": replication,
        "transaction.state.log.min.isr": min(2, size),
        "transaction.state.log.num.partitions": 10,
        "share.coordinator.state.topic.replication.factor": replication,
        "share.coordinator.state.topic.min.isr": min(2, size),
        "share.coordinator.state.topic.num.partitions": 10,
        "group.initial.rebalance.delay.ms": 0,
        # Tests of lost consumers and brokers need not wait for the defaults (6, 45 and 9 seconds).
        "group.min.session.timeout.ms": 1000,
        "group.consumer.min.session.timeout.ms": 1000,
        "group.consumer.min.heartbeat.interval.ms": 500,
        "broker.heartbeat.interval.ms": 500,
        "broker.session.timeout.ms": 4000,
        # A compacted topic is cleaned within a second, not within 15.
        "log.cleaner.backoff.ms": 500,
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())
