"""Downloads have few places, which those who take nothing do not keep."""

import itertools
from functools import cache

import pytest
from django.db import OperationalError

from pipeline.console import sending
from pipeline.console.sending import Downloads, GivenUp, Source
from pipeline.errors import ServerError


class Parts:
    """A source without end."""

    def __init__(self) -> None:
        self.is_closed = False

    def open(self) -> Source:
        return Source(itertools.repeat(b"part"), self._close)

    def _close(self) -> None:
        assert not self.is_closed, "it is closed once"
        self.is_closed = True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def downloads(clock: Clock) -> Downloads:
    return Downloads(at_once=2, stalled_seconds=60, seconds=600, clock=clock)


def test_the_place_of_one_who_takes_nothing_is_given_to_another(downloads: Downloads, clock: Clock) -> None:
    slow, quick = Parts(), Parts()
    stalled, taken = downloads.begin(slow.open), downloads.begin(quick.open)
    assert stalled and taken
    next(stalled)
    clock.now = 59
    next(taken)
    assert downloads.begin(Parts().open) is None
    clock.now = 61
    assert downloads.begin(Parts().open) is not None
    assert (slow.is_closed, quick.is_closed) == (True, False)
    with pytest.raises(GivenUp):
        next(stalled)
    stalled.close()
    assert next(taken) == b"part"
    assert downloads.begin(Parts().open) is None, "a place is given once"


def test_those_who_take_nothing_hold_few_threads_after_they_lost_their_places(
    downloads: Downloads, clock: Clock
) -> None:
    stalled = []
    for _ in range(2):
        stalled += [downloads.begin(Parts().open), downloads.begin(Parts().open)]
        clock.now += 61
    assert None not in stalled
    assert downloads.begin(Parts().open) is None
    stalled[0].close()
    assert downloads.begin(Parts().open) is not None
    assert downloads.begin(Parts().open) is None


def test_one_who_takes_a_little_now_and_then_does_not_keep_a_place_for_ever(downloads: Downloads, clock: Clock) -> None:
    sources = [Parts(), Parts()]
    sent = [found for source in sources if (found := downloads.begin(source.open))]
    while clock.now < 600:
        clock.now += 50
        parts = [next(one) for one in sent] if clock.now < 600 else []
        assert parts in ([b"part", b"part"], [])
    clock.now = 601
    with pytest.raises(GivenUp):
        next(sent[0])
    assert downloads.begin(Parts().open) is not None
    assert all(source.is_closed for source in sources)


def test_places_come_back_when_downloads_end_or_never_begin(downloads: Downloads) -> None:
    def away() -> Source:
        raise ServerError("HDFS", "away")

    for _ in range(5):
        found = downloads.begin(Parts().open)
        assert found is not None
        found.close()
        with pytest.raises(ServerError):
            downloads.begin(away)


def test_a_download_whose_begin_can_not_be_logged_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unlogged:
        def done(self, _outcome: str) -> None:
            raise OperationalError("the database is away")

    downloads = Downloads(at_once=1, stalled_seconds=60, seconds=600)
    monkeypatch.setattr(sending, "_downloads", cache(lambda: downloads))
    for _ in range(5):
        parts = Parts()
        with pytest.raises(OperationalError):
            sending.download("a", "text/plain", parts.open, Unlogged())  # type: ignore[arg-type]
        assert parts.is_closed
