"""Cancels a piece of work at every await it makes, one after the other, and has what is left looked at each time.

`at_its_awaits` counts those of the work's own task; `at_every_turn` counts turns of the event loop, so that what its
children are doing is met in every state too, and `by_a_scope` does that with anyio's way of cancelling.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any

import anyio

Make = Callable[[], Coroutine[Any, Any, object]]
Check = Callable[[], Awaitable[None]]
Cancel = Callable[[Make, int], Awaitable[bool]]

# More than any work here makes: a sweep that does not end is a failure of its own.
MOST = 3000


async def sweep(make: Make, check: Check, cancel: Cancel) -> int:
    """Run `make()` anew until `cancel` finds no moment left to cancel it at; `check` after each. Returns how many there were.

    `cancel(make, n)` runs it, cancels it at its n-th moment, and says whether there was one.
    """
    for number in range(1, MOST):
        before = asyncio.all_tasks()
        cancelled = await cancel(make, number)
        await check()
        left = [task for task in asyncio.all_tasks() - before if not task.done()]
        assert left == [], f"left behind when cancelled at moment {number}: {left}"
        if not cancelled:
            return number - 1
    raise AssertionError(f"the work was still not done after {MOST} moments")


async def at_its_awaits(make: Make, number: int) -> bool:
    task: asyncio.Task[object]

    def note(count: int) -> None:
        if count == number:
            # While the task runs: it is what it is about to wait for that is cancelled.
            task.cancel()

    task = asyncio.create_task(_counted(make(), note))
    await asyncio.wait([task])
    return _was_cancelled(task)


async def at_every_turn(make: Make, number: int) -> bool:
    task = asyncio.create_task(make())
    for _ in range(number):
        await asyncio.sleep(0)
        if task.done():
            break
    task.cancel()
    await asyncio.wait([task])
    return _was_cancelled(task)


async def by_a_scope(make: Make, number: int) -> bool:
    """As `at_every_turn`, but it is a cancel scope that is cancelled, which cancels at every await from then on."""
    scope = anyio.CancelScope()

    async def work() -> None:
        with scope:
            await make()

    task = asyncio.create_task(work())
    for _ in range(number):
        await asyncio.sleep(0)
        if task.done():
            break
    scope.cancel()
    await task
    return scope.cancelled_caught


def _was_cancelled(task: asyncio.Task[object]) -> bool:
    """Whether it ended by being cancelled; any other end than that and success fails the test."""
    with suppress(asyncio.CancelledError):
        task.result()
    return task.cancelled()


async def _counted(work: Coroutine[Any, Any, object], note: Callable[[int], None]) -> object:
    return await _drive(work, note)


@types.coroutine
def _drive(work: Coroutine[Any, Any, object], note: Callable[[int], None]) -> Generator[Any, Any, object]:
    """Does what `await work` does, and calls `note` with the number of each wait."""
    count = 0
    step: Callable[[], Any] = lambda: work.send(None)  # noqa: E731
    while True:
        try:
            wanted = step()
        except StopIteration as end:
            return end.value
        count += 1
        note(count)
        try:
            sent = yield wanted
            step = lambda sent=sent: work.send(sent)  # noqa: E731
        except BaseException as error:  # noqa: BLE001 (it is the work's to handle)
            step = lambda error=error: work.throw(error)  # noqa: E731
