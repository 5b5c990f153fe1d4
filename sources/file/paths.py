"""Finds paths by patterns, and tells which names rotation gives to a file."""

import fnmatch
import os
import re
from collections.abc import Callable, Iterator
from functools import lru_cache

Report = Callable[[str, OSError], None]

_MAGIC = re.compile(r"[*?\[]")


def printable(path: str) -> str:
    """A path as a text of UTF-8; what is none of it is replaced."""
    return path.encode(errors="surrogateescape").decode(errors="replace")


def matching(pattern: str, report: Report) -> Iterator[str]:
    """The paths that match an absolute pattern, as `glob` has it; they need not be files.

    report: is told of folders that can't be read. `**` does not go through symbolic links, so that a loop of links has
    an end. Names that begin with a dot match only patterns that begin with one.
    """
    yield from _below("/", [part for part in pattern.split("/") if part], report)


def _below(folder: str, parts: list[str], report: Report) -> Iterator[str]:
    if not parts:
        yield folder
        return
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _below(folder, rest or ["*"], report)
        for entry in _entries(folder, report):
            if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path, parts, report)
    elif _MAGIC.search(part):
        for entry in _entries(folder, report):
            is_hidden = entry.name.startswith(".") and not part.startswith(".")
            if not is_hidden and fnmatch.fnmatchcase(entry.name, part):
                yield from _below(entry.path, rest, report)
    else:
        yield from _below(os.path.join(folder, part), rest, report)


def _entries(folder: str, report: Report) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        report(folder, error)
        return []


_ADDED = re.compile(r"[._-]\d[\d._:T-]*")
_ADDED_AT_END = re.compile(_ADDED.pattern + "$")
_PACKED = ".gz"


def is_rotated(live: str, other: str) -> bool:
    """Whether `other` is a name that rotation gives to a file, or to the copy of a file, of the name `live`.

    Rotation adds a number or a date, at the end (app.log.1, app.log-20261130) or before the extension (app-1.log), and
    perhaps .gz. The folder may be another one.
    """
    live, other = os.path.basename(live), os.path.basename(other).removesuffix(_PACKED)
    if other.startswith(live):
        return _ADDED.fullmatch(other, len(live)) is not None
    stem, extension = os.path.splitext(live)
    is_like = other.startswith(stem) and other.endswith(extension) and len(other) > len(live)
    return is_like and _ADDED.fullmatch(other, len(stem), len(other) - len(extension)) is not None


@lru_cache(maxsize=100_000)
def family_of(path: str) -> str:
    """The name of a file without what rotation and compression have added; is_rotated relates names of one family."""
    name = _ADDED_AT_END.sub("", os.path.basename(path).removesuffix(_PACKED))
    stem, extension = os.path.splitext(name)
    return _ADDED_AT_END.sub("", stem) + extension
