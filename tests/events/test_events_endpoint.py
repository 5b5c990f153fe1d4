"""POST /api/events through both doors: good events are taken, bad ones named, each limit has an answer of its own."""

import gzip
import json
import zlib
from itertools import product
from typing import Any

import pytest

from events.delivery import Mode
from tests.events.doors import Client
from tests.events.fakes import FakeDelivery

pytestmark = pytest.mark.usefixtures("door")

URL = "/api/events"
ADA = {"colorName": "red", "userName": "Ada"}
ID = "0B6C0B9E-8f1e-4c51-9d0e-3a4f1c7f2a11"
NO_UUID = {"id": "Must be a UUID, as in 123e4567-e89b-12d3-a456-426614174000."}


def post(body: object, content_type: str = "application/json", query: str = "", **headers: str) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Client().post(
        f"{URL}{query}", data, content_type, headers={"User-Agent": "agent/1", **headers}, CONTENT_TYPE=content_type
    )


def answer(response: Any) -> tuple[int, Any]:
    return response.status_code, response.json()


def test_one_event_is_accepted(delivery: FakeDelivery) -> None:
    assert answer(post(ADA)) == (202, {"status": "accepted", "accepted": 1, "rejected": []})
    (event,) = delivery.events
    assert list(event) == ["timestamp", "userAgent", "colorName", "userName"]
    assert (event["userAgent"], event["colorName"], event["userName"]) == ("agent/1", "red", "Ada")
    assert delivery.taken[0].headers is None


def test_an_array_is_accepted_in_its_order(delivery: FakeDelivery) -> None:
    users = [f"user-{number}" for number in range(1000)]
    assert answer(post([{**ADA, "userName": user} for user in users]))[1]["accepted"] == 1000
    assert [event["userName"] for event in delivery.events] == users


def test_a_bad_event_is_named_and_the_good_ones_are_taken(delivery: FakeDelivery) -> None:
    events = [ADA, {**ADA, "userName": "", "id": ID}, 5, {"event": "no-such"}, {**ADA, "id": "1"}, {}, ADA]
    status, body = answer(post(events))
    assert (status, body["status"], body["accepted"]) == (202, "accepted", 2)
    assert [(rejected["index"], rejected["errors"]) for rejected in body["rejected"]] == [
        (1, {"userName": "Must not be empty."}),
        (2, {"event": "Must be a JSON object."}),
        (3, {"event": "Must be one of select-color."}),
        (4, NO_UUID),
        (5, {"colorName": "This field is required.", "userName": "This field is required."}),
    ]
    assert [rejected.get("id") for rejected in body["rejected"]] == [ID, None, None, None, None]
    assert len(delivery.taken) == 2


def test_half_a_character_spoils_its_own_event_alone(delivery: FakeDelivery) -> None:
    status, body = answer(post(b'[{"colorName":"red","userName":"a"},{"colorName":"red","userName":"\\ud800"}]'))
    assert (status, body["accepted"], body["rejected"][0]["index"]) == (202, 1, 1)


@pytest.mark.parametrize(
    "bad",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"colorName":"red","userName":"a","extra":' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"colorName":"red","userName":"a","extra":' + b"9" * 5000 + b"}",
        b'{"colorName":"red","userName":"a","extra":NaN}',
    ],
    ids=["arrays", "deep", "digits", "constant"],
)
def test_an_event_that_can_not_be_read_spoils_no_other(delivery: FakeDelivery, bad: bytes) -> None:
    tricky = {**ADA, "userName": 'a\\"]},[{'}
    events = b",".join([json.dumps(tricky).encode(), bad, json.dumps(ADA).encode()])
    status, body = answer(post(b" [" + events + b"]\n"))
    assert (status, body["accepted"], [one["index"] for one in body["rejected"]]) == (202, 2, [1])
    assert list(body["rejected"][0]["errors"]) == ["event"]
    assert [event["userName"] for event in delivery.events] == ['a\\"]},[{', "Ada"]
    assert post(b"[" + bad + b"]").json()["accepted"] == 0


def test_beside_an_event_that_can_not_be_read_names_of_any_characters_arrive(delivery: FakeDelivery) -> None:
    names = ["".join(characters) for characters in product('\\"[]{},:', repeat=3)]
    events = ['{"extra": NaN}', *(json.dumps({**ADA, "userName": name}) for name in names)]
    status, body = answer(post(f"[{', '.join(events)}]".encode()))
    assert (status, body["accepted"], [one["index"] for one in body["rejected"]]) == (202, len(names), [0])
    assert [event["userName"] for event in delivery.events] == names


@pytest.mark.parametrize("body", [b"[" * 5000, b"[" * 5000 + b"]" * 5001, b'[NaN, "' + b'\\"' * 200_000, b"[NaN] 1"])
def test_a_batch_that_does_not_end_is_refused_as_a_whole(delivery: FakeDelivery, body: bytes) -> None:
    status, said = answer(post(body))
    assert (status, "rejected" in said) == (400, False)


def test_when_every_event_is_bad_the_answer_is_400(delivery: FakeDelivery) -> None:
    status, body = answer(post([{}, {}]))
    assert (status, body["status"], body["accepted"], len(body["rejected"])) == (400, "rejected", 0, 2)
    assert delivery.modes == []


def test_fields_that_the_server_sets_or_does_not_know_are_ignored(delivery: FakeDelivery) -> None:
    post({**ADA, "timestamp": "1999-01-01T00:00:00Z", "userAgent": "mine", "more": {"a": 1}})
    assert "1999" not in delivery.events[0]["timestamp"]
    assert delivery.events[0]["userAgent"] == "agent/1"
    assert "more" not in delivery.events[0]


def test_the_id_of_an_event_travels_as_a_header(delivery: FakeDelivery) -> None:
    post([{**ADA, "id": ID}, {**ADA, "id": None}])
    assert [record.headers for record in delivery.taken] == [[("event.id", ID.lower().encode())], None]


@pytest.mark.parametrize("event_id", ["", "x", 5, ID + "0", ID.replace("-", ""), f"{ID}\n", [ID]])
def test_an_id_that_is_no_uuid_is_refused(delivery: FakeDelivery, event_id: object) -> None:
    assert answer(post({**ADA, "id": event_id}))[1]["rejected"][0]["errors"] == NO_UUID


# --- How it may be sent


@pytest.mark.parametrize("content_type", ["text/plain", "text/plain;charset=UTF-8", "Application/JSON; charset=utf-8"])
def test_a_beacon_is_accepted(delivery: FakeDelivery, content_type: str) -> None:
    assert post([ADA], content_type).status_code == 202


@pytest.mark.parametrize("content_type", ["", "application/x-www-form-urlencoded", "text/html"])
def test_other_types_are_refused(delivery: FakeDelivery, content_type: str) -> None:
    assert answer(post([ADA], content_type)) == (
        415,
        {"status": "rejected", "detail": "The Content-Type must be application/json or text/plain."},
    )


def test_a_gzip_body_is_accepted(delivery: FakeDelivery) -> None:
    body = gzip.compress(json.dumps([ADA] * 10).encode())
    assert answer(post(body, **{"Content-Encoding": "gzip"}))[1]["accepted"] == 10
    first, second = (gzip.compress(part) for part in (b'[{"colorName":"red",', b'"userName":"Ada"}]'))
    assert post(first + second, **{"Content-Encoding": "GZIP"}).status_code == 202


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"not gzip", "The body is not gzip."),
        (gzip.compress(b"[{}]", mtime=0)[:-3], "The gzip body ends too early."),
        (gzip.compress(b"[{}]", mtime=0) + b"more", "The body is not gzip."),
        (zlib.compress(b"[{}]"), "The body is not gzip."),
    ],
)
def test_a_body_that_is_not_gzip_is_refused(delivery: FakeDelivery, body: bytes, detail: str) -> None:
    assert answer(post(body, **{"Content-Encoding": "gzip"})) == (400, {"status": "rejected", "detail": detail})


def test_another_encoding_is_refused(delivery: FakeDelivery) -> None:
    assert post(b"x", **{"Content-Encoding": "br"}).status_code == 415
    assert post(ADA, **{"Content-Encoding": "identity"}).status_code == 202


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"{",
        b"[",
        b"5",
        b"null",
        b'"text"',
        b"[{}",
        b"[{}] []",
        b"\xff",
        b'{"a":"\xff"}',
        b"[" * 100_000,
        b"[1",
    ],
)
def test_a_body_that_is_no_event_and_no_array_is_refused(delivery: FakeDelivery, body: bytes) -> None:
    status, said = answer(post(body))
    assert (status, said["status"]) == (400, "rejected")
    assert said["detail"].startswith("The body must be an event or an array of events, in JSON")


def test_an_empty_batch_is_refused(delivery: FakeDelivery) -> None:
    assert answer(post([])) == (400, {"status": "rejected", "detail": "The batch has no events."})


@pytest.mark.parametrize("method", ["get", "put", "delete", "head"])
def test_other_methods_are_refused(delivery: FakeDelivery, method: str) -> None:
    response = getattr(Client(), method)(URL)
    assert (response.status_code, response["Allow"]) == (405, "POST, OPTIONS")


# --- Limits


def padded(size: int) -> bytes:
    return json.dumps([ADA]).encode().ljust(size)


@pytest.mark.parametrize(("size", "status"), [(2**20, 202), (2**20 + 1, 413)])
def test_the_limit_of_the_body_is_exact(delivery: FakeDelivery, size: int, status: int) -> None:
    assert post(padded(size)).status_code == status


@pytest.mark.parametrize(("size", "status"), [(2**20, 202), (2**20 + 1, 413)])
def test_the_limit_holds_after_inflating(delivery: FakeDelivery, size: int, status: int) -> None:
    response = post(gzip.compress(padded(size)), **{"Content-Encoding": "gzip"})
    assert response.status_code == status
    if status == 413:
        assert response.json()["detail"] == "The body is too large when inflated; at most 1048576 bytes are accepted."


def test_a_bomb_is_not_inflated(delivery: FakeDelivery) -> None:
    deflate = zlib.compressobj(9, wbits=31)
    bomb = b"".join(deflate.compress(b" " * 2**20) for _ in range(60)) + deflate.flush()
    assert len(bomb) < 2**20
    assert post(bomb, **{"Content-Encoding": "gzip"}).status_code == 413


def test_too_many_events_are_refused(delivery: FakeDelivery) -> None:
    assert answer(post([ADA] * 1001)) == (
        413,
        {"status": "rejected", "detail": "The batch has 1001 events; at most 1000 are accepted."},
    )
    assert delivery.taken == []


def test_an_event_that_is_too_large_is_named(delivery: FakeDelivery) -> None:
    long = {"User-Agent": "x" * 33_000}
    status, body = answer(post([ADA, ADA], **long))
    assert status == 400
    assert body["rejected"][1]["errors"]["event"].startswith("Must be at most 32768 bytes, not 33")


# --- Modes


@pytest.mark.parametrize(
    ("query", "mode", "status"),
    [
        ("", Mode.ACCEPTED, 202),
        ("?mode=accepted", Mode.ACCEPTED, 202),
        ("?mode=spooled&x=1", Mode.SPOOLED, 202),
        ("?mode=acknowledged", Mode.ACKNOWLEDGED, 201),
    ],
)
def test_a_request_names_its_mode(delivery: FakeDelivery, query: str, mode: Mode, status: int) -> None:
    assert post(ADA, query=query).status_code == status
    assert delivery.modes == [mode]


@pytest.mark.parametrize("query", ["?mode=", "?mode=fast", "?mode=spooled&mode=accepted"])
def test_an_unknown_mode_is_refused(delivery: FakeDelivery, query: str) -> None:
    assert answer(post(ADA, query=query)) == (
        400,
        {"status": "rejected", "detail": "mode must be one of accepted, spooled, acknowledged."},
    )


def test_the_setting_names_the_mode_of_all_others(delivery: FakeDelivery, settings: Any) -> None:
    settings.EVENTS = {**settings.EVENTS, "mode": "spooled"}
    post(ADA)
    Client().get("/api/select?color=red&user=Ada")
    assert delivery.modes == [Mode.SPOOLED, Mode.SPOOLED]


def test_events_that_were_not_taken_are_named_by_their_place_in_the_request(delivery: FakeDelivery) -> None:
    delivery.refuse("the spool is full")
    delivery.refuses_from = 1
    response = post([{}, ADA, {}, ADA, ADA])
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    body = response.json()
    assert [rejected["index"] for rejected in body.pop("rejected")] == [0, 2]
    assert body == {"status": "unavailable", "detail": "the spool is full", "accepted": 1, "unavailable": [3, 4]}


@pytest.mark.parametrize(
    "name",
    [
        *("traceparent", "tracestate", "baggage", "sentry-trace", "newrelic", "b3", "x-b3-traceid", "x-b3-sampled"),
        *("x-datadog-trace-id", "x-datadog-parent-id", "x-datadog-origin", "x-datadog-sampling-priority"),
    ],
)
@pytest.mark.parametrize("url", [URL, "/api/select"])
def test_another_origin_may_send_the_headers_of_tracing_libraries(url: str, name: str) -> None:
    asked = {
        "Origin": "https://book.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": f"content-type,{name}",
    }
    response = Client().options(url, headers=asked)
    assert name in response["Access-Control-Allow-Headers"].split(", ")


def test_another_origin_may_send_gzip(delivery: FakeDelivery) -> None:
    asked = {
        "Origin": "https://book.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,content-encoding",
    }
    response = Client().options(URL, headers=asked)
    assert "content-encoding" in response["Access-Control-Allow-Headers"]
