"""Many pieces of one item: how many at once, in which order, and what a failure stops."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from anyio.lowlevel import checkpoint

from asyncpresign import TransferError
from asyncpresign.transfer.crew import finish, work_through


async def test_all_pieces_are_worked_on_in_order_and_not_too_many_at_once() -> None:
    begun: list[int] = []
    running: set[int] = set()
    most = 0

    async def work(piece: int) -> None:
        nonlocal most
        begun.append(piece)
        running.add(piece)
        most = max(most, len(running))
        for _ in range(piece % 3):
            await checkpoint()
        running.remove(piece)

    await work_through(range(20), 4, work)
    assert (begun, most, running) == (list(range(20)), 4, set())


async def test_a_failure_stops_the_others_and_is_raised_as_it_is() -> None:
    stopped: list[int] = []
    begun: list[int] = []

    async def work(piece: int) -> None:
        begun.append(piece)
        if piece == 2:
            await checkpoint()
            raise LookupError("the third")
        try:
            await anyio.sleep_forever()
        finally:
            stopped.append(piece)

    with pytest.raises(LookupError, match="the third"):
        await work_through(range(100), 3, work)
    assert (sorted(begun), sorted(stopped)) == ([0, 1, 2], [0, 1])


async def test_being_cancelled_is_no_failure() -> None:
    with anyio.CancelScope() as scope:

        async def work(piece: int) -> None:
            scope.cancel()
            await checkpoint()

        await work_through(range(3), 3, work)
    assert scope.cancelled_caught


async def test_no_pieces() -> None:
    await work_through([], 3, lambda piece: checkpoint())


# --- what must not be broken off --------------------------------------------------------------------------------------


async def test_what_fails_fails_as_it_is() -> None:
    async def work() -> None:
        await checkpoint()
        raise LookupError("the work's own")

    with pytest.raises(LookupError, match="the work's own"):
        await finish(work, 5)


async def test_a_caller_who_is_cancelled_waits_for_the_end_and_goes_no_further() -> None:
    done: list[str] = []

    async def work() -> None:
        scope.cancel()
        for _ in range(5):
            await checkpoint()
        done.append("work")

    with anyio.CancelScope() as scope:
        await finish(work, 60)
        done.append("caller")
    assert (done, scope.cancelled_caught) == (["work"], True)


async def test_a_caller_who_is_cancelled_waits_no_longer_than_it_was_told() -> None:
    ended: list[str] = []

    async def work() -> None:
        scope.cancel()
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("work")

    with anyio.CancelScope() as scope:
        await finish(work, 0)
        ended.append("caller")
    assert (ended, scope.cancelled_caught) == (["work"], True)


async def test_nothing_is_begun_for_a_caller_who_is_cancelled_already() -> None:
    begun: list[str] = []

    async def work() -> None:
        begun.append("work")

    with anyio.CancelScope() as scope:
        scope.cancel()
        await finish(work, 60)
    assert (begun, scope.cancelled_caught) == ([], True)


async def test_a_piece_whose_task_is_cancelled_alone_is_not_taken_for_done() -> None:
    """anyio's task group takes a task that was cancelled, by whoever, for one that has ended."""
    done: list[int] = []

    async def work(piece: int) -> None:
        if piece == 1:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await checkpoint()
        done.append(piece)

    with pytest.raises(TransferError, match="cancelled, although the item was not"):
        await work_through(range(4), 2, work)
    assert 1 not in done


async def test_work_whose_task_is_cancelled_alone_is_not_taken_for_finished() -> None:
    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await checkpoint()

    with pytest.raises(TransferError, match="cancelled, although the item was not"):
        await finish(work, 1.0)
