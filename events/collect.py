"""Turns what a caller sent into events on their way to Kafka, and into the answer. No Django here.

Both doors, the DRF views and the WSGI lane, call `collect` with the WSGI environ, so that both give the same answers.
"""

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from events import http
from events.bots import is_bot
from events.delivery import Delivers, Mode
from events.event import InvalidEvent, encode
from events.http import Environ, Refused
from events.kinds import Kind
from events.producer import Headers, Record

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 5

SELECT_PATH = "/api/select"
EVENTS_PATH = "/api/events"

SELECT_COLOR = "select-color"

UNEXPECTED = "Something went wrong on the server; its log tells more."

EVENT_ID = "event.id"
"""The Kafka header with the id that the client gave."""

BOT = ("event.bot", b"1")
"""The Kafka header of events whose User-Agent is a program's."""

_NO_EVENTS = "The body must be an event or an array of events, in JSON"
_SELECT_NAMES = {"colorName": "color", "userName": "user"}
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_decode_batch = msgspec.json.Decoder(list[dict[str, Any]]).decode
_decode_event = msgspec.json.Decoder(dict[str, Any]).decode

# A reason may quote what was sent.
_MAX_REASON = 300


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: status, JSON body and headers."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


ACCEPTED = Answer(202, {"status": "accepted"})
CREATED = Answer(201, {"status": "accepted"})
IGNORED = Answer(202, {"status": "ignored", "detail": "The browser asks not to be tracked; nothing was stored."})


@dataclass(frozen=True)
class Limits:
    """What a request may hold. max_body_bytes: of /api/select; max_batch_bytes: of /api/events, also inflated."""

    max_body_bytes: int
    max_batch_bytes: int
    max_batch_events: int
    max_event_bytes: int


@dataclass(frozen=True)
class Collector:
    """What `collect` needs: the kinds of events by name, their delivery, the mode where a request names none, limits.

    honours_privacy_signals: whether browsers that ask not to be tracked are left alone; now: the time of receipt, as
    events carry it.
    """

    kinds: Mapping[str, Kind]
    delivery: Delivers
    mode: Mode
    limits: Limits
    honours_privacy_signals: bool
    now: Callable[[], str]

    def select(self, params: Mapping[str, object], *, user_agent: str) -> Answer:
        """Collects one choice of a colour: the caller's `color` and `user`.

        Returns 202 (201 in the mode acknowledged), 400 naming each bad field, or 503 when it could not be taken.
        """
        kind = self.kinds[SELECT_COLOR]
        try:
            event = kind.make(params, timestamp=self.now(), user_agent=user_agent, names=_SELECT_NAMES)
        except InvalidEvent as invalid:
            return Answer(400, {"status": "rejected", "errors": invalid.errors})
        headers = [BOT] if is_bot(user_agent) else None
        refusal = self.delivery.take([(kind.topic, encode(event), headers)], self.mode)
        if refusal is not None:
            return _unavailable({"status": "unavailable", "detail": refusal.reason})
        return CREATED if self.mode is Mode.ACKNOWLEDGED else ACCEPTED

    def batch(self, events: Sequence[Mapping[str, Any] | str], *, user_agent: str, mode: Mode) -> Answer:
        """Collects events of any kind; those that can't be used are named in the answer, the others are taken.

        events: each as the caller gave it, or why it could not be read.
        """
        timestamp = self.now()
        common = [BOT] if is_bot(user_agent) else None
        records: list[Record] = []
        rejected: list[dict[str, Any]] = []
        for index, given in enumerate(events):
            try:
                records.append(self._record(given, timestamp, user_agent, common))
            except InvalidEvent as invalid:
                rejected.append(_rejection(index, given, invalid.errors))
        if not records:
            return Answer(400, {"status": "rejected", "accepted": 0, "rejected": rejected})
        refusal = self.delivery.take(records, mode)
        if refusal is None:
            status = 201 if mode is Mode.ACKNOWLEDGED else 202
            return Answer(status, {"status": "accepted", "accepted": len(records), "rejected": rejected})
        bad = {rejection["index"] for rejection in rejected}
        indexes = [index for index in range(len(events)) if index not in bad]
        return _unavailable(
            {
                "status": "unavailable",
                "detail": refusal.reason,
                "accepted": len(records) - len(refusal.indexes),
                "rejected": rejected,
                "unavailable": [indexes[position] for position in refusal.indexes],
            }
        )

    def _record(
        self, given: Mapping[str, Any] | str, timestamp: str, user_agent: str, headers: Headers | None
    ) -> Record:
        if isinstance(given, str):
            raise InvalidEvent({"event": given})
        kind = self.kinds.get(name) if isinstance(name := given.get("event", SELECT_COLOR), str) else None
        if kind is None:
            raise InvalidEvent({"event": f"Must be one of {', '.join(self.kinds)}."})
        if (event_id := given.get("id")) is not None:
            if not (isinstance(event_id, str) and _UUID.fullmatch(event_id)):
                raise InvalidEvent({"id": "Must be a UUID."})
            headers = [(EVENT_ID, event_id.lower().encode()), *(headers or ())]
        value = encode(kind.make(given, timestamp=timestamp, user_agent=user_agent))
        if len(value) > self.limits.max_event_bytes:
            raise InvalidEvent({"event": f"Must be at most {self.limits.max_event_bytes} bytes, not {len(value)}."})
        return kind.topic, value, headers


def collect(environ: Environ, get_collector: Callable[[], Collector]) -> Answer:
    """Collects what a request brings; whatever happens, there is an answer.

    environ: WSGI's, of a GET or POST of /api/select or a POST of /api/events.
    """
    try:
        collector = get_collector()
        if collector.honours_privacy_signals and "1" in (environ.get("HTTP_SEC_GPC"), environ.get("HTTP_DNT")):
            return IGNORED
        if environ["PATH_INFO"] == EVENTS_PATH:
            return _collect_events(environ, collector)
        params: Mapping[str, object]
        if environ["REQUEST_METHOD"] == "POST":
            params = _posted_select(environ, collector.limits)
        else:
            params = http.query(environ)
        return collector.select(params, user_agent=http.user_agent(environ))
    except Refused as refused:
        return Answer(refused.status, {"status": "rejected", "detail": refused.detail})
    except Exception:
        logger.exception("unexpected error at %s", environ["PATH_INFO"])
        return Answer(500, {"status": "unavailable", "detail": UNEXPECTED})


def _collect_events(environ: Environ, collector: Collector) -> Answer:
    mode = _mode(environ, collector)
    if http.media_type(environ) not in ("application/json", "text/plain"):
        raise Refused(415, "The Content-Type must be application/json or text/plain.")
    body = http.plain_body(environ, collector.limits.max_batch_bytes)
    events = _events(body)
    if not events:
        raise Refused(400, "The batch has no events.")
    if len(events) > (limit := collector.limits.max_batch_events):
        raise Refused(413, f"The batch has {len(events)} events; at most {limit} are accepted.")
    return collector.batch(events, user_agent=http.user_agent(environ), mode=mode)


def _mode(environ: Environ, collector: Collector) -> Mode:
    if not environ.get("QUERY_STRING"):
        return collector.mode
    name = http.query(environ).get("mode", collector.mode)
    try:
        return Mode(str(name))
    except ValueError:
        raise Refused(400, f"mode must be one of {', '.join(Mode)}.") from None


def _events(body: bytes) -> Sequence[Mapping[str, Any] | str]:
    """The events of a body, each a JSON object or why it is none. Raises Refused."""
    try:
        return [_decode_event(body)] if body.startswith(b"{") else _decode_batch(body)
    except (ValueError, RecursionError):
        pass
    # Something is wrong with it; this one reads on after half a character, and tells bad events from good ones.
    try:
        found = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"{_NO_EVENTS} ({_short(error)}).") from None
    if not isinstance(found, list | dict):
        raise Refused(400, f"{_NO_EVENTS}.")
    events = found if isinstance(found, list) else [found]
    return [event if isinstance(event, dict) else "Must be a JSON object." for event in events]


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _posted_select(environ: Environ, limits: Limits) -> dict[str, Any]:
    if http.media_type(environ) != "application/json":
        raise Refused(415, f'Unsupported media type "{environ.get("CONTENT_TYPE", "")}" in request.')
    try:
        return _decode_event(http.body(environ, limits.max_body_bytes))
    except (ValueError, RecursionError) as error:
        raise Refused(
            400, f"The body must be a JSON object with the fields color and user ({_short(error)})."
        ) from error


def _rejection(index: int, given: Mapping[str, Any] | str, errors: dict[str, str]) -> dict[str, Any]:
    event_id = given.get("id") if isinstance(given, Mapping) else None
    if isinstance(event_id, str) and _UUID.fullmatch(event_id):
        return {"index": index, "id": event_id, "errors": errors}
    return {"index": index, "errors": errors}


def _unavailable(body: dict[str, Any]) -> Answer:
    return Answer(503, body, {"Retry-After": str(RETRY_AFTER_SECONDS)})


def _short(error: Exception) -> str:
    return str(error)[:_MAX_REASON]
