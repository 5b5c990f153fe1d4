"""collect.js where a page, a browser or what lies between does the unexpected: no event is lost or repeated."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CHROMIUM_ARGUMENTS
from tests.events.fakes import FakeDelivery
from tests.events.sites import (
    SelfDrivenSite,
    Site,
    await_outcomes,
    await_sent,
    collect,
    is_lost,
    taken_ids,
    users,
)
from tests.support import PROJECT, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.django_db]


# --- What the page hands over


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ("'select-color'", "{ colorName: 'red', userName: 'Ada', n: 10n }"),
        ("'select-color'", "(() => { const circle = {}; circle.circle = circle; return circle; })()"),
        ("'select-color'", "{ get colorName() { throw new Error('a getter'); } }"),
        ("'select-color'", "{ get colorName() { throw null; } }"),
        ("'select-color'", "{ colorName: { toJSON() { throw Symbol('toJSON'); } } }"),
        ("'select-color'", "{ toJSON() { return undefined; } }"),
        ("'select-color'", "new Proxy({}, { ownKeys() { throw new TypeError('a proxy'); } })"),
        ("Symbol('select-color')", "{ colorName: 'red', userName: 'Ada' }"),
        ("{ toString() { throw new Error('toString'); } }", "{ colorName: 'red', userName: 'Ada' }"),
    ],
    ids=["BigInt", "circle", "getter", "null", "toJSON", "undefined", "proxy", "symbol", "toString"],
)
def test_what_can_not_be_written_as_json_is_rejected_with_a_warning_and_throws_nothing(
    site: Site, delivery: FakeDelivery, event: str, fields: str
) -> None:
    page = site.open()
    event_id = page.evaluate(f"() => collect({event}, {fields})")
    await_outcomes(page, "rejected")
    assert page.evaluate("outcomes") == [
        {"id": event_id, "outcome": "rejected", "errors": {"event": "Can't be written as JSON."}}
    ]
    assert len(site.warnings) == 1
    assert page.evaluate("collect.waiting()") == 0
    collect(page, "next")
    await_sent(page)
    assert users(delivery) == ["next"]
    assert site.sent_users == ["next"]


@pytest.mark.parametrize("event", ["undefined", "null", "42", "() => {}"])
def test_an_event_without_a_name_is_not_taken_for_one_of_another_kind(
    site: Site, delivery: FakeDelivery, event: str
) -> None:
    page = site.open()
    page.evaluate(f"() => collect({event}, {{ colorName: 'red', userName: 'Ada' }})")
    await_outcomes(page, "rejected")
    assert delivery.events == []


# --- Storage that throws

THROWING = {
    "getItem": "Storage.prototype.getItem = fail",
    "setItem": "Storage.prototype.setItem = fail",
    "removeItem": "Storage.prototype.removeItem = fail",
    "key": "Storage.prototype.key = fail",
    "length": "Object.defineProperty(Storage.prototype, 'length', { get: fail })",
    "list": "Object.keys = (object) => (object instanceof Storage ? fail() : keysOf(object))",
    "localStorage": "Object.defineProperty(window, 'localStorage', { get: fail })",
    "null": "Object.defineProperty(window, 'localStorage', { value: null })",
    "all": "Object.defineProperty(window, 'localStorage', { value: new Proxy({}, { get: fail, ownKeys: fail }) })",
}
"""What a browser, or a page's own script, may do to an operation of localStorage."""


def broken(operation: str) -> str:
    return f"""(() => {{
        const keysOf = Object.keys;
        const fail = () => {{ throw new DOMException("broken", "InvalidStateError"); }};
        {THROWING[operation]};
    }})()"""


@pytest.mark.parametrize("operation", THROWING)
def test_an_event_is_sent_once_where_storage_throws(site: Site, delivery: FakeDelivery, operation: str) -> None:
    site.context.add_init_script(broken(operation))
    page = site.open()
    site.answer(is_lost)
    ids = collect(page, "a", "b")
    await_outcomes(page, "waiting", 2)
    site.answer(None)
    page.evaluate("dispatchEvent(new Event('online'))")
    ids += collect(page, "c")
    await_sent(page)
    page.evaluate("dispatchEvent(new Event('online'))")
    page.close()
    page = site.open()
    ids += collect(page, "d")
    await_sent(page)
    assert taken_ids(delivery) == ids


@pytest.mark.parametrize("operation", THROWING)
def test_an_event_is_sent_once_where_storage_begins_to_throw(
    site: Site, delivery: FakeDelivery, operation: str
) -> None:
    page = site.open()
    site.answer(is_lost)
    ids = collect(page, "a", "b")
    await_outcomes(page, "waiting", 2)
    page.evaluate(broken(operation))
    ids += collect(page, "c")
    site.answer(None)
    page.evaluate("dispatchEvent(new Event('online'))")
    await_sent(page)
    ids += collect(page, "d")
    page.evaluate("dispatchEvent(new Event('online'))")
    await_sent(page)
    assert taken_ids(delivery) == ids


# --- Many events that wait

COUNT_OPERATIONS = """
    window.operations = 0;
    for (const name of ["getItem", "setItem", "removeItem", "key"]) {
        const operation = Storage.prototype[name];
        Storage.prototype[name] = function (...values) { operations++; return operation.apply(this, values); };
    }
    for (const name of ["keys", "entries", "values", "getOwnPropertyNames"]) {
        const list = Object[name];
        Object[name] = (object) => { if (object === localStorage) operations += object.length; return list(object); };
    }
"""
"""Counts what is asked of localStorage; a list counts as its length."""


def operations_of_one_call(page: Any) -> int:
    count: int = page.evaluate(
        "() => { operations = 0; collect('select-color', { colorName: 'red', userName: 'Ada' }); return operations; }"
    )
    return count


def test_a_call_costs_the_same_however_many_events_wait(site: Site) -> None:
    site.context.add_init_script(COUNT_OPERATIONS)
    site.stop_time()
    site.answer(is_lost)
    page = site.open()
    collect(page, "first")
    await_outcomes(page, "waiting")
    few = operations_of_one_call(page)
    collect(page, *(f"user-{number}" for number in range(5050)))
    assert page.evaluate("collect.waiting()") > 4500  # as many as the queue takes
    assert operations_of_one_call(page) <= few + 1 <= 3  # one more to drop the oldest
    another = site.open()
    assert operations_of_one_call(another) <= few + 1
    await_outcomes(another, "waiting")
    assert operations_of_one_call(another) <= few + 1


# --- How the script comes to the page


def test_a_script_tag_of_a_module_works(site: Site, delivery: FakeDelivery) -> None:
    page = site.open(tag=f'<script type="module" src="{site.url}/static/events/collect.js"></script>')
    collect(page, "Ada")
    await_sent(page)
    assert users(delivery) == ["Ada"]


def test_a_module_names_another_address(site: Site, delivery: FakeDelivery) -> None:
    source = f'src="{site.url}/static/events/collect.js" data-url="{site.url}/api/events?mode=spooled"'
    page = site.open(tag=f'<script type="module" {source}></script>')
    with page.expect_request("**/api/events?mode=spooled"):
        collect(page, "Ada")
    await_sent(page)
    assert users(delivery) == ["Ada"]


def test_a_script_without_a_tag_says_what_to_do(site: Site) -> None:
    page = site.open(tag="")
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text) if message.type == "error" else None)
    page.evaluate("(url) => import(url)", f"{site.url}/static/events/collect.js")
    assert messages == ["collect: load collect.js by <script src>"]


DOCS = ["README.md", "docs/collecting.md"]


def snippet(name: str) -> str:
    """The lines that the documentation says to put on a page."""
    text = (PROJECT / name).read_text(encoding="utf-8")
    (lines,) = re.findall(r'```\n(<script src="[^\n]*collect\.js"[^\n]*\n.*?)```', text, re.DOTALL)
    return str(lines)


@pytest.mark.parametrize("name", DOCS)
@pytest.mark.parametrize("is_blocked", [False, True])
def test_the_documented_lines_survive_a_content_blocker(
    site: Site, delivery: FakeDelivery, name: str, *, is_blocked: bool
) -> None:
    lines = re.sub(r"https?://[^/]+", site.url, snippet(name))
    after = lines.replace('userName: "Ada" });', 'userName: "Ada" }); window.goesOn = true;')
    if is_blocked:
        site.context.route("**/collect.js", lambda route: route.abort("blockedbyclient"))
    page = site.open(tag=after)
    page.wait_for_function("window.goesOn")
    if not is_blocked:
        await_sent(page)
    assert users(delivery) == ([] if is_blocked else ["Ada"])


# --- What the page's libraries add to a request


def test_headers_that_tracing_libraries_add_are_allowed(site: Site, delivery: FakeDelivery) -> None:
    page = site.open(origin=site.url.replace("localhost", "127.0.0.1"))
    page.evaluate("""() => {
        const send = fetch;
        const headers = { traceparent: "00-1-2-01", "x-datadog-trace-id": "1", "x-of-our-own": "1" };
        window.fetch = (url, options) => send(url, { ...options, headers });
    }""")
    collect(page, "Ada")
    await_outcomes(page, "accepted")
    assert users(delivery) == ["Ada"]


# --- Pages that are prerendered

PAGES = {
    "/from": """<script type="speculationrules">
            {"prerender": [{"source": "list", "urls": ["/to"], "eagerness": "immediate"}]}
        </script>
        <script>
            const poll = async () => {
                const next = await (await fetch("/next")).text();
                next ? location.assign(next) : setTimeout(poll, 50);
            };
            poll();
        </script>""",
    "/to": """<script type="module">
            const where = document.prerendering ? "prerendered" : "shown";
            collect("select-color", { colorName: "red", userName: where });
            fetch("/told?" + where);
        </script>""",
    "/elsewhere": """<script type="module">
            collect("select-color", { colorName: "red", userName: "elsewhere" });
        </script>""",
}


@pytest.fixture
def prerendering_site(
    browser: Any, live_server: Any, delivery: FakeDelivery, tmp_path: Path
) -> Iterator[SelfDrivenSite]:
    """In a Chromium of its own: under Playwright a Chromium prerenders nothing."""
    chromium = str(shutil.which("chromium") or shutil.which("google-chrome"))
    command = [chromium, *CHROMIUM_ARGUMENTS, "--headless=new", f"--user-data-dir={tmp_path}"]
    with SelfDrivenSite(live_server.url, PAGES, command) as site:
        yield site


def test_an_event_of_a_prerendered_page_is_sent_once_it_is_shown(
    prerendering_site: SelfDrivenSite, delivery: FakeDelivery
) -> None:
    wait_until(lambda: "prerendered" in prerendering_site.told, what="a prerendered page")
    assert delivery.events == []
    prerendering_site.next = "/to"
    wait_until(lambda: users(delivery) == ["prerendered"], what="its event")
    assert prerendering_site.told == ["prerendered"]


def test_an_event_of_a_prerendered_page_that_is_never_visited_is_not_sent(
    prerendering_site: SelfDrivenSite, delivery: FakeDelivery
) -> None:
    wait_until(lambda: "prerendered" in prerendering_site.told, what="a prerendered page")
    prerendering_site.next = "/elsewhere"
    wait_until(lambda: "elsewhere" in users(delivery), what="the next page's event")
    assert users(delivery) == ["elsewhere"]
