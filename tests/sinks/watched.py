"""A store of files whose operations are watched: schedules and kills decide around each what happens to it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from worker.errors import Retriable

READING = {"read", "walk", "checksum", "exists", "names", "lengths", "length"}
OPERATIONS = {
    *("create", "append", "truncate", "copy", "rename", "replace", "concat", "make_folders", "delete"),
    *("put_new", "upload", "publish", "abandon"),
    *READING,
}

LATE = "late"
"""What `before` may return: the operation is put into `late`, and its caller told that there was no answer."""


class Watched:
    """To be the first base of a store.

    before, after: called around each operation with its name; what they raise is what the caller sees. during: called
    within operations, where these are many steps. changes: how often something may have changed.
    """

    def __init__(self, before: Callable[[str], Any], after: Callable[[str], None]) -> None:
        self.before = before
        self.after = after
        self.during: Callable[[str], None] = lambda name: None
        self.late: list[Callable[[], Any]] = []
        self.changes = 0

    def __getattribute__(self, name: str) -> Any:
        attribute = super().__getattribute__(name)
        if name not in OPERATIONS:
            return attribute

        def operation(*arguments: Any, **options: Any) -> Any:
            if self.before(name) == LATE:
                self.late.append(partial(attribute, *arguments, **options))
                raise Retriable("no answer")
            self.changes += name not in READING
            result = attribute(*arguments, **options)
            self.changes += name not in READING
            self.after(name)
            return result

        return operation
