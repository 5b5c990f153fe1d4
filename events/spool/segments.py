"""The files of a spool: their names, and how records are packed into the bytes of a segment."""

import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

PRIVATE = 0o600
"""The mode of the files: events may hold personal data."""

LOCK = "lock"
CURSOR = "cursor"

Position = tuple[int, int]
"""The number of a segment, and how many bytes from its beginning."""

_HEADER = struct.Struct("<II")  # length and CRC-32 of the record that follows


def segment_path(folder: Path, number: int) -> Path:
    """The file of a segment."""
    return folder / f"{number:08d}.log"


def segment_numbers(folder: Path) -> list[int]:
    """The numbers of the segments that a folder holds, in no order."""
    numbers = {path: int(path.stem) for path in folder.glob("*.log") if path.stem.isdecimal()}
    return [number for path, number in numbers.items() if path == segment_path(folder, number)]


def own_files(folder: Path) -> list[Path]:
    """The files of the spool that a folder holds, the lock last. Other files in the folder are not the spool's."""
    segments = [segment_path(folder, number) for number in segment_numbers(folder)]
    others = [folder / name for name in (CURSOR, f".{CURSOR}", LOCK)]
    return [*segments, *(path for path in others if os.path.lexists(path))]


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
