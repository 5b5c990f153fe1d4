"""A headless Chromium goes through the console's pages on the real servers, and finds them stopped."""

from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import Permission
from playwright.sync_api import Locator, Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from devstack.stack import Stack
from pipeline import conf
from sinks import registry as sinks_registry
from tests.accessibility import check_fits, check_page
from tests.console.test_dead_letters import bury
from tests.console.test_files import name_of, write
from tests.pipeline.conftest import PAGE, index_events, staff
from tests.support import event, leave, produce

pytestmark = [pytest.mark.integration, pytest.mark.browser]

expect.set_options(timeout=15_000)

CONSOLE = "/admin/console"
HOSTILE = '<img src=x onerror="document.title=`hacked`">'


@pytest.fixture
def sign_in(
    page: Page, console: Stack, live_server: LiveServer, transactional_db: None, settings: Settings, topic: str
) -> Iterator[Callable[..., Page]]:
    """Signs an operator with all permissions in; pages are refreshed every second."""
    settings.CONSOLE = {
        "refresh_seconds": 1,
        "practice_topic": f"{topic}-practice",
        "away_seconds": 1,
        "elasticsearch_timeout_seconds": 30,  # a busy machine is not what these tests are about
    }
    conf.console_settings.cache_clear()
    user = staff("operator", may_see=True)
    user.user_permissions.add(*Permission.objects.filter(content_type__app_label="console"))

    def sign() -> Page:
        page.goto(f"{live_server.url}/admin/login/?next={CONSOLE}/topics/")
        page.fill("#id_username", "operator")
        page.fill("#id_password", "secret")
        page.click("[type=submit]")
        expect(page.locator(".console-nav")).to_be_visible()
        return page

    yield sign
    leave(page)


@pytest.fixture
def problems(page: Page) -> list[str]:
    """What the browser complained of, such as a breach of the policy."""
    seen: list[str] = []
    page.on("console", lambda message: seen.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: seen.append(str(error)))
    return seen


def test_an_operator_goes_through_the_pages(
    sign_in: Callable[..., Page],
    problems: list[str],
    console: Stack,
    topic: str,
    index: str,
    settings: Settings,
    live_server: LiveServer,
) -> None:
    entry = settings.SINKS["elasticsearch"]
    settings.SINKS = {**settings.SINKS, "elasticsearch": {**entry, "target": {"index": index}}}
    sinks_registry.sinks.cache_clear()
    produce(console, topic, [event(number, userName=HOSTILE) for number in range(5)], partition=0)
    write(console, f"/{topic}/{name_of(topic, 0, 4)}", event(0, userName=HOSTILE) + b"\n")
    index_events(index, [{"userName": HOSTILE, "colorName": HOSTILE} for _ in range(3)])
    bury(console, topic, [(number, HOSTILE.encode(), HOSTILE) for number in range(2)])
    page = sign_in()
    expect(page.locator(".console-panel table")).to_contain_text(topic)
    check_page(page)

    page.get_by_role("link", name=topic, exact=True).click()
    expect(page.locator("#partitions caption")).to_have_text("3 partitions, 5 records at most")
    check_fits(page.locator("#partitions .console-scroll"))
    expect(page.locator("#groups")).to_contain_text("no commit yet")
    expect(page.locator("#messages tbody tr")).to_have_count(5)
    check_page(page)
    page.get_by_role("button", name="Live").click()
    produce(console, topic, [b"from the other side"], partition=1)
    expect(page.locator("#messages tbody tr").first).to_contain_text("from the other side")
    page.get_by_label("With this text").fill("OTHER side")
    page.get_by_label("With this text").press("Enter")
    expect(page.locator("#messages tbody tr")).to_have_count(1)
    page.get_by_text("Open the form").click()
    page.get_by_label("Value", exact=True).fill('{"typed": "here"}')
    page.get_by_role("button", name="Produce").click()
    expect(page.locator("#record pre").first).to_contain_text('"typed": "here"')
    check_page(page)

    page.get_by_role("link", name="Documents").click()
    expect(page.locator("#hits tbody tr")).to_have_count(3)
    expect(page.locator("#histogram")).to_contain_text("3 documents")
    expect(page.locator("#fields").get_by_role("link", name=HOSTILE).first).to_be_visible()
    check_page(page)
    page.get_by_label("Query").fill("*foo")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("alert")).to_contain_text("not allowed as first character")
    for name in ("histogram", "fields", "hits"):
        expect(page.locator(f"#{name}")).to_contain_text("Nothing was searched")
    expect(page.locator(".console-error:visible")).to_have_count(0)
    check_page(page)
    assert all("400" in problem for problem in problems), problems
    problems.clear()
    page.go_back()
    page.locator("#hits tbody a").first.click()
    expect(page.locator("#document pre")).to_contain_text("onerror")
    check_page(page)

    page.get_by_role("link", name="Files", exact=True).click()
    expect(page.locator("#sink-hdfs")).to_contain_text("Files")
    check_page(page)
    page.get_by_role("link", name=f"Open /{topic}").click()
    expect(page.locator("#folder tbody tr")).to_have_count(1)
    check_page(page)
    page.get_by_role("link", name=name_of(topic, 0, 4)).click()
    expect(page.locator("#file pre")).to_contain_text("<img src=x")
    check_page(page)

    page.get_by_role("link", name="Dead letters", exact=True).click()
    expect(page.locator("#letters-hdfs tbody tr")).to_have_count(1)
    check_page(page)
    page.locator("#letters-hdfs tbody a").first.click()
    expect(page.locator("#letters tbody tr")).to_have_count(2)
    check_page(page)
    page.locator("#letters tbody a").first.click()
    expect(page.locator("#letter pre")).to_contain_text("<img src=x")
    check_page(page)
    page.go_back()
    page.get_by_label("Select all of this page").check()
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_role("button", name="Yes, discard them")).to_be_visible()
    check_page(page)
    page.get_by_role("button", name="Yes, discard them").click()
    expect(page.locator(".messagelist")).to_contain_text("2 dead letters were discarded")
    expect(page.locator("#letters-hdfs")).to_contain_text("No dead letters")

    page.get_by_role("link", name="Practice").click()
    page.get_by_role("button", name="Make the topic").click()
    expect(page.locator("#partitions caption")).to_have_text("3 partitions, 0 records at most")
    page.get_by_role("button", name="Produce").first.click()
    expect(page.locator("#partitions caption")).to_have_text("3 partitions, 1 record at most")
    check_fits(page.locator("#partitions .console-scroll"))
    page.get_by_role("button", name="Read on").click()
    expect(page.locator("#read tbody tr")).to_have_count(1)
    expect(page.locator("#group caption")).to_contain_text("lag 0")
    check_page(page)
    page.get_by_role("link", name="Actions").click()
    expect(page.locator("#console tbody tr", has_text="Practised").first).to_contain_text("read: done")
    page.get_by_label("Action", exact=True).select_option("produce")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#console tbody tr")).to_have_count(2)
    check_page(page)
    page.get_by_role("link", name="Statistics", exact=True).click()
    expect(page.locator('[data-panel="newest"] tbody tr')).to_have_count(3)
    check_page(page)
    check_fits(page.locator('[data-panel="sinks"] .console-scroll'))
    assert "hacked" not in page.title()
    assert page.locator("#console img").count() == 0
    assert problems == []


def test_servers_stopped_one_by_one_are_told_by_their_panels_while_the_others_go_on(
    sign_in: Callable[..., Page], problems: list[str], console: Stack, topic: str, live_server: LiveServer
) -> None:
    page = sign_in()
    produce(console, topic, [event(0)])

    def panel(name: str) -> Locator:
        return page.locator(f'[data-panel="{name}"]')

    def check_main_page(away: str, broken: list[str]) -> None:
        """The main page, with one server away: its error in its panels, everything else as ever."""
        page.goto(f"{live_server.url}{PAGE}")
        for service in ("kafka", "hdfs", "elasticsearch"):
            words = "away" if service == away else "●"
            expect(panel(f"service-{service}")).to_contain_text(words, timeout=60_000)
        for name in ("events-over-time", "newest", "topics", "sinks"):
            error = panel(name).locator(".console-error")
            if name in broken:
                expect(error).to_be_visible(timeout=30_000)
            else:
                expect(error).to_be_hidden()
        check_page(page)

    def check_sub_page(path: str, name: str, words: str) -> None:
        page.goto(f"{live_server.url}{CONSOLE}/{path}")
        section = page.locator("section.console-panel", has=page.locator(name))
        expect(section.locator(".console-error").first).to_contain_text(words, timeout=30_000)
        check_page(page)

    [broker] = console.kafka
    try:
        console.elasticsearch.kill()
        check_main_page("elasticsearch", ["events-over-time", "newest"])
        expect(panel("newest").locator(".console-error")).to_contain_text("refused")
        expect(page.locator("#tile-lag")).to_contain_text("without a commit")
        check_sub_page("documents/elasticsearch/", "#hits", "Elasticsearch (http")
        console.elasticsearch.start()
        console.namenode.kill()
        console.elasticsearch.wait_ready()
        expect(page.locator(".console-error:visible")).to_have_count(0, timeout=30_000)  # nobody loaded it anew
        check_main_page("hdfs", [])
        check_sub_page("files/hdfs/", "#folder", "HDFS (http")
        console.namenode.start()
        broker.kill()
        console.namenode.wait_ready()
        check_main_page("kafka", ["topics"])
        expect(page.locator("#tile-lag")).to_have_text("–")
        check_sub_page(f"topics/default/{topic}/", "#partitions", "Kafka (127.0.0.1")
        check_sub_page("dead-letters/", "#letters-hdfs", "Kafka (127.0.0.1")
    finally:
        console.up()
    check_main_page("nobody", [])
    expect(panel("topics")).to_contain_text(topic)
    assert problems == []
