"""The files that hold the records: how a segment is named, and how its records are packed into bytes."""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

PRIVATE = 0o600
"""The mode of the files: events may hold personal data."""

Position = tuple[int, int]
"""The number of a segment, and how many bytes from its beginning."""

_HEADER = struct.Struct("<II")  # length and CRC-32 of the record that follows


def segment_path(folder: Path, number: int) -> Path:
    """The file of a segment."""
    return folder / f"{number:08d}.log"


def segment_numbers(folder: Path) -> list[int]:
    """The numbers of the segments that a folder holds, in no order."""
    return [int(path.stem) for path in folder.glob("*.log")]


def pack(records: Sequence[bytes]) -> bytes:
    """Records as they are written to a segment."""
    return b"".join(part for record in records for part in (_HEADER.pack(len(record), zlib.crc32(record)), record))


def unpack(data: bytes, max_records: int) -> tuple[list[bytes], int]:
    """The complete and undamaged records at the beginning of `data`, and how many bytes they take."""
    records: list[bytes] = []
    position = 0
    while len(records) < max_records and position + _HEADER.size <= len(data):
        length, checksum = _HEADER.unpack_from(data, position)
        start = position + _HEADER.size
        record = data[start : start + length]
        # A length of 0 is no record: the machine died before the disk had written this part, and left zeros.
        if not length or len(record) < length or zlib.crc32(record) != checksum:
            break
        records.append(record)
        position = start + length
    return records, position
