"""The pages of the files of a folder sink; on no server."""

import html
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from pipeline import conf
from pipeline.console.files import lookup, views
from pipeline.console.topics.messages import TopicMessage
from sinks import registry as sinks_registry
from sinks.folder import browser
from sinks.folder.store import FolderStore
from tests.console.support import shown, text_of
from tests.pipeline.conftest import panel_html
from tests.support import event

Operator = Callable[..., Client]
FILES = "/admin/console/files/clicks/"
NAME = f"t-0-{0:020d}-{9:020d}.log"
CONTENT = b"".join(event(number) + b"\n" for number in range(10))


@pytest.fixture
def folder(settings: Settings, tmp_path: Path) -> Path:
    """The folder of the sink `clicks`, with a file below dt=1."""
    path = tmp_path / "clicks"
    FolderStore(str(path)).prepare()
    (path / "dt=1").mkdir()
    (path / NAME).write_bytes(CONTENT)
    (path / "dt=1" / NAME.replace("t-0", "t-1")).write_bytes(CONTENT)
    settings.SINKS = {"clicks": {"kind": "folder", "topics": ["t"], "target": {"path": str(path)}}}
    sinks_registry.sinks.cache_clear()
    return path


def test_folders_are_listed_and_counted(folder: Path, operator: Operator) -> None:
    client = operator()
    assert client.get(FILES).status_code == 200
    text = shown(client, f"{FILES}list/")
    assert "dt=1/" in text
    assert f"{NAME} 0 0 9 10" in text
    assert NAME.replace("t-0", "t-1") in shown(client, f"{FILES}list/?path=dt%3D1")
    assert "Files 2" in shown(client, f"{FILES}summary/")


def test_a_file_is_shown_and_downloaded(folder: Path, operator: Operator) -> None:
    client = operator()
    assert client.get(f"{FILES}file/?path={NAME}").status_code == 200
    text = shown(client, f"{FILES}preview/?path={NAME}")
    assert "user-0" in text
    assert "user-9" in text
    answer = client.get(f"{FILES}download/?path={NAME}")
    assert answer.headers["Content-Length"] == str(len(CONTENT))
    assert b"".join(answer.streaming_content) == CONTENT  # type: ignore[attr-defined]
    answer.close()


def test_the_file_of_a_record_is_found(folder: Path, operator: Operator) -> None:
    client = operator()
    assert client.get(f"{FILES}find/t/0/7/").headers["Location"] == f"{FILES}file/?path={NAME}"
    assert "No file of this sink" in client.get(f"{FILES}find/t/0/10/").content.decode()


def test_the_list_goes_to_the_file_of_an_offset_and_to_the_newest_ones(
    folder: Path, operator: Operator, settings: Settings
) -> None:
    settings.CONSOLE = {"records": 2}
    conf.console_settings.cache_clear()
    names = [f"t-0-{start:020d}-{start + 9:020d}.log" for start in range(10, 60, 10)]
    for name in names:
        (folder / name).write_bytes(CONTENT)
    client = operator()

    def listed(query: str) -> list[str]:
        answer = client.get(f"{FILES}jump/?partition=0&{query}")
        _, _, place = answer.headers["Location"].partition("?")
        return re.findall(r"t-0-\d+-\d+\.log", shown(client, f"{FILES}list/?{place}"))

    assert listed("") == names[-2:]
    assert listed("offset=25") == names[1:3]
    assert client.get(FILES).content.decode().count(f'action="{FILES}jump/"') == 1
    for query in ("partition=7", "offset=25&path=dt%3D1"):
        assert "no file of this partition" in client.get(f"{FILES}jump/?{query}").content.decode()
    assert "must be a whole number" in client.get(f"{FILES}jump/?offset=x").content.decode()


def test_a_look_up_among_names_in_no_order_says_where_it_ended_and_goes_on(
    folder: Path, operator: Operator, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr(lookup, "_LISTINGS", 1)
    monkeypatch.setattr(browser, "_LISTED", 2)
    target = {"path": str(folder), "file_name": "{topic}-{partition}-{end}-{start}.{ext}"}
    settings.SINKS = {"clicks": {"kind": "folder", "topics": ["t"], "target": target}}
    sinks_registry.sinks.cache_clear()
    for start in range(10, 60, 10):
        (folder / f"t-0-{start + 9:020d}-{start:020d}.log").write_bytes(CONTENT)
    client = operator()
    address, seen = f"{FILES}find/t/0/57/", []
    while (answer := client.get(address)).status_code == 200:
        page = html.unescape(answer.content.decode())
        assert "No file of this sink" not in page
        seen.append("is not among the 2 names that were looked at. The folder has more." in page)
        link = re.search(r'href="([?]after=[^"]+)"', page)
        assert link
        address = f"{FILES}find/t/0/57/{link[1]}"
    assert seen == [True] * 3, "of _sink, dt=1 and six files"
    assert answer.headers["Location"].endswith(f"t-0-{59:020d}-{50:020d}.log")
    missing = client.get(f"{FILES}find/t/0/77/?after=t-0-{58:020d}").content.decode()
    assert "No file of this sink" in missing
    assert "?after=" not in missing


@pytest.mark.parametrize("value", [b"no JSON", b"[]", b"\xff", b"[" * 100_000, b'"text"'])
def test_a_record_whose_folder_nobody_can_tell_is_explained(
    folder: Path, operator: Operator, settings: Settings, monkeypatch: pytest.MonkeyPatch, value: bytes
) -> None:
    entry = settings.SINKS["clicks"]
    settings.SINKS = {"clicks": {**entry, "target": {**entry["target"], "folders": "color={colorName}"}}}
    sinks_registry.sinks.cache_clear()
    record = TopicMessage(partition=0, offset=7, timestamp=0, key=None, value=value, headers=())
    monkeypatch.setattr(views, "one_message", lambda *_place: record)
    answer = operator().get(f"{FILES}find/t/0/7/")
    assert answer.status_code == 200
    assert "its dead letters may have it" in answer.content.decode()


@pytest.mark.parametrize("path", ["../other", "/etc", "dt=1/../../x", ".", "a\0b", "out", "out/secret.log"])
def test_nothing_outside_the_folder_can_be_reached(folder: Path, operator: Operator, path: str) -> None:
    (folder.parent / "other").mkdir()
    (folder.parent / "other" / "secret.log").write_bytes(b"secret\n")
    (folder / "out").symlink_to(folder.parent / "other")
    assert operator().get(f"{FILES}download/", {"path": path}).status_code == 404


def test_what_is_no_file_or_not_there_is_an_answer(folder: Path, operator: Operator) -> None:
    client = operator()
    for view in ("list/", "preview/"):
        assert "no such file" in client.get(f"{FILES}{view}?path=missing").json()["error"]["text"]


def test_a_share_that_is_not_mounted_is_told(folder: Path, operator: Operator) -> None:
    (folder / "_sink").rmdir()
    told = operator().get(f"{FILES}list/").json()["error"]["text"]
    assert "is the share mounted?" in told


def test_the_service_strip_says_how_much_room_there_is(folder: Path, operator: Operator) -> None:
    strip = panel_html(operator(), "service-folder")
    assert f'title="Folder ({folder})"' in strip
    assert re.fullmatch(r"● Folder .* free", text_of(strip).strip())
