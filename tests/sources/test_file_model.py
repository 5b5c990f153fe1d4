"""Random schedules: writers, rotation in all its ways, and a source that is killed at any moment."""

import gzip
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.sources.files import FileSource


class Writer:
    """A program that writes numbered lines to a log, and the tool that rotates the log, step by step."""

    def __init__(self, folder: Path, name: str, chance: random.Random, *, header: bytes = b"") -> None:
        self.path = folder / name
        self.chance = chance
        self.header = header
        self.written: list[bytes] = []
        self.file = self.open()
        self.half = b""
        self.steps: list[str] = []
        self.number = 0
        self.is_fresh = True

    def open(self):
        return self.path.open("ab", buffering=0)

    def begin(self) -> None:
        if self.is_fresh:
            self.is_fresh = False
            if self.header:
                self.put(self.header)

    def put(self, line: bytes) -> None:
        self.file.write(line + b"\n")
        self.written.append(line)

    def line(self) -> bytes:
        self.number += 1
        return f"{self.path.name} {self.number} {'x' * self.chance.choice((0, 5, 300))}".encode()

    def append(self) -> None:
        self.finish_line()
        self.begin()
        for _ in range(self.chance.randint(1, 6)):
            self.put(self.line())

    def append_half(self) -> None:
        self.begin()
        if not self.half:
            self.half = self.line()
            self.file.write(self.half[:5])

    def finish_line(self) -> None:
        if self.half:
            self.file.write(self.half[5:] + b"\n")
            self.written.append(self.half)
            self.half = b""

    def rotated(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def shift(self) -> None:
        for number in range(40, 0, -1):
            for suffix in ("", ".gz"):
                old = Path(f"{self.rotated(number)}{suffix}")
                if old.exists():
                    old.rename(f"{self.rotated(number + 1)}{suffix}")

    def rename(self) -> None:
        self.shift()
        self.path.rename(self.rotated(1))

    def reopen(self) -> None:
        self.finish_line()
        self.file.close()
        self.file = self.open()
        self.is_fresh = True

    def copy(self) -> None:
        self.append()
        self.shift()
        self.rotated(1).write_bytes(self.path.read_bytes())

    def half_copy(self) -> None:
        data = self.path.read_bytes()
        self.rotated(1).write_bytes(data[: len(data) // 2])

    def rest_of_copy(self) -> None:
        self.rotated(1).write_bytes(self.path.read_bytes())

    def truncate(self) -> None:
        os.truncate(self.path, 0)
        self.is_fresh = True

    def pack_half(self) -> None:
        data = gzip.compress(self.oldest.read_bytes())
        self.packing = Path(f"{self.oldest}.gz")
        self.packing.write_bytes(data[: len(data) // 2])

    def pack_rest(self) -> None:
        data = gzip.compress(self.oldest.read_bytes())
        with self.packing.open("ab") as file:
            file.write(data[len(data) // 2 :])

    def remove_packed(self) -> None:
        self.oldest.unlink()

    def begin_packing(self) -> None:
        plain = [self.rotated(number) for number in range(1, 41) if self.rotated(number).exists()]
        if plain:
            self.oldest = plain[-1]
            self.steps = ["pack_half", "pack_rest", "remove_packed"]

    def act(self) -> None:
        """One step of the writer or of the rotation, which is not interrupted by writing where that loses lines."""
        if self.steps:
            getattr(self, self.steps.pop(0))()
            return
        way = self.chance.choice(["append"] * 4 + ["append_half"] * 2 + ["rename", "copytruncate", "pack"])
        if way == "rename":
            if not self.path.exists() or not self.path.stat().st_size:
                return
            self.steps = self.chance.choice((["rename", "reopen"], ["rename", "append", "append_half", "reopen"]))
        elif way == "copytruncate":
            self.append()
            self.shift()
            self.steps = ["half_copy", "rest_of_copy", "truncate"]
        elif way == "pack":
            self.finish_line()
            self.begin_packing()
        else:
            getattr(self, way)()


def run(folder: Path, seed: int, *, header: bytes, patterns: tuple[str, ...] = ("*.log*",)) -> None:
    chance = random.Random(seed)
    writers = [Writer(folder, name, chance, header=header) for name in ("a.log", "b.log")]
    options = {"batch_records": chance.choice((1, 3, 1000)), "batch_bytes": chance.choice((1024, 100_000))}
    source = FileSource(*(folder / pattern for pattern in patterns), options=options, open_files=chance.choice((1, 4, 100)))
    for _ in range(chance.randint(20, 120)):
        for writer in writers:
            if chance.random() < 0.6:
                writer.act()
        match chance.choice(("read", "read", "drain", "abort", "kill", "nothing", "nothing", "quiet")):
            case "read":
                for number in source.readers:
                    source.read(number)
            case "drain":
                source.drain()
            case "abort":
                for number in source.readers:
                    source.read(number, aborts=chance.random() < 0.5)
            case "kill":
                source.kill()
            case "quiet":
                if not any(writer.half for writer in writers):
                    source.clock.now += chance.choice((10, 100))
    for writer in writers:
        while writer.steps:
            writer.act()
        writer.append()
    source.settle()
    expected = Counter(line for writer in writers for line in writer.written)
    assert source.counts == expected, f"seed {seed}: lost {expected - source.counts}, more {source.counts - expected}"


@pytest.mark.parametrize("header", [b"", b"the same first line"], ids=["", "header"])
@pytest.mark.parametrize("seed", range(60))
def test_each_line_comes_once_whatever_rotation_and_the_source_do(tmp_path: Path, seed: int, header: bytes) -> None:
    run(tmp_path, seed, header=header)
