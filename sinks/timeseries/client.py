"""Talks to a time-series server by HTTP, and tells what its answers mean."""

import gzip
import re
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from events.shortening import shortened
from sinks.timeseries.config import TimeseriesTarget
from worker.errors import Fatal, Retriable

_NO_CONTENT = 204
_TOO_LARGE = 413
_BUSY = {408, 429}
_MAX_ANSWER = 64 * 1024
_MAX_REASON = 500

_PRECISIONS = {"s": "s", "ms": "ms", "us": "u", "ns": "ns"}
"""The units as both servers write them."""

_FULL = re.compile(r"partial write: max-(?:series-per-database|values-per-tag) limit exceeded")
"""InfluxDB refuses every further series, whatever the record is. An operator raises the limit."""


class Refusal(NamedTuple):
    """Why the server takes some lines, or one of them, not. kind: as of `sinks.records.Rejected`."""

    reason: str
    kind: str


class Answer(NamedTuple):
    """An answer of the server. text: its body; version: of InfluxDB, None for another server."""

    status: int
    text: str
    version: str | None

    @property
    def reason(self) -> str:
        """The server's own words."""
        try:
            text = msgspec.json.decode(self.text, type=dict[str, Any]).get("error", self.text)
        except (ValueError, RecursionError):
            text = self.text
        return shortened(" ".join(str(text).split()), _MAX_REASON)


class TimeseriesClient:
    """Sends lines to one server. Several threads may use it. connections: how many do at a time."""

    def __init__(self, target: TimeseriesTarget, *, connections: int) -> None:
        self._target = target
        parts = urlsplit(target.url)
        self._url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False  # no credentials of ~/.netrc
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=connections))
        if parts.username is not None:
            self._session.auth = (unquote(parts.username), unquote(parts.password or ""))
        self._query = {"precision": _PRECISIONS[target.precision]}
        if target.database:
            self._query["db"] = target.database

    def close(self) -> None:
        """Closes the connections."""
        self._session.close()

    def write(self, lines: bytes) -> Refusal | None:
        """Stores lines; returns why the server refuses some, None when all are stored. Raises Retriable and Fatal."""
        answer = self._post(lines)
        if answer.status == _NO_CONTENT:
            return None
        if answer.status == _TOO_LARGE:
            return Refusal(f"{self._target.name} answers 413: {answer.reason}", "too_large")
        if answer.status == requests.codes.bad_request:
            if _FULL.match(answer.reason):
                raise Retriable(f"{self._target.name}: {answer.reason}", reason="400")
            return Refusal(answer.reason, "refused")
        raise self._failed(answer)

    def check(self) -> str | None:
        """Writes nothing, which needs all that writing needs; returns the version of InfluxDB.

        Raises Retriable and Fatal.
        """
        answer = self._post(b"")
        if answer.status != _NO_CONTENT:
            raise self._failed(answer)
        if (answer.version is None) == (self._target.server == "influxdb"):
            found = "VictoriaMetrics" if answer.version is None else f"InfluxDB {answer.version}"
            raise Fatal(f"{self._target.name} answers as {found} does: is target.server right?")
        return answer.version

    def make_database(self) -> bool:
        """Whether the database of InfluxDB was made; False when it was there. Raises Retriable and Fatal."""
        answer = self._ask("GET", "/query", params={"q": "SHOW DATABASES"})
        if answer.status != requests.codes.ok:
            raise self._failed(answer)
        if f'["{self._target.database}"]' in answer.text:
            return False
        made = self._ask("POST", "/query", params={"q": f'CREATE DATABASE "{self._target.database}"'})
        if made.status != requests.codes.ok or '"error"' in made.text:
            raise self._failed(made)
        return True

    def _post(self, lines: bytes) -> Answer:
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if self._target.gzip:
            lines = gzip.compress(lines, compresslevel=1, mtime=0)
            headers["Content-Encoding"] = "gzip"
        return self._ask("POST", "/write", params=self._query, data=lines, headers=headers)

    def _ask(self, method: str, path: str, **how: Any) -> Answer:
        """Raises Retriable when there is no answer."""
        timeout = self._target.timeout_seconds
        try:
            with self._session.request(
                method, self._url + path, timeout=timeout, allow_redirects=False, stream=True, **how
            ) as answer:
                body = answer.raw.read(_MAX_ANSWER, decode_content=True) or b""
                # VictoriaMetrics gives itself a version of InfluxDB, but no build.
                version = answer.headers.get("X-Influxdb-Version") if "X-Influxdb-Build" in answer.headers else None
                return Answer(answer.status_code, body.decode(errors="replace"), version)
        except (requests.RequestException, HTTPError) as error:
            # The error itself is not shown: what it quotes is not known.
            raise Retriable(f"{self._target.name}: {type(error).__name__}", reason="unreachable") from error

    def _failed(self, answer: Answer) -> Retriable | Fatal:
        """What an answer means that is neither a success nor about the lines."""
        text = f"{self._target.name} answers {answer.status}: {answer.reason}"
        match answer.status:
            case status if status in _BUSY or status >= 500:
                return Retriable(text, reason=str(status))
            case 401 | 403:
                return Fatal(f"{text} (are user and password in target.url right?)")
            case 404 if "database" in answer.reason:
                return Fatal(f"{text} (is target.database right? `manage.py setup_pipeline` makes it)")
        return Fatal(f"{text} (are target.url and target.server right?)")
