"""The event and its timestamp."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from events.event import SelectColor, encode, format_timestamp, parse_timestamp

SEOUL = timezone(timedelta(hours=9))
MOMENT = datetime(2026, 11, 20, 10, 15, 30, 123_999, tzinfo=SEOUL)


def test_is_written_field_for_field_in_the_order_of_the_java_original() -> None:
    event = SelectColor("2026-11-20T10:15:30.123+0900", "Mozilla/5.0", "red", "김민지")
    assert encode(event).decode() == (
        '{"timestamp":"2026-11-20T10:15:30.123+0900","userAgent":"Mozilla/5.0","colorName":"red","userName":"김민지"}'
    )


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (MOMENT, "2026-11-20T10:15:30.123+0900"),
        (MOMENT.astimezone(UTC), "2026-11-20T01:15:30.123+0000"),
        (MOMENT.replace(microsecond=0), "2026-11-20T10:15:30.000+0900"),
        (MOMENT.replace(tzinfo=timezone(-timedelta(hours=3, minutes=30))), "2026-11-20T10:15:30.123-0330"),
    ],
)
def test_timestamp_has_milliseconds_and_a_zone_without_colon(moment: datetime, text: str) -> None:
    assert format_timestamp(moment) == text


@pytest.mark.parametrize(
    "text", ["2026-11-20T10:15:30.123+0900", "2026-11-20T10:15:30.123+09:00", "2026-11-20T01:15:30.123Z"]
)
def test_readers_accept_each_way_to_write_the_zone(text: str) -> None:
    assert parse_timestamp(text) == MOMENT.replace(microsecond=123_000)


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "1763600000", "2026-11-20T10:15:30.123", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+0900"],
)
def test_readers_refuse_what_names_no_moment(text: str) -> None:
    with pytest.raises(ValueError):
        parse_timestamp(text)
