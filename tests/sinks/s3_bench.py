"""What the tests of the S3 sink on a real server share: the server, and a topic with the sinks that store it."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devstack.config import PROJECT, StackConfig
from devstack.ports import choose_free
from devstack.seaweedfs import ACCESS_KEY, SECRET_KEY, fetch_seaweedfs, seaweedfs_server
from devstack.server import Server
from devstack.stack import Stack
from tests.sinks.counting import Store
from tests.sinks.file_bench import Bench
from tests.sinks.sink_processes import Nursery, SinkProcess
from tests.stores import S3Files

BUCKET = "tests"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}


@contextmanager
def running_seaweedfs() -> Iterator[Server]:
    """A server with an empty bucket."""
    data = Path(tempfile.mkdtemp(prefix="seaweedfs-"))
    config = StackConfig(home=PROJECT / ".devstack", data=data, logs=data)
    fetch_seaweedfs(config.home)
    server = seaweedfs_server(config, choose_free(set()))
    server.start()
    try:
        server.wait_ready()
        S3Files(server.address, BUCKET).make_bucket()
        yield server
    finally:
        server.kill()
        shutil.rmtree(data, ignore_errors=True)


def entry_of_store(url: str, **changes: Any) -> dict[str, Any]:
    """An entry of settings.S3."""
    return {"endpoint_url": url, "path_style": True, "timeout_seconds": 20.0, **changes}


class S3Bench(Bench):
    """A fresh topic, and where its sinks store it in the bucket."""

    def __init__(self, stack: Stack, nursery: Nursery, server: Server, **options: Any) -> None:
        super().__init__(stack, nursery, kind="s3", bucket=BUCKET, **options)
        self.server = server
        self.files_of_bucket = self._files = S3Files(server.address, BUCKET)

    def store(self, case: object = "") -> Store:
        """Of one of its sinks."""
        return Store(self._files, f"/t/{self.topic}/{case}".rstrip("/"))

    def start(self, store: Store, *, url: str = "", timeout: float = 20.0, **changes: Any) -> SinkProcess:
        """A sink with one task, in a group of its own unless told otherwise. url: of the server, or of a proxy."""
        environment = {**CREDENTIALS, **changes.pop("environment", {})}
        s3 = entry_of_store(url or self.server.address, timeout_seconds=timeout)
        return super().start(store, s3=s3, environment=environment, **changes)

    def leftovers(self, store: Store) -> list[str]:
        """What the sink should have published or removed: uploads, and records below the newest checkpoint."""
        below = [path for path in store.leftovers() if not path.endswith(("/topic-id", "/.probe"))]
        records = [path for path in below if "/checkpoints/" not in path]
        return records + below[:-1] if len(below) > 1 else records
