"""One run of many items: each is asked of the journal, moved, written down and told of, in this order."""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from typing import TypedDict, cast

import anyio
import anyio.lowlevel

from ..errors import InvalidRequest, JournalError, PresignError, Problem, TransferError, UnsupportedRequest, describe
from .crew import Caught, as_presign_error
from .exchange import Exchange
from .items import Item, Memo, Status, TransferResult
from .journal import Journal, open_journal
from .report import Event, ItemFinished, ItemProgressed, ItemRetried, ItemStarted, TransferReport
from .rows import State, Verdict, item_key, settings_text
from .tree import absolute

OnEvent = Callable[[Event], object]
Move = Callable[[Exchange, Item], Awaitable[TransferResult]]


class RunOptions(TypedDict, total=False):
    """What `Transfer.run` takes beside the items, and what is made of `run` hands on to it."""

    journal: str | os.PathLike[str] | None
    job: str | None
    fail_fast: bool
    on_event: OnEvent | None
    processes: int


def check_run(journal: object, job: object, on_event: object, processes: object) -> None:
    """Raises `InvalidRequest`, and `UnsupportedRequest` for more than one process."""
    rules = {
        "journal": ("a path", journal, journal is None or (isinstance(journal, str | os.PathLike) and os.fspath(journal))),
        "job": ("a name, beside a journal", job, job is None or (isinstance(job, str) and journal is not None)),
        "on_event": ("a function, not a coroutine", on_event, on_event is None or _is_function(on_event)),
        "processes": ("an int of at least 1", processes, type(processes) is int and processes >= 1),
    }
    problems = [Problem(name, expected, describe(value)) for name, (expected, value, holds) in rules.items() if not holds]
    if problems:
        raise InvalidRequest(*problems)
    if processes != 1:
        raise UnsupportedRequest("a run is one process; start it once a shard, each with a journal of its own")


def _is_function(value: object) -> bool:
    return callable(value) and not inspect.iscoroutinefunction(value)


@dataclass(frozen=True, slots=True)
class Settled:
    """An item whose end is known before it is begun: refused for its name, or of no use."""

    result: TransferResult


def refused(item: Item, error: PresignError) -> TransferResult:
    return TransferResult(item, Status.FAILED, error=error)


def journal_of(
    path: str | os.PathLike[str] | None, job: str | None, exchange: Exchange
) -> AbstractAsyncContextManager[Journal | None]:
    """The journal of a run, which knows it by the job's name and by the settings that change what done means."""
    if path is None:
        return nullcontext()
    settings = {**asdict(exchange.sizes), "require_checksum": exchange.require_checksum}
    return open_journal(absolute(os.fspath(path)), job or "", settings_text(settings))


class Job:
    """What a run does with an item. `scope` is cancelled when the run cannot go on, because of `failure`."""

    def __init__(
        self, exchange: Exchange, move: Move, journal: Journal | None, on_event: OnEvent | None, report: TransferReport
    ) -> None:
        self._exchange = exchange
        self._move = move
        self._journal = journal
        self._on_event = on_event
        self._report = report
        self.scope: anyio.CancelScope = anyio.CancelScope()
        self.failure: Exception | None = None

    async def outcome(self, item: Item | Settled) -> TransferResult:
        """How `item` ended, when it is written down."""
        result = item.result if isinstance(item, Settled) else await self._written_down(item)
        self._tell(ItemFinished(result))
        return result

    async def _written_down(self, item: Item) -> TransferResult:
        with Caught() as caught:
            return await self._recorded(item)
        error = as_presign_error(cast("Exception", caught.failure))
        if not isinstance(error, JournalError):
            return refused(item, error)
        self._fail(error)
        await anyio.lowlevel.checkpoint()
        raise error

    async def _recorded(self, item: Item) -> TransferResult:
        if self._journal is None:
            return await self._moved(item, None)
        try:
            key = item_key(item, absolute)
        except InvalidRequest as error:
            return refused(item, error)
        verdict, memo = await self._journal.begin(key)
        if verdict is Verdict.SKIP:
            return TransferResult(item, Status.SKIPPED)
        if verdict is Verdict.REFUSE:
            expected = "an id that no other item of the job has or had"
            return refused(item, InvalidRequest(Problem("id", expected, describe(item.id))))
        result = await self._moved(item, memo)
        await self._journal.end(key, State.DONE if result.error is None else State.FAILED, result.size)
        return result

    async def _moved(self, item: Item, memo: Memo | None) -> TransferResult:
        self._tell(ItemStarted(item))
        progressed = None if self._on_event is None else lambda size: self._tell(ItemProgressed(item, size))
        return await self._move(self._exchange.of_item(memo, partial(self._retried, item), progressed), item)

    def _retried(self, item: Item, error: TransferError, delay: float) -> None:
        event = ItemRetried(item, error, delay)
        self._report.retries[event.cause] += 1
        self._tell(event)

    def _tell(self, event: Event) -> None:
        if self._on_event is None or self.failure is not None:
            return
        with Caught() as caught:
            self._on_event(event)
        if caught.failure is not None:
            caught.failure.add_note(f"raised by on_event, told of {type(event).__name__}")
            self._fail(caught.failure)

    def _fail(self, error: Exception) -> None:
        self.failure = self.failure or error
        self.scope.cancel()
