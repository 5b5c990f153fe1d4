"""The statistics page in a real browser, on real servers, under a strict Content-Security-Policy."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from django.utils import timezone
from playwright.sync_api import Page, Route, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from devstack.stack import Stack
from pipeline import conf
from sinks.models import SinkProcess
from sinks.reporting.reports import SinkReport
from tests.accessibility import check_fits, check_page
from tests.pipeline.conftest import PAGE, index_events, staff
from tests.support import event, leave, produce

pytestmark = [pytest.mark.integration, pytest.mark.browser]

expect.set_options(timeout=15_000)

HOSTILE = '<img src=x onerror="document.title=`hacked`">'


@pytest.fixture
def open_page(
    page: Page, console: Stack, live_server: LiveServer, transactional_db: None, settings: Settings
) -> Iterator[Callable[..., Page]]:
    """Signs in and opens the main page, which is refreshed every second."""
    settings.CONSOLE = {"refresh_seconds": 1, "away_seconds": 0}
    conf.console_settings.cache_clear()
    staff("viewer", may_see=True)

    def open_at(query: str = "") -> Page:
        page.goto(f"{live_server.url}/admin/login/?next={PAGE}")
        page.fill("#id_username", "viewer")
        page.fill("#id_password", "secret")
        page.click("[type=submit]")
        page.wait_for_url(f"**{PAGE}")
        page.goto(f"{live_server.url}{PAGE}{query}")
        return page

    yield open_at
    leave(page)


@pytest.fixture
def problems(page: Page) -> list[str]:
    """What the browser complained of; a missing favicon is no matter of this page."""
    seen: list[str] = []

    def on_console(message: Any) -> None:
        if message.type in ("error", "warning") and "favicon" not in (message.location or {}).get("url", ""):
            seen.append(message.text)

    page.on("console", on_console)
    page.on("pageerror", lambda error: seen.append(str(error)))
    return seen


def panel(page: Page, name: str) -> Any:
    """The panel of that id."""
    return page.locator(f'[data-panel="{name}"]')


def test_the_page_shows_the_numbers_of_the_index(
    open_page: Callable[..., Page], problems: list[str], index: str, topic: str, console: Stack
) -> None:
    users = ["alice"] * 3 + [HOSTILE] * 2
    colors = ["red", "red", "blue", "green", "red"]
    index_events(index, [{"userName": u, "colorName": c} for u, c in zip(users, colors, strict=True)])
    produce(console, topic, [event(number) for number in range(6)], partition=0)
    page = open_page()
    assert page.evaluate("document.documentElement.dataset.theme") == "auto"
    expect(page.locator("#tile-total")).to_have_text("5")
    chart = panel(page, "events-over-time")
    expect(chart.locator("[data-part=legend]")).to_contain_text("red 3 (60%)")
    expect(chart.locator("canvas[role=img]")).to_have_attribute(
        "aria-label", "Bar chart of 5 events stacked by colorName; the table below holds the same numbers."
    )
    assert chart.locator("canvas[role=img]").evaluate(
        "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)"
    )
    chart.locator("summary").click()
    totals = [int(cell) for cell in chart.locator("tbody tr td:last-child").all_inner_texts()]
    assert sum(totals) == 5
    assert len(totals) in (60, 61)
    expect(panel(page, "top-users").locator("tbody tr").first).to_contain_text("alice")
    expect(panel(page, "top-browsers").locator("tbody tr").first).to_contain_text("curl")
    expect(panel(page, "newest").locator("tbody tr")).to_have_count(5)
    expect(panel(page, "topics").locator("tbody").first).to_contain_text("no commit yet")
    expect(page.locator("#tile-lag")).to_contain_text("6 without a commit")
    # What an event says is text.
    expect(panel(page, "top-users").get_by_text(HOSTILE)).to_be_visible()
    expect(panel(page, "newest").get_by_text(HOSTILE).first).to_be_visible()
    with page.context.expect_page() as opened:
        panel(page, "newest").get_by_role("link", name="topic-0-4").click(modifiers=["ControlOrMeta"])
    expect(opened.value.locator("#document")).to_contain_text(HOSTILE)
    opened.value.close()
    assert page.locator("#statistics img").count() == 0
    assert "hacked" not in page.title()
    services = page.locator(".stats-services")
    expect(services).to_contain_text("Kafka ≥ 4.0")
    expect(services).to_contain_text("HDFS 3.5.0")
    expect(services).to_contain_text("Elasticsearch 9.")
    expect(panel(page, "sinks")).to_contain_text("not running")
    expect(page.locator("#tile-failures")).to_have_text("0")
    check_page(page)
    assert problems == []


def test_another_kind_of_event_can_be_chosen(
    open_page: Callable[..., Page], problems: list[str], index: str, views: str
) -> None:
    index_events(index, [{"userName": "a", "colorName": "red"}])
    index_events(views, [{"path": path, "title": HOSTILE, "seconds": 5} for path in ("/a", "/a", "/b")])
    page = open_page()
    expect(page.locator("#tile-total")).to_have_text("1")
    page.get_by_role("navigation", name="Kind of event").get_by_role("link", name="page-view").click()
    expect(page.locator("#tile-total")).to_have_text("3")
    chart = panel(page, "events-over-time")
    expect(chart.locator("[data-part=legend]")).to_contain_text("/a 2 (66.7%)")
    by = chart.get_by_role("navigation", name="Stacked by")
    expect(by.locator("[aria-current]")).to_have_text("path")
    check_page(page)
    by.get_by_role("link", name="title").click()
    expect(chart.locator("[data-part=legend]")).to_contain_text(f"{HOSTILE} 3 (100%)")
    expect(by.locator("[aria-current]")).to_have_text("title")
    values = panel(page, "top-values")
    expect(values.locator("table")).to_have_count(2)
    expect(values.locator("table").first.locator("tbody tr").first).to_contain_text("/a")
    expect(values.get_by_text(HOSTILE)).to_be_visible()
    newest = panel(page, "newest-of-kind")
    expect(newest.locator("thead")).to_contain_text("seconds")
    expect(newest.locator("tbody tr")).to_have_count(3)
    page.get_by_role("link", name="24 hours").click()
    expect(page.locator("[data-part=interval]")).to_have_text("One bar is 20 min.")
    assert page.url.endswith("?event=page-view&by=title&range=24h")
    assert problems == []


def panel_requests(page: Page) -> list[str]:
    """The requests for the panels' data from now on; the list grows."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/panels/" in request.url else None)
    return asked


def test_the_page_refreshes_itself_until_it_is_paused(
    open_page: Callable[..., Page], problems: list[str], index: str
) -> None:
    page = open_page("?range=15m")
    expect(page.locator(".stats-chart")).to_contain_text(f"No documents yet in the index “{index}”")
    expect(page.locator(".stats-chart")).to_contain_text("Start it with: python manage.py run_es_sink")
    now = timezone.now()
    report = SinkReport(
        sink="elasticsearch", healthy=True, since=now, buffered_bytes=0, records=0, tasks=[], partitions=[]
    )
    SinkProcess.objects.create(
        sink="elasticsearch",
        host="one",
        pid=1,
        started=now,
        version="0.1.0",
        heard_at=now + timedelta(minutes=1),
        report=msgspec.json.encode(report).decode(),
    )
    expect(page.locator(".stats-chart")).to_contain_text("The sink elasticsearch is running; no event has come yet.")
    expect(page.locator(".stats-chart")).not_to_contain_text("Start it")
    index_events(index, [{"userName": "a", "colorName": "red"}])
    expect(page.locator("#tile-total")).to_have_text("1")
    page.get_by_role("button", name="Pause").click()
    asked = panel_requests(page)
    page.wait_for_timeout(2500)
    assert asked == []
    page.get_by_role("link", name="24 hours").click()
    expect(page.locator("[data-part=interval]")).to_have_text("One bar is 20 min.")
    expect(page.locator("[aria-busy]")).to_have_count(
        0
    )  # what was late at first is asked for again, also by a paused tab
    asked_in_all = list(asked)
    page.wait_for_timeout(1500)
    assert asked == asked_in_all
    assert asked
    assert all("range=24h" in url for url in asked)
    assert page.url.endswith("?range=24h")
    page.get_by_role("button", name="Resume").click()
    page.wait_for_timeout(2500)
    assert len(asked) > len(asked_in_all)
    assert problems == []


def test_a_refresh_keeps_the_focus(open_page: Callable[..., Page], index: str) -> None:
    index_events(index, [{"userName": "a", "colorName": "red"}])
    page = open_page()
    focusable = (
        panel(page, "events-over-time").locator("summary"),
        panel(page, "newest").locator(".console-scroll"),
        panel(page, "newest").get_by_role("link", name="topic-0-0"),
        panel(page, "sinks").get_by_role("link", name="hdfs"),
    )
    for number, part in enumerate(focusable, start=1):
        expect(part).to_be_visible()
        part.focus()
        index_events(index, [{"userName": "a", "colorName": "red"}] * (number + 1))
        expect(page.locator("#tile-total")).to_have_text(str(number + 1))
        expect(panel(page, "newest").locator("tbody tr")).to_have_count(number + 1)
        page.wait_for_timeout(1500)
        expect(part).to_be_focused()


def test_a_panel_that_is_not_answered_any_more_is_not_asked_for_at_once(open_page: Callable[..., Page]) -> None:
    page = open_page()
    expect(panel(page, "topics").locator("tbody").first).to_be_visible()

    def without_topics(route: Route) -> None:
        answer = route.fetch()
        parts = answer.json()
        del parts["topics"]
        route.fulfill(response=answer, json=parts)

    page.route("**/panels/*", without_topics)
    expect(panel(page, "topics")).to_contain_text("You may not see this any more.")
    asked = panel_requests(page)
    page.wait_for_timeout(3000)
    assert len(asked) <= 4


def test_tables_use_the_width_of_the_page(open_page: Callable[..., Page], index: str, views: str) -> None:
    agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0"
    index_events(index, [{"userName": "a name of some length", "colorName": "yellow", "userAgent": agent}])
    index_events(views, [{"path": "/a", "title": "A"}])
    page = open_page()
    page.set_viewport_size({"width": 1300, "height": 900})
    expect(panel(page, "newest").locator("tbody tr")).to_have_count(1)
    check_fits(panel(page, "newest").locator(".console-scroll"))
    page.goto(page.url + "?event=page-view")
    values = panel(page, "top-values").locator("table")
    expect(values).to_have_count(2)
    tops = values.evaluate_all("tables => tables.map((table) => table.getBoundingClientRect().top)")
    assert tops[0] == tops[1], "they stand beside each other"


def test_a_page_that_nobody_sees_asks_nothing(open_page: Callable[..., Page]) -> None:
    page = open_page()
    expect(page.locator("#stats-updated")).to_contain_text("Updated")
    turn = """state => {
        Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(turn, "hidden")
    asked = panel_requests(page)
    page.wait_for_timeout(2500)
    assert asked == []
    page.evaluate(turn, "visible")
    page.wait_for_timeout(1000)
    assert len(asked) >= 1


def test_an_empty_range_leads_to_the_newest_event_and_any_range_can_be_chosen(
    open_page: Callable[..., Page], index: str
) -> None:
    index_events(index, [{"userName": "a", "colorName": "red", "timestamp": "2026-01-20T10:15:30.123+0000"}])
    page = open_page()
    page.get_by_role("button", name="Go to newest").click()
    expect(page.locator("#tile-total")).to_have_text("1")
    expect(page.locator("#stats-fixed")).to_contain_text("Showing events up to Jan 20, 2026")
    page.get_by_role("button", name="Back to now").click()
    expect(page.locator("#tile-total")).to_have_text("0")
    check_page(page)
    page.get_by_label("From", exact=True).fill("2026-01-20T10:00")
    page.get_by_label("To", exact=True).fill("2026-01-20T11:00")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator("#tile-total")).to_have_text("1")
    expect(page.locator("#stats-fixed")).to_contain_text("from 2026-01-20 10:00 to 2026-01-20 11:00")
    page.reload()
    expect(page.locator("#tile-total")).to_have_text("1")
    index_events(index, [{"userName": "b", "colorName": "red"}])  # in the place of the first one, a minute ago
    page.get_by_role("button", name="Go to newest").click()
    expect(page.locator("#tile-total")).to_have_text("1")
    expect(page.locator("#stats-fixed")).to_be_hidden()
    assert page.url.endswith("?range=15m"), "the shortest range until now that holds it"


def test_the_page_is_korean_for_a_korean_reader(
    browser: Any, console: Stack, live_server: LiveServer, transactional_db: None
) -> None:
    staff("viewer", may_see=True)
    page = browser.new_context(locale="ko-KR", color_scheme="dark").new_page()
    page.goto(f"{live_server.url}/admin/login/?next={PAGE}")
    page.fill("#id_username", "viewer")
    page.fill("#id_password", "secret")
    page.click("[type=submit]")
    expect(page).to_have_title("이벤트 통계 | 웹 활동 파이프라인")
    expect(page.locator(".stats-chart")).to_contain_text("아직 문서가 없습니다")
    leave(page)
