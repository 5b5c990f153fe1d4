"""File formats: how the records of a batch become the bytes of a file, and back, and how files become one."""

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from events.event import EVENT_TYPES, Event, field_types, parse_timestamp
from sinks.files.store import Chunks, Content

_LINES = msgspec.json.Decoder(dict[str, Any])

_MERGED_BYTES = 16 * 1024 * 1024
"""Bytes, before compression, that a merge holds at a time; a row group of Parquet has four times as many."""


class Tally:
    """What files hold, to compare a merged file with its originals.

    records: how many; content: a hash of all lines, where the format has lines.
    """

    def __init__(self) -> None:
        self.records = 0
        self._content = hashlib.blake2b()

    def add(self, records: int, lines: bytes = b"") -> None:
        """Counts further records."""
        self.records += records
        self._content.update(lines)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tally):
            return False
        return (self.records, self._content.digest()) == (other.records, other._content.digest())


class Format(Protocol):
    """A format of files.

    extension: of file names, without a dot; columns: the fields that are columns of its files, empty for a format
    without columns; nothing: a file without records that becomes a larger one when files of the format are appended to
    it, None where such a file can't be read.
    """

    extension: str
    columns: tuple[str, ...] = ()
    nothing: bytes | None = None

    def encode(self, lines: Sequence[bytes]) -> Content:
        """lines: texts of one or more lines, each of them a JSON object; returns the content of a file."""

    def decode(self, data: bytes) -> list[dict[str, Any]]:
        """The objects of a file, in order."""

    def merge(self, files: Iterable[bytes]) -> Iterator[bytes]:
        """Makes one file of several, in order: its content in pieces, each of which is a file of the format as well.

        Raises ValueError when the files have different schemas.
        """

    def tally(self, data: bytes, into: Tally) -> None:
        """Counts what a file holds."""


def as_line(value: bytes) -> bytes:
    """A JSON text with a line's end; one that spans lines is written anew."""
    # Some readers take a carriage return for a line's end, too.
    return (msgspec.json.format(value, indent=-1) if b"\n" in value or b"\r" in value else value) + b"\n"


class JsonLines(Format):
    """JSON lines."""

    extension = "log"
    nothing = b""

    def encode(self, lines: Sequence[bytes]) -> Content:
        return Chunks(lines)

    def decode(self, data: bytes) -> list[dict[str, Any]]:
        return _LINES.decode_lines(self.plain(data))

    def merge(self, files: Iterable[bytes]) -> Iterator[bytes]:
        """The same lines in fewer parts."""
        held = bytearray()
        for lines in map(self.plain, files):
            held += lines
            if len(held) >= _MERGED_BYTES:
                yield bytes(held)
                held.clear()
        if held:
            yield bytes(held)

    def tally(self, data: bytes, into: Tally) -> None:
        lines = self.plain(data)
        into.add(lines.count(b"\n"), lines)

    def plain(self, data: bytes) -> bytes:
        """The lines of a file."""
        return data


class CompressedJsonLines(JsonLines):
    """JSON lines, compressed as a whole. codec: compresses and decompresses."""

    def __init__(self, extension: str, codec: Any) -> None:
        self.extension = extension
        self.nothing = bytes(codec.compress(b""))
        self._codec = codec

    def encode(self, lines: Sequence[bytes]) -> Content:
        return bytes(self._codec.compress(b"".join(lines)))

    def merge(self, files: Iterable[bytes]) -> Iterator[bytes]:
        """The same lines, compressed many together."""
        return (bytes(self._codec.compress(lines)) for lines in super().merge(files))

    def plain(self, data: bytes) -> bytes:
        return bytes(self._codec.decompress(data))


class Parquet(Format):
    """Apache Parquet with a column for each field of the event; its timestamp is a time (milliseconds, UTC)."""

    extension = "parquet"

    def __init__(self, event_type: type[Event]) -> None:
        import pyarrow  # here, for it takes 80 MB that other formats do not need
        import pyarrow.parquet

        self._arrow = pyarrow
        self._decoder = msgspec.json.Decoder(event_type)
        self.columns = event_type.__struct_fields__
        types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
        columns = {name: types[kind] for name, kind in field_types(event_type).items()}
        self._schema = pyarrow.schema({**columns, "timestamp": pyarrow.timestamp("ms", tz="UTC")})

    def encode(self, lines: Sequence[bytes]) -> Content:
        """One row group, compressed with zstd."""
        events = [event for text in lines for event in self._decoder.decode_lines(text)]
        columns = {name: [_typed(name, getattr(event, name)) for event in events] for name in self.columns}
        sink = io.BytesIO()
        table = self._arrow.table(columns, schema=self._schema)
        self._arrow.parquet.write_table(table, sink, compression="zstd")
        return sink.getvalue()

    def decode(self, data: bytes) -> list[dict[str, Any]]:
        return list(self._arrow.parquet.read_table(io.BytesIO(data)).to_pylist())

    def merge(self, files: Iterable[bytes]) -> Iterator[bytes]:
        """Few large row groups, in one piece."""
        sink = io.BytesIO()
        tables = (self._arrow.parquet.read_table(io.BytesIO(data)) for data in files)
        first = next(tables)
        with self._arrow.parquet.ParquetWriter(sink, first.schema, compression="zstd") as writer:
            group = [first]
            for table in tables:
                if not table.schema.equals(first.schema):
                    raise ValueError("the schema of the files has changed")
                if sum(part.nbytes for part in group) >= 4 * _MERGED_BYTES:
                    writer.write_table(self._arrow.concat_tables(group))
                    group = []
                group.append(table)
            writer.write_table(self._arrow.concat_tables(group))
        yield sink.getvalue()

    def tally(self, data: bytes, into: Tally) -> None:
        into.add(self._arrow.parquet.read_metadata(io.BytesIO(data)).num_rows)


class Avro(Format):
    """An Avro object container file; the event's timestamp is a timestamp-millis."""

    extension = "avro"

    def __init__(self, event_type: type[Event], name: str) -> None:
        import fastavro

        self._fastavro = fastavro
        self._decoder = msgspec.json.Decoder(event_type)
        self.columns = event_type.__struct_fields__
        types = {str: "string", int: "long", float: "double", bool: "boolean"}
        fields: dict[str, Any] = {field: types[kind] for field, kind in field_types(event_type).items()}
        fields["timestamp"] = {"type": "long", "logicalType": "timestamp-millis"}
        columns = [{"name": field, "type": kind} for field, kind in fields.items()]
        schema = {"type": "record", "name": name.replace("-", "_"), "fields": columns}
        self._schema: Any = fastavro.parse_schema(schema)

    def encode(self, lines: Sequence[bytes]) -> Content:
        """Blocks compressed with deflate, which every Avro reader knows."""
        sink = io.BytesIO()
        events = (event for text in lines for event in self._decoder.decode_lines(text))
        rows = ({name: _typed(name, getattr(event, name)) for name in self.columns} for event in events)
        self._fastavro.writer(sink, self._schema, rows, codec="deflate")
        return sink.getvalue()

    def decode(self, data: bytes) -> list[dict[str, Any]]:
        return list(self._read(data))

    def merge(self, files: Iterable[bytes]) -> Iterator[bytes]:
        """Blocks of the usual size, in one piece."""
        sink = io.BytesIO()
        self._fastavro.writer(sink, self._schema, self._rows(files), codec="deflate")
        yield sink.getvalue()

    def tally(self, data: bytes, into: Tally) -> None:
        into.add(sum(block.num_records for block in self._fastavro.block_reader(io.BytesIO(data))))

    def _read(self, data: bytes) -> Any:
        return self._fastavro.reader(io.BytesIO(data))

    def _rows(self, files: Iterable[bytes]) -> Iterator[Any]:
        for rows in map(self._read, files):
            if rows.writer_schema["fields"] != self._schema["fields"]:
                raise ValueError("the schema of the files has changed")
            yield from rows


def make_format(name: str, event: str) -> Format:
    """The format of that name for a kind of event.

    Raises ValueError for an unknown one, and for one that needs a schema where the kind of event has none.
    """
    if name not in FORMATS:
        raise ValueError(f"format is {name!r}; it must be one of {', '.join(FORMATS)}")
    if name == "json":
        return JsonLines()
    if name in ("gzip", "zstd", "snappy"):
        import cramjam

        return CompressedJsonLines(FORMATS[name], getattr(cramjam, name))
    if event not in EVENT_TYPES:
        raise ValueError(f"format {name} needs a kind of event with known fields, which {event} is not")
    return Parquet(EVENT_TYPES[event]) if name == "parquet" else Avro(EVENT_TYPES[event], event)


FORMATS = {"json": "log", "gzip": "log.gz", "zstd": "log.zst", "snappy": "log.sz", "parquet": "parquet", "avro": "avro"}
"""The extension of each format's files; gzip, zstd and snappy (framed) are JSON lines, compressed."""

EXTENSIONS = {extension: name for name, extension in FORMATS.items()}
"""The name of each extension's format."""


def _typed(name: str, value: str) -> datetime | str:
    return parse_timestamp(value).astimezone(UTC) if name == "timestamp" else value
