"""What a run has proven, written down so that the same call again does only the rest, whatever ended the process.

A journal is one SQLite file in WAL mode, locked for as long as a run has it, with a row an item: first that the item was
begun, then that it is done, and for big ones what is there of it already. What a row means is in `rows`. `Book` is SQLite,
and blocks; `Journal` calls it in a thread, one transaction for all that wait.

A row says done only after its item is: what was done and not yet written down when the process died is done again.
https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import anyio

from ..errors import JournalError, redact
from .files import Threads
from .items import Memo
from .rows import ItemKey, Row, State, Verdict, job_problem, verdict

FORMAT = 1
APPLICATION = int.from_bytes(b"apjl")
# A row's place is by chance, so every row of a transaction is in a page of its own: small pages, written back late, halve
# what an item costs. Bytes, pages, and KiB.
PAGE = 1024
CHECKPOINT = 16 * 1024
CACHE = 16 * 1024

_TABLES = (
    f"pragma application_id = {APPLICATION}",
    f"pragma user_version = {FORMAT}",
    "create table job (name text not null, settings text not null, salt text not null, run integer not null)",
    """create table item (key blob primary key, what blob not null, run integer not null, state integer not null,
    size integer not null, memo text) without rowid""",
)


# --- SQLite -----------------------------------------------------------------------------------------------------------


class Book:
    """The file. Every call blocks; one thread at a time. Raises `JournalError`."""

    def __init__(self, path: str, job: str, settings: str) -> None:
        self._path = path
        self.commits: int = 0
        self.run: int
        self.salt: str
        with self._as_journal_error():
            self._connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            with self._as_journal_error():
                empty = self._lock()
                self._tune()
                self.run, self.salt = self._enter(empty, redact(job), settings)
        except JournalError:
            self._connection.close()
            raise

    def _lock(self) -> bool:
        """Whether the file, which nobody else can open from here on until this process ends, is a new one."""
        ask = self._connection.execute
        # Of a file that is made, and only before it is looked at.
        ask(f"pragma page_size = {PAGE}")
        ask("pragma locking_mode = exclusive")
        ask("begin exclusive")
        application, version = (ask(f"pragma {name}").fetchone()[0] for name in ("application_id", "user_version"))
        empty: bool = ask("select count(*) from sqlite_master").fetchone()[0] == 0
        ask("commit")
        if not empty and (application, version) != (APPLICATION, FORMAT):
            what = (
                f"a journal in format {version}, not {FORMAT}" if application == APPLICATION else "another program's database"
            )
            raise self._refused(what)
        return empty

    def _tune(self) -> None:
        ask = self._connection.execute
        ask("pragma journal_mode = wal")
        ask(f"pragma wal_autocheckpoint = {CHECKPOINT}")
        ask(f"pragma cache_size = -{CACHE}")
        # Safe from the death of the process at once, from that of the machine at the next checkpoint.
        ask("pragma synchronous = normal")

    def _enter(self, empty: bool, job: str, settings: str) -> tuple[int, str]:
        """The number of this run, and what makes the names of temporary files this journal's own."""
        ask = self._connection.execute
        ask("begin")
        if empty:
            for statement in _TABLES:
                ask(statement)
            ask("insert into job values (?, ?, ?, 0)", (job, settings, secrets.token_hex(4)))
        elif (damage := ask("pragma quick_check(1)").fetchone()[0]) != "ok":
            raise self._refused(f"damaged: {damage}")
        name, told, salt, run = ask("select name, settings, salt, run from job").fetchone()
        if problem := job_problem((name, told), job, settings):
            raise self._refused(problem)
        ask("update job set run = run + 1")
        ask("commit")
        return run + 1, salt

    def apply(self, calls: Sequence[Call]) -> None:
        """Make all `calls` in one transaction. Their answers are there when it is committed, and only then."""
        with self._as_journal_error():
            self._connection.execute("begin")
            answers = [call.of(*call.args) for call in calls]
            self._connection.execute("commit")
        self.commits += 1
        for call, answer in zip(calls, answers, strict=True):
            call.answer.append(answer)

    def begin(self, key: ItemKey) -> tuple[Verdict, str | None]:
        """What to do about an item, and what its last run left; noted as begun if it is to be moved."""
        found = self._connection.execute("select what, run, state, memo from item where key = ?", (key.row,)).fetchone()
        row = None if found is None else Row(found[0], found[1], State(found[2]), found[3])
        told = verdict(row, key.what, self.run)
        if row is None:
            self._connection.execute("insert into item values (?, ?, ?, 0, 0, null)", (key.row, key.what, self.run))
        elif told is Verdict.MOVE:
            self._connection.execute("update item set run = ?, state = 0 where key = ?", (self.run, key.row))
        return told, None if row is None else row.memo

    def end(self, key: ItemKey, state: State, size: int) -> None:
        # What is left of a failed item may still serve the next run.
        memo = "memo = null, " if state is State.DONE else ""
        self._connection.execute(f"update item set {memo}state = ?, size = ? where key = ?", (state, size, key.row))

    def save(self, key: ItemKey, memo: str | None) -> None:
        self._connection.execute("update item set memo = ? where key = ?", (memo, key.row))

    def counts(self) -> dict[State, int]:
        rows = self._connection.execute("select state, count(*) from item group by state").fetchall()
        return {State(state): count for state, count in rows}

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.close()

    @contextmanager
    def _as_journal_error(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
                raise JournalError(f"{self._path}: in use by another run") from None
            raise self._refused(str(error)) from None
        except (TypeError, ValueError) as error:
            raise self._refused(f"damaged: {type(error).__name__}") from None

    def _refused(self, why: str) -> JournalError:
        return JournalError(f"{self._path}: {why}; a new job needs a new file")


# --- in the event loop ------------------------------------------------------------------------------------------------


class Call:
    """A call of `Book`'s, and its answer once the transaction that it is part of is committed."""

    __slots__ = ("answer", "args", "of")

    def __init__(self, of: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.of: Callable[..., Any] = of
        self.args: tuple[Any, ...] = args
        self.answer: list[Any] = []


class Journal:
    """A `Book` for many tasks: whoever comes first writes for all that wait behind it."""

    def __init__(self, book: Book, threads: Threads) -> None:
        self._book = book
        self._threads = threads
        self._lock = anyio.Lock(fast_acquire=True)
        self._waiting: list[Call] = []
        self._failure: JournalError | None = None

    async def begin(self, key: ItemKey) -> tuple[Verdict, Memo]:
        told, text = await self._ask(self._book.begin, key)
        return told, _Memo(self, key, f"{self._book.salt}{key.what.hex()}", None if text is None else json.loads(text))

    async def end(self, key: ItemKey, state: State, size: int) -> None:
        await self._ask(self._book.end, key, state, size)

    async def save(self, key: ItemKey, state: Mapping[str, Any] | None) -> None:
        await self._ask(self._book.save, key, None if state is None else json.dumps(state))

    async def _ask(self, of: Callable[..., Any], *args: Any) -> Any:
        call = Call(of, args)
        self._waiting.append(call)
        async with self._lock:
            if not call.answer:
                await self._write()
        return call.answer[0]

    async def _write(self) -> None:
        if self._failure is not None:
            raise self._failure
        calls, self._waiting = self._waiting, []
        try:
            # Also for those who are cancelled now: what they moved is moved.
            await self._threads.run(self._book.apply, calls, certain=True)
        except JournalError as error:
            self._failure = error
            raise

    def close(self) -> None:
        """Write what was cancelled while it waited, and close the file. Blocks."""
        if self._failure is None and self._waiting:
            with suppress(JournalError):
                self._book.apply(self._waiting)
        self._book.close()


class _Memo:
    """See `Memo`."""

    def __init__(self, journal: Journal, key: ItemKey, token: str, state: Mapping[str, Any] | None) -> None:
        self._journal = journal
        self._key = key
        self.token = token
        self.state = state

    async def save(self, state: Mapping[str, Any] | None) -> None:
        await self._journal.save(self._key, state)
        self.state = state


@asynccontextmanager
async def open_journal(path: str, job: str, settings: str) -> AsyncIterator[Journal]:
    """The journal at `path`, made if there is none, for one run of `job`. Raises `JournalError`."""
    threads = Threads(1)
    opened: list[Journal] = []

    def begin() -> None:
        opened.append(Journal(Book(path, job, settings), threads))

    def end() -> None:
        for journal in opened:
            journal.close()

    try:
        # Kept by the thread: when it is cancelled here the file has been opened all the same.
        await threads.run(begin)
        yield opened[0]
    finally:
        await threads.run(end, certain=True)
