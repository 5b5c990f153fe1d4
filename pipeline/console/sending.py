"""Downloads that are sent as they are read, a few at a time, so that slow receivers do not hold the website."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple
from weakref import WeakSet

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from pipeline.conf import console_settings
from pipeline.console.audit import Action
from pipeline.errors import ServerError


class Source(NamedTuple):
    """Parts of a download, and what closes where they come from. length: in bytes, None when it is not known before."""

    parts: Iterator[bytes]
    close: Callable[[], object]
    length: int | None = None


class GivenUp(Exception):
    """A download took too long: it ends before its source does."""


class _Sent:
    """Parts of a download; gives its place back when it is closed, also before its first part."""

    def __init__(self, source: Source, downloads: "Downloads") -> None:
        self._source = source
        self._downloads = downloads
        self._reading = threading.Lock()
        self._is_closed = False
        self.length = source.length
        self._begun = self._handed = downloads.clock()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with self._reading:
            if self._is_closed or self._is_too_long():
                raise GivenUp
            part = next(self._source.parts)
            self._handed = self._downloads.clock()
            return part

    def close(self) -> None:
        """The web server is done with it: it takes no more parts."""
        with self._reading:
            self._end()
        self._downloads.is_done(self)

    def give_up_if_late(self) -> None:
        """Closes it when its receiver has taken nothing for too long; not while the source is being read."""
        if not self._reading.acquire(blocking=False):
            return
        try:
            if self._is_too_long() or self._downloads.clock() - self._handed > self._downloads.stalled_seconds:
                self._end()
        finally:
            self._reading.release()

    def _is_too_long(self) -> bool:
        return self._downloads.clock() - self._begun > self._downloads.seconds

    def _end(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._downloads.leave(self)
            self._source.close()


class Downloads:
    """Places for a few downloads at a time.

    A download that lost its place still holds its thread, until its receiver takes something or is gone. Of these there
    are at most as many again.

    stalled_seconds: for which a receiver may take nothing before its place is another one's; seconds: that a download
    may take in all.
    """

    def __init__(
        self, *, at_once: int, stalled_seconds: float, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stalled_seconds = stalled_seconds
        self.seconds = seconds
        self.clock = clock
        self._places = threading.Semaphore(at_once)
        self._most_threads = 2 * at_once
        self._sent: set[_Sent] = set()
        self._on_threads: WeakSet[_Sent] = WeakSet()  # an answer that is dropped is never closed

    def begin(self, open_source: Callable[[], Source]) -> _Sent | None:
        """The parts of a download, to be closed; None when all places are taken. Raises what `open_source` does."""
        if len(self._on_threads) >= self._most_threads:
            return None
        if not self._places.acquire(blocking=False):
            for one in self._sent.copy():
                one.give_up_if_late()
            if not self._places.acquire(blocking=False):
                return None
        try:
            sent = _Sent(open_source(), self)
        except BaseException:
            self._places.release()
            raise
        self._sent.add(sent)
        self._on_threads.add(sent)
        return sent

    def leave(self, sent: _Sent) -> None:
        """Gives the place of a download back."""
        self._sent.discard(sent)
        self._places.release()

    def is_done(self, sent: _Sent) -> None:
        """The thread of a download is free."""
        self._on_threads.discard(sent)


@cache
def _downloads() -> Downloads:
    conf = console_settings()
    return Downloads(
        at_once=conf.downloads_at_once, stalled_seconds=conf.download_stalled_seconds, seconds=conf.download_seconds
    )


def download(name: str, content_type: str, begin: Callable[[], Source], action: Action) -> HttpResponseBase:
    """An answer that is saved as a file; 503 when too many are being sent, or the server can't be read.

    begin: opens the source; may raise ServerError. action: the log says of it whether anything is sent. How much of it
    arrives is not known here.
    """
    try:
        parts = _downloads().begin(begin)
    except ServerError as error:
        return _unavailable(str(error), action)
    if parts is None:
        return _unavailable(_("Too many downloads are being sent. Try again later."), action)
    try:
        action.done("begun")
    except BaseException:
        parts.close()
        raise
    answer = StreamingHttpResponse(parts, content_type=content_type)
    safe = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "_" for letter in name)
    answer.headers["Content-Disposition"] = f'attachment; filename="{safe}"'
    if parts.length is not None:
        answer.headers["Content-Length"] = str(parts.length)  # one that is cut short is told from a whole one
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


def _unavailable(text: str, action: Action) -> HttpResponse:
    action.done("refused: status 503")
    return HttpResponse(text, status=503, content_type="text/plain; charset=utf-8", headers={"Retry-After": "10"})
