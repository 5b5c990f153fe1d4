"""The first and last lines of files that are decoded in the website itself, in a bounded memory."""

import gzip
import tracemalloc
from typing import Any

import cramjam
import pytest
from django.utils import translation

from pipeline.console.files.decode import LINES, MOST_SHOWN, Preview
from pipeline.console.files.preview import NoPreview, preview


class _File:
    """A browser of one file."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def part(self, _path: str, begin: int, length: int) -> bytes:
        return self._content[begin : begin + length]


def shown(path: str, content: bytes, *, text_bytes: int = 1024, decoded_bytes: int = 1024**2) -> Preview:
    browser: Any = _File(content)
    return preview(browser, path, len(content), text_bytes=text_bytes, decoded_bytes=decoded_bytes)


def lines(begin: int, end: int) -> list[str]:
    return [f"line {number}" for number in range(begin, end)]


@pytest.mark.parametrize("ending", ["", "\n"])
@pytest.mark.parametrize("count", [1, 2 * LINES, 2 * LINES + 1, 1000])
@pytest.mark.parametrize("codec", ["gzip", "zstd", "snappy", ""])
def test_both_ends_of_files_of_any_length(codec: str, count: int, ending: str) -> None:
    content = ("\n".join(lines(0, count)) + ending).encode()
    name = {"gzip": "a.gz", "zstd": "a.zst", "snappy": "a.sz", "": "a.log"}[codec]
    packed = bytes(getattr(cramjam, codec).compress(content)) if codec else content
    found = shown(name, packed, text_bytes=8 * 1024)
    if count <= 2 * LINES:
        assert found == Preview(lines(0, count), [], count)
    else:
        assert found == Preview(lines(0, LINES), lines(count - LINES, count), count)


def test_lines_may_be_empty_long_and_no_text() -> None:
    assert shown("a.gz", gzip.compress(b"")) == Preview([], [], 0)
    assert shown("a.log", b"\n\na\r\n\xff\n") == Preview(["", "", "a", "\\xff"], [], 4)
    assert shown("a.gz", gzip.compress(b"a" * (MOST_SHOWN + 5))) == Preview(["a" * MOST_SHOWN], [], 1)


def test_lines_cut_at_a_border_are_left_out() -> None:
    content = "\n".join(lines(0, 1000)).encode()
    assert shown("a.log", content, text_bytes=30) == Preview(lines(0, 4), lines(997, 1000), None)
    assert shown("a.log", b"a" * 100, text_bytes=30) == Preview(["a" * 30], ["a" * 30], None)


def test_tiny_lines_take_no_more_memory_than_the_bound_of_what_is_decoded() -> None:
    bound = 1024**2
    packed = gzip.compress(b"a\n" * (2 * bound - 10))
    tracemalloc.start()
    try:
        found = shown("a.gz", packed, decoded_bytes=bound)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == Preview(["a"] * LINES, ["a"] * LINES, 2 * bound - 10)
    assert peak < 4 * bound + 1024**2
    with translation.override("en"), pytest.raises(NoPreview, match="holds more than"):
        shown("a.gz", gzip.compress(b"a\n" * (3 * bound)), decoded_bytes=bound)
