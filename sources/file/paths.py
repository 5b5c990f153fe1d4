"""Finds paths by patterns, and tells which names rotation gives to a file."""

import fnmatch
import os
import re
from collections.abc import Callable, Iterator

Report = Callable[[str, OSError], None]

_MAGIC = re.compile(r"[*?\[]")


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


_ADDED = r"(?:[._-]\d[\d._:T-]*)"
_PACKED = re.compile(r"\.gz$")


def is_rotated(live: str, other: str) -> bool:
    """Whether `other` is a name that rotation gives to a file, or to the copy of a file, of the name `live`.

    Rotation adds a number or a date, at the end (app.log.1, app.log-20261130) or before the extension (app-1.log), and
    perhaps .gz. The folder may be another one.
    """
    live, other = os.path.basename(live), _PACKED.sub("", os.path.basename(other))
    stem, extension = os.path.splitext(live)
    before_extension = re.escape(stem) + _ADDED + re.escape(extension)
    return re.fullmatch(f"{re.escape(live)}{_ADDED}|{before_extension}", other) is not None


def is_packed_name(plain: str, packed: str) -> bool:
    """Whether `packed` can be the name of the compressed file of `plain`, which may have been rotated meanwhile."""
    plain, packed = os.path.basename(plain), _PACKED.sub("", os.path.basename(packed))
    return packed in (plain, _live(plain)) or _live(packed) == _live(plain)


def _live(name: str) -> str:
    """A name without what rotation added."""
    stem, extension = os.path.splitext(re.sub(f"{_ADDED}$", "", name))
    return re.sub(f"{_ADDED}$", "", stem) + extension
