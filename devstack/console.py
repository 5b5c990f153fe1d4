"""Lines of several processes on one terminal: each with its name before it, coloured when a person looks on."""

import sys
import threading
from typing import TextIO

_COLOURS = (36, 33, 35, 32, 34, 31)  # cyan, yellow, magenta, green, blue, red
_OWN_NAME = "devstack"


class Console:
    """Writes whole lines from any thread; goes on silently when nobody reads any more."""

    def __init__(self, names: list[str], stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._lock = threading.Lock()
        self._width = max(len(name) for name in [_OWN_NAME, *names])
        self._colours = dict(zip(names, _COLOURS * len(names), strict=False)) if self._stream.isatty() else {}

    def say(self, line: str) -> None:
        """A line of devstack's own."""
        self.line(_OWN_NAME, line)

    def line(self, name: str, line: str) -> None:
        """A line of the process called `name`."""
        label = name.ljust(self._width)
        if colour := self._colours.get(name):
            label = f"\x1b[{colour}m{label}\x1b[0m"
        self.plain(f"{label} | {line}")

    def plain(self, text: str) -> None:
        """Text without a name."""
        with self._lock:
            try:
                self._stream.write(text + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                pass  # the reader is gone (a closed pipe or terminal): the logs have every line
