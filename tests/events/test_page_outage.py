"""The page with its network cut, tabs and browser closed, its server stopped: each choice is counted."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devstack.stack import Stack
from tests.conftest import CHROMIUM_ARGUMENTS
from tests.events.web import Web
from tests.support import end_offsets, read_topic

pytestmark = [pytest.mark.integration, pytest.mark.browser]


class Visitor:
    """Somebody who chooses colours, under a name of its own for each choice, in a browser that keeps its data."""

    def __init__(self, chromium: Any, folder: Path, url: str) -> None:
        self._chromium = chromium
        self._folder = folder
        self._url = url
        self.names: list[str] = []
        self.start_browser()

    def start_browser(self) -> None:
        executable = shutil.which("chromium") or shutil.which("google-chrome")
        options = {"executable_path": executable, "args": CHROMIUM_ARGUMENTS, "locale": "en-US"}
        self.browser = self._chromium.launch_persistent_context(self._folder, **options)

    def open_tab(self) -> Any:
        tab = self.browser.new_page()
        tab.set_default_timeout(90_000)  # a pause between two attempts may come to a minute
        tab.goto(self._url)
        return tab

    def choose(self, tab: Any, state: str, count: int = 3) -> None:
        """Makes choices; returns when the page says of each that it is in this state."""
        for number in range(count):
            self.names.append(f"user-{len(self.names)}")
            tab.fill("#user", self.names[-1])
            tab.click(f".tile >> nth={number % 4}")
        tab.wait_for_function(
            "([n, s]) => [...document.querySelectorAll('#recent li')].slice(0, n).every((r) => r.dataset.state === s)",
            arg=[count, state],
        )


def await_nothing_waits(tab: Any) -> None:
    tab.wait_for_function("collect.waiting() === 0")


def test_each_choice_arrives_once_whatever_the_network_the_tabs_and_the_server_do(
    stack: Stack, topic: str, web: Callable[..., Web], browser: Any, tmp_path: Path
) -> None:
    server = web(workers=1, EVENTS_SPOOL_PATH=str(tmp_path / "spool"), EVENTS_MODE="acknowledged")
    visitor = Visitor(browser.browser_type, tmp_path / "browser", server.url)
    first, second = visitor.open_tab(), visitor.open_tab()
    visitor.choose(first, "received")
    visitor.choose(second, "received")

    # The network is cut; a tab is closed meanwhile.
    visitor.browser.set_offline(True)
    visitor.choose(first, "waiting")
    visitor.choose(second, "waiting")
    second.close()
    visitor.browser.set_offline(False)
    first.wait_for_selector("#status[data-state=received]")
    await_nothing_waits(first)

    # The server is stopped and comes back; the tabs stay.
    second = visitor.open_tab()
    assert server.process.stop() == 0
    visitor.choose(first, "waiting")
    visitor.choose(second, "waiting")
    server.start()
    await_nothing_waits(first)
    visitor.choose(first, "received")
    visitor.choose(second, "received")

    # The server is stopped again and the browser is closed; both come back.
    assert server.process.stop() == 0
    visitor.choose(first, "waiting")
    visitor.choose(second, "waiting")
    visitor.browser.close()
    server.start()
    visitor.start_browser()
    third = visitor.open_tab()
    third.wait_for_selector("#status[data-state=received]")
    visitor.choose(third, "received")
    await_nothing_waits(third)
    visitor.browser.close()
    assert server.process.stop() == 0

    assert sum(end_offsets(stack, topic)) == len(visitor.names)
    messages = read_topic(stack, topic, len(visitor.names))
    assert Counter(json.loads(message.value())["userName"] for message in messages) == Counter(visitor.names)
    assert len({dict(message.headers())["event.id"] for message in messages}) == len(visitor.names)
