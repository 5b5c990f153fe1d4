"""Both addresses and both doors read a body in one way: encodings, character sets, byte order marks, limits."""

import gzip
import zlib
from codecs import BOM_UTF8 as BOM
from collections.abc import Callable
from typing import Any

import pytest

from events import conf
from tests.events.doors import Client
from tests.events.fakes import FakeDelivery

pytestmark = pytest.mark.usefixtures("door")

EVENTS = {
    "/api/select": '{"color": "red", "user": "김"}'.encode(),
    "/api/events": '{"colorName": "red", "userName": "김"}'.encode(),
}
LIMITS = {"/api/select": 2**16, "/api/events": 2**20}

JSON = "application/json"
WRONG_ENCODING = "The Content-Encoding must be gzip or deflate, or none."
WRONG_CHARSET = "The charset must be UTF-8."

Pack = Callable[[bytes], bytes]


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


def recoded(charset: str) -> Pack:
    return lambda body: body.decode().encode(charset)


@pytest.fixture(params=list(EVENTS))
def address(request: pytest.FixtureRequest, settings: Any) -> str:
    """Each address in turn, with a topic of bad events."""
    settings.EVENTS = {**settings.EVENTS, "bad_events": {"topic": "bad"}}
    conf.events_settings.cache_clear()
    return str(request.param)


def post(address: str, body: bytes, content_type: str = JSON, encoding: str = "") -> Any:
    headers = {"Content-Encoding": encoding} if encoding else {}
    # Django's client names no type for an empty body.
    return Client().generic("POST", address, body, headers=headers, CONTENT_TYPE=content_type)


TAKEN: list[tuple[str, str, Pack]] = [
    (JSON, "", lambda body: body),
    (JSON, "identity", lambda body: body),
    (JSON, "gzip", gzip.compress),
    (JSON, " GZip ", gzip.compress),
    (JSON, "x-gzip", gzip.compress),
    (JSON, "gzip", lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:])),
    (JSON, "deflate", zlib.compress),
    (JSON, "", lambda body: BOM + body),
    (JSON, "gzip", lambda body: gzip.compress(BOM + body)),
    (JSON, "", lambda body: b" \r\n\t" + body + b"\n"),
    ("Application/JSON; charset=utf-8", "", lambda body: body),
    ('application/json;version=1; Charset="UTF-8"', "", lambda body: body),
    ("application/json;charset=utf8;", "", lambda body: body),
    ("application/json; charset=us-ascii", "", lambda body: body.decode().encode("ascii", "backslashreplace")),
]


@pytest.mark.parametrize(("content_type", "encoding", "pack"), TAKEN)
def test_a_body_is_taken_however_it_is_packed(
    delivery: FakeDelivery, address: str, content_type: str, encoding: str, pack: Pack
) -> None:
    assert post(address, pack(EVENTS[address]), content_type, encoding).status_code == 202
    assert [event["userName"] for event in delivery.events] == ["김"]


REFUSED: list[tuple[str, str, Pack, int, str]] = [
    (JSON, "br", lambda body: body, 415, WRONG_ENCODING),
    (JSON, "gzip, gzip", lambda body: gzip.compress(gzip.compress(body)), 415, WRONG_ENCODING),
    (JSON, "gzip", lambda body: body, 400, "The body is not gzip."),
    (JSON, "gzip", zlib.compress, 400, "The body is not gzip."),
    (JSON, "gzip", lambda body: gzip.compress(body)[:-3], 400, "The gzip body ends too early."),
    (JSON, "gzip", lambda body: gzip.compress(body) + b"more", 400, "The body is not gzip."),
    (JSON, "deflate", gzip.compress, 400, "The body is not deflate."),
    (JSON, "deflate", raw_deflate, 400, "The body is not deflate."),
    (JSON, "deflate", lambda body: zlib.compress(body)[:-3], 400, "The deflate body ends too early."),
    ("application/json; charset=euc-kr", "", recoded("euc-kr"), 415, WRONG_CHARSET),
    ("application/json; charset=utf-16", "", recoded("utf-16"), 415, WRONG_CHARSET),
    ("application/json; charset=", "", lambda body: body, 415, WRONG_CHARSET),
    *(
        (JSON, "", recoded(name), 415, f"The body must be UTF-8; it looks like {name[:6].upper()}.")
        for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
    ),
]


@pytest.mark.parametrize(("content_type", "encoding", "pack", "status", "detail"), REFUSED)
def test_a_body_that_cannot_be_read_is_refused_with_the_reason_and_not_copied(
    delivery: FakeDelivery, address: str, content_type: str, encoding: str, pack: Pack, status: int, detail: str
) -> None:
    response = post(address, pack(EVENTS[address]), content_type, encoding)
    assert (response.status_code, response.json()) == (status, {"status": "rejected", "detail": detail})
    assert (delivery.records, delivery.bad) == ([], [])


@pytest.mark.parametrize(
    "body", [b"", b" ", b"\xef\xbb\xbf", b"\xff", b"\x00", b"\x1f\x8b", b"\xef\xbb\xbf\xef\xbb\xbf{}"]
)
def test_a_body_that_is_no_json_is_refused_with_a_copy(delivery: FakeDelivery, address: str, body: bytes) -> None:
    response = post(address, body)
    assert (response.status_code, response.json()["status"]) == (400, "rejected")
    assert len(delivery.bad) == 1


@pytest.mark.parametrize(("encoding", "pack"), [("", bytes), ("gzip", gzip.compress), ("deflate", zlib.compress)])
@pytest.mark.parametrize(("more", "status"), [(0, 202), (1, 413)])
def test_each_address_has_a_limit_which_holds_after_inflating(
    delivery: FakeDelivery, address: str, encoding: str, pack: Pack, more: int, status: int
) -> None:
    body = EVENTS[address].ljust(LIMITS[address] + more)
    response = post(address, pack(body), encoding=encoding)
    assert response.status_code == status
    assert str(LIMITS[address]) in response.json().get("detail", str(LIMITS[address]))
