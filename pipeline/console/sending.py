"""Downloads that are sent as they are read, a few at a time, so that slow receivers do not hold the website."""

import threading
from collections.abc import Callable, Iterator
from functools import cache

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from pipeline.conf import console_settings
from pipeline.errors import ServerError


class _Sent:
    """Parts of a download; gives its place back when it is closed, also before its first part."""

    def __init__(self, parts: Iterator[bytes], places: threading.Semaphore, close: Callable[[], None]) -> None:
        self._parts = parts
        self._places = places
        self._close = close
        self._is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self._parts

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._places.release()
            self._close()


@cache
def _places() -> threading.Semaphore:
    return threading.Semaphore(console_settings().downloads_at_once)


def download(
    name: str, content_type: str, begin: Callable[[], tuple[Iterator[bytes], Callable[[], None]]]
) -> HttpResponseBase:
    """An answer that is saved as a file; 503 when too many are being sent, or the server can't be read.

    begin: opens the source and gives its parts and what closes it; may raise ServerError.
    """
    places = _places()
    if not places.acquire(blocking=False):
        return _unavailable(_("Too many downloads are being sent. Try again later."))
    try:
        parts, close = begin()
    except BaseException as error:
        places.release()
        if isinstance(error, ServerError):
            return _unavailable(str(error))
        raise
    answer = StreamingHttpResponse(_Sent(parts, places, close), content_type=content_type)
    safe = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "_" for letter in name)
    answer.headers["Content-Disposition"] = f'attachment; filename="{safe}"'
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


def _unavailable(text: str) -> HttpResponse:
    return HttpResponse(text, status=503, content_type="text/plain; charset=utf-8", headers={"Retry-After": "10"})
