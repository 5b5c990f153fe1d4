"""A source that polls JSON: what becomes of answers, and of what is no answer."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sources.http.config import HttpTarget
from sources.http.kind import HttpKind
from sources.http.reader import HttpReader
from worker.errors import Fatal, Retriable


class Server:
    """Answers as a test says; keeps what it was asked."""

    def __init__(self) -> None:
        self.answer: Callable[[BaseHTTPRequestHandler], None] = lambda handler: send(handler, b'{"value": 1}')
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.asked.append((f"{self.command} {self.path}", headers, body))
                server.answer(self)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def send(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def reader(server: Server, clock: Callable[[], float] = time.time, url: str = "", **values: Any) -> HttpReader:
    """Asks the server every 10 seconds."""
    target = HttpTarget(urls=(), topic="metrics", **values)
    made = HttpReader("jolokia", "part", url or f"http://{server.address}/read?a=b", target, 10.0, clock)
    made.open(None)
    return made


def test_an_answer_becomes_a_record_with_source_host_and_time(server: Server) -> None:
    chunk = reader(server, lambda: 1_800_000_000.5).read()
    assert chunk is not None
    (record,) = chunk.records
    assert (record.topic, record.key, record.timestamp) == ("metrics", b"part", 1_800_000_000_500)
    assert json.loads(record.value or b"") == {
        "source": "jolokia",
        "host": server.address,
        "time": 1_800_000_000_500,
        "answer": {"value": 1},
    }
    assert (chunk.position, chunk.more) == ({"time": 1_800_000_000_500}, False)
    assert server.asked[0][0] == "GET /read?a=b"


def test_the_time_of_a_record_is_that_of_the_answer(server: Server) -> None:
    now = iter([1_800_000_000.0, 1_800_000_007.0])
    chunk = reader(server, lambda: next(now)).read()
    assert chunk is not None
    assert (chunk.records[0].timestamp, chunk.position) == (1_800_000_007_000, {"time": 1_800_000_007_000})


def test_it_asks_every_poll_seconds_also_over_a_restart(server: Server) -> None:
    now = 1_800_000_000.0
    first = reader(server, lambda: now)
    chunk = first.read()
    assert chunk is not None
    now += 5
    assert first.read() is None
    again = reader(server, lambda: now)
    again.open(chunk.position)
    assert again.read() is None
    now += 5
    assert again.read() is not None
    assert len(server.asked) == 2


def test_credentials_and_headers_are_sent_and_a_document_can_be_posted(server: Server) -> None:
    url = f"http://kim:p%40ss@{server.address}/x"
    asking = reader(server, url=url, headers={"X-Token": "t"}, post=[{"type": "read"}])
    assert asking.read() is not None
    ((request, headers, body),) = server.asked
    assert (request, json.loads(body)) == ("POST /x", [{"type": "read"}])
    assert (headers["authorization"], headers["x-token"]) == ("Basic a2ltOnBAc3M=", "t")


@pytest.mark.parametrize(
    ("answer", "reason", "text"),
    [
        (lambda handler: send(handler, b"no", 503), "503", "HTTP 503"),
        (lambda handler: send(handler, b"", 302, Location="file:///etc/passwd"), "302", "the URL that it redirects to"),
        (lambda handler: send(handler, b"<html>"), "invalid", "the answer is no JSON"),
        (lambda handler: send(handler, b'"\xff"'), "invalid", "the answer is no JSON"),
        (lambda handler: send(handler, b'{"a": 1} {"b": 2}'), "invalid", "the answer is no JSON"),
        (lambda handler: send(handler, b"[" * 1900), "invalid", "the answer is no JSON"),
        (lambda handler: send(handler, b"[" + b"1," * 2000 + b"1]"), "too large", r"more than max_bytes \(2000\)"),
        (lambda handler: send(handler, b"{}", Content_Encoding="gzip"), "invalid", "compressed"),
        (lambda handler: send(handler, b"{}", Content_Length="9"), "unreachable", "part: "),
        (lambda handler: handler.connection.close(), "unreachable", "part: "),
    ],
)
def test_what_is_no_answer_is_tried_again(
    server: Server, answer: Callable[[BaseHTTPRequestHandler], None], reason: str, text: str
) -> None:
    server.answer = answer
    asking = reader(server, max_bytes=2000)
    with pytest.raises(Retriable, match=text) as told:
        asking.read()
    assert told.value.reason == reason
    server.answer = lambda handler: send(handler, b"{}")
    assert asking.read() is not None


@pytest.mark.parametrize("piece", [b" " * 70_000, b" "])
def test_a_server_that_drips_is_given_up(server: Server, piece: bytes) -> None:
    enough = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        send(handler, b"[")
        while not enough.wait(0.05):
            handler.wfile.write(piece)

    server.answer = drip
    held = threading.Timer(5, enough.set)
    held.start()
    with pytest.raises(Retriable, match=r"no whole answer within 0\.3 s"):
        reader(server, timeout_seconds=0.3, max_bytes=100_000_000).read()
    assert not enough.is_set(), "the reader was held for as long as the server dripped"
    held.cancel()
    enough.set()


@pytest.mark.parametrize("position", [{}, {"time": "now"}, {"time": 1, "more": 2}, {"next": 3}])
def test_a_position_of_another_kind_stops_the_source_and_can_not_be_given(
    server: Server, position: dict[str, Any]
) -> None:
    with pytest.raises(Fatal, match="the position of part can't be understood"):
        reader(server).open(position)
    with pytest.raises(ValueError, match=r'must be like \{"time"'):
        HttpKind().position(None, "part", json.dumps(position))  # type: ignore[arg-type]


def test_a_server_that_is_not_there_is_told_without_the_url(server: Server) -> None:
    server.close()
    with pytest.raises(Retriable) as told:
        reader(server, url=f"http://kim:geheim@{server.address}/geheim").read()
    assert "geheim" not in str(told.value)
