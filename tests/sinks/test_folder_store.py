"""What is particular to a folder as a store of files: missing shares, the system's errors, races, power cuts, links."""

import errno
import itertools
import os
import random
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sinks.files.store import FileStore, NoPath, NotAllowed, NotEmpty, NotFound
from sinks.folder.store import FolderStore
from tests.sinks.power_cut import Recorded, after_power_cut
from tests.sinks.watched_folder import ROOT, WatchedFolder, watching, without_exclusive_renames
from worker.errors import Fatal, Retriable


@pytest.fixture(params=["local", "share"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderStore:
    if request.param == "share":
        without_exclusive_renames(monkeypatch)
    store = FolderStore(str(tmp_path))
    store.prepare()
    return store


@pytest.fixture
def watched() -> Iterator[WatchedFolder]:
    with watching():
        yield WatchedFolder()


OPERATIONS: dict[str, Callable[[FileStore, str], object]] = {
    "create": lambda store, root: store.create(f"{root}/folder/a", b"1"),
    "append": lambda store, root: store.append(f"{root}/a", b"1"),
    "truncate": lambda store, root: store.truncate(f"{root}/a", 0),
    "copy": lambda store, root: store.copy(f"{root}/a", 1, f"{root}/b"),
    "length": lambda store, root: store.length(f"{root}/a"),
    "checksum": lambda store, root: store.checksum(f"{root}/a"),
    "rename": lambda store, root: store.rename(f"{root}/a", f"{root}/b"),
    "replace": lambda store, root: store.replace(f"{root}/a", f"{root}/b"),
    "exists": lambda store, root: store.exists(f"{root}/a"),
    "make_folders": lambda store, root: store.make_folders(f"{root}/folder"),
    "names": lambda store, root: store.names(root),
    "lengths": lambda store, root: store.lengths(root),
    "walk": lambda store, root: store.walk(root),
    "read": lambda store, root: store.read(f"{root}/a"),
    "delete": lambda store, root: store.delete(f"{root}/a", recursive=True),
}


# Without its share


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("is_mount_point", [False, True], ids=["missing", "mount point"])
def test_a_share_that_is_not_mounted_is_waited_for_and_never_written_beneath(
    tmp_path: Path, operation: str, is_mount_point: bool
) -> None:
    root = tmp_path / "share"
    if is_mount_point:
        root.mkdir()
    with pytest.raises(Retriable, match=r"is the share mounted\?") as error:
        OPERATIONS[operation](FolderStore(str(root)), str(root))
    assert error.value.reason == "unmounted"
    assert list(tmp_path.rglob("*")) == ([root] if is_mount_point else [])


def test_a_folder_is_prepared_once(tmp_path: Path) -> None:
    store = FolderStore(f"{tmp_path}/a/b")
    assert store.prepare() is True
    assert store.prepare() is False
    assert store.names(f"{tmp_path}/a/b") == ["_sink"]


# What POSIX does otherwise than HDFS


def test_rename_onto_a_folder_is_refused(store: FolderStore, tmp_path: Path) -> None:
    store.make_folders(f"{tmp_path}/a")
    store.make_folders(f"{tmp_path}/b")
    assert store.rename(f"{tmp_path}/a", f"{tmp_path}/b") is False
    assert store.names(f"{tmp_path}/b") == []
    assert store.exists(f"{tmp_path}/a")


def test_files_are_neither_cut_nor_joined(store: FolderStore, tmp_path: Path) -> None:
    store.create(f"{tmp_path}/a", b"123")
    store.create(f"{tmp_path}/b", b"4")
    with pytest.raises(NotAllowed):
        store.truncate(f"{tmp_path}/a", 3)
    with pytest.raises(NotAllowed):
        store.concat(f"{tmp_path}/a", [f"{tmp_path}/b"])
    assert store.read(f"{tmp_path}/a") == b"123"


def test_a_file_is_never_written_twice(store: FolderStore, tmp_path: Path) -> None:
    store.create(f"{tmp_path}/a", b"1")
    with pytest.raises(Fatal):
        store.create(f"{tmp_path}/a", b"2")
    assert store.read(f"{tmp_path}/a") == b"1"


def test_a_rename_by_steps_that_was_interrupted_is_completed_by_the_next_try() -> None:
    with watching(share=True):
        folder = WatchedFolder()
        folder.create(f"{ROOT}/a", b"1")
        fail_at(folder, "unlink", errno.EIO)
        with pytest.raises(Retriable):
            folder.rename(f"{ROOT}/a", f"{ROOT}/b")
        assert folder.lengths(ROOT) == {"a": 1, "b": 1}
        folder.during = lambda call: None
        assert folder.rename(f"{ROOT}/a", f"{ROOT}/b") is True
        assert folder.lengths(ROOT) == {"b": 1}


def test_a_rename_by_steps_never_removes_a_new_file_of_the_sources_name() -> None:
    with watching(share=True):
        folder = WatchedFolder()
        folder.create(f"{ROOT}/a", b"old")

        def finish_and_store_again(call: str) -> None:
            if call == "link done":
                folder.during = lambda call: None
                os.unlink(f"{folder.place}/a")
                folder.create(f"{ROOT}/a", b"new")

        folder.during = finish_and_store_again
        assert folder.rename(f"{ROOT}/a", f"{ROOT}/b") is True
        assert (folder.read(f"{ROOT}/a"), folder.read(f"{ROOT}/b")) == (b"new", b"old")


def test_permissions_are_what_the_umask_leaves(store: FolderStore, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        store.create(f"{tmp_path}/folder/a", b"1")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / path).stat().st_mode) for path in ("folder/a", "folder")]
    assert modes == [0o640, 0o750]


def test_links_are_not_walked(store: FolderStore, tmp_path: Path) -> None:
    store.create(f"{tmp_path}/folder/a", b"1")
    (tmp_path / "latest").symlink_to("folder")
    (tmp_path / "b").symlink_to("folder/a")
    (tmp_path / "folder" / "above").symlink_to(tmp_path)
    assert [file.path for file in store.walk(str(tmp_path))] == [f"{tmp_path}/folder/a"]


def test_what_an_nfs_client_keeps_of_a_deleted_file_is_not_listed(store: FolderStore, tmp_path: Path) -> None:
    store.create(f"{tmp_path}/folder/.nfs0001", b"1")
    assert store.names(f"{tmp_path}/folder") == []
    assert store.lengths(f"{tmp_path}/folder") == {}


# What the system answers


def fail_at(folder: WatchedFolder, call: str, number: int) -> None:
    def fail(name: str) -> None:
        if name == call:
            raise OSError(number, os.strerror(number))

    folder.during = fail


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        *((each, Retriable) for each in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ETIMEDOUT)),
        *((each, Retriable) for each in (errno.EROFS, errno.ENOTCONN, errno.EBUSY, errno.EMFILE)),
        *((each, Fatal) for each in (errno.EACCES, errno.EPERM, errno.EXDEV)),
        *((each, NoPath) for each in (errno.ENAMETOOLONG, errno.EINVAL, errno.ENOTDIR)),
    ],
)
def test_each_error_is_one_to_wait_for_or_one_that_stops(
    watched: WatchedFolder, number: int, expected: type[Exception]
) -> None:
    fail_at(watched, "write", number)
    with pytest.raises(expected) as error:
        watched.create(f"{ROOT}/a", b"1")
    assert str(error.value) == f"{ROOT}/a: {os.strerror(number)}"
    if isinstance(error.value, Retriable):
        assert error.value.reason == errno.errorcode[number]


@pytest.mark.parametrize("path", ["/elsewhere/a", "{root}2/a", "{root}/../a", "{root}/a\0b", "{root}/\ud800"])
def test_what_can_be_no_path_is_refused(store: FolderStore, tmp_path: Path, path: str) -> None:
    with pytest.raises(NoPath):
        store.create(path.format(root=tmp_path), b"1")


def test_names_that_are_too_long_and_folders_that_are_files_are_no_paths(store: FolderStore, tmp_path: Path) -> None:
    store.create(f"{tmp_path}/a", b"1")
    for path in (f"{tmp_path}/{'x' * 256}", f"{tmp_path}/a/b"):
        with pytest.raises(NoPath):
            store.create(path, b"1")
    with pytest.raises(NoPath):
        store.make_folders(f"{tmp_path}/a")
    assert store.exists(f"{tmp_path}/a/b") is False


# Races


def test_a_file_whose_folder_is_removed_under_way_is_not_found(watched: WatchedFolder) -> None:
    def remove(call: str) -> None:
        if call == "open done":
            watched.during = lambda call: None
            watched.delete(f"{ROOT}/folder", recursive=True)

    watched.make_folders(f"{ROOT}/folder")
    watched.during = remove
    with pytest.raises(NotFound):
        watched.create(f"{ROOT}/folder/a", b"1")
    assert not watched.exists(f"{ROOT}/folder")


UNDER_WAY: dict[str, tuple[Callable[[FileStore], object], object]] = {
    "create": (lambda store: store.create(f"{ROOT}/gone/a/new", b"1"), NotFound),
    "append": (lambda store: store.append(f"{ROOT}/gone/a/there", b"1"), NotFound),
    "truncate": (lambda store: store.truncate(f"{ROOT}/gone/a/there", 0), NotFound),
    "copy from": (lambda store: store.copy(f"{ROOT}/gone/a/there", 1, f"{ROOT}/copy"), NotFound),
    "copy to": (lambda store: store.copy(f"{ROOT}/file", 1, f"{ROOT}/gone/a/copy"), NotFound),
    "length": (lambda store: store.length(f"{ROOT}/gone/a/there"), NotFound),
    "checksum": (lambda store: store.checksum(f"{ROOT}/gone/a/there"), NotFound),
    "read": (lambda store: store.read(f"{ROOT}/gone/a/there"), NotFound),
    "rename from": (lambda store: store.rename(f"{ROOT}/gone/a/there", f"{ROOT}/b"), False),
    "rename to": (lambda store: store.rename(f"{ROOT}/file", f"{ROOT}/gone/a/b"), False),
    "rename folder to": (lambda store: store.rename(f"{ROOT}/full", f"{ROOT}/gone/a/full"), False),
    "replace": (lambda store: store.replace(f"{ROOT}/file", f"{ROOT}/gone/a/there"), NotFound),
    "exists": (lambda store: store.exists(f"{ROOT}/gone/a/there"), False),
    "make_folders": (lambda store: store.make_folders(f"{ROOT}/gone/a/b/c"), Retriable),
    "names": (lambda store: store.names(f"{ROOT}/gone/a"), []),
    "lengths": (lambda store: store.lengths(f"{ROOT}/gone/a"), {}),
    "walk": (lambda store: store.walk(f"{ROOT}/gone"), []),
    "delete file": (lambda store: store.delete(f"{ROOT}/gone/a/there"), False),
    "delete folder": (lambda store: store.delete(f"{ROOT}/gone/a", recursive=True), False),
}
"""Each operation with what it says of a folder that is not there: what it returns, or the exception."""


@pytest.mark.parametrize("share", [False, True], ids=["local", "share"])
@pytest.mark.parametrize("operation", UNDER_WAY)
def test_a_folder_that_another_removes_between_any_two_system_calls_is_either_there_or_not(
    operation: str, share: bool
) -> None:
    """An owner is fenced so, at any moment. No answer but the two that the protocol knows may come of it."""
    act, absent = UNDER_WAY[operation]

    def answer(at: int | None) -> tuple[object, bool]:
        """What comes when the folder is removed before a system call, and whether it was removed; None: never."""
        folder = WatchedFolder()
        folder.create(f"{ROOT}/gone/a/there", b"1")
        folder.create(f"{ROOT}/full/c", b"1")
        folder.create(f"{ROOT}/file", b"1")
        calls = itertools.count()

        def remove(call: str) -> None:
            if next(calls) == at:
                os.rename(f"{folder.place}/gone", f"{folder.place}/_sink/taken")

        folder.during = folder.looked = remove
        try:
            result = act(folder)
        except (NotFound, Retriable, NotAllowed) as error:
            result = type(error)
        return result, os.path.exists(f"{folder.place}/_sink/taken")

    with watching(share=share):
        present, _ = answer(None)
        for number in itertools.count():
            result, removed = answer(number)
            assert result in (present, absent), number
            if not removed:
                break
        assert number > 1


def test_folders_whose_parent_is_removed_under_way_are_made_by_the_next_try(watched: WatchedFolder) -> None:
    def remove(call: str) -> None:
        if call == "mkdir done":
            watched.during = lambda call: None
            os.rmdir(f"{watched.place}/a")

    watched.during = remove
    with pytest.raises(Retriable):
        watched.make_folders(f"{ROOT}/a/b")
    watched.make_folders(f"{ROOT}/a/b")
    assert watched.names(f"{ROOT}/a") == ["b"]


@pytest.mark.parametrize("share", [False, True], ids=["local", "share"])
def test_nothing_is_moved_into_a_folder_that_is_moved_away_under_way(share: bool) -> None:
    """This is how an owner is fenced: whoever takes a record over moves its folder."""
    with watching(share=share):
        folder = WatchedFolder()
        folder.create(f"{ROOT}/a", b"1")
        folder.make_folders(f"{ROOT}/record")

        def take_over(call: str) -> None:
            if call in ("rename", "link"):
                folder.during = lambda call: None
                os.rename(f"{folder.place}/record", f"{folder.place}/taken")

        folder.during = take_over
        assert folder.rename(f"{ROOT}/a", f"{ROOT}/record/a") is False
        assert folder.names(ROOT) == ["_sink", "a", "taken"]
        assert folder.names(f"{ROOT}/taken") == []


def test_a_folder_is_deleted_by_one_step_and_what_a_killed_process_left_of_it_by_the_next(
    watched: WatchedFolder,
) -> None:
    watched.create(f"{ROOT}/folder/a", b"1")
    watched.create(f"{ROOT}/folder/b/c", b"1")
    fail_at(watched, "rename done", errno.EIO)
    with pytest.raises(Retriable):
        watched.delete(f"{ROOT}/folder", recursive=True)
    assert watched.names(ROOT) == ["_sink"]
    watched.during = lambda call: None
    assert watched.delete(f"{ROOT}/folder", recursive=True) is False
    assert watched.names(f"{ROOT}/_sink/.trash") == []


def test_a_folder_to_which_files_are_added_while_it_is_deleted_is_gone(watched: WatchedFolder) -> None:
    """By a process that has the folder open, or looked its path up a moment ago."""
    watched.create(f"{ROOT}/folder/a", b"1")
    folder = os.open(f"{watched.place}/folder", os.O_RDONLY)

    def add(call: str) -> None:
        if call == "rename done":
            os.close(os.open("late", os.O_WRONLY | os.O_CREAT, dir_fd=folder))

    watched.during = add
    assert watched.delete(f"{ROOT}/folder", recursive=True) is True
    os.close(folder)
    assert watched.names(ROOT) == ["_sink"]


def test_a_folder_that_holds_something_is_not_deleted(watched: WatchedFolder) -> None:
    watched.create(f"{ROOT}/folder/a", b"1")
    with pytest.raises(NotEmpty):
        watched.delete(f"{ROOT}/folder")
    assert watched.lengths(f"{ROOT}/folder") == {"a": 1}


# Power cuts


def begin(folder: WatchedFolder) -> None:
    folder.create(f"{ROOT}/from/a", b"123")
    folder.create(f"{ROOT}/from/b/c", b"4")
    folder.make_folders(f"{ROOT}/from/b")
    folder.make_folders(f"{ROOT}/to")


ONCE: list[Callable[[FolderStore], object]] = [
    lambda folder: None,
    lambda folder: folder.create(f"{ROOT}/to/new", b"5"),
    lambda folder: folder.append(f"{ROOT}/from/a", b"5"),
    lambda folder: folder.copy(f"{ROOT}/from/a", 2, f"{ROOT}/to/new"),
]

REPEATED: list[Callable[[FolderStore], object]] = [
    lambda folder: folder.make_folders(f"{ROOT}/to/new/newer"),
    lambda folder: folder.rename(f"{ROOT}/from/a", f"{ROOT}/to/new"),
    lambda folder: folder.rename(f"{ROOT}/from", f"{ROOT}/to/new"),
    lambda folder: folder.replace(f"{ROOT}/from/a", f"{ROOT}/from/b/c"),
    lambda folder: folder.delete(f"{ROOT}/from/a"),
    lambda folder: folder.delete(f"{ROOT}/to"),
    lambda folder: folder.delete(f"{ROOT}/from", recursive=True),
]


def what_readers_and_owners_see(folder: WatchedFolder) -> dict[str, bytes | None]:
    found = dict.fromkeys(folder.folders) | {path: file.data for path, file in folder.files.items()}
    return {path: content for path, content in found.items() if "/.trash" not in path}


def is_left_by_a_power_cut(folder: Recorded) -> bool:
    wanted = what_readers_and_owners_see(folder)
    return what_readers_and_owners_see(after_power_cut(folder, len(folder.events), 0, random.Random(0))) == wanted


@pytest.mark.parametrize("operation", ONCE + REPEATED)
def test_what_an_operation_did_survives_a_power_cut(operation: Callable[[FolderStore], object]) -> None:
    with watching():
        folder = Recorded()
        begin(folder)
        operation(folder)
        assert is_left_by_a_power_cut(folder)


@pytest.mark.parametrize("failing", range(4))
@pytest.mark.parametrize("operation", REPEATED)
def test_what_took_two_tries_for_a_failing_disk_survives_a_power_cut(
    operation: Callable[[FolderStore], object], failing: int
) -> None:
    with watching():
        folder = Recorded()
        begin(folder)
        syncs = itertools.count()
        folder.fails = lambda: next(syncs) == failing
        with suppress(Retriable):
            operation(folder)
        folder.fails = lambda: False
        with suppress(NotFound):
            operation(folder)
        assert is_left_by_a_power_cut(folder)


def test_a_file_survives_a_power_cut_in_a_folder_that_another_process_has_made_just_now() -> None:
    with watching():
        folder = Recorded()
        begin(folder)
        folder.fails = lambda: True
        with pytest.raises(Retriable):
            folder.make_folders(f"{ROOT}/dt=1")  # as far as the other one has come
        folder.fails = lambda: False
        assert folder.rename(f"{ROOT}/from/a", f"{ROOT}/dt=1/a") is True
        assert is_left_by_a_power_cut(folder)


# Many files


def test_a_hundred_thousand_files_are_listed_in_seconds() -> None:
    with watching():
        folder = WatchedFolder()
        folder.make_folders(f"{ROOT}/many")
        there = os.open(f"{folder.place}/many", os.O_RDONLY)
        for number in range(100_000):
            os.close(os.open(f"{number:06d}", os.O_WRONLY | os.O_CREAT, dir_fd=there))
        os.close(there)
        for listing in (folder.names, folder.lengths, folder.walk):
            begun = time.monotonic()
            assert len(listing(f"{ROOT}/many")) == 100_000
            assert time.monotonic() - begun < 10
