"""The local side: where the bytes of an upload come from and those of a download go.

This is the only module that makes synchronous file calls, and it makes short ones: what is up to `SMALL` bytes is read
or written at once, in the event loop, which costs less than telling a thread. Larger pieces, and files that callers
hand in, whose calls may block, go to a bounded number of threads.

A download becomes visible when it is whole: it is written to a temporary file beside its destination and renamed.
Every failure of the local side leaves as `LocalFileError`, and takes its temporary file along.
"""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import suppress
from typing import Any, BinaryIO, Protocol, TypeVar

import anyio.to_thread

from ..errors import InvalidRequest, LocalFileError, Problem, describe
from .items import Place, Source

SMALL = 64 * 1024
CHUNK = 1024 * 1024

_Result = TypeVar("_Result")
_URL = re.compile("https?:/", re.IGNORECASE)
_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class Threads:
    """Runs blocking calls in at most `limit` threads at once."""

    def __init__(self, limit: int) -> None:
        self._limiter = anyio.CapacityLimiter(limit)

    async def run(self, call: Callable[..., _Result], *args: Any) -> _Result:
        """Not abandoned when cancelled: the file would be closed, and its number given to another, under a running write.

        anyio shields the call from cancel scopes only; a group waits for its task when `Task.cancel()` is called, too.
        """
        results: list[_Result] = []
        failures: list[Exception] = []

        async def work() -> None:
            try:
                results.append(await anyio.to_thread.run_sync(call, *args, limiter=self._limiter))
            except Exception as error:  # noqa: BLE001 (raised below, outside of the group, which would wrap it)
                failures.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
        if failures:
            raise failures[0]
        return results[0]


def _local(error: OSError, path: str) -> LocalFileError:
    return LocalFileError(error.strerror or type(error).__name__, path=path)


# --- sources ----------------------------------------------------------------------------------------------------------


class OpenSource(Protocol):
    """An upload's bytes: exactly `size`; `repeatable` when they can be sent again. Closing closes only what was opened."""

    size: int
    repeatable: bool
    name: str

    def chunks(self) -> AsyncIterator[bytes]: ...

    def close(self) -> None: ...


class _BytesSource:
    repeatable = True
    name = "file"

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    async def chunks(self) -> AsyncIterator[bytes]:
        if self.size <= CHUNK:
            yield self._data
            return
        for start in range(0, self.size, CHUNK):
            yield self._data[start : start + CHUNK]

    def close(self) -> None:
        pass


class _PathSource:
    repeatable = True

    def __init__(self, path: str, threads: Threads) -> None:
        self._path = path
        self._threads = threads
        self.name = os.path.basename(path)
        _refuse_url("source", path)
        try:
            # Never waits for the other end of a pipe; what is not a regular file is refused below.
            self._file = os.open(path, os.O_RDONLY | _BINARY | getattr(os, "O_NONBLOCK", 0))
        except OSError as error:
            raise _local(error, path) from None
        except ValueError:
            raise _no_path("source", path) from None
        status = os.fstat(self._file)
        self.size = status.st_size
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise InvalidRequest(Problem("source", "a regular file", _what(status.st_mode)))

    async def chunks(self) -> AsyncIterator[bytes]:
        offset = 0
        while offset < self.size:
            length = min(CHUNK, self.size - offset)
            try:
                if length <= SMALL:
                    chunk = _read_at(self._file, length, offset)
                else:
                    chunk = await self._threads.run(_read_at, self._file, length, offset)
            except OSError as error:
                raise _local(error, self._path) from None
            if not chunk:
                raise LocalFileError(f"changed while it was read: {self.size} bytes at first, now {offset}", path=self._path)
            offset += len(chunk)
            yield chunk

    def close(self) -> None:
        os.close(self._file)


def _read_at(file: int, length: int, offset: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(file, length, offset)
    os.lseek(file, offset, os.SEEK_SET)
    return os.read(file, length)


class _FileSource:
    """A binary file of the caller's, from where it stands to its end."""

    def __init__(self, file: BinaryIO, start: int | None, size: int, threads: Threads) -> None:
        self._file = file
        self._start = start
        self._threads = threads
        self.size = size
        self.repeatable = start is not None
        name = getattr(file, "name", None)
        self.name = os.path.basename(name) if isinstance(name, str) else "file"

    async def chunks(self) -> AsyncIterator[bytes]:
        left = self.size
        if self._start is not None:
            await self._call(self._file.seek, self._start)
        while left:
            chunk = await self._call(self._file.read, min(CHUNK, left))
            if not isinstance(chunk, bytes):
                raise InvalidRequest(Problem("source", "a file opened in binary mode", f"one that reads {describe(chunk)}"))
            if not chunk:
                raise LocalFileError(f"ended {left} bytes before its size of {self.size}", path=self.name)
            left -= len(chunk)
            yield chunk

    async def _call(self, call: Callable[[int], Any], argument: int) -> Any:
        try:
            return await self._threads.run(call, argument)
        except Exception as error:
            raise LocalFileError(f"the source cannot be read: {type(error).__name__}", path=self.name) from error

    def close(self) -> None:
        pass


class _StreamSource:
    """An async iterable; it can be sent once."""

    repeatable = False
    name = "file"

    def __init__(self, stream: AsyncIterable[bytes], size: int) -> None:
        self._stream = stream
        self.size = size

    async def chunks(self) -> AsyncIterator[bytes]:
        left = self.size
        stream = aiter(self._stream)
        while (chunk := await self._next(stream)) is not None:
            if not isinstance(chunk, bytes | bytearray | memoryview):
                raise InvalidRequest(Problem("source", "an async iterable of bytes", f"one that yields {describe(chunk)}"))
            chunk = bytes(chunk)
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
        if left:
            got = "more" if left < 0 else f"{self.size - left}"
            raise InvalidRequest(
                Problem("size", "the number of bytes that the source yields", f"{self.size}, but it yielded {got}")
            )

    async def _next(self, stream: AsyncIterator[bytes]) -> bytes | None:
        try:
            return await anext(stream, None)
        except Exception as error:
            raise LocalFileError(f"the source raised {type(error).__name__}", path=self.name) from error

    def close(self) -> None:
        pass


async def open_source(source: Source, size: int | None, threads: Threads) -> OpenSource:
    """`source`, ready to be read. Raises `InvalidRequest` for what cannot be one, or has not the `size` said."""
    if problems := size_problems(size):
        raise InvalidRequest(*problems)
    opened = await _open(source, size, threads)
    if size is not None and opened.size != size:
        opened.close()
        raise InvalidRequest(Problem("size", f"the source's own size of {opened.size} bytes", describe(size)))
    return opened


def size_problems(size: object) -> list[Problem]:
    if size is None or (isinstance(size, int) and not isinstance(size, bool) and size >= 0):
        return []
    return [Problem("size", "a number of bytes", describe(size))]


async def _open(source: Source, size: int | None, threads: Threads) -> OpenSource:
    match source:
        case bytes() | bytearray() | memoryview():
            return _BytesSource(bytes(source))
        case str() | os.PathLike():
            return _PathSource(os.fspath(source), threads)
        case AsyncIterable():
            if size is None:
                raise InvalidRequest(Problem("size", "the number of bytes, which S3 wants before the first one", "nothing"))
            return _StreamSource(source, size)
        case _ if callable(getattr(source, "read", None)):
            return await _open_file(source, size, threads)
        case _:
            expected = "a path, bytes, a binary file or an async iterable of bytes"
            raise InvalidRequest(Problem("source", expected, describe(source)))


async def _open_file(file: BinaryIO, size: int | None, threads: Threads) -> OpenSource:
    if isinstance(file, io.TextIOBase):
        raise InvalidRequest(Problem("source", "a file opened in binary mode", "one opened in text mode"))
    try:
        if not await threads.run(file.seekable):
            if size is None:
                raise InvalidRequest(Problem("size", "the number of bytes, for a file that cannot seek", "nothing"))
            return _FileSource(file, None, size, threads)
        start = await threads.run(file.tell)
        end = await threads.run(file.seek, 0, os.SEEK_END)
        return _FileSource(file, start, max(0, end - start), threads)
    except (OSError, ValueError) as error:
        if isinstance(error, InvalidRequest):
            raise
        raise InvalidRequest(Problem("source", "a binary file that is open", type(error).__name__)) from None


def _refuse_url(argument: str, path: str) -> None:
    """Arguments in the wrong order, most likely; no error about a file may show a signature."""
    if _URL.match(path):
        raise InvalidRequest(Problem(argument, "a path", "a URL", "the source comes first, then the destination"))


def _no_path(argument: str, path: object) -> InvalidRequest:
    return InvalidRequest(Problem(argument, "a path that the system can hold", describe(path)))


def _what(mode: int) -> str:
    return "a directory" if stat.S_ISDIR(mode) else "a device, pipe or socket"


# --- destinations -----------------------------------------------------------------------------------------------------


class Sink(Protocol):
    """Where an item's bytes go. Each attempt starts with `restart` and writes in order; `commit` ends the last one.

    `discard`, at the very end, leaves nothing that was not committed.
    """

    async def restart(self) -> None: ...

    async def write(self, data: bytes) -> None: ...

    async def commit(self) -> bytes | None:
        """Make the bytes visible. Returns them when they were kept in memory."""

    def discard(self) -> None: ...


class _MemorySink:
    def __init__(self) -> None:
        self._parts: list[bytes] = []

    async def restart(self) -> None:
        self._parts.clear()

    async def write(self, data: bytes) -> None:
        self._parts.append(data)

    async def commit(self) -> bytes | None:
        return b"".join(self._parts)

    def discard(self) -> None:
        self._parts.clear()


class _PathSink:
    """A temporary file beside `path`, opened by the first write, renamed to it by `commit`."""

    def __init__(self, path: str, token: str, threads: Threads) -> None:
        # Through a link, as a plain open() would: the link stays, its target is replaced.
        self._path = os.path.realpath(path) if os.path.islink(path) else path
        self._temporary = os.path.join(os.path.dirname(self._path), f".asyncpresign-{token}.part")
        self._threads = threads
        self._file: int | None = None
        self._exists = False

    async def restart(self) -> None:
        self.discard()

    async def write(self, data: bytes) -> None:
        try:
            file = self._open()
            if len(data) <= SMALL:
                _write_descriptor(file, data)
            else:
                await self._threads.run(_write_descriptor, file, data)
        except OSError as error:
            raise _local(error, self._path) from None

    async def commit(self) -> bytes | None:
        try:
            self._open()
            self._close()
            os.replace(self._temporary, self._path)
        except OSError as error:
            raise _local(error, self._path) from None
        self._exists = False
        return None

    def discard(self) -> None:
        # What cannot be closed or unlinked any more is gone already, with its file system.
        with suppress(OSError):
            self._close()
        if self._exists:
            self._exists = False
            with suppress(OSError):
                os.unlink(self._temporary)

    def _open(self) -> int:
        if self._file is None:
            self._file = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
            self._exists = True
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)


class _FileSink:
    """A binary file of the caller's, from where it stands; another attempt needs it to seek back."""

    def __init__(self, file: BinaryIO, start: int | None, threads: Threads) -> None:
        self._file = file
        self._start = start
        self._threads = threads
        self._written = False

    async def restart(self) -> None:
        if not self._written:
            return
        if self._start is None:
            raise LocalFileError("the destination cannot seek, so what it got of a broken body cannot be taken back")
        await self._call(self._rewind, self._start)
        self._written = False

    async def write(self, data: bytes) -> None:
        self._written = True
        await self._call(_write_file, self._file, data)

    async def commit(self) -> bytes | None:
        return None

    def discard(self) -> None:
        """The file is the caller's, with all that is in it."""

    def _rewind(self, start: int) -> None:
        self._file.seek(start)
        self._file.truncate()

    async def _call(self, call: Callable[..., None], *arguments: Any) -> None:
        try:
            await self._threads.run(call, *arguments)
        except Exception as error:
            raise LocalFileError(f"the destination cannot be written: {type(error).__name__}") from error


def _write_descriptor(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _write_file(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        # A buffered file writes all there is; a raw one says how much it took, None if it would have to wait.
        written = file.write(view)
        if written is None and not isinstance(file, io.RawIOBase):
            return
        if not written:
            raise BlockingIOError("the destination takes no more")
        view = view[written:]


def check_destination(destination: Place) -> None:
    """Raises `InvalidRequest` for what no download can go to: a directory, a device, something that is not a file."""
    if destination is None or callable(getattr(destination, "write", None)):
        if isinstance(destination, io.TextIOBase):
            raise InvalidRequest(Problem("destination", "a file opened in binary mode", "one opened in text mode"))
        return
    if not isinstance(destination, str | os.PathLike):
        raise InvalidRequest(Problem("destination", "a path, a binary file or None", describe(destination)))
    path = os.fspath(destination)
    if not isinstance(path, str) or not path:
        raise InvalidRequest(Problem("destination", "a path", describe(path)))
    _refuse_url("destination", path)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        if path.endswith(os.sep):
            raise InvalidRequest(Problem("destination", "the path of a file", "one that ends as a directory's does")) from None
        folder = os.path.dirname(path)
        if folder and not os.path.isdir(folder):
            # Told before a byte is asked for, not after the first has come.
            raise LocalFileError("its folder does not exist", path=path) from None
        return
    except OSError as error:
        raise _local(error, path) from None
    except ValueError:
        raise _no_path("destination", path) from None
    if not stat.S_ISREG(mode):
        raise InvalidRequest(Problem("destination", "the path of a file", _what(mode)))


async def open_sink(destination: Place, token: str, threads: Threads) -> Sink:
    """Where one item goes; `token` makes the temporary file's name its own. `destination` has been checked."""
    if destination is None:
        return _MemorySink()
    if isinstance(destination, str | os.PathLike):
        return _PathSink(os.fspath(destination), token, threads)
    return _FileSink(destination, await threads.run(_position, destination), threads)


def _position(file: BinaryIO) -> int | None:
    """Where `file` stands, or None when it cannot seek."""
    try:
        return file.tell() if file.seekable() else None
    except (OSError, ValueError, AttributeError):
        return None
