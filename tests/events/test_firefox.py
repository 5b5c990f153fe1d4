"""collect.js and the page of colours in a real Firefox; skipped where there is none (Debian: firefox-esr)."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.events.fakes import FakeDelivery
from tests.events.sites import SelfDrivenSite, users
from tests.support import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.django_db]


@pytest.fixture
def open_firefox(live_server: Any, delivery: FakeDelivery, tmp_path: Path) -> Iterator[Callable[..., SelfDrivenSite]]:
    """Opens pages in a Firefox that nothing drives: Playwright's own can't be had everywhere."""
    firefox = shutil.which("firefox-esr") or shutil.which("firefox")
    if firefox is None:
        pytest.skip("no Firefox on this machine (Debian: apt-get install firefox-esr)")
    command = [firefox, "--headless", "--no-remote", "--profile", str(tmp_path)]
    with ExitStack() as opened:

        def open_(pages: Mapping[str, str]) -> SelfDrivenSite:
            return opened.enter_context(SelfDrivenSite(live_server.url, pages, command))

        yield open_


def test_collect_js_sends_keeps_and_rejects_in_firefox(
    open_firefox: Callable[..., SelfDrivenSite], delivery: FakeDelivery
) -> None:
    """The first attempt is lost; then the network is back."""
    site = open_firefox(
        {
            "/from": """<script type="module">
            const outcomes = [];
            addEventListener("collect", ({ detail: { outcome } }) => {
                outcomes.push(outcome);
                if (outcome === "waiting") {
                    window.fetch = send;
                    fetch(`/told?${collect.waiting()} ${localStorage.length}`);
                    dispatchEvent(new Event("online"));
                }
                if (outcome === "accepted") fetch(`/told?${outcomes} ${collect.waiting()} ${localStorage.length}`);
            });
            const send = fetch;
            window.fetch = () => Promise.reject(new TypeError("no network"));
            collect("select-color", { colorName: "red", userName: "a", n: 1n });
            collect("select-color", { colorName: "red", userName: "b" });
        </script>"""
        }
    )
    wait_until(lambda: len(site.told) == 2, seconds=60, what="the outcomes")
    assert site.told == ["1 1", "rejected,waiting,accepted 0 0"]
    assert users(delivery) == ["b"]
    assert "Firefox" in delivery.events[0]["userAgent"]


def test_a_click_on_the_page_of_colours_is_received_in_firefox(
    open_firefox: Callable[..., SelfDrivenSite], delivery: FakeDelivery
) -> None:
    site = open_firefox(
        {
            "/from": """<iframe src="/"></iframe><script>
            addEventListener("load", () => {
                const page = frames[0].document;
                const line = page.getElementById("status");
                new MutationObserver(() => {
                    if (line.dataset.state === "received") fetch("/told?" + encodeURIComponent(line.textContent));
                }).observe(line, { childList: true });
                page.getElementById("user").value = "Ada";
                page.querySelector("[data-color=green]").click();
            });
        </script>"""
        }
    )
    wait_until(lambda: len(site.told) == 1, seconds=60, what="the receipt")
    assert site.told == ["Green was received. Thank you, Ada!"]
    assert users(delivery) == ["Ada"]
