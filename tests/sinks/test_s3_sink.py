"""The S3 sink as an operator runs it: set up, run, verified, compacted, rewound, looked at; and wrong settings."""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import override_settings

from devstack.seaweedfs import ACCESS_KEY, SECRET_KEY
from devstack.server import Server
from devstack.stack import Stack
from sinks import registry as sinks_registry
from sinks.checks import check_sinks
from sinks.files.store import FileStatus
from sinks.registry import KINDS
from sinks.s3.config import S3Store, s3_store
from tests.sinks.file_bench import Told
from tests.sinks.s3_bench import BUCKET, CREDENTIALS, entry_of_store
from tests.stores import S3Files, visible
from tests.support import Process, event, produce, wait_until
from worker.servers import Health

RunSink = Callable[..., Process]


def entry_of(topic: str, bucket: str = BUCKET, **target: Any) -> dict[str, Any]:
    return {
        "kind": "s3",
        "topics": [topic],
        "group": f"g-{topic}",
        "target": {"bucket": bucket, "path": f"/{topic}", **target},
        "options": {"flush_records": 5, "flush_seconds": 0.3},
    }


@pytest.fixture
def store(seaweedfs: Server) -> Iterator[dict[str, Any]]:
    """The entry of settings.S3."""
    keys = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
    entry = entry_of_store(seaweedfs.address, create_bucket=True, **keys)
    with override_settings(S3={"default": entry}):
        yield entry


@pytest.mark.integration
def test_it_is_set_up_run_verified_compacted_and_stored_again_by_commands_alone(
    stack: Stack, store: dict[str, Any], run_sink: RunSink, command: Callable[..., Told]
) -> None:
    topic = f"t-{uuid.uuid4().hex[:8]}"
    bucket = f"made-{topic}"
    entry = entry_of(topic, bucket, format="parquet", storage_class="STANDARD")
    with override_settings(SINKS={"under-test": entry}):
        sinks_registry.sinks.cache_clear()
        assert check_sinks() == []
        call_command("setup_pipeline")
    produce(stack, topic, [event(number) for number in range(60)])
    files = S3Files(store["endpoint_url"], bucket)

    sink = run_sink(entry, S3=json.dumps({"default": entry_of_store(store["endpoint_url"])}), **CREDENTIALS)
    wait_until(lambda: command(entry, "verify").text.count("each is stored once") == 3, what="60 records")
    assert len(visible(files, f"/{topic}")) >= 12
    command(entry, "compact", "--older-than", "0")
    assert len(visible(files, f"/{topic}")) == 3
    assert command(entry, "verify").code == 0
    told = command(entry, "rewind", "--partition", f"{topic}-0", "--to", "0", "--yes")
    assert "goes on at offset 0" in told.text
    produce(stack, topic, [event(number) for number in range(3)])  # the sink notices with its next file
    wait_until(lambda: command(entry, "verify").text.count("each is stored once") == 3, what="partition 0 again")
    assert sink.stop() == 0, sink.text[-4000:]
    names = [name for name in visible(files, f"/{topic}") if name.startswith(f"{topic}-0-")]
    assert names and all(".r1." in name for name in names)
    assert len([path for path, _ in files.listed(f"/{topic}/_sink/under-test/{topic}/0/replaced")]) == 1


@pytest.mark.integration
def test_a_bucket_is_made_only_where_the_settings_say_so(stack: Stack, store: dict[str, Any], servers: Stack) -> None:
    entry = entry_of("t", "nobody-made-this")
    with override_settings(SINKS={"under-test": entry}, S3={"default": {**store, "create_bucket": False}}):
        sinks_registry.sinks.cache_clear()
        with pytest.raises(Exception, match="there is no such bucket; make it"):
            list(KINDS["s3"].prepare(sinks_registry.sinks()["under-test"]))


@pytest.mark.integration
def test_people_see_the_bucket_as_a_server_and_as_folders(store: dict[str, Any]) -> None:
    with override_settings(SINKS={"under-test": entry_of("t", path="/looked-at")}):
        sinks_registry.sinks.cache_clear()
        sink = sinks_registry.sinks()["under-test"]
        [server] = KINDS["s3"].servers([sink])
        assert server.name == f"S3 ({store['endpoint_url']}, {BUCKET})"
        assert server.ask(10.0) == Health(None, "")
        files = KINDS["s3"].files(sink)
        assert files is not None
        list(KINDS["s3"].prepare(sink))
        found, left = files.browser(10.0, 2).listing("/looked-at")
        assert ([entry.name for entry in found], left) == (["_sink"], 0)
        assert isinstance(found[0], FileStatus) and found[0].is_folder


# Settings


def messages(entries: dict[str, Any], **stores: Any) -> list[str]:
    with override_settings(SINKS=entries, S3={"default": {}, **stores}):
        sinks_registry.sinks.cache_clear()
        return [str(message.msg) for message in check_sinks()]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"bucket": "A"}, "Expected `str` matching regex"),
        ({"store": "other"}, "S3 has no cluster 'other'"),
        ({"mode": "append"}, "Object contains unknown field `mode`"),
        (
            {"file_name": "{topic}-{partition}-{start}-{end}"},
            "file_name '{topic}-{partition}-{start}-{end}' must end with",
        ),
        ({"kms_key": "k"}, "encryption must be aws:kms"),
        ({"path": f"/{'x' * 1000}"}, "S3 takes 1024"),
        ({"path": "/a//b"}, "path '/a//b' must be written without //"),
    ],
)
def test_a_mistake_in_the_target_is_named(change: dict[str, Any], named: str) -> None:
    [message] = messages({"one": entry_of("t", **change)})
    assert named in message


def test_two_sinks_that_store_a_topic_in_one_place_are_named_also_by_two_names_of_the_store() -> None:
    one = entry_of("t")
    other = {**entry_of("t", store="again"), "group": "other"}
    found = messages({"one": one, "other": other}, again={"profile": "p"})
    assert any("both store t in target.path /t" in message for message in found)
    assert (
        messages({"one": one, "other": {**other, "target": {**other["target"], "bucket": "another"}}}, again={}) == []
    )


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"endpoint_url": "s3.example"}, "endpoint_url 1 of 1 must be like"),
        ({"endpoint_url": "http://user:geheim@s3.example"}, "endpoint_url must be without user and password"),
        ({"access_key_id": "a"}, "access_key_id and secret_access_key are given together"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
    ],
)
def test_a_mistake_in_a_store_is_named_and_no_secret_shown(entry: dict[str, Any], named: str) -> None:
    with override_settings(S3={"default": entry}), pytest.raises(ImproperlyConfigured) as told:
        s3_store("default")
    assert named in str(told.value)
    assert "geheim" not in str(told.value)


def test_the_secret_of_a_store_is_not_in_its_text() -> None:
    assert "geheim" not in repr(S3Store(access_key_id="a", secret_access_key="geheim"))


def test_a_command_for_files_takes_an_s3_sink() -> None:
    with override_settings(SINKS={"under-test": entry_of("t")}, S3={"default": {"endpoint_url": "http://127.0.0.1:1"}}):
        sinks_registry.sinks.cache_clear()
        with pytest.raises(CommandError, match="--older-than is nan"):
            call_command("compact", "--sink", "under-test", "--older-than", "nan")
