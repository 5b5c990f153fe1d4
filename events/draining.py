"""Lets the web processes of this machine say that they will end, before they do. No Django here."""

from pathlib import Path

_FILE = "draining"


def drain(root: Path) -> None:
    """Makes every process that runs now a draining one. root: the folder of the spools of all processes."""
    root.mkdir(parents=True, exist_ok=True)
    (root / _FILE).touch()


def is_draining(root: Path, started_at: float) -> bool:
    """Whether `drain` was called after a process started. started_at: when it did (Unix time)."""
    try:
        return (root / _FILE).stat().st_mtime > started_at
    except FileNotFoundError:
        return False
