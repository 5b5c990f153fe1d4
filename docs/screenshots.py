"""Takes the screenshots of README from a running `make run`: `python docs/screenshots.py`."""

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).resolve().parent / "images"
SITE = "http://localhost:8000"
CONSOLE = (
    ("topic", "topics/default/select-color/", "messages"),
    ("documents", "documents/elasticsearch/?range=15m", "hits"),
    ("dead-letters", "dead-letters/", "letters-hdfs"),
)
"""Image, address, and the panel that is waited for; the last one needs a dead letter."""
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


def main() -> None:
    """Writes page.png, admin.png and those of the console."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = chromium.new_page(viewport={"width": 1000, "height": 760}, locale="en-US")
        page.goto(SITE)
        page.get_by_label("name").fill("Ada")
        for color in ("green", "blue", "red"):
            with page.expect_response(lambda answer: "/api/events" in answer.url):
                page.get_by_role("button", name=color).click()
        page.wait_for_load_state("networkidle")
        page.screenshot(path=IMAGES / "page.png")
        page.set_viewport_size({"width": 1280, "height": 1100})
        page.goto(f"{SITE}/admin/login/?next=/admin/events/selectcolorevent/")
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password").fill("admin")
        page.get_by_role("button", name="Log in").click()
        page.wait_for_selector("canvas")
        page.wait_for_timeout(2500)  # the chart's animation
        page.screenshot(path=IMAGES / "admin.png")
        for name, path, panel in CONSOLE:
            page.goto(f"{SITE}/admin/console/{path}")
            page.wait_for_selector(f"#{panel}:not([aria-busy]) table")
            page.wait_for_load_state("networkidle")
            page.screenshot(path=IMAGES / f"{name}.png")
        chromium.close()


if __name__ == "__main__":
    main()
