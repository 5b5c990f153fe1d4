"""Sinks that die, stall or are lied to at a chosen step: an operation on files, or a request to Elasticsearch.

Run as a program it is a server that has everything imported and forks a sink for each line that it is given, so that
hundreds of sinks can be killed in a minute. Each fork runs a management command as it is; only the operations of the
stores of files, or the requests of Elasticsearch's client, are wrapped, so nothing in the sink knows of tests.

A fault is a dict: `do` says what happens, `number` at the how-manieth operation (from 0), `step` counts only those of
one step of the protocol (see `step_of`).

    kill   SIGKILL before the operation          kill_after  SIGKILL when it is done
    stop   SIGSTOP before the operation
    cut    SIGKILL when half of an upload is sent   doze  SIGSTOP then
    nap    SIGSTOP when a folder's file is open and nothing of an upload is written
    tear   half of an upload is stored and reported as a success
    slow   an upload takes `seconds`
    refuse a RENAME is not done and answers false
    deny   a RENAME is done and answers false

Of these a request to Elasticsearch knows kill, kill_after (its reply is lost, too) and stop.
"""

import functools
import itertools
import json
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from sinks.files.store import Chunks, Content

OPERATIONS = (
    *("create", "append", "truncate", "copy", "rename", "replace", "concat", "delete", "make_folders"),
    *("read", "checksum", "exists", "names", "lengths", "length", "walk"),
)

logger = logging.getLogger("sinks.faults")


def step_of(operation: str, path: str, destination: str = "") -> str:
    """The step of docs/exactly-once.md that an operation is."""
    area, below = _place(path)
    if operation == "create":
        return "upload"
    if operation == "truncate":
        return "cut"
    if operation == "length":
        return "check length"
    if operation == "lengths":
        return "check lengths" if area == "pending" else "list files of record"
    if operation == "rename":
        if "/aside/" in destination or "/replaced/" in destination:
            return "set aside"
        return _renaming(area, below, *_place(destination))
    if operation == "make_folders":
        if area:
            return "begin epoch" if area == "committed" else "mark open"
        return "note topic" if "topic-id=" in path else "make folder"
    if operation == "names":
        if area == "committed":
            return ("list epochs", "list records", "list open", "list open")[len(below)]
        return "list uploads" if area == "pending" else "read topic"
    if operation == "delete":
        if area == "pending":
            return "remove uploads"
        if len(below) == 3:
            return "forget" if below[2].rpartition(".")[2].isdigit() else "remove copied"
        return ("drop repeat", "remove epoch", "remove record")[len(below)]
    return operation


def _renaming(area: str, below: list[str], area_after: str, below_after: list[str]) -> str:
    if area_after == "":
        return "publish" if area else "close"
    if len(below_after) == 3:
        return "settle" if area else "take back"
    return "commit" if area == "pending" else "take record"


def _place(path: str) -> tuple[str, list[str]]:
    """(pending or committed or "", the names below it)."""
    parts = path.split("/")
    for area in ("pending", "committed"):
        if "_sink" in parts and area in parts:
            return area, parts[parts.index(area) + 1 :]
    return "", []


def s3_step(operation: str, path: str) -> str:
    """The step of docs/s3-sink.md that an operation on a store of objects is."""
    areas = {"/log/": "record", "/checkpoints": "checkpoint", "/topic-id": "topic", "/.probe": "probe"}
    area = next((name for part, name in areas.items() if part in path), "")
    names = {
        "put_new": {"record": "commit", "checkpoint": "note checkpoint", "topic": "note topic"},
        "read": {"record": "walk", "topic": "read topic"},
        "names": {"checkpoint": "look for checkpoint"},
        "delete": {"record": "remove record", "checkpoint": "remove checkpoint"},
    }
    return area if area == "probe" else names.get(operation, {}).get(area, operation.replace("_", " "))


def request_step(target: str) -> str:
    """The step of the Elasticsearch sink that a request is, by its path."""
    if "/_bulk" in target:
        return "bulk"
    return "note topic" if "/_doc/" in target or "/_create/" in target else "look"


def _install(fault: dict[str, Any] | None) -> None:
    """Wraps the operations on all stores: each is logged, and the fault happens at its time."""
    from elastic_transport import Transport

    from sinks.folder.store import FolderStore
    from sinks.hdfs.store import HdfsStore
    from sinks.s3.store import S3ObjectStore

    number = itertools.count()
    matching = itertools.count()

    def wrapped(original: Callable[..., Any], place: Callable[..., tuple[str, str]]) -> Callable[..., Any]:
        @functools.wraps(original)
        def operation(self: Any, *arguments: Any, **options: Any) -> Any:
            step, path = place(*arguments)
            logger.debug("operation %d: %s: %s", next(number), step, path)
            call = functools.partial(original, self, *arguments, **options)
            if fault and fault.get("step", step) == step and next(matching) == fault["number"]:
                logger.debug("fault: %s: %s", fault["do"], step)
                return _happen(fault, call)
            return call()

        return operation

    def file_place(name: str, *arguments: Any) -> tuple[str, str]:
        paths = arguments[:2] if name == "rename" else arguments[:1]
        return step_of(name, *paths), " -> ".join(paths)

    for store, name in itertools.product((HdfsStore, FolderStore), OPERATIONS):
        setattr(store, name, wrapped(getattr(store, name), functools.partial(file_place, name)))

    def s3_place(name: str, what: Any, *_: Any) -> tuple[str, str]:
        path = getattr(what, "path", what)
        return s3_step(name, path), path

    for name in ("put_new", "upload", "publish", "abandon", "exists", "copy", "delete", "read", "names", "walk"):
        setattr(S3ObjectStore, name, wrapped(getattr(S3ObjectStore, name), functools.partial(s3_place, name)))
    Transport.perform_request = wrapped(  # type: ignore[method-assign]
        Transport.perform_request, lambda method, target, *_: (request_step(target), target)
    )


def _happen(fault: dict[str, Any], call: "functools.partial[Any]") -> Any:
    client, path, *rest = call.args
    data = rest[0] if rest else None  # of an upload
    match fault["do"]:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "kill_after":
            call()
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
            return call()
        case "cut":
            return call.func(client, path, _interrupted(data, signal.SIGKILL))
        case "doze":
            return call.func(client, path, _interrupted(data, signal.SIGSTOP))
        case "nap":
            return call.func(client, path, _interrupted(data, signal.SIGSTOP, pieces=1))
        case "tear":
            return call.func(client, path, bytes(data)[: len(data) // 2])
        case "slow":
            return call.func(client, path, _slowly(data, fault["seconds"]))
        case "refuse":
            return False
        case "deny":
            call()
            return False
    raise ValueError(fault)


class _Parts(Chunks):
    """Content that is sent in parts, between which something happens; before it when there is one only."""

    def __init__(self, data: Content, pieces: int, between: Callable[[], None]) -> None:
        size = len(data) // pieces + 1
        super().__init__([bytes(data)[begin : begin + size] for begin in range(0, len(data), size)])
        self._between = between
        self._silent = 0 if pieces == 1 else 1

    def __iter__(self) -> Iterator[bytes]:
        for number, part in enumerate(super().__iter__()):
            if number >= self._silent:
                self._between()
            yield part


def _interrupted(data: Content, number: signal.Signals, pieces: int = 2) -> Content:
    def interrupt() -> None:
        os.kill(os.getpid(), number)
        time.sleep(1)  # another thread may be the first to notice

    return _Parts(data, pieces, interrupt)


def _slowly(data: Content, seconds: float, pieces: int = 50) -> Content:
    return _Parts(data, pieces, lambda: time.sleep(seconds / pieces))


def _run(job: dict[str, Any]) -> None:
    """The fork: becomes the sink of a job. Ends as the management command does."""
    from django.conf import settings
    from django.core.management import call_command

    from sinks.files import ownership, recovery
    from sinks.files.writer import FilesWriter
    from sinks.folder import store as folder_store
    from sinks.hdfs import store

    os.setsid()
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream, target in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(target, stream)
    settings.SINKS = {job["name"]: job["entry"]}
    settings.KAFKA = {"default": {"bootstrap.servers": job["kafka"]}}
    settings.HDFS = {"default": {"url": job["hdfs"], "user": "hdfs", "timeout_seconds": job["hdfs_timeout"]}}
    settings.ELASTICSEARCH_DSL = {"default": job["elasticsearch"]}
    settings.S3 = {"default": job["s3"]}
    os.environ.update(job["environment"])
    FilesWriter.group = job["files_per_commit"]
    ownership._OLD_RECORDS = job["old_records"]
    recovery._LEASE_SECONDS = 1.0
    # So that the parts of a fault are sent, or written, one after the other.
    store._JOINED_BYTES = -1
    folder_store._PIECE = 64
    _install(job["fault"])
    call_command(*(job["command"] or ["run_sink"]), sink=job["name"])


def main() -> None:
    """Reads jobs from stdin, one JSON object a line; tells pids and exit codes on stdout."""
    import django

    django.setup()
    import sinks.build
    import sinks.management.commands.compact
    import sinks.management.commands.rewind
    import sinks.management.commands.run_sink
    import sinks.s3.store  # noqa: F401 - so that forks have them

    unread = b""
    while True:
        if select.select([0], [], [], 0.02)[0]:
            read = os.read(0, 65536)
            if not read:
                return
            *lines, unread = (unread + read).split(b"\n")
            for line in lines:
                if (pid := os.fork()) == 0:
                    _run(json.loads(line))
                    sys.exit()
                _tell(started=pid)
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                _tell(ended=ended[0], code=os.waitstatus_to_exitcode(ended[1]))
        except ChildProcessError:
            pass  # none runs


def _tell(**message: int) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main()
