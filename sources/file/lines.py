"""Makes records of lines."""

from base64 import b64encode
from collections.abc import Sequence
from itertools import accumulate

import msgspec

from kafka_client.producer import Headers, Record
from sources.file.config import FileTarget
from sources.file.paths import printable

_encode = msgspec.json.Encoder().encode


class Lines:
    """Makes records of the lines of files, as a target says."""

    def __init__(self, target: FileTarget) -> None:
        self._topic = target.topic
        self._key = target.key
        self._format = target.format
        self._has_headers = target.headers
        self._encoding = target.encoding
        is_utf_8 = target.encoding.lower().replace("_", "-") in ("utf-8", "utf8")
        self._is_as_is = target.format == "line" and is_utf_8
        self._is_plain = self._is_as_is and not target.headers

    def records(self, lines: Sequence[bytes], path: str, offset: int) -> list[Record]:
        """A record for each line. lines: without the byte 0A at their ends, from this place of the file on."""
        key = self._key_of(path)
        if self._is_plain:
            topic = self._topic
            return [Record(topic, _without_return(line), None, key) for line in lines]
        offsets = accumulate((len(line) + 1 for line in lines), initial=offset)
        return [self._record(_without_return(line), path, at, key) for line, at in zip(lines, offsets, strict=False)]

    def _key_of(self, path: str) -> bytes | None:
        if not self._key:
            return None
        return (path if self._key == "path" else path.rpartition("/")[2]).encode(errors="surrogateescape")

    def _record(self, line: bytes, path: str, offset: int, key: bytes | None) -> Record:
        headers: Headers | None = None
        if self._has_headers:
            headers = [("file.path", path.encode(errors="surrogateescape")), ("file.offset", b"%d" % offset)]
        if self._is_as_is:
            return Record(self._topic, line, headers, key)
        text: str | None
        try:
            text = line.decode(self._encoding)
        except UnicodeDecodeError:
            text = None
        if self._format == "json":
            return Record(self._topic, self._object(line, text, path, offset), headers, key)
        return Record(self._topic, line if text is None else text.encode(errors="surrogatepass"), headers, key)

    def _object(self, line: bytes, text: str | None, path: str, offset: int) -> bytes:
        made = {"line": text, "path": printable(path), "offset": offset}
        if text is None:
            made["line"] = line.decode(self._encoding, errors="replace")
            made["bytes"] = b64encode(line).decode()
        return _encode(made)


def _without_return(line: bytes) -> bytes:
    return line[:-1] if line.endswith(b"\r") else line
