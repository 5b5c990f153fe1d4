"""The Korean texts of the console are complete, and compiled as they are written."""

from pathlib import Path

from django.test import Client

import pipeline.console
from tests.catalogues import check_catalogue, texts_of

ROOT = Path(pipeline.console.__file__).parent
TEMPLATES = ROOT.parent.parent / "templates" / "admin" / "console"


def test_every_text_is_translated_with_its_placeholders() -> None:
    texts = texts_of([*TEMPLATES.rglob("*.html"), *ROOT.rglob("*.py")])
    assert len(texts) > 200
    check_catalogue(ROOT / "locale" / "ko" / "LC_MESSAGES" / "django.po", texts)


def test_pages_are_korean_for_a_korean_reader(viewer: Client) -> None:
    page = viewer.get("/admin/console/topics/", headers={"Accept-Language": "ko"}).content.decode()
    assert "<h1>토픽</h1>" in page
    assert "처리 불가 레코드" in page
