"""Every kind of a download's destination, whole and broken, and that no temporary file is ever left."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from asyncpresign import InvalidRequest, LocalFileError
from asyncpresign.errors import describe
from asyncpresign.transfer.files import CHUNK, SMALL, Threads
from asyncpresign.transfer.sinks import Sink, check_destination, feed, open_sink, size_of

from .test_files import SIZES, open_files, pattern, posix


@pytest.fixture
async def threads() -> Threads:
    return Threads(4)


async def write(sink: Sink, *parts: bytes) -> bytes | None:
    await sink.restart()
    at = 0
    for part in parts:
        await sink.write(part, at)
        at += len(part)
    data = await sink.commit()
    sink.discard()
    return data


async def path_sink(path: Path | str, threads: Threads) -> Sink:
    check_destination(path)
    return await open_sink(path, "token", threads)


@pytest.mark.parametrize("size", SIZES)
async def test_a_path_gets_all_bytes(threads: Threads, tmp_path: Path, size: int) -> None:
    for name in (tmp_path / "a", str(tmp_path / "b")):
        assert await write(await path_sink(name, threads), pattern(size)[:7], pattern(size)[7:]) is None
        assert Path(name).read_bytes() == pattern(size)
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("url", ["https://host/key?X-Amz-Signature=abc", "HTTP://host/key", Path("http://host/key")])
def test_a_url_is_no_destination(url: Any) -> None:
    with pytest.raises(InvalidRequest, match="destination: expected a path, got a URL"):
        check_destination(url)


async def test_a_relative_path(threads: Threads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    await write(await path_sink("name", threads), b"abc")
    assert os.listdir(tmp_path) == ["name"]


async def test_nothing_is_seen_before_it_is_whole(threads: Threads, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    sink = await path_sink(path, threads)
    await sink.restart()
    assert os.listdir(tmp_path) == ["file"]
    await sink.write(b"new", 0)
    assert path.read_bytes() == b"old"
    await sink.commit()
    assert path.read_bytes() == b"new"
    sink.discard()
    assert os.listdir(tmp_path) == ["file"]


async def test_what_is_not_committed_leaves_nothing(threads: Threads, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    before = open_files()
    sink = await path_sink(path, threads)
    await sink.restart()
    await sink.write(b"new", 0)
    sink.discard()
    sink.discard()
    assert (os.listdir(tmp_path), path.read_bytes(), open_files()) == (["file"], b"old", before)


async def test_another_attempt_starts_from_nothing(threads: Threads, tmp_path: Path) -> None:
    sink = await path_sink(tmp_path / "file", threads)
    await sink.restart()
    await sink.write(b"the first attempt", 0)
    await write(sink, b"second")
    assert (tmp_path / "file").read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["file"]


@posix
async def test_a_link_is_kept_and_its_target_replaced(threads: Threads, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target, link, dangling = tmp_path / "there" / "target", tmp_path / "link", tmp_path / "dangling"
    target.write_bytes(b"old")
    link.symlink_to(target)
    dangling.symlink_to("there/new")
    await write(await path_sink(link, threads), b"one")
    await write(await path_sink(dangling, threads), b"two")
    assert (link.readlink(), target.read_bytes(), (tmp_path / "there" / "new").read_bytes()) == (target, b"one", b"two")
    assert dangling.is_symlink()
    assert sorted(os.listdir(tmp_path / "there")) == ["new", "target"]


@posix
async def test_permissions_are_those_of_a_new_file(threads: Threads, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        await write(await path_sink(tmp_path / "file", threads), b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


@posix
@pytest.mark.parametrize("size", [1, SMALL + 1])
async def test_a_file_that_is_replaced_hands_its_permissions_on(threads: Threads, tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o600)
    before = os.umask(0o077)
    try:
        sink = await path_sink(path, threads)
        await sink.write(bytes(size), 0)
        parts = [name for name in os.listdir(tmp_path) if name != "file"]
        assert {(tmp_path / name).stat().st_mode & 0o777 for name in parts} <= {0o600}
        sink.discard()
        path.chmod(0o664)
        await write(await path_sink(path, threads), bytes(size))
    finally:
        os.umask(before)
    assert (path.stat().st_mode & 0o777, path.stat().st_size) == (0o664, size)


@posix
async def test_pieces_in_any_order_and_read_again(threads: Threads, tmp_path: Path) -> None:
    data = pattern(3 * CHUNK)
    sink = await path_sink(tmp_path / "file", threads)
    assert sink.anywhere
    for start in (2 * CHUNK, 0, CHUNK + 5, CHUNK):
        size = 5 if start == CHUNK else CHUNK - 5 if start == CHUNK + 5 else CHUNK
        await sink.write(data[start : start + size], start)
    again: list[bytes] = []
    await sink.replay(again.append, 7, 2 * CHUNK)
    await sink.commit()
    assert b"".join(again) == data[7 : 2 * CHUNK + 7]
    assert (tmp_path / "file").read_bytes() == data


@posix
@pytest.mark.parametrize("size", [1, 5, SMALL, SMALL + 1])
async def test_a_piece_of_any_size_can_be_read_again_and_synced(threads: Threads, tmp_path: Path, size: int) -> None:
    sink = await open_sink(tmp_path / "file", "token", threads, durable=True)
    await sink.write(pattern(size), 0)
    again: list[bytes] = []
    await sink.replay(again.append, 0, size)
    assert b"".join(again) == pattern(size)
    await sink.sync()
    (temporary,) = tmp_path.glob(".asyncpresign-*")
    assert temporary.stat().st_size == size
    await sink.write(b"more", size)
    await sink.commit()
    sink.discard()
    assert (tmp_path / "file").read_bytes() == pattern(size) + b"more"


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("size", [0, 5, SMALL + 1])
async def test_what_must_be_new_replaces_nothing(threads: Threads, tmp_path: Path, size: int, durable: bool) -> None:
    path = tmp_path / "file"
    for _ in range(2):
        sink = await open_sink(path, "token", threads, exclusive=True, durable=durable)
        await sink.write(pattern(size), 0)
        if path.exists():
            path.write_bytes(b"mine")
            with pytest.raises(LocalFileError, match="exists"):
                await sink.commit()
        else:
            await sink.commit()
            assert path.read_bytes() == pattern(size)
        sink.discard()
    assert (os.listdir(tmp_path), path.read_bytes()) == (["file"], b"mine")


@posix
async def test_a_durable_file_is_on_the_disk_before_it_is_seen(
    threads: Threads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []

    def noted(name: str, call: Any) -> Any:
        def note(*arguments: Any, **options: Any) -> None:
            log.append(name)
            call(*arguments, **options)

        return note

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
    await write(await open_sink(tmp_path / "file", "token", threads, durable=True), b"abc")
    assert log == ["fsync", "replace", "fsync"]


@posix
async def test_a_slow_disk_never_holds_the_loop(threads: Threads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write takes 50 ms: none is made in the loop's thread, small or large."""
    loop, held = threading.get_ident(), []
    write_at = os.pwrite

    def slow(file: int, data: Any, offset: int) -> int:
        held.append(threading.get_ident() == loop)
        time.sleep(0.05)
        return write_at(file, data, offset)

    monkeypatch.setattr(os, "pwrite", slow)
    for size in (1, SMALL, SMALL + 1):
        await write(await path_sink(tmp_path / f"{size}", threads), pattern(size))
        assert (tmp_path / f"{size}").read_bytes() == pattern(size)
    assert held == [False] * 3


@pytest.mark.parametrize("destination", [5, b"/tmp/x", object(), [], ""], ids=describe)
def test_what_is_no_destination_is_refused(destination: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^destination: "):
        check_destination(destination)


@pytest.mark.parametrize("destination", ["a\0b", "\udc80\udcff", "x" * 5000])
async def test_a_destination_that_no_system_can_hold(destination: str, threads: Threads, tmp_path: Path) -> None:
    with pytest.raises((InvalidRequest, LocalFileError)):
        await write(await path_sink(f"{tmp_path}/{destination}/file", threads), b"x")
    assert os.listdir(tmp_path) == []


@posix
@pytest.mark.parametrize("kind", ["directory", "directory/", "link to directory", "missing/", "device", "pipe"])
async def test_only_a_file_is_a_destination(tmp_path: Path, kind: str) -> None:
    directory = tmp_path / "directory"
    directory.mkdir()
    (tmp_path / "link").symlink_to(directory)
    os.mkfifo(tmp_path / "pipe")
    places = {
        "directory": directory,
        "directory/": f"{directory}/",
        "link to directory": tmp_path / "link",
        "missing/": f"{tmp_path}/missing/",
        "device": "/dev/null",
        "pipe": tmp_path / "pipe",
    }
    with pytest.raises(InvalidRequest, match=r"^destination: "):
        check_destination(places[kind])  # type: ignore[arg-type]
    assert sorted(os.listdir(tmp_path)) == ["directory", "link", "pipe"]


def test_a_text_file_is_no_destination(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w", encoding="utf-8") as file, pytest.raises(InvalidRequest, match="text mode"):
        check_destination(file)  # type: ignore[arg-type]


async def test_a_directory_that_is_missing_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match="folder does not exist") as caught:
        check_destination(tmp_path / "missing" / "file")
    assert caught.value.path == str(tmp_path / "missing" / "file")


async def test_a_directory_that_is_gone_since(threads: Threads, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    sink = await path_sink(tmp_path / "gone" / "file", threads)
    (tmp_path / "gone").rmdir()
    with pytest.raises(LocalFileError, match="No such file") as caught:
        await write(sink, b"x")
    sink.discard()
    assert caught.value.path == str(tmp_path / "gone" / "file")
    assert os.listdir(tmp_path) == []


async def test_a_file_in_the_place_of_a_directory(threads: Threads, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(LocalFileError):
        await write(await path_sink(tmp_path / "file" / "deeper", threads), b"x")


async def test_a_destination_that_becomes_a_directory(threads: Threads, tmp_path: Path) -> None:
    sink = await path_sink(tmp_path / "file", threads)
    (tmp_path / "file" / "deeper").mkdir(parents=True)
    with pytest.raises(LocalFileError) as caught:
        await write(sink, b"x")
    assert caught.value.path == str(tmp_path / "file")
    sink.discard()
    assert os.listdir(tmp_path) == ["file"]


async def test_into_memory(threads: Threads) -> None:
    sink = await open_sink(None, "token", threads)
    await sink.restart()
    await sink.write(b"the first attempt", 0)
    assert await write(sink, b"ab", b"c") == b"abc"


async def test_into_a_file_of_the_callers(threads: Threads, tmp_path: Path) -> None:
    path = tmp_path / "file"
    for mode in ({}, {"buffering": 0}):
        with path.open("wb+", **mode) as file:  # type: ignore[call-overload]
            file.write(b"head ")
            sink = await open_sink(file, "token", threads)
            await sink.restart()
            await sink.write(b"a first attempt that was longer", 0)
            assert await write(sink, b"second", bytes(CHUNK)) is None
            assert not file.closed
        assert path.read_bytes() == b"head second" + bytes(CHUNK)
    assert os.listdir(tmp_path) == ["file"]


class Unseekable(io.RawIOBase):
    """Takes at most seven bytes at a time, as a socket may."""

    def __init__(self) -> None:
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += bytes(data[:7])
        return min(7, len(data))


async def test_into_a_file_that_cannot_seek(threads: Threads) -> None:
    file = Unseekable()
    sink = await open_sink(file, "token", threads)  # type: ignore[arg-type]
    await write(sink, b"a whole body")
    assert file.data == b"a whole body"


async def test_what_a_file_that_cannot_seek_got_cannot_be_taken_back(threads: Threads) -> None:
    file = Unseekable()
    sink = await open_sink(file, "token", threads)  # type: ignore[arg-type]
    await sink.restart()
    await sink.restart()
    await sink.write(b"part", 0)
    with pytest.raises(LocalFileError, match="cannot seek"):
        await sink.restart()
    assert file.data == b"part"


async def test_a_file_whose_write_fails_is_chained(threads: Threads, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (tmp_path / "file").open("rb") as file:
        sink = await open_sink(file, "token", threads)
        with pytest.raises(LocalFileError, match="cannot be written") as caught:
            await write(sink, b"x")
        assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("taken", [0, None])
async def test_a_file_that_takes_nothing_is_an_error(threads: Threads, taken: int | None) -> None:
    class Full(io.RawIOBase):
        def write(self, data: Any) -> int | None:
            return taken

    with pytest.raises(LocalFileError, match="BlockingIOError"):
        await write(await open_sink(Full(), "token", threads), b"x")  # type: ignore[arg-type]


async def test_a_writer_that_says_nothing_took_everything(threads: Threads) -> None:
    class Silent:
        data = b""

        def write(self, data: Any) -> None:
            self.data += bytes(data)

    silent = Silent()
    await write(await open_sink(silent, "token", threads), b"abc", b"def")  # type: ignore[arg-type]
    assert silent.data == b"abcdef"


# --- a disk that is full, and one that cannot be written to -----------------------------------------------------------

IN_A_NAMESPACE = """
import anyio, os, sys
from asyncpresign import LocalFileError
from asyncpresign.transfer.files import Threads
from asyncpresign.transfer.sinks import check_destination, open_sink
from asyncpresign.transfer.sources import open_source

async def main():
    threads = Threads(2)
    for size in (2 << 20, 40 << 10):
        # Small pieces are written in the loop, large ones in a thread.
        check_destination("disk/file")
        sink = await open_sink("disk/file", "token", threads)
        try:
            for number in range(100):
                await sink.write(bytes(size), number * size)
            await sink.commit()
        except LocalFileError as error:
            print(error.message)
        sink.discard()
        print(os.listdir("disk"))

anyio.run(main)
"""


def namespaced(options: str, tmp_path: Path, program: str, *arguments: str) -> list[str]:
    """What `program` prints where `disk` is a file system of its own, which permission bits of root do not reach."""
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        subprocess.run([*unshare, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no user namespaces")
    (tmp_path / "disk").mkdir()
    script = f'mount -t tmpfs -o {options} none disk && exec "$0" -c "$@"'
    command = [*unshare, "sh", "-c", script, sys.executable, program, *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


@posix
@pytest.mark.integration
@pytest.mark.parametrize(
    ("options", "message"), [("size=1m", "No space left on device"), ("ro", "Read-only file system")], ids=["full", "read-only"]
)
def test_a_disk_that_cannot_take_it(options: str, message: str, tmp_path: Path) -> None:
    assert namespaced(options, tmp_path, IN_A_NAMESPACE) == [message, "[]"] * 2


# --- files that are there ---------------------------------------------------------------------------------------------


async def test_what_is_there_is_measured_and_read(threads: Threads, tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert size_of(path) is None
    data = pattern(2 * CHUNK + 1)
    path.write_bytes(data)
    read: list[bytes] = []
    await feed(path, read.append, threads)
    assert (size_of(path), b"".join(read)) == (len(data), data)
    with pytest.raises(LocalFileError):
        await feed(tmp_path / "missing", read.append, threads)
    with pytest.raises(LocalFileError):
        size_of(path / "deeper")


def lowest_free_descriptor() -> int:
    """Grows by one with every descriptor that somebody forgets."""
    number = os.open(os.devnull, os.O_RDONLY)
    os.close(number)
    return number


async def test_a_file_that_was_read_is_closed_however_that_ended(threads: Threads, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(pattern(2 * CHUNK + 1))

    def fail(_: bytes) -> None:
        raise LookupError("the hash's own")

    before = lowest_free_descriptor()
    await feed(path, hashlib.sha256().update, threads)
    assert lowest_free_descriptor() == before
    with pytest.raises(LookupError):
        await feed(path, fail, threads)
    assert lowest_free_descriptor() == before
