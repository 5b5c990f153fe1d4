"""An HDFS in memory with the operations and answers of sinks.hdfs.client, for crash and schedule models.

tests/sinks/test_file_store_contract.py and test_hdfs_contract.py run one set of tests on it and on the real one.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sinks.files.store import Content, Leased, ListedFile, NotAllowed, NotEmpty, NotFound
from sinks.hdfs.store import HdfsStore
from tests.sinks.watched import Watched
from worker.errors import Fatal


@dataclass(eq=False)
class File:
    """Whatever its name is.

    leased: someone writes it; cutting: HDFS is at it, and will be for so many questions; cut_to: bytes that stay then.
    """

    data: bytes
    leased: bool = False
    cutting: int = 0
    cut_to: int = 0


class MemoryHdfs(Watched, HdfsStore):
    """during: called when half of an append is done; interrupted: after it has raised, with the file and what was not
    done."""

    def __init__(
        self,
        before: Callable[[str], Any] = lambda name: None,
        after: Callable[[str], None] = lambda name: None,
    ) -> None:
        super().__init__(before, after)
        self.files: dict[str, File] = {}
        self.folders: set[str] = {"/"}
        self.interrupted: Callable[[File, bytes], None] = lambda file, rest: setattr(file, "leased", False)

    def create(self, path: str, data: Content) -> None:
        self._make(_parent(path))
        assert path not in self.files, "the sink never writes a file twice"
        self.files[path] = File(bytes(data))

    def append(self, path: str, data: Content) -> None:
        file = self._file(path)
        if file.leased or file.cutting:
            raise Leased(path)
        file.leased = True
        half = bytes(data)[: len(data) // 2]
        rest = bytes(data)[len(half) :]
        file.data += half
        try:
            self.during("append")
        except BaseException:
            self.interrupted(file, rest)
            raise
        file.data += rest
        file.leased = False

    def truncate(self, path: str, length: int) -> bool:
        file = self._file(path)
        if file.leased:
            raise Leased(path)
        if len(file.data) < length:
            raise Fatal(f"{path} has less than {length} bytes")
        if len(file.data) > length and not file.cutting:
            file.cutting, file.cut_to = 2, length
        elif file.cutting:
            file.cutting -= 1
            if not file.cutting:
                file.data = file.data[: file.cut_to]
        return not file.cutting

    def copy(self, source: str, length: int, destination: str) -> None:
        content = self._file(source).data[:length]
        self._make(_parent(destination))
        self.files[destination] = File(content)

    def length(self, path: str) -> int:
        return len(self._file(path).data)

    def checksum(self, path: str) -> dict[str, Any]:
        return {"bytes": hashlib.md5(self._file(path).data).hexdigest()}

    def rename(self, source: str, destination: str) -> bool:
        if destination in self.folders:
            destination = f"{destination}/{source.rpartition('/')[2]}"  # into it
        if not self._there(source) or self._there(destination) or _parent(destination) not in self.folders:
            return False
        if destination.startswith(f"{source}/"):
            return False
        if source in self.files:
            self.files[destination] = self.files.pop(source)
            return True
        for path in [path for path in self.files if path.startswith(f"{source}/")]:
            self.files[destination + path.removeprefix(source)] = self.files.pop(path)
        for path in [path for path in self.folders if path == source or path.startswith(f"{source}/")]:
            self.folders.remove(path)
            self.folders.add(destination + path.removeprefix(source))
        return True

    def replace(self, source: str, destination: str) -> None:
        if source not in self.files or _parent(destination) not in self.folders:
            raise NotFound(source)
        assert destination not in self.folders
        self.files[destination] = self.files.pop(source)

    def concat(self, target: str, sources: Sequence[str]) -> None:
        for path in (target, *sources):
            if path not in self.files:
                raise NotFound(path)
        if any(_parent(path) != _parent(target) or not self.files[path].data for path in sources) or target in sources:
            raise NotAllowed(target)
        for path in sources:
            self.files[target].data += self.files.pop(path).data

    def exists(self, path: str) -> bool:
        return self._there(path)

    def make_folders(self, path: str) -> None:
        self._make(path)

    def names(self, path: str) -> list[str]:
        children = (p for p in (*self.files, *self.folders) if p != "/" and _parent(p) == path)
        return sorted(child.rpartition("/")[2] for child in children)

    def lengths(self, path: str) -> dict[str, int]:
        return {p.rpartition("/")[2]: len(file.data) for p, file in self.files.items() if _parent(p) == path}

    def delete(self, path: str, *, recursive: bool = False) -> bool:
        if not self._there(path):
            return False
        below = [p for p in (*self.files, *self.folders) if p.startswith(f"{path}/")]
        if below and not recursive:
            raise NotEmpty(path)
        for gone in (path, *below):
            self.files.pop(gone, None)
            self.folders.discard(gone)
        return True

    def walk(self, path: str) -> list[ListedFile]:
        below = (p for p in self.files if p.startswith(f"{path}/"))
        visible = [p for p in below if not any(part[0] in "_." for part in p.removeprefix(f"{path}/").split("/"))]
        return [ListedFile(p, len(self.files[p].data), 0.0) for p in visible]

    def read(self, path: str) -> bytes:
        return self._file(path).data

    def close(self) -> None:
        pass

    def _file(self, path: str) -> File:
        if path not in self.files:
            raise NotFound(path)
        return self.files[path]

    def _there(self, path: str) -> bool:
        return path in self.files or path in self.folders

    def _make(self, path: str) -> None:
        while path != "/":
            self.folders.add(path)
            path = _parent(path)


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"
