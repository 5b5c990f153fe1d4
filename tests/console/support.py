"""Reading the console's panels as a person would."""

import html
import re

from django.test import Client

CONSOLE = "/admin/console/"


def shown(client: Client, address: str) -> str:
    """The text of a panel, without its markup."""
    answer = client.get(address).json()
    assert "error" not in answer, answer
    return text_of(answer["html"])


def text_of(markup: str) -> str:
    """The text of markup, with single spaces."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", markup)))
