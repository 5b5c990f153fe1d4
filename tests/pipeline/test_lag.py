"""How far a sink is behind."""

import pytest

from pipeline.lag import Progress, progress, total


@pytest.mark.parametrize(
    ("first", "end", "committed", "expected"),
    [
        (0, 100, 90, Progress(90, 10, "ok")),
        (0, 100, 100, Progress(100, 0, "ok")),
        (0, 0, 0, Progress(0, 0, "ok")),
        (0, 100, 0, Progress(0, 100, "ok")),
        (40, 100, 40, Progress(40, 60, "ok")),
        (50, 100, 40, Progress(40, 60, "expired")),
        (0, 100, 120, Progress(120, 0, "ahead")),
        (None, None, 7, Progress(7, None, "ok")),
        (10, 100, None, Progress(None, 90, "none")),
        (10, 5, None, Progress(None, 0, "none")),
        (None, 100, None, Progress(None, None, "none")),
    ],
)
def test_progress(first: int | None, end: int | None, committed: int | None, expected: Progress) -> None:
    assert progress(first=first, end=end, committed=committed) == expected


def test_without_a_commit_the_lag_is_all_that_kafka_has() -> None:
    none, ten = progress(first=0, end=10, committed=None), progress(first=0, end=10, committed=0)
    assert total(part.lag for part in [none, ten]) == 20
    assert total(part.lag for part in [progress(first=None, end=None, committed=None)]) is None
    assert total(part.lag for part in []) is None
