"""What axe-core says of a page in the browser: for people with a keyboard, a screen reader or weak eyes."""

import json
from pathlib import Path
from typing import Any, Literal

import axe_playwright_python
from playwright.sync_api import Page, expect

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


def check_page(page: Page) -> None:
    """Fails for what is wrong with the page in light or dark, as soon as its panels have their data."""
    expect(page.locator("[aria-busy]")).to_have_count(0)
    page.evaluate(AXE)  # by the debugger, which the page's policy does not bind
    schemes: tuple[Literal["dark", "light"], ...] = ("dark", "light")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        page.evaluate("document.getAnimations().forEach((one) => one.finish())")  # colours fade over
        found: dict[str, Any] = page.evaluate("axe.run(document.getElementById('content'))")
        shown = [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found["violations"]]
        assert shown == [], f"{page.url}, {scheme}: {json.dumps(shown, indent=1)}"
