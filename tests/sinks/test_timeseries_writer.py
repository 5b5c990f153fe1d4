"""What the sink of time series makes of a server's answers: nothing is dropped in silence."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from sinks.records import Batch, Columns, Partition, Rejected
from sinks.refusals import FirstRefusals
from sinks.timeseries.client import TimeseriesClient
from sinks.timeseries.config import TimeseriesTarget
from sinks.timeseries.lines import Lines
from sinks.timeseries.writer import TimeseriesPartition, TimeseriesWriter
from tests.sinks.fake_influx import Answer, FakeInflux
from tests.sinks.schedules import hasty_retry
from worker.errors import Fatal, Retriable

PARTITION = Partition("sensors", 2)
TIME = 1_795_144_523_123


def batch(*values: Any) -> Batch:
    """A record for each value, the field `v`; bytes are a record's own value."""
    made = [value if isinstance(value, bytes) else json.dumps({"v": value}).encode() for value in values]
    found = Batch(PARTITION, 0, TIME, opened_at=0.0)
    found.add(Columns(range(len(made)), made, [TIME + offset for offset in range(len(made))]), {})
    return found


def target(url: str, **changes: Any) -> TimeseriesTarget:
    return TimeseriesTarget(**{"url": url, "database": "d", "measurement": "m", "timeout_seconds": 2.0, **changes})


def owner(where: TimeseriesTarget, stop_after: int = 0) -> TimeseriesPartition:
    refusals = FirstRefusals("InfluxDB", "look at it.", stop_after)
    writer = TimeseriesWriter(TimeseriesClient(where, connections=1), Lines(where), refusals)
    found: TimeseriesPartition = hasty_retry().run(writer.open(PARTITION, 17))
    return found


def stored(fake: FakeInflux, *values: Any, stop_after: int = 0, **changes: Any) -> list[Rejected]:
    where = target(f"http://{fake.address}", **changes)
    found: list[Rejected] = hasty_retry().run(owner(where, stop_after).store([batch(*values)]))
    return found


def rule_of(*answers: Answer) -> Callable[[list[str], int], Answer]:
    """These answers to the first writes; then everything is stored."""
    return lambda lines, number: answers[number] if number < len(answers) else (204, "")


def test_a_batch_is_one_compressed_request_to_the_database_in_the_precision() -> None:
    with FakeInflux() as fake:
        assert stored(fake, 1, 2, precision="us") == []
        assert fake.lines == [f"m v=1.0 {TIME}000", f"m v=2.0 {TIME + 1}000"]
        assert fake.queries == [{"db": ["d"], "precision": ["u"]}]
        assert fake.headers[0]["Content-Encoding"] == "gzip"
        stored(fake, 3, gzip=False)
        assert "Content-Encoding" not in fake.headers[-1]


def test_reading_goes_on_at_kafkas_committed_offset() -> None:
    with FakeInflux() as fake:
        assert owner(target(f"http://{fake.address}")).resume_at == 17


def test_records_that_the_server_refuses_are_found_among_those_that_it_stores() -> None:
    with FakeInflux(refuses=lambda line: "v=3.0" in line or "v=40.0" in line) as fake:
        rejected = stored(fake, *range(50))
        assert [(found.record.offset, found.kind) for found in rejected] == [(3, "refused"), (40, "refused")]
        assert rejected[0].reason == "partial write: field type conflict dropped=1"
        assert set(fake.lines) == {f"m v={n}.0 {TIME + n}000000" for n in range(50) if n not in (3, 40)}


def test_records_that_are_no_points_are_rejected_before_anything_is_sent() -> None:
    with FakeInflux() as fake:
        rejected = stored(fake, 1, b'{"v":null}', b'{"v\\n":1}', 2)
        assert [(found.record.offset, found.kind) for found in rejected] == [(1, "invalid"), (2, "invalid")]
        assert fake.sizes == [2]
        assert len(stored(fake, b"{}")) == 1
        assert fake.sizes == [2]


def test_a_request_that_is_too_large_is_halved_and_a_record_that_is_becomes_a_letter() -> None:
    def rule(lines: list[str], number: int) -> Answer:
        return (413, "Request Entity Too Large") if len("".join(lines)) > 120 else (204, "")

    with FakeInflux(rule) as fake:
        rejected = stored(fake, *range(10), b'{"text":"%b"}' % (b"x" * 200))
        assert [(found.record.offset, found.kind) for found in rejected] == [(10, "too_large")]
        assert rejected[0].reason.endswith("answers 413: Request Entity Too Large")
        assert len(fake.lines) == 10


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_server_that_is_busy_is_asked_again_until_it_has_stored_all(status: int) -> None:
    with FakeInflux(rule_of((status, "timeout"), (status, "timeout"))) as fake:
        assert stored(fake, 1, 2) == []
        assert fake.sizes == [2, 2, 2]
        assert len(fake.lines) == 2


def test_a_server_that_is_full_is_waited_for() -> None:
    full = "partial write: max-values-per-tag limit exceeded (100000/100000): dropped=1"
    with FakeInflux(rule_of((400, full), (400, full))) as fake:
        assert stored(fake, 1, 2) == []
        assert fake.sizes == [2, 2, 2]


def test_after_a_failure_the_search_for_refused_records_goes_on_where_it_was() -> None:
    answers = {2: (503, "busy"), 4: (503, "busy")}
    with FakeInflux(lambda _, n: answers.get(n, (204, "")), refuses=lambda line: "v=0.0" in line) as fake:
        assert [found.record.offset for found in stored(fake, *range(4))] == [0]
        assert fake.sizes == [4, 2, 1, 1, 1, 1, 2]


def test_a_server_that_is_away_is_retriable_and_its_password_is_not_shown() -> None:
    with FakeInflux() as fake:
        url = f"http://me:hidden@{fake.address}"
    with pytest.raises(Retriable) as away:
        TimeseriesClient(target(url), connections=1).write(b"m v=1 1\n")
    assert str(away.value) == f"InfluxDB (http://{fake.address}): ConnectionError"


@pytest.mark.parametrize(
    ("status", "text", "advice"),
    [
        (401, "authorization failed", "are user and password in target.url right?"),
        (403, "not authorized", "are user and password in target.url right?"),
        (404, 'database not found: "d"', "is target.database right?"),
        (404, "page not found", "are target.url and target.server right?"),
        (302, "", "are target.url and target.server right?"),
        (200, "<html>", "are target.url and target.server right?"),
    ],
)
def test_an_answer_that_no_repeat_mends_stops_the_sink_and_names_the_setting(
    status: int, text: str, advice: str
) -> None:
    with FakeInflux(rule_of((status, text))) as fake, pytest.raises(Fatal) as fatal:
        stored(fake, 1)
    assert f"answers {status}: {text}" in str(fatal.value)
    assert advice in str(fatal.value)


@pytest.mark.parametrize(
    ("status", "text", "advice"),
    [
        (404, 'database not found: "d"', "is target.database right?"),
        (401, "authorization failed", "are user and password in target.url right?"),
        (400, "plain HTTP request was sent to HTTPS port", "are target.url and target.server right?"),
    ],
)
def test_what_is_wrong_with_the_server_is_told_when_a_partition_is_opened(status: int, text: str, advice: str) -> None:
    with FakeInflux() as fake:
        fake.check = status, text
        with pytest.raises(Fatal) as fatal:
            owner(target(f"http://{fake.address}"))
    assert text in str(fatal.value)
    assert advice in str(fatal.value)


@pytest.mark.parametrize("server", ["influxdb", "victoriametrics"])
def test_a_server_of_another_kind_than_the_settings_say_stops_the_sink(server: str) -> None:
    with FakeInflux() as fake:
        fake.is_influxdb = server != "influxdb"
        with pytest.raises(Fatal, match=r"is target.server right\?"):
            owner(target(f"http://{fake.address}", server=server))


def test_user_and_password_of_the_url_are_sent_decoded_and_are_nowhere_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with FakeInflux(rule_of((401, "authorization failed"))) as fake:
        where = target(f"http://me:hid%2Fden@{fake.address}")
        with pytest.raises(Fatal) as fatal:
            hasty_retry().run(owner(where).store([batch(1)]))
        assert fake.credentials == "me:hid/den"
    assert "hid" not in f"{fatal.value} {where} {where!r} {where.name} {caplog.text}"


def test_a_server_that_refuses_every_record_stops_the_sink() -> None:
    with FakeInflux(refuses=lambda line: True) as fake, pytest.raises(Fatal) as fatal:
        stored(fake, *range(5), stop_after=5)
    assert "InfluxDB has taken no record yet and refused 5, each for partial write" in str(fatal.value)
