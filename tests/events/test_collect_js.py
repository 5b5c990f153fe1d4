"""collect.js on a page of any site, in a real browser: what it sends, keeps, repeats and gives up."""

import gzip
import json
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from events import conf
from tests.events.fakes import FakeDelivery
from tests.events.sites import (
    COLLECT,
    NOW,
    RECORD,
    SCRIPT,
    Site,
    answers,
    await_outcomes,
    await_sent,
    collect,
    is_lost,
    taken_ids,
    users,
)
from tests.support import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.django_db]


def test_the_script_has_less_than_4_kb_gzipped() -> None:
    assert len(gzip.compress(SCRIPT.read_bytes())) < 4096


# --- What is sent


def test_two_lines_collect_an_event_on_another_site(site: Site, live_server: Any, delivery: FakeDelivery) -> None:
    site.context.add_cookies([{"name": "session", "value": "secret", "url": live_server.url}])
    origin = live_server.url.replace("localhost", "127.0.0.1")
    page = site.open(origin=origin)
    with page.expect_request("**/api/events") as sent:
        (event_id,) = collect(page, "Ada")
    await_outcomes(page, "accepted")
    headers = sent.value.all_headers()
    assert (headers["origin"], sent.value.method) == (origin, "POST")
    assert headers["content-type"].startswith("text/plain")  # needs no preflight
    assert "cookie" not in headers
    assert users(delivery) == ["Ada"]
    assert taken_ids(delivery) == [event_id]
    assert page.evaluate("outcomes.map(({ id, outcome }) => [id, outcome])") == [[event_id, "accepted"]]
    assert page.evaluate("localStorage.length") == 0


def test_what_is_collected_in_one_go_is_one_batch_in_its_order(site: Site, delivery: FakeDelivery) -> None:
    page = site.open()
    names = [f"user-{number}" for number in range(200)]
    ids = collect(page, *names)
    await_sent(page)
    assert [len(body) for body in site.bodies] == [200]
    assert (users(delivery), taken_ids(delivery)) == (names, ids)
    assert len({UUID(event_id) for event_id in ids}) == 200


def test_a_large_queue_goes_in_several_batches(site: Site, delivery: FakeDelivery) -> None:
    page = site.open()
    names = [f"{number:03d}" + "한" * 200 for number in range(200)]
    collect(page, *names)
    await_sent(page)
    assert users(delivery) == names
    assert len(site.bodies) > 2
    assert (
        max(len(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()) for body in site.bodies) <= 60_000
    )


def test_an_event_of_a_page_that_is_being_left_arrives(site: Site, delivery: FakeDelivery) -> None:
    page = site.open()
    page.evaluate(f"addEventListener('pagehide', () => ({COLLECT})(['leaving']))")
    page.goto(site.url + "/static/events/page.css")
    wait_until(lambda: users(delivery) == ["leaving"], what="the event")


# --- What the answer says


def test_a_rejected_event_is_given_up_with_a_warning_and_the_others_are_taken(
    site: Site, delivery: FakeDelivery
) -> None:
    page = site.open()
    ids = collect(page, "Ada", "", "Bob")
    await_sent(page)
    assert users(delivery) == ["Ada", "Bob"]
    rejected = page.evaluate("outcomes.filter(({ outcome }) => outcome === 'rejected')")
    assert rejected == [{"id": ids[1], "outcome": "rejected", "errors": {"userName": "Must not be empty."}}]
    assert len(site.warnings) == 1 and ids[1] in site.warnings[0]
    assert len(site.bodies) == 1


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (415, {"status": "rejected", "detail": "no"}, "rejected"),
        (400, {"status": "rejected", "accepted": 0, "rejected": [{"index": 0, "errors": {"a": "no"}}]}, "rejected"),
        (202, {"status": "ignored", "detail": "the browser asks not to be tracked"}, "ignored"),
    ],
)
def test_a_whole_batch_that_the_collector_does_not_want_is_given_up(
    site: Site, status: int, body: object, outcome: str
) -> None:
    site.answer(answers(status, body))
    page = site.open()
    collect(page, "Ada", "Bob")
    await_outcomes(page, outcome, 2)
    await_sent(page)
    assert len(site.bodies) == 1


def test_a_batch_that_is_too_large_is_halved(site: Site, delivery: FakeDelivery, settings: Any) -> None:
    settings.EVENTS = {**settings.EVENTS, "max_batch_events": 10}
    conf.events_settings.cache_clear()
    page = site.open()
    names = [f"user-{number}" for number in range(35)]
    collect(page, *names)
    await_sent(page)
    assert users(delivery) == names


def test_a_batch_that_can_not_be_read_is_halved_until_the_event_is_found(site: Site, delivery: FakeDelivery) -> None:
    def answer(route: Any) -> None:
        if "unreadable" in route.request.post_data:
            route.fulfill(status=400, body=json.dumps({"status": "rejected", "detail": "no JSON"}))
        else:
            route.continue_()

    site.answer(answer)
    page = site.open()
    collect(page, *(f"user-{number}" for number in range(5)), "unreadable", "last")
    await_sent(page)
    assert sorted(users(delivery)) == ["last", *(f"user-{number}" for number in range(5))]
    assert page.evaluate("outcomes.filter((d) => d.outcome === 'rejected').map((d) => d.errors)") == [
        {"event": "no JSON"}
    ]


def test_an_event_that_is_too_large_is_given_up(site: Site, delivery: FakeDelivery) -> None:
    page = site.open()
    site.answer(answers(413))
    collect(page, "Ada")
    await_outcomes(page, "rejected")
    collect(page, "x" * 60_000)
    await_outcomes(page, "rejected", 2)
    assert page.evaluate("outcomes.map(({ errors }) => errors.event)") == ["HTTP 413", "Must be less than 60000 bytes."]
    assert page.evaluate("collect.waiting()") == 0
    assert site.sent_users == ["Ada"]


def test_what_the_collector_could_not_take_is_sent_again_and_nothing_else(site: Site, delivery: FakeDelivery) -> None:
    site.stop_time()
    page = site.open()
    delivery.refuse()
    delivery.refuses_from = 2
    ids = collect(page, "a", "b", "", "c", "d")
    await_outcomes(page, "waiting", 2)
    assert page.evaluate("outcomes.map(({ outcome }) => outcome)") == ["accepted"] * 2 + ["rejected"] + ["waiting"] * 2
    delivery.refusal = None
    site.pass_time(11)
    await_sent(page)
    assert taken_ids(delivery) == [ids[0], ids[1], ids[3], ids[4]]


@pytest.mark.parametrize(
    ("status", "after"), [(503, "7"), (429, "7"), (503, format_datetime(NOW + timedelta(seconds=8), usegmt=True))]
)
def test_nothing_is_sent_before_the_time_that_the_answer_names(
    site: Site, delivery: FakeDelivery, status: int, after: str
) -> None:
    site.stop_time()
    site.answer(answers(status, **{"Retry-After": after}))
    first = site.open()
    collect(first, "a")
    await_outcomes(first, "waiting")
    site.answer(None)
    second = site.open()  # other pages keep to it, too
    collect(second, "b")
    await_outcomes(second, "waiting")
    site.pass_time(6.9)
    assert site.sent_users == ["a"]
    site.pass_time(7.2)
    await_sent(first)
    assert sorted(users(delivery)) == ["a", "b"]


def test_another_site_can_read_when_to_come_again(site: Site, live_server: Any, delivery: FakeDelivery) -> None:
    site.stop_time()
    page = site.open(origin=live_server.url.replace("localhost", "127.0.0.1"))
    delivery.refuse()
    collect(page, "Ada")
    await_outcomes(page, "waiting")
    site.pass_time(4.9)
    assert len(site.bodies) == 1


@pytest.mark.parametrize("handler", [is_lost, answers(500), answers(200), answers(202, {"status": "ok"})])
def test_without_an_answer_of_the_collector_an_event_is_sent_again(
    site: Site, delivery: FakeDelivery, handler: Callable[[Any], None]
) -> None:
    site.answer(handler)
    page = site.open()
    (event_id,) = collect(page, "Ada")
    await_outcomes(page, "waiting")
    site.answer(None)
    await_sent(page)
    assert taken_ids(delivery) == [event_id]


def test_attempts_become_rarer_and_do_not_come_at_fixed_times(site: Site) -> None:
    site.stop_time()
    site.answer(is_lost)
    page = site.open()
    collect(page, "Ada")
    longest = [1, 2, 4, 8, 16, 32, 60, 60]
    for failures in range(1, 9):
        await_outcomes(page, "waiting", failures)
        site.pass_time_to_the_next_request(page)
    pauses = [(after - before) / 1000 for before, after in pairwise(page.evaluate("requestTimes"))]
    # Time goes in steps of a second.
    assert all(limit / 2 <= pause <= limit + 1 for pause, limit in zip(pauses, longest, strict=True)), pauses
    assert pauses[6] != pauses[7]


def test_an_event_that_a_proxy_refuses_does_not_hold_up_the_others_and_is_given_up(
    site: Site, delivery: FakeDelivery
) -> None:
    site.stop_time()
    site.answer(lambda route: answers(403)(route) if "<script>" in route.request.post_data else route.fallback())
    page = site.open()
    names = [f"user-{number}" for number in range(7)]
    collect(page, *names[:3], "<script>", *names[3:])
    await_outcomes(page, "waiting", 8)
    count = "outcomes.filter((d) => d.outcome === 'waiting').length"
    while page.evaluate("collect.waiting()"):
        before = page.evaluate(count)
        site.pass_time_to_the_next_request(page)
        page.wait_for_function(f"(before) => collect.waiting() === 0 || {count} > before", arg=before)
    assert sorted(users(delivery)) == names
    assert page.evaluate("outcomes.filter(({ errors }) => errors).map(({ errors }) => errors)") == [
        {"event": "HTTP 403"}
    ]
    assert len(site.bodies) < 20


# --- What waits


def test_events_wait_for_the_connection(site: Site, delivery: FakeDelivery) -> None:
    page = site.open()
    site.context.set_offline(True)
    collect(page, "a")
    await_outcomes(page, "waiting")
    collect(page, "b")
    assert page.evaluate("collect.waiting()") == 2
    site.context.set_offline(False)
    await_sent(page)
    assert users(delivery) == ["a", "b"]


def test_a_frame_without_storage_keeps_events_in_memory(site: Site, delivery: FakeDelivery) -> None:
    page = site.open()
    page.set_content(f"<iframe sandbox='allow-scripts' srcdoc='{site.tag}'></iframe>")
    (frame,) = page.main_frame.child_frames
    frame.wait_for_function("window.collect")
    frame.evaluate(f"() => {{ {RECORD} }}")
    assert (
        frame.evaluate("() => { try { return localStorage; } catch (error) { return error.name; } }") == "SecurityError"
    )
    site.context.set_offline(True)
    ids = collect(frame, "a", "b")
    await_outcomes(frame, "waiting", 2)
    site.context.set_offline(False)
    await_sent(frame)
    assert taken_ids(delivery) == ids


def test_a_storage_that_the_site_has_filled_is_no_loss(site: Site, delivery: FakeDelivery) -> None:
    page = site.open()
    fill = """() => {
        for (let size = 1_000_000; size >= 1; size = Math.floor(size / 10))
            try { for (;;) localStorage.setItem(Math.random(), "x".repeat(size)); } catch {}
    }"""
    page.evaluate(fill)
    site.answer(is_lost)
    ids = collect(page, "a", "b")
    await_outcomes(page, "waiting", 2)
    site.answer(None)
    await_sent(page)
    assert taken_ids(delivery) == ids


def test_of_a_full_queue_the_oldest_events_are_dropped_and_counted(site: Site, delivery: FakeDelivery) -> None:
    site.stop_time()  # what is being sent is not dropped
    page = site.open()
    site.answer(is_lost)
    large = "() => collect('select-color', { colorName: 'red', userName: 'Ada', more: 'x'.repeat(20_000) })"
    ids = [page.evaluate(large)]
    await_outcomes(page, "waiting")
    ids += [page.evaluate(large) for _ in range(51)]
    await_outcomes(page, "dropped", 3)
    assert page.evaluate("outcomes.filter(({ outcome }) => outcome === 'dropped').map(({ id }) => id)") == ids[:3]
    assert site.warnings[-1] == "collect: the queue is full; 3 of its oldest events were dropped"
    assert page.evaluate("Object.entries(localStorage).flat().join('').length") <= 1_000_000
    site.answer(None)
    page.evaluate("dispatchEvent(new Event('online'))")
    await_sent(page)
    assert taken_ids(delivery) == ids[3:]


# --- Several pages


def test_what_a_closed_page_left_is_sent_by_another_one(site: Site, delivery: FakeDelivery) -> None:
    pages = [site.open() for _ in range(3)]
    site.answer(is_lost)
    ids = [event_id for page in pages for event_id in collect(page, *map(str, range(20)))]
    for page in pages:
        await_outcomes(page, "waiting", 20)
    pages[0].close()
    pages[1].close()
    site.answer(None)
    pages.append(site.open())
    ids += collect(pages[-1], "new")
    await_sent(pages[-1])
    assert Counter(taken_ids(delivery)) == Counter(ids)


def test_a_page_that_was_left_sends_nothing_more_until_it_is_shown_again(site: Site, delivery: FakeDelivery) -> None:
    """A browser may tell it that the network is back, but it would not see the answer: another page sends the event."""
    page = site.open()
    site.answer(is_lost)
    ids = collect(page, "a")
    await_outcomes(page, "waiting")
    tried = page.evaluate("requestTimes.length")
    site.answer(None)
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide')) && dispatchEvent(new Event('online'))")
    await_sent(site.open())  # it takes over what the first has left
    assert taken_ids(delivery) == ids
    assert page.evaluate("requestTimes.length") == tried
    ids += collect(page, "b")  # by a handler of the page's end; one more request is all that it has
    wait_until(lambda: taken_ids(delivery) == ids, what="the event of the page's end")
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    ids += collect(page, "c")
    await_sent(page)
    assert taken_ids(delivery) == ids


def test_what_a_page_is_sending_is_left_to_it_until_it_ends(site: Site) -> None:
    site.answer(lambda route: None if "slow" in route.request.post_data else route.fallback())
    slow, fast = site.open(), site.open()
    with slow.expect_request("**/api/events"):
        collect(slow, "slow")
    collect(fast, "a")
    await_outcomes(fast, "accepted")
    third = site.open()
    collect(third, "b")
    await_outcomes(third, "accepted")
    assert Counter(site.sent_users) == Counter(["slow", "a", "b"])
    slow.close()
    wait_until(lambda: fast.title() and site.sent_users.count("slow") == 2, what="another page that sends it")
    assert third.evaluate("collect.waiting()") == 1


def test_an_event_repeats_only_when_its_page_ended_before_the_answer_came(
    site: Site, delivery: FakeDelivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    page_has_ended = threading.Event()
    take = delivery.take

    def take_and_answer_late(*arguments: Any) -> Any:
        taken = take(*arguments)
        page_has_ended.wait(15)
        return taken

    monkeypatch.setattr(delivery, "take", take_and_answer_late)
    page = site.open()
    (unanswered,) = collect(page, "a")
    wait_until(lambda: taken_ids(delivery) == [unanswered], what="the event")
    page.close()
    page_has_ended.set()
    page = site.open()
    (answered,) = collect(page, "b")
    await_sent(page)
    assert Counter(taken_ids(delivery)) == {unanswered: 2, answered: 1}


def test_works_on_a_site_without_tls(browser: Any) -> None:
    """There neither crypto.randomUUID nor navigator.locks exists; what a page left is taken over after a minute."""
    context = browser.new_context()
    context.route("http://shop.example/**", lambda route: route.fulfill(path=SCRIPT))
    page_html = '<!doctype html><script src="/collect.js" data-url="/in?mode=spooled" defer></script>'
    context.route("**/shop", lambda route: route.fulfill(body=page_html, content_type="text/html"))
    bodies: list[Any] = []
    context.route("**/in?mode=spooled", is_lost)
    context.clock.install(time=NOW)

    def open_() -> Any:
        page = context.new_page()
        page.goto("http://shop.example/shop")
        page.evaluate(f"() => {{ {RECORD} }}")
        return page

    page = open_()
    assert not page.evaluate("isSecureContext")
    ids = collect(page, "a", "b")
    await_outcomes(page, "waiting", 2)
    page.close()

    def take(route: Any) -> None:
        bodies.append(route.request.post_data_json)
        route.fulfill(status=202, json={"status": "accepted", "accepted": 1, "rejected": []})

    context.route("**/in?mode=spooled", take)
    context.clock.fast_forward("02:00")
    await_sent(open_())
    assert [event["id"] for body in bodies for event in body] == ids
    assert [UUID(event_id).version for event_id in ids] == [4, 4]
    context.close()
