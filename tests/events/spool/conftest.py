"""Spools below a temporary folder."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from events.spool.log import Spool
from tests.events.spool.helpers import MEGABYTE


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Spool]]:
    """Makes spools that are closed at the end."""
    made: list[Spool] = []

    def make(**options: Any) -> Spool:
        options = {"max_bytes": MEGABYTE, "segment_bytes": 4096, "fsync": "never", **options}
        made.append(Spool(tmp_path, **options))
        return made[-1]

    yield make
    for spool in made:
        spool.close()
