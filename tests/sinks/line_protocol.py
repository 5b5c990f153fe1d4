"""Reads lines of Influx's line protocol back, by its specification and not by the code under test."""

from typing import Any, NamedTuple


class Point(NamedTuple):
    """What a line says."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, Any]
    time: int


def parsed(line: str) -> Point:
    """The point of a line."""
    head, rest = _until(line, " ")
    fields_text, rest = _fields_end(rest)
    measurement, *tags = _split(head, ",")
    pairs = [_split(tag, "=") for tag in tags]
    return Point(
        _unescaped(measurement, ", "),
        {_unescaped(name, ",= "): _unescaped(value, ",= ") for name, value in pairs},
        _fields(fields_text),
        int(rest),
    )


def _until(text: str, sign: str) -> tuple[str, str]:
    first, *_ = _split(text, sign)
    return first, text[len(first) + 1 :]


def _split(text: str, sign: str) -> list[str]:
    """The parts between the signs that have no backslash before them."""
    parts, begin = [], 0
    for place, found in enumerate(text):
        if found == sign and (place == 0 or text[place - 1] != "\\"):
            parts.append(text[begin:place])
            begin = place + 1
    return [*parts, text[begin:]]


def _unescaped(text: str, signs: str) -> str:
    for sign in signs:
        text = text.replace(f"\\{sign}", sign)
    return text


def _fields_end(text: str) -> tuple[str, str]:
    end = text.rindex(" ")
    return text[:end], text[end + 1 :]


def _fields(text: str) -> dict[str, Any]:
    fields = {}
    while text:
        name, text = _until(text, "=")
        if text.startswith('"'):
            value, text = _text(text[1:])
        else:
            word, _, text = text.partition(",")
            value = {"true": True, "false": False}.get(word)
            if value is None:
                value = int(word[:-1]) if word.endswith("i") else float(word)
        fields[_unescaped(name, ",= ")] = value
    return fields


def _text(text: str) -> tuple[str, str]:
    """A text after its opening quotation mark, and what follows it and its comma."""
    found, place = "", 0
    while text[place] != '"':
        place += text[place] == "\\" and text[place + 1] in '"\\'
        found += text[place]
        place += 1
    return found, text[place + 2 :]
