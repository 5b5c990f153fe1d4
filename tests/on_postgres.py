"""`python -m tests.on_postgres [pytest's arguments]`: the tests that use Django's database, on PostgreSQL."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack.config import PROJECT, StackConfig
from devstack.ports import choose_free
from devstack.postgres import fetch_postgres, postgres_server
from devstack.server import Server


@contextmanager
def running_postgres() -> Iterator[Server]:
    """A server with an empty database at its address."""
    # Not in pytest's own folder: run by root, the server is another user, who may not enter that.
    data = Path(tempfile.mkdtemp(prefix="postgres-"))
    data.chmod(0o755)
    config = StackConfig(home=PROJECT / ".devstack", data=data, logs=data)
    fetch_postgres(config.home)
    server = postgres_server(config, choose_free(set()))
    server.start()
    try:
        server.wait_ready()
        yield server
    finally:
        server.kill()
        shutil.rmtree(data, ignore_errors=True)


def main() -> int:
    """pytest's exit code."""
    with running_postgres() as server:
        env = {**os.environ, "TEST_DATABASE_URL": server.address}
        return subprocess.run([sys.executable, "-m", "pytest", *sys.argv[1:]], env=env).returncode


if __name__ == "__main__":
    sys.exit(main())
