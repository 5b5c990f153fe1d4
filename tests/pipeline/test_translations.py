"""The Korean texts of the admin's pages are complete, and compiled as they are written."""

import re
from pathlib import Path

import polib
import pytest
from django.conf import settings
from django.test import Client
from django.utils import translation

from pipeline.page import script_texts
from tests.pipeline.conftest import PAGE

CATALOGUE = Path(settings.LOCALE_PATHS[0]) / "ko" / "LC_MESSAGES" / "django.po"


def test_nothing_is_untranslated_or_fuzzy() -> None:
    catalogue = polib.pofile(str(CATALOGUE))
    assert [entry.msgid for entry in catalogue.untranslated_entries() + catalogue.fuzzy_entries()] == []
    assert len(catalogue) > 50


def test_the_compiled_catalogue_is_that_of_the_source() -> None:
    source = {entry.msgid: entry.msgstr for entry in polib.pofile(str(CATALOGUE)) if not entry.obsolete}
    compiled = {entry.msgid: entry.msgstr for entry in polib.mofile(str(CATALOGUE.with_suffix(".mo")))}
    assert compiled == source


def test_placeholders_are_kept() -> None:
    for entry in polib.pofile(str(CATALOGUE)):
        placeholders = re.compile(r"\{\w+\}|%\(\w+\)s")
        assert sorted(placeholders.findall(entry.msgstr)) == sorted(placeholders.findall(entry.msgid)), entry.msgid


def test_every_text_of_the_scripts_is_translated() -> None:
    with translation.override("en"):
        english = script_texts()
    with translation.override("ko"):
        korean = script_texts()
    assert [text for key, text in english.items() if korean[key] == text] == []


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
