"""Results of many items in the order they are completed: how many workers there are, and that none is left behind."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, closing, suppress
from typing import Any, Self

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from ..errors import InvalidRequest, Problem, TransferError, describe
from .crew import Caught, as_presign_error, open_tasks
from .items import Item, TransferResult

_END: Any = object()


class _Queue:
    """The items not yet begun, of any kind of iterable; handed out one at a time.

    An asynchronous iterable is advanced by `fill` alone, in one task: a generator may hold a cancel scope across its `yield`s,
    which has to be left in the task that entered it.
    """

    def __init__(self, items: Iterable[Item] | AsyncIterable[Item]) -> None:
        if not isinstance(items, Iterable | AsyncIterable) or isinstance(items, str | bytes):
            raise InvalidRequest(Problem("items", "an iterable or async iterable of items", describe(items)))
        self._async = aiter(items) if isinstance(items, AsyncIterable) else None
        self._sync = None if isinstance(items, AsyncIterable) else iter(items)
        self._sender, self._receiver = anyio.create_memory_object_stream[Item](0)
        self._ended = False
        self.taken = 0
        self.failure: Exception | None = None

    async def next(self) -> Any:
        """The next item, or `_END`; after the iterable has raised too, with `failure` as what it raised."""
        item = _END
        if self._sync is None:
            with suppress(anyio.EndOfStream):
                item = await self._receiver.receive()
        elif not self._ended:
            with Caught() as caught:
                item = next(self._sync, _END)
            self._fail(caught.failure)
        self._ended = item is _END
        self.taken += not self._ended
        return item

    async def fill(self) -> None:
        """Advance an asynchronous iterable as its items are taken."""
        if self._async is None:
            return
        ended = False
        with self._sender:
            try:
                with Caught() as caught:
                    while (item := await anext(self._async, _END)) is not _END:
                        await self._sender.send(item)
                self._fail(caught.failure)
                ended = True
            finally:
                if not ended:
                    # This task alone was cancelled, by a timeout of the iterable's own, say; else nobody looks.
                    self.failure = TransferError("reading the items was cancelled by what yields them")
                    await self._close()

    async def _close(self) -> None:
        """A generator's scopes are left in the task that entered them."""
        close = getattr(self._async, "aclose", None)
        if close is not None:
            # Without a scope around it: the generator's own, which it leaves now, are the innermost.
            with Caught():
                await close()

    def close(self) -> None:
        self._sender.close()
        self._receiver.close()

    def _fail(self, failure: Exception | None) -> None:
        # Raised again, a StopIteration would end its caller's loop as if all were well.
        stops = isinstance(failure, StopIteration | StopAsyncIteration)
        self.failure = as_presign_error(failure) if failure is not None and stops else failure


class _Results:
    """The results as they come; not a generator, so that leaving it anywhere leaves nothing suspended."""

    def __init__(self, receiver: MemoryObjectReceiveStream[TransferResult], queue: _Queue) -> None:
        self._receiver = receiver
        self._queue = queue
        self._given = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TransferResult:
        try:
            try:
                # What is there already is taken at once: `receive` would let everybody else run first.
                result = self._receiver.receive_nowait()
            except anyio.WouldBlock:
                result = await self._receiver.receive()
        except anyio.EndOfStream:
            if self._queue.failure is not None:
                raise self._queue.failure from None
            if self._given != self._queue.taken:
                raise TransferError(f"{self._queue.taken - self._given} items have no outcome") from None
            raise StopAsyncIteration from None
        except anyio.ClosedResourceError:
            raise StopAsyncIteration from None
        self._given += 1
        return result


@asynccontextmanager
async def results_of(
    items: Iterable[Item] | AsyncIterable[Item], outcome: Callable[[Item], Awaitable[TransferResult]], workers: int
) -> AsyncGenerator[AsyncIterator[TransferResult]]:
    """What `outcome` says of each of `items`, `workers` of which are asked at once; see `Transfer.stream`."""
    queue = _Queue(items)
    sender, receiver = anyio.create_memory_object_stream[TransferResult](workers)
    with sender, receiver, closing(queue):
        async with open_tasks() as tasks:
            tasks.start_soon(_work_through, queue, sender, outcome, workers)
            yield _Results(receiver, queue)
            tasks.cancel()


async def _work_through(
    queue: _Queue,
    sender: MemoryObjectSendStream[TransferResult],
    outcome: Callable[[Item], Awaitable[TransferResult]],
    workers: int,
) -> None:
    """All of `queue`; the results end when the last worker has."""

    async def work() -> None:
        while (item := await queue.next()) is not _END:
            result = await outcome(item)
            try:
                sender.send_nowait(result)
            except anyio.WouldBlock:
                await sender.send(result)

    with sender:
        async with open_tasks() as tasks:
            tasks.start_soon(queue.fill)
            for _ in range(workers):
                tasks.start_soon(work)
