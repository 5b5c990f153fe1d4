"""Puts one file in the place of several, crash-safe, each of their records being visible once at every instant.

A merge is written down first: a folder `compaction/committed/<epoch>/<number>` with the merged file and what it
replaces, which comes into being by one RENAME, as a commit record of the sink does. From then on anyone can finish it,
and no step of it can do harm when it is done late or twice. docs/adr/0001-compaction.md explains the steps.
"""

import logging
import uuid
from collections import Counter
from collections.abc import Iterator

import msgspec

from kafka_client.structs import ready
from sinks.files.layout import Layout
from sinks.files.store import FileStore, NotAllowed, NotEmpty, NotFound
from worker.errors import Fatal, Fenced, Retriable
from worker.retry import attempt

logger = logging.getLogger(__name__)

_SOURCES = 20
"""So many files are joined by one request, whose URL names them all."""

_REFUSALS = 10
"""So often may the store refuse to finish a merge, which others may be at, too, before it is given up."""


class _Refused(Retriable):
    """The store is there, but does not do a step of a merge."""


@ready
class Merge(msgspec.Struct, frozen=True):
    """What is written down: the files `originals` of a folder become its file `name`.

    joins: such files can be put one after the other.
    """

    folder: str
    name: str
    originals: tuple[str, ...]
    joins: bool

    @property
    def path(self) -> str:
        """Of the merged file."""
        return f"{self.folder}/{self.name}"


class Merges:
    """One compaction of the files of a topic, from its take-over until it is fenced or leaves.

    Each method may raise Fenced, Cancelled and Fatal, also when a merge can't be finished, for its folder is gone, say.
    """

    def __init__(self, client: FileStore, layout: Layout) -> None:
        self._client = client
        self._committed = f"{layout.compaction}/committed"
        self._pending = f"{layout.compaction}/pending"
        self._topic = layout.partition.topic
        self._epoch = ""
        self._tries = 0
        self._refusals: Counter[str] = Counter()

    async def take_over(self) -> None:
        """Fences every other compaction of the topic, finishes what it has begun."""
        await attempt("beginning a compaction", self._begin)
        await attempt("fencing other compactions", self._fence_others)
        await attempt("removing unfinished uploads", self._remove_others_uploads)

    async def replace(self, merge: Merge, content: bytes, *, nothing: bytes | None) -> None:
        """Puts a file in the place of the originals. nothing: a file without records, where files can be joined."""
        upload = await attempt(f"uploading {merge.path}", lambda: self._upload(merge, content, nothing))
        entry = f"{self._own}/{upload.rpartition('/')[2]}"
        await attempt(f"committing {merge.path}", lambda: self._commit(upload, entry))
        await attempt(f"publishing {merge.path}", lambda: self._finish(entry))

    async def leave(self) -> None:
        """Removes what the compaction has of its own."""
        await attempt("leaving", lambda: self._client.delete(f"{self._pending}/{self._epoch}", recursive=True))
        await attempt("leaving", lambda: self._client.delete(self._own))

    # Steps: each may be repeated after Retriable, whatever part of it was done

    @property
    def _own(self) -> str:
        return f"{self._committed}/{self._epoch}"

    def _begin(self) -> None:
        # A new name for each try: a late request of an earlier try must not bring back an owner that was fenced.
        self._epoch = uuid.uuid4().hex
        self._client.make_folders(self._own)

    def _fence_others(self) -> None:
        while others := self._others():
            for epoch in others:
                for number in self._client.names(f"{self._committed}/{epoch}"):
                    self._finish(f"{self._committed}/{epoch}/{number}")
                try:
                    self._client.delete(f"{self._committed}/{epoch}")
                except NotEmpty:
                    logger.debug("%s: %s has committed meanwhile", self._topic, epoch)  # the next listing shows it

    def _others(self) -> list[str]:
        epochs = self._client.names(self._committed)
        if self._epoch not in epochs:
            raise Fenced(f"{self._topic}: another compaction has taken over")
        return [epoch for epoch in epochs if epoch != self._epoch]

    def _remove_others_uploads(self) -> None:
        for epoch in self._client.names(self._pending):
            if epoch != self._epoch:
                self._client.delete(f"{self._pending}/{epoch}", recursive=True)

    def _upload(self, merge: Merge, content: bytes, nothing: bytes | None) -> str:
        self._tries += 1
        folder = f"{self._pending}/{self._epoch}/{self._tries}"
        files = {"merged": content, "merge.json": msgspec.json.encode(merge)}
        if nothing is not None:
            files["nothing"] = nothing
        try:
            for name, data in files.items():
                self._client.create(f"{folder}/{name}", data)
            self._client.make_folders(f"{folder}/aside")
            for name, data in files.items():
                if self._client.read(f"{folder}/{name}") != data:
                    raise Retriable(f"the store has stored something else as {folder}/{name} than what was sent")
        except NotFound as error:  # removed under way
            raise Fenced(f"{self._topic}: another compaction has taken over: {error}") from error
        return folder

    def _commit(self, upload: str, entry: str) -> None:
        # Refused: done by an earlier try whose answer was lost, or another compaction has removed the epoch's folder.
        if not self._client.rename(upload, entry) and not self._client.exists(entry):
            raise Fenced(f"{self._topic}: another compaction has taken over")

    def _finish(self, entry: str) -> None:
        merge = _read(self._client, entry)
        if merge is None:
            self._clean(entry)
            return
        try:
            self._take_steps(merge, entry)
        except (_Refused, Fatal) as error:
            self._refusals[entry] += 1
            if isinstance(error, _Refused) and self._refusals[entry] < _REFUSALS:
                raise
            raise Fatal(
                f"the merge in {entry} can't be finished: {error}. Its merge.json names the folder: make that "
                "folder again to get its records back, or delete the merge when they are not wanted; then run the "
                "command again"
            ) from error

    def _take_steps(self, merge: Merge, entry: str) -> None:
        if merge.joins:
            self._join(merge, entry)
        for name in self._left(merge):
            self._client.rename(f"{merge.folder}/{name}", f"{entry}/aside/{name}")
        if left := self._left(merge):
            raise _Refused(f"the store refuses to move {merge.folder}/{left[0]}")
        try:
            self._client.replace(f"{entry}/merged", merge.path)
        except NotFound as error:
            if self._client.exists(f"{entry}/merged"):
                raise _Refused(str(error)) from error
        self._client.delete(entry, recursive=True)

    def _clean(self, entry: str) -> None:
        """Removes a merge without a merge.json: it is done, or somebody has deleted its merge.json."""
        try:
            self._client.delete(f"{entry}/aside")
        except NotEmpty as error:
            raise Fatal(
                f"the merge in {entry} has no merge.json, and originals that no reader sees lie in its folder aside: "
                "put those whose offsets no other file has back to their places, delete the others and the merge, then "
                "run the command again"
            ) from error
        # Now no original can go there any more, so all of them are where readers see them: what is left are copies.
        self._client.delete(entry, recursive=True)

    def _join(self, merge: Merge, entry: str) -> None:
        """Lets the final file, born empty, take in the originals. Where the store does not do that, they are left."""
        self._client.rename(f"{entry}/nothing", merge.path)  # refused when it was done before
        try:
            while left := self._left(merge):
                self._client.concat(merge.path, [f"{merge.folder}/{name}" for name in left[:_SOURCES]])
        except NotAllowed as error:
            logger.info("%s: records are out of sight for a moment: %s", merge.path, error)
        except NotFound as error:
            if self._client.exists(merge.path):
                raise _Refused(f"somebody else finishes it too: {error}") from error

    def _left(self, merge: Merge) -> list[str]:
        there = set(self._client.names(merge.folder))
        return [name for name in merge.originals if name in there]


def entries(client: FileStore, layout: Layout) -> Iterator[str]:
    """The folders of what is committed and not finished of a topic, whether it can be or not."""
    committed = f"{layout.compaction}/committed"
    for epoch in client.names(committed):
        for number in client.names(f"{committed}/{epoch}"):
            yield f"{committed}/{epoch}/{number}"


def under_way(client: FileStore, layout: Layout) -> Iterator[tuple[Merge, str]]:
    """The merges of a topic that are committed and not finished, each with the path at which its file lies."""
    for entry in entries(client, layout):
        merge = _read(client, entry)
        if merge is not None:
            yield merge, f"{entry}/merged" if client.exists(f"{entry}/merged") else merge.path


def _read(client: FileStore, entry: str) -> Merge | None:
    """None when it is finished and removed."""
    try:
        return msgspec.json.decode(client.read(f"{entry}/merge.json"), type=Merge)
    except NotFound:
        return None
