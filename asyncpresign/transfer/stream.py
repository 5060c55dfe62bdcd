"""Results of many items in the order they are completed: how many workers there are, and that none is left behind."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, Self

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from ..errors import InvalidRequest, Problem, TransferError, describe
from .crew import Caught, as_presign_error
from .items import Item, TransferResult

_END: Any = object()


class _Queue:
    """The items not yet begun, of any kind of iterable; handed out one at a time."""

    def __init__(self, items: Iterable[Item] | AsyncIterable[Item]) -> None:
        if not isinstance(items, Iterable | AsyncIterable) or isinstance(items, str | bytes):
            raise InvalidRequest(Problem("items", "an iterable or async iterable of items", describe(items)))
        waits = isinstance(items, AsyncIterable)
        self._next = _async_next(aiter(items)) if isinstance(items, AsyncIterable) else _sync_next(iter(items))
        # An iterable that does not wait cannot be asked by two at once.
        self._turn: AbstractAsyncContextManager[object] = anyio.Lock(fast_acquire=True) if waits else nullcontext()
        self._ended = False
        self.taken = 0
        self.failure: Exception | None = None

    async def next(self) -> Any:
        """The next item, or `_END`; after the iterable has raised too, with `failure` as what it raised."""
        async with self._turn:
            item = _END
            if not self._ended:
                with Caught() as caught:
                    item = await self._next()
                self.failure = caught.failure
                if isinstance(self.failure, StopIteration | StopAsyncIteration):
                    # Raised again, either would end its caller's loop as if all were well.
                    self.failure = as_presign_error(self.failure)
            self._ended = item is _END
            self.taken += not self._ended
            return item


def _sync_next(iterator: Iterator[Item]) -> Callable[[], Awaitable[Any]]:
    async def advance() -> Any:
        return next(iterator, _END)

    return advance


def _async_next(iterator: AsyncIterator[Item]) -> Callable[[], Awaitable[Any]]:
    async def advance() -> Any:
        return await anext(iterator, _END)

    return advance


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
    failure: BaseException | None = None
    with sender, receiver:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_work_through, queue, sender, outcome, workers)
            try:
                yield _Results(receiver, queue)
            except anyio.get_cancelled_exc_class():
                raise
            except BaseException as error:  # noqa: BLE001 (raised below, outside of the task group, which would wrap it)
                failure = error
            tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


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
        async with anyio.create_task_group() as tasks:
            for _ in range(workers):
                tasks.start_soon(work)
