"""No two different downloads of one run end in one file, by whatever names; equal ones are moved once."""

from __future__ import annotations

import io
import os
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import anyio.lowlevel
import anyio.to_thread
import pytest

from asyncpresign import (
    Directory,
    Download,
    FormUpload,
    InvalidRequest,
    ItemFinished,
    JournalError,
    S3Object,
    Transfer,
    TransferReport,
    UnsafePathError,
    Upload,
)
from asyncpresign.http.transport import Request
from asyncpresign.transfer.items import Item, Status
from asyncpresign.transfer.journal import Claims
from asyncpresign.transfer.tree import Locator, mixes_case

from .fake_transport import FakeTransport, Say, World, make_signer
from .test_files import posix

HOW = pytest.mark.parametrize("how", ["run", "stream", "journal"])


def content(request: Request, _: bytes) -> Say:
    return Say(body=request.url.partition("?")[0].encode())


async def moved(items: Any, tmp_path: Path, how: str, concurrency: int = 1, transport: Any = None) -> TransferReport:
    transport = transport or FakeTransport(otherwise=content)
    async with Transfer(make_signer(), transport=transport, edge=World().edge(), concurrency=concurrency) as moving:
        if how != "stream":
            return await moving.run(items, journal=tmp_path / "journal" if how == "journal" else None)
        report = TransferReport()
        async with moving.stream(items) as results:
            async for result in results:
                report.add(result)
        return report


def places(root: Path) -> dict[str, tuple[Any, Any]]:
    """Two ways to name one file; `root/real` and a link to it are there."""
    real = root / "real"
    inside = "http://h/1/f", Directory(real)
    return {
        "two URLs with one last piece": (inside, ("http://h/2/f", Directory(real))),
        "a folder and a path": (inside, ("http://h/2/g", real / "f")),
        "a name": (inside, ("http://h/2/g", Directory(real, name="f"))),
        "a folder of the root": (inside, ("http://h/2/g", Directory(root, name="real/f"))),
        "a path with dots": (inside, ("http://h/2/g", f"{real}/./../real//f")),
        "a relative path": (inside, ("http://h/2/g", os.path.relpath(real / "f"))),
        "a linked folder": (inside, ("http://h/2/g", root / "link" / "f")),
        "a root that is a link": (inside, ("http://h/2/f", Directory(root / "link"))),
        "a link to the file": (inside, ("http://h/2/g", root / "file link")),
        "folders that are not there yet": (
            ("http://h/1/f", Directory(root / "link", name="new/er/f")),
            ("http://h/2/f", Directory(real, name="new/er/f")),
        ),
        "another version": ((S3Object("b", "f", "1"), Directory(real)), (S3Object("b", "f", "2"), Directory(real))),
        "another bucket": ((S3Object("b", "f"), Directory(real)), (S3Object("c", "f"), Directory(real))),
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file link").symlink_to("real/f")
    return tmp_path


def file_of(root: Path) -> list[bytes]:
    return [path.read_bytes() for path in root.rglob("f") if path.is_file()]


@posix
@HOW
@pytest.mark.parametrize("if_exists", ["overwrite", "skip", "verify", "error"])
@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("ways", places(Path()).keys())
async def test_the_later_of_two_items_for_one_path_is_refused(
    ways: str, concurrency: int, if_exists: Any, how: str, root: Path
) -> None:
    (one, here), (other, there) = places(root)[ways]
    items = [Download(one, here), Download(other, there, if_exists=if_exists)]
    report = await moved(items, root, how, concurrency)
    assert (report.done, report.skipped, [type(failure.error) for failure in report.failures]) == (1, 0, [UnsafePathError])
    assert report.failures[0].item is items[1]
    assert len(await anyio.to_thread.run_sync(file_of, root)) == 1


@HOW
@pytest.mark.parametrize("concurrency", [1, 4])
async def test_equal_items_are_moved_once(how: str, concurrency: int, root: Path) -> None:
    transport = FakeTransport(otherwise=content)
    items = [
        Download("http://h/f?X-Amz-Signature=1&X-Amz-Date=1", root / "f"),
        Download("http://h/f?X-Amz-Signature=2&X-Amz-Date=2", Directory(root)),
        Download("http://h/f", root / "f", if_exists="overwrite", size=None),
    ]
    report = await moved(items, root, how, concurrency, transport)
    assert (report.done, report.skipped, report.failed, transport.sent) == (1, 2, 0, 1)


@HOW
async def test_other_places_are_other_items(how: str, root: Path) -> None:
    items: list[Item] = [Download("http://h/f", Directory(root / name)) for name in ("a", "b", "a/b")]
    items += [Download("http://h/f", root / name) for name in ("f", "F", "f ")]
    items += [Upload(b"abc", S3Object("b", "k"))] * (1 if how == "journal" else 2)
    report = await moved(items, root, how)
    assert (report.done, report.failed) == (len(items), 0)


@posix
@HOW
async def test_a_parent_behind_a_link_is_where_the_system_takes_it(how: str, root: Path) -> None:
    """`link/../f` is beside the folder that the link names, and not beside the link."""
    (root / "far" / "folder").mkdir(parents=True)
    (root / "away").symlink_to(root / "far" / "folder")
    source = "http://h/1/f"
    items = [
        Download(source, f"{root}/away/../f"),
        Download(source, root / "f"),
        Download(source, Directory(f"{root}/away/..")),
    ]
    report = await moved(items, root, how)
    assert (report.done, report.skipped, report.failed) == (2, 1, 0)
    assert (root / "far" / "f").read_bytes() == (root / "f").read_bytes() == b"http://h/1/f"


@posix
async def test_a_source_whose_parent_is_behind_a_link_is_another_one(root: Path) -> None:
    (root / "far" / "folder").mkdir(parents=True)
    (root / "away").symlink_to(root / "far" / "folder")
    for folder in (root, root / "far"):
        (folder / "f").write_bytes(b"x")
    items = [Upload(f"{root}/away/../f", S3Object("bucket", "k")), Upload(root / "f", S3Object("bucket", "k"))]
    assert (await moved(items, root, "journal")).done == 2


@HOW
async def test_a_thousand_objects_with_one_name_are_one_file_and_errors(how: str, root: Path) -> None:
    """What servers that hand out one file name for all lost silently before."""
    items = (Download(f"http://h/{number}/AO2D.root", Directory(root)) for number in range(100))
    report = await moved(items, root, how, 8)
    assert (report.done, report.failed) == (1, 99)


async def test_what_an_earlier_run_brought_is_not_overwritten_by_another_item(root: Path) -> None:
    one, other = Download("http://h/1", root / "f"), Download("http://h/2", root / "f")
    assert (await moved([one], root, "journal")).done == 1
    report = await moved([other], root, "journal")
    assert [type(failure.error) for failure in report.failures] == [UnsafePathError]
    assert (await moved([one], root, "journal")).skipped == 1


async def test_what_failed_in_an_earlier_run_does_not_keep_its_path(root: Path) -> None:
    one, other = Download("http://h/1", root / "f"), Download("http://h/2", root / "f")
    refusing = FakeTransport(otherwise=Say(404))
    assert (await moved([one], root, "journal", transport=refusing)).failed == 1
    assert (await moved([other], root, "journal")).done == 1
    report = await moved([one], root, "journal")
    assert [type(failure.error) for failure in report.failures] == [UnsafePathError]


@pytest.mark.parametrize("suffix", ["", "-wal"])
async def test_the_journal_itself_is_no_destination(suffix: str, root: Path) -> None:
    items = [Download("http://h/1", root / f"journal{suffix}"), Download("http://h/2", root / "f")]
    report = await moved(items, root, "journal")
    assert (report.done, [type(failure.error) for failure in report.failures]) == (1, [UnsafePathError])
    assert (await moved(items, root, "journal")).skipped == 1


@pytest.mark.parametrize("how", ["run", "stream"])
async def test_a_file_of_the_callers_takes_one_item_at_a_time(how: str, root: Path) -> None:
    for concurrency in (1, 2):
        file, transport = io.BytesIO(), FakeTransport(otherwise=content)
        items = [Download(f"http://h/{number}", file) for number in range(2)]
        report = await moved(items, root, how, concurrency, transport)
        assert transport.most_open == 1
        # The later one is refused if it comes while the first is under way.
        assert (report.done, file.getvalue()) in ((2, b"http://h/0http://h/1"), (2 - (concurrency > 1), b"http://h/0"))


def nameless(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY), "wb")


# Two open files that are one: `root/f`, which is there, and has another name beside it.
OPEN_FILES: dict[str, Callable[[Path], tuple[Any, Any]]] = {
    "with different modes": lambda root: ((root / "f").open("wb"), (root / "f").open("r+b")),
    "two objects": lambda root: ((root / "f").open("wb"), (root / "f").open("wb")),
    "an object without a buffer": lambda root: ((root / "f").open("wb", buffering=0), (root / "f").open("wb")),
    "an object without a name": lambda root: (nameless(root / "f"), (root / "f").open("wb")),
    "a duplicate": lambda root: ((file := (root / "f").open("wb")), os.fdopen(os.dup(file.fileno()), "wb")),
    "another name of the file": lambda root: ((root / "f").open("wb"), (root / "other").open("wb")),
}


@posix
@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize("how", ["run", "stream"])
@pytest.mark.parametrize("ways", OPEN_FILES)
async def test_the_later_of_two_open_files_that_are_one_is_refused(ways: str, how: str, concurrency: int, root: Path) -> None:
    """Each writes from where it stands: what the first brought would be written over."""
    (root / "f").write_bytes(b"before")
    os.link(root / "f", root / "other")
    one, other = OPEN_FILES[ways](root)
    with one, other:
        items = [Download(f"http://h/{number}", file) for number, file in enumerate((one, other))]
        report = await moved(items, root, how, concurrency)
        assert (report.done, [type(failure.error) for failure in report.failures]) == (1, [UnsafePathError])
        assert report.failures[0].item is items[1]
    assert (root / "f").read_bytes() == b"http://h/0"


@posix
@pytest.mark.parametrize("how", ["run", "stream"])
async def test_one_open_file_takes_items_one_after_the_other(how: str, root: Path) -> None:
    with (root / "f").open("wb") as file:
        report = await moved([Download(f"http://h/{number}", file) for number in range(3)], root, how)
    assert (report.done, (root / "f").read_bytes()) == (3, b"http://h/0http://h/1http://h/2")


@posix
@pytest.mark.parametrize("how", ["run", "stream"])
async def test_temporary_files_that_get_the_inode_of_an_earlier_one_are_not_taken_for_it(how: str, root: Path) -> None:
    kept: list[Any] = []

    def items() -> Any:
        for number in range(20):
            for file in kept[-1:]:
                file.close()
            kept.append(tempfile.TemporaryFile(dir=root))  # noqa: SIM115 (closed when the next item is asked for)
            yield Download(f"http://h/{number}", kept[-1])

    report = await moved(items(), root, how)
    kept[-1].close()
    assert (report.done, report.failed) == (20, 0)


@posix
@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize("how", ["run", "stream"])
@pytest.mark.parametrize("name", ["real/f", "link/f"])
@pytest.mark.parametrize("opened", [nameless, lambda path: path.open("r+b")])
async def test_a_path_and_an_open_file_of_it_are_one_place(
    opened: Callable[[Path], BinaryIO], name: str, how: str, concurrency: int, root: Path
) -> None:
    """The later one is refused: the path's new file would take the place of the one that the object writes to."""
    path = root / "real" / "f"
    path.write_bytes(b"before")
    with opened(path) as file:
        items = [Download("http://h/1", file), Download("http://h/2", root / name)]
        report = await moved(items, root, how, concurrency)
        assert (report.done, [type(failure.error) for failure in report.failures]) == (1, [UnsafePathError])
        assert report.failures[0].item is items[1]
    assert path.read_bytes() == b"http://h/1"


@posix
@pytest.mark.parametrize("how", ["run", "stream"])
async def test_a_file_that_an_item_brought_is_not_opened_for_another(how: str, root: Path) -> None:
    def items() -> Any:
        yield Download("http://h/1", root / "f")
        with (root / "f").open("r+b") as file:
            yield Download("http://h/2", file)

    report = await moved(items(), root, how)
    assert (report.done, [type(failure.error) for failure in report.failures]) == (1, [UnsafePathError])
    assert (root / "f").read_bytes() == b"http://h/1"


@posix
@pytest.mark.parametrize("most", [1, 100], ids=["claims in a file", "claims in memory"])
@pytest.mark.parametrize("how", ["run", "stream"])
@pytest.mark.parametrize("name", ["real/f", "link/f"])
async def test_an_open_file_that_an_item_replaced_takes_nothing(
    name: str, how: str, most: int, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No path leads to it any more, so what it gets is lost when it is closed."""
    monkeypatch.setattr("asyncpresign.transfer.job.Claims", lambda: Claims(most))
    path = root / "real" / "f"
    path.write_bytes(b"before")
    with (root / name).open("r+b") as file:
        items = [Download("http://h/0", root / "g"), Download("http://h/1", path), Download("http://h/2", file)]
        report = await moved(items, root, how)
        assert (report.done, [type(failure.error) for failure in report.failures]) == (2, [UnsafePathError])
        assert report.failures[0].item is items[2]
        assert file.read() == b"before"
    assert path.read_bytes() == b"http://h/1"


@posix
@pytest.mark.parametrize("most", [1, 100], ids=["claims in a file", "claims in memory"])
@pytest.mark.parametrize("how", ["run", "stream"])
async def test_an_open_file_that_the_caller_moved_away_leaves_its_old_path_to_others(
    how: str, most: int, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncpresign.transfer.job.Claims", lambda: Claims(most))
    with (root / "f").open("wb") as file:
        (root / "f").rename(root / "moved")
        (root / "f").write_bytes(b"another")
        items = [Download("http://h/0", root / "g"), Download("http://h/1", file), Download("http://h/2", root / "f")]
        report = await moved(items, root, how)
    assert (report.done, report.failed) == (3, 0)
    assert ((root / "moved").read_bytes(), (root / "f").read_bytes()) == (b"http://h/1", b"http://h/2")


class Odd(io.BytesIO):
    """Whose attributes raise."""

    name = property(lambda self: 1 / 0)

    def fileno(self) -> int:
        raise RuntimeError


@posix
@pytest.mark.parametrize("how", ["run", "stream"])
async def test_files_that_are_not_one_are_all_written(how: str, root: Path) -> None:
    with (root / "a").open("wb") as a, tempfile.TemporaryFile() as b, open(os.devnull, "wb") as c, open(os.devnull, "wb") as d:
        destinations = [a, b, c, d, Odd(), Odd(), io.BytesIO(), root / "e"]
        report = await moved([Download(f"http://h/{number}", each) for number, each in enumerate(destinations)], root, how, 8)
        assert (report.done, report.failed) == (len(destinations), 0)


# --- equal items ------------------------------------------------------------------------------------------------------


@HOW
@pytest.mark.parametrize("concurrency", [1, 3])
async def test_an_equal_item_is_moved_when_the_first_failed(how: str, concurrency: int, root: Path) -> None:
    """What is reported as skipped is somewhere done."""
    transport = FakeTransport([Say(404), Say(404)], otherwise=content)
    items = [Download("http://h/f", root / "f"), Download("http://h/f", Directory(root)), Download("http://h/f", f"{root}/./f")]
    report = await moved([*items, items[0]], root, how, concurrency, transport)
    assert (report.failed, report.done, report.skipped, transport.sent) == (2, 1, 1, 3)
    assert (root / "f").read_bytes() == b"http://h/f"


@HOW
async def test_an_equal_item_waits_for_the_first(how: str, root: Path) -> None:
    """The results come in the order of their ends: none is skipped before the first is done."""
    order: list[str] = []

    async def before(_: Request) -> None:
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        order.append("sent")

    transport = FakeTransport(otherwise=content, before=before)
    async with Transfer(transport=transport, edge=World().edge(), concurrency=4) as moving:
        items = [Download("http://h/f", root / "f")] * 3

        def note(event: Any) -> None:
            if isinstance(event, ItemFinished):
                order.append(event.result.status.value)

        if how == "stream":
            async with moving.stream(items) as results:
                order.extend([result.status.value async for result in results])
        else:
            await moving.run(items, journal=root / "journal" if how == "journal" else None, on_event=note)
    assert order == ["sent", "done", "skipped", "skipped"]


MOVES: dict[str, Callable[[str], Item]] = {
    "an upload": lambda name: Upload(b"x", S3Object("b", "k"), id=name),
    "an upload to a URL": lambda name: Upload(b"x", "http://h/upload", id=name),
    "a form": lambda name: FormUpload(b"x", S3Object("b", "k"), id=name),
}


@pytest.mark.parametrize("concurrency", [1, 2, 3])
@pytest.mark.parametrize("kind", MOVES)
async def test_items_that_move_the_same_by_other_ids_are_all_moved(kind: str, concurrency: int, root: Path) -> None:
    """An `id` is the caller's word that they are other items; one that ends does not end another's."""
    transport = FakeTransport()
    items = [MOVES[kind](name) for name in "abc"]
    report = await moved([*items, *items], root, "journal", concurrency, transport)
    assert (report.done, report.skipped, report.failures, transport.sent) == (3, 3, [], 3)
    assert (await moved(items, root, "journal", concurrency, transport)).skipped == 3


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_a_download_by_another_id_waits_for_the_first_to_its_path(concurrency: int, root: Path) -> None:
    transport = FakeTransport([Say(404)], otherwise=content)
    items = [Download("http://h/f", root / "f", id=name) for name in "abc"]
    report = await moved(items, root, "journal", concurrency, transport)
    assert (report.failed, report.done, report.skipped, transport.sent) == (1, 1, 1, 2)


@posix
async def test_another_spelling_of_a_destination_is_the_same_item_in_a_later_run(root: Path) -> None:
    source = "http://h/f"
    assert (await moved([Download(source, root / "real" / "f")], root, "journal")).done == 1
    spellings = [root / "link" / "f", f"/{root}//real/./f", Directory(root / "link"), os.path.relpath(root / "real" / "f")]
    for spelling in spellings:
        report = await moved([Download(source, spelling)], root, "journal")
        assert (report.skipped, report.failed) == (1, 0), spelling


@pytest.mark.parametrize("mixes", [False, True])
async def test_a_disk_that_mixes_names_up(mixes: bool, root: Path) -> None:
    locator = Locator(lambda _: mixes)
    names = ["ä/Straße", "A\u0308/STRASSE", "a\u0308/strasse"]
    found = {await anyio.to_thread.run_sync(locator.locate, str(root / name)) for name in names}
    assert len(found) == (1 if mixes else 3)


def test_whether_a_disk_mixes_names_up_is_looked_at(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = root / "Cased"
    folder.mkdir()
    assert not mixes_case(str(folder))
    assert not mixes_case(str(folder / "none" / "there"))
    look = os.lstat
    monkeypatch.setattr(os, "lstat", lambda path: look(str(path).replace("cASED", "Cased")))
    assert mixes_case(str(folder))
    assert mixes_case(str(folder / "1"))


def test_a_locator_forgets_and_notices_another_folder_of_the_same_name(root: Path) -> None:
    locator = Locator()
    locator.MOST = 2  # type: ignore[misc]
    for name in "abcd":
        (root / name).mkdir()
        assert locator.locate(str(root / name / "f")) == str(root / name / "f")
    assert len(locator._folders) <= 2
    (root / "d").rmdir()
    (root / "d").symlink_to("a")
    assert locator.locate(str(root / "d" / "f")) == str(root / "a" / "f")


# --- rows that somebody damaged ---------------------------------------------------------------------------------------


def damage(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "update item set state = 7 where state = 2",
        "update item set state = 'x' where state = 2",
        "update item set what = 'text' where state = 2",
        "update item set run = 'x' where state = 2",
        "update item set memo = 'no JSON' where state = 2",
        "update item set memo = x'ff' where state = 2",
        "update item set memo = cast(x'ff' as text) where state = 2",
        "update item set memo = '{\"upload_id\": 5}' where state = 2",
        "update item set memo = 5 where state = 2",
        f"update item set memo = '{'[' * 100_000}' where state = 2",
    ],
    ids=lambda statement: statement[16:45],
)
async def test_a_damaged_row_is_its_items_error_and_the_others_go_on(statement: str, root: Path) -> None:
    items = [Download(f"http://h/{number}", root / f"{number}") for number in range(4)]

    def once(request: Request, _: bytes) -> Say:
        return Say(404) if request.url == "http://h/1" else content(request, b"")

    report = await moved(items[:3], root, "journal", transport=FakeTransport(otherwise=once))
    assert (report.done, report.failed) == (2, 1)
    await anyio.to_thread.run_sync(damage, root / "journal", statement)
    report = await moved(items, root, "journal")
    assert (report.done, report.skipped, [type(failure.error) for failure in report.failures]) == (1, 2, [JournalError])
    assert report.failures[0].item is items[1]


# --- what is known by what --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "items",
    [
        lambda: [Upload(b"x", f"http://h/upload?name={name}") for name in "abc"],
        lambda: [Upload(b"x", S3Object("b", "k"), params={"Metadata": {"n": name}}) for name in "abc"],
        lambda: [Upload(b"x", f"http://{name}@h/upload") for name in "abc"],
        lambda: [Upload(b"x", f"http://h/upload%2{name}") for name in "abc"],
    ],
)
async def test_items_that_differ_in_what_decides_are_all_moved(items: Callable[[], list[Item]], root: Path) -> None:
    transport = FakeTransport()
    report = await moved(items(), root, "journal", transport=transport)
    assert (report.done, report.skipped, transport.sent) == (3, 0, 3)
    assert (await moved(items(), root, "journal", transport=transport)).skipped == 3


async def test_a_parameter_that_cannot_be_compared_is_that_items_error(root: Path) -> None:
    items = [Upload(b"x", S3Object("b", "k"), params={"Metadata": object()}), Upload(b"x", S3Object("b", "k"))]
    report = await moved(items, root, "journal")
    assert (report.done, [type(failure.error) for failure in report.failures]) == (1, [InvalidRequest])


async def test_one_result_is_skipped_and_says_so(root: Path) -> None:
    item = Download("http://h/1", root / "f")
    transport = FakeTransport(otherwise=content)
    async with (
        Transfer(transport=transport, edge=World().edge(), concurrency=1) as moving,
        moving.stream([item, item]) as results,
    ):
        assert [result.status async for result in results] == [Status.DONE, Status.SKIPPED]
