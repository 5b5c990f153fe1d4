"""A program that writes logs, and the ways in which logs are rotated."""

import gzip
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO


class Writer:
    """A program that writes numbered lines to a log, and the tool that rotates the log, step by step.

    header: the first line of each file; see: has the source look, before what it can see must not be lost.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        chance: random.Random,
        *,
        header: bytes = b"",
        ways: Sequence[str] = ("rename", "copytruncate", "pack"),
        see: Callable[[], object] = lambda: None,
    ) -> None:
        self.path = folder / name
        self.chance = chance
        self.header = header
        self.ways = ways
        self.see = see
        self.hidden = 0
        self.written: list[bytes] = []
        self.files: list[list[bytes]] = []
        self.file = self.open()
        self.half = b""
        self.steps: list[str] = []
        self.number = 0
        self.is_fresh = True

    def open(self) -> BinaryIO:
        return self.path.open("ab", buffering=0)

    def begin(self) -> None:
        if self.is_fresh:
            self.is_fresh = False
            self.files.append([])
            if self.header:
                self.put(self.header)

    def put(self, line: bytes) -> None:
        self.file.write(line + b"\n")
        self.note(line)

    def note(self, line: bytes) -> None:
        self.written.append(line)
        if line != self.header:
            self.files[-1].append(line)

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
            self.note(self.half)
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

    def unlink(self) -> None:
        self.see()
        self.path.unlink()

    def replace(self) -> None:
        """Another file takes the place of the log."""
        self.finish_line()
        self.see()
        new = self.path.with_name("new")
        self.file.close()
        self.file = new.open("ab", buffering=0)
        self.is_fresh = True
        self.append()
        new.replace(self.path)

    def hide(self) -> None:
        """The log gets a name that no pattern matches."""
        self.see()
        self.hidden += 1
        self.path.rename(self.path.with_name(f"hidden-{self.path.stem}-{self.hidden}"))

    def act(self) -> None:
        """One step of the writer or of the rotation, which is not interrupted by writing where that loses lines."""
        if self.steps:
            getattr(self, self.steps.pop(0))()
            return
        way = self.chance.choice(["append"] * 4 + ["append_half"] * 2 + list(self.ways))
        if way in ("unlink", "hide"):
            self.append()
            self.steps = [way, *self.chance.choices(("append", "append_half"), k=self.chance.randint(0, 3)), "reopen"]
        elif way == "rename":
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
