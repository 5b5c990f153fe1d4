"""`manage.py send_events`: paced synthetic clicks and an honest summary."""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from threading import Thread
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.management import CommandError, call_command

from devstack.ports import choose_free
from events import sending
from events.sending import KafkaDoor, paced, send_all
from events.synthetic import USER_AGENTS, Click, clicks
from tests.events.fakes import FakeDelivery

COLORS = ["red", "yellow", "green", "blue"]
CLICK = Click("red", "Ada", "agent/1")


class Site(ThreadingHTTPServer):
    """An endpoint that answers with a status of one's choice."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 202
        self.requests: list[tuple[str, dict[str, list[str]], str]] = []
        self.connections = 0
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Site

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        self.server.requests.append((address.path, parse_qs(address.query), self.headers["User-Agent"]))
        body = json.dumps({"status": "unavailable", "detail": "the queue to Kafka is full"}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        Thread(target=site.serve_forever, daemon=True).start()
        yield site
        site.shutdown()


def run(**options: Any) -> str:
    out = StringIO()
    call_command("send_events", stdout=out, **options)
    return out.getvalue()


# --- Over HTTP


def test_sends_each_click_over_connections_that_are_kept(site: Site) -> None:
    line = run(url=f"{site.url}/", count=200, threads=3)
    assert line.startswith("sent 200 events in ")
    assert "200 accepted, 0 refused, 0 undelivered" in line
    assert len(site.requests) == 200
    assert site.connections <= 3
    path, fields, user_agent = site.requests[0]
    assert path == "/api/select"
    assert set(fields) == {"color", "user"}
    assert user_agent in USER_AGENTS


def test_a_click_that_kafka_has_acknowledged_is_accepted(site: Site) -> None:
    site.status = 201
    assert "5 accepted, 0 refused" in run(url=site.url, count=5)


def test_fails_when_a_click_was_refused_and_says_why(site: Site) -> None:
    site.status = 503
    with pytest.raises(CommandError, match="5 events were refused, 5 of them: HTTP 503 the queue to Kafka is full"):
        run(url=site.url, count=5)


def test_fails_at_once_when_nothing_answers() -> None:
    with pytest.raises(CommandError, match="does not answer"):
        run(url=f"http://127.0.0.1:{choose_free(set())}", count=100_000)


# --- Straight to Kafka


def test_waits_and_tries_again_while_events_are_not_taken(
    delivery: FakeDelivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            delivery.refusal = None

    monkeypatch.setattr(sending.time, "sleep", sleep)
    delivery.refuse()
    assert KafkaDoor().send(CLICK) is None
    assert pauses == [0.01, 0.02, 0.04]
    assert delivery.events[0]["userName"] == "Ada"


# --- Arguments


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"count": 0}, "--count must be greater than 0"),
        ({"seconds": -1.0}, "--seconds must be greater than 0"),
        ({"rate": 0.0}, "--rate must be greater than 0"),
        ({"rate": float("nan")}, "--rate must be greater than 0"),
        ({"users": 0}, "--users must be greater than 0"),
        ({"threads": 0}, "--threads must be greater than 0"),
        ({"url": "localhost:8000"}, "--url must begin with http"),
        ({"url": "http://localhost", "to": "kafka"}, "--url is for --to http"),
    ],
)
def test_wrong_arguments_are_explained(options: dict[str, Any], text: str) -> None:
    with pytest.raises(CommandError, match=text):
        run(**options)


# --- The pace


@pytest.fixture
def deal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[float]]:
    """When each click was due, from the start; time passes only in sleep."""
    now = [100.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(sending, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    return lambda **options: [round(now[0] - 100.0, 6) for _ in paced(itertools.repeat(CLICK), **options)]


def test_ends_after_a_count(deal: Callable[..., list[float]]) -> None:
    assert len(deal(count=7)) == 7


def test_keeps_the_rate(deal: Callable[..., list[float]]) -> None:
    assert deal(count=5, rate=4) == [0, 0.25, 0.5, 0.75, 1.0]


def test_ends_after_the_seconds(deal: Callable[..., list[float]]) -> None:
    assert deal(seconds=1.0, rate=4) == [0, 0.25, 0.5, 0.75]


class Collects:
    """A door that lets everything in, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.clicks: list[Click] = []
        self.error = error

    def send(self, click: Click) -> str | None:
        if self.error:
            raise self.error
        self.clicks.append(click)
        return None

    def finish(self) -> int:
        return 0


def test_several_threads_send_each_click_once() -> None:
    door = Collects()
    numbered = (Click("red", str(number), "agent") for number in itertools.count())
    shown: list[int] = []
    tally = send_all(paced(numbered, count=5000), door, threads=4, progress=shown.append)
    assert tally.accepted == tally.sent == sum(shown) == 5000
    assert {click.user for click in door.clicks} == {str(number) for number in range(5000)}


def test_an_unexpected_error_ends_the_run() -> None:
    with pytest.raises(RuntimeError, match="broken"):
        send_all(paced(itertools.repeat(CLICK)), Collects(RuntimeError("broken")), threads=4)


# --- The clicks


def test_the_same_seed_gives_the_same_clicks() -> None:
    def first(seed: int) -> list[Click]:
        return list(itertools.islice(clicks(colors=COLORS, users=20, seed=seed), 50))

    assert first(1) == first(1) != first(2)


def test_clicks_look_real() -> None:
    sample = list(itertools.islice(clicks(colors=[*COLORS, "teal"], users=300, seed=1), 20_000))
    names = Counter(click.user for click in sample)
    assert len(names) == 300
    assert any(name.isascii() for name in names)
    assert any("가" <= name[0] <= "힣" for name in names)
    assert names.most_common(1)[0][1] > 10 * names.most_common()[-1][1]
    colors = Counter(click.color for click in sample)
    assert set(colors) == {*COLORS, "teal"}
    assert colors["blue"] > colors["yellow"]
    assert len({(click.user, click.user_agent) for click in sample}) == 300
