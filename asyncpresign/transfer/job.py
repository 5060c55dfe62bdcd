"""One run of many items: each is asked of the journal, moved, written down and told of, in this order."""

from __future__ import annotations

import inspect
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Self, TypedDict, assert_never, cast
from weakref import WeakValueDictionary

import anyio
import anyio.lowlevel

from ..errors import (
    InvalidRequest,
    JournalError,
    LocalFileError,
    PresignError,
    Problem,
    TransferError,
    UnsafePathError,
    UnsupportedRequest,
    describe,
)
from .crew import Caught, as_presign_error
from .exchange import Exchange
from .files import attribute
from .items import Download, Item, Memo, Status, TransferResult
from .journal import Claims, Journal, open_journal
from .report import Event, ItemFinished, ItemProgressed, ItemRetried, ItemStarted, TransferReport
from .rows import KEY_BYTES, State, Verdict, item_key, local_path, path_key, settings_text
from .tree import Locator, absolute

# What claims a path that an open file of the caller's has.
_OPEN_FILE = b"an open file"

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


def _clash(item: Item) -> UnsafePathError:
    expected = "the path of a file that no other item of the run or its journal has"
    return UnsafePathError(Problem("destination", expected, repr(item)))


def _in_use(item: Download) -> UnsafePathError:
    expected = "a file that no other item writes to, by whatever name or object"
    return UnsafePathError(Problem("destination", expected, describe(item.destination)))


class Places:
    """Which local file each download of a run ends in, so that no two different ones end in the same.

    A context, in which a run without a journal notes them; a journal has them in its rows.
    """

    def __init__(self, exchange: Exchange, journal: str | os.PathLike[str] | None = None) -> None:
        self._exchange = exchange
        self._locator = Locator()
        self._turn = anyio.Lock(fast_acquire=True)
        self._claims = Claims()
        # Open files of the caller's that are being written to, by inode, or by object, which is alive as long.
        self._files: set[str | int] = set()
        # Which object of the caller's has the file of an inode or a path.
        self._open: WeakValueDictionary[str, object] = WeakValueDictionary()
        # Downloads under way by their path, and other items by their row in the journal: one at a time of each.
        self._moving: dict[bytes, anyio.Event] = {}
        self._journal = journal
        self._reserved: set[bytes] = set()

    async def __aenter__(self) -> Self:
        if self._journal is not None:
            for suffix in ("", "-wal", "-shm", "-journal"):
                with suppress(OSError, ValueError):
                    path = await self._exchange.threads.look(self._locator.locate, os.fspath(self._journal) + suffix)
                    self._reserved.add(path_key(path))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._claims.aclose()

    def is_reserved(self, path: bytes | None) -> bool:
        """Whether it is the journal's own file."""
        return path in self._reserved

    async def located(self, item: Item) -> str | None:
        """The file that a download ends in; None if there is none, or it cannot be said: then it fails."""
        if not isinstance(item, Download):
            return None
        try:
            path = local_path(item)
            if path is None:
                return None
            # One after the other, so that of two items the first is the first here too.
            async with self._turn:
                return await self._exchange.threads.look(self._locator.locate, path)
        except (OSError, ValueError):
            return None

    async def first(self, item: Item, move: Callable[[], Awaitable[TransferResult]]) -> TransferResult:
        """What `move` says, if `item` is the first that has its destination; a result that says so if it is a later one.

        An equal item waits for the first, and is moved if that one failed.
        """
        if not isinstance(item, Download) or item.destination is None:
            return await move()
        located = await self.located(item)
        if located is None:
            return await self._to_file(item, move)
        if await self._is_open(located):
            return refused(item, _clash(item))
        path, what = path_key(located), self._what(item, located)
        while (earlier := await self._claims.claim(path, what)) is not None:
            if earlier != what:
                return refused(item, _clash(item))
            if not await self.ended(path):
                return TransferResult(item, Status.SKIPPED)
        with self.under_way(path):
            result = await move()
            if result.error is not None:
                await self._claims.forget(path)
        return result

    @contextmanager
    def under_way(self, place: bytes) -> Iterator[None]:
        """While the item of `place` is moved, which no other one is at the same time, `ended` waits for it."""
        ended = self._moving[place] = anyio.Event()
        try:
            yield
        finally:
            del self._moving[place]
            ended.set()

    async def ended(self, place: bytes) -> bool:
        """Wait for the item of `place` that is under way; False if there is none."""
        moving = self._moving.get(place)
        if moving is None:
            return False
        await moving.wait()
        return True

    def _what(self, item: Item, located: str) -> bytes:
        try:
            return item_key(item, absolute, located).what
        except PresignError:
            # Like no other one.
            return secrets.token_bytes(KEY_BYTES)

    async def _to_file(self, item: Download, move: Callable[[], Awaitable[TransferResult]]) -> TransferResult:
        """What goes to an open file of the caller's: one item at a time, and by one object, else the bytes are mixed."""
        async with self._turn:
            inode, path, is_there = await self._exchange.threads.run(self._locator.identify, item.destination)
        file = inode or id(item.destination)
        if file in self._files or self._has_other(inode, item.destination):
            return refused(item, _in_use(item))
        self._files.add(file)
        try:
            if path and not await (self._claim_open(path, item.destination) if is_there else self._is_kept(path)):
                return refused(item, _in_use(item))
            # What has no weak references can be known by its path only.
            with suppress(TypeError):
                self._open.update({key: item.destination for key in (inode, path if is_there else "") if key})
            return await move()
        finally:
            self._files.discard(file)

    def _has_other(self, inode: str, file: object) -> bool:
        """Whether another object of the caller's has the file open; what is closed may have left its inode to a new file."""
        other = self._open.get(inode, file)
        return other is not file and not attribute(other, "closed")

    async def _claim_open(self, path: str, file: object) -> bool:
        """Whether `path` is no item's, or that of an earlier item that went to the same object."""
        earlier = await self._claims.claim(path_key(path), _OPEN_FILE)
        return earlier is None or (earlier == _OPEN_FILE and self._open.get(path) is file)

    async def _is_kept(self, path: str) -> bool:
        """Whether no item of the run put another file in the place of the one that was opened at `path`."""
        return await self._claims.holder(path_key(path)) in (None, _OPEN_FILE)

    async def _is_open(self, path: str) -> bool:
        """Whether the file at `path`, which is to be replaced, is one that the caller has given open, for another item."""
        return bool(self._open) and self._has_other(await self._exchange.threads.look(self._locator.inode, path), None)


class Job:
    """What a run does with an item. `scope` is cancelled when the run cannot go on, because of `failure`."""

    def __init__(
        self,
        exchange: Exchange,
        move: Move,
        journal: Journal | None,
        on_event: OnEvent | None,
        report: TransferReport,
        places: Places,
    ) -> None:
        self._exchange = exchange
        self._move = move
        self._journal = journal
        self._on_event = on_event
        self._report = report
        self._places = places
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
            return await self._places.first(item, lambda: self._moved(item, None))
        try:
            key = item_key(item, absolute, await self._places.located(item))
        except (InvalidRequest, LocalFileError) as error:
            return refused(item, error)
        if self._places.is_reserved(key.path):
            return refused(item, _clash(item))
        verdict, memo = await self._journal.begin(key)
        place = key.path or key.row
        while verdict is Verdict.WAIT and await self._places.ended(place):
            verdict, memo = await self._journal.begin(key)
        match verdict:
            case Verdict.MOVE:
                with self._places.under_way(place):
                    result = await self._moved(item, memo)
                    await self._journal.end(key, State.DONE if result.error is None else State.FAILED, result.size)
                return result
            case Verdict.WAIT:
                return refused(item, TransferError("an equal item of this run has no outcome"))
            case Verdict.SKIP:
                return TransferResult(item, Status.SKIPPED)
            case Verdict.REFUSE:
                expected = "an id that no other item of the job has or had"
                return refused(item, InvalidRequest(Problem("id", expected, describe(item.id))))
            case Verdict.CLASH:
                return refused(item, _clash(item))
            case Verdict.DAMAGED:
                return refused(item, JournalError("the item's row in the journal is damaged; a new job needs a new file"))
        assert_never(verdict)

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
