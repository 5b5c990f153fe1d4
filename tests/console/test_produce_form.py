"""What the form for a record makes of what was typed and chosen in it."""

from collections.abc import Callable

import pytest
from django.test import Client

from pipeline.console.topics import describe, views
from pipeline.console.topics.produce import NewRecord

Operator = Callable[..., Client]
ADDRESS = "/admin/console/topics/default/clicks/produce/"


@pytest.fixture
def produced(monkeypatch: pytest.MonkeyPatch) -> list[NewRecord]:
    """The records that Kafka would get."""
    records: list[NewRecord] = []

    def produce(_cluster: str, _topic: str, record: NewRecord) -> tuple[int, int]:
        records.append(record)
        return 0, len(records) - 1

    monkeypatch.setattr(describe, "partition_numbers", lambda _cluster, _topic: [0])
    monkeypatch.setattr(views, "produce", produce)
    return records


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        ("a\r\nb\r\n", b"a\nb\n"),
        ("a\nb", b"a\nb"),
        ("\r\n", b"\n"),
        (" a\rb ", b" a\rb "),
    ],
)
def test_a_text_has_the_newlines_that_were_typed(
    operator: Operator, produced: list[NewRecord], sent: str, value: bytes
) -> None:
    assert operator("produce").post(ADDRESS, {"kind": "text", "value": sent}).status_code == 302
    assert [record.value for record in produced] == [value]


@pytest.mark.parametrize(("kind", "value"), [("tombstone", None), ("empty", b"")])
def test_a_record_without_a_value_and_one_with_an_empty_value_can_be_produced(
    operator: Operator, produced: list[NewRecord], kind: str, value: bytes | None
) -> None:
    # The form begins with an example in the field of the value, which is hidden then.
    form = {"kind": kind, "key": "k", "value": '{"an": "example"}'}
    assert operator("produce").post(ADDRESS, form).status_code == 302
    assert [(record.key, record.value) for record in produced] == [(b"k", value)]


@pytest.mark.parametrize("kind", ["json", "text"])
def test_text_and_json_need_a_value(operator: Operator, produced: list[NewRecord], kind: str) -> None:
    answer = operator("produce").post(ADDRESS, {"kind": kind, "value": ""})
    assert "This field is required." in answer.content.decode()
    assert produced == []
