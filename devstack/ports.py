"""TCP ports on 127.0.0.1: is one free, and which were chosen for a data folder."""

import json
import random
import socket
from dataclasses import dataclass
from pathlib import Path

from devstack.errors import DevstackError
from devstack.locks import locked

HOST = "127.0.0.1"

# Below Linux's range for outgoing connections (32768 and up): a port from that range could be taken by any
# client while its server is down, even by a client that tries to reconnect to that very server.
_RANGE = range(10_000, 32_000)


@dataclass(frozen=True)
class Port:
    """A port that a server listens on; `setting` is the environment variable that moves it, if any."""

    number: int
    wanted_by: str
    setting: str = ""

    def check_free(self) -> None:
        """Raise DevstackError when something listens on this port."""
        if not is_free(self.number):
            hint = f"set {self.setting}" if self.setting else "stop what holds it"
            raise DevstackError(f"port {self.number} is taken ({self.wanted_by} wants it; {hint})")


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def accepts(port: int, timeout: float = 1.0) -> bool:
    """Whether something accepts a TCP connection on 127.0.0.1:`port` within `timeout` seconds."""
    try:
        with socket.create_connection((HOST, port), timeout=timeout):
            return True
    except OSError:
        return False


def choose_free(avoid: set[int]) -> int:
    """A port that is free now and not in `avoid`. Raises DevstackError when none is found."""
    for port in random.sample(_RANGE, k=200):
        if port not in avoid and is_free(port):
            return port
    raise DevstackError(f"no free port found between {_RANGE.start} and {_RANGE.stop}")


class PortBook:
    """Named ports, chosen free once and remembered in a file, so that a restart finds the same ones."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def port(self, name: str) -> int:
        """The port remembered as `name`; a free one is chosen and written down the first time."""
        ports = self._read()
        if name not in ports:
            with locked(self._path.with_suffix(".lock")):
                ports = self._read()
                if name not in ports:
                    ports[name] = choose_free(avoid=set(ports.values()))
                    new = self._path.with_suffix(".new")
                    new.write_text(json.dumps(ports, indent=2) + "\n")
                    new.replace(self._path)
        return ports[name]

    def _read(self) -> dict[str, int]:
        return dict(json.loads(self._path.read_text())) if self._path.exists() else {}
