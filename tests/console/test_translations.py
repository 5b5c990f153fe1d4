"""The Korean texts of the console are complete, and compiled as they are written."""

import re
from pathlib import Path

import polib
from django.test import Client

import pipeline.console

ROOT = Path(pipeline.console.__file__).parent
TEMPLATES = ROOT.parent.parent / "templates" / "admin" / "console"
CATALOGUE = ROOT / "locale" / "ko" / "LC_MESSAGES" / "django.po"


def texts() -> set[str]:
    """The texts that templates and modules ask to be translated."""
    found: set[str] = set()
    for template in TEMPLATES.rglob("*.html"):
        source = template.read_text(encoding="utf-8")
        found |= {match[1] for match in re.findall(r"{% translate (['\"])(.*?)\1", source)}
        for block in re.findall(r"{% blocktranslate[^%]*%}(.*?){% endblocktranslate %}", source, re.DOTALL):
            found.add(re.sub(r"{{ (\w+) }}", r"%(\1)s", block))
    for module in ROOT.rglob("*.py"):
        found |= set(re.findall(r"\b(?:_|gettext_lazy)\(\s*\"([^\"]+)\"", module.read_text(encoding="utf-8")))
    return found


def test_every_text_is_translated_with_its_placeholders() -> None:
    catalogue = polib.pofile(str(CATALOGUE))
    known = {entry.msgid: entry.msgstr for entry in catalogue if not entry.obsolete and not entry.fuzzy}
    assert len(known) > 200
    assert {text for text in texts() if not known.get(text)} == set()
    assert set(known) - texts() == set(), "no page has these any more"
    placeholders = re.compile(r"\{\w+\}|%\(\w+\)s")
    for text, korean in known.items():
        assert sorted(placeholders.findall(korean)) == sorted(placeholders.findall(text)), text


def test_the_compiled_catalogue_is_that_of_the_source() -> None:
    source = {entry.msgid: entry.msgstr for entry in polib.pofile(str(CATALOGUE)) if not entry.obsolete}
    assert {e.msgid: e.msgstr for e in polib.mofile(str(CATALOGUE.with_suffix(".mo")))} == source


def test_pages_are_korean_for_a_korean_reader(viewer: Client) -> None:
    page = viewer.get("/admin/console/topics/", headers={"Accept-Language": "ko"}).content.decode()
    assert "<h1>토픽</h1>" in page
    assert "처리 불가 레코드" in page
