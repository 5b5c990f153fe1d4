"""A log of which each place can be taken once: the lock, the log and the truth of one partition, or of its merges.

An entry lies under the key of its place and says which place follows. It is put only where no object is
(If-None-Match), so of several owners who believe to be at the end exactly one goes on; the others find out that they
are fenced. A checkpoint names a place: everything below it is done, so its entries are void for everyone and may be
deleted. docs/s3-sink.md explains why this is enough.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Generic, NamedTuple, Protocol, TypeVar

import msgspec

from sinks.files.store import NotFound
from sinks.s3.objects import ObjectStore
from worker.errors import Fenced, Retriable
from worker.retry import attempt


class Place(NamedTuple):
    """A place of a chain. generation: how often an operator has moved the offset; number: the offset that is next."""

    generation: int
    number: int

    def __str__(self) -> str:
        return f"{self.generation:06d}-{self.number:020d}"

    @classmethod
    def of(cls, name: str) -> "Place":
        """The place with this name."""
        generation, _, number = name.partition("-")
        return cls(int(generation), int(number))


BEGINNING = Place(0, 0)


class Entry(Protocol):
    """What stands at a place. id: its own, so that an owner knows its entry again."""

    @property
    def id(self) -> str:
        """Unique."""

    def follows(self, place: Place) -> Place:
        """The place after this one."""


E = TypeVar("E", bound=Entry)


class Walk(NamedTuple, Generic[E]):
    """What a chain holds: the entries from the newest checkpoint on, each with its place, and the place after them."""

    checkpoint: Place
    entries: list[tuple[Place, E]]
    end: Place


class Chain(Generic[E]):
    """A chain below a folder. decode: reads an entry. Each method may raise Cancelled, Fatal and Fenced."""

    def __init__(self, store: ObjectStore, folder: str, decode: Callable[[bytes], E]) -> None:
        self._store = store
        self._log = f"{folder}/log"
        self._checkpoints = f"{folder}/checkpoints"
        self._decode = decode

    async def walk(self) -> Walk[E]:
        """The chain from the newest checkpoint to its end."""
        while True:
            checkpoint = await attempt("reading the newest checkpoint", self.newest_checkpoint)
            entries: list[tuple[Place, E]] = []
            end = checkpoint
            while (entry := await attempt(f"reading {end}", partial(self._read, end))) is not None:
                entries.append((end, entry))
                end = entry.follows(end)
            # A zombie may have put an entry at a place that was cleaned while the chain was walked.
            if await attempt("reading the checkpoint again", partial(self.newest_checkpoint, checkpoint)) == checkpoint:
                return Walk(checkpoint, entries, end)

    def look(self) -> Walk[E]:
        """As `walk`, for people: without trying again, and not proven. Raises Retriable and Fatal."""
        checkpoint = end = self.newest_checkpoint()
        entries: list[tuple[Place, E]] = []
        while (entry := self._read(end)) is not None:
            entries.append((end, entry))
            end = entry.follows(end)
        return Walk(checkpoint, entries, end)

    async def put(self, place: Place, entry: E) -> None:
        """Takes the place at the end. Raises Fenced when somebody else has."""
        data = msgspec.json.encode(entry)
        await attempt(f"committing {place}", lambda: self._put(place, data))
        # The place may have been taken, done and cleaned before: then this entry is void.
        if await attempt("looking for a newer checkpoint", partial(self.is_done, place)):
            raise Fenced(f"{self._log}: {place} was cleaned by another owner")

    async def check_point(self, place: Place) -> None:
        """Says that all below a place is done."""
        path = f"{self._checkpoints}/{place}"
        await attempt(f"noting the checkpoint {place}", lambda: self._store.put_new(path, b""))

    async def clean(self, checkpoint: Place) -> None:
        """Deletes the entries and checkpoints below a checkpoint."""
        for path in await attempt("looking for old entries", partial(self._below, checkpoint)):
            await attempt(f"deleting {path}", partial(self._store.delete, path))

    # Steps: each may be repeated after Retriable, whatever part of it was done

    def newest_checkpoint(self, after: Place = BEGINNING) -> Place:
        """The place of the newest checkpoint, of which one is known."""
        names = self._store.names(self._checkpoints, after=str(after))
        return max(map(Place.of, names), default=after)

    def is_done(self, place: Place) -> bool:
        """Whether a checkpoint lies beyond a place."""
        # Only what sorts after the place is listed: a bucket with versions keeps a marker of each checkpoint that was
        # deleted, and a listing from the beginning would pass all of them.
        return self.newest_checkpoint(place) > place

    def _read(self, place: Place) -> E | None:
        try:
            return self._decode(self._store.read(self._path(place)))
        except NotFound:
            return None

    def _put(self, place: Place, data: bytes) -> None:
        if self._store.put_new(self._path(place), data):
            return
        # An earlier try whose answer was lost may have put it.
        try:
            found = self._store.read(self._path(place))
        except NotFound as error:
            raise Retriable(f"{place} was cleaned just now") from error
        if found != data:
            raise Fenced(f"{self._log}: another owner has taken {place}")

    def _below(self, checkpoint: Place) -> list[str]:
        paths = []
        for generation in filter(re.compile(r"\d+").fullmatch, self._store.names(self._log)):
            names = self._store.names(f"{self._log}/{generation}")
            below = [name for name in names if Place(int(generation), int(name)) < checkpoint]
            paths += [f"{self._log}/{generation}/{name}" for name in below]
        names = self._store.names(self._checkpoints)
        return paths + [f"{self._checkpoints}/{name}" for name in names if Place.of(name) < checkpoint]

    def _path(self, place: Place) -> str:
        return f"{self._log}/{place.generation:06d}/{place.number:020d}"
