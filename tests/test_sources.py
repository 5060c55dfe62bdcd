"""Every kind of an upload's source, whole and in parts, and what happens when it is not what it was."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from asyncpresign import InvalidRequest, LocalFileError
from asyncpresign.transfer.files import CHUNK, SMALL, Threads
from asyncpresign.transfer.sources import OpenSource, open_source

from .test_files import SIZES, open_files, pattern, posix


@pytest.fixture
async def threads() -> Threads:
    return Threads(4)


async def read(source: Any, threads: Threads, size: int | None = None) -> bytes:
    opened = await open_source(source, size, threads)
    try:
        data = b"".join([chunk async for chunk in opened.chunks()])
        assert len(data) == opened.size
        return data
    finally:
        opened.close()


async def read_all(opened: OpenSource, given: list[bytes]) -> None:
    async for chunk in opened.chunks():
        given.append(chunk)  # noqa: PERF401 (what was given before a failure counts)


class Pipe(io.RawIOBase):
    """A binary file that cannot seek; it gives at most `step` bytes at a time."""

    def __init__(self, data: bytes, step: int = 1000) -> None:
        self._data = io.BytesIO(data)
        self._step = step

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, self._step) if size >= 0 else self._step)


async def stream(*parts: Any) -> AsyncIterator[Any]:
    for part in parts:
        yield part


@pytest.mark.parametrize("size", SIZES)
async def test_every_kind_of_source_gives_its_bytes_twice(threads: Threads, tmp_path: Path, size: int) -> None:
    data = pattern(size)
    path = tmp_path / "file"
    path.write_bytes(data)
    with path.open("rb") as file, path.open("rb", buffering=0) as raw:
        sources = [data, bytearray(data), memoryview(data), path, str(path), io.BytesIO(data), file, raw]
        for source in sources:
            opened = await open_source(source, None, threads)  # type: ignore[arg-type]
            assert (opened.size, opened.repeatable) == (size, True)
            for _ in range(2):
                assert b"".join([chunk async for chunk in opened.chunks()]) == data
            opened.close()
        assert not file.closed
        assert not raw.closed


async def test_bytes_that_change_afterwards_are_sent_as_they_were(threads: Threads) -> None:
    data = bytearray(b"before")
    opened = await open_source(data, None, threads)  # type: ignore[arg-type]
    data[:] = b"after!"
    assert b"".join([chunk async for chunk in opened.chunks()]) == b"before"


async def test_a_file_is_sent_from_where_it_stands(threads: Threads, tmp_path: Path) -> None:
    path = tmp_path / "name.bin"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        file.seek(3)
        for _ in range(2):
            opened = await open_source(file, None, threads)
            assert (opened.size, opened.name) == (7, "name.bin")
            assert b"".join([chunk async for chunk in opened.chunks()]) == b"3456789"
            file.seek(3)
        file.seek(100)
        assert await read(file, threads) == b""


@pytest.mark.parametrize(
    ("source", "name"),
    [(b"x", "file"), (io.BytesIO(b"x"), "file"), (Pipe(b"x"), "file")],
    ids=lambda value: type(value).__name__,
)
async def test_what_has_no_name_is_called_file(threads: Threads, source: Any, name: str) -> None:
    assert (await open_source(source, 1, threads)).name == name


async def test_a_path_is_called_by_its_last_part(threads: Threads, tmp_path: Path) -> None:
    (tmp_path / "ä b.txt").write_bytes(b"")
    opened = await open_source(tmp_path / "ä b.txt", None, threads)
    assert opened.name == "ä b.txt"
    opened.close()


async def test_a_file_that_cannot_seek_needs_a_size_and_is_read_once(threads: Threads) -> None:
    with pytest.raises(InvalidRequest, match=r"^size: "):
        await open_source(Pipe(b"abc"), None, threads)  # type: ignore[arg-type]
    opened = await open_source(Pipe(pattern(5000)), 5000, threads)  # type: ignore[arg-type]
    assert not opened.repeatable
    assert b"".join([chunk async for chunk in opened.chunks()]) == pattern(5000)


async def test_a_file_that_ends_before_its_size(threads: Threads) -> None:
    with pytest.raises(LocalFileError, match="changed while it was read: ended 2 bytes before its size of 5"):
        await read(Pipe(b"abc"), threads, 5)


async def test_an_async_iterable_needs_a_size_and_is_read_once(threads: Threads) -> None:
    with pytest.raises(InvalidRequest, match=r"^size: "):
        await open_source(stream(b"abc"), None, threads)
    opened = await open_source(stream(b"ab", b"", bytearray(b"c"), memoryview(b"de")), 5, threads)
    assert not opened.repeatable
    assert b"".join([chunk async for chunk in opened.chunks()]) == b"abcde"
    assert await read(stream(), threads, 0) == b""


@pytest.mark.parametrize(("parts", "got"), [([b"abc"], "yielded 3"), ([], "yielded 0"), ([b"abc", b"def"], "yielded more")])
async def test_an_async_iterable_of_another_size(threads: Threads, parts: list[bytes], got: str) -> None:
    with pytest.raises(InvalidRequest, match=got):
        await read(stream(*parts), threads, 5)


@pytest.mark.parametrize("parts", [["text"], [b"ab", "cde"], [1, 2], [None]], ids=str)
async def test_an_async_iterable_of_something_else(threads: Threads, parts: list[object]) -> None:
    with pytest.raises(InvalidRequest, match="bytes"):
        await read(stream(*parts), threads, 5)


async def test_what_an_async_iterable_raises_is_chained(threads: Threads) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"ab"
        raise LookupError("the caller's own")

    with pytest.raises(LocalFileError, match="LookupError") as caught:
        await read(broken(), threads, 5)
    assert isinstance(caught.value.__cause__, LookupError)


@pytest.mark.parametrize("size", [-1, 1.5, "3", True, b"1"])
async def test_a_size_that_is_none_is_refused(threads: Threads, size: Any) -> None:
    for source in (b"abc", io.BytesIO(b"abc"), stream(b"abc")):
        with pytest.raises(InvalidRequest, match=r"^size: "):
            await open_source(source, size, threads)


async def test_a_size_that_is_not_the_sources_is_refused(threads: Threads, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    before = open_files()
    for source in (b"abc", io.BytesIO(b"abc"), path):
        with pytest.raises(InvalidRequest, match="size of 3 bytes"):
            await open_source(source, 4, threads)
    assert open_files() == before


@pytest.mark.parametrize(
    "source", [None, 5, object(), ["a"], {"a": b"b"}, iter([b"a"])], ids=lambda value: type(value).__name__
)
async def test_what_is_no_source_is_refused(threads: Threads, source: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^source: "):
        await open_source(source, None, threads)


@pytest.mark.parametrize("path", ["", "a\0b", b"bytes are content\0", "\udc80"])
async def test_paths_that_no_system_can_hold(threads: Threads, path: Any) -> None:
    if isinstance(path, bytes):
        assert await read(path, threads) == path
    else:
        with pytest.raises((InvalidRequest, LocalFileError)):
            await open_source(path, None, threads)


@pytest.mark.parametrize("url", ["https://host/key?X-Amz-Signature=abc", "HTTP://host/key", Path("http://host/key")])
async def test_a_url_is_no_path(threads: Threads, url: Any) -> None:
    with pytest.raises(InvalidRequest, match="source: expected a path, got a URL; the source comes first"):
        await open_source(url, None, threads)


async def test_a_missing_file_is_named(threads: Threads, tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match="No such file") as caught:
        await open_source(tmp_path / "missing", None, threads)
    assert caught.value.path == str(tmp_path / "missing")
    assert isinstance(caught.value, OSError)


@posix
@pytest.mark.parametrize("kind", ["directory", "pipe", "device"])
async def test_only_a_regular_file_is_a_source(threads: Threads, tmp_path: Path, kind: str) -> None:
    paths = {"directory": tmp_path, "pipe": tmp_path / "pipe", "device": Path("/dev/zero")}
    os.mkfifo(paths["pipe"])
    before = open_files()
    with anyio.fail_after(5):
        with pytest.raises(InvalidRequest, match="a regular file, got a "):
            await open_source(paths[kind], None, threads)
    assert open_files() == before


async def test_a_text_file_is_refused(threads: Threads, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("abc")
    with path.open(encoding="utf-8") as file, pytest.raises(InvalidRequest, match="text mode"):
        await open_source(file, None, threads)  # type: ignore[arg-type]

    class Texts:
        """Text from something that does not say so."""

        def read(self, size: int) -> str:
            return "a" * size

        def seekable(self) -> bool:
            return False

    with pytest.raises(InvalidRequest, match="binary mode"):
        await read(Texts(), threads, 3)


async def test_a_closed_file_is_refused(threads: Threads) -> None:
    file = io.BytesIO(b"abc")
    file.close()
    with pytest.raises(InvalidRequest, match="open"):
        await open_source(file, None, threads)


@pytest.mark.parametrize("size", [10, SMALL + 10, CHUNK + 10, 3 * CHUNK])
async def test_a_file_that_shrinks_is_noticed(threads: Threads, tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    opened = await open_source(path, None, threads)
    os.truncate(path, size // 2)
    with pytest.raises(LocalFileError, match=f"changed while it was read: {size} bytes at first, now {size // 2}"):
        async for _ in opened.chunks():
            pass
    opened.close()


@pytest.mark.parametrize("size", [3, SMALL + 1, CHUNK + 1])
@pytest.mark.parametrize("change", ["grows", "is written to"])
async def test_a_file_that_changes_ends_before_its_last_byte(threads: Threads, tmp_path: Path, size: int, change: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    os.utime(path, ns=(1, 1))
    opened = await open_source(path, None, threads)
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END if change == "grows" else os.SEEK_SET)
        file.write(b"x")
    sent: list[bytes] = []
    told = f"changed while it was read: {size} bytes at first, now {size + (change == 'grows')}"
    with pytest.raises(LocalFileError, match=told):
        await read_all(opened, sent)
    assert sum(map(len, sent)) < size
    opened.close()


async def test_a_file_of_the_callers_that_grows(threads: Threads, tmp_path: Path) -> None:
    for file in (io.BytesIO(b"abc"), (tmp_path / "file").open("w+b")):
        with file:
            file.write(b"abc")
            file.seek(1)
            opened = await open_source(file, None, threads)
            file.seek(0, os.SEEK_END)
            file.write(b"def")
            file.flush()
            with pytest.raises(LocalFileError, match="changed while it was read: 2 bytes at first, now 5"):
                await read_all(opened, [])


# --- parts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "size"), [(0, 0), (0, 1), (5, 0), (3, SMALL + 1), (SMALL, 2 * CHUNK + 1), (0, 3 * CHUNK)])
async def test_a_part_of_every_kind_that_can_be_read_again(threads: Threads, tmp_path: Path, start: int, size: int) -> None:
    data = pattern(3 * CHUNK)
    path = tmp_path / "file"
    path.write_bytes(data)
    with path.open("rb") as file:
        for source in (data, path, io.BytesIO(data), file):
            opened = await open_source(source, None, threads)
            for _ in range(2):
                digest = hashlib.sha256()
                body = opened.part(start, size, digest.update)
                assert body.size == size
                assert b"".join([chunk async for chunk in body.chunks()]) == data[start : start + size]
                assert digest.digest() == hashlib.sha256(data[start : start + size]).digest()
            opened.close()


async def test_parts_that_are_read_at_once_do_not_mix(threads: Threads, tmp_path: Path) -> None:
    data = pattern(5 * CHUNK)
    path = tmp_path / "file"
    path.write_bytes(data)
    for source in (path, io.BytesIO(data)):
        opened = await open_source(source, None, threads)
        read: dict[int, bytes] = {}

        async def take(start: int, opened: OpenSource = opened, read: dict[int, bytes] = read) -> None:
            read[start] = b"".join([chunk async for chunk in opened.part(start, CHUNK).chunks()])

        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(take, number * CHUNK)
        assert b"".join(read[start] for start in sorted(read)) == data
        opened.close()


async def test_what_is_read_once_is_cut_into_parts_in_order(threads: Threads) -> None:
    data = pattern(1000)
    for source in (Pipe(data, 7), stream(data[:300], data[300:301], data[301:])):
        opened = await open_source(source, 1000, threads)  # type: ignore[arg-type]
        parts = [b"".join([chunk async for chunk in opened.part(start, 250).chunks()]) for start in range(0, 1000, 250)]
        assert b"".join(parts) == data


@pytest.mark.parametrize("parts", [[b"abcde", b"f"], [b"abcdef"], [b"abcde", b"", b"f"]], ids=str)
async def test_too_much_is_noticed_before_the_last_byte_is_given(threads: Threads, parts: list[bytes]) -> None:
    opened = await open_source(stream(*parts), 5, threads)
    given: list[bytes] = []
    with pytest.raises(InvalidRequest, match="yielded more"):
        await read_all(opened, given)
    assert sum(map(len, given)) < 5


async def test_a_file_whose_read_fails_is_chained(threads: Threads) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(LocalFileError, match="cannot be read: OSError") as caught:
        await read(Broken(b"abc"), threads)
    assert isinstance(caught.value.__cause__, OSError)
