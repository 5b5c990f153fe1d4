"""Asks a server for a JSON document and makes a record of the answer."""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import requests
from urllib3.exceptions import HTTPError

from kafka_client.producer import Record
from sources.http.config import HttpTarget
from sources.reader import Chunk, Position
from worker.errors import Fatal, Retriable

_CHUNK_BYTES = 64 * 1024


class Answer(msgspec.Struct, frozen=True):
    """The value of a record. host: of the URL, with its port; time: of the answer, milliseconds since 1970."""

    source: str
    host: str
    time: int
    answer: msgspec.Raw


class HttpReader:
    """Reads one URL. Its position is the time of the last answer, so that a restart asks no sooner than planned.

    source: the name of the source; name: of the part; url: with user and password, if there are any; clock: seconds
    since 1970.
    """

    def __init__(
        self,
        source: str,
        name: str,
        url: str,
        target: HttpTarget,
        poll_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._name = name
        self._target = target
        self._poll_seconds = poll_seconds
        self._clock = clock
        parts = urlsplit(url)
        self._host = parts.netloc.rpartition("@")[2]
        self._url = parts._replace(netloc=self._host).geturl()
        self._credentials = None
        if parts.username is not None:
            self._credentials = (unquote(parts.username), unquote(parts.password or ""))
        self._asked_at = 0.0
        self._session: requests.Session | None = None

    def open(self, position: Position | None) -> None:
        """Asks for nothing yet. Raises Fatal for a position that this kind can't have written."""
        try:
            self._asked_at = 0.0 if position is None else answered_at(position)
        except ValueError as error:
            raise Fatal(f"the position of {self._name} can't be understood: {error}") from error
        self._session = requests.Session()
        self._session.trust_env = False  # no credentials of ~/.netrc
        self._session.auth = self._credentials
        # What a server compresses may be much longer than what it sends.
        self._session.headers.update({"Accept": "application/json", "Accept-Encoding": "identity"})
        self._session.headers.update(self._target.headers)

    def read(self) -> Chunk | None:
        """A record of the answer; None while it is not time to ask. Raises Retriable for whatever is no answer."""
        now = self._clock()
        # A little less: who is asked once in poll_seconds must not be found too early by a hair.
        if abs(now - self._asked_at) < 0.9 * self._poll_seconds:
            return None
        body = self._ask()
        try:
            msgspec.json.decode(body)
        except (ValueError, RecursionError) as error:  # also what is no UTF-8, or is nested very deep
            raise Retriable(f"{self._name}: the answer is no JSON: {error}", reason="invalid") from error
        self._asked_at = now
        moment = int(self._clock() * 1000)
        value = msgspec.json.encode(Answer(self._source, self._host, moment, msgspec.Raw(body)))
        record = Record(self._target.topic, value, key=self._name.encode(), timestamp=moment)
        return Chunk([record], {"time": moment}, more=False)

    def close(self) -> None:
        """Closes the connection."""
        if self._session is not None:
            self._session.close()

    def _ask(self) -> bytes:
        assert self._session is not None
        target = self._target
        how: dict[str, Any] = {"timeout": target.timeout_seconds, "stream": True, "allow_redirects": False}
        deadline = time.monotonic() + target.timeout_seconds
        try:
            if target.post is None:
                answer = self._session.get(self._url, **how)
            else:
                answer = self._session.post(self._url, json=target.post, **how)
            with answer:
                return self._body(answer, deadline)
        except (requests.RequestException, HTTPError) as error:
            # The error may have the whole URL, which can hold a token.
            raise Retriable(f"{self._name}: {type(error).__name__}", reason="unreachable") from error

    def _body(self, answer: requests.Response, deadline: float) -> bytes:
        """The answer in full, within time and size."""
        if answer.status_code != requests.codes.ok:
            more = "; give the URL that it redirects to" if answer.is_redirect else ""
            raise Retriable(f"{self._name}: HTTP {answer.status_code}{more}", reason=str(answer.status_code))
        if "Content-Encoding" in answer.headers:
            raise Retriable(f"{self._name}: the answer is compressed, which was not asked for", reason="invalid")
        body = bytearray()
        # read1 gives what has come by now: with read, a server that sends a byte now and then would hold this thread.
        while chunk := answer.raw.read1(_CHUNK_BYTES, decode_content=False):
            body += chunk
            if len(body) > self._target.max_bytes:
                text = f"{self._name}: the answer has more than max_bytes ({self._target.max_bytes})"
                raise Retriable(text, reason="too large")
            if time.monotonic() > deadline:
                text = f"{self._name}: no whole answer within {self._target.timeout_seconds:g} s"
                raise Retriable(text, reason="unreachable")
        return bytes(body)


def answered_at(position: Position) -> float:
    """The time of the last answer, seconds since 1970. Raises ValueError for what is no position of this kind."""
    moment = position.get("time")
    if not isinstance(moment, int) or set(position) != {"time"}:
        raise ValueError('it must be like {"time": 1795144523123}, milliseconds since 1970')
    return moment / 1000
