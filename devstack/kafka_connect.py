"""A worker of Kafka Connect 4.3 with its connectors for files: for tests, which compare our REST with it."""

from functools import partial

from devstack import java
from devstack.config import StackConfig
from devstack.fetch import CONNECT, jar_folder
from devstack.ports import HOST, Port
from devstack.server import Server, get_json

_LOG4J = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""


def connect_server(config: StackConfig, bootstrap_servers: str) -> Server:
    """A worker whose REST listens on a free port; its jars are fetched by `fetch.fetch_connect`."""
    name = "kafka-connect"
    folder = config.data / name
    port = config.port_book.port(name)
    properties = folder / "worker.properties"

    def prepare() -> None:
        (folder / "log4j2.properties").write_text(_LOG4J)
        properties.write_text(_properties(bootstrap_servers, port))

    return Server(
        name=name,
        title="Kafka Connect",
        command=java.java_command(
            folder=folder,
            class_path=[f"{jar_folder(config.home, CONNECT)}/*"],
            heap="384m",
            options=[f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}"],
            main=["org.apache.kafka.connect.cli.ConnectDistributed", str(properties)],
        ),
        marker=java.marker(folder),
        folder=folder,
        log_file=config.logs / f"{name}.log",
        ports=[Port(port, "Kafka Connect")],
        address=f"http://{HOST}:{port}",
        answers=partial(_answers, port),
        prepare=prepare,
    )


def _answers(port: int) -> bool:
    """The list of connectors is read from Kafka: a worker that gives it has joined its group."""
    return get_json(port, "/connectors") is not None


def _properties(bootstrap_servers: str, port: int) -> str:
    settings: dict[str, object] = {
        "bootstrap.servers": bootstrap_servers,
        "group.id": "kafka-connect",
        "listeners": f"http://{HOST}:{port}",
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.storage.StringConverter",
        "config.storage.topic": "connect-configs",
        "offset.storage.topic": "connect-offsets",
        "status.storage.topic": "connect-status",
        "config.storage.replication.factor": 1,
        "offset.storage.replication.factor": 1,
        "status.storage.replication.factor": 1,
        "offset.storage.partitions": 1,
        "status.storage.partitions": 1,
        "offset.flush.interval.ms": 500,
        "scheduled.rebalance.max.delay.ms": 0,
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())
