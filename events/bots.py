"""Tells programs from people by the User-Agent. No Django here."""

import re
from functools import lru_cache

_BOT = re.compile(
    r"bot\b|bots?[/;)]|crawl|spider|slurp|yeti/|headless|lighthouse|preview|monitor|facebookexternalhit|mediapartners"
    r"|^(?:curl|wget|python|java|go-http-client|okhttp|apache-httpclient|libwww|axios|node-fetch|ruby|perl|php)\b",
    re.IGNORECASE,
)

# Longer than any real one: what callers make up must not fill the memory.
_MAX_LENGTH = 512


def is_bot(user_agent: str) -> bool:
    """Whether a User-Agent names a program that browses by itself; not one that poses as a browser."""
    return _is_bot(user_agent[:_MAX_LENGTH])


@lru_cache(maxsize=10_000)
def _is_bot(user_agent: str) -> bool:
    return _BOT.search(user_agent) is not None
