"""Tasks within one item: a few that work through its pieces and stop together, and one that is not broken off."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

_Piece = TypeVar("_Piece")


async def work_through(pieces: Iterable[_Piece], workers: int, work: Callable[[_Piece], Awaitable[None]]) -> None:
    """Do `work` on all `pieces`, at most `workers` at once, begun in order.

    The first failure stops the others and is raised when they have ended, as it is: a task group would wrap it.
    """
    left = iter(pieces)
    failures: list[Exception] = []

    async def run() -> None:
        try:
            for piece in left:
                await work(piece)
        except Exception as error:  # noqa: BLE001 (raised below, outside of the group)
            failures.append(error)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for _ in range(workers):
            tasks.start_soon(run)
    if failures:
        raise failures[0]


async def finish(work: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Do `work`, which must not be broken off once it is begun: a caller who is cancelled waits for it up to `seconds`."""
    failures: list[Exception] = []
    ended = anyio.Event()
    scope = anyio.CancelScope(shield=True)

    async def run() -> None:
        try:
            await checkpoint_if_cancelled()
            with scope:
                await work()
        except Exception as error:  # noqa: BLE001 (raised below, outside of the group)
            failures.append(error)
        finally:
            ended.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        try:
            await ended.wait()
        except anyio.get_cancelled_exc_class():
            scope.deadline = anyio.current_time() + seconds
            raise
    if failures:
        raise failures[0]
