"""The pages of files on a real HDFS: what they show of each format, and that nothing else can be reached."""

import html
import json
import re
from collections.abc import Callable

import hdfs
import pytest
from django.test import Client
from pytest_django import Settings

from devstack.stack import Stack
from pipeline import conf
from sinks import registry as sinks_registry
from sinks.files.formats import FORMATS, make_format
from tests.console.support import shown, text_of
from tests.support import event, produce

pytestmark = [pytest.mark.integration]

Operator = Callable[..., Client]
FILES = "/admin/console/files/hdfs/"


def write(stack: Stack, path: str, content: bytes) -> None:
    """Writes a file."""
    hdfs.InsecureClient(stack.webhdfs_url, user="hdfs").write(path, data=content)


def name_of(topic: str, start: int, end: int, extension: str = "log") -> str:
    """The name that the sink gives the file of these offsets of partition 0."""
    return f"{topic}-0-{start:020d}-{end:020d}.{extension}"


@pytest.mark.parametrize("format_name", FORMATS)
def test_first_and_last_records_of_each_format(
    console: Stack, topic: str, operator: Operator, format_name: str
) -> None:
    lines = [event(number) + b"\n" for number in range(100)]
    format_ = make_format(format_name, "select-color")
    name = f"f.{format_.extension}"
    write(console, f"/{topic}/{name}", bytes(format_.encode(lines)))
    text = shown(operator(), f"{FILES}preview/?path={name}")
    assert "Records 100" in text
    assert "user-0" in text
    assert "user-19" in text
    assert "user-20" not in text
    assert "user-79" not in text
    assert "user-80" in text
    assert "user-99" in text


def test_of_a_large_text_file_only_the_ends_are_read(
    console: Stack, topic: str, operator: Operator, settings: Settings
) -> None:
    settings.CONSOLE = {"preview_bytes": 1024, "decoded_bytes": 1024}
    conf.console_settings.cache_clear()
    content = b"".join(event(number) + b"\n" for number in range(5000))
    write(console, f"/{topic}/{name_of(topic, 0, 4999)}", content)
    write(console, f"/{topic}/big.log.gz", content[:2000])
    client = operator()
    text = shown(client, f"{FILES}preview/?path={name_of(topic, 0, 4999)}")
    assert "user-0" in text
    assert "user-4999" in text
    assert "user-4980" not in text
    assert f"Topic and partition {topic} , 0 Offsets 0 – 4,999" in text
    assert "are shown up to" in shown(client, f"{FILES}preview/?path=big.log.gz")


def test_broken_and_bursting_files_are_explained(
    console: Stack, topic: str, operator: Operator, settings: Settings
) -> None:
    settings.CONSOLE = {"decoded_bytes": 100_000}
    conf.console_settings.cache_clear()
    bomb = make_format("zstd", "json").encode([b"a" * 50_000_000])
    for name, content in (
        ("bomb.log.zst", bytes(bomb)),
        ("no.parquet", b"no"),
        ("no.log.gz", b"no"),
        ("no.avro", b"no"),
    ):
        write(console, f"/{topic}/{name}", content)
    client = operator()
    for name in ("no.parquet", "no.log.gz", "no.avro"):
        assert "can’t be decoded" in shown(client, f"{FILES}preview/?path={name}")
    assert "holds more than" in shown(client, f"{FILES}preview/?path=bomb.log.zst")


def test_a_folder_is_listed_in_pages_with_offsets(
    console: Stack, topic: str, operator: Operator, settings: Settings
) -> None:
    settings.CONSOLE = {"records": 2}
    conf.console_settings.cache_clear()
    for start in (0, 10, 20):
        write(console, f"/{topic}/{name_of(topic, start, start + 9)}", b"x\n")
    write(console, f"/{topic}/_sink/x", b"")
    client = operator()
    page = client.get(f"{FILES}list/").json()["html"]
    assert text_of(page).count(topic) == 1
    assert "_sink/" in page
    assert "folder" in page
    address = page.rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")
    text = shown(client, address.replace(FILES, f"{FILES}list/"))
    assert f"{name_of(topic, 10, 19)} 0 10 19 10 2" in text
    assert "Last offset Offsets Size" in text, "the span of offsets is no count of records"
    assert "Files 4" in shown(client, f"{FILES}summary/")


def test_the_file_of_a_record_is_found(console: Stack, topic: str, operator: Operator, settings: Settings) -> None:
    write(console, f"/{topic}/{name_of(topic, 0, 9)}", b"x\n")
    client = operator()
    answer = client.get(f"{FILES}find/{topic}/0/7/")
    assert answer.headers["Location"] == f"{FILES}file/?path={name_of(topic, 0, 9)}"
    assert "No file of this sink" in client.get(f"{FILES}find/{topic}/0/10/").content.decode()
    assert client.get(f"{FILES}find/other/0/7/").status_code == 404
    # With folders, the record says in which one it is.
    entry = dict(settings.SINKS["hdfs"])
    entry["target"] = {**entry["target"], "folders": "dt=%Y-%m-%d/{colorName}"}
    settings.SINKS = {**settings.SINKS, "hdfs": entry}
    sinks_registry.sinks.cache_clear()
    produce(console, topic, [event(0)], partition=0)
    path = f"dt=2026-11-20/red/{name_of(topic, 0, 0)}"
    write(console, f"/{topic}/{path}", b"x\n")
    answer = client.get(f"{FILES}find/{topic}/0/0/")
    assert answer.headers["Location"].replace("%2F", "/").replace("%3D", "=") == f"{FILES}file/?path={path}"
    assert "no longer in Kafka" in client.get(f"{FILES}find/{topic}/0/5/").content.decode()


def test_a_download_is_the_file_and_only_a_few_run_at_a_time(
    console: Stack, topic: str, operator: Operator, settings: Settings
) -> None:
    settings.CONSOLE = {"downloads_at_once": 1}
    conf.console_settings.cache_clear()
    content = b"0123456789" * 100_000
    write(console, f"/{topic}/a b.log", content)
    client = operator()
    first = client.get(f"{FILES}download/?path=a%20b.log")
    assert first.headers["Content-Length"] == str(len(content))
    assert first.headers["Content-Disposition"] == 'attachment; filename="a_b.log"'
    assert client.get(f"{FILES}download/?path=a%20b.log").status_code == 503
    assert b"".join(first.streaming_content) == content  # type: ignore[attr-defined]
    first.close()
    again = client.get(f"{FILES}download/?path=a%20b.log")
    assert again.status_code == 200
    again.close()
    assert client.get(f"{FILES}download/?path=missing").status_code == 404
    client.get(f"{FILES}download/?path=a%20b.log").close()


@pytest.mark.parametrize("path", ["../other", "a/../../b", "/etc", "a//b", ".", "a/./b", "a\x00b", "a/"])
@pytest.mark.parametrize("view", ["", "list/", "file/", "preview/", "download/"])
def test_paths_outside_are_refused(operator: Operator, view: str, path: str, settings: Settings) -> None:
    assert operator().get(f"{FILES}{view}", {"path": path}).status_code == 404


def test_what_is_missing_is_an_answer(console: Stack, topic: str, operator: Operator) -> None:
    client = operator()
    assert client.get("/admin/console/files/elasticsearch/").status_code == 404
    assert client.get("/admin/console/files/missing/list/").status_code == 404
    for path in ("missing", "#LATEST", f"{topic}/#LATEST"):  # the hdfs package would look for the newest entry
        answer = client.get(f"{FILES}list/", {"path": path})
        assert answer.status_code == 200
        assert "no such file" in json.loads(answer.content)["error"]["text"]
        assert client.get(f"{FILES}download/", {"path": path}).status_code == 404


def test_files_of_any_name_are_listed_opened_and_downloaded(console: Stack, topic: str, operator: Operator) -> None:
    names = [
        "navy\u00a0blue",
        "\U0001f469\u200d\U0001f4bb",
        "\u0646\u200c\u062e",
        "\u202egol",
        "a#b",
        "a\tb",
        "a\nb",
        "a+b?c&d",
    ]
    for name in names:
        write(console, f"/{topic}/in {name}/{name}.log", name.encode())
    client = operator()
    for folder in links(client, f"{FILES}list/"):
        [file] = links(client, folder.replace("/hdfs/", "/hdfs/list/"))
        assert client.get(folder).status_code == client.get(file).status_code == 200
        assert "First lines" in client.get(file.replace("/file/", "/preview/")).json()["html"]
        answer = client.get(file.replace("/file/", "/download/"))
        names.remove(b"".join(answer.streaming_content).decode())  # type: ignore[attr-defined]
        answer.close()
    assert names == []


def links(client: Client, address: str) -> list[str]:
    """The addresses that a list leads to."""
    markup = client.get(address).json()["html"]
    return [html.unescape(link) for link in re.findall(r'<th scope="row"><a href="([^"]+)"', markup)]
