"""The page in a real browser: by mouse and by keyboard, in both languages, on a phone, with the pipeline in trouble."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from events import conf
from tests.events.fakes import FakeDelivery

pytestmark = [pytest.mark.browser, pytest.mark.django_db]


@pytest.fixture
def open_page(browser: Any, live_server: Any, delivery: FakeDelivery) -> Iterator[Callable[..., Any]]:
    """Opens the page as a person with these settings would see it."""
    contexts: list[Any] = []

    def open_(locale: str = "en-US", **options: Any) -> Any:
        context = browser.new_context(locale=locale, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.goto(live_server.url)
        return page

    yield open_
    for context in contexts:
        context.close()


def await_status(page: Any, state: str) -> str:
    line = page.locator(f'#status[data-state="{state}"]')
    line.wait_for()
    return str(line.inner_text())


def test_a_click_shows_that_the_choice_was_received(open_page: Any, delivery: FakeDelivery) -> None:
    page = open_page()
    page.fill("#user", " Ada Lovelace ")
    page.click("text=Green")
    assert await_status(page, "received") == "Green was received. Thank you, Ada Lovelace!"
    assert page.locator("#recent li").all_inner_texts()[0].startswith("Green Ada Lovelace")
    (event,) = delivery.events
    assert (event["colorName"], event["userName"]) == ("green", "Ada Lovelace")
    assert "Chrome" in event["userAgent"]


@pytest.mark.parametrize("name", ["", "   "])
@pytest.mark.parametrize(("locale", "text"), [("en-US", "Please enter your name"), ("ko-KR", "이름을 입력하세요")])
def test_an_empty_name_alerts_in_the_persons_language(
    open_page: Any, delivery: FakeDelivery, locale: str, text: str, name: str
) -> None:
    page = open_page(locale)
    alerts: list[str] = []
    page.on("dialog", lambda dialog: (alerts.append(f"{dialog.type}: {dialog.message}"), dialog.accept()))
    page.fill("#user", name)
    page.click('[data-color="red"]')
    assert alerts == [f"alert: {text}"]
    assert page.inner_text("#status") == text
    assert page.evaluate("document.activeElement.id") == "user"
    assert delivery.records == []


def test_the_language_can_be_switched_and_the_name_stays(open_page: Any) -> None:
    page = open_page("en-US")
    page.fill("#user", "김민지")
    page.click("text=한국어")
    page.wait_for_selector("html[lang=ko]")
    assert page.input_value("#user") == "김민지"
    page.click("text=빨강")
    assert await_status(page, "received") == "김민지 님이 고른 색(빨강)을 잘 받았습니다. 고맙습니다!"
    page.reload()
    assert page.locator("h1").inner_text() == "색을 골라 주세요"
    page.click("text=English")
    page.wait_for_selector("html[lang=en]")
    assert page.locator("h1").inner_text() == "Pick a colour"


def test_works_by_keyboard_alone(open_page: Any, delivery: FakeDelivery) -> None:
    page = open_page()
    page.keyboard.type("Ada")  # the field has the focus
    page.keyboard.press("Enter")  # on to the first colour
    page.keyboard.press("Space")
    await_status(page, "received")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('#recent [data-state=received]').length === 2")
    assert [event["colorName"] for event in delivery.events] == ["red", "yellow"]
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px"


def test_a_screen_reader_is_told_the_outcome_and_every_control_has_a_name(open_page: Any) -> None:
    page = open_page()
    assert page.get_by_role("textbox", name="Your name").count() == 1
    assert page.get_by_role("group", name="Colour").get_by_role("button").count() == 4
    status = page.get_by_role("status")
    assert status.get_attribute("aria-live") == "polite"
    page.fill("#user", "Ada")
    page.get_by_role("button", name="Blue").click()
    status.get_by_text("Blue was received").wait_for()


def test_a_503_is_shown_as_waiting_and_the_choice_is_sent_when_the_server_can(
    open_page: Any, delivery: FakeDelivery
) -> None:
    page = open_page()
    page.clock.install()
    page.fill("#user", "Ada")
    delivery.refuse()
    page.click("text=Red")
    text = await_status(page, "waiting")
    assert text == "Red is noted. The server can't take it yet: it will be sent again by itself."
    assert "Waiting" in page.locator("#recent li").first.inner_text()
    assert page.inner_text("#waiting") == "Waiting to be sent: 1"
    delivery.refusal = None
    page.clock.run_for(11_000)
    assert await_status(page, "received").startswith("Red was received")
    assert page.locator("#waiting").is_hidden()
    assert len(delivery.events) == 1


def test_the_servers_reason_is_shown(open_page: Any) -> None:
    page = open_page()
    page.fill("#user", "a\u0085b")
    page.click("text=Red")
    assert "Must not contain control characters (U+0085)." in await_status(page, "failed")


def test_an_unexpected_error_is_shown_as_waiting(open_page: Any, delivery: FakeDelivery) -> None:
    page = open_page("ko-KR")
    delivery.refusal = RuntimeError()
    page.fill("#user", "김민지")
    page.click("text=파랑")
    assert await_status(page, "waiting").startswith("고른 색(파랑)을 적어 두었습니다. 서버가")
    assert page.inner_text("#waiting") == "전송 대기: 1개"


def test_a_choice_without_a_connection_waits_for_it(open_page: Any, delivery: FakeDelivery) -> None:
    page = open_page()
    page.fill("#user", "Ada")
    page.context.set_offline(True)
    page.click("text=Red")
    text = await_status(page, "waiting")
    assert text == "Red is noted. You are offline: it will be sent when the connection is back."
    page.click("text=Blue")
    page.wait_for_function("document.querySelectorAll('#recent [data-state=waiting]').length === 2")
    page.context.set_offline(False)
    assert await_status(page, "received").startswith("Blue was received")
    page.wait_for_function("document.querySelectorAll('#recent [data-state=received]').length === 2")
    assert [event["colorName"] for event in delivery.events] == ["red", "blue"]


def test_choices_that_wait_outlive_the_page(open_page: Any, delivery: FakeDelivery) -> None:
    page = open_page()
    page.fill("#user", "Ada")
    page.route("**/api/**", lambda route: route.abort())
    page.click("text=Red")
    await_status(page, "waiting")
    again = page.context.new_page()
    page.close()
    again.goto(page.url)
    assert await_status(again, "received") == "All that was waiting has been received."
    assert again.locator("#waiting").is_hidden()
    assert len(delivery.events) == 1


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("en-US", "A script of this page was blocked, so no choice can be sent. Allow it, then reload."),
        (
            "ko-KR",
            "이 페이지의 스크립트가 차단되어 선택을 보낼 수 없습니다. 허용한 뒤 새로 고쳐 주세요.",
        ),
    ],
)
def test_a_blocked_script_is_told_and_the_tiles_can_not_be_chosen(open_page: Any, locale: str, text: str) -> None:
    page = open_page(locale)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.route("**/collect*.js", lambda route: route.abort("blockedbyclient"))
    page.reload()
    assert await_status(page, "failed") == text
    assert page.locator(".tile:enabled").count() == 0
    assert errors == []


def test_works_where_storage_is_blocked(open_page: Any, delivery: FakeDelivery) -> None:
    page = open_page()
    blocked = "{ get() { throw new DOMException('blocked', 'SecurityError'); } }"
    for storage in ("localStorage", "sessionStorage"):
        page.add_init_script(f"Object.defineProperty(window, '{storage}', {blocked})")
    page.reload()
    page.fill("#user", "Ada")
    page.context.set_offline(True)
    page.click("text=Red")
    await_status(page, "waiting")
    page.context.set_offline(False)
    await_status(page, "received")
    assert len(delivery.events) == 1


def test_a_server_that_does_not_answer_is_shown_as_waiting(open_page: Any) -> None:
    page = open_page()
    page.fill("#user", "Ada")
    page.route("**/api/**", lambda route: None)
    page.clock.install()
    with page.expect_request("**/api/events"):
        page.click("text=Red")
    assert await_status(page, "sending") == "Red is noted. Sending…"
    page.clock.run_for(31_000)
    await_status(page, "waiting")


def test_something_else_in_front_of_the_endpoint_is_not_a_receipt(open_page: Any, delivery: FakeDelivery) -> None:
    page = open_page()
    page.fill("#user", "Ada")
    page.route("**/api/**", lambda route: route.fulfill(status=200, body="<html>please log in</html>"))
    page.click("text=Red")
    await_status(page, "waiting")
    page.unroute_all()
    await_status(page, "received")
    assert len(delivery.events) == 1


def test_a_browser_that_asks_not_to_be_tracked_is_told_that_nothing_was_kept(
    open_page: Any, delivery: FakeDelivery, settings: Any
) -> None:
    settings.EVENTS = {**settings.EVENTS, "privacy_signals": True}
    conf.events_settings.cache_clear()
    page = open_page(extra_http_headers={"Sec-GPC": "1"})
    page.fill("#user", "Ada")
    page.click("text=Red")
    assert await_status(page, "failed").endswith("Your browser asks not to be tracked, so nothing was kept.")
    assert delivery.events == []


def test_names_are_shown_as_text(open_page: Any, delivery: FakeDelivery) -> None:
    page = open_page()
    name = "<img src=x onerror=alert(1)> & {color} 50%"
    page.fill("#user", name)
    page.click("text=Red")
    assert name in await_status(page, "received")
    assert page.locator("#recent img").count() == 0
    assert delivery.events[0]["userName"] == name


def test_a_name_has_at_most_256_characters(open_page: Any, delivery: FakeDelivery) -> None:
    page = open_page()
    page.fill("#user", "")
    page.focus("#user")
    page.keyboard.insert_text("x" * 300)
    page.click("text=Red")
    await_status(page, "received")
    assert delivery.events[0]["userName"] == "x" * 256
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("width", [320, 375, 768])
@pytest.mark.parametrize("locale", ["en-US", "ko-KR"])
def test_a_phone_need_not_scroll_sideways(open_page: Any, delivery: FakeDelivery, locale: str, width: int) -> None:
    page = open_page(locale, viewport={"width": width, "height": 700}, is_mobile=True, has_touch=True)
    page.fill("#user", "가" * 256)
    delivery.refuse()
    page.tap('[data-color="red"]')
    await_status(page, "waiting")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for box in [tile.bounding_box() for tile in page.locator(".tile").all()]:
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
        assert min(box["width"], box["height"]) >= 44


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_colour_of_the_settings_has_readable_text(open_page: Any, settings: Any, scheme: str) -> None:
    colors = ["red", "yellow", "green", "blue", "White", "black", "navy", "#abc", "rgb(0 0 0 / 10%)", "no such colour"]
    settings.EVENTS = {**settings.EVENTS, "colors": colors}
    conf.events_settings.cache_clear()
    page = open_page(color_scheme=scheme)
    assert page.locator(".tile").count() == len(colors)
    assert page.evaluate(CONTRASTS) == pytest.approx([21.0] * len(colors), abs=17.0)  # 4 to 21
    assert page.locator(".tile").last.evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(107, 112, 128)"


CONTRASTS = """() => {
    const context = document.createElement("canvas").getContext("2d");
    const luminance = (color) => {
        for (const style of ["white", color]) { context.fillStyle = style; context.fillRect(0, 0, 1, 1); }
        const [r, g, b] = Array.from(context.getImageData(0, 0, 1, 1).data, (value) => {
            const part = value / 255;
            return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    return [...document.querySelectorAll(".tile")].map((tile) => {
        const style = getComputedStyle(tile);
        const [low, high] = [luminance(style.color), luminance(style.backgroundColor)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    });
}"""


def test_stands_still_for_those_who_want_less_motion(open_page: Any) -> None:
    page = open_page(reduced_motion="reduce")
    assert page.locator(".tile").first.evaluate("e => getComputedStyle(e).transitionDuration") == "0s"


def test_runs_under_a_strict_content_security_policy(open_page: Any, live_server: Any) -> None:
    page = open_page()
    violations: list[str] = []
    page.on("console", lambda message: violations.append(message.text) if message.type == "error" else None)

    def add_policy(route: Any) -> None:
        response = route.fetch()
        policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'"
        route.fulfill(response=response, headers={**response.headers, "Content-Security-Policy": policy})

    page.route(live_server.url + "/", add_policy)
    page.goto(live_server.url)
    page.fill("#user", "Ada")
    page.click("text=Red")
    await_status(page, "received")
    assert violations == []


def test_the_books_page_on_another_origin_works(page: Any, live_server: Any, delivery: FakeDelivery) -> None:
    here, elsewhere = live_server.url, live_server.url.replace("localhost", "127.0.0.1")
    assert here != elsewhere
    page.goto(f"{elsewhere}/static/events/icon.svg")
    get = "async (url) => { const r = await fetch(url); return [r.status, (await r.json()).status]; }"
    assert page.evaluate(get, f"{here}/api/select?color=red&user=Ada") == [202, "accepted"]
    assert page.evaluate(get, f"{here}/api/select?color=red") == [400, "rejected"]
    delivery.refuse()
    assert page.evaluate(get, f"{here}/api/select?color=red&user=Ada") == [503, "unavailable"]
