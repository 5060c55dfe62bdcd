"""The local side: threads for calls that block, and where the bytes of a download go; `sources` is where uploads' come from.

These two are the only modules that make synchronous file calls, and they make short ones: what is up to `SMALL` bytes is
read or written at once, in the event loop, which costs less than telling a thread. Larger pieces, and files that callers
hand in, whose calls may block, go to a bounded number of threads.

A download becomes visible when it is whole: it is written to a temporary file beside its destination and renamed.
Every failure of the local side leaves as `LocalFileError`, and takes its temporary file along.
"""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO, Protocol, TypeVar

import anyio.to_thread

from ..errors import InvalidRequest, LocalFileError, Problem, describe
from .items import Place

SMALL = 64 * 1024
CHUNK = 1024 * 1024

_Result = TypeVar("_Result")
_URL = re.compile("https?:/", re.IGNORECASE)
BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


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


def local_error(error: OSError, path: str) -> LocalFileError:
    return LocalFileError(error.strerror or type(error).__name__, path=path)


def refuse_url(argument: str, path: str) -> None:
    """Arguments in the wrong order, most likely; no error about a file may show a signature."""
    if _URL.match(path):
        raise InvalidRequest(Problem(argument, "a path", "a URL", "the source comes first, then the destination"))


def no_path(argument: str, path: object) -> InvalidRequest:
    return InvalidRequest(Problem(argument, "a path that the system can hold", describe(path)))


def what_it_is(mode: int) -> str:
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
            raise local_error(error, self._path) from None

    async def commit(self) -> bytes | None:
        try:
            self._open()
            self._close()
            os.replace(self._temporary, self._path)
        except OSError as error:
            raise local_error(error, self._path) from None
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
            self._file = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o666)
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
    refuse_url("destination", path)
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
        raise local_error(error, path) from None
    except ValueError:
        raise no_path("destination", path) from None
    if not stat.S_ISREG(mode):
        raise InvalidRequest(Problem("destination", "the path of a file", what_it_is(mode)))


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
