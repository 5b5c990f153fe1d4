"""The web server's own speed: a WSGI application that says 202 and does nothing else."""

from collections.abc import Callable
from typing import Any

BODY = b'{"status":"accepted"}'


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """WSGI's."""
    start_response("202 Accepted", [("Content-Type", "application/json"), ("Content-Length", str(len(BODY)))])
    return [BODY]
