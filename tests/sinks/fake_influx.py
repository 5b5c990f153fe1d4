"""A server of time series in memory, by real HTTP, that answers writes as a test wants."""

import gzip
import json
import threading
from base64 import b64decode
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, str]


class FakeInflux:
    """Keeps lines. rule: given the lines of a write and its number (from 0), the answer; 204 stores the lines.

    As InfluxDB does, it stores the other lines of a write with some that `refuses`.
    """

    def __init__(
        self,
        rule: Callable[[list[str], int], Answer] = lambda lines, number: (204, ""),
        refuses: Callable[[str], bool] = lambda line: False,
    ) -> None:
        self.lines: list[str] = []
        self.sizes: list[int] = []
        """How many lines each write had."""
        self.queries: list[dict[str, list[str]]] = []
        self.headers: list[dict[str, str]] = []
        self.check: Answer = (204, "")
        """The answer to a write without lines."""
        self.is_influxdb = True
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if not (lines := body.decode().splitlines()):
                    self._answer(*fake.check)
                    return
                fake.queries.append(parse_qs(urlsplit(self.path).query))
                fake.headers.append(dict(self.headers))
                fake.sizes.append(len(lines))
                status, text = rule(lines, len(fake.sizes) - 1)
                if status == 204:
                    refused = [line for line in lines if refuses(line)]
                    fake.lines += [line for line in lines if line not in refused]
                    if refused:
                        status, text = 400, f"partial write: field type conflict dropped={len(refused)}"
                self._answer(status, text)

            def _answer(self, status: int, reason: str) -> None:
                text = json.dumps({"error": reason}) if reason else ""
                self.send_response(status)
                self.send_header("X-Influxdb-Version", "1.6.7")
                if fake.is_influxdb:
                    self.send_header("X-Influxdb-Build", "OSS")
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                if status != 204:
                    self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                if status != 204:
                    self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def address(self) -> str:
        """Its host and port."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def credentials(self) -> str:
        """User and password of the last write."""
        return b64decode(self.headers[-1]["Authorization"].removeprefix("Basic ")).decode()

    def __enter__(self) -> "FakeInflux":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()
