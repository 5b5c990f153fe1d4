"""Writes to spools and reads them."""

from events.spool.log import Spool
from events.spool.reader import SpoolReader

MEGABYTE = 2**20


def fill(spool: Spool, count: int, first: int = 0) -> list[bytes]:
    payloads = [b"%d-" % number + b"x" * (number % 50) for number in range(first, first + count)]
    for payload in payloads:
        spool.append([payload])
    return payloads


def read_all(reader: SpoolReader, records: int = 7) -> list[bytes]:
    found: list[bytes] = []
    while payloads := reader.read(records, 1000):
        found += payloads
    return found


def own_reader(spool: Spool) -> SpoolReader:
    return SpoolReader(spool.folder, lambda: spool.end)
