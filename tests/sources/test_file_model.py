"""Random schedules: writers, rotation in all its ways, and a source that is killed at any moment."""

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.sources.files import FileSource
from tests.sources.rotation import Writer


def run(folder: Path, seed: int, *, header: bytes, patterns: tuple[str, ...] = ("*.log*",)) -> None:
    chance = random.Random(seed)
    writers = [Writer(folder, name, chance, header=header) for name in ("a.log", "b.log")]
    options = {"batch_records": chance.choice((1, 3, 1000)), "batch_bytes": chance.choice((1024, 100_000))}
    source = FileSource(
        *(folder / pattern for pattern in patterns), options=options, open_files=chance.choice((1, 4, 100))
    )
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
