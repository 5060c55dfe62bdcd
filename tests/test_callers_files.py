"""Files, paths and streams of the caller's that raise, or lie: whatever they do is their item's error, and no other's."""

from __future__ import annotations

import asyncio
import builtins
import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncpresign import Download, InvalidRequest, LocalFileError, PresignError, S3Object, Transfer, Upload
from asyncpresign.transfer.files import Threads
from asyncpresign.transfer.sinks import open_sink
from asyncpresign.transfer.sources import open_source

from .fake_transport import FakeTransport, Say, World, make_signer
from .test_files import posix

METHODS = ("tell", "seek", "seekable", "read", "write", "truncate")


def exceptions() -> Iterator[BaseException]:
    """One of each kind that Python has, but those that end a process or that only Python makes."""
    yield asyncio.CancelledError()
    for kind in vars(builtins).values():
        if isinstance(kind, type) and issubclass(kind, Exception) and kind not in (BaseExceptionGroup, ExceptionGroup):
            made = kind("utf-8", b"", 0, 1, "x") if kind is UnicodeDecodeError else None
            made = kind("utf-8", "", 0, 1, "x") if kind is UnicodeEncodeError else made
            made = kind("", 0, 1, "x") if kind is UnicodeTranslateError else made
            yield made or kind("raised")


class Raising(io.BytesIO):
    """One method of which raises."""

    def __init__(self, method: str, error: BaseException) -> None:
        super().__init__(b"content")
        self._method, self._error = method, error

    def _call(self, name: str, *arguments: Any) -> Any:
        if name == self._method:
            raise self._error
        return getattr(io.BytesIO, name)(self, *arguments)

    def tell(self) -> Any:
        return self._call("tell")

    def seek(self, *arguments: Any) -> Any:
        return self._call("seek", *arguments)

    def seekable(self) -> Any:
        return self._call("seekable")

    def read(self, *arguments: Any) -> Any:
        return self._call("read", *arguments)

    def write(self, *arguments: Any) -> Any:
        return self._call("write", *arguments)

    def truncate(self, *arguments: Any) -> Any:
        return self._call("truncate", *arguments)


@pytest.mark.parametrize("method", METHODS)
async def test_whatever_a_file_raises_is_its_items_error(method: str) -> None:
    """In both directions; the download's first attempt breaks off, so that it seeks back and truncates."""
    raised = list(exceptions())
    answers = [Say(body=b"half", broken=True, announced=8), Say(body=b"whole!!!")]
    transport = FakeTransport(otherwise=lambda request, _: answers[0] if request.method == "GET" else Say())
    items = [Upload(Raising(method, each), S3Object("b", "k")) for each in raised]
    items += [Download(S3Object("b", "k"), Raising(method, each)) for each in raised]  # type: ignore[list-item]
    items.append(Upload(b"fine", S3Object("b", "k")))
    async with Transfer(make_signer(), transport=transport, edge=World().edge(), concurrency=4) as moving:
        report = await moving.run(items)
    assert report.done + report.failed == len(items)
    assert report.done >= 1
    assert all(isinstance(failure.error, PresignError) for failure in report.failures)
    if method in ("tell", "seek", "seekable", "read"):
        assert report.failed >= len(raised)


class Lying(io.BytesIO):
    def __init__(self, method: str, value: object) -> None:
        super().__init__(b"content")
        self._method, self._value = method, value

    def __getattribute__(self, name: str) -> Any:
        if name[:1] != "_" and name == self._method:
            return lambda *_: self._value
        return super().__getattribute__(name)


@pytest.mark.parametrize(
    ("method", "value"),
    [("tell", None), ("tell", "x"), ("read", b"x" * 99), ("read", None), ("read", "text"), ("read", 5)],
)
async def test_a_source_that_says_nonsense(method: str, value: object) -> None:
    transport = FakeTransport()
    async with Transfer(make_signer(), transport=transport, edge=World().edge()) as moving:
        with pytest.raises((InvalidRequest, LocalFileError)):
            await moving.upload(Lying(method, value), S3Object("b", "k"))


async def test_a_seek_that_returns_nothing_is_no_hindrance() -> None:
    class Old(io.BytesIO):
        def seek(self, *arguments: Any) -> Any:
            super().seek(*arguments)

    source = await open_source(Old(b"content"), None, Threads(1))
    assert b"".join([chunk async for chunk in source.chunks()]) == b"content"


@pytest.mark.parametrize("written", [-1, 99, "x", 1.5])
async def test_a_destination_that_takes_other_than_it_was_given(written: object) -> None:
    sink = await open_sink(Lying("write", written), "token", Threads(1))
    with pytest.raises(LocalFileError, match="cannot be written"):
        await sink.write(b"abc", 0)


class Awkward(os.PathLike[str]):
    def __init__(self, given: object) -> None:
        self._given = given

    def __fspath__(self) -> Any:
        if isinstance(self._given, Exception):
            raise self._given
        return self._given


@pytest.mark.parametrize("given", [RuntimeError("no"), b"bytes", 5, "", None], ids=lambda given: type(given).__name__)
async def test_a_path_that_is_none(given: object, tmp_path: Path) -> None:
    transport = FakeTransport(otherwise=Say(body=b"abc"))
    async with Transfer(make_signer(), transport=transport, edge=World().edge()) as moving:
        with pytest.raises(InvalidRequest, match="source: expected a path"):
            await moving.upload(Awkward(given), S3Object("b", "k"))
        with pytest.raises(InvalidRequest, match="destination: expected a path"):
            await moving.download(S3Object("b", "k"), Awkward(given))
        for journal in (None,):
            report = await moving.run(
                [
                    Upload(Awkward(given), S3Object("b", "k")),
                    Download(S3Object("b", "k"), Awkward(given)),
                    Upload(b"", S3Object("b", "k")),
                ],
                journal=journal,
            )
            assert (report.done, [type(failure.error) for failure in report.failures]) == (1, [InvalidRequest] * 2)


async def test_objects_whose_attributes_raise() -> None:
    class Hidden:
        @property
        def read(self) -> Any:
            raise RuntimeError("no")

        write = read

    class Nameless(io.BytesIO):
        @property
        def name(self) -> str:
            raise RuntimeError("no")

    class Stuck:
        def __aiter__(self) -> Any:
            raise RuntimeError("no")

    transport = FakeTransport()
    async with Transfer(make_signer(), transport=transport, edge=World().edge()) as moving:
        with pytest.raises(InvalidRequest, match="source"):
            await moving.upload(Hidden(), S3Object("b", "k"))  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest, match="destination"):
            await moving.download(S3Object("b", "k"), Hidden())  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest, match="source"):
            await moving.upload(Stuck(), S3Object("b", "k"), size=3)  # type: ignore[arg-type]
        assert (await moving.upload(Nameless(b"abc"), S3Object("b", "k"))).size == 3


# --- what the system says ---------------------------------------------------------------------------------------------


class Full(io.BytesIO):
    def write(self, _: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left")


@posix
async def test_an_error_of_the_system_can_be_caught_as_pythons_own(tmp_path: Path) -> None:
    """With its number and the file, whichever side failed."""
    missing, folder = tmp_path / "none", tmp_path / "none" / "file"
    async with Transfer(transport=FakeTransport(otherwise=Say(body=b"x"))) as moving:
        with pytest.raises(FileNotFoundError) as caught:
            await moving.upload(missing, "http://s3.test/bucket/key")
        assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, str(missing))
        with pytest.raises(FileNotFoundError) as caught:
            await moving.download("http://s3.test/bucket/key", folder)
        assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, str(folder))
        with pytest.raises(OSError, match="cannot be written") as full:
            await moving.download("http://s3.test/bucket/key", Full())
        assert (full.value.errno, full.value.filename) == (errno.ENOSPC, None)
        (tmp_path / "there").write_bytes(b"")
        with pytest.raises(OSError, match="exists") as there:
            await moving.download("http://s3.test/bucket/key", tmp_path / "there", if_exists="error")
        assert there.value.errno == errno.EEXIST
