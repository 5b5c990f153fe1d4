"""The page as the server sends it, and its translation."""

import re
from pathlib import Path
from typing import Any

import polib
import pytest
from django.test import Client
from django.utils.translation import get_language_info

from events import conf, models, page
from tests.support import PROJECT

CATALOGUE = PROJECT / "events" / "locale" / "ko" / "LC_MESSAGES" / "django.po"
TEMPLATES = PROJECT / "templates" / "events"


def html(language: str = "en", **extra: Any) -> str:
    return Client(**extra).get("/", headers={"Accept-Language": language}).content.decode()


def test_offers_the_colours_of_the_settings(settings: Any) -> None:
    settings.EVENTS = {**settings.EVENTS, "colors": ["red", "no such colour", '"><script>']}
    conf.events_settings.cache_clear()
    assert re.findall('data-color="(.*?)"', html()) == ["red", "no such colour", "&quot;&gt;&lt;script&gt;"]


def test_speaks_the_language_of_the_browser() -> None:
    assert '<html lang="en">' in html("fr")
    korean = html("ko-KR,ko;q=0.9")
    assert '<html lang="ko">' in korean
    assert "색을 골라 주세요" in korean
    assert get_language_info("ko")["name_local"] in korean


def test_the_texts_of_the_script_come_with_the_page() -> None:
    assert "Please enter your name" in html()
    # json_script writes what is not ASCII as escapes.
    assert "이름을 입력하세요".encode("unicode-escape").decode().lower() in html("ko").lower()


@pytest.mark.parametrize(("language", "heading"), [("ko", "색을 골라 주세요"), ("en", "Pick a colour")])
def test_the_switch_of_languages_is_kept_and_needs_the_csrf_token(language: str, heading: str) -> None:
    client = Client(enforce_csrf_checks=True)
    token = re.search('name="csrfmiddlewaretoken" value="(.*?)"', client.get("/").content.decode())
    assert token
    choice = {"language": language, "next": "/"}
    assert client.post("/i18n/setlang/", choice).status_code == 403
    response = client.post("/i18n/setlang/", {**choice, "csrfmiddlewaretoken": token[1]})
    assert (response.status_code, response["Location"]) == (302, "/")
    other = {"ko": "en", "en": "ko"}[language]
    assert f"<h1>{heading}</h1>" in client.get("/", headers={"Accept-Language": other}).content.decode()


def test_runs_under_a_strict_content_security_policy() -> None:
    sent = html()
    assert re.findall(r"<script(?![^>]* src=)[^>]*>", sent) == ['<script id="texts" type="application/json">']
    assert "<style" not in sent
    assert not re.search(r'\s(style|on\w+)="', sent)


def test_needs_neither_kafka_nor_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the mark django_db a query fails the test; settings.test names a Kafka that is not there."""
    assert Client().get("/").status_code == 200


def test_answers_get_and_head_only() -> None:
    assert Client().head("/").status_code == 200
    assert Client().post("/").status_code == 405


# --- The Korean catalogue


def source_texts() -> set[str]:
    templates = "".join(path.read_text() for path in TEMPLATES.glob("*.html"))
    texts = set(re.findall(r"""\{% translate ["'](.*?)["'] %\}""", templates))
    for module in (page, models):
        texts.update(re.findall(r'\b_\("(.*?)"\)', Path(str(module.__file__)).read_text()))
    return texts


def test_every_text_is_translated() -> None:
    catalogue = polib.pofile(str(CATALOGUE))
    assert {entry.msgid for entry in catalogue} == source_texts()
    assert catalogue.untranslated_entries() == []
    assert catalogue.fuzzy_entries() == []
    assert catalogue.obsolete_entries() == []


def test_the_compiled_catalogue_is_up_to_date() -> None:
    compiled = polib.mofile(str(CATALOGUE.with_suffix(".mo")))
    assert {e.msgid: e.msgstr for e in compiled} == {e.msgid: e.msgstr for e in polib.pofile(str(CATALOGUE))}


def test_translations_keep_the_places_that_the_script_fills_in() -> None:
    for entry in polib.pofile(str(CATALOGUE)):
        assert sorted(re.findall(r"\{\w+\}", entry.msgid)) == sorted(re.findall(r"\{\w+\}", entry.msgstr))
