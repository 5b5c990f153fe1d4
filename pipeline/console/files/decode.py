"""Decodes a Parquet or Avro file in a process of its own: `python -m pipeline.console.files.decode FORMAT BYTES`.

What such a file takes in memory is only known when it is decoded, so the operating system bounds it, and the website
goes on. The file comes by standard input, a Preview goes to standard output.
"""

import io
import os
import resource
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from events.shortening import shortened
from kafka_client.structs import ready

LINES = 20
"""Of the beginning, and of the end."""

MOST_SHOWN = 64 * 1024
"""Characters of a record that are shown."""

_MAX_REASON = 500
_SECONDS = 10.0
_UNDECODABLE, _NO_MEMORY = 1, 3
"""Exit codes: Python's own for an error that nobody caught, and ours."""

_OWN_BYTES = 256 * 1024 * 1024
"""What Python and the libraries take before there is a file."""

PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "TZ")
"""Nothing else of the website's environment: it has passwords, and the file may be anybody's."""

ENVIRONMENT = {"MALLOC_ARENA_MAX": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
"""One arena and no pool that reserves memory: the bound is for what the file takes."""

_FOLDER = Path(__file__).resolve().parents[3]


@ready
class Preview(msgspec.Struct, frozen=True):
    """Lines of a file. last: empty when `first` holds the whole file; total: records, None when not known."""

    first: list[str]
    last: list[str]
    total: int | None


class TooLarge(Exception):
    """The file takes more memory or time than it may."""


class Undecodable(Exception):
    """The file is not what its name says; the text is the library's."""


def decode_apart(format_name: str, content: bytes, *, memory_bytes: int) -> Preview:
    """Decodes `content` in a process of its own. format_name: of DECODERS. Raises TooLarge, Undecodable."""
    command = [sys.executable, "-m", __name__, format_name, str(memory_bytes)]
    try:
        done = subprocess.run(
            command,
            input=content,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            cwd=_FOLDER,
            env={name: os.environ[name] for name in PASSED_ON if name in os.environ} | ENVIRONMENT,
        )
    except subprocess.TimeoutExpired as error:
        raise TooLarge from error
    if done.returncode == 0:
        return msgspec.json.decode(done.stdout, type=Preview)
    if done.returncode == _UNDECODABLE:
        raise Undecodable(shortened(done.stderr.decode(errors="replace").strip().rpartition("\n")[2], _MAX_REASON))
    raise TooLarge  # out of memory, whichever library noticed it


def main() -> None:
    """Exits with Python's 1, and the reason in the last line of standard error, when the file can't be decoded."""
    format_name, memory_bytes = sys.argv[1], int(sys.argv[2])
    bound = _OWN_BYTES + memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        found = DECODERS[format_name](sys.stdin.buffer.read())
    except MemoryError:
        sys.exit(_NO_MEMORY)
    sys.stdout.buffer.write(msgspec.json.encode(found))


def _parquet(content: bytes) -> Preview:
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(io.BytesIO(content))
    about = file.metadata
    if about.num_rows <= 2 * LINES:
        return Preview(_rows(file.read(use_threads=False).to_pylist()), [], about.num_rows)
    first = file.read_row_group(0, use_threads=False)
    last = first if about.num_row_groups < 2 else file.read_row_group(about.num_row_groups - 1, use_threads=False)
    return Preview(
        _rows(first.slice(0, LINES).to_pylist()),
        _rows(last.slice(max(0, len(last) - LINES)).to_pylist()),
        about.num_rows,
    )


def _avro(content: bytes) -> Preview:
    import fastavro

    rows = iter(fastavro.reader(io.BytesIO(content)))
    first = list(islice(rows, LINES))
    last: deque[Any] = deque(maxlen=LINES)
    total = len(first)
    for row in rows:
        last.append(row)
        total += 1
    return Preview(_rows(first), _rows(last), total)


def _rows(rows: Iterable[Any]) -> list[str]:
    return [", ".join(f"{name}: {value}" for name, value in row.items())[:MOST_SHOWN] for row in rows]


DECODERS: dict[str, Callable[[bytes], Preview]] = {"parquet": _parquet, "avro": _avro}

if __name__ == "__main__":
    main()
