"""The local side: threads for calls that block, and calls on open files; `sources` is where the bytes of an upload come
from, `sinks` where those of a download go.

These, `folders` and `tree` are the only modules that make synchronous file calls, and they make short ones: what is up to
`SMALL` bytes is read or written at once, in the event loop, which costs less than telling a thread, as long as the disk is
quick. Larger pieces, and files that callers hand in, whose calls may block, go to a bounded number of threads. Every failure
of the local side leaves as `LocalFileError`.
"""

from __future__ import annotations

import os
import re
import stat
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import anyio.to_thread

from ..errors import InvalidRequest, LocalFileError, Problem, describe
from .crew import Caught, broken_off, open_tasks
from .platforms import PLATFORM, Platform

SMALL = 64 * 1024
CHUNK = 1024 * 1024

_Result = TypeVar("_Result")
_URL = re.compile("https?:/", re.IGNORECASE)

# Seconds. A call that takes longer in the loop holds it too long. One that was made in a thread and took less may be dared
# in the loop: what a thread measures contains its waits for the interpreter, so that it can be no better than this.
SLOW = 0.005
QUICK = 0.02
# Calls in threads before one in the loop is dared again: so many at first and at least; twice as many after each that was
# slow, one less after each that was not.
CAUTION = 1
MOST_CAUTION = 1024


class _Pace:
    """How often calls of one kind go to a thread before one is made in the loop."""

    def __init__(self) -> None:
        self.caution = self.wary = CAUTION

    def in_thread(self, seconds: float) -> None:
        if seconds < QUICK:
            self.wary = max(0, self.wary - 1)

    def in_loop(self, seconds: float) -> None:
        if seconds > SLOW:
            self.caution = self.wary = min(2 * self.caution, MOST_CAUTION)
        elif self.caution > CAUTION:
            self.caution -= 1


class Threads:
    """Runs blocking calls in at most `limit` threads at once."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self._limiter = anyio.CapacityLimiter(limit)
        self._clock = clock
        self._data = _Pace()
        self._names = _Pace()

    async def brief(self, call: Callable[..., _Result], *args: Any) -> _Result:
        """A call that takes microseconds on most disks: in the loop, while this one has been quick, else in a thread."""
        return await self._paced(self._data, call, *args)

    async def look(self, call: Callable[..., _Result], *args: Any) -> _Result:
        """The same for a call that only looks at names and folders, which says little of how quickly data is written."""
        return await self._paced(self._names, call, *args)

    async def _paced(self, pace: _Pace, call: Callable[..., _Result], *args: Any) -> _Result:
        seconds = 0.0

        def timed() -> _Result:
            nonlocal seconds
            started = self._clock()
            try:
                return call(*args)
            finally:
                seconds = self._clock() - started

        if pace.wary:
            result = await self.run(timed)
            pace.in_thread(seconds)
        else:
            result = timed()
            pace.in_loop(seconds)
        return result

    async def run(self, call: Callable[..., _Result], *args: Any, certain: bool = False) -> _Result:
        """Not abandoned when cancelled: the file would be closed, and its number given to another, under a running write.

        anyio shields the call from cancel scopes only; a group waits for its task when `Task.cancel()` is called, too.
        `certain`: made also when it is cancelled before its turn comes.
        """
        results: list[_Result] = []
        caught = Caught()

        async def work() -> None:
            with caught, anyio.CancelScope(shield=certain):
                results.append(await anyio.to_thread.run_sync(call, *args, limiter=self._limiter))

        async with open_tasks() as tasks:
            tasks.start_soon(work)
        if caught.failure is not None:
            raise caught.failure  # outside of the group, which would wrap it
        if not results:
            raise broken_off()
        return results[0]


def path_of(argument: str, value: str | os.PathLike[str]) -> str:
    """`value` as a string. Raises `InvalidRequest`, whatever its `__fspath__` does."""
    try:
        path: object = os.fspath(value)
    except Exception as error:
        raise InvalidRequest(Problem(argument, "a path", f"{describe(value)} that raised {type(error).__name__}")) from error
    if not isinstance(path, str) or not path:
        raise InvalidRequest(Problem(argument, "a path", describe(path)))
    return path


def attribute(value: object, name: str) -> Any:
    """The attribute of an object of the caller's; None if it has none, or raises anything."""
    try:
        return getattr(value, name, None)
    except Exception:  # noqa: BLE001 (the caller's own object)
        return None


def local_error(error: OSError | ValueError, path: str) -> LocalFileError:
    """What the system said of `path`, with its number; a `ValueError` is of a path that no system can hold."""
    if isinstance(error, OSError):
        return LocalFileError(error.strerror or type(error).__name__, path=path, errno=error.errno)
    return LocalFileError(type(error).__name__, path=path)


def callers_error(message: str, error: Exception, path: str = "") -> LocalFileError:
    """That an object of the caller's raised `error`, whose own text is not shown."""
    return LocalFileError(f"{message}: {type(error).__name__}", path=path, errno=getattr(error, "errno", None))


def refuse_url(argument: str, path: str) -> None:
    """Arguments in the wrong order, most likely; no error about a file may show a signature."""
    if _URL.match(path):
        raise InvalidRequest(Problem(argument, "a path", "a URL", "the source comes first, then the destination"))


def no_path(argument: str, path: object) -> InvalidRequest:
    return InvalidRequest(Problem(argument, "a path that the system can hold", describe(path)))


def what_it_is(mode: int) -> str:
    return "a directory" if stat.S_ISDIR(mode) else "a device, pipe or socket"


# Where a file cannot be read or written by position, seeking and what follows have to be one.
_SEEKING = threading.Lock()


def read_at(file: int, offset: int, length: int, platform: Platform = PLATFORM) -> bytes:
    if platform.positional:
        return os.pread(file, length, offset)
    with _SEEKING:
        os.lseek(file, offset, os.SEEK_SET)
        return os.read(file, length)


def write_at(file: int, offset: int, data: bytes, platform: Platform = PLATFORM) -> None:
    view = memoryview(data)
    while view:
        if platform.positional:
            written = os.pwrite(file, view, offset)
        else:
            with _SEEKING:
                os.lseek(file, offset, os.SEEK_SET)
                written = os.write(file, view)
        view = view[written:]
        offset += written
