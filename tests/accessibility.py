"""What is wrong with a page in the browser for people with a keyboard, a screen reader, weak eyes or a small window."""

import json
from pathlib import Path
from typing import Any, Literal

import axe_playwright_python
from playwright.sync_api import Locator, Page, expect

from tests.support import wait_until

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")

_CUT_OFF = """() =>
    [document.documentElement, ...document.querySelectorAll('.console-panel, .stats-tile')]
    .filter((part) => part.scrollWidth > part.clientWidth)
    .map((part) => part.getAttribute('aria-labelledby') ?? (part.className || part.tagName))"""

PHONE = 390
"""Pixels, the width of its window."""


def cut_off(page: Page) -> list[str]:
    """The parts of a page whose content is wider than they are; what scrolls inside of them is not."""
    found: list[str] = page.evaluate(_CUT_OFF)
    return found


def check_page(page: Page) -> None:
    """Fails for what is wrong with the page, as soon as its panels have their data.

    By axe-core in light and dark; and nothing may be cut off in this window, or in that of a phone.
    """
    expect(page.locator("[aria-busy]")).to_have_count(0)
    size = page.viewport_size
    assert size is not None
    for width in (PHONE, size["width"]):
        page.set_viewport_size({"width": width, "height": size["height"]})
        # The chart is drawn anew a moment later.
        wait_until(lambda: not cut_off(page), seconds=5, what=f"{page.url} to fit {width} px, without {cut_off(page)}")
    page.evaluate(AXE)  # by the debugger, which the page's policy does not bind
    schemes: tuple[Literal["dark", "light"], ...] = ("dark", "light")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        page.evaluate("document.getAnimations().forEach((one) => one.finish())")  # colours fade over
        found: dict[str, Any] = page.evaluate("axe.run({include: [['#content'], ['.breadcrumbs']]})")
        shown = [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found["violations"]]
        assert shown == [], f"{page.url}, {scheme}: {json.dumps(shown, indent=1)}"


def check_fits(table: Locator) -> None:
    """Fails when the container of a table would have to be scrolled sideways to see all of it."""
    expect(table).to_be_visible()
    assert table.evaluate("part => part.scrollWidth - part.clientWidth") == 0, table.inner_text()
