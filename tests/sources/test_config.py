"""Mistakes in SOURCES are explained at start, and nothing secret is shown."""

from typing import Any

import pytest
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import override_settings

from sources import registry
from sources.positions import positions_of

HTTP = {"kind": "http", "target": {"urls": ["http://localhost:1/x"], "topic": "metrics"}}


def entry(**values: Any) -> dict[str, Any]:
    return {**HTTP, **values}


def target(**values: Any) -> dict[str, Any]:
    return {**HTTP, "target": {**HTTP["target"], **values}}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("http", r"SOURCES\['s'\] must be an object with kind and target"),
        (entry(kind="ftp"), r"SOURCES\['s'\]: kind is 'ftp'; it must be one of .*http"),
        (entry(target="http://kim:geheim@x"), "target must be an object that says what the source reads"),
        (entry(target=None), "target must be an object that says what the source reads"),
        (entry(tasks=0), r"`int` >= 1 - at `\$\.tasks`"),
        (entry(other=1), "unknown field `other`"),
        (entry(options={"batch_records": 0}), r"at `\$\.options\.batch_records`"),
        (entry(kafka="nowhere"), "kafka is 'nowhere': KAFKA has no cluster 'nowhere'"),
        (entry(positions_topic="metrics"), "both must be topics that hold nothing else"),
        (target(topic="__consumer_offsets"), "topic __consumer_offsets is one of Kafka's own"),
        (entry(dead_letter_topic="metrics"), "both must be topics that hold nothing else"),
        (entry(dead_letter_topic="source-positions"), "both must be topics that hold nothing else"),
        (target(urls=[]), r"at `\$\.target\.urls`"),
        (target(topic="a b"), r"at `\$\.target\.topic`"),
        (target(urls=["ftp://x"]), r"target\.urls: 1 of 1 must be like https://"),
        (target(urls=["http://u:p@x/a", "http://x/a"]), "has a URL twice"),
        *(
            (target(headers=headers), "header 1 of 1 can't be sent")
            for headers in ({"X": "a\nb"}, {"X": " a"}, {"X\n": "a"}, {"X Y": "a"}, {"": "a"})
        ),
        *(
            (
                {"kind": "database", "target": {"database": url, "mode": "bulk", "tables": ["x"], "topic": "t"}},
                "target.database: in user, password and name, characters such as # .* are percent-encoded",
            )
            for url in ("postgres://kim:1#geheim@x/y", "mysql://kim:1/geheim@x/y", "mysql://kim:1?geheim@x/y")
        ),
        *(
            ({"kind": "file", "target": {"paths": ["/x"], "topic": "t", "encoding": encoding}}, "target.encoding")
            for encoding in ("utf-16", "u7", "raw_unicode_escape", "nothing")
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(wrong: Any, why: str) -> None:
    with override_settings(SOURCES={"s": wrong}), pytest.raises(ImproperlyConfigured, match=why) as told:
        registry.sources()
    assert "geheim" not in str(told.value)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"producer": {"transactional.id": "mine"}}, "transactional.id must be left to the source"),
        ({"producer": {"enable.idempotence": False}}, "enable.idempotence must be left to the source"),
        ({"consumer": {"isolation.level": "read_uncommitted"}}, "isolation.level must be left to the source"),
        ({"producer": {"no.such.option": 1}}, 'No such configuration property: "no.such.option"'),
        ({"consumer": {"session.timeout.ms": "soon"}}, "session.timeout.ms"),
    ],
)
def test_options_that_kafka_refuses_or_that_could_lose_records_are_told(options: dict[str, Any], why: str) -> None:
    with override_settings(SOURCES={"s": entry(**options)}):
        (error,) = checks.run_checks(tags=["sources"])
    assert (error.id, why in error.msg) == ("sources.E001", True)


def test_sources_that_are_in_each_others_way_are_told() -> None:
    both = {"one": entry(positions_partitions=4), "two": {**target(topic="source-positions"), "positions_topic": "p"}}
    with override_settings(SOURCES=both):
        (error,) = checks.run_checks(tags=["sources"])
    assert "two writes records to source-positions, a topic of positions" in error.msg
    registry.sources.cache_clear()
    with override_settings(SOURCES={"one": entry(positions_partitions=4), "two": HTTP}):
        (error,) = checks.run_checks(tags=["sources"])
    assert "differ in positions_partitions" in error.msg


def test_a_kind_has_defaults_of_its_own_that_an_entry_overrides() -> None:
    with override_settings(SOURCES={"a": HTTP, "b": entry(poll_seconds=3)}):
        assert [source.poll_seconds for source in registry.sources().values()] == [10.0, 3.0]


def test_passwords_and_headers_are_not_shown_and_told_where_others_can_read_them() -> None:
    secret = target(urls=["http://kim:geheim@far.example/x"], headers={"Authorization": "geheim"})
    with override_settings(SOURCES={"s": secret}):
        (source,) = registry.sources().values()
        kind = registry.kind_of(source)
        assert kind.described(source) == "http://far.example/x"
        assert "geheim" not in f"{source!r} {kind.parts(source)} {kind.servers([source])}"
        (warning,) = checks.run_checks(tags=["sources"])
    assert "by plain http, which others on the way can read" in warning.msg


def test_positions_of_what_belongs_to_a_host_carry_its_name() -> None:
    with override_settings(SOURCES={"s": entry(host="shop-1")}):
        (source,) = registry.sources().values()
    place, of_host = positions_of(source, local=False), positions_of(source, local=True)
    assert (place.key("a"), place.group, place.transactional_id(3)) == (b"s/a", "source-s", "source-s-3")
    assert (of_host.key("a"), of_host.group) == (b"s@shop-1/a", "source-s@shop-1")
    assert (place.part(b"s/a/b"), place.part(of_host.key("a")), place.part(None)) == ("a/b", None, None)


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("run_source --source nobody", "SOURCES has no entry 'nobody'; it has s"),
        ("verify_source --source nobody", "SOURCES has no entry 'nobody'; it has s"),
        ("rewind_source --source s --part a", "--part and --to belong together"),
    ],
)
def test_arguments_that_make_no_sense_are_named(command: str, named: str) -> None:
    with override_settings(SOURCES={"s": HTTP}), pytest.raises(CommandError) as told:
        call_command(*command.split())
    assert named in str(told.value)
