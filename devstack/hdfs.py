"""HDFS 3.5: one NameNode and one or several DataNodes, reached by WebHDFS."""

import json
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from xml.sax.saxutils import escape

from devstack import java
from devstack.config import StackConfig
from devstack.errors import DevstackError
from devstack.fetch import jar_folder
from devstack.ports import HOST, Port
from devstack.server import Server, get_json

_NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
_DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"
_NAMENODE_INFO = "Hadoop:service=NameNode,name=NameNodeInfo"
_DATANODE_INFO = "Hadoop:service=DataNode,name=DataNodeInfo"

_LOG4J = """\
log4j.rootLogger=INFO,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %-5p %c{1}: %m%n
log4j.logger.org.apache.hadoop.util.NativeCodeLoader=ERROR
log4j.logger.org.apache.hadoop.hdfs.server.namenode.FSNamesystem.audit=WARN
log4j.logger.org.apache.hadoop.hdfs.StateChange=WARN
log4j.logger.org.apache.hadoop.hdfs.server.datanode.DataNode.clienttrace=WARN
log4j.logger.BlockStateChange=WARN
log4j.logger.org.apache.hadoop.hdfs.server.datanode.fsdataset.impl.FsDatasetImpl=WARN
# Asked for its state while it starts, a server answers with stack traces.
log4j.logger.org.apache.hadoop.jmx.JMXJsonServlet=OFF
log4j.logger.datanode.webhdfs=WARN
"""


def hdfs_servers(config: StackConfig) -> tuple[Server, list[Server]]:
    """The NameNode, whose web server listens on `config.webhdfs_port`, and the DataNodes."""
    rpc_port = config.port_book.port("namenode-rpc")
    datanodes = [_datanode(config, number, rpc_port) for number in range(1, config.datanodes + 1)]
    return _namenode(config, rpc_port, datanodes), datanodes


def _namenode(config: StackConfig, rpc_port: int, datanodes: list[Server]) -> Server:
    name = "namenode"
    folder = config.data / name
    log_file = config.logs / f"{name}.log"

    def prepare() -> None:
        _check_size(config)
        settings = {
            "dfs.namenode.name.dir": _uri(folder / "data"),
            "dfs.namenode.lease-hard-limit-sec": config.lease_seconds,
        }
        _write_configuration(folder / "conf", config, rpc_port, settings)
        formatted = folder / "formatted"
        if not formatted.exists():
            shutil.rmtree(folder / "data", ignore_errors=True)
            tool = _command(config, folder, _NAMENODE, "-format", "-force", "-nonInteractive")
            java.run_once(f"HDFS: formatting {folder}", tool, log_file.with_name(f"{name}-format.log"))
            formatted.touch()

    def answers() -> bool:
        return is_out_of_safe_mode(config.webhdfs_port, sum(node.is_running() for node in datanodes))

    return Server(
        name=name,
        title="HDFS NameNode",
        command=_command(config, folder, _NAMENODE),
        marker=java.marker(folder),
        folder=folder,
        log_file=log_file,
        ports=[
            Port(config.webhdfs_port, "the HDFS NameNode", "DEVSTACK_WEBHDFS_PORT"),
            Port(rpc_port, "the HDFS NameNode"),
        ],
        address=f"http://{HOST}:{config.webhdfs_port}",
        answers=answers,
        prepare=prepare,
    )


def _datanode(config: StackConfig, number: int, rpc_port: int) -> Server:
    name = f"datanode-{number}"
    folder = config.data / name
    title = "HDFS DataNode" if config.datanodes == 1 else f"HDFS DataNode {number}"
    book = config.port_book
    http, data, ipc = (book.port(f"{name}-{kind}") for kind in ("http", "data", "ipc"))

    def prepare() -> None:
        settings: dict[str, object] = {
            "dfs.datanode.data.dir": _uri(folder / "data"),
            "dfs.datanode.address": f"{HOST}:{data}",
            "dfs.datanode.http.address": f"{HOST}:{http}",
            "dfs.datanode.ipc.address": f"{HOST}:{ipc}",
            "dfs.datanode.hostname": HOST,
            "dfs.datanode.scan.period.hours": -1,
            # The DataNode is the HDFS client of a WebHDFS write. With few DataNodes there is no other to take the
            # place of a lost one: go on with those that are left.
            "dfs.client.block.write.replace-datanode-on-failure.best-effort": "true",
        }
        if config.fast_close:
            settings["dfs.client.block.write.locateFollowingBlock.initial.delay.ms"] = 5
        _write_configuration(folder / "conf", config, rpc_port, settings)

    return Server(
        name=name,
        title=title,
        command=_command(config, folder, _DATANODE),
        marker=java.marker(folder),
        folder=folder,
        log_file=config.logs / f"{name}.log",
        ports=[Port(port, f"the {title}") for port in (http, data, ipc)],
        address=f"http://{HOST}:{http}",
        answers=partial(is_serving_blocks, http, data, config.webhdfs_port),
        prepare=prepare,
    )


def is_out_of_safe_mode(webhdfs_port: int, live_datanodes: int) -> bool:
    """Whether the NameNode takes writes and sees at least `live_datanodes` DataNodes."""
    info = _bean(webhdfs_port, _NAMENODE_INFO)
    live = json.loads(info.get("LiveNodes") or "{}")
    return info.get("Safemode") == "" and len(live) >= live_datanodes


def is_serving_blocks(http_port: int, data_port: int, webhdfs_port: int) -> bool:
    """Whether the DataNode talks with its NameNode, and the NameNode counts it as live."""
    namenode = _bean(webhdfs_port, _NAMENODE_INFO)
    live = json.loads(namenode.get("LiveNodes") or "{}").values()
    if not any(node["xferaddr"] == f"{HOST}:{data_port}" for node in live):
        return False
    info = _bean(http_port, _DATANODE_INFO)
    actors = json.loads(info.get("BPServiceActorInfo") or "[]")
    return bool(actors) and all(actor["ActorState"] == "RUNNING" for actor in actors)


def _bean(http_port: int, name: str) -> Mapping[str, str]:
    answer = get_json(http_port, f"/jmx?qry={name}")
    beans = answer["beans"] if answer else []
    return beans[0] if beans else {}


def _check_size(config: StackConfig) -> None:
    made = len(list(config.data.glob("datanode-*/data")))
    if made > config.datanodes:
        raise DevstackError(
            f"the HDFS data in {config.data} lies on {made} DataNodes, not {config.datanodes}:"
            " use another data folder, or remove this one"
        )


def _command(config: StackConfig, folder: Path, *main: str) -> list[str]:
    return java.java_command(
        folder=folder,
        class_path=[str(folder / "conf"), f"{jar_folder(config.home, 'hdfs')}/*"],
        heap=config.hdfs_heap,
        options=["--add-opens=java.base/java.lang=ALL-UNNAMED", "-Dhadoop.root.logger=INFO,console"],
        main=main,
        full_speed=config.full_speed,
    )


def _write_configuration(folder: Path, config: StackConfig, rpc_port: int, settings: Mapping[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    core = {
        "fs.defaultFS": f"hdfs://{HOST}:{rpc_port}",
        "hadoop.tmp.dir": folder.parent / "tmp",
        "hadoop.http.staticuser.user": "hdfs",
        # A DataNode that is up before its NameNode asks again soon instead of after seconds.
        "ipc.client.connect.retry.interval": 200,
        "ipc.client.connect.max.retries": 50,
    }
    common = {
        "dfs.namenode.rpc-address": f"{HOST}:{rpc_port}",
        "dfs.namenode.http-address": f"{HOST}:{config.webhdfs_port}",
        "dfs.replication": min(3, config.datanodes),
        "dfs.permissions.enabled": "false",
        "dfs.namenode.datanode.registration.ip-hostname-check": "false",
        "dfs.namenode.safemode.extension": 0,
        "dfs.heartbeat.interval": 1,
        # A DataNode counts as dead after 2 x this (ms) + 10 heartbeats = 20 s, not 10 minutes.
        "dfs.namenode.heartbeat.recheck-interval": 5000,
    }
    (folder / "core-site.xml").write_text(_xml(core))
    (folder / "hdfs-site.xml").write_text(_xml({**common, **settings}))
    (folder / "log4j.properties").write_text(_LOG4J)


def _uri(path: Path) -> str:
    return path.as_uri()


def _xml(settings: Mapping[str, object]) -> str:
    rows = (
        f"  <property><name>{name}</name><value>{escape(str(value))}</value></property>\n"
        for name, value in settings.items()
    )
    return f'<?xml version="1.0"?>\n<configuration>\n{"".join(rows)}</configuration>\n'
