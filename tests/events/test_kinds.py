"""A kind of event is a class and an entry of settings: everything downstream knows it."""

import json
from typing import Annotated, Any

import msgspec
import pytest

from events.event import Event, SelectColor
from events.kinds import Kind
from events.rules import Text
from events.schema import InvalidRecord, check_for
from sinks.elasticsearch.documents import document_of
from sinks.files.formats import make_format
from sinks.registry import sinks
from tests.events.doors import Client
from tests.events.fakes import FakeDelivery
from tests.events.test_schema import refusals

pytestmark = pytest.mark.usefixtures("page_view")

SINKS = {
    "views": {"kind": "hdfs", "topics": ["views"], "event": "page-view", "target": {"path": "/v", "format": "parquet"}}
}


def post(*events: object) -> Any:
    return Client().post("/api/events", json.dumps(events), "application/json")


@pytest.mark.usefixtures("door")
def test_the_endpoint_takes_it_to_its_topic_with_defaults(delivery: FakeDelivery) -> None:
    view = {"event": "page-view", "path": "/a", "seconds": 5}
    assert post(view, {"colorName": "red", "userName": "Ada"}).json()["accepted"] == 2
    assert [topic for topic, _ in delivery.records] == ["views", "select-color"]
    assert {**delivery.events[0], "timestamp": ""} == {
        "timestamp": "",
        "userAgent": "",
        "path": "/a",
        "title": "",
        "seconds": 5,
        "share": 0.0,
        "isNew": False,
    }


@pytest.mark.parametrize(
    ("given", "errors"),
    [
        ({}, {"path": "This field is required."}),
        ({"path": "x" * 2049}, {"path": "Must be at most 2048 characters long, not 2049."}),
        ({"path": "/", "seconds": -1}, {"seconds": "Must be at least 0."}),
        ({"path": "/", "seconds": 1.5}, {"seconds": "Must be a whole number."}),
        ({"path": "/", "seconds": 10**30}, {"seconds": "Must be at most 9007199254740991."}),
        ({"path": "/", "seconds": True}, {"seconds": "Must be a whole number."}),
        ({"path": "/", "share": "1"}, {"share": "Must be a number."}),
        ({"path": "/", "share": 10**400}, {"share": "Must be a number that a computer can hold."}),
        ({"path": "/", "isNew": "yes"}, {"isNew": "Must be true or false."}),
        ({"path": "/", "title": 5}, {"title": "Must be one string."}),
    ],
)
def test_its_rules_hold(delivery: FakeDelivery, given: dict[str, Any], errors: dict[str, str]) -> None:
    assert post({"event": "page-view", **given}).json()["rejected"] == [{"index": 0, "errors": errors}]


def test_fields_with_a_default_need_not_be_given(delivery: FakeDelivery) -> None:
    assert post({"event": "page-view", "path": "/", "title": "", "share": None, "isNew": False}).status_code == 202


def test_sinks_check_it_and_write_it_with_its_types(delivery: FakeDelivery) -> None:
    post({"event": "page-view", "path": "/a", "seconds": 5, "share": 0.5, "isNew": True})
    (record,) = (value for _, value in delivery.records)
    check = check_for("page-view")
    check(record)
    assert refusals(check, [record, b'{"path":"/"}']).keys() == {1}
    with pytest.raises(InvalidRecord, match="path"):
        check(b'{"timestamp":"2026-11-20T10:15:30.123+0900","userAgent":""}')
    for name in ("parquet", "avro"):
        file_format = make_format(name, "page-view")
        (row,) = file_format.decode(bytes(file_format.encode([record + b"\n"])))
        assert [row[field] for field in ("path", "title", "seconds", "share", "isNew")] == ["/a", "", 5, 0.5, True]


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
def test_a_number_that_no_store_holds_is_a_dead_letter(number: int) -> None:
    template = '{"timestamp":"2026-11-20T10:15:30.123+0900","userAgent":"","path":"/","seconds":%d}'
    check = check_for("page-view")
    assert refusals(check, [(template % number).encode(), (template % (2**63 - 1)).encode()]).keys() == {0}
    for name in ("parquet", "avro"):
        make_format(name, "page-view").encode([(template % (2**63 - 1)).encode() + b"\n"])


def test_the_index_knows_its_fields() -> None:
    document = document_of("page-view")
    assert document is not None
    properties = document._index.to_dict()["mappings"]["properties"]
    types = {name: field["type"] for name, field in properties.items()}
    own = {"path": "keyword", "title": "keyword", "seconds": "long", "share": "double", "isNew": "boolean"}
    assert types == {**types, "timestamp": "date", "userAgent": "text", **own}
    assert document_of("json") is None


def test_a_sink_may_name_it(settings: Any) -> None:
    settings.SINKS = SINKS
    assert sinks()["views"].event == "page-view"


class WithAList(Event, frozen=True, gc=False):
    tags: list[str]


class WithAnId(Event, frozen=True, gc=False):
    id: Annotated[str, "of its own"]


@pytest.mark.parametrize(("event_type", "reason"), [(WithAList, "list"), (WithAnId, "id"), (dict, "Event")])
def test_a_class_that_can_be_no_kind_is_refused(event_type: Any, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        Kind("x", event_type, "t")


def test_select_color_is_a_kind_like_others() -> None:
    assert [field.name for field in Kind("select-color", SelectColor, "t").fields] == ["colorName", "userName"]


class Address(Text):
    """A rule of one's own."""

    def error(self, value: object) -> str | None:
        return super().error(value) or (None if str(value).startswith("https:") else "Must be an address.")


def test_a_rule_of_ones_own_holds_in_batches_too() -> None:
    kind = Kind(
        "link", msgspec.defstruct("Link", [("to", Annotated[str, Address()])], bases=(Event,), frozen=True), "l"
    )
    assert kind.make_all([{"to": "https://a"}] * 2, timestamp="", user_agent="")
    assert kind.make_all([{"to": "https://a"}, {"to": "javascript:1"}], timestamp="", user_agent="") is None
