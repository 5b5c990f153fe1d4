"""Takes the screenshots of README and docs/ from a running `make run`: `python docs/screenshots.py`."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
SITE = "http://localhost:8000"
MAIN = "events/selectcolorevent/"
TOPIC = "console/topics/default/select-color/"
EVENTS = 3_000
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


@dataclass(frozen=True)
class Shot:
    """An image of a page of the admin. shown: what is waited for; height: of the window; first: clicked before."""

    name: str
    path: str
    shown: str
    height: int = 1000
    first: str = ""


SHOTS = (
    Shot("admin", MAIN, "[data-panel=newest] tbody tr", 1250),
    Shot("sink", "console/sinks/elasticsearch/", "#sink-partitions tbody tr"),
    Shot("topic", TOPIC, "#messages tbody tr"),
    Shot("documents", "console/documents/elasticsearch/?range=1h", "#hits tbody tr"),
    Shot("files", "console/files/hdfs/", "#folder tbody tr", first="#folder tbody tr:nth-last-child(2) a"),
    Shot("dead-letters", "console/dead-letters/", "#letters-elasticsearch tbody tr", 800),
    Shot("practice", "console/practice/", "#partitions :is(table, .console-empty)"),
)
DARK = Shot("admin-dark", MAIN, "[data-panel=newest] tbody tr", 1250)
"""In Korean, too."""


def main() -> None:
    """Sends some events and a record that is none, then writes the images."""
    send = [sys.executable, "manage.py", "send_events", "--count", str(EVENTS)]
    subprocess.run(send, cwd=ROOT, check=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        click_colors(chromium.new_page(viewport={"width": 1000, "height": 760}, locale="en-US"))
        page = signed_in(chromium, locale="en-US", color_scheme="light")
        produce_no_event(page)
        for shot in SHOTS:
            take(page, shot)
        take(signed_in(chromium, locale="ko-KR", color_scheme="dark"), DARK)
        chromium.close()


def click_colors(page: Page) -> None:
    """Sends events as a visitor does."""
    page.goto(SITE)
    page.get_by_label("name").fill("Ada")
    for color in ("green", "blue", "red"):
        with page.expect_response(lambda answer: "/api/events" in answer.url):
            page.get_by_role("button", name=color).click()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=IMAGES / "page.png")


def signed_in(chromium: Browser, *, locale: str, color_scheme: Literal["light", "dark"]) -> Page:
    """A window whose user is the administrator."""
    size: ViewportSize = {"width": 1280, "height": 1000}
    page = chromium.new_context(viewport=size, locale=locale, color_scheme=color_scheme).new_page()
    page.goto(f"{SITE}/admin/login/?next=/admin/{MAIN}")
    page.fill("#id_username", "admin")
    page.fill("#id_password", "admin")
    page.click("[type=submit]")
    page.wait_for_selector("#statistics")
    return page


def produce_no_event(page: Page) -> None:
    """Makes a dead letter of each sink."""
    page.goto(f"{SITE}/admin/{TOPIC}")
    page.get_by_text("Open the form").click()
    page.get_by_label("Kind").select_option("text")
    page.get_by_label("Value", exact=True).fill("{colour: blue")
    page.get_by_role("button", name="Produce").click()
    page.wait_for_selector("#record pre")


def take(page: Page, shot: Shot) -> None:
    """Writes one image."""
    page.set_viewport_size({"width": 1280, "height": shot.height})
    page.goto(f"{SITE}/admin/{shot.path}")
    if shot.first:
        page.locator(shot.first).click()
        page.wait_for_selector(".console-body:not([aria-busy]) pre")
    else:
        page.wait_for_selector(shot.shown, timeout=90_000)
    expect(page.locator("[aria-busy]")).to_have_count(0, timeout=30_000)
    page.screenshot(path=IMAGES / f"{shot.name}.png")


if __name__ == "__main__":
    main()
