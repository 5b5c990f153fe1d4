"""The headers by which a dead letter of a sink or stream tells its reason and its origin."""

from collections.abc import Sequence

Headers = list[tuple[str, bytes | None]]

LARGEST = 900_000
"""Bytes of the largest dead letter that is kept whole: Kafka's brokers take about a megabyte unless told otherwise."""

ORIGIN = "dlq."
"""The prefix of the headers that say where a dead letter came from."""


def letter_headers(
    headers: Sequence[tuple[str, bytes | None]],
    *,
    reason: str,
    by: tuple[str, str],
    origin: tuple[str, int, int],
    timestamp: int,
) -> Headers:
    """The headers of a dead letter: the record's own and dlq.….

    by: what can't use the record, "sink" or "stream", and its name; origin: the record's topic, partition and offset.
    """
    (kind, name), (topic, partition, offset) = by, origin
    return [
        *(header for header in headers if not header[0].startswith(ORIGIN)),
        ("dlq.reason", reason.encode(errors="backslashreplace")),
        (f"{ORIGIN}{kind}", name.encode()),
        ("dlq.topic", topic.encode()),
        ("dlq.partition", b"%d" % partition),
        ("dlq.offset", b"%d" % offset),
        ("dlq.timestamp", b"%d" % timestamp),
    ]


def fitting(value: bytes | None, key: bytes | None, headers: Headers) -> tuple[bytes | None, bytes | None, Headers]:
    """A dead letter as it is, or, when Kafka might refuse it for its size, reason and origin alone, with dlq.size."""
    size = len(value or b"") + len(key or b"") + sum(len(name) + len(text or b"") for name, text in headers)
    if size <= LARGEST:
        return value, key, headers
    return None, None, origin_alone(headers, value)


def origin_alone(headers: Headers, value: bytes | None) -> Headers:
    """The headers of a dead letter that leaves out its value and the record's own headers."""
    origin = [header for header in headers if header[0].startswith(ORIGIN)]
    return [*origin, ("dlq.size", b"%d" % len(value or b""))]
