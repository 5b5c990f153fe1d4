"""Closes the clients of Kafka that nothing uses any more.

Such a client has threads and connections until nothing refers to it. An exception and the frames that it names refer to
each other, and so keep the client of a request that failed. Python looks for such circles when many objects were made:
`save_memory` makes that rare, and a process that does little would come to it after days.
"""

import gc
import threading
import time

_SECONDS = 10.0
"""At most once in so many: no thread works meanwhile, for up to 0.2 s in a sink that is busy."""

_is_there = threading.Event()


def may_be_there() -> None:
    """Something has failed, or a task has ended: soon what it has left is removed."""
    _is_there.set()


def remove_for_ever() -> None:
    """What a thread of its own does until its process ends."""
    while True:
        _is_there.wait()
        time.sleep(_SECONDS)
        _is_there.clear()
        gc.collect()
