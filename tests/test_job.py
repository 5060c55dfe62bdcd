"""A run as a whole, over a transport in memory: what is skipped, what is told, what stops it, and what its journal holds."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from asyncpresign import (
    Credentials,
    Directory,
    Download,
    Event,
    FormUpload,
    InvalidRequest,
    ItemFinished,
    ItemProgressed,
    ItemRetried,
    ItemStarted,
    JournalError,
    Limits,
    OfflineSigner,
    PresignedPost,
    S3Object,
    Transfer,
    TransferReport,
    UnsafePathError,
    UnsupportedRequest,
    Upload,
)
from asyncpresign.http.transport import Request
from asyncpresign.transfer.items import Item
from asyncpresign.transfer.journal import Book
from asyncpresign.transfer.plan import MULTIPART_THRESHOLD
from asyncpresign.transfer.rows import State, settings_text

from .fake_transport import SECRET, FakeTransport, Say, World, error, make_signer
from .sweep import at_its_awaits, sweep

SETTINGS = {"part_size": None, "multipart_threshold": MULTIPART_THRESHOLD, "require_checksum": False}

NOT_FOUND = error(404, "NoSuchKey")


def transfer(transport: FakeTransport, concurrency: int = 4, **options: Any) -> Transfer:
    return Transfer(make_signer(), transport=transport, concurrency=concurrency, edge=World().edge(), **options)


def by_key(**answers: Say) -> Callable[[Request, bytes], Say]:
    """What is said of each key; of all others, three bytes."""

    def script(request: Request, _: bytes) -> Say:
        key = request.url.partition("?")[0].rpartition("/")[2]
        return answers.get(key, Say(body=b"abc"))

    return script


def downloads(root: Path, count: int = 10, **options: Any) -> Iterator[Item]:
    for number in range(count):
        yield Download(S3Object("bucket", f"k{number}"), Directory(root), **options)


async def run(transport: FakeTransport, items: Any, **options: Any) -> TransferReport:
    async with transfer(transport) as moving:
        return await moving.run(items, **options)


def numbers(report: TransferReport) -> tuple[int, int, int]:
    return report.done, report.skipped, report.failed


# --- what is done again and what is not -------------------------------------------------------------------------------


async def test_the_same_call_again_does_only_the_rest(tmp_path: Path) -> None:
    journal, root = tmp_path / "journal", tmp_path / "out"
    first = FakeTransport(otherwise=by_key(k3=NOT_FOUND, k7=NOT_FOUND))
    assert numbers(await run(first, downloads(root), journal=journal, job="job")) == (8, 0, 2)
    again = FakeTransport(otherwise=by_key(k7=NOT_FOUND))
    report = await run(again, downloads(root), journal=journal, job="job")
    assert numbers(report) == (1, 8, 1)
    assert sorted(request.url.partition("?")[0][-2:] for request in again.requests) == ["k3", "k7"]
    assert (report.size, report.attempts) == (3, 2)
    assert sorted(os.listdir(root)) == [f"k{number}" for number in range(10) if number != 7]
    last = FakeTransport(otherwise=Say(body=b"abc"))
    assert numbers(await run(last, downloads(root, 20), journal=str(journal), job="job")) == (11, 9, 0)
    assert numbers(await run(FakeTransport(), downloads(root, 20), journal=journal, job="job")) == (0, 20, 0)


async def test_a_run_that_stops_early_is_finished_by_the_next(tmp_path: Path) -> None:
    journal, root = tmp_path / "journal", tmp_path / "out"
    first = FakeTransport(otherwise=by_key(k5=NOT_FOUND))
    stopped = await run(first, downloads(root, 50), journal=journal, fail_fast=True)
    assert stopped.failed == 1
    report = await run(FakeTransport(otherwise=Say(body=b"abc")), downloads(root, 50), journal=journal)
    assert (report.done + report.skipped, report.failed) == (50, 0)
    assert report.skipped >= stopped.done
    assert len(os.listdir(root)) == 50


async def test_uploads_and_forms(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    post = PresignedPost("http://s3.test/bucket", {"key": "k3"}, datetime(2030, 1, 1, tzinfo=UTC))

    def items() -> Iterator[Item]:
        yield Upload(tmp_path / "file", S3Object("bucket", "k1"))
        yield Upload(b"abc", S3Object("bucket", "k2"))
        yield FormUpload(tmp_path / "file", post)
        yield FormUpload(tmp_path / "file", S3Object("bucket", "k4"))

    journal = tmp_path / "journal"
    assert numbers(await run(FakeTransport(), items(), journal=journal)) == (4, 0, 0)
    assert numbers(await run(transport := FakeTransport(), items(), journal=journal)) == (0, 4, 0)
    assert transport.sent == 0


async def test_an_item_that_comes_twice_is_moved_once(tmp_path: Path) -> None:
    items = [*downloads(tmp_path / "out"), *downloads(tmp_path / "out")]
    report = await run(transport := FakeTransport(otherwise=Say(body=b"abc")), items, journal=tmp_path / "journal")
    assert (numbers(report), transport.sent) == ((10, 10, 0), 10)


async def test_an_id_is_one_items_own(tmp_path: Path) -> None:
    items = [Download(S3Object("bucket", f"k{number}"), tmp_path / f"{number}", id="x") for number in range(3)]
    report = await run(FakeTransport(otherwise=Say(body=b"abc")), items, journal=tmp_path / "journal")
    assert numbers(report) == (1, 0, 2)
    assert {str(failure.error) for failure in report.failures} == {
        "id: expected an id that no other item of the job has or had, got a str of length 1"
    }


async def test_what_cannot_be_begun_again_fails_and_the_rest_is_done(tmp_path: Path) -> None:
    up = Download(S3Object("bucket", "../x"), Directory(tmp_path))
    items = [Download(S3Object("bucket", "k")), *downloads(tmp_path / "out", 3), up]
    report = await run(FakeTransport(otherwise=Say(body=b"abc")), items, journal=tmp_path / "journal")
    assert numbers(report) == (3, 0, 2)
    assert [type(failure.error) for failure in report.failures] == [InvalidRequest, UnsafePathError]
    assert "a run with a journal" in str(report.failures[0].error)


@pytest.mark.parametrize("item", [5, None, "url", Download(5, "x"), Download(5, Directory("x")), Upload(5, 5)])  # type: ignore[arg-type]
async def test_what_is_no_item_fails_by_itself(item: Any, tmp_path: Path) -> None:
    for options in ({}, {"journal": tmp_path / "journal"}):
        report = await run(FakeTransport(otherwise=Say(body=b"abc")), [item, *downloads(tmp_path, 2)], **options)
        assert (numbers(report), type(report.failures[0].error)) == ((2, 0, 1), InvalidRequest)


async def test_other_jobs_and_settings(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    await run(FakeTransport(), [], journal=journal, job="a")
    with pytest.raises(JournalError, match="it is of the job 'a', not of 'b'"):
        await run(FakeTransport(), [], journal=journal, job="b")
    with pytest.raises(JournalError, match="begun with part_size=None, now 8388608"):
        async with transfer(FakeTransport(), part_size=8 << 20) as moving:
            await moving.run([], journal=journal, job="a")
    async with transfer(FakeTransport()) as moving:

        async def items() -> Any:
            with pytest.raises(JournalError, match="in use"):
                await moving.run([], journal=journal, job="a")
            yield Download(S3Object("bucket", "k"), tmp_path / "k")

        assert (await moving.run(items(), journal=journal, job="a")).done == 1


@pytest.mark.parametrize(
    ("wrong", "argument"),
    [
        ({"journal": 5}, "journal"),
        ({"journal": ""}, "journal"),
        ({"job": "a"}, "job"),
        ({"journal": "x", "job": 5}, "job"),
        ({"on_event": 5}, "on_event"),
        ({"on_event": anyio.sleep}, "on_event"),
        ({"processes": 0}, "processes"),
        ({"processes": True}, "processes"),
    ],
)
async def test_wrong_options(wrong: dict[str, Any], argument: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await run(FakeTransport(), [], **wrong)
    assert [problem.argument for problem in caught.value.problems] == [argument]


async def test_more_than_one_process_is_not_there_yet() -> None:
    with pytest.raises(UnsupportedRequest, match="one process"):
        await run(FakeTransport(), [], processes=2)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX files")
async def test_a_journal_that_cannot_be_written_stops_the_run(tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def no_more_room(event: Event) -> None:
        if isinstance(event, ItemFinished):
            resource.setrlimit(resource.RLIMIT_FSIZE, (2048, before[1]))

    transport = FakeTransport(otherwise=Say(body=b"abc"))
    try:
        with pytest.raises(JournalError, match="disk"):
            await run(transport, downloads(tmp_path / "out", 800), journal=tmp_path / "journal", on_event=no_more_room)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert transport.sent < 800
    report = await run(transport, downloads(tmp_path / "out", 800), journal=tmp_path / "journal")
    assert (report.done + report.skipped, report.failed) == (800, 0)


# --- what is told -----------------------------------------------------------------------------------------------------


async def test_events(tmp_path: Path) -> None:
    busy = error(503, "SlowDown")
    told: list[Event] = []
    transport = FakeTransport(answers=[busy, error(500, "InternalError"), Say(body=b"abc")], otherwise=NOT_FOUND)
    async with transfer(transport, 1) as moving:
        report = await moving.run(downloads(tmp_path / "out", 2), on_event=told.append)
    assert [type(event) for event in told] == [ItemStarted, ItemRetried, ItemRetried, ItemFinished, ItemStarted, ItemFinished]
    retried = [event for event in told if isinstance(event, ItemRetried)]
    assert [(event.cause, event.item.id) for event in retried] == [("SlowDown", None), ("InternalError", None)]
    assert all(event.delay > 0 for event in retried)
    assert report.retries == {"SlowDown": 1, "InternalError": 1}
    assert json.loads(report.to_json())["retries"] == {"SlowDown": 1, "InternalError": 1}
    ended = [event.result for event in told if isinstance(event, ItemFinished)]
    assert [(result.status, result.attempts) for result in ended] == [("done", 3), ("failed", 1)]
    assert len(report.slowest) == 2


@pytest.mark.parametrize("rate", [None, 1 << 40])
async def test_the_bytes_of_a_large_item_are_told_as_they_move(rate: int | None, tmp_path: Path) -> None:
    told: list[Event] = []
    data = tuple(bytes([number]) * 600_000 for number in range(10))
    (tmp_path / "up").write_bytes(b"".join(data))
    items = [Download(S3Object("bucket", "k"), tmp_path / "down"), Upload(tmp_path / "up", S3Object("bucket", "k"))]
    transport = FakeTransport(otherwise=lambda request, _: Say(body=data if request.method == "GET" else b""))
    limits = Limits(concurrency=1, bytes_per_second=rate)
    async with Transfer(make_signer(), transport=transport, limits=limits, edge=World().edge()) as moving:
        report = await moving.run(items, on_event=told.append)
    assert report.done == 2
    for item in items:
        sizes = [event.size for event in told if isinstance(event, ItemProgressed) and event.item is item]
        assert 5_000_000 < sum(sizes) <= 6_000_000
        assert min(sizes) >= 1 << 20
    assert type(told[0]) is ItemStarted
    assert type(told[1]) is ItemProgressed


async def test_an_item_that_is_skipped_does_not_start(tmp_path: Path) -> None:
    told: list[Event] = []
    for _ in range(2):
        told.clear()
        transport = FakeTransport(otherwise=Say(body=b"abc"))
        await run(transport, downloads(tmp_path / "out", 3), journal=tmp_path / "journal", on_event=told.append)
    assert [type(event) for event in told] == [ItemFinished] * 3


async def test_what_finished_is_in_the_journal(tmp_path: Path) -> None:
    """The process may end at any event: what had been told as done is not done again."""
    finished = 0

    def stop_at_five(event: Event) -> None:
        nonlocal finished
        finished += isinstance(event, ItemFinished)
        if finished == 5:
            raise LookupError("enough")

    with pytest.raises(LookupError):
        await run(
            FakeTransport(otherwise=Say(body=b"abc")),
            downloads(tmp_path / "out", 50),
            journal=tmp_path / "journal",
            on_event=stop_at_five,
        )
    report = await run(FakeTransport(otherwise=Say(body=b"abc")), downloads(tmp_path / "out", 50), journal=tmp_path / "journal")
    assert report.skipped >= 5
    assert report.done + report.skipped == 50


@pytest.mark.parametrize("at", [ItemStarted, ItemRetried, ItemFinished])
@pytest.mark.parametrize("journalled", [False, True])
async def test_a_callback_that_raises_ends_the_run(at: type, journalled: bool, tmp_path: Path) -> None:
    def fail(event: Event) -> None:
        if type(event) is at:
            raise LookupError("the caller's own")

    transport = FakeTransport(answers=[error(503, "SlowDown")] * 3, otherwise=Say(body=b"abc"))
    options = {"journal": tmp_path / "journal"} if journalled else {}
    with pytest.raises(LookupError, match="the caller's own") as caught:
        await run(transport, downloads(tmp_path / "out", 1000), on_event=fail, **options)
    assert caught.value.__notes__ == [f"raised by on_event, told of {at.__name__}"]
    assert transport.open == 0
    assert transport.sent <= 40
    assert list(tmp_path.rglob("*.part")) == []


async def test_a_run_that_is_cancelled_closes_its_journal(tmp_path: Path) -> None:
    gate = anyio.Event()

    async def hold(_: Request) -> None:
        await gate.wait()

    transport = FakeTransport(before=hold, otherwise=Say(body=b"abc"))
    async with transfer(transport) as moving, anyio.create_task_group() as tasks:

        async def start() -> None:
            await moving.run(downloads(tmp_path / "out", 10), journal=tmp_path / "journal")

        tasks.start_soon(start)
        while transport.open < 4:
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    gate.set()
    report = await run(FakeTransport(otherwise=Say(body=b"abc")), downloads(tmp_path / "out", 10), journal=tmp_path / "journal")
    assert numbers(report) == (10, 0, 0)
    assert sorted(os.listdir(tmp_path)) == ["journal", "out"]


async def test_a_run_that_is_cancelled_at_any_await_leaves_a_journal_that_is_true(tmp_path: Path) -> None:
    journal, out = tmp_path / "journal", tmp_path / "out"
    transport = FakeTransport(otherwise=Say(body=b"abc"))

    async def work() -> None:
        await run(transport, downloads(out, 12), journal=journal)

    def look() -> tuple[int, int]:
        """How many are done by the journal, which nobody has open, and how many are there."""
        assert not [path for path in tmp_path.rglob("*") if path.name.endswith((".part", "-wal", "-shm"))]
        rows = 0
        if journal.exists():
            book = Book(str(journal), "", settings_text(SETTINGS))
            rows = book.counts().get(State.DONE, 0)
            book.close()
            journal.unlink()
        there = [path.read_bytes() for path in out.iterdir()] if out.exists() else []
        assert set(there) <= {b"abc"}
        shutil.rmtree(out, ignore_errors=True)
        return rows, len(there)

    async def check() -> None:
        assert transport.open == 0
        rows, there = await anyio.to_thread.run_sync(look)
        assert rows <= there

    assert await sweep(work, check, at_its_awaits) > 12


# --- what is in the file ----------------------------------------------------------------------------------------------


async def test_no_secret_and_no_name_is_in_the_journal(tmp_path: Path) -> None:
    """The database, and what is beside it while it is in use."""
    credentials = Credentials("AKIDEXAMPLE", SECRET, "the/session+token")
    signer = OfflineSigner(credentials, region="us-east-1", endpoint_url="http://s3.test")
    keys = [f"invoice-of-somebody-{number}" for number in range(50)]
    signed = [await signer.presign("get_object", {"Bucket": "bucket", "Key": key}) for key in keys]
    signatures = [request.url.rpartition("=")[2] for request in signed]
    given: list[Item] = [Download(request.url, tmp_path / f"{at}", id=request.url) for at, request in enumerate(signed)]
    given += [Download(request, Directory(tmp_path, name=f"x{at}")) for at, request in enumerate(signed)]
    seen: dict[str, bytes] = {}

    def look() -> None:
        for path in tmp_path.glob("journal*"):
            seen[path.name] = seen.get(path.name, b"") + path.read_bytes()

    async def items() -> AsyncIterator[Item]:
        for item in given:
            yield item
            await anyio.to_thread.run_sync(look)

    async with transfer(FakeTransport(otherwise=Say(body=b"abc"))) as moving:
        report = await moving.run(
            items(), journal=tmp_path / "journal", job=f"https://s3.test/?X-Amz-Signature={signatures[0]}"
        )
    assert report.done == 100
    await anyio.to_thread.run_sync(look)
    assert {"journal", "journal-wal"} <= set(seen)
    for data in seen.values():
        for secret in (SECRET, "session", "invoice-of", *signatures):
            assert secret.encode() not in data


async def test_a_journal_is_found_again_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths are those of the directory in which the run is begun."""
    items = [Download(S3Object("bucket", "k"), "file")]
    for folder, expected in (("a", (1, 0, 0)), ("b", (1, 0, 0)), ("a", (0, 1, 0))):
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / folder)
        report = await run(FakeTransport(otherwise=Say(body=b"abc")), items, journal=tmp_path / "journal")
        assert numbers(report) == expected
