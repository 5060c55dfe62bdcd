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

from ..errors import InvalidRequest, Problem, describe
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
        self.failure: Exception | None = None

    async def next(self) -> Any:
        """The next item, or `_END`: also after the iterable has failed, with what, `failure` says."""
        async with self._turn:
            if self._ended:
                return _END
            try:
                item = await self._next()
            except Exception as error:  # noqa: BLE001 (the caller's own; it is raised to who reads the results)
                self.failure, item = error, _END
            self._ended = item is _END
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

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TransferResult:
        try:
            try:
                # What is there already is taken at once: `receive` would let everybody else run first.
                return self._receiver.receive_nowait()
            except anyio.WouldBlock:
                return await self._receiver.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            if self._queue.failure is not None:
                raise self._queue.failure from None
            raise StopAsyncIteration from None


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
