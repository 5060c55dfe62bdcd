"""Calls that block: in how few threads, never abandoned, and in the loop only while the disk is quick."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import anyio
import pytest

from asyncpresign.transfer.files import CAUTION, CHUNK, MOST_CAUTION, SMALL, Threads, read_at, write_at

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")


def open_files() -> list[str]:
    return sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else []


SIZES = [0, 1, SMALL - 1, SMALL, SMALL + 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7]


def pattern(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


@pytest.mark.parametrize("how", ["task.cancel", "cancel scope"])
async def test_a_call_that_runs_is_never_abandoned(how: str) -> None:
    """Otherwise its file would be closed under it, and its number given to another."""
    threads = Threads(1)
    running, go = threading.Event(), threading.Event()
    log: list[str] = []

    def block() -> None:
        running.set()
        go.wait(10)
        log.append("call ended")

    async def call() -> None:
        try:
            with scope:
                await threads.run(block)
        finally:
            log.append("await ended")

    scope = anyio.CancelScope()
    task = asyncio.create_task(call())
    while not running.is_set():
        await asyncio.sleep(0)
    for _ in range(3):
        (scope if how == "cancel scope" else task).cancel()
        await asyncio.sleep(0)
    go.set()
    await asyncio.wait([task])
    assert log == ["call ended", "await ended"]
    assert task.cancelled() == (how == "task.cancel")


async def test_no_more_threads_than_the_limit() -> None:
    threads = Threads(2)
    lock = threading.Lock()
    now = most = 0
    together = threading.Barrier(2)

    def work() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        together.wait(5)
        with lock:
            now -= 1

    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(threads.run, work)
    assert most == 2


class Disk:
    """Calls that take, on this clock, as many seconds as `pace` says; it writes down which left the loop."""

    def __init__(self) -> None:
        self.pace = self.now = 0.0
        self.in_loop: list[bool] = []
        self._loop = threading.get_ident()

    def clock(self) -> float:
        return self.now

    def call(self, value: int) -> int:
        self.now += self.pace
        self.in_loop.append(threading.get_ident() == self._loop)
        return value

    async def calls(self, threads: Threads, count: int) -> list[bool]:
        self.in_loop.clear()
        for value in range(count):
            assert await threads.brief(self.call, value) == value
        return self.in_loop


async def test_a_quick_disk_is_used_in_the_loop_once_it_has_shown_to_be() -> None:
    disk = Disk()
    assert await disk.calls(Threads(1, disk.clock), 5) == [False] * CAUTION + [True] * (5 - CAUTION)


async def test_a_slow_disk_never_holds_the_loop() -> None:
    disk = Disk()
    disk.pace = 0.05
    assert await disk.calls(Threads(1, disk.clock), 20) == [False] * 20


async def test_a_disk_that_becomes_slow_holds_the_loop_once_and_is_trusted_later_each_time() -> None:
    disk = Disk()
    threads = Threads(1, disk.clock)
    await disk.calls(threads, CAUTION)
    caution = CAUTION
    for _ in range(12):
        disk.pace = 0.05
        assert await disk.calls(threads, 3) == [True, False, False]
        disk.pace = 0.0
        caution = min(2 * caution, MOST_CAUTION)
        assert await disk.calls(threads, caution) == [False] * caution
    disk.pace = 0.0
    assert await disk.calls(threads, MOST_CAUTION) == [True] * MOST_CAUTION
    # What was quick that often is trusted again as it was at first.
    disk.pace = 0.05
    assert await disk.calls(threads, 1) == [True]
    disk.pace = 0.0
    assert await disk.calls(threads, 2 * CAUTION + 1) == [False] * 2 * CAUTION + [True]


async def test_calls_made_at_once_count_no_less() -> None:
    disk = Disk()
    threads = Threads(4, disk.clock)
    async with anyio.create_task_group() as tasks:
        for value in range(20):
            tasks.start_soon(threads.brief, disk.call, value)
    assert await disk.calls(threads, 3) == [True] * 3


async def test_what_fails_in_the_loop_or_out_of_it_is_raised_as_it_is() -> None:
    threads = Threads(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await threads.brief(divmod, 1, 0)


def test_files_are_read_and_written_by_position(tmp_path: Path) -> None:
    file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        write_at(file, 3, b"def")
        write_at(file, 0, b"abc")
        assert (read_at(file, 2, 2), read_at(file, 6, 1)) == (b"cd", b"")
    finally:
        os.close(file)
