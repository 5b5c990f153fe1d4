"""What a tab shows while the site has too many requests, or a server takes its time: content stays, with a note."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from pipeline import conf
from pipeline.console.statistics.views import panels_of
from tests.accessibility import check_page
from tests.pipeline.conftest import PAGE, staff
from tests.support import leave

pytestmark = pytest.mark.browser

expect.set_options(timeout=15_000)

BUSY = "The console answers as many requests as it may at a time."


class Answers:
    """What the site answers to an address from now on."""

    def __init__(self) -> None:
        self.status = 200
        self.data: dict[str, Any] = {}

    def give(self, status: int = 200, **data: Any) -> None:
        self.status, self.data = status, data

    def give_busy(self) -> None:
        self.give(503, error={"server": "", "text": BUSY}, is_busy=True)

    def fulfil(self, route: Route) -> None:
        body = json.dumps(self.data)
        route.fulfill(status=self.status, body=body, content_type="application/json", headers={"Retry-After": "1"})


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def opened(
    page: Page, live_server: LiveServer, transactional_db: None, settings: Settings, answers: Answers
) -> Iterator[Callable[[str, str], Page]]:
    """Signs an operator in and opens a page whose data is what the answers say."""
    settings.CONSOLE = {"refresh_seconds": 1}
    conf.console_settings.cache_clear()
    staff("operator", may_see=True)

    def open_page(path: str, data: str) -> Page:
        page.route(data, answers.fulfil)
        page.goto(f"{live_server.url}/admin/login/?next={path}")
        page.fill("#id_username", "operator")
        page.fill("#id_password", "secret")
        page.click("[type=submit]")
        return page

    yield open_page
    leave(page)


def test_a_panel_that_is_refused_keeps_what_it_shows_and_goes_on(
    opened: Callable[[str, str], Page], answers: Answers
) -> None:
    answers.give(html="<p>one</p>")
    page = opened("/admin/console/sinks/", "**/sinks/overview/")
    body, note = page.locator("#sinks-overview"), page.locator(".console-error").first
    expect(body).to_have_text("one")
    expect(note).to_be_hidden()
    answers.give_busy()
    expect(note).to_contain_text(BUSY)
    expect(body).to_have_text("one")
    check_page(page)
    answers.give(html="<p>one</p>")
    expect(note).to_be_hidden()
    expect(body).to_have_text("one")
    answers.give(html="<p>two</p>")
    expect(body).to_have_text("two")


def test_a_panel_that_is_refused_or_late_at_first_is_asked_for_again(
    opened: Callable[[str, str], Page], answers: Answers
) -> None:
    answers.give_busy()
    page = opened("/admin/console/documents/elasticsearch/", "**/hits/**")
    body = page.locator("#hits")
    expect(body).to_have_text("Reading …")
    expect(page.locator("section", has=body).locator(".console-error")).to_contain_text(BUSY)
    answers.give(late=True)
    expect(page.locator("section", has=body).locator(".console-error")).to_be_hidden()
    expect(body).to_have_text("Reading …")
    answers.give(html="<p>here</p>")
    expect(body).to_have_text("here")


def test_the_main_page_keeps_what_it_shows_and_goes_on(opened: Callable[[str, str], Page], answers: Answers) -> None:
    others = dict.fromkeys(panels_of("select-color"))
    answers.give(**{**others, "service-kafka": {"html": "<p>1 broker</p>"}})
    page = opened(PAGE, "**/panels/?*")
    panel, note = page.locator("[data-panel=service-kafka]"), page.locator("#stats-problem")
    expect(panel).to_contain_text("1 broker")
    answers.give_busy()
    expect(note).to_contain_text(BUSY)
    expect(panel).to_contain_text("1 broker")
    answers.give(**{**others, "service-kafka": {"html": "<p>3 brokers</p>"}})
    expect(panel).to_contain_text("3 brokers")
    expect(note).to_be_hidden()
