"""Bytes for people: keys, values and headers as JSON, text or a hex dump, cut where they are long."""

from dataclasses import dataclass
from typing import Literal

import msgspec

_HEX_ROW = 16


@dataclass(frozen=True)
class Payload:
    """kind: "null" for no value at all; size: in bytes, of the whole; text: what is shown of it; is_cut: not all."""

    kind: Literal["null", "empty", "json", "text", "binary"]
    size: int
    text: str
    is_cut: bool


def one_line(value: bytes | None, *, limit: int) -> Payload:
    """The beginning of a value in one line of at most `limit` characters."""
    found = payload(value, limit=limit, pretty=False)
    return Payload(found.kind, found.size, " ".join(found.text.split()), found.is_cut)


def payload(value: bytes | None, *, limit: int, pretty: bool = True) -> Payload:
    """A value of at most `limit` bytes, JSON indented."""
    if value is None:
        return Payload("null", 0, "", False)
    if not value:
        return Payload("empty", 0, "", False)
    size, is_cut = len(value), len(value) > limit
    shown = value[:limit]
    try:
        text = shown.decode()
    except UnicodeDecodeError as error:
        if not is_cut or error.start < limit - 4:  # else a character was cut in two
            return Payload("binary", size, _hex(shown) if pretty else shown[: limit // 3].hex(" "), is_cut)
        text = shown[: error.start].decode()
    if not is_cut and text.lstrip()[:1] in ("{", "["):
        try:
            return Payload("json", size, msgspec.json.format(text, indent=2) if pretty else text, False)
        except (msgspec.DecodeError, RecursionError):
            pass  # text that begins like JSON, or JSON too deep to be indented
    return Payload("text", size, text, is_cut)


def _hex(value: bytes) -> str:
    """A hex dump: place, bytes, and what of them is printable ASCII."""
    rows = []
    for begin in range(0, len(value), _HEX_ROW):
        row = value[begin : begin + _HEX_ROW]
        printable = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in row)
        rows.append(f"{begin:08x}  {row.hex(' '):<{3 * _HEX_ROW}} {printable}")
    return "\n".join(rows)
