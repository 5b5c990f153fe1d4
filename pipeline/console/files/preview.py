"""The first and last records of a file, from a bounded number of its bytes."""

from collections.abc import Callable

from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from pipeline.console.files.decode import LINES, MOST_SHOWN, Preview, TooLarge, decode_apart
from sinks.files.store import FileBrowser

_GROWTH = 4
"""A compressed file is given up on when it holds more than so many times what may be read of it."""


class NoPreview(Exception):
    """The file can't be shown; the text says why."""


def preview(browser: FileBrowser, path: str, size: int, *, text_bytes: int, decoded_bytes: int) -> Preview:
    """Reads up to `text_bytes` at both ends of a text file; other files whole when they have up to `decoded_bytes`.

    size: of the file. Raises NoPreview, and what the browser raises.
    """
    decode = next((decode for suffix, decode in _DECODERS.items() if path.endswith(suffix)), None)
    if decode is None:
        return _text(browser, path, size, text_bytes)
    if size > decoded_bytes:
        text = _("The file has {size}; files of its format are shown up to {bound}.")
        raise NoPreview(text.format(size=filesizeformat(size), bound=filesizeformat(decoded_bytes)))
    content, limit = browser.part(path, 0, size), _GROWTH * decoded_bytes
    try:
        return decode(content, limit)
    except TooLarge as error:
        raise NoPreview(_("The file holds more than {size}.").format(size=filesizeformat(limit))) from error
    except Exception as error:
        raise NoPreview(_("The file can’t be decoded: {error}").format(error=error)) from error


def _text(browser: FileBrowser, path: str, size: int, limit: int) -> Preview:
    if size <= 2 * limit:
        return _of_lines(browser.part(path, 0, size))
    # A line that is cut at the border is left out, unless it is the only one.
    first = _first(browser.part(path, 0, limit), LINES + 1)
    last = _last(browser.part(path, size - limit, limit), LINES + 1)
    return Preview((first[:-1] or first)[:LINES], last[1:] or last, None)


def _of_lines(content: bytes | bytearray) -> Preview:
    """Takes no copy of the content: it may have as many lines as bytes."""
    total = content.count(b"\n") + (not content.endswith(b"\n") and len(content) > 0)
    if total <= 2 * LINES:
        return Preview(_first(content, total), [], total)
    return Preview(_first(content, LINES), _last(content, LINES), total)


def _first(content: bytes | bytearray, count: int) -> list[str]:
    """Up to so many lines of the beginning."""
    lines: list[str] = []
    begin = 0
    while begin < len(content) and len(lines) < count:
        end = content.find(b"\n", begin)
        end = len(content) if end < 0 else end
        lines.append(_shown(content, begin, end))
        begin = end + 1
    return lines


def _last(content: bytes | bytearray, count: int) -> list[str]:
    """Up to so many lines of the end, in their order."""
    lines: list[str] = []
    end = len(content) - content.endswith(b"\n")
    while end >= 0 and len(lines) < count:
        begin = content.rfind(b"\n", 0, end) + 1
        lines.append(_shown(content, begin, end))
        end = begin - 1
    return lines[::-1]


def _shown(content: bytes | bytearray, begin: int, end: int) -> str:
    """The line between two places; of a long one its beginning."""
    line = content[begin : min(end, begin + MOST_SHOWN)]
    return line.removesuffix(b"\r").decode(errors="backslashreplace")


def _compressed(codec: str) -> Callable[[bytes, int], Preview]:
    def decode(content: bytes, limit: int) -> Preview:
        import cramjam

        output = bytearray(limit)
        try:
            written = getattr(cramjam, codec).decompress_into(content, output)
        except cramjam.DecompressionError as error:
            if "buffer" in str(error) or "whole" in str(error):
                raise TooLarge from error
            raise
        del output[written:]
        return _of_lines(output)

    return decode


def _apart(format_name: str) -> Callable[[bytes, int], Preview]:
    return lambda content, limit: decode_apart(format_name, content, memory_bytes=limit)


_DECODERS: dict[str, Callable[[bytes, int], Preview]] = {
    ".gz": _compressed("gzip"),
    ".zst": _compressed("zstd"),
    ".sz": _compressed("snappy"),
    ".parquet": _apart("parquet"),
    ".avro": _apart("avro"),
}
