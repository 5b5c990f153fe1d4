"""Collects events: reads a request, hands its events to the delivery to Kafka, and answers. No Django here.

The DRF views and the WSGI lane both call `collect` with the WSGI environ, so they give the same answers.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from itertools import repeat
from operator import attrgetter
from typing import Any

import msgspec

from events import http, metrics
from events.bad_events import BadEvents
from events.bots import is_bot
from events.counters import Counters, Key
from events.delivery import Mode, Refusal
from events.event import Event, InvalidEvent, encode, encode_all
from events.http import Environ, Refused
from events.kinds import Kind
from events.schema import explained
from kafka_client.log import repeating_logger
from kafka_client.producer import Headers, Record

logger = repeating_logger(__name__)

RETRY_AFTER_SECONDS = 5

SELECT_PATH = "/api/select"
EVENTS_PATH = "/api/events"

SELECT_COLOR = "select-color"

UNEXPECTED = "Something went wrong on the server; its log tells more."

EVENT_ID = "event.id"
"""The Kafka header with the id that the client gave to its event."""

BOT = ("event.bot", b"1")
"""The Kafka header of events whose User-Agent names a program, not a browser."""

_NO_EVENTS = "The body must be an event or an array of events, in JSON"
_UNREADABLE = "Must be JSON, without NaN or Infinity, and without thousands of levels or digits."
_SELECT_NAMES = {"colorName": "color", "userName": "user"}
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_decode_batch = msgspec.json.Decoder(list[dict[str, Any]]).decode
_decode_event = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: status, JSON body and headers."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)

    @cached_property
    def wire(self) -> tuple[str, list[tuple[str, str]], bytes]:
        """The answer as WSGI takes it: status line, headers, body."""
        content = msgspec.json.encode(self.body)
        headers = [("Content-Length", str(len(content))), *self.headers.items()]
        return f"{self.status} {HTTPStatus(self.status).phrase}", headers, content


ACCEPTED = Answer(202, {"status": "accepted"})
CREATED = Answer(201, {"status": "accepted"})
IGNORED = Answer(202, {"status": "ignored", "detail": "The browser asks not to be tracked; nothing was stored."})


@dataclass(frozen=True)
class Limits:
    """Bounds of a request. max_batch_bytes: of a body of /api/events, before and after inflating."""

    max_body_bytes: int
    max_batch_bytes: int
    max_batch_events: int
    max_event_bytes: int


@dataclass(frozen=True)
class Collector:
    """Collects events with the settings of one process.

    kinds: by name. take: that of Delivery. mode: used when a request names none. honours_privacy_signals: whether
    nothing is stored of browsers that ask not to be tracked. now: gives the time of receipt, as events carry it.
    bad_events: gets copies of rejected events.
    """

    kinds: Mapping[str, Kind]
    take: Callable[[Sequence[Record], Mode], Refusal | None]
    mode: Mode
    limits: Limits
    honours_privacy_signals: bool
    now: Callable[[], str]
    counters: Counters
    bad_events: BadEvents | None = None

    @cached_property
    def _select(self) -> tuple[Kind, Key]:
        """The kind of events of /api/select, and the counter of accepted ones."""
        kind = self.kinds[SELECT_COLOR].called(_SELECT_NAMES)
        return kind, (metrics.ACCEPTED, kind.topic, self.mode.value)

    def select(self, params: Mapping[str, object], *, user_agent: str) -> Answer:
        """Collects one choice of a colour. params: has the fields `color` and `user`.

        Answers 202 (201 in the mode acknowledged), 400 with a reason for each bad field, or 503 when the event could
        not be taken.
        """
        kind, accepted = self._select
        timestamp = self.now()
        try:
            value = self._encode(kind.make(params, timestamp=timestamp, user_agent=user_agent))
        except InvalidEvent as invalid:
            self.counters.add((metrics.REJECTED, SELECT_COLOR, invalid.reason))
            self.note_bad(params, str(invalid), path=SELECT_PATH, user_agent=user_agent)
            return Answer(400, {"status": "rejected", "errors": invalid.errors})
        headers = [BOT] if is_bot(user_agent) else None
        refusal = self.take([Record(kind.topic, value, headers)], self.mode)
        if refusal is not None:
            self.counters.add((metrics.UNAVAILABLE, self.mode.value))
            return _unavailable(refusal.reason)
        self.counters.add(accepted)
        return CREATED if self.mode is Mode.ACKNOWLEDGED else ACCEPTED

    def batch(self, events: Sequence[Any], *, user_agent: str, mode: Mode) -> Answer:
        """Collects events of any kind. The answer names the events that are rejected; all others are taken.

        events: decoded from JSON; bytes for an event that could not be decoded.
        """
        timestamp = self.now()
        common = [BOT] if is_bot(user_agent) else None
        rejected: list[dict[str, Any]] = []
        records = self._records(events, timestamp, user_agent, common)
        if records is None:
            records = []
            for index, given in enumerate(events):
                try:
                    records.append(self._record(given, timestamp, user_agent, common))
                except InvalidEvent as invalid:
                    rejected.append(_rejection(index, given, invalid.errors))
                    self.counters.add((metrics.REJECTED, self._kind_name(given), invalid.reason))
                    self.note_bad(given, str(invalid), path=EVENTS_PATH, user_agent=user_agent)
        if not records:
            return Answer(400, {"status": "rejected", "accepted": 0, "rejected": rejected})
        refusal = self.take(records, mode)
        self._count(records, mode, refusal)
        if refusal is None:
            status = 201 if mode is Mode.ACKNOWLEDGED else 202
            return Answer(status, {"status": "accepted", "accepted": len(records), "rejected": rejected})
        bad = {rejection["index"] for rejection in rejected}
        indexes = [index for index in range(len(events)) if index not in bad]
        return _unavailable(
            refusal.reason,
            accepted=len(records) - len(refusal.indexes),
            rejected=rejected,
            unavailable=[indexes[position] for position in refusal.indexes],
        )

    def note_bad(self, given: object, reason: str, *, path: str, user_agent: str) -> None:
        """Sends a copy of a rejected event or body to the topic of bad events, if the settings name one."""
        if self.bad_events is not None:
            self.bad_events.note(given, reason, path=path, timestamp=self.now(), user_agent=user_agent)

    def _count(self, records: Sequence[Record], mode: Mode, refusal: Refusal | None) -> None:
        taken = Counter(map(attrgetter("topic"), records))
        if refusal is not None:
            taken.subtract(records[index].topic for index in refusal.indexes)
            self.counters.add((metrics.UNAVAILABLE, mode.value), len(refusal.indexes))
        for topic, number in (+taken).items():
            self.counters.add((metrics.ACCEPTED, topic, mode.value), number)

    def _kind_name(self, given: Any) -> str:
        """The name for the metrics. Names that callers invent all count as "unknown", so that they add no series."""
        name = given.get("event", SELECT_COLOR) if isinstance(given, dict) else None
        return name if isinstance(name, str) and name in self.kinds else "unknown"

    def _records(
        self, events: Sequence[Any], timestamp: str, user_agent: str, headers: Headers | None
    ) -> list[Record] | None:
        """All records of a batch, in half the time of `_record`; None for a batch with a bad event or several kinds."""
        if set(map(type, events)) != {dict}:
            return None
        names = [given.get("event", SELECT_COLOR) for given in events]
        if names.count(names[0]) < len(names) or (kind := self._kind(names[0])) is None:
            return None
        made = kind.make_all(events, timestamp=timestamp, user_agent=user_agent)
        if made is None:
            return None
        values = encode_all(made)
        if max(map(len, values)) > self.limits.max_event_bytes:
            return None
        ids = [given.get("id") for given in events]
        if ids.count(None) == len(ids):
            return list(map(Record, repeat(kind.topic), values, repeat(headers)))
        try:
            return list(map(Record, repeat(kind.topic), values, [_headers(given, headers) for given in events]))
        except InvalidEvent:
            return None

    def _record(self, given: Any, timestamp: str, user_agent: str, headers: Headers | None) -> Record:
        if isinstance(given, bytes):
            raise InvalidEvent({"event": _UNREADABLE}, reason="json")
        if not isinstance(given, dict):
            raise InvalidEvent({"event": "Must be a JSON object."}, reason="json")
        kind = self._kind(given.get("event", SELECT_COLOR))
        if kind is None:
            raise InvalidEvent({"event": f"Must be one of {', '.join(self.kinds)}."}, reason="kind")
        headers = _headers(given, headers)
        value = self._encode(kind.make(given, timestamp=timestamp, user_agent=user_agent))
        return Record(kind.topic, value, headers)

    def _kind(self, name: object) -> Kind | None:
        return self.kinds.get(name) if isinstance(name, str) else None

    def _encode(self, event: Event) -> bytes:
        """The bytes of an event. Raises InvalidEvent when there are too many."""
        value = encode(event)
        if len(value) > self.limits.max_event_bytes:
            error = f"Must be at most {self.limits.max_event_bytes} bytes, not {len(value)}."
            raise InvalidEvent({"event": error}, reason="size")
        return value


def _headers(given: Mapping[str, Any], common: Headers | None) -> Headers | None:
    """The Kafka headers of an event. Raises InvalidEvent when its id is not a UUID."""
    if (event_id := given.get("id")) is None:
        return common
    if not (isinstance(event_id, str) and _UUID.fullmatch(event_id)):
        raise InvalidEvent({"id": "Must be a UUID, as in 123e4567-e89b-12d3-a456-426614174000."}, reason="id")
    return [(EVENT_ID, event_id.lower().encode()), *(common or ())]


def collect(environ: Environ, get_collector: Callable[[], Collector]) -> Answer:
    """Collects the events of a request: a GET or POST of /api/select, or a POST of /api/events. Raises nothing."""
    try:
        collector = get_collector()
        if collector.honours_privacy_signals and "1" in (environ.get("HTTP_SEC_GPC"), environ.get("HTTP_DNT")):
            return IGNORED
        if environ["PATH_INFO"] == EVENTS_PATH:
            return _collect_events(environ, collector)
        is_post = environ["REQUEST_METHOD"] == "POST"
        params = _posted_select(environ, collector) if is_post else http.query(environ)
        return collector.select(params, user_agent=http.user_agent(environ))
    except Refused as refused:
        return Answer(refused.status, {"status": "rejected", "detail": refused.detail})
    except Exception:
        logger.exception("unexpected error at %s", environ["PATH_INFO"])
        return Answer(500, {"status": "unavailable", "detail": UNEXPECTED})


def _collect_events(environ: Environ, collector: Collector) -> Answer:
    mode = _mode(environ, collector)
    body = http.json_body(environ, collector.limits.max_batch_bytes, "application/json", "text/plain")
    try:
        events = _events(body, collector.limits.max_batch_events)
    except Refused as refused:
        collector.note_bad(body, refused.detail, path=EVENTS_PATH, user_agent=http.user_agent(environ))
        raise
    if not events:
        raise Refused(400, "The batch has no events.")
    _check_number(events, collector.limits.max_batch_events)
    return collector.batch(events, user_agent=http.user_agent(environ), mode=mode)


def _mode(environ: Environ, collector: Collector) -> Mode:
    if not environ.get("QUERY_STRING"):
        return collector.mode
    name = http.query(environ).get("mode", collector.mode)
    try:
        return Mode(str(name))
    except ValueError:
        raise Refused(400, f"mode must be one of {', '.join(Mode)}.") from None


def _check_number(events: Sequence[Any], limit: int) -> None:
    if len(events) > limit:
        raise Refused(413, f"The batch has {len(events)} events; at most {limit} are accepted.")


def _events(body: bytes, limit: int) -> Sequence[Any]:
    """The events of a body, decoded; bytes for an event that can't be decoded. Raises Refused."""
    with suppress(ValueError, RecursionError):
        return [_decode_event(body)] if body.startswith(b"{") else _decode_batch(body)
    # The body has a fault. json decodes more than msgspec does: half of a surrogate pair, and elements that are no
    # objects. Such events are rejected later, one by one.
    try:
        found = json.loads(body.decode("utf-8", "surrogatepass"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        # When it is JSON, an event is nested too deep, or has NaN or a number of thousands of digits. The other events
        # may be good.
        is_json = not isinstance(error, json.JSONDecodeError | UnicodeDecodeError)
        if not is_json or (elements := _elements(body)) is None:
            raise Refused(400, f"{_NO_EVENTS} ({explained(body, error)}).") from None
        _check_number(elements, limit)
        return [_read(element) for element in elements]
    if not isinstance(found, list | dict):
        raise Refused(400, f"{_NO_EVENTS}.")
    return found if isinstance(found, list) else [found]


def _elements(body: bytes) -> list[bytes] | None:
    """The elements of an array, or an object alone, as they were sent; None when brackets or quotes don't match.

    Brackets are counted, not decoded: an element may be nested too deep for a decoder.
    """
    body = body.strip()
    if not body.startswith(b"["):
        return [body]
    # Strings are blanked, so that only the brackets and commas between them are left, each at its place.
    parts = body.replace(rb"\\", b"__").replace(rb"\"", b"__").split(b'"')
    parts[1::2] = (b"_" * len(part) for part in parts[1::2])
    elements: list[bytes] = []
    depth = 0
    start = end = 1
    for piece in b"_".join(parts)[1:-1].split(b","):
        depth += piece.count(b"[") + piece.count(b"{") - piece.count(b"]") - piece.count(b"}")
        end += len(piece)
        if depth == 0:
            elements.append(body[start:end])
            start = end + 1
        end += 1  # the comma
    is_whole = len(parts) % 2 and start == len(body) and body.endswith(b"]")
    return elements if is_whole else None


def _read(element: bytes) -> Any:
    try:
        return json.loads(element, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return element


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _posted_select(environ: Environ, collector: Collector) -> dict[str, Any]:
    body = http.json_body(environ, collector.limits.max_body_bytes, "application/json")
    try:
        return _decode_event(body)
    except (ValueError, RecursionError) as error:
        detail = f"The body must be a JSON object with the fields color and user ({explained(body, error)})."
        collector.note_bad(body, detail, path=SELECT_PATH, user_agent=http.user_agent(environ))
        raise Refused(400, detail) from error


def _rejection(index: int, given: Any, errors: dict[str, str]) -> dict[str, Any]:
    event_id = given.get("id") if isinstance(given, dict) else None
    has_id = isinstance(event_id, str) and _UUID.fullmatch(event_id)
    return {"index": index, **({"id": event_id} if has_id else {}), "errors": errors}


def _unavailable(reason: str, **more: object) -> Answer:
    return Answer(503, {"status": "unavailable", "detail": reason, **more}, {"Retry-After": str(RETRY_AFTER_SECONDS)})
