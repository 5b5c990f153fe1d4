"""The pages of the console are Korean for a Korean reader."""

import re
from collections.abc import Callable

from django.test import Client

from tests.console.support import text_of
from tests.console.test_access import CONNECTORS, PAGES

AS_THEY_ARE = """
AND OR NOT CSV JSON NDJSON JavaScript Kafka UTC color console data default elasticsearch hdfs here json practice select
sink
"""
"""Names: of formats, time zones, servers, clusters, sinks, topics and folders."""


def test_pages_are_korean_for_a_korean_reader(viewer: Client) -> None:
    page = viewer.get("/admin/console/topics/", headers={"Accept-Language": "ko"}).content.decode()
    assert "<h1>토픽</h1>" in page
    assert "처리 불가 레코드" in page


def test_nothing_of_ours_is_english_on_a_korean_page(operator: Callable[..., Client]) -> None:
    client = operator("audit", "control", "produce", "replay", "reset", *CONNECTORS)
    for address in PAGES:
        page = client.get(address, headers={"Accept-Language": "ko"}).content.decode()
        assert set(re.findall(r"[A-Za-z]{2,}", own_text(page))) - set(AS_THEY_ARE.split()) == set(), address


def own_text(page: str) -> str:
    """What the console says on a page, without the admin around it and without code; with what scripts say."""
    own = page[page.index('<div id="console"') : page.index("<footer")]
    said = re.findall(r'(?:data-text-[\w-]+|aria-label|title)="([^"]*)"', own)
    without_code = re.sub(r"(?s)<(pre|code|textarea).*?</\1>", " ", own)
    return text_of(without_code) + re.sub(r"{\w+}", "", " ".join(said))
