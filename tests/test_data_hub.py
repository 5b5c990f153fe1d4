"""docs/data-hub.md, command by command, on real servers."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from devstack import hub
from devstack.config import StackConfig
from devstack.ports import HOST, choose_free
from devstack.server import http_get
from devstack.stack import Stack
from tests.support import PROJECT, Process, manage, wait_until

pytestmark = pytest.mark.integration

DOCUMENT = (PROJECT / "docs/data-hub.md").read_text()
STEPS = re.findall(r"^```sh\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", DOCUMENT, re.DOTALL | re.MULTILINE)
"""Each block of commands with what it prints, where the page says so."""


@pytest.fixture
def running() -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """What `make run HUB=1` starts and the page uses.

    Gives the environment, and what stands for the page's addresses.
    """
    with ExitStack() as ends:
        data = Path(tempfile.mkdtemp(prefix="hub-", dir="/tmp"))
        data.chmod(0o755)  # PostgreSQL runs as another user where the tests run as root
        ends.callback(shutil.rmtree, data, ignore_errors=True)
        taken: set[int] = set()
        web, postgres, mariadb, s3 = (choose_free(taken) for _ in range(4))
        config = StackConfig.on_free_ports(
            data, kafka_heap="256m", postgres_port=postgres, mariadb_port=mariadb, s3_port=s3
        )
        stack = Stack(config)
        ends.callback(stack.kill)
        unused = (stack.namenode, *stack.datanodes, stack.elasticsearch)
        stack.up(print, [server for server in stack.servers if server not in unused])
        hub.prepare(stack.config)
        env = {
            "DJANGO_SETTINGS_MODULE": "settings.development",
            "ENV_FILE": os.devnull,
            "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
            "DATABASE_URL": f"sqlite:///{data / 'site.sqlite3'}",
            "EVENTS_SPOOL_PATH": str(data / "spool"),
            "EVENTS_METRICS_PATH": str(data / "metrics"),
            "DEVSTACK_HUB": "1",
            "DEVSTACK_MARIADB_PORT": str(mariadb),
            "DEVSTACK_S3_PORT": str(s3),
            "DEVSTACK_SHOP_PORT": str(postgres),
        }
        subprocess.run(manage("migrate", "--no-input", "-v", "0"), cwd=PROJECT, env={**os.environ, **env}, check=True)
        for command in (manage("runserver", "--noreload", f"{HOST}:{web}"), manage("run_connectors")):
            process = Process(command, env)
            ends.callback(process.kill)
        wait_until(lambda: http_get(web, "/connect/") is not None, what="the website")
        yield (
            env,
            {
                "localhost:8000": f"{HOST}:{web}",
                "localhost:5432": f"{HOST}:{postgres}",
                "localhost:3306": f"{HOST}:{mariadb}",
                "localhost:8333": f"localhost:{s3}",
                "/tmp/zaiko": f"{data}/zaiko",
                ".venv/bin/python": sys.executable,
            },
        )


@pytest.mark.timeout(240)
def test_every_command_of_the_page_does_what_the_page_says(running: tuple[dict[str, str], dict[str, str]]) -> None:
    env, addresses = running
    for commands, expected in STEPS:
        for written, real in addresses.items():
            commands = commands.replace(written, real)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=PROJECT,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, (commands, done.stdout, done.stderr)
        assert done.stdout.rstrip().endswith(expected.rstrip()), (commands, done.stdout)
    assert len(STEPS) == DOCUMENT.count("```sh\n")
