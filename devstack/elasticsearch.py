"""Elasticsearch 9.5 as a single node, run by `elasticsearch_node` in a Python process of its own."""

import shutil
import sys
import time
from functools import partial
from pathlib import Path

from devstack.config import PROJECT, StackConfig
from devstack.fetch import jar_folder
from devstack.ports import HOST, Port
from devstack.server import Server, get_json

_LOG4J = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p %c{1}: %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
logger.deprecation.name = org.elasticsearch.deprecation
logger.deprecation.level = error
# Native code and vector instructions are not published as jars; the node works without and says so at length.
logger.native.name = org.elasticsearch.nativeaccess
logger.native.level = error
logger.vector.name = org.elasticsearch.simdvec
logger.vector.level = error
logger.lucenevector.name = org.apache.lucene.internal.vectorization
logger.lucenevector.level = error
"""

_PLUGIN = """\
description=Netty 4 based transport
version=9.5.3
name=transport-netty4
classname=org.elasticsearch.transport.netty4.Netty4Plugin
java.version=21
elasticsearch.version=9.5.3
"""


def is_module_jar(jar: Path) -> bool:
    """Whether a jar belongs to the transport module, which the node loads by itself."""
    return jar.name.startswith(("netty-", "transport-netty4-"))


def elasticsearch_server(config: StackConfig) -> Server:
    """The node, listening on `config.elasticsearch_port`."""
    name = "elasticsearch"
    folder = config.data / name
    port = config.elasticsearch_port
    transport = config.port_book.port("elasticsearch-transport")
    jars = jar_folder(config.home, "elasticsearch")
    marker = f"--folder={folder}"
    return Server(
        name=name,
        title="Elasticsearch",
        command=[
            sys.executable,
            "-m",
            "devstack.elasticsearch_node",
            marker,
            f"--jars={jars}",
            f"--heap={config.elasticsearch_heap}",
            *(["--full-speed"] if config.full_speed else []),
        ],
        marker=marker,
        folder=folder,
        log_file=config.logs / f"{name}.log",
        ports=[
            Port(port, "Elasticsearch", "DEVSTACK_ELASTICSEARCH_PORT"),
            Port(transport, "Elasticsearch's transport"),
        ],
        address=f"http://{HOST}:{port}",
        answers=Health(port),
        prepare=partial(_prepare, folder, jars, port, transport, config.elasticsearch_max_content),
        env={"PYTHONUNBUFFERED": "1"},
        cwd=PROJECT,
    )


class Health:
    """Whether the node answers and has started every shard that it can start.

    An index that is broken for good keeps the health red; that is its own affair, so red counts as ready when
    nothing is going on any more, or `patience` seconds after the node began to answer.
    """

    def __init__(self, port: int, patience: float = 10.0) -> None:
        self._port = port
        self._patience = patience
        self._answers_since: float | None = None

    def __call__(self) -> bool:
        """Ask now."""
        health = get_json(self._port, "/_cluster/health")
        if health is None:
            self._answers_since = None
            return False
        now = time.monotonic()
        self._answers_since = self._answers_since or now
        if health["status"] != "red" or now - self._answers_since > self._patience:
            return True
        has_shards = health["active_shards"] + health["unassigned_shards"] > 0
        busy = ("initializing_shards", "number_of_in_flight_fetch", "number_of_pending_tasks")
        return has_shards and not any(health[key] for key in busy)


def _prepare(folder: Path, jars: Path, port: int, transport: int, max_content: str) -> None:
    """Lay out the home folder of a node; only `data` outlives a start."""
    for part in ("config", "plugins", "logs", "data"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    settings = {
        "cluster.name": "devstack",
        "node.name": "devstack",
        "path.data": folder / "data",
        "path.logs": folder / "logs",
        "network.host": HOST,
        "http.port": port,
        "http.max_content_length": max_content,
        "transport.port": transport,
        "discovery.type": "single-node",
        "transport.type": "netty4",
        "http.type": "netty4",
        # A developer's disk may be nearly full; that is no reason to refuse documents.
        "cluster.routing.allocation.disk.threshold_enabled": "false",
    }
    (folder / "config" / "elasticsearch.yml").write_text("".join(f'{k}: "{v}"\n' for k, v in settings.items()))
    (folder / "config" / "log4j2.properties").write_text(_LOG4J)
    module = folder / "modules" / "transport-netty4"
    shutil.rmtree(folder / "modules", ignore_errors=True)
    module.mkdir(parents=True)
    (module / "plugin-descriptor.properties").write_text(_PLUGIN)
    for jar in jars.glob("*.jar"):
        if is_module_jar(jar):
            shutil.copy2(jar, module)
