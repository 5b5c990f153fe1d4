"""The lane answers like Django with the view: the same status, headers and body for every input."""

import gzip
import io
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from django.core.handlers.wsgi import WSGIHandler
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from events import lane as lane_module
from events.lane import Lane
from tests.events.doors import call
from tests.events.fakes import FakeDelivery

Answered = tuple[str, list[tuple[str, str]], bytes]

GOOD = "color=red&user=Ada"
EVENT = json.dumps({"colorName": "red", "userName": "Ada"}).encode()


def environ(
    method: str = "GET", path: str = "/api/select", query: str = "", body: bytes = b"", **more: Any
) -> dict[str, Any]:
    """What a web server passes on."""
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        **({"CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "application/json"} if method == "POST" else {}),
        **more,
    }


def ask(application: Any, request: dict[str, Any]) -> Answered:
    """Status, headers without their order, body."""
    status, headers, body = call(application, request)
    return status, sorted(headers), body


@pytest.fixture
def both(delivery: FakeDelivery) -> Callable[..., Answered]:
    """Asks both doors twice (the lane remembers) and compares; gives the answer."""
    view = WSGIHandler()
    lane = Lane(view)

    def both(**request: Any) -> Answered:
        answers = [ask(door, environ(**request)) for door in (view, lane, view, lane)]
        assert answers[0] == answers[1] == answers[2] == answers[3]
        return answers[0]

    return both


REQUESTS: list[dict[str, Any]] = [
    {"query": GOOD},
    {"query": ""},
    {"query": "color=red&color=blue&user=%ff"},
    {"query": "&".join(f"f{number}=1" for number in range(2000))},
    {"query": "color=\xe9&user=\xec\xa7\x80"},
    {"method": "POST", "body": b'{"color":"red","user":"Ada"}'},
    {"method": "POST", "body": b"{"},
    {"method": "POST", "body": b" " * 70_000},
    {"method": "POST", "body": b"{}", "CONTENT_TYPE": 'text/"\u00e9'},
    {"method": "POST", "body": b"{}", "CONTENT_LENGTH": "x"},
    {"method": "POST", "body": b"{}", "CONTENT_LENGTH": "9" * 5000},
    {"method": "POST", "path": "/api/events", "body": EVENT},
    {"method": "POST", "path": "/api/events", "body": b"[]"},
    {"method": "POST", "path": "/api/events", "body": b"[1," + EVENT + b"]"},
    {"method": "POST", "path": "/api/events", "body": gzip.compress(EVENT, mtime=0), "HTTP_CONTENT_ENCODING": "gzip"},
    {"method": "POST", "path": "/api/events", "body": EVENT, "query": "mode=acknowledged"},
    {"method": "POST", "path": "/api/events", "body": EVENT, "query": "mode=x"},
    {"method": "POST", "path": "/api/events", "body": b" " * (2**20 + 1)},
    {"method": "POST", "path": "/api/events", "body": b'{"colorName":"\\u2028' + b'x" ,"userName":5}'},
    *({"method": method} for method in ("HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "BREW")),
    *(
        {"method": "GET", "path": path}
        for path in ("/api/events", "/api/select/", "/api/x", "/api//select", "//api/select")
    ),
]


@pytest.mark.parametrize("origin", [{}, {"HTTP_ORIGIN": "https://book.example"}, {"HTTP_ORIGIN": "null"}])
@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: f"{request}"[:60])
def test_both_doors_answer_the_same(both: Callable[..., Answered], request_: Any, origin: Any) -> None:
    status, _, _ = both(**{**request_, **origin})
    assert not status.startswith("500")


@pytest.mark.parametrize(
    ("changed", "request_", "status"),
    [
        ({"SECURE_SSL_REDIRECT": True}, {}, "301"),
        ({"SECURE_SSL_REDIRECT": True, "SECURE_HSTS_SECONDS": 60}, {"wsgi.url_scheme": "https"}, "202"),
        ({"SECURE_SSL_REDIRECT": True}, {"HTTP_X_FORWARDED_PROTO": "https"}, "301"),
        (
            {"SECURE_SSL_REDIRECT": True, "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https")},
            {"HTTP_X_FORWARDED_PROTO": "https"},
            "202",
        ),
        ({}, {"HTTP_HOST": "foreign.example"}, "400"),
        ({}, {"HTTP_HOST": "local host"}, "400"),
        ({"USE_X_FORWARDED_HOST": True}, {"HTTP_X_FORWARDED_HOST": "foreign.example"}, "400"),
        ({"FORCE_SCRIPT_NAME": "/site"}, {"SCRIPT_NAME": "/site"}, "202"),
        (
            {"CORS_ALLOW_ALL_ORIGINS": False, "CORS_ALLOWED_ORIGINS": ["https://shop.example"]},
            {"HTTP_ORIGIN": "https://shop.example"},
            "202",
        ),
        (
            {"CORS_ALLOW_ALL_ORIGINS": False, "CORS_ALLOWED_ORIGINS": ["https://shop.example"]},
            {"HTTP_ORIGIN": "https://other.example"},
            "202",
        ),
    ],
)
def test_the_middleware_has_its_say_in_both(
    delivery: FakeDelivery, settings: Any, request: Any, changed: Any, request_: Any, status: str
) -> None:
    for name, value in changed.items():
        setattr(settings, name, value)
    both = request.getfixturevalue("both")
    assert both(query=GOOD, **request_)[0].startswith(status)


def test_an_unexpected_error_is_the_same_in_both(both: Callable[..., Answered], delivery: FakeDelivery) -> None:
    delivery.refusal = RuntimeError("secret of the server")
    status, _, body = both(query=GOOD)
    assert status.startswith("500")
    assert b"secret" not in body


def test_a_full_spool_is_the_same_in_both(both: Callable[..., Answered], delivery: FakeDelivery) -> None:
    delivery.refuse()
    assert ("Retry-After", "5") in both(query=GOOD)[1]
    assert both(method="POST", path="/api/events", body=EVENT)[0] == "503 Service Unavailable"


def test_django_is_asked_once_for_each_kind_of_request(delivery: FakeDelivery, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def django(request: dict[str, Any], start_response: Any) -> list[bytes]:
        asked.append(request["PATH_INFO"])
        start_response("404 Not Found", [])
        return [b""]

    built: list[object] = []
    wsgi_request = lane_module.WSGIRequest
    monkeypatch.setattr(lane_module, "WSGIRequest", lambda e: built.append(e) or wsgi_request(e))
    lane = Lane(django)
    for _ in range(100):
        ask(lane, environ(query=GOOD))
        ask(lane, environ(method="POST", path="/api/events", body=EVENT))
    ask(lane, environ(path="/"))
    assert (len(delivery.taken), len(built), asked) == (200, 2, ["/"])


def test_answers_are_lists_which_granian_sends_at_once(delivery: FakeDelivery) -> None:
    lane = Lane(WSGIHandler())
    for query in (GOOD, "color=red"):
        assert type(lane(environ(query=query), lambda *_: None)) is list


def test_what_is_remembered_is_bounded(delivery: FakeDelivery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "_ENVELOPES", 3)
    lane = Lane(WSGIHandler())
    for number in [*range(10), *range(10)]:
        origin = f"https://{number}.example"
        status, headers, _ = ask(lane, environ(query=GOOD, HTTP_ORIGIN=origin))
        assert (status[:3], dict(headers)["access-control-allow-origin"]) == ("202", "*")
        assert len(lane._envelopes) <= 3


def test_headers_of_any_size_are_answered_and_not_remembered(delivery: FakeDelivery) -> None:
    lane = Lane(WSGIHandler())
    for number in range(100):
        origin = f"https://{number}.{'x' * 10_000}.example"
        status, headers, _ = ask(lane, environ(query=GOOD, HTTP_ORIGIN=origin))
        assert (status[:3], dict(headers)["access-control-allow-origin"]) == ("202", "*")
    assert not lane._envelopes


# --- Anything at all

texts = st.text(max_size=20) | st.sampled_from(["", "red", "accepted", "select-color", "x" * 300, "\x00", "\ufffd"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
an_event = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("event", "id", "colorName", "userName", "color", "user", "timestamp"), json_values),
)
bodies = st.one_of(
    st.binary(max_size=200),
    json_values.map(lambda value: json.dumps(value).encode()),
    st.lists(an_event, max_size=5).map(lambda value: json.dumps(value).encode()),
    an_event.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")),
)
latin = st.text(st.characters(max_codepoint=255), max_size=40)
requests = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "POST", "POST", "PUT"]),
        "path": st.sampled_from(["/api/select", "/api/events"]),
        "query": latin
        | st.dictionaries(texts, texts, max_size=4).map(
            lambda d: "&".join(f"{quote(k, errors='replace')}={quote(v, errors='replace')}" for k, v in d.items())
        ),
        "body": bodies | bodies.map(gzip.compress),
    },
    optional={
        "CONTENT_TYPE": st.sampled_from(["application/json", "text/plain", "text/plain;charset=utf-8"]) | latin,
        "CONTENT_LENGTH": st.sampled_from(["", "0", "5", "-1", "1e3", "99999999999999999999"]) | latin,
        "HTTP_CONTENT_ENCODING": st.sampled_from(["gzip", "identity", "br"]) | latin,
        "HTTP_USER_AGENT": latin,
        "HTTP_ORIGIN": latin,
        "wsgi.input_terminated": st.just(True),
    },
)


@examples(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(request=requests)
def test_whatever_is_sent_both_doors_answer_the_same_and_never_500(
    both: Callable[..., Answered], request: dict[str, Any]
) -> None:
    status, headers, body = both(**request)
    assert int(status[:3]) in (200, 201, 202, 400, 405, 413, 415)
    assert dict(headers)["Content-Type"] == "application/json"
    json.loads(body)
