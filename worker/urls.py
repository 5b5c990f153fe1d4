"""URLs of servers, which may hold a user's name and password."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit


def check_urls(what: str, urls: Sequence[str]) -> None:
    """Raises ValueError where one of the URLs can't be read as it is meant. The error does not show the URL."""
    for number, url in enumerate(urls, 1):
        try:
            parts = urlsplit(url)
            is_readable = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.fragment
            # https://user:1#2@host and https://user:1/2@host would be the host "user".
            is_readable = is_readable and parts.port != 0 and (parts.username is not None or "@" not in url)
        except ValueError:
            is_readable = False
        if not is_readable:
            raise ValueError(
                f"{what} {number} of {len(urls)} must be like https://host:port or https://user:password@host:port; in "
                "user and password, characters such as # / ? : @ [ ] % , ; are percent-encoded, for example # as %23 "
                "and / as %2F"
            )


def without_password(text: str) -> str:
    """A text with a URL, without user and password."""
    return re.sub("//.*@", "//", text)
