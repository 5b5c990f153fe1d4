"""What can go wrong in a task. There is an exception for each thing that a sink or a source may do about it."""

from collections.abc import Callable
from typing import Any, TypeVar

C = TypeVar("C")


class Retriable(Exception):
    """The server is away or overloaded: the same step is tried again with backoff, for as long as it takes.

    reason: its kind, for metrics, one of few: "unreachable", "kafka", an HTTP status, or the name of HDFS's exception.
    """

    def __init__(self, text: str, *, reason: str = "other") -> None:
        super().__init__(text)
        self.reason = reason


class Pending(Retriable):
    """The server has begun the work and needs a moment. The step is repeated in the same way, and it is no failure."""


class Fatal(Exception):
    """Going on could lose or repeat records, or can never work: the sink or source stops loudly and exits 1."""


class Fenced(Exception):
    """Another owner has taken the partition over: what is unfinished is abandoned and ownership is asked for anew."""


class Cancelled(Exception):
    """The partition was given up in the middle of a piece of work; its next owner begins that piece again."""


def public_methods(wrap: Callable[[Any], Any]) -> Callable[[type[C]], type[C]]:
    """A decorator of classes, for what a library raises: it wraps every public method that the class itself has."""

    def decorate(cls: type[C]) -> type[C]:
        for name, method in list(vars(cls).items()):
            if callable(method) and not name.startswith("_"):
                setattr(cls, name, wrap(method))
        return cls

    return decorate
