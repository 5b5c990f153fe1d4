"""Stands between a client and a server and spoils what passes: loses replies, delays requests, cuts connections."""

import contextlib
import http.client
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

Rule = Callable[[int, str], str]
"""Given the number of a request (from 0) and its request line: "pass", "lose" (it is done, its reply is not sent),
"refuse" (it is not done, the connection is closed), "late" (it is done when the client no longer waits), "slow" (it is
answered as late), or a status such as "429" (it is not done, the answer is this)."""


_PASSED = ("Content-Type", "Accept", "Authorization")
_ANSWERED = ("Content-Type", "Location", "X-Elastic-Product")
_OF_CONNECTION = {"Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length", "Expect", "Date", "Server"}
_ERROR = b'{"error":{"type":"proxy_exception","reason":"the proxy says so"}}'


class HttpProxy:
    """In front of a NameNode or an Elasticsearch.

    upstream: the server's URL; rule: what happens to each request; redirect: a host:port that takes the place of the
    one that the server redirects to, given that; late_seconds: how late "late" is; authorization: the only value of
    that header that is let in; certificate: a PEM file with key and certificate, for https.

    passes_all: every header of a request and an answer is passed on, as signed requests need it; told: the statuses
    that it answers, without a body, in place of others.
    """

    def __init__(
        self,
        upstream: str,
        rule: Rule = lambda number, line: "pass",
        *,
        redirect: Callable[[str], str] = lambda address: address,
        late_seconds: float = 0.0,
        authorization: str | None = None,
        certificate: Path | None = None,
        passes_all: bool = False,
        told: Mapping[int, int] | None = None,
    ) -> None:
        self._is_tls = certificate is not None
        self.spoilt: list[str] = []
        """The request lines that did not simply pass, each after what happened to it."""
        address = urlsplit(upstream).netloc
        numbers = itertools.count()
        spoilt = self.spoilt

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_one_request(self) -> None:
                with contextlib.suppress(ConnectionError):
                    super().handle_one_request()

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                fate = rule(next(numbers), self.requestline)
                if authorization is not None and self.headers.get("Authorization") != authorization:
                    fate = "401"
                if fate != "pass":
                    spoilt.append(f"{fate}: {self.requestline}")
                if fate == "refuse":
                    self.close_connection = True
                    return
                if fate.isdecimal():
                    self._answer(int(fate), {"X-Elastic-Product": "Elasticsearch"}, _ERROR)
                    return
                if fate in ("late", "slow"):
                    time.sleep(late_seconds)
                connection = http.client.HTTPConnection(address, timeout=60)
                try:
                    passed_on = set(self.headers) - _OF_CONNECTION if passes_all else _PASSED
                    headers = {name: value for name in passed_on if (value := self.headers.get(name))}
                    headers["Content-Length"] = str(len(body))
                    connection.request(self.command, self.path, body=body, headers=headers)
                    response = connection.getresponse()
                    answer = response.read()
                except (OSError, http.client.HTTPException):
                    fate = "lose"  # the server is away
                finally:
                    connection.close()
                if fate not in ("pass", "slow"):
                    self.close_connection = True
                    return
                answered = set(response.headers) - _OF_CONNECTION if passes_all else _ANSWERED
                passed = {name: value for name in answered if (value := response.getheader(name))}
                if "Location" in passed:
                    there = urlsplit(passed["Location"])
                    passed["Location"] = there._replace(netloc=redirect(there.netloc)).geturl()
                if told and response.status in told:
                    self._answer(told[response.status], {}, b"")
                    return
                self._answer(response.status, passed, answer)

            def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_PUT = do_POST = do_DELETE = do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"{'https' if self._is_tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "HttpProxy":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class CuttingProxy:
    """Passes bytes on; closes both sides of a connection when so many bytes have gone to the server.

    upstream: host:port; allowed: how many bytes a connection may send, given its number (from 0); None for any number.
    silent: whether a connection is closed in place of the server's last word, given its number.
    """

    def __init__(
        self, upstream: str, allowed: Callable[[int], int | None], silent: Callable[[int], bool] = lambda number: False
    ) -> None:
        self._upstream = upstream.split(":")
        self._allowed = allowed
        self._silent = silent
        self.cut = 0
        """Connections that were cut."""

    @property
    def address(self) -> str:
        """host:port for clients."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "CuttingProxy":
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            for number in itertools.count():
                client, _ = self._listener.accept()
                server = socket.create_connection((self._upstream[0], int(self._upstream[1])))
                threading.Thread(target=self._send, args=(client, server, self._allowed(number)), daemon=True).start()
                threading.Thread(target=self._answer, args=(server, client, self._silent(number)), daemon=True).start()

    def _send(self, client: socket.socket, server: socket.socket, allowed: int | None) -> None:
        for data in _received(client):
            if allowed is not None and len(data) > allowed:
                self.cut += 1
                server.sendall(data[:allowed])
                _close(client)
                break
            self._pass(data)
            server.sendall(data)
            allowed = allowed - len(data) if allowed is not None else None
        _close(server)

    def _pass(self, data: bytes) -> None:
        """Is told what goes to the server next, and may take its time."""

    def _answer(self, server: socket.socket, client: socket.socket, silent: bool) -> None:
        with contextlib.suppress(OSError):  # cut
            for data in _received(server):
                if silent and not data.startswith(b"HTTP/1.1 100"):
                    self.cut += 1
                    break
                client.sendall(data)
        _close(client)


class SlowProxy(CuttingProxy):
    """Passes so many bytes a second on to the server, over all connections together; the rate may be changed."""

    def __init__(self, upstream: str, bytes_per_second: float) -> None:
        super().__init__(upstream, lambda number: None)
        self.bytes_per_second = bytes_per_second
        self._line = threading.Lock()

    def _pass(self, data: bytes) -> None:
        with self._line:
            time.sleep(len(data) / self.bytes_per_second)


def _received(connection: socket.socket) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        while data := connection.recv(65536):
            yield data


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
