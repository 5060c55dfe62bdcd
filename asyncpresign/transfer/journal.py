"""What a run has proven, written down so that the same call again does only the rest, whatever ended the process.

A journal is one SQLite file in WAL mode, locked for as long as a run has it, with a row an item: first that the item was
begun, then that it is done, and for big ones what is there of it already. What a row means is in `rows`. `Book` is SQLite,
and blocks; `Journal` calls it in a thread, one transaction for all that wait.

A row says done only after its item is: what was done and not yet written down when the process died is done again.
https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Generic, Protocol, TypeVar

import anyio

from ..errors import JournalError, redact
from .files import Threads
from .items import Memo
from .rows import ItemKey, Row, State, Verdict, job_problem, row_of, verdict

FORMAT = 2
APPLICATION = int.from_bytes(b"apjl")
# A row's place is by chance, so every row of a transaction is in a page of its own: small pages, written back late, halve
# what an item costs. Bytes, pages, and KiB.
PAGE = 1024
CHECKPOINT = 16 * 1024
CACHE = 16 * 1024
# Paths that a run without a journal keeps in memory, about 20 MB, before it writes them down.
MOST_IN_MEMORY = 100_000
_SALT = re.compile("[0-9a-f]{8}").fullmatch

_TABLES = (
    f"pragma application_id = {APPLICATION}",
    f"pragma user_version = {FORMAT}",
    "create table job (name text not null, settings text not null, salt text not null, run integer not null)",
    """create table item (key blob primary key, what blob not null, run integer not null, state integer not null,
    size integer not null, memo text, path blob) without rowid""",
    "create unique index item_path on item (path) where path is not null",
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
        # The salt names files, so it must outlive them.
        ask("pragma synchronous = full")

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
        if not isinstance(run, int) or not isinstance(salt, str) or not _SALT(salt):
            # The salt is a part of file names.
            raise self._refused("damaged: the row of the job")
        ask("update job set run = run + 1")
        ask("commit")
        # Safe from the death of the process at once, from that of the machine at the next checkpoint.
        ask("pragma synchronous = normal")
        return run + 1, salt

    def apply(self, calls: Sequence[Call]) -> None:
        """Make all `calls` in one transaction. Their answers are there when it is committed, and only then."""
        # A cleared memo must not come back after a loss of power, when its file may be another one.
        clears = any(call.of == self.save and call.args[-1] is None for call in calls)
        with self._as_journal_error():
            if clears:
                self._connection.execute("pragma synchronous = full")
            self._connection.execute("begin")
            answers = [call.of(*call.args) for call in calls]
            self._connection.execute("commit")
            if clears:
                self._connection.execute("pragma synchronous = normal")
        self.commits += 1
        for call, answer in zip(calls, answers, strict=True):
            call.answer.append(answer)

    def begin(self, key: ItemKey) -> tuple[Verdict, Mapping[str, Any] | None]:
        """What to do about an item, and what its last run left; noted as begun if it is to be moved."""
        ask = self._connection.execute
        try:
            row = self._row("key = ?", key.row)
            holder = None if key.path is None else self._row("path = ? and key <> ?", key.path, key.row)
        except ValueError:
            return Verdict.DAMAGED, None
        told = verdict(row, key.what, self.run, holder)
        if told is Verdict.MOVE:
            if holder is not None:
                ask("update item set path = null where path = ?", (key.path,))
            if row is None:
                ask("insert into item values (?, ?, ?, 0, 0, null, ?)", (key.row, key.what, self.run, key.path))
            else:
                ask("update item set run = ?, state = 0, path = ? where key = ?", (self.run, key.path, key.row))
        return told, None if row is None else row.memo

    def _row(self, condition: str, *values: bytes) -> Row | None:
        # A memo that is no text fails to be read as one, and not only to be understood.
        found = self._connection.execute(
            f"select what, run, state, cast(memo as blob) from item where {condition}",
            values,
        ).fetchone()
        return None if found is None else row_of(found)

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


class _Applies(Protocol):
    def apply(self, calls: Sequence[Call]) -> None: ...

    def close(self) -> None: ...


_Book = TypeVar("_Book", bound=_Applies)


class Batches(Generic[_Book]):
    """A database for many tasks: whoever comes first writes for all that wait behind it."""

    def __init__(self, book: _Book, threads: Threads) -> None:
        self._book = book
        self._threads = threads
        self._lock = anyio.Lock(fast_acquire=True)
        self._waiting: list[Call] = []
        self._failure: JournalError | None = None

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


class Journal(Batches[Book]):
    """A `Book` for many tasks."""

    async def begin(self, key: ItemKey) -> tuple[Verdict, Memo]:
        told, state = await self._ask(self._book.begin, key)
        return told, _Memo(self, key, f"{self._book.salt}{key.what.hex()}", state)

    async def end(self, key: ItemKey, state: State, size: int) -> None:
        await self._ask(self._book.end, key, state, size)

    async def save(self, key: ItemKey, state: Mapping[str, Any] | None) -> None:
        await self._ask(self._book.save, key, None if state is None else json.dumps(state))


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


# --- paths of a run without a journal ---------------------------------------------------------------------------------


class _PathBook:
    """A temporary database of paths, and what the first item of each moves; gone when it is closed. Every call blocks."""

    def __init__(self, known: Mapping[bytes, bytes]) -> None:
        self._connection = sqlite3.connect("", timeout=0, isolation_level=None, check_same_thread=False)
        with _as_error():
            ask = self._connection.execute
            for setting in ("journal_mode = off", "synchronous = off", f"page_size = {PAGE}", f"cache_size = -{CACHE}"):
                ask(f"pragma {setting}")
            ask("create table place (path blob primary key, what blob) without rowid")
            ask("begin")
            self._connection.executemany("insert into place values (?, ?)", sorted(known.items()))
            ask("commit")

    def apply(self, calls: Sequence[Call]) -> None:
        with _as_error():
            self._connection.execute("begin")
            for call in calls:
                call.answer.append(call.of(*call.args))
            self._connection.execute("commit")

    def claim(self, path: bytes, what: bytes) -> bytes | None:
        ask = self._connection.execute
        if ask("insert or ignore into place values (?, ?)", (path, what)).rowcount:
            return None
        return self.holder(path)

    def holder(self, path: bytes) -> bytes | None:
        found = self._connection.execute("select what from place where path = ?", (path,)).fetchone()
        return None if found is None else found[0]

    def forget(self, path: bytes) -> None:
        self._connection.execute("delete from place where path = ?", (path,))

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.close()


@contextmanager
def _as_error() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise JournalError(f"the temporary index of paths cannot be written: {error}") from None


class _PathBatches(Batches[_PathBook]):
    async def claim(self, path: bytes, what: bytes) -> bytes | None:
        earlier: bytes | None = await self._ask(self._book.claim, path, what)
        return earlier

    async def holder(self, path: bytes) -> bytes | None:
        earlier: bytes | None = await self._ask(self._book.holder, path)
        return earlier

    async def forget(self, path: bytes) -> None:
        await self._ask(self._book.forget, path)


class Claims:
    """Which item of a run has which path: the first that claims it. In memory first, then in a temporary file."""

    def __init__(self, most_in_memory: int = MOST_IN_MEMORY) -> None:
        self._most = most_in_memory
        self._known: dict[bytes, bytes] = {}
        self._is_full = False
        self._threads = Threads(1)
        self._opening = anyio.Lock(fast_acquire=True)
        self._opened: list[_PathBatches] = []

    async def claim(self, path: bytes, what: bytes) -> bytes | None:
        """What the item moves that has `path` already; None if this is the first."""
        if not self._is_full:
            earlier = self._known.get(path)
            if earlier is None:
                self._known[path] = what
                self._is_full = len(self._known) >= self._most
            return earlier
        return await (await self._file()).claim(path, what)

    async def holder(self, path: bytes) -> bytes | None:
        """What the item moves that has `path`; None if it is free."""
        return await (await self._file()).holder(path) if self._is_full else self._known.get(path)

    async def forget(self, path: bytes) -> None:
        """`path`, which was claimed, is free again."""
        if self._is_full:
            await (await self._file()).forget(path)
        else:
            del self._known[path]

    async def _file(self) -> _PathBatches:
        async with self._opening:
            if not self._opened:
                await self._threads.run(self._open)
        return self._opened[0]

    def _open(self) -> None:
        self._opened.append(_PathBatches(_PathBook(self._known), self._threads))
        self._known = {}

    async def aclose(self) -> None:
        for batches in self._opened:
            await self._threads.run(batches.close, certain=True)
