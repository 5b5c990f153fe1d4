"""A server that forks sources which die or stop at a chosen step; see tests.sources.processes.

It has everything imported, so that a source is there in a moment. Each fork runs a management command as it is.

A fault is a dict: `step` is one of STEPS, `number` the how-manieth time it is done (from 0), `after` whether it is done
before the process is hit by `signal`.
"""

import functools
import json
import os
import select
import signal
import sys
from typing import Any

STEPS = {"take over": "take_over", "begin": "begin", "produce": "produce", "commit": "commit", "read positions": "read"}


def _install(fault: dict[str, Any]) -> None:
    from sources.positions import Positions
    from sources.transactions import Transactions

    method = STEPS[fault["step"]]
    owner: Any = Positions if method == "read" else Transactions
    original = getattr(owner, method)
    left = fault["number"]

    def hit() -> None:
        os.kill(os.getpid(), signal.Signals[fault["signal"]])

    @functools.wraps(original)
    def faulty(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left == -1 and not fault["after"]:
            hit()
        result = original(*args, **kwargs)
        if left == -1 and fault["after"]:
            hit()
        return result

    setattr(owner, method, faulty)


def _run(job: dict[str, Any]) -> None:
    """The fork: becomes the source of a job. Ends as the management command does."""
    from django.conf import settings
    from django.core.management import call_command

    os.setsid()
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream, target in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(target, stream)
    settings.SOURCES = {job["name"]: job["entry"]}
    settings.KAFKA = {"default": {"bootstrap.servers": job["kafka"]}}
    if job["fault"]:
        _install(job["fault"])
    call_command("run_source", source=job["name"])


def main() -> None:
    """Reads jobs from stdin, one JSON object a line; tells pids and exit codes on stdout."""
    import django

    django.setup()
    import sources.management.commands.run_source  # noqa: F401 - so that forks have it
    from sources import registry
    from tests.sources.numbers import NumbersKind

    registry.KINDS["numbers"] = NumbersKind()
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
