"""The kind of source that polls JSON documents, such as the metrics of a server."""

import re
from collections.abc import Iterable
from contextlib import closing
from functools import partial
from urllib.parse import urlsplit

import msgspec

from sources.config import SourceConfig
from sources.http.config import HttpTarget
from sources.http.reader import HttpReader, answered_at
from sources.kind import SourceKind
from sources.reader import Position
from worker.servers import Health, Server
from worker.urls import check_urls

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class HttpKind(SourceKind):
    """Polls URLs: one record for each answer."""

    name = "http"
    title = "HTTP (JSON)"
    target = HttpTarget
    defaults = {"poll_seconds": 10.0}

    def check(self, source: SourceConfig) -> None:
        """The URLs, and headers that can be sent."""
        target: HttpTarget = source.target
        check_urls("target.urls:", target.urls)
        if len(_parts(target)) != len(target.urls):
            raise ValueError("target.urls has a URL twice, user and password apart")
        for number, (name, value) in enumerate(target.headers.items(), 1):
            is_text = value.isascii() and value.isprintable() and value == value.strip()
            if not is_text or not _HEADER.fullmatch(name):
                raise ValueError(f"target.headers: header {number} of {len(target.headers)} can't be sent by HTTP")

    def warnings(self, source: SourceConfig) -> Iterable[str]:
        """Credentials that everybody on the way can read."""
        target: HttpTarget = source.target
        open_ = [url for url in target.urls if urlsplit(url).scheme == "http"]
        is_local = all(urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1") for url in open_)
        has_secrets = target.headers or any("@" in urlsplit(url).netloc for url in open_)
        if open_ and has_secrets and not is_local:
            yield "target sends headers or a password by plain http, which others on the way can read"

    def topics(self, source: SourceConfig) -> list[str]:
        """The topic of the answers."""
        return [source.target.topic]

    def parts(self, source: SourceConfig) -> Iterable[str]:
        """A part for each URL."""
        return list(_parts(source.target))

    def reader(self, source: SourceConfig, part: str) -> HttpReader:
        """A reader of one URL."""
        url = _parts(source.target)[part]
        return HttpReader(source.name, part, url, source.target, source.poll_seconds)

    def servers(self, sources: Iterable[SourceConfig]) -> list[Server]:
        """A server for each URL, asked as the source does."""
        return [Server(part, partial(self._ask, source, part)) for source in sources for part in _parts(source.target)]

    def urls(self, source: SourceConfig) -> Iterable[str]:
        """All of them."""
        return list(source.target.urls)

    def described(self, source: SourceConfig) -> str:
        """The URLs without users and passwords."""
        return ", ".join(_parts(source.target))

    def position(self, source: SourceConfig, part: str, text: str) -> Position:
        """The time of the last answer, for example {"time": 1795144523123}: the URL is asked `poll_seconds` later."""
        found = super().position(source, part, text)
        answered_at(found)
        return found

    def _ask(self, source: SourceConfig, part: str, seconds: float) -> Health:
        target = msgspec.structs.replace(source.target, timeout_seconds=seconds)
        reader = self.reader(msgspec.structs.replace(source, target=target), part)
        with closing(reader):
            reader.open(None)
            reader.read()
        return Health(None, "")


def _parts(target: HttpTarget) -> dict[str, str]:
    """The URLs by the names of their parts: without user and password."""
    found = {}
    for url in target.urls:
        parts = urlsplit(url)
        found[parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()] = url
    return found
