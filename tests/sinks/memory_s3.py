"""A store of objects in memory with the operations and answers of sinks.s3.store, for models of schedules.

tests/sinks/test_s3_store.py runs one set of tests on it and on a real server.
"""

import itertools
from collections.abc import Callable
from typing import Any

from sinks.files.store import Content, ListedFile, NotFound
from sinks.s3.objects import ObjectStore, Upload
from tests.sinks.watched import Watched


class MemoryS3(Watched, ObjectStore):
    """objects: path -> content; uploads: id -> content of what is not published.

    during: called when an object is published, and its upload is still there, as with SeaweedFS.
    """

    def __init__(
        self,
        before: Callable[[str], Any] = lambda name: None,
        after: Callable[[str], None] = lambda name: None,
    ) -> None:
        super().__init__(before, after)
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, bytes] = {}
        self._numbers = itertools.count()

    def has_bucket(self) -> bool:
        return True

    def put_new(self, path: str, data: bytes) -> bool:
        if path in self.objects:
            return False
        self.objects[path] = data
        return True

    def upload(self, path: str, data: Content) -> Upload:
        upload = Upload(path, str(next(self._numbers)), (), len(data))
        self.uploads[upload.id] = bytes(data)
        return upload

    def publish(self, upload: Upload) -> bool:
        if upload.id not in self.uploads:
            return False
        self.objects[upload.path] = self.uploads[upload.id]
        self.during("publish")
        self.uploads.pop(upload.id, None)
        return True

    def abandon(self, upload: Upload) -> None:
        self.uploads.pop(upload.id, None)

    def exists(self, path: str) -> bool:
        return path in self.objects

    def read(self, path: str) -> bytes:
        if path not in self.objects:
            raise NotFound(path)
        return self.objects[path]

    def copy(self, source: str, destination: str) -> None:
        if source not in self.objects:
            raise NotFound(source)
        self.objects[destination] = self.objects[source]

    def delete(self, path: str) -> None:
        self.objects.pop(path, None)

    def names(self, path: str, *, after: str = "") -> list[str]:
        below = [key.removeprefix(f"{path}/") for key in self.objects if key.startswith(f"{path}/")]
        return sorted({key.split("/")[0] for key in below if key.split("/")[0] > after})

    def walk(self, path: str) -> list[ListedFile]:
        below = (key for key in self.objects if key.startswith(f"{path}/"))
        visible = [key for key in below if not any(part[0] in "_." for part in key.removeprefix(f"{path}/").split("/"))]
        return [ListedFile(key, len(self.objects[key]), 0.0) for key in sorted(visible)]

    def close(self) -> None:
        pass
