"""Where the bytes of a download go: a path, a binary file of the caller's, or memory.

A download becomes visible when it is whole: it is written to a temporary file beside its destination and renamed. Every
failure leaves as `LocalFileError`, and takes its temporary file along.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO, Protocol

from ..errors import InvalidRequest, LocalFileError, Problem, describe
from .files import BINARY, CHUNK, SMALL, Threads, local_error, no_path, read_at, refuse_url, what_it_is, write_at
from .items import Place


class Sink(Protocol):
    """Where an item's bytes go: each piece at its offset; in any order if `anywhere`, else behind those before it.

    Nothing is visible before `commit`, and `discard`, at the very end, leaves nothing that was not committed.
    """

    anywhere: bool

    async def restart(self) -> None:
        """Forget what was written."""

    async def write(self, data: bytes, at: int) -> None: ...

    async def adopt(self, size: int) -> bool:
        """Go on with what an earlier process left of an object of `size` bytes, if it left anything."""
        ...

    async def sync(self) -> None:
        """Return when what was written outlives a loss of power. Only if `anywhere`."""

    async def replay(self, update: Callable[[bytes], object], at: int, size: int) -> None:
        """Read what was written again, into `update`, which is called in a thread. Only if `anywhere`."""

    async def commit(self) -> bytes | None:
        """Make the bytes visible. Returns them when they were kept in memory."""

    def discard(self) -> None: ...


class _InOrder:
    """A sink that cannot read what was written, nor find what an earlier process wrote."""

    anywhere = False

    async def adopt(self, size: int) -> bool:
        return False

    async def sync(self) -> None:
        raise NotImplementedError

    async def replay(self, update: Callable[[bytes], object], at: int, size: int) -> None:
        raise NotImplementedError


class _MemorySink(_InOrder):
    def __init__(self) -> None:
        self._parts: list[bytes] = []

    async def restart(self) -> None:
        self._parts.clear()

    async def write(self, data: bytes, at: int) -> None:
        self._parts.append(data)

    async def commit(self) -> bytes | None:
        return b"".join(self._parts)

    def discard(self) -> None:
        self._parts.clear()


class _PathSink:
    """A temporary file beside `path`, renamed to it by `commit`. A body of one small piece is written by `commit` alone.

    `exclusive`: never in the place of a file that is there. `durable`: on the disk, and not only in the system's memory,
    before it is visible; the temporary file may be one that an earlier process left.
    """

    anywhere = hasattr(os, "pwrite")

    def __init__(self, path: str, token: str, threads: Threads, exclusive: bool, durable: bool) -> None:
        # Through a link, as a plain open() would: the link stays, its target is replaced.
        self._path = os.path.realpath(path) if os.path.islink(path) else path
        self._temporary = os.path.join(os.path.dirname(self._path), f".asyncpresign-{token}.part")
        self._threads = threads
        self._exclusive = exclusive
        self._durable = durable
        self._opening = threading.Lock()
        self._file: int | None = None
        self._exists = False
        self._small = b""

    async def restart(self) -> None:
        self._drop()

    async def write(self, data: bytes, at: int) -> None:
        if self._file is None and not self._small and at == 0 and len(data) <= SMALL:
            self._small = data
            return
        small, self._small = self._small, b""
        if small:
            await self._call(len(small), self._put, small, 0)
        await self._call(len(data), self._put, data, at)

    async def adopt(self, size: int) -> bool:
        await self._call(SMALL + 1, self._take_over, size)
        return self._exists

    async def sync(self) -> None:
        await self._call(SMALL + 1, lambda: os.fsync(self._open()))

    async def replay(self, update: Callable[[bytes], object], at: int, size: int) -> None:
        await self._call(size, self._read, update, at, size)

    async def commit(self) -> bytes | None:
        # What syncs waits for the disk, however small it is.
        await self._call(SMALL + 1 if self._durable else 0, self._finish)
        return None

    def discard(self) -> None:
        # What an earlier process left goes, even if nothing came in its place.
        self._exists = self._exists or self._durable
        self._drop()

    def _drop(self) -> None:
        # What cannot be closed or unlinked any more is gone already, with its file system.
        self._small = b""
        with suppress(OSError):
            self._close()
        if self._exists:
            self._exists = False
            with suppress(OSError):
                os.unlink(self._temporary)

    async def _call(self, size: int, call: Callable[..., None], *arguments: Any) -> None:
        try:
            await (self._threads.brief if size <= SMALL else self._threads.run)(call, *arguments)
        except OSError as error:
            raise local_error(error, self._path) from None

    def _take_over(self, size: int) -> None:
        with suppress(FileNotFoundError):
            self._file = os.open(self._temporary, os.O_RDWR | BINARY)
            self._exists = True
            os.ftruncate(self._file, size)

    def _put(self, data: bytes, at: int) -> None:
        write_at(self._open(), at, data)

    def _read(self, update: Callable[[bytes], object], at: int, size: int) -> None:
        file = self._open()
        for start in range(at, at + size, CHUNK):
            update(read_at(file, start, min(CHUNK, at + size - start)))

    def _finish(self) -> None:
        file = self._open()
        write_at(file, 0, self._small)
        if self._durable:
            os.fsync(file)
        self._close()
        if self._exclusive:
            _rename_to_new(self._temporary, self._path)
        else:
            os.replace(self._temporary, self._path)
        self._exists = False
        if self._durable:
            _sync_directory(os.path.dirname(self._path) or os.curdir)

    def _open(self) -> int:
        with self._opening:
            if self._file is None:
                mode = _mode_of(self._path)
                flags = os.O_RDWR | os.O_CREAT | BINARY | (os.O_TRUNC if self._durable else os.O_EXCL)
                self._file = os.open(self._temporary, flags, 0o666 if mode is None else mode)
                self._exists = True
                if mode is not None and hasattr(os, "fchmod"):
                    os.fchmod(self._file, mode)
            return self._file

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)


def _mode_of(path: str) -> int | None:
    """The permissions of the file that is there and will be replaced."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        return None


def _rename_to_new(temporary: str, path: str) -> None:
    """A rename that replaces nothing, where the file system can do that in one step."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except (OSError, AttributeError):
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.replace(temporary, path)
    else:
        os.unlink(temporary)


def _sync_directory(path: str) -> None:
    """So that the new name outlives a loss of power too; Windows has no such call."""
    if hasattr(os, "O_DIRECTORY"):
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


class _FileSink(_InOrder):
    """A binary file of the caller's, from where it stands; to begin anew it must seek back."""

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

    async def write(self, data: bytes, at: int) -> None:
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


async def open_sink(
    destination: Place, token: str, threads: Threads, *, exclusive: bool = False, durable: bool = False
) -> Sink:
    """Where one item goes; `token` makes the temporary file's name its own. `destination` has been checked."""
    if destination is None:
        return _MemorySink()
    if isinstance(destination, str | os.PathLike):
        return _PathSink(os.fspath(destination), token, threads, exclusive, durable)
    return _FileSink(destination, await threads.run(_position, destination), threads)


def _position(file: BinaryIO) -> int | None:
    """Where `file` stands, or None when it cannot seek."""
    try:
        return file.tell() if file.seekable() else None
    except (OSError, ValueError, AttributeError):
        return None


# --- files that are there already -------------------------------------------------------------------------------------


def size_of(path: str | os.PathLike[str]) -> int | None:
    """Of a file, in bytes; None when there is none."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return None
    except OSError as error:
        raise local_error(error, os.fspath(path)) from None


async def feed(path: str | os.PathLike[str], update: Callable[[bytes], object], threads: Threads) -> None:
    """All of a file into `update`, which is called in a thread."""

    def some(at: int) -> int:
        piece = read_at(file, at, CHUNK)
        update(piece)
        return len(piece)

    try:
        file = os.open(path, os.O_RDONLY | BINARY)
        try:
            at = 0
            while piece := await threads.run(some, at):
                at += piece
        finally:
            os.close(file)
    except OSError as error:
        raise local_error(error, os.fspath(path)) from None
