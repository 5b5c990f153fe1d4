"""The first and last records of a file, from a bounded number of its bytes."""

import io
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from sinks.hdfs.client import HdfsBrowser

LINES = 20
"""Of the beginning, and of the end."""

_GROWTH = 4
"""A compressed file is given up on when it holds more than so many times what may be read of it."""


class NoPreview(Exception):
    """The file can't be shown; the text says why."""


@dataclass(frozen=True)
class Preview:
    """Lines of a file. last: empty when `first` holds the whole file; total: records, None when not known."""

    first: list[str]
    last: list[str]
    total: int | None


def preview(browser: HdfsBrowser, path: str, size: int, *, text_bytes: int, decoded_bytes: int) -> Preview:
    """Reads up to `text_bytes` at both ends of a text file; other files whole when they have up to `decoded_bytes`.

    size: of the file. Raises NoPreview, and what the browser raises.
    """
    decode = next((decode for suffix, decode in _DECODERS.items() if path.endswith(suffix)), None)
    if decode is None:
        return _text(browser, path, size, text_bytes)
    if size > decoded_bytes:
        raise NoPreview(
            _("The file has {size}; files of its format are shown up to {bound}.").format(
                size=filesizeformat(size), bound=filesizeformat(decoded_bytes)
            )
        )
    content = browser.part(path, 0, size)
    try:
        return decode(content, _GROWTH * decoded_bytes)
    except NoPreview:
        raise
    except Exception as error:
        raise NoPreview(_("The file can’t be decoded: {error}").format(error=error)) from error


def _text(browser: HdfsBrowser, path: str, size: int, limit: int) -> Preview:
    if size <= 2 * limit:
        return _of_lines(browser.part(path, 0, size).splitlines())
    # A line that is cut at the border is left out, unless it is the only one.
    first = _lines(browser.part(path, 0, limit))
    last = _lines(browser.part(path, size - limit, limit))
    return Preview(_shown((first[:-1] or first)[:LINES]), _shown((last[1:] or last)[-LINES:]), None)


def _lines(content: bytes) -> list[bytes]:
    return content.split(b"\n") if not content.endswith(b"\n") else content[:-1].split(b"\n")


def _of_lines(lines: list[bytes]) -> Preview:
    if len(lines) <= 2 * LINES:
        return Preview(_shown(lines), [], len(lines))
    return Preview(_shown(lines[:LINES]), _shown(lines[-LINES:]), len(lines))


def _shown(lines: Iterable[bytes]) -> list[str]:
    return [line.decode(errors="backslashreplace") for line in lines]


def _compressed(codec: str) -> Callable[[bytes, int], Preview]:
    def decode(content: bytes, limit: int) -> Preview:
        import cramjam

        output = bytearray(limit)
        try:
            written = getattr(cramjam, codec).decompress_into(content, output)
        except cramjam.DecompressionError as error:
            if "buffer" in str(error) or "whole" in str(error):
                raise NoPreview(_("The file holds more than {size}.").format(size=filesizeformat(limit))) from error
            raise
        return _of_lines(bytes(output[:written]).splitlines())

    return decode


def _parquet(content: bytes, limit: int) -> Preview:
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(io.BytesIO(content))
    about = file.metadata
    if sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups)) > limit:
        raise NoPreview(_("The file holds more than {size}.").format(size=filesizeformat(limit)))
    first = file.schema_arrow.empty_table() if not about.num_row_groups else file.read_row_group(0)
    last = first if about.num_row_groups < 2 else file.read_row_group(about.num_row_groups - 1)
    if about.num_rows <= 2 * LINES:
        return Preview(_rows(file.read().to_pylist()), [], about.num_rows)
    return Preview(
        _rows(first.slice(0, LINES).to_pylist()),
        _rows(last.slice(max(0, len(last) - LINES)).to_pylist()),
        about.num_rows,
    )


def _avro(content: bytes, _limit: int) -> Preview:
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
    return [", ".join(f"{name}: {value}" for name, value in row.items()) for row in rows]


_DECODERS: dict[str, Callable[[bytes, int], Preview]] = {
    ".gz": _compressed("gzip"),
    ".zst": _compressed("zstd"),
    ".sz": _compressed("snappy"),
    ".parquet": _parquet,
    ".avro": _avro,
}
