"""Files below a root, on a disk where somebody plants links, pipes and folders at the worst moments; on every platform.

All tests run as root too: nothing here depends on permission bits.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import pickle
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from asyncpresign import Directory, Download, LocalFileError, S3Object, Transfer, UnsafePathError
from asyncpresign.http.transport import Request
from asyncpresign.transfer import platforms
from asyncpresign.transfer.files import SMALL, Threads, read_at, write_at
from asyncpresign.transfer.folders import LinkInPath, identity_of, spot_at, spot_below
from asyncpresign.transfer.platforms import PLATFORM, Platform, platform_of
from asyncpresign.transfer.sinks import Sink, feed, open_sink, size_of
from asyncpresign.transfer.sources import TreePath, open_source
from asyncpresign.transfer.tree import Found, destination_of, walk

from .fake_transport import FakeTransport, Say, World, make_signer
from .test_files import open_files, pattern, posix

pytestmark = posix

# What each platform lacks, among others; their branches run here by giving them this system's calls without it.
NO_DESCRIPTORS = dataclasses.replace(PLATFORM, folder_descriptors=False, folder_sync=0)
BARE = dataclasses.replace(
    PLATFORM,
    positional=False,
    folder_descriptors=False,
    hard_links=False,
    link_options=False,
    fchmod=False,
    no_follow=0,
    no_wait=0,
    folder=0,
    folder_sync=0,
    user=None,
)
PLATFORMS = {"this": PLATFORM, "no descriptors": NO_DESCRIPTORS, "windows": BARE}
EVERY = pytest.mark.parametrize("platform", PLATFORMS.values(), ids=PLATFORMS.keys())
SIZES = pytest.mark.parametrize("size", [5, SMALL + 1])
PRECIOUS = b"precious"
TEMPORARY = ".asyncpresign-token.part"


@pytest.fixture
async def threads() -> Threads:
    return Threads(2)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "file").write_bytes(PRECIOUS)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def untouched(outside: Path) -> bool:
    return {path.name: path.read_bytes() for path in outside.iterdir()} == {"file": PRECIOUS}


async def filled(sink: Sink, size: int) -> None:
    await sink.restart()
    await sink.write(pattern(size), 0)


# --- something has the temporary file's name --------------------------------------------------------------------------


def plant_link(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "file")


def plant_dangling(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "new")


def plant_hard_link(place: Path, outside: Path) -> None:
    os.link(outside / "file", place)


def plant_pipe(place: Path, outside: Path) -> None:
    os.mkfifo(place)


def plant_socket(place: Path, outside: Path) -> None:
    os.mknod(place, stat.S_IFSOCK | 0o600)


def plant_leftover(place: Path, outside: Path) -> None:
    place.write_bytes(b"of a dead process" * SMALL)


PLANTED: list[Callable[[Path, Path], None]] = [
    plant_link,
    plant_dangling,
    plant_hard_link,
    plant_pipe,
    plant_socket,
    plant_leftover,
]


@EVERY
@SIZES
@pytest.mark.parametrize("adopts", [False, True])
@pytest.mark.parametrize("plant", PLANTED)
async def test_what_has_the_temporary_name_is_never_written_to(
    plant: Callable[[Path, Path], None],
    adopts: bool,
    size: int,
    platform: Platform,
    root: Path,
    outside: Path,
    threads: Threads,
) -> None:
    plant(root / TEMPORARY, outside)
    sink = await open_sink(root / "file", "token", threads, durable=True, platform=platform)
    try:
        if adopts:
            assert await sink.adopt(size, identity_of(os.lstat(root / TEMPORARY)), 0) == (plant is plant_leftover)
        await sink.write(pattern(size), 0)
        await sink.commit()
    finally:
        sink.discard()
    assert untouched(outside)
    assert (os.listdir(root), (root / "file").read_bytes()) == (["file"], pattern(size))
    assert (root / "file").is_file()
    assert not (root / "file").is_symlink()


@EVERY
async def test_a_folder_that_has_the_temporary_name_is_an_error(platform: Platform, root: Path, threads: Threads) -> None:
    (root / TEMPORARY).mkdir()
    sink = await open_sink(root / "file", "token", threads, durable=True, platform=platform)
    assert not await sink.adopt(5, identity_of(os.lstat(root / TEMPORARY)), 0)
    await sink.write(b"x", 0)
    with pytest.raises(LocalFileError):
        await sink.commit()
    sink.discard()
    assert os.listdir(root) == [TEMPORARY]


async def test_a_file_of_another_user_is_not_adopted(root: Path, threads: Threads) -> None:
    other = dataclasses.replace(PLATFORM, user=lambda: os.geteuid() + 1)
    for platform, adopted in ((PLATFORM, True), (other, False)):
        (root / TEMPORARY).write_bytes(b"left")
        sink = await open_sink(root / "file", "token", threads, durable=True, platform=platform)
        assert await sink.adopt(7, identity_of(os.lstat(root / TEMPORARY)), 0) is adopted
        sink.discard()


@EVERY
async def test_a_file_is_adopted_only_if_it_is_the_one_that_was_synced_and_holds_all_of_it(
    platform: Platform, root: Path, threads: Threads
) -> None:
    async def adopts(file: str, end: int) -> bool:
        sink = await open_sink(root / "file", "token", threads, durable=True, platform=platform)
        adopted = await sink.adopt(20, file, end)
        if adopted:
            assert await sink.sync() == file
        return adopted

    dead = await open_sink(root / "file", "token", threads, durable=True, platform=platform)
    await dead.write(pattern(9), 0)
    await dead.write(pattern(9), 9)
    file = await dead.sync()
    assert not await adopts("", 0)
    assert not await adopts(f"{file}0", 18)
    assert not await adopts(file, 19)
    (root / TEMPORARY).rename(root / "kept")
    (root / TEMPORARY).write_bytes(bytes(20))
    assert not await adopts(file, 18)
    (root / "kept").rename(root / TEMPORARY)
    assert await adopts(file, 18)


@EVERY
async def test_without_a_journal_a_name_that_is_taken_is_an_error(
    platform: Platform, root: Path, outside: Path, threads: Threads
) -> None:
    plant_link(root / TEMPORARY, outside)
    sink = await open_sink(root / "file", "token", threads, platform=platform)
    await sink.write(b"x", 0)
    with pytest.raises(LocalFileError, match="exists"):
        await sink.commit()
    sink.discard()
    assert untouched(outside)


@EVERY
@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("plant", [plant_link, plant_hard_link, plant_pipe, plant_leftover])
async def test_a_temporary_file_that_is_replaced_while_it_is_written_is_not_published(
    plant: Callable[[Path, Path], None], exclusive: bool, platform: Platform, root: Path, outside: Path, threads: Threads
) -> None:
    sink = await open_sink(root / "file", "token", threads, exclusive=exclusive, platform=platform)
    await filled(sink, SMALL + 1)
    (root / TEMPORARY).unlink()
    plant(root / TEMPORARY, outside)
    with pytest.raises(LocalFileError, match="temporary file was replaced"):
        await sink.commit()
    sink.discard()
    assert (untouched(outside), os.listdir(root)) == (True, [])


# --- the destination and its folders ----------------------------------------------------------------------------------


@EVERY
@SIZES
@pytest.mark.parametrize("exclusive", [False, True])
async def test_a_link_planted_in_the_place_of_the_file_is_replaced_or_refused(
    size: int, exclusive: bool, platform: Platform, root: Path, outside: Path, threads: Threads
) -> None:
    sink = await open_sink(root / "file", "token", threads, exclusive=exclusive, platform=platform)
    await filled(sink, size)
    (root / "file").symlink_to(outside / "file")
    if exclusive:
        with pytest.raises(LocalFileError, match="exists"):
            await sink.commit()
    else:
        await sink.commit()
        assert not (root / "file").is_symlink()
    sink.discard()
    assert untouched(outside)
    assert os.listdir(root) == ["file"]


def remove(folder: Path, aside: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def move(folder: Path, aside: Path) -> None:
    folder.rename(aside)


@EVERY
@SIZES
@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("swap", [remove, move])
@pytest.mark.parametrize("place", ["sub", "a/sub"])
async def test_a_folder_swapped_for_a_link_in_mid_run_leads_nowhere(
    place: str,
    swap: Callable[[Path, Path], None],
    begun: bool,
    size: int,
    platform: Platform,
    root: Path,
    outside: Path,
    threads: Threads,
) -> None:
    spot = spot_below(str(root), f"{place}/file", make=True, platform=platform)
    sink = await open_sink(spot, "token", threads, platform=platform)
    if begun:
        await filled(sink, size)
    swap(root / place, root / "aside")
    (root / place).symlink_to(outside)

    async def rest() -> None:
        await filled(sink, size)
        await sink.commit()

    with pytest.raises(LocalFileError):
        await rest()
    sink.discard()
    spot.close()
    if platform.folder_descriptors or not begun:
        # Without descriptors what is written before the swap is noticed can only be looked for by path.
        assert not (root / "aside").exists() or os.listdir(root / "aside") == []
    assert not (outside / "file").read_bytes().startswith(pattern(5))
    assert platform is not PLATFORM or untouched(outside)


@EVERY
@pytest.mark.parametrize("target", ["outside", "outside moved in"])
async def test_a_root_swapped_in_mid_run_is_noticed(
    target: str, platform: Platform, root: Path, outside: Path, tmp_path: Path, threads: Threads
) -> None:
    spot = spot_below(str(root), "file", make=True, platform=platform)
    sink = await open_sink(spot, "token", threads, platform=platform)
    await filled(sink, 5)
    root.rename(tmp_path / "aside")
    if target == "outside":
        root.symlink_to(outside)
    else:
        root.mkdir()
    with pytest.raises(LocalFileError):
        await sink.commit()
    sink.discard()
    spot.close()
    assert (outside / "file").read_bytes() == PRECIOUS
    assert platform is not PLATFORM or (untouched(outside), os.listdir(tmp_path / "aside")) == (True, [])


@EVERY
async def test_folders_are_made_and_links_inside_followed(platform: Platform, root: Path, threads: Threads) -> None:
    (root / "real").mkdir()
    (root / "real" / "up").symlink_to("..")
    (root / "link").symlink_to("real")
    (root / "name").symlink_to("real/target")
    before = open_files()
    for name in ("new/er/file", "link/sub/file", "link/up/real/file", "name", "file"):
        spot = spot_below(str(root), name, make=True, platform=platform)
        sink = await open_sink(spot, "token", threads, platform=platform)
        await filled(sink, 3)
        await sink.commit()
        assert (size_of(spot), (root / name).read_bytes()) == (3, pattern(3))
        again: list[bytes] = []
        await feed(spot, again.append, threads, platform)
        assert b"".join(again) == pattern(3)
        sink.discard()
        spot.close()
    assert open_files() == before
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    assert files == ["file", "new/er/file", "real/file", "real/sub/file", "real/target"]


@EVERY
@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("link/file", "outside"),
        ("link/new/file", "outside"),
        ("link", "outside/file"),
        ("link", "outside/none"),
        ("a/link", ".."),
    ],
)
def test_a_link_out_of_the_root_is_refused_before_anything_is_made(
    name: str, target: str, platform: Platform, root: Path, outside: Path, tmp_path: Path
) -> None:
    (root / "a").mkdir()
    (root / "link").symlink_to(tmp_path / target)
    (root / "a" / "link").symlink_to(tmp_path / target)
    before = open_files()
    with pytest.raises(LinkInPath):
        spot_below(str(root), name, make=True, platform=platform)
    with pytest.raises(LinkInPath):
        spot_below(str(root), name, make=False, follow=False, platform=platform)
    assert (untouched(outside), open_files()) == (True, before)


@EVERY
def test_a_loop_of_links_is_an_error(platform: Platform, root: Path) -> None:
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    for name in ("one", "one/file"):
        with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
            spot_below(str(root), name, make=True, platform=platform)
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        spot_at(str(root / "one"), platform)


@EVERY
def test_a_file_in_the_place_of_a_folder_is_an_error(platform: Platform, root: Path) -> None:
    (root / "file").write_bytes(b"mine")
    for name in ("file/x", "file/x/y"):
        with pytest.raises(NotADirectoryError):
            spot_below(str(root), name, make=True, platform=platform)
    with pytest.raises(FileNotFoundError):
        spot_below(str(root), "none/x", make=False, platform=platform)
    with pytest.raises(FileNotFoundError):
        spot_below(str(root / "none"), "x", make=False, platform=platform)


async def test_the_right_to_run_as_somebody_else_is_not_handed_on(root: Path, threads: Threads) -> None:
    (root / "file").write_bytes(b"old")
    (root / "file").chmod(0o6755)
    sink = await open_sink(root / "file", "token", threads)
    await filled(sink, 5)
    await sink.commit()
    sink.discard()
    assert (root / "file").stat().st_mode & 0o7777 == 0o755


def test_a_root_is_only_opened_as_long_as_the_place_is(root: Path) -> None:
    before = open_files()
    spot = destination_of(S3Object("b", "a/b/c"), Directory(root))
    assert len(open_files()) == len(before) + PLATFORM.folder_descriptors
    spot.close()
    spot.close()
    assert open_files() == before


@posix
@pytest.mark.parametrize("platform", [PLATFORM, dataclasses.replace(NO_DESCRIPTORS, folder_sync=PLATFORM.folder_sync)])
def test_a_folder_that_is_made_for_a_durable_file_outlives_a_loss_of_power(
    platform: Platform, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name is in the folder above it, which is synced."""
    synced: list[int] = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(os.fstat(file).st_ino), sync(file)))
    top = root / "new" / "root"
    spot_below(str(top), "a/b/file", make=True, durable=True, platform=platform).close()
    assert synced == [folder.stat().st_ino for folder in (root / "new", root, top, top / "a")]
    synced.clear()
    spot_below(str(top), "a/b/file", make=True, durable=True, platform=platform).close()
    spot_below(str(top), "c/file", make=True, platform=platform).close()
    assert synced == []


def test_a_file_whose_permissions_cannot_be_set_is_closed_and_removed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on file systems without any."""
    platform = dataclasses.replace(PLATFORM, fchmod=True)

    def refused(file: int, mode: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fchmod", refused, raising=False)
    before = open_files()
    spot = spot_at(str(root / "file"), platform)
    with pytest.raises(PermissionError):
        spot.create("temporary", 0o644)
    spot.close()
    assert (open_files(), os.listdir(root)) == (before, [])


# --- in a transfer ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("journalled", [False, True])
@pytest.mark.parametrize("size", [5, 3 * SMALL])
async def test_a_server_cannot_have_a_folder_swapped_while_it_answers(
    size: int, journalled: bool, root: Path, outside: Path, tmp_path: Path
) -> None:
    def swap() -> None:
        (root / "sub").rename(root / "aside")
        (root / "sub").symlink_to(outside)

    async def before(_: Request) -> None:
        await anyio.to_thread.run_sync(swap)

    transport = FakeTransport(otherwise=Say(body=bytes(size)), before=before)
    items = [Download(S3Object("b", "sub/file"), Directory(root)), Download(S3Object("b", "sub/new"), Directory(root))]
    async with Transfer(make_signer(), transport=transport, edge=World().edge(), concurrency=1) as moving:
        report = await moving.run(items, journal=tmp_path / "journal" if journalled else None)
    assert (report.done, [type(failure.error) for failure in report.failures]) == (0, [LocalFileError, UnsafePathError])
    assert (untouched(outside), os.listdir(root / "aside")) == (True, [])


# --- uploads ----------------------------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("place", ["folder", "file", "deep"])
async def test_what_is_swapped_after_it_was_found_in_a_tree_is_not_uploaded(
    place: str, platform: Platform, root: Path, outside: Path, threads: Threads
) -> None:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").write_bytes(b"mine")
    (found,) = walk(str(root))
    source = await open_source(found.path, None, threads, platform)
    assert b"".join([chunk async for chunk in source.chunks()]) == b"mine"
    source.close()
    if place == "file":
        (root / "a" / "b" / "file").unlink()
        (root / "a" / "b" / "file").symlink_to(outside / "file")
    else:
        (root / "a").rename(root / "aside")
        (root / "a").mkdir()
        (root / "a" / "b").symlink_to(outside) if place == "folder" else (root / "a").rmdir()
        if place == "deep":
            (outside / "b").mkdir()
            (outside / "b" / "file").write_bytes(PRECIOUS)
            (root / "a").symlink_to(outside)
    before = open_files()
    with pytest.raises(UnsafePathError, match="symbolic link"):
        await open_source(found.path, None, threads, platform)
    assert open_files() == before


def test_a_path_of_a_tree_is_a_string() -> None:
    path = TreePath("/r/a/b", "/r", "a/b")
    copy = pickle.loads(pickle.dumps(path))
    assert (copy, repr(copy), copy.root, copy.name) == ("/r/a/b", "'/r/a/b'", "/r", "a/b")


# --- platforms --------------------------------------------------------------------------------------------------------


class System:
    """The `os` module of a platform, as far as it has other names than this one's."""

    def __init__(self, *calls: str, **constants: int) -> None:
        for name in calls:
            setattr(self, name, lambda: None)
        self.supports_dir_fd = {getattr(self, name) for name in calls if name in platforms._RELATIVE}
        self.supports_follow_symlinks = {getattr(self, name) for name in calls if name == "link"}
        for name, value in constants.items():
            setattr(self, name, value)


EVERYWHERE = ("open", "stat", "mkdir", "unlink", "rename", "replace", "link")
UNIX = (*EVERYWHERE, "pread", "pwrite", "fchmod", "geteuid")
CONSTANTS = {"O_CLOEXEC": 1, "O_NOFOLLOW": 2, "O_NONBLOCK": 4, "O_DIRECTORY": 8}


def test_linux() -> None:
    linux = platform_of(System(*UNIX, **CONSTANTS, O_PATH=16))
    assert (linux.binary, linux.no_follow, linux.no_wait, linux.folder, linux.folder_sync) == (1, 2, 4, 25, 8)
    assert all((linux.positional, linux.folder_descriptors, linux.hard_links, linux.link_options, linux.fchmod, linux.user))


def test_macos_has_no_o_path() -> None:
    mac = platform_of(System(*UNIX, **CONSTANTS))
    assert (mac.folder, mac.folder_descriptors) == (9, True)


def test_windows_opens_files_in_binary_mode_and_has_little_else() -> None:
    system = System(*EVERYWHERE, O_BINARY=0x8000)
    system.supports_dir_fd = set()
    windows = platform_of(system)
    assert windows.binary == 0x8000
    assert (windows.no_follow, windows.no_wait, windows.folder, windows.folder_sync) == (0, 0, 0, 0)
    assert (windows.positional, windows.folder_descriptors, windows.fchmod, windows.user) == (False, False, False, None)


def test_a_system_without_links() -> None:
    bare = platform_of(System("open"))
    assert (bare.hard_links, bare.link_options, bare.folder_descriptors) == (False, False, False)


@EVERY
def test_files_are_read_and_written_by_position(platform: Platform, tmp_path: Path) -> None:
    file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        write_at(file, 3, b"def", platform)
        write_at(file, 0, b"abc", platform)
        assert (read_at(file, 2, 2, platform), read_at(file, 6, 1, platform)) == (b"cd", b"")
    finally:
        os.close(file)


def test_a_junction_is_a_link(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Windows says it: a folder, with a tag."""
    (root / "junction").mkdir()
    look = os.stat

    class Junction:
        st_mode, st_reparse_tag, st_dev, st_ino = stat.S_IFDIR, 0xA0000003, 1, 1

    def windows(path: Any, **options: Any) -> Any:
        return (
            Junction if str(path).endswith("junction") and not options.get("follow_symlinks", True) else look(path, **options)
        )

    monkeypatch.setattr(os, "stat", windows)
    with pytest.raises(LinkInPath):
        spot_below(str(root), "junction/file", make=True, follow=False, platform=BARE)


# --- trees ------------------------------------------------------------------------------------------------------------


def names(root: Path) -> list[str]:
    return [found.name for found in walk(str(root))]


@contextmanager
def deep(root: Path, depth: int, name: str) -> Iterator[None]:
    """`depth` folders in one another, with a file in each fourth; removed again, which `shutil` cannot do."""
    here = os.getcwd()
    os.chdir(root)
    try:
        for number in range(depth):
            os.mkdir(name)
            os.chdir(name)
            if number % (depth // 4) == 0:
                Path("file").write_bytes(b"x")
        yield
        for _ in range(depth):
            Path("file").unlink(missing_ok=True)
            os.chdir("..")
            os.rmdir(name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize(
    ("depth", "name", "files", "problems"),
    [(1100, "d", 4, []), (20, "d" * 250, 3, [os.strerror(errno.ENAMETOOLONG)])],
    ids=["more than Python's stack", "more than a path can say"],
)
def test_a_deep_tree_is_walked(depth: int, name: str, files: int, problems: list[str], root: Path) -> None:
    """What is deeper than a path can say is one problem, beside all files that can be reached."""
    (root / "z").write_bytes(b"z")
    with deep(root, depth, name):
        found = list(walk(str(root)))
    assert [message(entry) for entry in found if entry.error] == problems
    reached = [entry.name for entry in found if not entry.error]
    assert reached[-1] == "z"
    assert sum(name.endswith("/file") for name in reached) in (files, files + 1)


def message(found: Found) -> str:
    return found.error.message if isinstance(found.error, LocalFileError) else ""


def test_a_folder_that_is_gone_when_it_is_reached_is_one_problem(root: Path) -> None:
    for name in ("a/file", "b/file", "c/file", "d/file"):
        (root / name).parent.mkdir()
        (root / name).write_bytes(b"x")
    found = walk(str(root))
    assert next(found).name == "a/file"
    (root / "b" / "file").unlink()
    (root / "b").rmdir()
    (root / "c" / "file").unlink()
    (root / "c").rmdir()
    (root / "c").write_bytes(b"a file now")
    rest = [(entry.name, message(entry)) for entry in found]
    assert rest == [("b", os.strerror(errno.ENOENT)), ("c", os.strerror(errno.ENOTDIR)), ("d/file", "")]


def test_names_come_in_the_order_of_keys(root: Path) -> None:
    for name in ("a.txt", "a/b", "a/b.c/d", "a/b-c", "b"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if not (root / name).is_dir():
            (root / name).write_bytes(b"x")
    assert names(root) == sorted(names(root))
