"""Shortens texts for people: a text that is cut says so. No Django here."""

import re

_LAST_WORD = re.compile(r"\s+\S*\Z")


def shortened(text: str, most: int) -> str:
    """The text, or as many of its first words as fit into `most` characters, with an ellipsis at the end.

    A word that is longer than half of that is cut itself.
    """
    if len(text) <= most:
        return text
    words = _LAST_WORD.sub("", text[:most])
    return f"{words if most / 2 <= len(words) < most else text[: most - 1]}…"
