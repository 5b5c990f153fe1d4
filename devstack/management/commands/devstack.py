"""The command `manage.py devstack up|down|status|run`."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from devstack import hub
from devstack.child import ChildSpec
from devstack.config import PROJECT, StackConfig
from devstack.errors import DevstackError
from devstack.ports import HOST, Port
from devstack.run import Plan, Runner, end_left_overs_of
from devstack.server import ServerStatus, http_get
from devstack.stack import Stack

ADMIN = "admin"

SITE_KEYS = ("web_port", "hdfs_metrics_port", "es_metrics_port", "hub")
"""Keys of `settings.DEVSTACK` that concern what runs beside the servers."""


class Command(BaseCommand):
    """Reads `settings.DEVSTACK` and hands over to plain Python."""

    help = "Kafka, HDFS and Elasticsearch on this machine; `run` adds the web server and the sinks."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """One action and two sizes, which the data folder remembers."""
        parser.add_argument("action", choices=["up", "down", "status", "run"])
        parser.add_argument("--brokers", type=int, help="Kafka brokers (default: as the data was made, or 1)")
        parser.add_argument("--datanodes", type=int, help="HDFS DataNodes (default: as the data was made, or 1)")

    def handle(self, *args: Any, action: str, brokers: int | None, datanodes: int | None, **options: Any) -> None:
        """Do the action. Errors are one line."""
        ours: Mapping[str, Any] = settings.DEVSTACK
        try:
            config = config_from(ours, brokers=brokers, datanodes=datanodes)
            stack = Stack(config)
            match action:
                case "up":
                    stack.up(self._report)
                    self.stdout.write(f"Kafka {stack.bootstrap_servers}")
                    self.stdout.write(f"HDFS {stack.webhdfs_url}/explorer.html")
                    self.stdout.write(f"Elasticsearch {stack.elasticsearch_url}")
                case "down":
                    end_left_overs_of(stack, self._report)
                    stack.down(self._report)
                case "status":
                    statuses = stack.status()
                    self.stdout.write(status_table(statuses))
                    if not all(status.is_ready for status in statuses):
                        sys.exit(1)
                case "run":
                    sys.exit(Runner(stack, site_plan(stack, *(ours[name] for name in SITE_KEYS))).run())
        except DevstackError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            sys.exit(130)

    def _report(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def config_from(options: Mapping[str, Any], *, brokers: int | None, datanodes: int | None) -> StackConfig:
    """The configuration that `settings.DEVSTACK` and the command line describe."""
    home = Path(options["home"])
    known_brokers, known_datanodes = StackConfig.sizes_of(home / "data")
    values = {key: value for key, value in options.items() if key not in ("home", *SITE_KEYS)}
    return StackConfig.in_home(
        home,
        brokers=known_brokers if brokers is None else brokers,
        datanodes=known_datanodes if datanodes is None else datanodes,
        **values,
    )


def site_plan(stack: Stack, web_port: int, hdfs_metrics_port: int, es_metrics_port: int, has_hub: bool) -> Plan:
    """The children of `devstack run`. has_hub: with the data hub of docs/data-hub.md."""
    config = stack.config
    threads = min(8, 2 * (os.cpu_count() or 1) + 1)  # more makes granian warn
    web = (
        "-m granian --interface wsgi pipeline.wsgi:application"
        f" --host {HOST} --port {web_port} --workers 2 --blocking-threads {threads} --no-ws --no-access-log"
        " --workers-kill-timeout 25"
    )

    def web_answers() -> bool:
        return http_get(web_port, "/") is not None

    return Plan(
        steps=[
            ChildSpec("migrate", _manage("migrate", "--no-input", "--verbosity", "0")),
            ("admin user", ensure_admin),
            ChildSpec("setup", _manage("setup_pipeline")),
            *([("shop and till", partial(hub.prepare, config))] if has_hub else []),
        ],
        services=[
            [ChildSpec("web", (sys.executable, *web.split()), stop_seconds=30.0, answers=web_answers)],
            [
                ChildSpec("hdfs-sink", _manage("run_hdfs_sink", "--metrics-port", str(hdfs_metrics_port))),
                ChildSpec("es-sink", _manage("run_es_sink", "--metrics-port", str(es_metrics_port))),
                *([ChildSpec("connectors", _manage("run_connectors"))] if has_hub else []),
            ],
        ],
        ports=[
            Port(web_port, "the web server", "DEVSTACK_WEB_PORT"),
            Port(hdfs_metrics_port, "the HDFS sink's metrics", "DEVSTACK_HDFS_METRICS_PORT"),
            Port(es_metrics_port, "the Elasticsearch sink's metrics", "DEVSTACK_ES_METRICS_PORT"),
        ],
        banner=f"""
  Page            http://localhost:{web_port}/
  Admin           http://localhost:{web_port}/admin/   ({ADMIN} / {ADMIN})
  HDFS files      http://localhost:{config.webhdfs_port}/explorer.html#/data/color
  Elasticsearch   {stack.elasticsearch_url}
  Kafka           {stack.bootstrap_servers}
  HDFS sink       http://localhost:{hdfs_metrics_port}/status
  ES sink         http://localhost:{es_metrics_port}/status
{_hub_lines(config, web_port) if has_hub else ""}  Data            {config.data}
  Logs            {config.logs}

  Ctrl-C stops everything.
""",
        cwd=PROJECT,
    )


def _hub_lines(config: StackConfig, web_port: int) -> str:
    return f"""  Connectors      http://localhost:{web_port}/connect/
  Shop, till      PostgreSQL localhost:{config.postgres_port}, MariaDB localhost:{config.mariadb_port}
  S3              http://localhost:{config.s3_port}
"""


def ensure_admin() -> None:
    """A superuser for development, made once; an existing one is left as it is."""
    users = get_user_model().objects
    if not users.filter(username=ADMIN).exists():
        users.create_superuser(ADMIN, "admin@localhost", ADMIN)
    connections.close_all()


def status_table(statuses: list[ServerStatus]) -> str:
    """Aligned columns for people."""
    rows = [("SERVER", "STATE", "PID", "ADDRESS", "MEMORY", "LOG")]
    for status in statuses:
        memory = f"{status.memory // 1_000_000} MB" if status.pid else "-"
        row = (status.name, status.state, str(status.pid or "-"), status.address, memory, str(status.log_file))
        rows.append(row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _manage(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, str(PROJECT / "manage.py"), *arguments)
