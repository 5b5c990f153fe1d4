"""Notices that this process was told to end, and leaves the signals to the web server. No Django, no Kafka here.

A web server that was told to end first waits for its requests. It may be killed before the last one has ended: then
nothing that runs at the end of a process ever does.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable
from functools import partial

_SIGNALS = {signal.SIGTERM, signal.SIGINT}
_NONE = -1


def when_told_to_end(call: Callable[[], None]) -> None:
    """Calls `call` in a thread of its own at the first SIGTERM or SIGINT that the web server handles.

    Python writes the number of each signal that has a handler to one socket, so the handler itself stays the server's.
    Does nothing outside the main thread, which alone may set the socket, and where something else has set one.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    numbers, told = socket.socketpair()
    told.setblocking(False)
    other = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    if other != _NONE:
        signal.set_wakeup_fd(other)
        return
    told.detach()  # it stays open as long as the process lives
    os.register_at_fork(after_in_child=partial(signal.set_wakeup_fd, _NONE))  # a child's signals are not its parent's
    threading.Thread(target=_wait, args=(numbers, call), name="told-to-end", daemon=True).start()


def _wait(numbers: socket.socket, call: Callable[[], None]) -> None:
    while _SIGNALS.isdisjoint(numbers.recv(64)):
        pass
    call()
