"""Tells programs from people by the User-Agent, with the patterns of the library CrawlerDetect. No Django here.

The header `event.bot` and the index both ask `is_bot`, so they never differ.
"""

import re
from functools import lru_cache

from crawlerdetect.crawlerdetect import get_compiled_exclusions_regex
from crawlerdetect.providers.crawlers import data as _patterns
from ua_parser_rs import UserAgentExtractor

# Python's engine needs a millisecond for CrawlerDetect's 1,462 patterns, and a tenth of a second for a hostile
# User-Agent. The engine of ua-parser needs about 10 microseconds for both, and is built 8 times as fast from patterns
# in small letters. It knows no look-ahead: Python searches the few patterns that have one.
_SEARCHED = UserAgentExtractor((each.lower(), "bot", None, None, None, None) for each in _patterns if "(?" not in each)
_LOOKING_AHEAD = [re.compile(each, re.IGNORECASE) for each in _patterns if "(?" in each]

# What browsers have in common, such as "AppleWebKit" and "Cubot", a phone: CrawlerDetect takes it out first.
_HARMLESS = get_compiled_exclusions_regex()

MAX_LENGTH = 512
"""Characters of a User-Agent that are looked at. Real ones are shorter, and made-up ones must not fill the memory."""


def is_bot(user_agent: str) -> bool:
    """Whether a User-Agent names a program that browses by itself; not one that poses as a browser."""
    return _is_bot(user_agent[:MAX_LENGTH])


@lru_cache(maxsize=10_000)
def _is_bot(user_agent: str) -> bool:
    rest = _HARMLESS.sub("", user_agent)
    return _SEARCHED.extract(rest.lower()) is not None or any(each.search(rest) for each in _LOOKING_AHEAD)
