"""Where the bytes of an upload come from: a path, bytes, a binary file, an async iterable.

What `files` says of blocking calls holds here too. Files are read by position, never mapped: a mapped file that is
truncated kills the process.

A source is what it was when it was opened. One that was written to meanwhile fails before its last byte is sent, so that
no mixture is ever stored.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, Self

import anyio

from ..errors import InvalidRequest, LocalFileError, Problem, UnsafePathError, describe
from ..http.transport import RequestBody
from .files import (
    CHUNK,
    SMALL,
    Threads,
    attribute,
    callers_error,
    local_error,
    no_path,
    path_of,
    read_at,
    refuse_url,
    what_it_is,
)
from .folders import LinkInPath, spot_below
from .items import Source
from .platforms import PLATFORM, Platform

Seen = Callable[[bytes], None]
"""Told of every chunk as it is read, in a thread where the chunk is large: a hash's `update`."""


class Reader(Protocol):
    """The bytes behind a source."""

    async def read(self, offset: int, length: int, seen: Seen | None) -> bytes:
        """At least one and at most `length` bytes from `offset` on. Raises when there are none."""
        ...

    async def check(self, offset: int) -> None:
        """Raises when the source is no longer what it was when it was opened; all before `offset` has been read."""
        ...

    def close(self) -> None:
        """Closes what was opened here, and nothing else."""
        ...


@dataclass(frozen=True, slots=True)
class OpenSource:
    """An upload's bytes: exactly `size`. One that is not `repeatable` is read once and in order."""

    reader: Reader
    size: int
    name: str = "file"
    repeatable: bool = True

    def chunks(self) -> AsyncIterator[bytes]:
        return self.part(0, self.size).chunks()

    def part(self, start: int, size: int, seen: Seen | None = None) -> RequestBody:
        """`size` bytes from `start` on, as a request's body; `seen` is told of them as they go out."""
        return _Part(self.reader, start, size, seen)

    def close(self) -> None:
        self.reader.close()


@dataclass(frozen=True, slots=True)
class _Part:
    reader: Reader
    start: int
    size: int
    seen: Seen | None

    async def chunks(self) -> AsyncIterator[bytes]:
        at, end = self.start, self.start + self.size
        if at == end:
            await self.reader.check(end)
        while at < end:
            chunk = await self.reader.read(at, min(CHUNK, end - at), self.seen)
            at += len(chunk)
            if at == end:
                await self.reader.check(end)
            yield chunk


class _Bytes:
    def __init__(self, data: bytes, threads: Threads) -> None:
        self._data = data
        self._threads = threads

    async def read(self, offset: int, length: int, seen: Seen | None) -> bytes:
        chunk = self._data[offset : offset + length]
        await _show(chunk, seen, self._threads)
        return chunk

    async def check(self, offset: int) -> None:
        """Bytes do not change."""

    def close(self) -> None:
        """Nothing is open."""


def bytes_source(data: bytes, threads: Threads) -> OpenSource:
    """Bytes in memory, which can be sent again and again."""
    return OpenSource(_Bytes(data, threads), len(data))


async def _show(chunk: bytes, seen: Seen | None, threads: Threads) -> None:
    if seen is None:
        return
    if len(chunk) <= SMALL:
        seen(chunk)
    else:
        await threads.run(seen, chunk)


class TreePath(str):
    """The path of the file `name`, with `/`, that was found below `root`: no link below it is followed when it is opened."""

    __slots__ = ("name", "root")
    root: str
    name: str

    def __new__(cls, path: str, root: str = "", name: str = "") -> Self:
        made = super().__new__(cls, path)
        made.root, made.name = root, name
        return made

    def open(self, platform: Platform) -> int:
        """Raises `OSError`, and `UnsafePathError` for a link."""
        try:
            spot = spot_below(self.root, self.name, make=False, follow=False, platform=platform)
        except LinkInPath:
            expected = "a file of the tree itself"
            raise UnsafePathError(Problem("source", expected, f"{str(self)!r}, behind a symbolic link")) from None
        try:
            return spot.open(spot.name, os.O_RDONLY)
        finally:
            spot.close()


class _Path:
    """A regular file, opened here."""

    def __init__(self, path: str, threads: Threads, platform: Platform) -> None:
        self._path = path
        self._threads = threads
        self._platform = platform
        refuse_url("source", path)
        try:
            # Never waits for the other end of a pipe; what is not a regular file is refused below.
            if isinstance(path, TreePath):
                self._file = path.open(platform)
            else:
                self._file = os.open(path, os.O_RDONLY | platform.binary | platform.no_wait)
        except OSError as error:
            raise local_error(error, path) from None
        except UnsafePathError:
            raise
        except ValueError:
            raise no_path("source", path) from None
        status = os.fstat(self._file)
        self.size = status.st_size
        self._written = status.st_mtime_ns
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise InvalidRequest(Problem("source", "a regular file", what_it_is(status.st_mode)))

    async def read(self, offset: int, length: int, seen: Seen | None) -> bytes:
        try:
            if length <= SMALL:
                chunk = self._read(offset, length, seen)
            else:
                chunk = await self._threads.run(self._read, offset, length, seen)
        except OSError as error:
            raise local_error(error, self._path) from None
        if not chunk:
            await self.check(offset)
            raise LocalFileError(f"changed while it was read: it ended at {offset}", path=self._path)
        return chunk

    async def check(self, offset: int) -> None:
        status = os.fstat(self._file)
        if (status.st_size, status.st_mtime_ns) != (self.size, self._written):
            told = f"{self.size} bytes at first, now {status.st_size}"
            raise LocalFileError(f"changed while it was read: {told}", path=self._path)

    def _read(self, offset: int, length: int, seen: Seen | None) -> bytes:
        chunk = read_at(self._file, offset, length, self._platform)
        if seen is not None:
            seen(chunk)
        return chunk

    def close(self) -> None:
        os.close(self._file)


class _File:
    """A binary file of the caller's, from `start` on; from where it stands, once, if that is None: it cannot seek."""

    def __init__(self, file: BinaryIO, start: int | None, size: int, name: str, threads: Threads) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._name = name
        self._threads = threads
        # It has one position, whoever reads.
        self._turn = anyio.Lock(fast_acquire=True)

    async def read(self, offset: int, length: int, seen: Seen | None) -> bytes:
        chunk = await self._call(self._read, offset, length)
        if not isinstance(chunk, bytes):
            raise InvalidRequest(Problem("source", "a file opened in binary mode", f"one that reads {describe(chunk)}"))
        if len(chunk) > length:
            raise LocalFileError(f"read {len(chunk)} bytes when asked for {length}", path=self._name)
        if not chunk:
            told = f"ended {self._size - offset} bytes before its size of {self._size}"
            raise LocalFileError(f"changed while it was read: {told}", path=self._name)
        await _show(chunk, seen, self._threads)
        return chunk

    async def check(self, offset: int) -> None:
        if self._start is None:
            return
        size = await self._call(_rest, self._file, self._start)
        if size != self._size:
            told = f"{self._size} bytes at first, now {size}"
            raise LocalFileError(f"changed while it was read: {told}", path=self._name)

    def _read(self, offset: int, length: int) -> Any:
        if self._start is not None:
            self._file.seek(self._start + offset)
        return self._file.read(length)

    async def _call(self, call: Callable[..., Any], *arguments: Any) -> Any:
        async with self._turn:
            try:
                return await self._threads.run(call, *arguments)
            except Exception as error:
                raise callers_error("the source cannot be read", error, self._name) from error

    def close(self) -> None:
        """The file is the caller's."""


class _Stream:
    """An async iterable; what it yields beyond what is asked for waits for the next reading."""

    def __init__(self, stream: AsyncIterator[bytes], size: int, threads: Threads) -> None:
        self._stream = stream
        self._size = size
        self._threads = threads
        self._rest = b""

    async def read(self, offset: int, length: int, seen: Seen | None) -> bytes:
        if not await self._fill():
            raise self._of_another_size(str(offset))
        chunk, self._rest = self._rest[:length], self._rest[length:]
        await _show(chunk, seen, self._threads)
        return chunk

    async def check(self, offset: int) -> None:
        if offset == self._size and await self._fill():
            raise self._of_another_size("more")

    async def _fill(self) -> bool:
        while not self._rest:
            try:
                chunk = await anext(self._stream)
            except StopAsyncIteration:
                return False
            except Exception as error:
                raise callers_error("the source cannot be read", error) from error
            if not isinstance(chunk, bytes | bytearray | memoryview):
                raise InvalidRequest(Problem("source", "an async iterable of bytes", f"one that yields {describe(chunk)}"))
            self._rest = bytes(chunk)
        return True

    def _of_another_size(self, got: str) -> InvalidRequest:
        expected = "the number of bytes that the source yields"
        return InvalidRequest(Problem("size", expected, f"{self._size}, but it yielded {got}"))

    def close(self) -> None:
        """The iterable is the caller's."""


async def open_source(source: Source, size: int | None, threads: Threads, platform: Platform = PLATFORM) -> OpenSource:
    """`source`, ready to be read. Raises `InvalidRequest` for what cannot be one, or has not the `size` said."""
    if problems := size_problems(size):
        raise InvalidRequest(*problems)
    opened = await _open(source, size, threads, platform)
    if size is not None and opened.size != size:
        opened.close()
        raise InvalidRequest(Problem("size", f"the source's own size of {opened.size} bytes", describe(size)))
    return opened


def size_problems(size: object) -> list[Problem]:
    if size is None or (isinstance(size, int) and not isinstance(size, bool) and size >= 0):
        return []
    return [Problem("size", "a number of bytes", describe(size))]


async def _open(source: Source, size: int | None, threads: Threads, platform: Platform) -> OpenSource:
    match source:
        case bytes() | bytearray() | memoryview():
            return bytes_source(bytes(source), threads)
        case str() | os.PathLike():
            path = path_of("source", source)
            reader = _Path(path, threads, platform)
            return OpenSource(reader, reader.size, os.path.basename(path))
        case AsyncIterable():
            if size is None:
                raise InvalidRequest(Problem("size", "the number of bytes, which S3 wants before the first one", "nothing"))
            try:
                stream = aiter(source)
            except Exception as error:
                raise InvalidRequest(Problem("source", "an async iterable of bytes", type(error).__name__)) from error
            return OpenSource(_Stream(stream, size, threads), size, repeatable=False)
        case _ if callable(attribute(source, "read")):
            return await _open_file(source, size, threads)
        case _:
            expected = "a path, bytes, a binary file or an async iterable of bytes"
            raise InvalidRequest(Problem("source", expected, describe(source)))


async def _open_file(file: BinaryIO, size: int | None, threads: Threads) -> OpenSource:
    if isinstance(file, io.TextIOBase):
        raise InvalidRequest(Problem("source", "a file opened in binary mode", "one opened in text mode"))
    given = attribute(file, "name")
    name = os.path.basename(given) if isinstance(given, str) else "file"
    try:
        start = await threads.run(file.tell) if await threads.run(file.seekable) else None
        if start is not None:
            size = await threads.run(_rest, file, start)
    except Exception as error:
        raise InvalidRequest(Problem("source", "a binary file that is open", type(error).__name__)) from error
    if size is None:
        raise InvalidRequest(Problem("size", "the number of bytes, for a file that cannot seek", "nothing"))
    return OpenSource(_File(file, start, size, name, threads), size, name, repeatable=start is not None)


def _rest(file: BinaryIO, start: int) -> int:
    """How many bytes there are behind `start`."""
    end: object = file.seek(0, os.SEEK_END)
    # Not every file's `seek` returns where it is.
    return max(0, (end if isinstance(end, int) else file.tell()) - start)
