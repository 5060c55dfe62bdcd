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
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path, PurePosixPath
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
from asyncpresign.errors import describe
from asyncpresign.transfer.files import Threads
from asyncpresign.transfer.items import Item
from asyncpresign.transfer.journal import APPLICATION, FORMAT, Book, Call, Claims, Journal, open_journal
from asyncpresign.transfer.rows import (
    ItemKey,
    Row,
    State,
    Verdict,
    item_key,
    job_problem,
    memo_of,
    path_key,
    row_of,
    settings_text,
    verdict,
)

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
    "a request or its URL": (Download(URL, "f"), Download(PresignedRequest("GET", URL, {}, END), "f")),
    "headers of a signature": (
        Download(URL, "f"),
        Download(PresignedRequest("GET", URL, {"Authorization": "x", "x-amz-security-token": "y", "Date": "z"}, END), "f"),
    ),
    "default port": (Download("https://h/k", "f"), Download("https://H:443/k", "f")),
    "password": (Download("https://me:1@h/k", "f"), Download("https://me:2@h/k", "f")),
    "another vendor's signature": (Download("https://h/k?sv=1&sig=a&se=2", "f"), Download("https://h/k?sig=b&sv=1&se=3", "f")),
    "order of a query": (Download("https://h/k?b=1&a=2", "f"), Download("https://h/k?a=2&b=1", "f")),
    "a version by either way": (
        Download(S3Object("b", "k", "v"), "f"),
        Download(S3Object("b", "k"), "f", params={"VersionId": "v"}),
    ),
    "no params": (Download(S3Object("b", "k"), "f", params={}), Download(S3Object("b", "k"), "f")),
    "a folder or the path in it": (Download(S3Object("b", "k"), Directory("f")), Download(S3Object("b", "k"), "f/k")),
    "a time in another zone": (
        Download(S3Object("b", "k"), "f", params={"IfModifiedSince": datetime(2026, 1, 1, 12, tzinfo=UTC)}),
        Download(
            S3Object("b", "k"), "f", params={"IfModifiedSince": datetime(2026, 1, 1, 14, tzinfo=timezone(timedelta(hours=2)))}
        ),
    ),
    "order of params": (
        UploadItem("f", S3Object("b", "k"), params={"ACL": "a", "Metadata": {"x": "1", "y": "2"}}),
        UploadItem("f", S3Object("b", "k"), params={"Metadata": {"y": "2", "x": "1"}, "ACL": "a"}),
    ),
    "what is done about a file that is there": (
        Download(S3Object("b", "k"), "f"),
        Download(S3Object("b", "k"), "f", if_exists="skip", size=9),
    ),
    "case of a form's fields": (
        FormUpload("f", PresignedPost("https://h/b", {"Key": "k", "policy": "1"}, END)),
        FormUpload("f", PresignedPost("https://h/b", {"key": "k", "Policy": "2"}, END)),
    ),
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
    # Whatever else decides.
    Download("http://h/k", "f"),
    Download("https://h/k", "f"),
    Download("https://h:8443/k", "f"),
    Download("https://you@h/k", "f"),
    Download("https://h/k?name=a", "f"),
    Download("https://h/k?name=b", "f"),
    Download("https://h/k?name=a&name=b", "f"),
    Download("https://h/k?name=b&name=a", "f"),
    Download("https://h/k?token=a", "f"),
    Download("https://h/k%2Fl", "f"),
    Download("https://h/k/l", "f"),
    Download(PresignedRequest("GET", "https://h/k", {"Range": "bytes=0-9"}, END), "f"),
    Download(PresignedRequest("GET", "https://h/k", {"Range": "bytes=0-8"}, END), "f"),
    Download(PresignedRequest("GET", "https://h/k", {"x-tenant": "a"}, END), "f"),
    Download(S3Object("b", "k"), "f", params={"Range": "bytes=0-9"}),
    Download(S3Object("b", "k"), "f", if_match="a"),
    Download(S3Object("b", "k"), "f", if_match="b"),
    Download(S3Object("b", "k"), "f", checksum="md5:00"),
    UploadItem("f", "https://h/upload?name=a"),
    UploadItem("f", "https://h/upload?name=b"),
    UploadItem("f", PresignedRequest("PUT", "https://h/upload?name=b", {"Content-Type": "text/plain"}, END)),
    UploadItem("f", S3Object("b", "k"), params={"ContentType": "text/plain"}),
    UploadItem("f", S3Object("b", "k"), params={"Metadata": {"a": "b"}}),
    UploadItem("f", S3Object("b", "k"), params={"Metadata": [["a", "b"]]}),
    UploadItem("f", S3Object("b", "k"), params={"Expires": datetime(2026, 1, 1, tzinfo=UTC)}),
    UploadItem("f", S3Object("b", "k"), params={"Expires": date(2026, 1, 1)}),
    UploadItem("f", S3Object("b", "k"), params={"Expires": datetime(2026, 1, 1)}),  # noqa: DTZ001
    UploadItem("f", S3Object("b", "k"), params={"Expires": "2026-01-01T00:00:00+00:00"}),
    UploadItem("f", S3Object("b", "k"), params={"SSECustomerKey": b"1"}),
    UploadItem("f", S3Object("b", "k"), params={"SSECustomerKey": "1"}),
    UploadItem("f", S3Object("b", "k"), params={"SSECustomerKey": 1}),
    UploadItem("f", S3Object("b", "k"), params={"SSECustomerKey": True}),
    UploadItem("f", S3Object("b", "k"), params={"SSECustomerKey": 1.0}),
    UploadItem("f", S3Object("b", "k"), params={"SSECustomerKey": 10**5000}),
    UploadItem("f", S3Object("b", "k"), params={"SSECustomerKey": {1, 2}}),
    UploadItem("f", S3Object("b", "k"), params={"SSECustomerKey": (1, 2)}),
    UploadItem("f", S3Object("b", "k"), params={"SSECustomerKey": timedelta(1)}),
    UploadItem("f", S3Object("b", "k"), if_none_match="*"),
    FormUpload("f", S3Object("b", "up/${filename}"), filename="a"),
    FormUpload("f", S3Object("b", "up/${filename}"), filename="b"),
    FormUpload("f", S3Object("b", "up/${filename}")),
    FormUpload(b"", S3Object("b", "up/${filename}"), filename="a"),
    FormUpload("f", PresignedPost("https://h/b", {"key": "up/${filename}"}, END), filename="a"),
    FormUpload("f", PresignedPost("https://h/b", {"key": "up/${filename}"}, END), filename="b"),
    FormUpload("f", PresignedPost("https://h/b", {"key": "k", "Content-Type": "a"}, END)),
    FormUpload("f", PresignedPost("https://h/b", {"key": "k", "Expires": "a", "signature": "b", "AWSAccessKeyId": "c"}, END)),
    FormUpload("f", PresignedPost("https://h/b?x=1", {"key": "k"}, END)),
    FormUpload("f", S3Object("b", "k"), fields={"acl": "private"}),
    FormUpload("f", S3Object("b", "k"), content_type="text/plain"),
]


def _form(**fields: str) -> FormUpload:
    return FormUpload("f", PresignedPost(URL, {"key": "k", **fields}, END))


def _put(query: str = "", **headers: str) -> UploadItem:
    return UploadItem("f", PresignedRequest("PUT", f"https://h/u{query}", headers, END))


@pytest.mark.parametrize(
    "items",
    [
        *([_form(**{name: "1"}), _form(**{name: "2"})] for name in ("date", "Host", "user-agent", "cookie", "authorization")),
        [_form(**{"meta-A": "1", "meta-a": "x"}), _form(**{"meta-A": "2", "meta-a": "x"})],
        [_put("?token=A&expires=1"), _put("?token=B&expires=1")],
        [_put("?e=1&token=A"), _put("?e=1&token=B")],
        [_put("?authorization=A"), _put("?authorization=B")],
        [_put("?alt=A&token=x"), _put("?alt=A&token=y")],
        [_put(Cookie="folder=1"), _put(Cookie="folder=2")],
    ],
)
def test_what_only_looks_like_a_signature_tells_items_apart(items: list[Item]) -> None:
    one, other = map(key, items)
    assert one.what != other.what


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME.keys())
def test_the_same_item(one: Item, other: Item) -> None:
    assert key(one) == key(other)


def test_other_items() -> None:
    keys = [key(item) for item in OTHERS]
    assert len({found.row for found in keys}) == len({found.what for found in keys}) == len(OTHERS)


class Odd(dict[str, str]):
    def items(self) -> Any:
        raise RuntimeError("no")


def endless() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["again"] = found
    return found


@pytest.mark.parametrize("value", [object(), io.BytesIO(b"abc"), lambda: 1, endless(), {"a": [object()]}, 1j], ids=describe)
def test_a_parameter_that_no_later_run_could_compare(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="params: expected values that a later run can compare"):
        key(UploadItem("f", S3Object("b", "k"), params={"Body": value}))


VECTORS = json.loads((Path(__file__).parent / "vectors" / "transfer" / "journal_keys.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["item"] for vector in VECTORS])
def test_golden_digests(vector: dict[str, str]) -> None:
    """A journal of this format is read by every later version that has the same format number: its keys must not change."""
    kinds = (
        Download,
        FormUpload,
        S3Object,
        Directory,
        PresignedRequest,
        PresignedPost,
        date,
        datetime,
        timedelta,
        PurePosixPath,
    )
    names = {kind.__name__: kind for kind in kinds}
    item = eval(vector["item"], {**names, "Upload": UploadItem, "UTC": UTC, "END": END})
    found = key(item)
    assert {"row": found.row.hex(), "what": found.what.hex(), "format": FORMAT} == {
        name: vector[name] for name in ("row", "what", "format")
    }


def test_keys_hold_nothing_that_can_be_read() -> None:
    assert path_key("/a/b\udc80") != path_key("/a/b")
    assert len(path_key("/a/b")) == 16


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
        (Row(b"w", 1, State.BEGUN), Verdict.MOVE),
        (Row(b"w", 1, State.FAILED), Verdict.MOVE),
        (Row(b"w", 1, State.DONE), Verdict.SKIP),
        (Row(b"w", 2, State.DONE), Verdict.SKIP),
        (Row(b"w", 2, State.BEGUN), Verdict.WAIT),
        # Nothing is there yet.
        (Row(b"w", 2, State.FAILED), Verdict.MOVE),
        (Row(b"v", 1, State.DONE), Verdict.REFUSE),
        (Row(b"v", 1, State.BEGUN), Verdict.REFUSE),
        (Row(b"v", 2, State.BEGUN), Verdict.REFUSE),
    ],
)
def test_verdicts(row: Row | None, told: Verdict) -> None:
    assert verdict(row, b"w", 2) is told


@pytest.mark.parametrize(
    ("holder", "told"),
    [
        (Row(b"v", 2, State.BEGUN), Verdict.CLASH),
        (Row(b"v", 2, State.DONE), Verdict.CLASH),
        (Row(b"v", 1, State.DONE), Verdict.CLASH),
        # What was not brought there does not keep its place.
        (Row(b"v", 2, State.FAILED), Verdict.MOVE),
        (Row(b"v", 1, State.FAILED), Verdict.MOVE),
        (Row(b"v", 1, State.BEGUN), Verdict.MOVE),
        # The same, by another id.
        (Row(b"w", 1, State.DONE), Verdict.SKIP),
        (Row(b"w", 2, State.BEGUN), Verdict.WAIT),
        (Row(b"w", 2, State.FAILED), Verdict.MOVE),
        (Row(b"w", 1, State.FAILED), Verdict.MOVE),
    ],
)
def test_verdicts_on_a_path_that_another_item_has(holder: Row, told: Verdict) -> None:
    assert verdict(None, b"w", 2, holder) is told
    assert verdict(Row(b"w", 1, State.FAILED), b"w", 2, holder) is told
    assert verdict(Row(b"w", 1, State.DONE), b"w", 2, holder) is Verdict.SKIP
    assert verdict(Row(b"x", 1, State.DONE), b"w", 2, holder) is Verdict.REFUSE


UPLOAD: dict[str, Any] = {"upload_id": "x", "part_size": 5}
RANGES: dict[str, Any] = {"etag": '"e"', "size": 9, "part_size": 5, "done": "ff", "file": "803:1f"}


@pytest.mark.parametrize("state", [UPLOAD, RANGES, {**RANGES, "etag": None}, None])
def test_memos(state: Any) -> None:
    text = None if state is None else json.dumps(state)
    assert memo_of(text) == state
    assert row_of((b"w", 1, 2, None if text is None else text.encode())) == Row(b"w", 1, State.FAILED, state)


DAMAGED_MEMOS: list[Any] = [
    5,
    b"\xff",
    "",
    "x",
    "[]",
    "5",
    "null",
    "{}",
    '{"a": 1}',
    "[" * 100_000,
    f'{{"upload_id": "x", "part_size": {"9" * 5000}}}',
    *(json.dumps({**UPLOAD, name: value}) for name in UPLOAD for value in (None, 0, -1, "", [], True, 1.5, 2**70)),
    *(json.dumps({**RANGES, "done": value}) for value in ("zz", "", "-1", "0x1", "1_0", " 1", 5, None)),
    *(json.dumps({**RANGES, name: value}) for name in ("size", "part_size") for value in (None, 0, -5, "5", 1e300)),
    json.dumps({**RANGES, "etag": 5}),
    json.dumps({**RANGES, "file": 5}),
    json.dumps({name: value for name, value in RANGES.items() if name != "file"}),
    json.dumps({"upload_id": 5}),
    json.dumps({**UPLOAD, **RANGES}),
]


@pytest.mark.parametrize("memo", DAMAGED_MEMOS, ids=lambda memo: str(memo)[:40])
def test_a_memo_that_was_never_saved_so(memo: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        memo_of(memo)


@pytest.mark.parametrize(
    "values",
    [("w", 1, 0, None), (b"w", "1", 0, None), (b"w", 1, 3, None), (b"w", 1, -1, None), (b"w", 1, "x", None), (None,) * 4],
)
def test_a_row_that_was_never_written_so(values: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        row_of(values)


def test_jobs() -> None:
    here, there = settings_text({"a": 1, "b": None}), settings_text({"b": None, "a": 2})
    assert job_problem(("x", here), "x", settings_text({"b": None, "a": 1})) == ""
    assert job_problem(("x", here), "y", here) == "it is of the job 'x', not of 'y'"
    assert job_problem(("x", here), "x", there) == "the job was begun with a=1, now 2"


# --- the file ---------------------------------------------------------------------------------------------------------


def begin(book: Book, number: int) -> tuple[Verdict, Any]:
    name = b"%016d" % number
    call = Call(book.begin, (ItemKey(name, name),))
    book.apply([call])
    answer: tuple[Verdict, Any] = call.answer[0]
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
    assert begin(book, 3) == (Verdict.WAIT, None)  # twice in one run
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
    for state, kept in [(State.FAILED, UPLOAD), (State.DONE, None)]:
        book = Book(path, "job", SETTINGS)
        calls = [Call(book.begin, (item,)), Call(book.save, (item, json.dumps(UPLOAD))), Call(book.end, (item, state, 3))]
        book.apply(calls)
        book.close()
        book = Book(path, "job", SETTINGS)
        assert begin_again(book, item) == kept
        book.close()


def begin_again(book: Book, item: ItemKey) -> Any:
    call = Call(book.begin, (item,))
    book.apply([call])
    return call.answer[0][1]


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


def changed(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


def settings_of_another_shape(path: Path) -> None:
    changed(path, "update job set settings = '[]'")


def salt_that_is_a_path(path: Path) -> None:
    changed(path, "update job set salt = '/../../x'")


def run_that_is_no_number(path: Path) -> None:
    changed(path, "update job set run = 'x'")


def older(path: Path) -> None:
    changed(path, "pragma user_version = 1")


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
    newer: f"format 99, not {FORMAT}",
    older: f"format 1, not {FORMAT}",
    settings_of_another_shape: "damaged",
    salt_that_is_a_path: "damaged",
    run_that_is_no_number: "damaged",
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
    for state in (UPLOAD, RANGES, None, None):
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


async def test_a_cleared_memo_is_on_the_disk_before_its_file_is_touched(tmp_path: Path) -> None:
    """Else a loss of power would bring it back, for a file that has been begun anew meanwhile."""
    statements: list[str] = []
    async with open_journal(str(tmp_path / "journal"), "job", SETTINGS) as journal:
        _, memo = await journal.begin(ItemKey(b"1" * 16, b"2" * 16))
        journal._book._connection.set_trace_callback(statements.append)
        await memo.save(RANGES)
        assert not [said for said in statements if "synchronous" in said]
        await memo.save(None)
        journal._book._connection.set_trace_callback(None)
    words = [said.split()[0] for said in statements]
    assert words == ["begin", "update", "commit", "pragma", "begin", "update", "commit", "pragma"]
    assert [said for said in statements if "synchronous" in said] == [
        "pragma synchronous = full",
        "pragma synchronous = normal",
    ]


def test_a_new_journal_is_on_the_disk_before_its_salt_names_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a loss of power would take it, and what its files were called by."""
    statements: list[str] = []

    class Told(sqlite3.Connection):
        def execute(self, sql: str, *args: Any) -> Any:
            statements.append(sql)
            return super().execute(sql, *args)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, **options: connect(path, factory=Told, **options))
    Book(str(tmp_path / "journal"), "job", SETTINGS).close()
    said = [words for words in statements if words.split()[0] == "insert" or "synchronous" in words]
    assert said == [
        "pragma synchronous = full",
        "insert into job values (?, ?, ?, 0)",
        "pragma synchronous = normal",
    ]
    assert statements.index("pragma synchronous = normal") == len(statements) - 1


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


# --- paths of a run without a journal ---------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 3, 1000])
async def test_the_first_has_a_path_in_memory_or_in_a_file(most: int) -> None:
    claims = Claims(most)
    told: dict[int, list[bytes | None]] = {number: [] for number in range(50)}
    try:

        async def claim(number: int, what: bytes) -> None:
            told[number].append(await claims.claim(path_key(str(number)), what))

        async with anyio.create_task_group() as tasks:
            for number in [*range(50), *range(50)]:
                tasks.start_soon(claim, number, b"%d" % number)
        for number in range(50):
            await claim(number, b"other")
        assert len(claims._known) <= most
    finally:
        await claims.aclose()
    assert told == {number: [None, b"%d" % number, b"%d" % number] for number in range(50)}


async def test_claims_that_were_never_made_leave_nothing() -> None:
    await Claims().aclose()
