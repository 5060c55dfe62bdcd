"""Whatever foreign code raises at any seam is its item's failure or is raised: there are as many outcomes as items."""

from __future__ import annotations

import asyncio
import builtins
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from asyncpresign import (
    Credentials,
    CredentialsError,
    Download,
    FormUpload,
    ItemStarted,
    OfflineSigner,
    PresignedPost,
    PresignedRequest,
    PresignError,
    S3Object,
    Transfer,
    TransferError,
    TransferReport,
    Upload,
)
from asyncpresign.transfer.crew import Caught, as_presign_error, finish, work_through
from asyncpresign.transfer.files import Threads

from .fake_transport import NOW, SECRET, FakeTransport, Say, World, make_signer

CREDENTIALS = Credentials("AKIDEXAMPLE", SECRET)
# These end the process or close a coroutine; they are nobody's failure.
NOT_CAUGHT = (KeyboardInterrupt, SystemExit, GeneratorExit, BaseException, BaseExceptionGroup)
COUNT = 4
OBJECTS = [Download(S3Object("bucket", f"k{number}")) for number in range(COUNT)]


class _Unshowable(Exception):
    def __str__(self) -> str:
        raise LookupError


def every_exception() -> list[BaseException]:
    """One of each that Python has, and what tends to be forgotten."""
    special: Mapping[Any, Callable[[], BaseException]] = {
        UnicodeDecodeError: lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "reason"),
        UnicodeEncodeError: lambda: UnicodeEncodeError("utf-8", "\ud800", 0, 1, "reason"),
        UnicodeTranslateError: lambda: UnicodeTranslateError("\ud800", 0, 1, "reason"),
        ExceptionGroup: lambda: ExceptionGroup("several", [ValueError()]),
    }
    kinds = {kind for kind in vars(builtins).values() if isinstance(kind, type) and issubclass(kind, BaseException)}
    found = [special.get(kind, kind)() for kind in sorted(kinds - set(NOT_CAUGHT), key=lambda kind: kind.__name__)]
    return [*found, asyncio.CancelledError(), _Unshowable()]


class Bad:
    """Raises the next exception when it is called for the second time."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self._calls = 0

    def __call__(self) -> None:
        self._calls += 1
        if self._calls == 2:
            raise self.error


class BadSigner(OfflineSigner):
    def __init__(self, bad: Bad, credentials: Any = CREDENTIALS) -> None:
        super().__init__(credentials, region="us-east-1", endpoint_url="http://s3.test", clock=lambda: NOW)
        self._bad = bad

    async def presign(self, *arguments: Any, **options: Any) -> PresignedRequest:
        self._bad()
        return await super().presign(*arguments, **options)

    async def presign_post(self, *arguments: Any, **options: Any) -> PresignedPost:
        self._bad()
        return await super().presign_post(*arguments, **options)


class BadFile:
    """A binary file of ten bytes, one of whose methods raises."""

    def __init__(self, method: str, bad: Bad) -> None:
        methods: dict[str, Callable[..., Any]] = {
            "read": lambda size=-1: b"x" * min(size, 10),
            "write": len,
            "seek": lambda at, whence=0: 10 if whence else at,
            "tell": lambda: 0,
            "seekable": lambda: True,
        }
        self.__dict__.update(methods)

        def fail(*_: Any) -> Any:
            raise bad.error

        self.__dict__[method] = fail


class BadPath:
    def __init__(self, bad: Bad) -> None:
        self._bad = bad

    def __fspath__(self) -> str:
        raise self._bad.error


class BadMapping(dict[str, Any]):
    def __init__(self, bad: Bad) -> None:
        super().__init__(a="b")
        self._bad = bad

    def keys(self) -> Any:
        raise self._bad.error

    def items(self) -> Any:
        raise self._bad.error

    def __iter__(self) -> Any:
        raise self._bad.error


async def chunks(bad: Bad) -> AsyncIterator[bytes]:
    yield b"12345"
    raise bad.error


def bad_transport(bad: Bad) -> FakeTransport:
    async def before(_: object) -> None:
        bad()

    return FakeTransport(otherwise=Say(body=b"0123456789"), before=before)


# Seam -> the one bad item among good ones.
ITEMS: Mapping[str, Callable[[Bad], Any]] = {
    "the stream of an upload": lambda bad: Upload(chunks(bad), S3Object("bucket", "k"), size=10),
    "the stream of a form": lambda bad: FormUpload(chunks(bad), S3Object("bucket", "k"), size=10),
    **{
        f"a source's {method}": lambda bad, method=method: Upload(BadFile(method, bad), S3Object("bucket", "k"))  # type: ignore[misc]
        for method in ("read", "seek", "tell", "seekable")
    },
    **{
        f"a destination's {method}": lambda bad, method=method: Download(S3Object("bucket", "k"), BadFile(method, bad))  # type: ignore[misc]
        for method in ("write",)
    },
    "the path of a source": lambda bad: Upload(BadPath(bad), S3Object("bucket", "k")),
    "the path of a destination": lambda bad: Download(S3Object("bucket", "k"), BadPath(bad)),
    "parameters": lambda bad: Download(S3Object("bucket", "k"), params=BadMapping(bad)),
    "fields": lambda bad: FormUpload(b"x", S3Object("bucket", "k"), fields=BadMapping(bad)),
}

Made = tuple[FakeTransport, OfflineSigner, list[Any]]


def _good() -> tuple[FakeTransport, OfflineSigner]:
    return FakeTransport(otherwise=Say(body=b"0123456789")), BadSigner(Bad(LookupError()))


def _source_in_a_thread(bad: Bad) -> Callable[[], Credentials]:
    def source() -> Credentials:
        raise bad.error

    return source


def _async_source(bad: Bad) -> Callable[[], Awaitable[Credentials]]:
    async def source() -> Credentials:
        raise bad.error

    return source


async def _run(bad: Bad, seam: str, journal: Path | None) -> TransferReport:
    transport, items = FakeTransport(otherwise=Say(body=b"0123456789")), list[Any](OBJECTS)
    signer: Any = BadSigner(Bad(LookupError()))
    signer._bad = lambda: None
    if seam in ITEMS:
        items[1] = ITEMS[seam](bad)
    elif seam == "the signer":
        signer._bad = bad
    elif seam == "the transport":
        transport = bad_transport(bad)
    if journal is not None:
        kept = items[1] if seam in ITEMS else None
        items = [item if item is kept else Download(item.source, journal.with_name(item.source.key)) for item in items]
    async with Transfer(signer, transport=transport, edge=World().edge(), concurrency=1) as transfer:
        return await transfer.run(items, journal=journal)


@pytest.mark.parametrize("seam", [*ITEMS, "the signer", "the transport"])
async def test_what_code_of_an_item_raises_is_its_failure_and_no_others(seam: str) -> None:
    for error in every_exception():
        report = await _run(Bad(error), seam, None)
        assert (report.done, report.failed) == (COUNT - 1, 1), (error, report)
        assert isinstance(report.failures[0].error, PresignError)


@pytest.mark.parametrize("seam", ["the path of a source", "the path of a destination", "parameters", "the signer"])
async def test_the_same_holds_with_a_journal(seam: str, tmp_path: Path) -> None:
    for number, error in enumerate([ValueError(), RecursionError(), StopAsyncIteration(), asyncio.CancelledError(), OSError()]):
        report = await _run(Bad(error), seam, tmp_path / f"{number}.journal")
        assert (report.done, report.failed) == (COUNT - 1, 1), (error, report)
        assert isinstance(report.failures[0].error, PresignError)


@pytest.mark.parametrize("make_source", [_source_in_a_thread, _async_source])
async def test_what_a_credential_source_raises_fails_the_items(make_source: Callable[[Bad], Any]) -> None:
    for error in every_exception():
        signer = OfflineSigner(make_source(Bad(error)), region="us-east-1", endpoint_url="http://s3.test", clock=lambda: NOW)
        async with Transfer(signer, transport=FakeTransport(), edge=World().edge()) as transfer:
            report = await transfer.run(OBJECTS)
        assert (report.done, report.failed) == (0, COUNT), error
        assert {type(result.error) for result in report.failures} <= {CredentialsError, TransferError}


def _iterable(bad: Bad) -> Iterator[Any]:
    for item in OBJECTS:
        bad()
        yield item


class _Iterator:
    """Not a generator, which turns a StopIteration into another error."""

    def __init__(self, bad: Bad) -> None:
        self._bad = bad

    def __iter__(self) -> _Iterator:
        return self

    def __next__(self) -> Any:
        self._bad()
        return OBJECTS[0]


async def _async_iterable(bad: Bad) -> AsyncIterator[Any]:
    for item in OBJECTS:
        bad()
        yield item


async def _all_of(transfer: Transfer, items: Any, results: list[Any]) -> None:
    async with transfer.stream(items) as found:
        async for result in found:
            results.append(result)  # noqa: PERF401 (what came before a failure counts)


@pytest.mark.parametrize("iterable", [_iterable, _Iterator, _async_iterable])
@pytest.mark.parametrize("how", ["run", "stream"])
async def test_what_the_items_raise_is_raised(how: str, iterable: Callable[[Bad], Any]) -> None:
    for error in every_exception():
        if iterable is _Iterator and isinstance(error, StopIteration):
            continue  # the end, by Python's own rule
        transport, signer = _good()
        signer._bad = lambda: None  # type: ignore[attr-defined]
        results: list[Any] = []
        async with Transfer(signer, transport=transport, edge=World().edge()) as transfer:
            with pytest.raises(Exception) as caught:  # noqa: PT011 (one of every kind)
                await (transfer.run(iterable(Bad(error))) if how == "run" else _all_of(transfer, iterable(Bad(error)), results))
        wrapped = (asyncio.CancelledError, StopIteration, StopAsyncIteration)
        assert caught.value is error or isinstance(error, wrapped), caught.value
        assert how == "run" or [result.status for result in results] == ["done"]


async def test_what_on_event_raises_is_raised() -> None:
    for error in every_exception():
        transport, signer = _good()
        signer._bad = lambda: None  # type: ignore[attr-defined]

        def on_event(event: object, error: BaseException = error) -> None:
            if isinstance(event, ItemStarted) and event.item is OBJECTS[2]:
                raise error

        async with Transfer(signer, transport=transport, edge=World().edge()) as transfer:
            with pytest.raises(Exception):  # noqa: B017, PT011 (one of every kind)
                await transfer.run(OBJECTS, on_event=on_event)


@pytest.mark.parametrize("method", ["download", "upload", "upload_form", "send"])
async def test_a_single_call_raises_errors_of_ours_only(method: str) -> None:
    request = PresignedRequest("GET", "http://host/k", {}, NOW.replace(year=2030))
    post = PresignedPost("http://host/b", {"key": "k"}, NOW.replace(year=2030))
    calls: Mapping[str, Callable[[Transfer], Awaitable[object]]] = {
        "download": lambda transfer: transfer.download(request),
        "upload": lambda transfer: transfer.upload(b"x", "http://host/k"),
        "upload_form": lambda transfer: transfer.upload_form(b"x", post),
        "send": lambda transfer: transfer.send(request),
    }
    for error in every_exception():
        async with Transfer(transport=bad_transport(Bad(error)), edge=World().edge()) as transfer:
            await calls[method](transfer)
            with pytest.raises(PresignError):
                await calls[method](transfer)


async def test_opening_and_listing_raise_errors_of_ours_only() -> None:
    for error in every_exception():
        transport, signer = bad_transport(Bad(error)), make_signer()
        async with Transfer(signer, transport=transport, edge=World().edge()) as transfer:
            async with transfer.open("http://host/k"):
                pass
            with pytest.raises(PresignError):
                await transfer.open("http://host/k").__aenter__()
        async with Transfer(signer, transport=bad_transport(Bad(error)), edge=World().edge()) as transfer:
            async with transfer.open("http://host/k"):
                pass
            with pytest.raises(PresignError):
                await anext(transfer.list_objects("bucket"))


async def test_what_is_raised_inside_of_an_open_response_comes_out_as_it_is() -> None:
    async with Transfer(transport=FakeTransport(), edge=World().edge()) as transfer:
        with pytest.raises(LookupError, match="mine"):
            async with transfer.open("http://host/k"):
                raise LookupError("mine")


@pytest.mark.parametrize("how", ["run", "stream"])
async def test_an_item_that_cannot_even_be_told_from_others_fails_alone(how: str, tmp_path: Path) -> None:
    end = NOW.replace(year=2030)
    for number, bad in enumerate(
        [
            Download(PresignedRequest("GET", "http://host/k", {1: "a"}, end), tmp_path / "a"),  # type: ignore[dict-item]
            Download(PresignedRequest("GET", "http://host/k", {"a": b"a"}, end), tmp_path / "b"),  # type: ignore[dict-item]
            Download(PresignedRequest("GET", "http://host/k", None, end), tmp_path / "c"),  # type: ignore[arg-type]
            Download(PresignedRequest("GET", 5, {}, end), tmp_path / "d"),  # type: ignore[arg-type]
            Download(S3Object("bucket", "k"), tmp_path / "e", params=BadMapping(Bad(RuntimeError()))),
            Download(S3Object("bucket", "k"), tmp_path / "f", params=BadMapping(Bad(asyncio.CancelledError()))),
            Download(S3Object("bucket", "k"), BadPath(Bad(asyncio.CancelledError()))),  # type: ignore[arg-type]
        ]
    ):
        results: list[Any] = []
        transport = FakeTransport(otherwise=Say(body=b"0123456789"))
        async with Transfer(make_signer(), transport=transport, edge=World().edge()) as transfer:
            items = [OBJECTS[0], bad, OBJECTS[1]]
            if how == "run":
                report = await transfer.run(items)
                assert (report.done, report.failed) == (2, 1), number
            else:
                await _all_of(transfer, items, results)
                assert sorted(result.status for result in results) == ["done", "done", "failed"], number


async def _scoped(scope: Any, count: int = 12) -> AsyncIterator[Any]:
    async with scope:
        for number in range(count):
            await asyncio.sleep(0)
            yield Download(S3Object("bucket", f"k{number}"))


class _Scope:
    """anyio's, as an asynchronous context."""

    async def __aenter__(self) -> None:
        self._scope = anyio.CancelScope()
        self._scope.__enter__()

    async def __aexit__(self, *error: object) -> None:
        self._scope.__exit__(*error)


SCOPES: Mapping[str, Callable[[], Any]] = {
    "asyncio.timeout": lambda: asyncio.timeout(60),
    "asyncio.TaskGroup": asyncio.TaskGroup,
    "anyio.CancelScope": _Scope,
    "anyio.create_task_group": anyio.create_task_group,
}


@pytest.mark.parametrize("concurrency", [1, 16])
@pytest.mark.parametrize("scope", SCOPES)
async def test_items_may_come_from_a_generator_that_holds_a_scope(scope: str, concurrency: int) -> None:
    async with Transfer(make_signer(), transport=FakeTransport(), edge=World().edge(), concurrency=concurrency) as transfer:
        report = await transfer.run(_scoped(SCOPES[scope]()))
    assert (report.done, report.failed) == (12, 0)


async def test_a_scope_of_the_items_that_expires_ends_no_other_item() -> None:
    """The timeout of the generator cancels the task that advances it, and none that moves an item."""
    expired = asyncio.timeout(None)

    async def items() -> AsyncIterator[Any]:
        with suppress(TimeoutError):
            async with expired:
                for number in range(4):
                    yield Download(S3Object("bucket", f"k{number}"))
                expired.reschedule(0)
                await anyio.sleep_forever()

    async with Transfer(make_signer(), transport=FakeTransport(), edge=World().edge(), concurrency=2) as transfer:
        report = await transfer.run(items())
    assert (report.done, report.failed) == (4, 0)


async def test_items_that_cancel_who_reads_them_are_no_end() -> None:
    async def items() -> AsyncIterator[Any]:
        task = asyncio.current_task()
        assert task is not None
        yield OBJECTS[0]
        task.cancel()
        yield OBJECTS[1]

    async with Transfer(make_signer(), transport=FakeTransport(), edge=World().edge(), concurrency=1) as transfer:
        with pytest.raises(TransferError, match="reading the items was cancelled"):
            await transfer.run(items())


# --- what is not an Exception -----------------------------------------------------------------------------------------


class _Ending(BaseException):
    """Of a framework's own, as pytest and trio have them."""


ENDINGS = [KeyboardInterrupt, SystemExit, GeneratorExit, _Ending]


async def _to_a_server(bad: Bad) -> None:
    """The chunks of a body are read in a task of aiohttp's."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(10)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server, Transfer() as transfer:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/k"
        await transfer.upload(chunks(bad), url, size=10)


async def _in_the_stream(bad: Bad) -> None:
    transfer = Transfer(make_signer(), transport=FakeTransport(), edge=World().edge())
    async with transfer, transfer.stream(OBJECTS):
        raise bad.error


async def _by_on_event(bad: Bad) -> None:
    async with Transfer(make_signer(), transport=FakeTransport(), edge=World().edge()) as transfer:
        await transfer.run(OBJECTS, on_event=lambda _: bad())


async def _from_items(iterable: Callable[[Bad], Any], bad: Bad) -> None:
    async with Transfer(make_signer(), transport=FakeTransport(), edge=World().edge()) as transfer:
        await transfer.run(iterable(bad))


async def _from_a_source_of_credentials(make_source: Callable[[Bad], Any], bad: Bad) -> None:
    signer = OfflineSigner(make_source(bad), region="us-east-1", endpoint_url="http://s3.test", clock=lambda: NOW)
    async with Transfer(signer, transport=FakeTransport(), edge=World().edge()) as transfer:
        await transfer.run(OBJECTS)


async def _in_parts(bad: Bad) -> None:
    MiB = 1024 * 1024
    async with Transfer(
        BadSigner(bad), transport=FakeTransport(), edge=World().edge(), part_size=5 * MiB, multipart_threshold=5 * MiB
    ) as transfer:
        await transfer.upload(bytes(6 * MiB), S3Object("bucket", "k"))


PLACES: Mapping[str, Callable[[Bad], Awaitable[object]]] = {
    **{seam: lambda bad, seam=seam: _run(bad, seam, None) for seam in [*ITEMS, "the signer", "the transport"]},  # type: ignore[misc]
    "the body of a stream": _in_the_stream,
    "on_event": _by_on_event,
    "an iterable": lambda bad: _from_items(_iterable, bad),
    "an iterator": lambda bad: _from_items(_Iterator, bad),
    "an async iterable": lambda bad: _from_items(_async_iterable, bad),
    "a source of credentials in a thread": lambda bad: _from_a_source_of_credentials(_source_in_a_thread, bad),
    "an async source of credentials": lambda bad: _from_a_source_of_credentials(_async_source, bad),
    "the signer of a multipart upload": _in_parts,
    "a body that a server reads": _to_a_server,
}


@pytest.mark.parametrize("place", PLACES)
def test_what_is_not_an_exception_reaches_the_caller_as_it_is(place: str) -> None:
    """Neither in a group, nor past the caller's own `except`, which asyncio does with KeyboardInterrupt and SystemExit."""

    async def calling(error: BaseException) -> BaseException | None:
        try:
            await PLACES[place](Bad(error))
        except BaseException as caught:  # noqa: BLE001 (what this is about)
            return caught
        return None

    for kind in ENDINGS:
        error = kind("as it is")
        caught = asyncio.run(calling(error))
        # A GeneratorExit that a future brings out of a thread is another one: Python closes the coroutine by one of its own.
        assert caught is error or (kind is GeneratorExit and type(caught) is kind), caught


@pytest.mark.parametrize("error", [asyncio.CancelledError(), BaseExceptionGroup("mine", [_Ending()]), StopAsyncIteration()])
async def test_what_is_raised_in_a_stream_leaves_it_as_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        await _in_the_stream(Bad(error))
    assert caught.value is error


# --- cancellation -----------------------------------------------------------------------------------------------------


async def test_a_task_of_somebody_else_that_was_cancelled_fails_one_item_of_many() -> None:
    """The usual way: a token service's own task, which was cancelled, is awaited by the signer."""

    class Signer(BadSigner):
        calls = 0

        async def presign(self, *arguments: Any, **options: Any) -> PresignedRequest:
            self.calls += 1
            if self.calls == 5:
                other = asyncio.ensure_future(asyncio.sleep(60))
                other.cancel()
                await other
            return await OfflineSigner.presign(self, *arguments, **options)

    items = [Download(S3Object("bucket", f"k{number}")) for number in range(200)]
    async with Transfer(Signer(Bad(LookupError())), transport=FakeTransport(), edge=World().edge(), concurrency=4) as transfer:
        report = await transfer.run(items)
        assert (report.done, report.failed) == (199, 1)
        assert "CancelledError" in str(report.failures[0].error)


async def _stray() -> None:
    raise asyncio.CancelledError


async def test_a_stray_cancellation_is_a_failure_of_the_piece_that_raised_it() -> None:
    done: list[int] = []

    async def work(piece: int) -> None:
        if piece == 2:
            await _stray()
        done.append(piece)

    with pytest.raises(TransferError, match="CancelledError"):
        await work_through(range(5), 1, work)
    assert done == [0, 1]


async def test_a_stray_cancellation_in_shielded_work_is_raised() -> None:
    with pytest.raises(TransferError, match="CancelledError"):
        await finish(_stray, 1.0)


async def test_a_stray_cancellation_in_a_thread_is_raised() -> None:
    def call() -> None:
        raise asyncio.CancelledError

    with pytest.raises(TransferError, match="CancelledError"):
        await Threads(1).run(call)


@pytest.mark.parametrize("how", ["task.cancel", "scope.cancel", "timeout"])
async def test_a_cancellation_of_the_task_itself_passes(how: str) -> None:
    caught = Caught()

    async def work() -> None:
        with caught:
            await anyio.sleep_forever()

    if how == "task.cancel":
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    elif how == "scope.cancel":
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    else:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await work()
    assert caught.failure is None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), GeneratorExit()])
def test_what_ends_the_process_passes(error: BaseException) -> None:
    with pytest.raises(type(error)), Caught():
        raise error


def test_the_error_that_stands_for_a_foreign_one_shows_its_place_and_no_url() -> None:
    with Caught() as caught:
        int("https://host/k?X-Amz-Signature=0123456789abcdef")
    ours = as_presign_error(caught.failure or LookupError())
    assert str(ours).startswith("unexpected ValueError (test_boundary.py:")
    shown = "".join(traceback.format_exception(ours))
    assert "0123456789abcdef" not in shown
    assert as_presign_error(ours) is ours
