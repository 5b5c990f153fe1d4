"""What modules and templates ask to be translated, and what a catalogue of Korean texts has for it."""

import ast
import re
from collections.abc import Iterable
from pathlib import Path

import polib

_ASKING = {"_", "gettext", "gettext_lazy", "translated"}
_COUNTING = {"ngettext"}
_PLACEHOLDER = re.compile(r"\{\w+\}|%\(\w+\)s")

Texts = dict[str, str]
"""A text -> its form for several things, empty for one that counts nothing."""


def texts_of(files: Iterable[Path]) -> Texts:
    """The texts of Python modules and of templates."""
    found: Texts = {}
    for file in files:
        source = file.read_text(encoding="utf-8")
        found |= _of_module(source) if file.suffix == ".py" else _of_template(source)
    return found


def _of_module(source: str) -> Texts:
    found: Texts = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            texts = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            if node.func.id in _ASKING and texts:
                found[texts[0]] = ""
            elif node.func.id in _COUNTING and len(texts) == 2:
                found[texts[0]] = texts[1]
    return found


def _of_template(source: str) -> Texts:
    found = dict.fromkeys((match[1] for match in re.findall(r"{% translate (['\"])(.*?)\1", source)), "")
    for block in re.findall(r"{% blocktranslate[^%]*%}(.*?){% endblocktranslate %}", source, re.DOTALL):
        one, _plural, several = re.sub(r"{{ (\w+) }}", r"%(\1)s", block).partition("{% plural %}")
        found[one] = several
    return found


def check_catalogue(path: Path, texts: Texts) -> None:
    """Fails unless the catalogue has these texts, translated with their placeholders, no others, and is compiled."""
    entries = [entry for entry in polib.pofile(str(path)) if not entry.obsolete and not entry.fuzzy]
    korean = {entry.msgid: _korean(entry) for entry in entries}
    assert {text for text in texts if not korean.get(text)} == set()
    assert korean.keys() - texts.keys() == set(), "nothing asks for these any more"
    assert {entry.msgid: entry.msgid_plural for entry in entries} == texts
    for text, several in texts.items():
        wanted = sorted(_PLACEHOLDER.findall(several or text))
        assert sorted(_PLACEHOLDER.findall(korean[text])) == wanted, text
    assert {entry.msgid: _korean(entry) for entry in polib.mofile(str(path.with_suffix(".mo")))} == korean


def _korean(entry: polib.POEntry | polib.MOEntry) -> str:
    """Korean has one form for however many."""
    return str(entry.msgstr_plural.get(0, "") if entry.msgid_plural else entry.msgstr)
