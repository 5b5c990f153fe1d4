"""Begins and ends a process that runs tasks."""

import ctypes
import gc
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

from django.core.management.base import CommandError
from prometheus_client import CollectorRegistry

from worker import garbage
from worker.monitor import Report, monitor_app, serve

logger = logging.getLogger(__name__)

DATABASE_SECONDS = 3.0
"""How long a process waits for its first and for its last heartbeat."""

LEAVING_SECONDS = 5.0
"""What leaving the group and closing connections may take after everything is committed."""

_GC_THRESHOLDS = (100_000, 20, 100)
"""How many new objects bring a garbage collection: messages come by the thousand and never are garbage of its kind."""

_MALLOC_ARENA_MAX = -8
"""M_ARENA_MAX of glibc's malloc.h."""


def save_memory() -> None:
    """Settings of Python and the C library for threads that pass much data on; measured in docs/performance.md."""
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    threading.Thread(target=garbage.remove_for_ever, name="garbage", daemon=True).start()
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):  # glibc: else each thread keeps what others could use
        mallopt(_MALLOC_ARENA_MAX, 2)


def serve_monitor(
    name: str, registry: CollectorRegistry, report: Callable[[], Report], *, where: str, host: str, port: int
) -> None:
    """Serves /metrics, /healthz and /status until the process ends.

    name: of the sink or source; where: the entry of the settings. Raises CommandError when the port is not to be had.
    """
    where = f"{where}: metrics_port (--metrics-port)"
    if not 1 <= port <= 65535:
        raise CommandError(f"{where} is {port}; it must be between 1 and 65535")
    try:
        serve(monitor_app(registry, report), host=host, port=port)
    except OSError as error:
        raise CommandError(f"{where}: can't listen on {host}:{port}: {error.strerror}") from error
    logger.info("%s: metrics and status on http://%s:%d", name, host, port)


def leave(code: int) -> NoReturn:
    """Ends the process at once: threads that still wait for a server's answer must not hold it."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)
