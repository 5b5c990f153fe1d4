"""Reads a request from a WSGI environ: its query, its headers, its body. Both doors use it. No Django here."""

import zlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

Environ = dict[str, Any]
"""A WSGI environ (PEP 3333)."""

MAX_QUERY_FIELDS = 1000

MAX_GZIP_MEMBERS = 100
"""A gzip body may be several of them in a row. For each, all bytes behind it are copied once more."""

_ZLIB_GZIP = 16 + zlib.MAX_WBITS
BAD_REQUEST = "The request can't be understood."


@dataclass(eq=False)
class Refused(Exception):
    """The request can't be used at all. status: of the HTTP answer; detail: the reason, for the caller."""

    status: int
    detail: str


def query(environ: Environ) -> dict[str, str | list[str]]:
    """The fields of the query string. A field that is given several times has a list of its values. Raises Refused."""
    text = environ.get("QUERY_STRING", "")
    if not text.isascii():
        text = _utf8(text)
    parts = text.split("&")
    if len(parts) > MAX_QUERY_FIELDS:
        raise Refused(400, BAD_REQUEST)
    # The result is that of urllib's parse_qs, in a quarter of its time.
    fields: dict[str, str | list[str]] = {}
    for part in parts:
        if not part:
            continue
        name, _, value = part.partition("=")
        if "%" in value or "+" in value:
            value = unquote_plus(value)
        if "%" in name or "+" in name:
            name = unquote_plus(name)
        if name in fields:
            given = fields[name]
            fields[name] = [*given, value] if isinstance(given, list) else [given, value]
        else:
            fields[name] = value
    return fields


def user_agent(environ: Environ) -> str:
    """The User-Agent. WSGI decodes headers as latin-1, but browsers send ASCII or UTF-8."""
    header: str = environ.get("HTTP_USER_AGENT", "")
    if header.isascii():
        return header
    return header.encode("latin-1", "replace").decode("utf-8", "replace")


def media_type(environ: Environ) -> str:
    """The Content-Type without its parameters, in lower case."""
    content_type: str = environ.get("CONTENT_TYPE", "")
    return content_type.partition(";")[0].strip().lower()


def body(environ: Environ, limit: int) -> bytes:
    """The body as it was sent. Raises Refused when it has more than `limit` bytes, or fewer than it declares."""
    declared = environ.get("CONTENT_LENGTH") or ""
    if declared and not (declared.isascii() and declared.isdigit()):
        raise Refused(400, "Content-Length is not a number.")
    length = int(declared[:20] or 0)
    if length > limit:
        raise Refused(413, f"The body has {length} bytes; at most {limit} are accepted.")
    if declared:
        data = _read(environ["wsgi.input"], length)
        if len(data) < length:
            raise Refused(400, f"The body ended after {len(data)} of {length} bytes.")
        return data
    # A body that is sent in chunks has no length. It ends where the stream ends, if the server says that this is safe.
    data = _read(environ["wsgi.input"], limit + 1) if environ.get("wsgi.input_terminated") else b""
    if len(data) > limit:
        raise Refused(413, f"The body is too large; at most {limit} bytes are accepted.")
    return data


def plain_body(environ: Environ, limit: int) -> bytes:
    """The body, inflated if it is gzip. Raises Refused; `limit` (bytes) holds before and after inflating."""
    encoding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding in ("", "identity"):
        return body(environ, limit)
    if encoding != "gzip":
        raise Refused(415, "The Content-Encoding must be gzip, or none.")
    return _inflate(body(environ, limit), limit)


def _utf8(text: str) -> str:
    """Text that the server decoded as latin-1: decoded as UTF-8 instead, where its bytes are UTF-8."""
    raw = text.encode("latin-1", "replace")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _read(stream: Any, size: int) -> bytes:
    data: bytes = b""
    try:
        while len(data) < size and (more := stream.read(size - len(data))):
            data = data + more if data else more
    except OSError as error:
        raise Refused(400, "The body could not be read to its end.") from error
    return data


def _inflate(data: bytes, limit: int) -> bytes:
    inflated = b""
    members = 0
    while data:
        members += 1
        if members > MAX_GZIP_MEMBERS:
            raise Refused(400, f"The gzip body has more than {MAX_GZIP_MEMBERS} members.")
        member = zlib.decompressobj(_ZLIB_GZIP)
        try:
            inflated += member.decompress(data, limit + 1 - len(inflated))
        except zlib.error:
            raise Refused(400, "The body is not gzip.") from None
        if len(inflated) > limit:
            raise Refused(413, f"The body is too large when inflated; at most {limit} bytes are accepted.")
        if not member.eof:
            raise Refused(400, "The gzip body ends too early.")
        data = member.unused_data
    return inflated
