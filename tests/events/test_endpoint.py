"""/api/select through both doors: whatever is sent, the answer is JSON, and an event is produced once or not at all."""

import io
import json
from typing import Any

import pytest
from django.test import override_settings

from events import api
from events.event import parse_timestamp
from tests.events.doors import Client
from tests.events.fakes import FakeDelivery

pytestmark = pytest.mark.usefixtures("door")

OK = {"color": "red", "user": "Ada"}
URL = "/api/select"


def get(query: str = "", **headers: str) -> Any:
    return Client().get(f"{URL}?{query}", headers=headers)


def post(body: object, content_type: str = "application/json", **extra: Any) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body)
    # Django's client names no type for an empty body.
    return Client().post(URL, data, content_type, **{"CONTENT_TYPE": content_type, **extra})


def test_get_is_accepted(delivery: FakeDelivery) -> None:
    response = get("color=red&user=%EA%B9%80", **{"User-Agent": "agent/1"})
    assert (response.status_code, response.content) == (202, b'{"status":"accepted"}')
    assert response["Cache-Control"] == "no-store"
    (event,) = delivery.events
    assert parse_timestamp(event.pop("timestamp"))
    assert event == {"userAgent": "agent/1", "colorName": "red", "userName": "김"}
    assert delivery.records[0][0] == "select-color"


def test_post_is_accepted_and_gives_the_same_event(delivery: FakeDelivery) -> None:
    assert post({"color": "red", "user": "김", "more": 1}).json() == {"status": "accepted"}
    assert delivery.events[0]["userName"] == "김"


@override_settings(TIME_ZONE="Asia/Seoul")
def test_the_time_is_the_servers_in_its_zone(delivery: FakeDelivery) -> None:
    get("color=red&user=Ada&timestamp=1999-01-01T00:00:00Z")
    timestamp = delivery.events[0]["timestamp"]
    assert timestamp.endswith("+0900")
    assert parse_timestamp(timestamp).year >= 2026


def test_any_colour_is_accepted(delivery: FakeDelivery) -> None:
    assert get("color=teal&user=Ada").status_code == 202


@pytest.mark.parametrize(
    ("query", "errors"),
    [
        ("", {"color": "This field is required.", "user": "This field is required."}),
        ("color=red&user=", {"user": "Must not be empty."}),
        ("color=red&user=a%00", {"user": "Must not contain control characters (U+0000)."}),
        ("color=red&user=%ff", {"user": "Must be valid UTF-8."}),
        ("color=red&user=%ED%A0%80", {"user": "Must be valid UTF-8."}),
        ("color=red&color=blue&user=a", {"color": "Must be one string."}),
        ("color=red&user=" + "a" * 257, {"user": "Must be at most 256 characters long, not 257."}),
    ],
)
def test_each_bad_field_of_a_query_is_named(delivery: FakeDelivery, query: str, errors: dict[str, str]) -> None:
    response = get(query)
    assert response.status_code == 400
    assert response.json() == {"status": "rejected", "errors": errors}
    assert delivery.records == []


def test_a_percent_sign_that_encodes_nothing_is_a_percent_sign(delivery: FakeDelivery) -> None:
    assert get("color=red&user=100%").status_code == 202
    assert delivery.events[0]["userName"] == "100%"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"red",
        b"[1]",
        b'"red"',
        b"null",
        b'{"color":NaN,"user":"a"}',
        b'{"color":"red","user":"\xff"}',
        b'{"color":"red","user":"\\ud800"}',
        b'{"color":"red","user":"a"} trailing',
        b'{"color":' + b"9" * 5000 + b',"user":"a"}',
        b'{"color":' + b"[" * 30_000,
        b'{"a":' * 10_000,
        b"color=red&user=Ada",
    ],
)
def test_a_body_that_is_no_json_object_is_refused(delivery: FakeDelivery, body: bytes) -> None:
    response = post(body)
    assert response.status_code == 400
    assert response.json()["status"] == "rejected"
    assert response.json()["detail"].startswith("The body must be a JSON object")
    assert delivery.records == []


@pytest.mark.parametrize("value", [None, 1, 1.5, True, [], {}, ["red"]])
def test_a_field_that_is_no_string_is_named(delivery: FakeDelivery, value: object) -> None:
    response = post({"color": value, "user": "Ada"})
    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["color"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_body_of_another_type_is_refused(delivery: FakeDelivery, content_type: str) -> None:
    response = post(OK, content_type)
    assert response.status_code == 415
    assert response.json()["status"] == "rejected"
    assert delivery.records == []


def test_the_type_may_name_its_encoding(delivery: FakeDelivery) -> None:
    assert post(OK, "application/json; charset=utf-8").status_code == 202


@pytest.mark.parametrize("method", ["put", "patch", "delete", "head", "trace"])
def test_other_methods_are_refused_and_produce_nothing(delivery: FakeDelivery, method: str) -> None:
    response = getattr(Client(), method)(f"{URL}?color=red&user=Ada")
    assert response.status_code == 405
    assert response["Allow"] == "GET, POST, OPTIONS"
    if method != "head":
        assert response.json() == {"status": "rejected", "detail": f'Method "{method.upper()}" not allowed.'}
    assert delivery.records == []


def test_a_large_body_is_refused_before_it_is_read(delivery: FakeDelivery) -> None:
    response = post(OK, CONTENT_LENGTH=str(10**12))
    assert response.status_code == 413
    assert response.json() == {
        "status": "rejected",
        "detail": "The body has 1000000000000 bytes; at most 65536 are accepted.",
    }


@pytest.mark.parametrize(("size", "status"), [(65_536, 202), (65_537, 413)])
def test_the_limit_is_exact(delivery: FakeDelivery, size: int, status: int) -> None:
    assert post(json.dumps(OK).ljust(size).encode()).status_code == status


def chunked(body: bytes) -> dict[str, Any]:
    """What a server passes on for a body without Content-Length that ends where the stream ends."""
    return {"CONTENT_LENGTH": "", "wsgi.input": io.BytesIO(body), "wsgi.input_terminated": True}


def test_an_event_is_no_larger_than_the_settings_allow(delivery: FakeDelivery) -> None:
    response = get("color=red&user=Ada", **{"User-Agent": "x" * 33_000})
    assert (response.status_code, list(response.json()["errors"])) == (400, ["event"])
    assert "at most 32768 bytes" in response.json()["errors"]["event"]
    assert get("color=red&user=Ada", **{"User-Agent": "x" * 32_000}).status_code == 202
    assert len(delivery.taken) == 1


def test_a_chunked_body_is_read(delivery: FakeDelivery) -> None:
    assert post(b"", **chunked(json.dumps(OK).encode())).status_code == 202
    assert delivery.events[0]["userName"] == "Ada"


def test_a_large_chunked_body_is_refused_after_the_limit(delivery: FakeDelivery) -> None:
    body = io.BytesIO(b" " * 10_000_000)
    response = post(b"", **{**chunked(b""), "wsgi.input": body})
    assert response.status_code == 413
    assert body.tell() <= 65_537


@pytest.mark.parametrize("length", ["-5", "abc", "1e3", "²"])
def test_a_content_length_that_is_no_number_is_refused(delivery: FakeDelivery, length: str) -> None:
    response = post(OK, CONTENT_LENGTH=length)
    assert (response.status_code, response.json()["status"]) == (400, "rejected")


def test_a_body_shorter_than_announced_is_refused(delivery: FakeDelivery) -> None:
    body = json.dumps(OK).encode()[:-3]
    response = post(b"", CONTENT_LENGTH="40", **{"wsgi.input": io.BytesIO(body)})
    assert response.status_code == 400
    assert delivery.records == []


class Breaks(io.BytesIO):
    """The stream of a client that went away."""

    def read(self, size: int | None = -1) -> bytes:
        raise ConnectionResetError


def test_a_body_that_breaks_off_is_refused(delivery: FakeDelivery) -> None:
    response = post(b"", CONTENT_LENGTH="40", **{"wsgi.input": Breaks()})
    assert response.status_code == 400
    assert response.json()["detail"] == "The body could not be read to its end."


def test_too_many_fields_are_refused(delivery: FakeDelivery) -> None:
    response = get("&".join(f"f{number}=1" for number in range(2000)))
    assert (response.status_code, response.json()["status"]) == (400, "rejected")


def test_a_full_queue_is_told_with_a_time_to_come_again(delivery: FakeDelivery) -> None:
    delivery.refuse("the queue to Kafka is full")
    response = get("color=red&user=Ada")
    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    assert response.json() == {"status": "unavailable", "detail": "the queue to Kafka is full"}


def test_an_unexpected_error_is_logged_once_for_many_requests_and_tells_nothing(
    delivery: FakeDelivery, caplog: pytest.LogCaptureFixture
) -> None:
    delivery.refusal = RuntimeError("secret of the server")
    response = [get("color=red&user=Ada") for _ in range(3)][-1]
    assert response.status_code == 500
    assert response.json()["status"] == "unavailable"
    assert "secret" not in response.content.decode()
    (record,) = (record for record in caplog.records if record.name.startswith("events.collect"))
    assert record.exc_info
    assert "secret of the server" in str(record.exc_info[1])


@pytest.mark.parametrize("path", ["/api/", "/api/nothing", "/api/select/", "/api/select%00", "/api/%ff%0a/x"])
@pytest.mark.parametrize("method", ["get", "post", "options"])
def test_any_other_address_is_a_json_404(path: str, method: str) -> None:
    response = getattr(Client(enforce_csrf_checks=True), method)(path)
    assert response.status_code == 404
    assert response.json() == {"status": "rejected", "detail": "There is nothing at this address."}


def test_texts_are_english_for_programs_whatever_the_language(delivery: FakeDelivery) -> None:
    response = Client().put(URL, headers={"Accept-Language": "ko"})
    assert response.json()["detail"] == 'Method "PUT" not allowed.'
    assert response["Content-Language"] == "en"


def test_accept_does_not_matter(delivery: FakeDelivery) -> None:
    for accept in ("text/html", "image/png", "*/*", "nonsense"):
        assert get("color=red&user=Ada", Accept=accept)["Content-Type"] == "application/json"


def test_no_csrf_token_is_needed(delivery: FakeDelivery) -> None:
    response = Client(enforce_csrf_checks=True).post(URL, OK, "application/json")
    assert response.status_code == 202


def test_errors_before_any_view_are_json_too(rf: Any) -> None:
    assert json.loads(api.bad_request(rf.get(URL), Exception()).content)["status"] == "rejected"
    assert json.loads(api.server_error(rf.get(URL)).content)["status"] == "unavailable"
    assert api.bad_request(rf.get("/"), Exception())["Content-Type"].startswith("text/html")


# --- Other origins: the book's page


ORIGIN = {"Origin": "http://book.example:8080"}


@pytest.mark.parametrize(
    ("query", "refuse", "status"),
    [("color=red&user=Ada", False, 202), ("color=red", False, 400), ("color=red&user=Ada", True, 503)],
)
def test_another_origin_may_read_every_answer(delivery: FakeDelivery, query: str, *, refuse: bool, status: int) -> None:
    if refuse:
        delivery.refuse()
    response = get(query, **ORIGIN)
    assert response.status_code == status
    assert response["Access-Control-Allow-Origin"] == "*"


def test_another_origin_may_read_a_404_and_a_405(delivery: FakeDelivery) -> None:
    assert Client().get("/api/nothing", headers=ORIGIN)["Access-Control-Allow-Origin"] == "*"
    assert Client().put(URL, headers=ORIGIN)["Access-Control-Allow-Origin"] == "*"


def test_another_origin_may_post_json_after_a_preflight(delivery: FakeDelivery) -> None:
    asked = {**ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    response = Client().options(URL, headers=asked)
    assert response.status_code == 200
    assert response["Access-Control-Allow-Origin"] == "*"
    assert "POST" in response["Access-Control-Allow-Methods"]
    assert "content-type" in response["Access-Control-Allow-Headers"]
    assert delivery.records == []


def test_origins_can_be_named(delivery: FakeDelivery, settings: Any) -> None:
    settings.CORS_ALLOW_ALL_ORIGINS = False
    settings.CORS_ALLOWED_ORIGINS = ["https://shop.example"]
    assert "Access-Control-Allow-Origin" not in get("color=red&user=Ada", **ORIGIN)
    allowed = get("color=red&user=Ada", Origin="https://shop.example")
    assert allowed["Access-Control-Allow-Origin"] == "https://shop.example"


def test_other_addresses_are_not_for_other_origins() -> None:
    assert "Access-Control-Allow-Origin" not in Client().get("/", headers=ORIGIN)


# --- User-Agents


def test_each_real_user_agent_is_stored_as_it_was_sent(delivery: FakeDelivery, user_agents: list[str]) -> None:
    assert len(user_agents) > 100
    client = Client()
    for user_agent in user_agents:
        # As a WSGI server hands it over: the bytes of the header as latin-1.
        header = user_agent.encode().decode("latin-1")
        assert client.get(f"{URL}?color=red&user=Ada", HTTP_USER_AGENT=header).status_code == 202
    assert [event["userAgent"] for event in delivery.events] == user_agents


@pytest.mark.parametrize(
    ("header", "stored"),
    [("", ""), ("김/1".encode().decode("latin-1"), "김/1"), ("caf\xe9", "caf\ufffd"), ("x" * 5000, "x" * 5000)],
)
def test_an_unusual_user_agent_does_no_harm(delivery: FakeDelivery, header: str, stored: str) -> None:
    Client().get(f"{URL}?color=red&user=Ada", HTTP_USER_AGENT=header)
    assert delivery.events[0]["userAgent"] == stored


def test_no_user_agent_is_an_empty_one(delivery: FakeDelivery) -> None:
    get("color=red&user=Ada")
    assert delivery.events[0]["userAgent"] == ""
