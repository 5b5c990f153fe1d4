"""An HDFS in memory with the operations and answers of sinks.hdfs.client, for crash and schedule models.

tests/sinks/test_hdfs_contract.py runs one set of tests on it and on the real one.
"""

import hashlib
from collections.abc import Callable
from typing import Any

from sinks.hdfs.client import Content, HdfsClient, NotEmpty, NotFound


class MemoryHdfs(HdfsClient):
    """before, after: called around each operation with its name; what they raise is what the caller sees."""

    def __init__(
        self, before: Callable[[str], None] = lambda name: None, after: Callable[[str], None] = lambda name: None
    ) -> None:
        self.files: dict[str, bytes] = {}
        self.folders: set[str] = {"/"}
        self.before = before
        self.after = after

    def __getattribute__(self, name: str) -> Any:
        attribute = super().__getattribute__(name)
        if name not in {"create", "checksum", "rename", "exists", "make_folders", "names", "lengths", "delete"}:
            return attribute

        def operation(*arguments: Any, **options: Any) -> Any:
            self.before(name)
            result = attribute(*arguments, **options)
            self.after(name)
            return result

        return operation

    def create(self, path: str, data: Content) -> None:
        self._make(_parent(path))
        assert path not in self.files, "the sink never writes a file twice"
        self.files[path] = bytes(data)

    def checksum(self, path: str) -> dict[str, Any]:
        if path not in self.files:
            raise NotFound(path)
        return {"bytes": hashlib.md5(self.files[path]).hexdigest()}

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

    def exists(self, path: str) -> bool:
        return self._there(path)

    def make_folders(self, path: str) -> None:
        self._make(path)

    def names(self, path: str) -> list[str]:
        children = (p for p in (*self.files, *self.folders) if p != "/" and _parent(p) == path)
        return sorted(child.rpartition("/")[2] for child in children)

    def lengths(self, path: str) -> dict[str, int]:
        return {p.rpartition("/")[2]: len(data) for p, data in self.files.items() if _parent(p) == path}

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

    def walk(self, path: str) -> list[str]:
        below = (p for p in self.files if p.startswith(f"{path}/"))
        return [p for p in below if not any(part[0] in "_." for part in p.removeprefix(f"{path}/").split("/"))]

    def read(self, path: str) -> bytes:
        if path not in self.files:
            raise NotFound(path)
        return self.files[path]

    def close(self) -> None:
        pass

    def _there(self, path: str) -> bool:
        return path in self.files or path in self.folders

    def _make(self, path: str) -> None:
        while path != "/":
            self.folders.add(path)
            path = _parent(path)


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"
