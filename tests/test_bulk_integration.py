"""A tree of hostile names up to real servers and down again: the same tree, and every name that was refused is told."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from asyncpresign import (
    InvalidRequest,
    ObjectInfo,
    PresignError,
    RetryPolicy,
    S3Object,
    Transfer,
    TransferReport,
    UnsafePathError,
)

from .test_integration import FIXTURES, Place, make_bucket

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(180),
    pytest.mark.skipif(os.name == "nt", reason="needs POSIX files"),
]

FILES = {"juicefs": 1200, "seaweedfs": 400}
ODD = [
    *("sp ace/two  spaces", "trailing space ", " leading", "tab\there", "new\nline", "ctrl\x01", "del\x7f"),
    *("hash#mark", "quest?ion", "per%cent", "%2e%2e", "%2F", "%", "plus+plus", "amp&er;semi", "comma,eq=", "at@", "col:on"),
    *("quo'te", 'dq"dq', "star*", "lt<gt>", "pipe|", "curly{}[]", "caret^`~", "dollar$", "${filename}", "!()"),
    *("ümlaut", "u\u0308mlaut", "\u212bngström", "ﬁ", "日本語/ファイル", "emoji\U0001f600", "عربى", "zero\u200bwidth"),
    *("rtl\u202etxt", "\ufeffbom", "\ufffd", "\U0010ffff", ".hidden", "...", "..a/b..", "-rf", "~", "con", "nul.txt", "dot."),
    *("CASE/Twin", "case/twin", "Case/TWIN", "İ", "i̇", "ß", "ss"),
    *("a" * 255, "é" * 127, "/".join(["deep" * 20] * 11) + "/x", "a/" * 400 + "f"),
    *("pre", "pre.x", "pre-x/y", "prefix/pre"),
]
# A server that keeps some keys otherwise than they were given: by its own name, what it makes of them.
CHANGED = {"juicefs": {}, "seaweedfs": {"back\\slash": "back/slash"}}
# Keys that no tree can have, and what is said of them on the way down; None where the server does not store them.
BESIDE: dict[str, dict[str, type | None]] = {
    "juicefs": {"t/pre/x": None, "t/../up": None, "t/./here": None, "t/C:/x": UnsafePathError},
    "seaweedfs": {"t/pre/x": UnsafePathError, "t/../up": None, "t/./here": None, "t/C:/x": UnsafePathError},
}


def names(count: int) -> Iterator[str]:
    yield from ODD
    yield "back\\slash"
    yield from (f"many/{number % 60:02}/file #{number} of 100%?.bin" for number in range(count - len(ODD) - 1))


@pytest.fixture(scope="module", params=FIXTURES.values(), ids=FIXTURES.keys())
def place(request: pytest.FixtureRequest) -> Place:
    return anyio.run(make_bucket, request.getfixturevalue(request.param))


@pytest.fixture
async def moving(place: Place) -> AsyncIterator[Transfer]:
    async with Transfer(place.signer(), concurrency=32, retry=RetryPolicy(attempts=3)) as made:
        yield made


def make_tree(root: Path, count: int) -> dict[str, bytes]:
    tree = {name: name.encode() * 7 for name in names(count)}
    for name, data in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (root / os.fsdecode(b"latin\xe9")).write_bytes(b"x")
    (root / "link").symlink_to("pre")
    return tree


def read_tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def refused(report: TransferReport) -> dict[str, type]:
    places = [(failure, failure.item.source, failure.item.destination) for failure in report.failures]
    return {
        next(place.key for place in (source, destination) if isinstance(place, S3Object)): type(failure.error)
        for failure, source, destination in places
    }


async def test_a_hostile_tree_up_and_down_again(place: Place, moving: Transfer, tmp_path: Path) -> None:
    count = FILES[place.s3.server]
    tree = await anyio.to_thread.run_sync(make_tree, tmp_path / "up", count)
    assert len(tree) == count
    up = await moving.upload_tree(tmp_path / "up", place.bucket, "t")
    assert refused(up) == {"t/latin\udce9": InvalidRequest, "t/link": UnsafePathError}
    assert up.done == count

    expected = {}
    for key, error in BESIDE[place.s3.server].items():
        try:
            await moving.upload(b"beside", S3Object(place.bucket, key))
        except PresignError:
            assert error is None, key
        else:
            assert error is not None, key
            expected[key] = error

    down = await moving.download_prefix(place.bucket, "t", tmp_path / "down", journal=tmp_path / "journal")
    assert refused(down) == expected
    assert all(
        repr(key.removeprefix("t/"))[1:-1] in repr([str(failure.error) for failure in down.failures]) for key in expected
    )
    found = await anyio.to_thread.run_sync(read_tree, tmp_path / "down")
    changed = CHANGED[place.s3.server]
    assert found == {changed.get(name, name): data for name, data in tree.items()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["down", "journal", "up"]
    again = await moving.download_prefix(place.bucket, "t", tmp_path / "down", journal=tmp_path / "journal")
    assert (again.done, again.skipped, refused(again)) == (0, count, expected)
    await anyio.to_thread.run_sync(shutil.rmtree, tmp_path / "down")


async def test_listings_in_pages(place: Place, moving: Transfer) -> None:
    """More than a page holds; the keys come in S3's order, each once, and prefixes as they are cut."""
    keys = sorted(f"l/{number % 7}/{number:05} +%#" for number in range(1050))
    for start in range(0, len(keys), 525):
        async with anyio.create_task_group() as tasks:
            for part in range(30):
                tasks.start_soon(put_all, moving, place.bucket, keys[start + part : start + 525 : 30])
    entries = [entry async for entry in moving.list_objects(place.bucket, "l/")]
    assert [entry.object.key for entry in entries if isinstance(entry, ObjectInfo)] == keys
    cut = [entry async for entry in moving.list_objects(place.bucket, "l/", delimiter="/")]
    assert [getattr(entry, "prefix", None) for entry in cut] == [f"l/{number}/" for number in range(7)]


async def put_all(moving: Transfer, bucket: str, keys: list[str]) -> None:
    for key in keys:
        await moving.upload(b"x", S3Object(bucket, key))
