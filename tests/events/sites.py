"""Pages of other sites that have collect.js, in a real browser, and what becomes of the events that they collect."""

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self
from urllib.parse import unquote
from urllib.request import Request, urlopen

import pytest

from tests.events.fakes import FakeDelivery
from tests.support import PROJECT

SCRIPT = PROJECT / "events" / "static" / "events" / "collect.js"
NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)

RECORD = """
    window.outcomes = [];
    addEventListener("collect", ({ detail }) => outcomes.push(detail));
    window.requestTimes = [];
    const send = fetch;
    window.fetch = (...request) => { requestTimes.push(Date.now()); return send(...request); };
"""
"""Notes in a page what its script tells, and when it calls the collector (ms)."""


class Site:
    """Pages of one browser that have the script; their requests to the collector may be answered by a test."""

    def __init__(self, context: Any, url: str) -> None:
        self.context = context
        self.url = url
        self.bodies: list[list[dict[str, Any]]] = []
        """The batches that pages sent, whatever became of them."""
        self.warnings: list[str] = []
        context.on("request", self._note_request)
        context.on("console", lambda message: self.warnings.append(message.text) if message.type == "warning" else None)

    def open(self, *, origin: str = "", tag: str | None = None) -> Any:
        """A page of this origin (that of the collector when none is given) with the script's tag, or this one."""
        page = self.context.new_page()
        page.set_default_timeout(15_000)
        page.goto(f"{origin or self.url}/static/events/page.css")
        page.set_content(f"<!doctype html><title>a site</title>{self.tag if tag is None else tag}")
        page.evaluate(f"() => {{ {RECORD} }}")
        return page

    @property
    def tag(self) -> str:
        return f'<script src="{self.url}/static/events/collect.js" defer></script>'

    def stop_time(self) -> None:
        """Timers run only when the test says so."""
        self.context.clock.install(time=NOW)
        self.context.clock.pause_at(NOW + timedelta(seconds=1))

    def pass_time(self, seconds: float) -> None:
        self.context.clock.run_for(round(seconds * 1000))

    def pass_time_to_the_next_request(self, page: Any) -> None:
        """Time stands still again while the answer is awaited."""
        before = page.evaluate("requestTimes.length")
        for _ in range(60):
            self.pass_time(1)
            if page.evaluate("requestTimes.length") > before:
                return
        pytest.fail("no request within a minute")

    def answer(self, handler: Callable[[Any], None] | None) -> None:
        """Requests to the collector go to this handler; to the collector itself when it is None."""
        self.context.unroute("**/api/events")
        if handler is not None:
            self.context.route("**/api/events", handler)

    @property
    def sent_users(self) -> list[str]:
        return [event["userName"] for body in self.bodies for event in body]

    def _note_request(self, request: Any) -> None:
        if request.url.endswith("/api/events"):
            self.bodies.append(json.loads(request.post_data))


class SelfDrivenSite:
    """Pages that do by themselves what is tested, in a browser that nothing drives. All else is the collector's.

    Each page has the script's tag. It may ask for `/next`, where the test sends it, and may tell something by a request
    for `/told?…`.
    """

    def __init__(self, collector: str, pages: Mapping[str, str], command: Sequence[str]) -> None:
        """The command starts the browser; it gets the address of the page `/from`."""
        self.next = ""
        self.told: list[str] = []
        self._server = ThreadingHTTPServer(("localhost", 0), _handler(self, collector, pages))
        Thread(target=self._server.serve_forever, daemon=True).start()
        url = f"http://localhost:{self._server.server_port}/from"
        self._browser = subprocess.Popen([*command, url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._browser.terminate()
        self._browser.wait(10)
        self._server.shutdown()
        self._server.server_close()


def _handler(site: SelfDrivenSite, collector: str, pages: Mapping[str, str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if path == "/told":
                site.told.append(unquote(query))
                self._answer("text/plain", b"")
            elif path == "/next":
                self._answer("text/plain", site.next.encode())
            elif path in pages:
                tag = f'<script src="{collector}/static/events/collect.js" defer></script>'
                self._answer("text/html", f"<!doctype html><title>a site</title>{tag}{pages[path]}".encode())
            else:
                self._pass_on(None)

        def do_POST(self) -> None:
            self._pass_on(self.rfile.read(int(self.headers["Content-Length"])))

        def _pass_on(self, body: bytes | None) -> None:
            names = ("User-Agent", "Content-Type")
            headers = {name: self.headers[name] for name in names if name in self.headers}
            with urlopen(Request(collector + self.path, body, headers)) as response:
                self._answer(response.headers["Content-Type"], response.read())

        def _answer(self, content_type: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler


COLLECT = "(users) => users.map((user) => collect('select-color', { colorName: 'red', userName: user }))"


def collect(page: Any, *users: str) -> list[str]:
    """Collects a choice of each user in one go; the ids. `page` is a page or a frame."""
    ids: list[str] = page.evaluate(COLLECT, list(users))
    return ids


def await_outcomes(page: Any, outcome: str, count: int = 1) -> None:
    page.wait_for_function("([o, n]) => outcomes.filter((d) => d.outcome === o).length >= n", arg=[outcome, count])


def await_sent(page: Any) -> None:
    page.wait_for_function("collect.waiting() === 0")


def users(delivery: FakeDelivery) -> list[str]:
    return [event["userName"] for event in delivery.events]


def taken_ids(delivery: FakeDelivery) -> list[str]:
    return [dict(record.headers or ())["event.id"].decode() for record in delivery.taken]


def is_lost(route: Any) -> None:
    """The request does not reach the collector."""
    route.abort()


def answers(status: int, body: object = "<html>", **headers: str) -> Callable[[Any], None]:
    text = body if isinstance(body, str) else json.dumps(body)
    return lambda route: route.fulfill(status=status, body=text, headers=headers)
