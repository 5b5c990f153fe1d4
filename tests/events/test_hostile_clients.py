"""Clients that break the rules of HTTP, on the real web server: never a 500, and others are answered meanwhile."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.events.web import Web, status_of

GOOD = b"/api/select?color=red&user=Ada"
EVENT = json.dumps({"colorName": "red", "userName": "Ada"}).encode()

# One of the server's blocking threads (8 a worker) is held by each.
SLOW_CLIENTS = 6
SLOW_SECONDS = 1.0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the site; no Kafka is there, so events go to the spool."""
    spool: Path = tmp_path_factory.mktemp("spool")
    env = {
        "DJANGO_SETTINGS_MODULE": "settings.test",
        "EVENTS_SPOOL_PATH": str(spool),
        "EVENTS_FLUSH_SECONDS": "0",
    }
    web = Web(env)
    yield web.url
    web.kill()


def connect(url: str) -> socket.socket:
    host, _, port = url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def answer(connection: socket.socket) -> int | None:
    """The status of the answer, None when the server ends the connection without one."""
    received = b""
    with suppress(ConnectionError):
        while b"\r\n" not in received and (more := connection.recv(4096)):
            received += more
    return int(received.split(b" ", 2)[1]) if received else None


def post(body: bytes, *headers: bytes, path: bytes = b"/api/events", length: bytes | None = None) -> bytes:
    """A POST of JSON; length: what Content-Length says, b"" for no such header."""
    declared = b"%d" % len(body) if length is None else length
    lines = [b"POST %s HTTP/1.1" % path, b"Host: localhost", b"Content-Type: application/json", *headers]
    if declared != b"":
        lines.append(b"Content-Length: %s" % declared)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def get(*headers: bytes, path: bytes = GOOD) -> bytes:
    """A GET."""
    return b"\r\n".join([b"GET %s HTTP/1.1" % path, b"Host: localhost", *headers]) + b"\r\n\r\n"


REFUSED = {400, 411, 413, 414, 431, None}

REQUESTS: dict[str, tuple[bytes, set[int | None]]] = {
    "good": (post(EVENT), {202}),
    "no length": (post(b"", length=b""), {400, 411}),
    "a body without a length": (post(EVENT, length=b""), REFUSED),
    "a length that is negative": (post(EVENT, length=b"-5"), REFUSED),
    "a length that is no number": (post(EVENT, length=b"12abc"), REFUSED),
    "a length that no computer holds": (post(EVENT, length=b"9" * 40), REFUSED),
    "a length that is large": (post(EVENT, length=b"9999999999"), REFUSED),
    "two lengths": (post(EVENT, b"Content-Length: 5"), REFUSED),
    "a length and chunks": (post(b"0\r\n\r\n", b"Transfer-Encoding: chunked"), REFUSED | {202}),
    "chunks that are none": (post(b"zz\r\nhello\r\n", b"Transfer-Encoding: chunked", length=b""), REFUSED),
    "an unknown encoding of transfer": (post(EVENT, b"Transfer-Encoding: zip"), REFUSED | {202}),
    "a length that is too short": (post(EVENT, length=b"10"), {400}),
    "500 headers": (get(*(b"X-%d: 1" % number for number in range(500))), REFUSED | {202}),
    "a header of 1 MB": (get(b"X-Large: " + b"x" * 1_000_000), REFUSED),
    "a User-Agent of 60 KB": (get(b"User-Agent: " + b"x" * 60_000), REFUSED | {202}),
    "a query of 1 MB": (get(path=GOOD + b"&x=" + b"y" * 1_000_000), REFUSED),
    "bytes in the path": (get(path=b"/api/select\xff\xfe?color=red&user=a"), REFUSED | {404}),
    "bytes in the query": (get(path=b"/api/select?color=red&user=\xff\xed\xa0\x80"), REFUSED),
    "half a character in the query": (get(path=b"/api/select?color=red&user=%ED%A0%80"), {400}),
    "bytes in a header": (get(b"User-Agent: \xff\xfe\xed\xa0\x80"), REFUSED | {202}),
    "a line break in a header": (get(b"User-Agent: a\r\n folded"), REFUSED | {202}),
    "no host": (b"GET %s HTTP/1.1\r\n\r\n" % GOOD, REFUSED),
    "a method that is none": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", REFUSED),
    "invalid UTF-8 in the body": (post(b'{"colorName":"\xff","userName":"Ada"}'), {400}),
    "half a character in the body": (post(b'{"colorName":"red","userName":"\\udc00"}'), {400}),
    "deep nesting": (post(b'{"a":' * 100_000), {400}),
    "deep nesting in an array": (post(b"[" * 500_000 + b"]" * 500_000), {400}),
    "a name that is given twice": (post(b'{"colorName":"red","colorName":"blue","userName":"Ada"}'), {202}),
    "a huge number": (post(b'{"colorName":' + b"9" * 100_000 + b',"userName":"Ada"}'), {400}),
    "a huge exponent": (post(b'{"colorName":1e999999999,"userName":"Ada"}'), {400}),
    "gzip that is none": (post(EVENT, b"Content-Encoding: gzip"), {400}),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_strange_request_is_refused_or_read_and_others_are_answered(site: str, name: str) -> None:
    request, expected = REQUESTS[name]
    with connect(site) as connection:
        with suppress(ConnectionError):  # it may be refused before it was sent
            connection.sendall(request)
        assert answer(connection) in expected
    assert status_of(site + GOOD.decode()) == 202


def test_clients_that_are_slow_are_waited_for_while_others_are_answered(site: str) -> None:
    request = post(EVENT)
    connections = [connect(site) for _ in range(SLOW_CLIENTS)]
    pieces = [request[:-6], *(request[-6 + place : len(request) - 5 + place] for place in range(6))]
    for piece in pieces:
        for connection in connections:
            connection.sendall(piece)
        begin = time.monotonic()
        assert status_of(site + GOOD.decode()) == 202
        assert time.monotonic() - begin < 5
        time.sleep(SLOW_SECONDS / len(pieces))
    assert [answer(connection) for connection in connections] == [202] * SLOW_CLIENTS
    for connection in connections:
        connection.close()


def test_clients_that_go_away_in_the_middle_leave_no_thread_behind(site: str) -> None:
    for _ in range(40):
        with connect(site) as connection:
            connection.sendall(post(EVENT, length=b"1000"))
    for _ in range(20):
        assert status_of(site + GOOD.decode()) == 202
