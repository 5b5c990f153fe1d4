"""The Korean texts of the admin's pages are complete, and compiled as they are written."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client

import pipeline
import sinks
from tests.catalogues import check_catalogue, texts_of
from tests.pipeline.conftest import PAGE

CATALOGUE = Path(settings.LOCALE_PATHS[0]) / "ko" / "LC_MESSAGES" / "django.po"
PIPELINE = Path(pipeline.__file__).parent
TEMPLATES = PIPELINE.parent / "templates" / "admin"


def test_every_text_is_translated_with_its_placeholders() -> None:
    modules = [*PIPELINE.rglob("*.py"), *Path(sinks.__file__).parent.rglob("*.py")]
    texts = texts_of([*modules, *PIPELINE.rglob("*.html"), *TEMPLATES.rglob("*.html")])
    assert len(texts) > 200
    check_catalogue(CATALOGUE, texts)


@pytest.mark.parametrize(
    ("language", "header", "title"),
    [("en", "Web activity pipeline", "Event statistics"), ("ko", "웹 활동 파이프라인", "이벤트 통계")],
)
def test_the_admin_names_the_project_in_the_readers_language(
    viewer: Client, language: str, header: str, title: str
) -> None:
    page = viewer.get(PAGE, headers={"Accept-Language": language}).content.decode()
    assert f'<html lang="{language}"' in page
    assert header in page
    assert f"<h1>{title}</h1>" in page


@pytest.mark.parametrize(("language", "name"), [("en", "Event statistics and console"), ("ko", "이벤트 통계와 콘솔")])
def test_the_admins_index_says_what_its_entry_is(viewer: Client, language: str, name: str) -> None:
    page = viewer.get("/admin/", headers={"Accept-Language": language}).content.decode()
    assert re.search(rf'<a href="{PAGE}"[^>]*>{name}</a>', page)
