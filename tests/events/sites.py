"""Pages of other sites that have collect.js, in a real browser, and what becomes of the events that they collect."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

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
    return [dict(headers or ())["event.id"].decode() for _, _, headers in delivery.taken]


def is_lost(route: Any) -> None:
    """The request does not reach the collector."""
    route.abort()


def answers(status: int, body: object = "<html>", **headers: str) -> Callable[[Any], None]:
    text = body if isinstance(body, str) else json.dumps(body)
    return lambda route: route.fulfill(status=status, body=text, headers=headers)
