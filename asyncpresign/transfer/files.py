"""The local side: threads for calls that block, and calls on open files; `sources` is where the bytes of an upload come
from, `sinks` where those of a download go.

These three are the only modules that make synchronous file calls, and they make short ones: what is up to `SMALL` bytes is
read or written at once, in the event loop, which costs less than telling a thread, as long as the disk is quick. Larger
pieces, and files that callers hand in, whose calls may block, go to a bounded number of threads. Every failure of the
local side leaves as `LocalFileError`.
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

SMALL = 64 * 1024
CHUNK = 1024 * 1024

_Result = TypeVar("_Result")
_URL = re.compile("https?:/", re.IGNORECASE)
BINARY = getattr(os, "OBINARY", 0) | getattr(os, "O_CLOEXEC", 0)


# Seconds. A call that takes longer in the loop holds it too long. One that was made in a thread and took less may be dared
# in the loop: what a thread measures contains its waits for the interpreter, so that it can be no better than this.
SLOW = 0.005
QUICK = 0.02
# Calls in threads before one in the loop is dared again: so many at first and at least; twice as many after each that was
# slow, one less after each that was not.
CAUTION = 1
MOST_CAUTION = 1024


class Threads:
    """Runs blocking calls in at most `limit` threads at once."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self._limiter = anyio.CapacityLimiter(limit)
        self._clock = clock
        self._caution = self._wary = CAUTION

    async def brief(self, call: Callable[..., _Result], *args: Any) -> _Result:
        """A call that takes microseconds on most disks: in the loop, while this one has been quick, else in a thread."""
        seconds = 0.0

        def timed() -> _Result:
            nonlocal seconds
            started = self._clock()
            try:
                return call(*args)
            finally:
                seconds = self._clock() - started

        if self._wary:
            result = await self.run(timed)
            if seconds < QUICK:
                self._wary = max(0, self._wary - 1)
        else:
            result = timed()
            if seconds > SLOW:
                self._caution = self._wary = min(2 * self._caution, MOST_CAUTION)
            elif self._caution > CAUTION:
                self._caution -= 1
        return result

    async def run(self, call: Callable[..., _Result], *args: Any, certain: bool = False) -> _Result:
        """Not abandoned when cancelled: the file would be closed, and its number given to another, under a running write.

        anyio shields the call from cancel scopes only; a group waits for its task when `Task.cancel()` is called, too.
        `certain`: made also when it is cancelled before its turn comes.
        """
        results: list[_Result] = []
        failures: list[Exception] = []

        async def work() -> None:
            try:
                with anyio.CancelScope(shield=certain):
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


# Where a file cannot be read or written by position, seeking and what follows have to be one.
_SEEKING = threading.Lock()


def read_at(file: int, offset: int, length: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(file, length, offset)
    with _SEEKING:
        os.lseek(file, offset, os.SEEK_SET)
        return os.read(file, length)


def write_at(file: int, offset: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        if hasattr(os, "pwrite"):
            written = os.pwrite(file, view, offset)
        else:
            with _SEEKING:
                os.lseek(file, offset, os.SEEK_SET)
                written = os.write(file, view)
        view = view[written:]
        offset += written
