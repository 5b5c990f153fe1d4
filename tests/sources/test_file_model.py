"""Random schedules: writers, rotation in all its ways, and a source that is killed at any moment."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sources.files import FileSource
from tests.sources.rotation import Writer


def run(folder: Path, seed: int, *, header: bytes) -> None:
    """Rotation that keeps all bytes, and a source that is killed."""
    chance = random.Random(seed)
    source = make_source(folder, chance, open_files=chance.choice((1, 4, 100)))
    writers = [Writer(folder, name, chance, header=header) for name in ("a.log", "b.log")]
    follow(source, writers, chance, ends=("abort", "kill"))


def run_without_kills(folder: Path, seed: int, *, header: bytes) -> None:
    """Files that lose their names while they are open, too: a source that is killed loses what it has open."""
    chance = random.Random(seed)
    source = make_source(folder, chance, open_files=100)
    ways = ("rename", "copytruncate", "pack", "unlink", "replace", "hide")
    writers = [Writer(folder, name, chance, header=header, ways=ways, see=source.look) for name in ("a.log", "b.log")]
    follow(source, writers, chance, ends=("abort", "abort"))


def make_source(folder: Path, chance: random.Random, *, open_files: int) -> FileSource:
    options = {"batch_records": chance.choice((1, 3, 1000)), "batch_bytes": chance.choice((1024, 100_000))}
    return FileSource(folder / "*.log*", options=options, open_files=open_files, look_seconds=chance.choice((0, 1)))


def follow(source: FileSource, writers: list[Writer], chance: random.Random, *, ends: tuple[str, ...]) -> None:
    for _ in range(chance.randint(20, 120)):
        for writer in writers:
            if chance.random() < 0.6:
                writer.act()
        source.clock.now += chance.choice((0, 0.375))  # without an error of rounding
        match chance.choice(("read", "read", "drain", "quiet", "nothing", "nothing", *ends)):
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
                if not any(writer.half or writer.steps for writer in writers):
                    source.clock.now += chance.choice((10, 100))
    for writer in writers:
        while writer.steps:
            writer.act()
        writer.append()
    source.settle()
    expected = Counter(line for writer in writers for line in writer.written)
    assert source.counts == expected, f"lost {expected - source.counts}, more {source.counts - expected}"
    check_order(source, writers)


def check_order(source: FileSource, writers: list[Writer]) -> None:
    """The lines of one file come in their order."""
    for writer in writers:
        places = {line: place for place, line in enumerate(source.lines)}
        for lines in writer.files:
            assert (found := [places[line] for line in lines]) == sorted(found)


HEADERS = pytest.mark.parametrize("header", [b"", b"the same first line"], ids=["", "header"])


@HEADERS
@pytest.mark.parametrize("seed", range(20))
def test_each_line_comes_once_whatever_rotation_and_the_source_do(tmp_path: Path, seed: int, header: bytes) -> None:
    run(tmp_path, seed, header=header)


@HEADERS
@pytest.mark.parametrize("seed", range(20))
def test_each_line_of_deleted_replaced_and_hidden_files_comes_once(tmp_path: Path, seed: int, header: bytes) -> None:
    run_without_kills(tmp_path, seed, header=header)


@pytest.mark.slow
@HEADERS
@pytest.mark.parametrize("way", [run, run_without_kills], ids=["kills", "names"])
@pytest.mark.parametrize("seed", range(1000, 1020))
def test_more_schedules(tmp_path: Path, way: Callable[..., None], seed: int, header: bytes) -> None:
    way(tmp_path, seed, header=header)
