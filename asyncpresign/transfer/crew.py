"""A few tasks that work through many pieces of one item, and stop together when one of them fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio

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
