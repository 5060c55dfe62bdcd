"""Where the bytes of a download go: a path, a binary file of the caller's, or memory.

A download becomes visible when it is whole: it is written to a temporary file beside its destination and renamed. Every
failure leaves as `LocalFileError`, and takes its temporary file along.
"""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO, Protocol

from ..errors import InvalidRequest, LocalFileError, Problem, describe
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
    write_at,
)
from .folders import Spot, identity_of, open_spot, spot_at
from .items import Place
from .platforms import PLATFORM, Platform


class Sink(Protocol):
    """Where an item's bytes go: each piece at its offset; in any order if `anywhere`, else behind those before it.

    Nothing is visible before `commit`, and `discard`, at the very end, leaves nothing that was not committed.
    """

    anywhere: bool

    async def restart(self) -> None:
        """Forget what was written."""

    async def write(self, data: bytes, at: int) -> None: ...

    async def adopt(self, size: int, file: str, end: int) -> bool:
        """Go on with the file that an earlier process left of an object of `size` bytes. Returns whether it is there.

        It is only the file for which `sync` returned `file`, and only if it has at least `end` bytes.
        """
        ...

    async def sync(self) -> str:
        """Return when what was written outlives a loss of power: the identity of the file. Only if `anywhere`."""
        ...

    async def replay(self, update: Callable[[bytes], object], at: int, size: int) -> None:
        """Read what was written again, into `update`, which is called in a thread. Only if `anywhere`."""

    async def commit(self) -> bytes | None:
        """Make the bytes visible. Returns them when they were kept in memory."""

    def discard(self) -> None: ...


class _InOrder:
    """A sink that cannot read what was written, nor find what an earlier process wrote."""

    anywhere = False

    async def adopt(self, size: int, file: str, end: int) -> bool:
        return False

    async def sync(self) -> str:
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
    """A temporary file beside the file of `spot`, renamed to it by `commit`. A body of one small piece is written by
    `commit` alone. `spot` is closed by `discard`.

    `exclusive`: never in the place of a file that is there. `durable`: on the disk, and not only in the system's memory,
    before it is visible; the temporary file may be one that an earlier process left. What else has its name, be it a link,
    is never written to.
    """

    def __init__(
        self, spot: Spot, token: str, threads: Threads, exclusive: bool, durable: bool, platform: Platform = PLATFORM
    ) -> None:
        self.anywhere: bool = platform.positional
        self._spot = spot
        self._temporary = f".asyncpresign-{token}.part"
        self._threads = threads
        self._exclusive = exclusive
        self._durable = durable
        self._platform = platform
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
        await self._call(len(self._small) + len(data), self._put, data, at)

    async def adopt(self, size: int, file: str, end: int) -> bool:
        await self._call(SMALL + 1, self._take_over, size, file, end)
        return self._exists

    async def sync(self) -> str:
        await self._call(SMALL + 1, lambda: os.fsync(self._open()))
        return identity_of(os.fstat(self._open()))

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
        self._spot.close()

    def _drop(self) -> None:
        # What cannot be closed or unlinked any more is gone already, with its file system.
        self._small = b""
        with suppress(OSError):
            self._close()
        if self._exists:
            self._exists = False
            with suppress(OSError):
                self._spot.unlink(self._temporary)

    async def _call(self, size: int, call: Callable[..., None], *arguments: Any) -> None:
        try:
            await (self._threads.brief if size <= SMALL else self._threads.run)(call, *arguments)
        except OSError as error:
            raise local_error(error, self._spot.path) from None

    def _take_over(self, size: int, file: str, end: int) -> None:
        self._file = self._spot.adopt(self._temporary, file, end)
        if self._file is not None:
            self._exists = True
            os.ftruncate(self._file, size)

    def _put(self, data: bytes, at: int) -> None:
        write_at(self._open(), at, data, self._platform)

    def _read(self, update: Callable[[bytes], object], at: int, size: int) -> None:
        file = self._open()
        for start in range(at, at + size, CHUNK):
            update(read_at(file, start, min(CHUNK, at + size - start), self._platform))

    def _finish(self) -> None:
        file = self._open()
        if self._durable:
            os.fsync(file)
        status = os.fstat(file)
        self._close()
        self._spot.publish(self._temporary, status, self._exclusive)
        self._exists = False
        if self._durable:
            self._spot.sync()

    def _open(self) -> int:
        """The file, with all that was written."""
        with self._opening:
            if self._file is None:
                self._file = self._create()
                self._exists = True
            if self._small:
                write_at(self._file, 0, self._small, self._platform)
                self._small = b""
            return self._file

    def _create(self) -> int:
        # The file that will be replaced hands its permissions on, but not the right to run as somebody else.
        there = self._spot.status
        mode = None if there is None else stat.S_IMODE(there.st_mode) & 0o777
        try:
            return self._spot.create(self._temporary, mode)
        except FileExistsError:
            if not self._durable:
                raise
        # A dead process left it; or it is something that only has its name, which goes without being opened.
        self._spot.unlink(self._temporary)
        return self._spot.create(self._temporary, mode)

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)


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
            raise callers_error("the destination cannot be written", error) from error


def _write_file(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        # A buffered file writes all there is; a raw one says how much it took, None if it would have to wait.
        written = file.write(view)
        if written is None and not isinstance(file, io.RawIOBase):
            return
        if not written:
            raise BlockingIOError("the destination takes no more")
        if not 0 < written <= len(view):
            raise ValueError("the destination took other than it was given")
        view = view[written:]


def check_destination(destination: Place | Spot) -> None:
    """Raises `InvalidRequest` for what no download can go to: a directory, a device, something that is not a file."""
    if isinstance(destination, str | os.PathLike):
        path_spot(destination).close()
    elif not (isinstance(destination, Spot) or destination is None or callable(attribute(destination, "write"))):
        raise InvalidRequest(Problem("destination", "a path, a binary file or None", describe(destination)))
    elif isinstance(destination, io.TextIOBase):
        raise InvalidRequest(Problem("destination", "a file opened in binary mode", "one opened in text mode"))


def path_spot(destination: str | os.PathLike[str], platform: Platform = PLATFORM) -> Spot:
    """The place of a file that may be written or replaced, held open. Raises `InvalidRequest`, `LocalFileError`."""
    path = path_of("destination", destination)
    refuse_url("destination", path)
    try:
        if not path.endswith(os.sep):
            return regular(spot_at(path, platform))
        got = what_it_is(stat.S_IFDIR) if os.path.isdir(path) else "one that ends as a directory's does"
    except FileNotFoundError as error:
        raise LocalFileError("its folder does not exist", path=path, errno=error.errno) from None
    except OSError as error:
        raise local_error(error, path) from None
    except InvalidRequest:
        raise
    except ValueError:
        raise no_path("destination", path) from None
    raise InvalidRequest(Problem("destination", "the path of a file", got))


def regular(spot: Spot) -> Spot:
    """`spot`, if there is no file there or one that can be replaced. Raises `InvalidRequest`."""
    if spot.status is not None and not stat.S_ISREG(mode := spot.status.st_mode):
        spot.close()
        raise InvalidRequest(Problem("destination", "the path of a file", what_it_is(mode)))
    return spot


async def open_sink(
    destination: Place | Spot,
    token: str,
    threads: Threads,
    *,
    exclusive: bool = False,
    durable: bool = False,
    platform: Platform = PLATFORM,
) -> Sink:
    """Where one item goes; `token` makes the temporary file's name its own. `destination` has been checked."""
    if destination is None:
        return _MemorySink()
    if isinstance(destination, str | os.PathLike):
        destination = await open_spot(threads, path_spot, destination, platform)
    if isinstance(destination, Spot):
        return _PathSink(destination, token, threads, exclusive, durable, platform)
    try:
        start = await threads.run(_position, destination)
    except Exception:  # noqa: BLE001 (the caller's own object: whatever it raises, it cannot be sought in)
        start = None
    return _FileSink(destination, start, threads)


def _position(file: BinaryIO) -> int | None:
    """Where `file` stands, or None when it cannot seek."""
    return file.tell() if file.seekable() else None


# --- files that are there already -------------------------------------------------------------------------------------


def size_of(place: str | os.PathLike[str] | Spot) -> int | None:
    """Of a file, in bytes; None when there is none."""
    try:
        if isinstance(place, Spot):
            status = place.look(place.name)
            return None if status is None else status.st_size
        return os.stat(place).st_size
    except FileNotFoundError:
        return None
    except OSError as error:
        raise local_error(error, _path_of(place)) from None


async def feed(
    place: str | os.PathLike[str] | Spot, update: Callable[[bytes], object], threads: Threads, platform: Platform = PLATFORM
) -> None:
    """All of a file into `update`, which is called in a thread."""

    def some(at: int) -> int:
        piece = read_at(file, at, CHUNK, platform)
        update(piece)
        return len(piece)

    try:
        if isinstance(place, Spot):
            file = place.open(place.name, os.O_RDONLY)
        else:
            file = os.open(place, os.O_RDONLY | platform.binary | platform.no_wait)
        try:
            at = 0
            while piece := await threads.run(some, at):
                at += piece
        finally:
            os.close(file)
    except OSError as error:
        raise local_error(error, _path_of(place)) from None


def _path_of(place: str | os.PathLike[str] | Spot) -> str:
    return place.path if isinstance(place, Spot) else os.fspath(place)
