"""Which paths of HDFS the console looks into; on no server."""

from collections.abc import Callable
from types import SimpleNamespace

import hdfs
import pytest
from django.test import Client

from pipeline.console.files import folders
from sinks.files.store import FileStatus

Operator = Callable[..., Client]
FILES = "/admin/console/files/hdfs/"
NAMES = [
    "navy\u00a0blue",
    "\U0001f469\u200d\U0001f4bb",
    "\u0646\u0645\u06cc\u200c\u062e",
    "\u202egol",
    "a#b",
    "a\tb",
    "a\nb",
    "a\u2028b",
    "a?b&c=%20+;d",
    "...",
]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_listed_can_be_opened(operator: Operator, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    asked = []

    def listing(path: str, after: str) -> tuple[list[FileStatus], int]:
        asked.append((path, after))
        return [FileStatus(name, is_folder=True, length=0, modified=0, owner="", replication=0)], 1

    monkeypatch.setattr("sinks.hdfs.kind.HdfsBrowser", lambda *_, **__: SimpleNamespace(listing=listing))
    client = operator()
    target = folders.file_sinks()["hdfs"][1]
    for address in (f"{FILES}list/", f"{FILES}list/?path=x"):
        shown = client.get(address).json()["html"]
        links = [link.replace("&amp;", "&") for link in links_of(shown)]
        assert len(links) == 2, "the folder, and what follows"
        for link in links:
            assert client.get(link).status_code == 200
    client.get(f"{FILES}list/", {"path": name, "after": name})
    assert asked[-1] == (f"{target.path}/{name}", name)


def links_of(markup: str) -> list[str]:
    """The addresses of links."""
    return [part.partition('"')[0] for part in markup.split('href="')[1:]]


@pytest.mark.parametrize("path", ["..", "a/../../b", "/etc", "a//b", ".", "a/./b", "a\0b", "a/"])
def test_paths_that_lead_elsewhere_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="below the folder"):
        folders.inside(folders.file_sinks()["hdfs"][1], path)


@pytest.mark.parametrize("path", ["#LATEST", "a#LATEST{2}/b"])
def test_what_the_hdfs_package_takes_for_the_newest_entry_is_not_there(operator: Operator, path: str) -> None:
    assert operator().get(f"{FILES}download/", {"path": path}).status_code == 404


@pytest.mark.parametrize("kind", ["InvalidPathException", "IllegalArgumentException", "ParentNotDirectoryException"])
def test_what_can_be_no_path_is_not_found(operator: Operator, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    def refuse(_path: str) -> None:
        raise hdfs.HdfsError("Invalid path name", exception=kind)

    monkeypatch.setattr("sinks.hdfs.browser.web_client", lambda *_, **__: (SimpleNamespace(open_response=refuse), None))
    assert operator().get(f"{FILES}download/?path=a:b").status_code == 404
