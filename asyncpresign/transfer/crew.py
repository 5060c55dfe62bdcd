"""Tasks within one item: a few that work through its pieces and stop together, and one that is not broken off.

Also the boundary to code that is not ours: what signers, credential sources, iterables, files and callbacks may raise.
"""

from __future__ import annotations

import asyncio
import re
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self, TypeVar

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from .._redaction import SHOWN as READ
from ..errors import PresignError, TransferError, redact

_Piece = TypeVar("_Piece")

# Characters of a foreign exception's own message that are shown.
SHOWN = 300
_SEPARATORS = r"[/\\]"


class Caught:
    """A context that keeps what is raised inside, as `failure`; cancelling the task that is inside passes.

    A `CancelledError` that is raised although nobody cancelled this task, because code that was called awaited a task of its
    own that was cancelled, is a failure like any other: a task group takes it for a task that ended well.
    """

    __slots__ = ("failure",)

    def __init__(self) -> None:
        self.failure: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if isinstance(error, asyncio.CancelledError) and not is_being_cancelled():
            self.failure = TransferError(f"CancelledError ({_place(error)}), although nothing was cancelled")
        elif isinstance(error, Exception):
            self.failure = error
        return self.failure is not None


def is_being_cancelled() -> bool:
    """Whether the current task was asked to stop, so that a `CancelledError` in it is meant for it."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def as_presign_error(error: Exception) -> PresignError:
    """`error`, or the error of ours that stands for one that nobody expected: its type, place and redacted message.

    It is not chained: the original's text, which a traceback shows, can hold a URL.
    """
    if isinstance(error, PresignError):
        return error
    try:
        text = redact(str(error)[:READ])[:SHOWN]
    except Exception as failure:  # noqa: BLE001 (an exception that cannot even be shown)
        text = f"its text raised {type(failure).__name__}"
    return TransferError(f"unexpected {type(error).__name__} ({_place(error)}){f': {text}' if text else ''}")


def _place(error: BaseException) -> str:
    """File and line where `error` was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{re.split(_SEPARATORS, frames[-1].filename)[-1]}:{frames[-1].lineno}" if frames else "nowhere"


class Tasks:
    """The tasks of an `open_tasks` block."""

    def __init__(self, start: Callable[..., object], scope: anyio.CancelScope, failures: list[BaseException]) -> None:
        self._start = start
        self._scope = scope
        self._failures = failures

    def start_soon(self, work: Callable[..., Awaitable[None]], *arguments: object) -> None:
        self._start(self._run, work, *arguments)

    def cancel(self) -> None:
        """Cancel the tasks and the body of the block."""
        self._scope.cancel()

    async def _run(self, work: Callable[..., Awaitable[None]], *arguments: object) -> None:
        try:
            await work(*arguments)
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:
            self._failures.append(error)  # before what it causes elsewhere
            if not isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            # asyncio would raise these two out of the event loop, past every `except` of the caller.
            self.cancel()


@asynccontextmanager
async def open_tasks() -> AsyncGenerator[Tasks]:
    """anyio's task group, but the first exception of a task or of the body is raised itself, not an `ExceptionGroup` of it."""
    failures: list[BaseException] = []
    try:
        async with anyio.create_task_group() as group:
            yield Tasks(group.start_soon, group.cancel_scope, failures)
    except BaseExceptionGroup as wrapped:  # the group's own: what the body raises is in it, too
        failures += wrapped.exceptions
    except anyio.get_cancelled_exc_class():
        if not failures:
            raise
    if failures:
        raise failures[0]  # outside of the handler, which would become its context


async def work_through(pieces: Iterable[_Piece], workers: int, work: Callable[[_Piece], Awaitable[None]]) -> None:
    """Do `work` on all `pieces`, at most `workers` at once, begun in order.

    The first failure stops the others and is raised when they have ended, as it is: a task group would wrap it.
    """
    left = iter(pieces)
    failures: list[Exception] = []
    unfinished = 0

    async def run() -> None:
        nonlocal unfinished
        with Caught() as caught:
            for piece in left:
                unfinished += 1
                await work(piece)
                unfinished -= 1
        if caught.failure is not None:
            failures.append(caught.failure)
            tasks.cancel()

    async with open_tasks() as tasks:
        for _ in range(workers):
            tasks.start_soon(run)
    if failures:
        raise failures[0]
    if unfinished or next(left, None) is not None:
        raise broken_off()


def broken_off() -> TransferError:
    """The error of work whose task was cancelled alone: a task group takes that for its end, and goes on."""
    return TransferError("a task of this item was cancelled, although the item was not")


async def finish(work: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Do `work`, which must not be broken off once it is begun: a caller who is cancelled waits for it up to `seconds`."""
    caught = Caught()
    ended = anyio.Event()
    scope = anyio.CancelScope(shield=True)
    finished = False

    async def run() -> None:
        nonlocal finished
        try:
            with caught:
                await checkpoint_if_cancelled()
                with scope:
                    await work()
                    finished = True
        finally:
            ended.set()

    async with open_tasks() as tasks:
        tasks.start_soon(run)
        try:
            await ended.wait()
        except anyio.get_cancelled_exc_class():
            scope.deadline = anyio.current_time() + seconds
            raise
    if caught.failure is not None:
        raise caught.failure
    if not finished:
        raise broken_off()
