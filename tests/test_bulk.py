"""Listings, prefixes and trees: page by page from a bucket in memory, with keys that no real server keeps."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign import (
    AccessDenied,
    CommonPrefix,
    IntegrityError,
    InvalidRequest,
    LocalFileError,
    ObjectInfo,
    S3Object,
    Transfer,
    TransferReport,
    UnsafePathError,
)
from asyncpresign.http.transport import Request
from asyncpresign.transfer.listing import EMPTY_PAGES, Circle

from .fake_transport import FakeTransport, Say, World, error, make_signer
from .memory_s3 import MemoryS3, md5

HEAD = "<Name>bucket</Name>"


class Bucket(MemoryS3):
    """With its listing, as S3 pages it: keys and prefixes in one order, `page` of both together."""

    def __init__(self, keys: Iterable[str] = (), page: int = 1000, encoded: bool = True) -> None:
        super().__init__(page=page)
        self.encoded = encoded
        for key in keys:
            self.store(key, key.encode())

    def store(self, key: str, data: bytes) -> None:
        self.objects[key], self.etags[key] = data, f'"{md5(data)}"'

    @staticmethod
    def operation(method: str, query: dict[str, str]) -> str:
        return "objects" if "list-type" in query else MemoryS3.operation(method, query)

    def _get(self, request: Request, query: dict[str, str], body: bytes) -> Say:
        key = self._key(request)
        if key not in self.objects:
            return error(404, "NoSuchKey")
        return Say(200, self.objects[key], {"etag": self.etags[key]})

    def _objects(self, request: Request, query: dict[str, str], body: bytes) -> Say:
        assert (query["list-type"], query["encoding-type"]) == ("2", "url")
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        names: dict[str, bool] = {}
        for key in sorted(key for key in self.objects if key.startswith(prefix)):
            head, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            names[prefix + head + cut if cut else key] = bool(cut)
        after = bytes.fromhex(query.get("continuation-token", "")).decode()
        left = [name for name in names if name > after]
        rows = "".join(self._prefix(name) if names[name] else self._row(name) for name in left[: self.page])
        more = len(left) > self.page
        token = f"<NextContinuationToken>{left[self.page - 1].encode().hex()}</NextContinuationToken>" if more else ""
        coding = "<EncodingType>url</EncodingType>" if self.encoded else ""
        said = f"{HEAD}{coding}<IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}"
        return Say(200, f"<ListBucketResult>{said}</ListBucketResult>".encode())

    def _text(self, name: str) -> str:
        return quote_plus(name, safe="/") if self.encoded else escape(name)

    def _row(self, key: str) -> str:
        told = f"<Key>{self._text(key)}</Key><Size>{len(self.objects[key])}</Size><ETag>{escape(self.etags[key])}</ETag>"
        return f"<Contents>{told}<LastModified>2026-11-23T12:00:00.000Z</LastModified></Contents>"

    def _prefix(self, name: str) -> str:
        return f"<CommonPrefixes><Prefix>{self._text(name)}</Prefix></CommonPrefixes>"


def transfer(bucket: Any, **options: Any) -> Transfer:
    return Transfer(make_signer(), transport=FakeTransport(otherwise=bucket), edge=World().edge(), concurrency=4, **options)


async def listing(bucket: Any, *arguments: Any, **options: Any) -> list[str]:
    async with transfer(bucket) as moving:
        entries = [entry async for entry in moving.list_objects("bucket", *arguments, **options)]
    return [entry.object.key if isinstance(entry, ObjectInfo) else f"{entry.prefix} ..." for entry in entries]


# --- listing ----------------------------------------------------------------------------------------------------------

STRANGE = ["a b", "a~b", "a+b", "%2B", "ä", "<&>\"'", "\U0001f600", "line\nfeed", "\x01", "x/../y", "//", "/", "tab\t"]


@pytest.mark.parametrize("page", [1, 2, 3, 1000])
async def test_pages(page: int) -> None:
    keys = sorted([*STRANGE, *(f"k{number:03}" for number in range(20))])
    bucket = Bucket(keys, page)
    assert await listing(bucket) == keys
    assert bucket.operations == ["objects"] * -(-len(keys) // page)


async def test_keys_that_are_not_encoded() -> None:
    keys = sorted(set(STRANGE) - {"\x01", "line\nfeed", "tab\t"})
    assert await listing(Bucket(keys, encoded=False)) == keys


async def test_prefixes_and_delimiters() -> None:
    bucket = Bucket(["a", "a/1", "a/2/x", "a/2/y", "a/3", "b/1", "c"], page=2)
    assert await listing(bucket, "a/") == ["a/1", "a/2/x", "a/2/y", "a/3"]
    assert await listing(bucket, delimiter="/") == ["a", "a/ ...", "b/ ...", "c"]
    assert await listing(bucket, "a/", delimiter="/") == ["a/1", "a/2/ ...", "a/3"]
    assert await listing(bucket, "nothing") == []


async def test_what_is_told_of_an_object() -> None:
    async with transfer(Bucket(["a/b", "c"])) as moving:
        entries = [entry async for entry in moving.list_objects("bucket", delimiter="/")]
    assert entries[0] == CommonPrefix("bucket", "a/")
    info = entries[1]
    assert isinstance(info, ObjectInfo)
    assert (info.object, info.size, info.etag) == (S3Object("bucket", "c"), 1, f'"{md5(b"c")}"')
    assert info.last_modified is not None
    assert info.last_modified.isoformat() == "2026-11-23T12:00:00+00:00"


async def test_a_page_is_asked_for_again_and_no_page_is_skipped() -> None:
    keys = [f"k{number}" for number in range(6)]
    bucket = Bucket(keys, page=2)
    page = bucket._objects
    said = iter(
        [error(503, "SlowDown"), None, error(200, "InternalError"), Say(200, b"<html>"), None, Say(200, b"<Other/>"), None]
    )

    def spoilt(request: Request, query: dict[str, str], body: bytes) -> Say:
        return next(said) or page(request, query, body)

    bucket._objects = spoilt  # type: ignore[method-assign]
    assert await listing(bucket) == keys


@pytest.mark.parametrize("token", ["", "<NextContinuationToken>same</NextContinuationToken>"])
async def test_a_listing_that_cannot_go_on_is_no_whole_one(token: str) -> None:
    said = Say(200, f"<ListBucketResult><IsTruncated>true</IsTruncated>{token}</ListBucketResult>".encode())
    with pytest.raises(IntegrityError, match="does not say how to go on"):
        await listing(lambda *_: said)


async def test_a_bucket_that_is_not_ours(tmp_path: Path) -> None:
    said = error(403, "AccessDenied")
    async with transfer(lambda *_: said) as moving:
        with pytest.raises(AccessDenied):
            _ = [entry async for entry in moving.list_objects("bucket")]
        with pytest.raises(AccessDenied):
            await moving.download_prefix("bucket", "", tmp_path)


async def test_wrong_arguments(tmp_path: Path) -> None:
    async with transfer(Bucket()) as moving:
        for call, argument in [
            (lambda: moving.list_objects(5), "bucket"),  # type: ignore[arg-type]
            (lambda: moving.list_objects("bucket", None), "prefix"),  # type: ignore[arg-type]
            (lambda: moving.list_objects("bucket", delimiter=5), "delimiter"),  # type: ignore[arg-type]
        ]:
            with pytest.raises(InvalidRequest, match=f"^{argument}: expected"):
                call()
        for options in ({"include": "*.jpg"}, {"exclude": [5]}):
            with pytest.raises(InvalidRequest, match=f"^{next(iter(options))}: expected a sequence of patterns"):
                await moving.download_prefix("bucket", "", tmp_path, **options)  # type: ignore[arg-type]
            with pytest.raises(InvalidRequest, match=f"^{next(iter(options))}: expected a sequence of patterns"):
                await moving.upload_tree(tmp_path, "bucket", "", **options)  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest, match="root: expected the path"):
            await moving.download_prefix("bucket", "", "")
        with pytest.raises(TypeError, match="unexpected keyword argument 'jurnal'"):
            await moving.upload_tree(tmp_path, "bucket", "", jurnal="x")  # type: ignore[call-arg]
        with pytest.raises(LocalFileError) as caught:
            await moving.upload_tree(tmp_path / "none", "bucket", "")
        assert caught.value.path == str(tmp_path / "none")
        (tmp_path / "file").touch()
        with pytest.raises(LocalFileError, match="Not a directory"):
            await moving.download_prefix("bucket", "", tmp_path / "file/folder")
    async with Transfer(transport=FakeTransport()) as moving:
        with pytest.raises(InvalidRequest, match=r"Transfer\(signer\)"):
            moving.list_objects("bucket")


# --- down and up ------------------------------------------------------------------------------------------------------


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def refusals(report: TransferReport) -> dict[str, type]:
    """By the name in the bucket."""
    found = {}
    for failure in report.failures:
        place = failure.item.source if isinstance(failure.item.source, S3Object) else failure.item.destination
        assert isinstance(place, S3Object)
        assert str(place) in repr(failure.item)
        found[place.key] = type(failure.error)
    return found


HOSTILE = ["..", "../up", "a/../b", "/abs", "C:/x", "a//b", "./here", "nul\0l", "..\\up", "folder/"]


@pytest.mark.parametrize("prefix", ["", "p/", "p"])
async def test_hostile_keys_are_refused_by_name_and_the_rest_comes(prefix: str, tmp_path: Path) -> None:
    below = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
    fine = ["a", "b/c", "b/c.d", "B/C", "b c/ü", "x/y", "...", "Z"]
    bucket = Bucket([below + key for key in [*HOSTILE, *fine, "b/c/d", "x/y/z/1", "x/y/z/2"]], page=3)
    bucket.store(f"{below}empty/", b"")
    bucket.store("q/other", b"")
    async with transfer(bucket) as moving:
        report = await moving.download_prefix("bucket", prefix, tmp_path / "root", exclude=["q/*"])
    expected = {*HOSTILE, "b/c/d", "x/y/z/1", "x/y/z/2"}
    assert refusals(report) == {below + key: UnsafePathError for key in expected}
    assert files(tmp_path / "root") == {key: (below + key).encode() for key in fine}
    assert list(tmp_path.iterdir()) == [tmp_path / "root"]
    assert (report.done, report.skipped) == (len(fine), 1)
    told = {str(failure.error) for failure in report.failures}
    assert len(told) == len(expected)
    assert any("'x/y/z/1' beside 'x/y'" in text for text in told)


async def test_patterns_choose(tmp_path: Path) -> None:
    bucket = Bucket(["p/a.jpg", "p/b/c.jpg", "p/b/d.txt", "p/raw/e.jpg"])
    async with transfer(bucket) as moving:
        await moving.download_prefix("bucket", "p/", tmp_path / "d", include=["*.jpg"], exclude=["raw/*"])
        assert sorted(files(tmp_path / "d")) == ["a.jpg", "b/c.jpg"]
        report = await moving.upload_tree(tmp_path / "d", "bucket", "new", exclude=["b/*"])
    assert report.done == 1
    assert sorted(key for key in bucket.objects if key.startswith("new")) == ["new/a.jpg"]


async def test_two_keys_with_one_name(tmp_path: Path) -> None:
    """Only a prefix that is no folder can make two of them."""
    bucket = Bucket(["a/b/x", "a/b/b/x", "a/bc"])
    async with transfer(bucket) as moving:
        report = await moving.download_prefix("bucket", "a/b", tmp_path)
    assert (report.done, report.failed) == (3, 0)
    bucket = Bucket(["b/x", "bx", "b/bx"])
    async with transfer(bucket) as moving:
        report = await moving.download_prefix("bucket", "b", tmp_path / "other")
    assert refusals(report) == {"bx": UnsafePathError}
    assert files(tmp_path / "other") == {"x": b"b/x", "bx": b"b/bx"}


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX files")
async def test_what_a_tree_holds(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("a/b/c", "a.txt", "ü", "B/x", "b/x"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    (root / "empty").mkdir()
    (root / "link").symlink_to("a.txt")
    (root / "links").symlink_to("a")
    (root / "dangling").symlink_to("nowhere")
    (root / "l\udce4tin").write_bytes(b"no key has this name")
    os.mkfifo(root / "pipe")
    bucket = Bucket()
    async with transfer(bucket) as moving:
        report = await moving.upload_tree(root, "bucket", "")
        assert refusals(report) == {
            "link": UnsafePathError,
            "links": UnsafePathError,
            "dangling": UnsafePathError,
            "l\udce4tin": InvalidRequest,
            "pipe": InvalidRequest,
        }
        named = [
            error.problems[0].argument for failure in report.failures if isinstance(error := failure.error, InvalidRequest)
        ]
        assert named.count("source") == 4, "but for the name that no key can have"
        assert bucket.objects == {name: name.encode() for name in ("a/b/c", "a.txt", "ü", "B/x", "b/x")}
        again = await moving.upload_tree(root, "bucket", "q/", exclude=["*link*", "pipe", "dangling", "l?tin"])
        assert (again.done, again.failed) == (5, 0)
        await moving.download_prefix("bucket", "q", tmp_path / "back")
    assert files(tmp_path / "back") == {name: name.encode() for name in ("a/b/c", "a.txt", "ü", "B/x", "b/x")}


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX files")
async def test_a_root_that_is_a_link_is_the_callers_choice(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"a")
    (tmp_path / "root").symlink_to("real")
    bucket = Bucket()
    async with transfer(bucket) as moving:
        assert (await moving.upload_tree(tmp_path / "root", "bucket", "p")).done == 1
        (tmp_path / "real" / "a").unlink()
        assert (await moving.download_prefix("bucket", "p", tmp_path / "root")).done == 1
    assert (tmp_path / "real" / "a").read_bytes() == b"p/a"[2:]


async def test_with_a_journal_a_prefix_comes_down_once(tmp_path: Path) -> None:
    bucket = Bucket([f"p/{number}" for number in range(30)], page=7)
    told: list[object] = []
    async with transfer(bucket) as moving:
        for expected in ((30, 0), (0, 30)):
            journal = tmp_path / "journal"
            report = await moving.download_prefix("bucket", "p", tmp_path / "d", journal=journal, job="j", on_event=told.append)
            assert (report.done, report.skipped, report.failed) == (*expected, 0)
    assert bucket.operations.count("get") == 30
    assert told


async def test_leaving_at_the_first_failure_leaves_no_generator(tmp_path: Path) -> None:
    bucket = Bucket([f"p/{number}" for number in range(100)], page=3)
    bucket.before["get"] += [error(404, "NoSuchKey")] * 5
    async with transfer(bucket) as moving:
        report = await moving.download_prefix("bucket", "p", tmp_path / "d", fail_fast=True)
    assert report.failed >= 1
    assert bucket.operations.count("objects") < 10


# --- listings that lie ------------------------------------------------------------------------------------------------


def said(*keys: str, token: str = "", prefixes: Iterable[str] = ()) -> Say:
    rows = "".join(f"<Contents><Key>{quote_plus(key, safe='/')}</Key><Size>1</Size></Contents>" for key in keys)
    rows += "".join(f"<CommonPrefixes><Prefix>{quote_plus(each, safe='/')}</Prefix></CommonPrefixes>" for each in prefixes)
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    return Say(200, f"<ListBucketResult><EncodingType>url</EncodingType>{more}{rows}</ListBucketResult>".encode())


@pytest.mark.parametrize(
    ("prefix", "delimiter", "answer"),
    [
        ("photos/", None, said("photos/a", "../x")),
        ("photos/", None, said("zzz/secret", "photos/a")),
        ("photos/", None, said("photos")),
        ("photos/", None, said("PHOTOS/a")),
        ("", None, said("a", "")),
        ("", None, said(prefixes=["a/"])),
        ("photos/", "/", said(prefixes=["photos/a/", "other/"])),
        ("photos/", "/", said(prefixes=["photos/"])),
        ("", "/", said(prefixes=[""])),
    ],
)
async def test_a_page_that_holds_other_keys_than_asked_for_is_refused(prefix: str, delimiter: str | None, answer: Say) -> None:
    pages = [said(f"{prefix}1", token="next"), answer]
    bucket = lambda request, *_: pages["continuation-token" in request.url]  # noqa: E731
    async with transfer(bucket) as moving:
        entries = moving.list_objects("bucket", prefix, delimiter=delimiter)
        assert isinstance(await anext(entries), ObjectInfo)
        with pytest.raises(IntegrityError, match="not asked for"):
            await anext(entries)


async def test_nothing_of_another_prefix_is_downloaded(tmp_path: Path) -> None:
    async with transfer(lambda *_: said("p/a", "q/secret")) as moving:
        with pytest.raises(IntegrityError, match="not asked for"):
            await moving.download_prefix("bucket", "p/", tmp_path)
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    "pages",
    [
        [said(token="A"), said(token="B")],
        [said("a", token="A"), said("b", token="B"), said("c", token="C")],
        [said("z", token="A"), said("a", token="B")],
    ],
    ids=["empty", "three", "not in order"],
)
@pytest.mark.parametrize("tail", [0, 5])
async def test_pages_that_go_in_a_circle_end(pages: list[Say], tail: int) -> None:
    answers = [said(f"{number}", token=f"t{number}") for number in range(tail)]
    asked = 0

    def bucket(*_: Any) -> Say:
        nonlocal asked
        asked += 1
        return answers.pop(0) if answers else pages[asked % len(pages)]

    with pytest.raises(IntegrityError, match="circle"):
        await listing(bucket)
    assert asked <= 4 * (len(pages) + tail)


async def test_a_circle_with_a_new_token_each_time_ends() -> None:
    asked = 0

    def bucket(*_: Any) -> Say:
        nonlocal asked
        asked += 1
        return said(f"a{asked % 3}", f"b{asked % 3}", token=f"t{asked}")

    with pytest.raises(IntegrityError, match="circle"):
        await listing(bucket)
    assert asked <= 20


async def test_empty_pages_without_end_end() -> None:
    asked = 0

    def bucket(*_: Any) -> Say:
        nonlocal asked
        asked += 1
        return said(token=f"t{asked}")

    with pytest.raises(IntegrityError, match="circle"):
        await listing(bucket)
    assert asked == EMPTY_PAGES + 1


async def test_some_empty_pages_and_keys_out_of_order_are_no_circle() -> None:
    pages = [said(token="1"), said("b/x", "b.x", token="2"), said(token="3"), said("a", token="4"), said("c")]
    bucket = lambda *_: pages.pop(0)  # noqa: E731
    assert await listing(bucket) == ["b.x", "b/x", "a", "c"]


@given(st.integers(0, 40), st.integers(1, 40))
def test_every_circle_is_noticed_and_nothing_else(tail: int, length: int) -> None:
    circle = Circle()
    marks = (number if number < tail else tail + (number - tail) % length for number in count())
    steps = next(step for step, mark in enumerate(marks) if circle.closes(mark))
    assert tail + length <= steps <= 3 * (tail + length)
    straight = Circle()
    assert not any(straight.closes(number) for number in range(200))
