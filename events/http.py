"""What both doors need of HTTP: a request's body, its fields, its headers, read from a WSGI environ. No Django here."""

import re
import zlib
from binascii import a2b_qp
from typing import Any

Environ = dict[str, Any]
"""A WSGI environ (PEP 3333)."""

MAX_QUERY_FIELDS = 1000

MAX_GZIP_MEMBERS = 100
"""Each costs a copy of all that comes after it."""

_ESCAPES = re.compile("(?:%[0-9a-fA-F]{2})+")
_ZLIB_GZIP = 16 + zlib.MAX_WBITS
BAD_REQUEST = "The request can't be understood."


class Refused(Exception):
    """A request that can't be used as a whole: HTTP status, and the reason for the caller."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def query(environ: Environ) -> dict[str, str | list[str]]:
    """The fields of the query string; one that is given several times is a list. Raises Refused."""
    text = environ.get("QUERY_STRING", "")
    if not text.isascii():
        text = _utf8(text)
    parts = text.split("&")
    if len(parts) > MAX_QUERY_FIELDS:
        raise Refused(400, BAD_REQUEST)
    # As urllib's parse_qsl does it, in a quarter of its time.
    fields: dict[str, str | list[str]] = {}
    for part in parts:
        if not part:
            continue
        name, _, value = part.partition("=")
        if "%" in value or "+" in value:
            value = _decoded(value)
        if "%" in name or "+" in name:
            name = _decoded(name)
        if name in fields:
            given = fields[name]
            fields[name] = [*given, value] if isinstance(given, list) else [given, value]
        else:
            fields[name] = value
    return fields


def user_agent(environ: Environ) -> str:
    """The User-Agent as it was meant: WSGI hands headers over as latin-1, browsers send ASCII or UTF-8."""
    header: str = environ.get("HTTP_USER_AGENT", "")
    if header.isascii():
        return header
    return header.encode("latin-1", "replace").decode("utf-8", "replace")


def media_type(environ: Environ) -> str:
    """The Content-Type without its parameters, in lower case."""
    content_type: str = environ.get("CONTENT_TYPE", "")
    return content_type.partition(";")[0].strip().lower()


def body(environ: Environ, limit: int) -> bytes:
    """The body as it was sent. Raises Refused when it is larger than `limit` bytes, or does not come to its end."""
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
    # Without a length a body ends where the stream does, on servers that say so (it came in chunks).
    data = _read(environ["wsgi.input"], limit + 1) if environ.get("wsgi.input_terminated") else b""
    if len(data) > limit:
        raise Refused(413, f"The body is too large; at most {limit} bytes are accepted.")
    return data


def plain_body(environ: Environ, limit: int) -> bytes:
    """The body without its Content-Encoding. Raises Refused; `limit` (bytes) holds before and after inflating."""
    encoding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding in ("", "identity"):
        return body(environ, limit)
    if encoding != "gzip":
        raise Refused(415, "The Content-Encoding must be gzip, or none.")
    return _inflate(body(environ, limit), limit)


def _utf8(header: str) -> str:
    """What a server hands over as latin-1, as it was meant."""
    raw = header.encode("latin-1", "replace")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _decoded(text: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    if "%" not in text:
        return text
    # Quoted-printable is the same with another sign, and is decoded in C: in a fifth of the time. What it does not
    # take for an escape keeps its sign, but for the last one.
    if text.isascii() and text.isprintable() and "=" not in text and text[-1:] != "%":
        raw = a2b_qp(text.replace("%", "="))
        if b"=" not in raw:
            return raw.decode("utf-8", "replace")
    return _ESCAPES.sub(_unescaped, text)


def _unescaped(escapes: re.Match[str]) -> str:
    return bytes.fromhex(escapes[0].replace("%", "")).decode("utf-8", "replace")


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
