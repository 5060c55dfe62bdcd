"""The journal by itself: which item a row is of, what a row means, who may open the file, and what is in it after a crash."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from asyncpresign import (
    Directory,
    Download,
    FormUpload,
    InvalidRequest,
    JournalError,
    PresignedPost,
    PresignedRequest,
    S3Object,
)
from asyncpresign import Upload as UploadItem
from asyncpresign.transfer.files import Threads
from asyncpresign.transfer.items import Item
from asyncpresign.transfer.journal import APPLICATION, Book, Call, Journal, open_journal
from asyncpresign.transfer.rows import ItemKey, Row, State, Verdict, item_key, job_problem, settings_text, verdict

END = datetime(2026, 11, 24, tzinfo=UTC)
SIGNATURE = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
URL = f"https://Host/bucket/key?X-Amz-Credential=AKID%2Fx&X-Amz-Date=1&X-Amz-Signature={SIGNATURE}"
SETTINGS = settings_text({"require_checksum": False})


def key(item: Any) -> ItemKey:
    return item_key(item, lambda path: f"/here/{path}")


# --- which item -------------------------------------------------------------------------------------------------------

SAME: dict[str, tuple[Item, Item]] = {
    "signed again": (Download(URL, "f"), Download(URL.replace("aeeed9", "000000").replace("Date=1", "Date=2"), "f")),
    "host's case": (Download(URL, "f"), Download(URL.replace("Host", "host"), "f")),
    "a request or its URL": (Download(URL, "f"), Download(PresignedRequest("GET", URL, {"x": "y"}, END), "f")),
    "path or text": (Download(S3Object("b", "k"), Path("f")), Download(S3Object("b", "k"), "f")),
    "options": (Download(S3Object("b", "k"), "f", size=3), Download(S3Object("b", "k"), "f")),
    "bytes": (UploadItem(b"abc", S3Object("b", "k")), UploadItem(b"abc", S3Object("b", "k"))),
    "form": (
        FormUpload("f", PresignedPost("https://h/b", {"key": "k", "x-amz-signature": "1"}, END)),
        FormUpload("f", PresignedPost("https://h/b", {"key": "k", "x-amz-signature": "2"}, END)),
    ),
}
OTHERS: list[Item] = [
    Download(S3Object("b", "k"), "f"),
    Download(S3Object("b", "k"), "g"),
    Download(S3Object("b", "l"), "f"),
    Download(S3Object("c", "k"), "f"),
    Download(S3Object("b", "k", "v1"), "f"),
    Download(S3Object("b", "k"), "f", params={"VersionId": "v2"}),
    Download(S3Object("b", "k"), "f", params={"PartNumber": 2}),
    Download(S3Object("b", "k"), Directory("f")),
    Download(S3Object("b", "k"), Directory("f", name="g")),
    Download(URL, "f"),
    Download(URL.replace("Host", "other"), "f"),
    Download(URL.replace("/key", "/yek"), "f"),
    Download(URL + "&versionId=1", "f"),
    Download(URL + "&partNumber=1", "f"),
    UploadItem("f", S3Object("b", "k")),
    UploadItem(b"f", S3Object("b", "k")),
    UploadItem(b"g", S3Object("b", "k")),
    UploadItem("f", URL),
    UploadItem("f", URL + "&partNumber=1&uploadId=2"),
    UploadItem("f", URL + "&partNumber=1&uploadId=3"),
    FormUpload("f", S3Object("b", "k")),
    FormUpload("f", PresignedPost("https://h/b", {"key": "k"}, END)),
    FormUpload("f", PresignedPost("https://h/b", {"key": "l"}, END)),
]


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME.keys())
def test_the_same_item(one: Item, other: Item) -> None:
    assert key(one) == key(other)


def test_other_items() -> None:
    keys = [key(item) for item in OTHERS]
    assert len({found.row for found in keys}) == len({found.what for found in keys}) == len(OTHERS)


def test_an_id_names_the_row_and_not_what_is_moved() -> None:
    one, other = Download(S3Object("b", "k"), "f", id="1"), Download(S3Object("b", "l"), "f", id="1")
    assert key(one).row == key(other).row != key(one).what
    assert key(one).what != key(other).what


def test_a_path_counts_from_the_working_directory() -> None:
    item = Download(S3Object("b", "k"), "f")
    assert item_key(item, lambda path: f"/a/{path}") != item_key(item, lambda path: f"/b/{path}")


async def chunks() -> AsyncIterator[bytes]:
    yield b"abc"


@pytest.mark.parametrize(
    ("item", "argument"),
    [
        (Download(URL), "destination"),
        (Download(URL, io.BytesIO()), "destination"),
        (UploadItem(io.BytesIO(b"abc"), URL), "source"),
        (UploadItem(chunks(), URL, size=3), "source"),
        (FormUpload(io.BytesIO(b"abc"), S3Object("b", "k")), "source"),
        ("no item", "item"),
    ],
)
def test_what_no_later_run_could_do_again(item: Any, argument: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        key(item)
    assert [problem.argument for problem in caught.value.problems] == [argument]


# --- what a row means -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (None, Verdict.MOVE),
        (Row(b"w", 1, State.BEGUN, None), Verdict.MOVE),
        (Row(b"w", 1, State.FAILED, None), Verdict.MOVE),
        (Row(b"w", 1, State.DONE, None), Verdict.SKIP),
        (Row(b"w", 2, State.DONE, None), Verdict.SKIP),
        (Row(b"w", 2, State.BEGUN, None), Verdict.SKIP),
        (Row(b"w", 2, State.FAILED, None), Verdict.SKIP),
        (Row(b"v", 1, State.DONE, None), Verdict.REFUSE),
        (Row(b"v", 1, State.BEGUN, None), Verdict.REFUSE),
        (Row(b"v", 2, State.BEGUN, None), Verdict.REFUSE),
    ],
)
def test_verdicts(row: Row | None, told: Verdict) -> None:
    assert verdict(row, b"w", 2) is told


def test_jobs() -> None:
    here, there = settings_text({"a": 1, "b": None}), settings_text({"b": None, "a": 2})
    assert job_problem(("x", here), "x", settings_text({"b": None, "a": 1})) == ""
    assert job_problem(("x", here), "y", here) == "it is of the job 'x', not of 'y'"
    assert job_problem(("x", here), "x", there) == "the job was begun with a=1, now 2"


# --- the file ---------------------------------------------------------------------------------------------------------


def begin(book: Book, number: int) -> tuple[Verdict, str | None]:
    name = b"%016d" % number
    call = Call(book.begin, (ItemKey(name, name),))
    book.apply([call])
    answer: tuple[Verdict, str | None] = call.answer[0]
    return answer


def end(book: Book, number: int, state: State = State.DONE) -> None:
    name = b"%016d" % number
    book.apply([Call(book.end, (ItemKey(name, name), state, 3))])


def counts(path: str) -> dict[State, int]:
    book = Book(path, "job", SETTINGS)
    try:
        return book.counts()
    finally:
        book.close()


def test_rows_outlive_the_book(tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    book = Book(path, "job", SETTINGS)
    assert [begin(book, number)[0] for number in (1, 2, 3)] == [Verdict.MOVE] * 3
    end(book, 1)
    end(book, 2, State.FAILED)
    assert begin(book, 3) == (Verdict.SKIP, None)  # twice in one run
    assert book.counts() == {State.BEGUN: 1, State.DONE: 1, State.FAILED: 1}
    book.close()
    book = Book(path, "job", SETTINGS)
    assert (book.run, [begin(book, number)[0] for number in (1, 2, 3, 4)]) == (
        2,
        [Verdict.SKIP, Verdict.MOVE, Verdict.MOVE, Verdict.MOVE],
    )
    book.close()
    assert os.listdir(tmp_path) == ["journal"]


def test_a_memo_is_kept_until_the_item_is_done(tmp_path: Path) -> None:
    path, item = str(tmp_path / "journal"), ItemKey(b"1" * 16, b"1" * 16)
    for state, kept in [(State.FAILED, '{"a": 1}'), (State.DONE, None)]:
        book = Book(path, "job", SETTINGS)
        calls = [Call(book.begin, (item,)), Call(book.save, (item, '{"a": 1}')), Call(book.end, (item, state, 3))]
        book.apply(calls)
        book.close()
        book = Book(path, "job", SETTINGS)
        assert begin_again(book, item) == kept
        book.close()


def begin_again(book: Book, item: ItemKey) -> str | None:
    call = Call(book.begin, (item,))
    book.apply([call])
    memo: str | None = call.answer[0][1]
    return memo


def test_one_run_at_a_time(tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    book = Book(path, "job", SETTINGS)
    opening = f"from asyncpresign.transfer.journal import Book; Book({path!r}, 'job', {SETTINGS!r})"
    command = [sys.executable, "-c", opening]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert "JournalError" in ended.stderr
    assert "in use by another run" in ended.stderr
    with pytest.raises(JournalError, match="in use by another run"):
        Book(path, "job", SETTINGS)
    book.close()
    subprocess.run(command, check=True, timeout=50)


def test_another_job(tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    Book(path, "job", SETTINGS).close()
    with pytest.raises(JournalError, match="it is of the job 'job', not of 'other'"):
        Book(path, "other", SETTINGS)
    with pytest.raises(JournalError, match="begun with require_checksum=False, now True"):
        Book(path, "job", settings_text({"require_checksum": True}))
    Book(path, "job", SETTINGS).close()


def not_a_database(path: Path) -> None:
    path.write_bytes(b"this is the diary of somebody" * 100)


def somebody_elses(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("create table mine (text)")
    connection.close()


def newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("pragma user_version = 99")
    connection.close()


def torn(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def overwritten(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096 : len(data) - 1024] = os.urandom(len(data) - 1024 - 4096)
    path.write_bytes(data)


def settings_lost(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("update job set settings = 'x'")
    connection.close()


def job_lost(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("delete from job")
    connection.close()


DAMAGE = {
    not_a_database: "not a database",
    somebody_elses: "another program's",
    newer: "format 99",
    torn: "malformed|damaged",
    overwritten: "malformed|damaged",
    settings_lost: "damaged",
    job_lost: "damaged",
}


@pytest.mark.parametrize(("damage", "told"), DAMAGE.items(), ids=[damage.__name__ for damage in DAMAGE])
def test_a_damaged_file(damage: Any, told: str, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    if damage is not somebody_elses:
        book = Book(str(path), "job", SETTINGS)
        for number in range(500):
            begin(book, number)
        book.close()
    damage(path)
    before = path.read_bytes()
    with pytest.raises(JournalError, match=told) as caught:
        Book(str(path), "job", SETTINGS)
    assert str(path) in str(caught.value)
    if damage in (not_a_database, somebody_elses):
        assert path.read_bytes() == before


def test_a_place_where_no_file_can_be(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none" / "journal"):
        with pytest.raises(JournalError, match="unable to open"):
            Book(str(path), "job", SETTINGS)


def test_a_job_that_is_called_by_a_url_is_called_without_its_signature(tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    for _ in range(2):
        Book(path, URL, SETTINGS).close()
    assert SIGNATURE.encode() not in Path(path).read_bytes()


# --- in the event loop ------------------------------------------------------------------------------------------------


async def test_those_that_wait_are_written_together(tmp_path: Path) -> None:
    path, count = str(tmp_path / "journal"), 200
    told = []
    async with open_journal(path, "job", SETTINGS) as journal:

        async def move(number: int) -> None:
            item = ItemKey(b"%016d" % number, b"%016d" % number)
            told.append((await journal.begin(item))[0])
            await journal.end(item, State.DONE, 3)

        async with anyio.create_task_group() as tasks:
            for number in range(count):
                tasks.start_soon(move, number)
        assert journal._book.commits <= 20
    assert told == [Verdict.MOVE] * count
    assert await anyio.to_thread.run_sync(counts, path) == {State.DONE: count}


async def test_a_memo_comes_back(tmp_path: Path) -> None:
    path, item = str(tmp_path / "journal"), ItemKey(b"1" * 16, b"2" * 16)
    tokens = []
    for state in ({"upload_id": "x", "part_size": 5}, {"done": "ff"}, None, None):
        async with open_journal(path, "job", SETTINGS) as journal:
            _, memo = await journal.begin(item)
            tokens.append(memo.token)
            before = memo.state
            await memo.save(state)
            assert memo.state == state
        async with open_journal(path, "job", SETTINGS) as journal:
            _, memo = await journal.begin(item)
            assert memo.state == state
            assert before != state or state is None
    assert len(set(tokens)) == 1
    assert tokens[0].isalnum()
    async with open_journal(str(tmp_path / "other"), "job", SETTINGS) as journal:
        _, memo = await journal.begin(item)
    # Two jobs with the same item at the same time must not write one temporary file.
    assert memo.token != tokens[0]


async def test_what_is_cancelled_while_it_waits_is_written_still(tmp_path: Path) -> None:
    path, item, gate = str(tmp_path / "journal"), ItemKey(b"1" * 16, b"1" * 16), threading.Event()
    async with open_journal(path, "job", SETTINGS) as journal, anyio.create_task_group() as slow:
        slow.start_soon(journal._ask, gate.wait)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(journal.begin, item)
                tasks.start_soon(journal.end, item, State.DONE, 3)
                # Until both wait for the transaction that waits for the gate.
                while len(journal._waiting) < 2:
                    await anyio.lowlevel.checkpoint()
                scope.cancel()
        gate.set()
    assert await anyio.to_thread.run_sync(counts, path) == {State.DONE: 1}


async def test_a_journal_that_fails_fails_all(tmp_path: Path) -> None:
    async with open_journal(str(tmp_path / "journal"), "job", SETTINGS) as journal:
        await journal.begin(ItemKey(b"1" * 16, b"1" * 16))
        journal._book._connection.execute("pragma query_only = on")
        errors = []

        async def fail(number: int) -> None:
            with pytest.raises(JournalError, match="readonly") as caught:
                await journal.begin(ItemKey(b"%016d" % number, b"1" * 16))
            errors.append(caught.value)

        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(fail, number)
        assert len(errors) == 5


# --- after a crash ----------------------------------------------------------------------------------------------------

# Dies by itself in the middle of a transaction, or right behind one; which, says the number.
DYING = """
import os, signal, sys
from asyncpresign.transfer.journal import Book, Call
from asyncpresign.transfer.rows import ItemKey, State
path, moment = sys.argv[1], int(sys.argv[2])
book = Book(path, "job", sys.argv[3])
for number in range(1000):
    item = ItemKey(b"%016d" % number, b"%016d" % number)
    calls = [Call(book.begin, (item,)), Call(book.save, (item, '{"n": %d}' % number)), Call(book.end, (item, State.DONE, 1))]
    if 2 * number + 1 == moment:
        calls.append(Call(os.kill, (os.getpid(), signal.SIGKILL)))
    book.apply(calls)
    if 2 * number == moment:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize("moment", [0, 1, 2, 17, 600, 601])
def test_a_killed_process_leaves_whole_transactions(moment: int, tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    command = [sys.executable, "-c", DYING, path, str(moment), SETTINGS]
    assert subprocess.run(command, timeout=50, check=False).returncode == -9
    book = Book(path, "job", SETTINGS)
    committed = moment // 2 + (moment % 2 == 0)
    assert book.counts().get(State.DONE, 0) == sum(book.counts().values()) == committed
    told = [begin(book, number)[0] for number in range(committed + 2)]
    assert told == [Verdict.SKIP] * committed + [Verdict.MOVE] * 2
    book.close()


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    Book(str(path), "job", SETTINGS).close()
    connection = sqlite3.connect(path)
    assert connection.execute("pragma application_id").fetchone() == (APPLICATION,)
    assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
    name, settings = connection.execute("select name, settings from job").fetchone()
    assert (name, json.loads(settings)) == ("job", {"require_checksum": False})
    connection.close()


async def test_what_is_done_is_written_also_for_one_who_is_cancelled_before_the_thread_is_free(tmp_path: Path) -> None:
    threads, path, item, free = Threads(1), str(tmp_path / "j"), key(Download(S3Object("b", "k"), "f")), threading.Event()
    journal = Journal(await threads.run(Book, path, "job", SETTINGS), threads)
    await journal.begin(item)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(threads.run, free.wait)
        await anyio.wait_all_tasks_blocked()
        ending = asyncio.create_task(journal.end(item, State.DONE, 5))
        await anyio.wait_all_tasks_blocked()
        ending.cancel()
        await anyio.lowlevel.checkpoint()
        free.set()
        await asyncio.wait([ending])
    await threads.run(journal.close)
    again = await threads.run(Book, path, "job", SETTINGS)
    assert await threads.run(again.counts) == {State.DONE: 1}
    await threads.run(again.close)
