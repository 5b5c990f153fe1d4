"""Lets the web processes of this machine say that they will end, before they do. No Django here."""

import os
from pathlib import Path

_FILE = "draining"


def drain(root: Path) -> None:
    """From now on every process that runs by now is draining. root: the folder of the spools of all processes."""
    root.mkdir(parents=True, exist_ok=True)
    path = root / _FILE
    path.touch()
    os.utime(path)


def is_draining(root: Path, started_at: float) -> bool:
    """Whether a process that started at that time (Unix) was told so; what was told before is not meant for it."""
    try:
        return (root / _FILE).stat().st_mtime > started_at
    except FileNotFoundError:
        return False
