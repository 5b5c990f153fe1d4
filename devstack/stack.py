"""The servers together: up in parallel, down in order."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager

from devstack.config import StackConfig as StackConfig
from devstack.elasticsearch import elasticsearch_server
from devstack.fetch import Report, fetch
from devstack.hdfs import hdfs_servers
from devstack.kafka import kafka_servers
from devstack.locks import locked
from devstack.mariadb import fetch_mariadb, mariadb_server
from devstack.postgres import fetch_postgres, postgres_server
from devstack.seaweedfs import fetch_seaweedfs, seaweedfs_server
from devstack.server import Server, ServerStatus

READY_SECONDS = 180.0


class Stack:
    """Kafka, HDFS and Elasticsearch of one StackConfig, and PostgreSQL, MariaDB and SeaweedFS where it has them.

    Nothing is held in memory but the configuration: another process with the same configuration sees and
    controls the same servers.
    """

    def __init__(self, config: StackConfig) -> None:
        self.config = config
        self.kafka: list[Server] = kafka_servers(config)
        self.namenode, self.datanodes = hdfs_servers(config)
        self.elasticsearch: Server = elasticsearch_server(config)
        self._further: list[Server] = []
        self._fetches = [fetch]
        for port, make_server, fetch_server in (
            (config.postgres_port, postgres_server, fetch_postgres),
            (config.mariadb_port, mariadb_server, fetch_mariadb),
            (config.s3_port, seaweedfs_server, fetch_seaweedfs),
        ):
            if port is not None:
                self._further.append(make_server(config, port))
                self._fetches.append(fetch_server)

    @property
    def servers(self) -> list[Server]:
        """All of them, in the order of `status`."""
        return [*self.kafka, self.namenode, *self.datanodes, self.elasticsearch, *self._further]

    @property
    def bootstrap_servers(self) -> str:
        """For Kafka clients: `host:port[,host:port...]`."""
        return ",".join(server.address for server in self.kafka)

    @property
    def webhdfs_url(self) -> str:
        """For WebHDFS clients: the NameNode's `http://host:port`."""
        return self.namenode.address

    @property
    def elasticsearch_url(self) -> str:
        """For Elasticsearch clients: `http://host:port`."""
        return self.elasticsearch.address

    def up(self, report: Report = print, servers: Sequence[Server] | None = None) -> None:
        """Start what is down and return when all servers, or the given ones, answer; running ones are left alone.

        Raises DevstackError; then the servers that this call started are stopped again.
        """
        servers = self.servers if servers is None else servers
        for fetch_servers in self._fetches:
            fetch_servers(self.config.home, report)
        with self._alone(report):
            down = [server for server in servers if not server.is_running()]
            for server in down:
                server.check_ports()
            if down:
                report("starting " + ", ".join(server.title for server in down))
            try:
                _start_all(servers, down, report)
            except BaseException:
                _in_parallel(down, Server.stop)
                raise

    def down(self, report: Report = print) -> None:
        """Stop what runs: Elasticsearch, DataNodes, NameNode, Kafka, the further ones. The data stays."""
        with self._alone(report):
            for group in ([self.elasticsearch], self.datanodes, [self.namenode], self.kafka, self._further):
                running = [server for server in group if server.is_running()]
                if running:
                    report("stopping " + ", ".join(server.title for server in running))
                    _in_parallel(running, Server.stop)

    def kill(self) -> None:
        """End every server with SIGKILL at once."""
        for server in self.servers:
            server.kill()

    def status(self) -> list[ServerStatus]:
        """A snapshot of each server, asked in parallel."""
        with ThreadPoolExecutor(len(self.servers)) as pool:
            return list(pool.map(Server.status, self.servers))

    def _alone(self, report: Report) -> AbstractContextManager[None]:
        return locked(self.config.data / "lock", lambda: report("waiting for another process that uses this data"))


def _start_all(servers: Sequence[Server], announced: Sequence[Server], report: Report) -> None:
    """Start all at once and wait until all answer; the first failure, or Ctrl-C here, ends the waiting of all."""
    give_up = threading.Event()

    def start(server: Server) -> None:
        server.start()
        server.wait_ready(READY_SECONDS, give_up)
        if server in announced and not give_up.is_set():
            report(f"{server.title} is ready on {server.address}")

    with ThreadPoolExecutor(len(servers)) as pool:
        try:
            futures = [pool.submit(start, server) for server in servers]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        finally:
            give_up.set()


def _in_parallel(servers: Sequence[Server], action: Callable[[Server], None]) -> None:
    """Act on all servers at once; when one fails, the first error is raised after all have ended."""
    if not servers:
        return
    with ThreadPoolExecutor(len(servers)) as pool:
        for future in [pool.submit(action, server) for server in servers]:
            future.result()
