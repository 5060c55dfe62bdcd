"""`Transfer`: how many items move at once, where they come from, and that nothing is left behind when it ends."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from .._sigv4.post_policy import Condition
from ..errors import InvalidRequest, PresignError, Problem, describe
from ..http.aiohttp_transport import AiohttpTransport
from ..http.transport import Answer, Response, Transport
from ..models import PresignedPost, PresignedRequest, S3Object
from ..signers.base import Signer
from .downloads import open_answer
from .edge import Edge
from .engine import perform, send
from .exchange import Exchange
from .files import Threads
from .items import Destination, Download, FormUpload, IfExists, Item, Source, Status, TransferResult, Upload
from .plan import MULTIPART_THRESHOLD, Sizes
from .policy import Limits, RetryPolicy
from .report import TransferReport

if TYPE_CHECKING:
    import aiohttp

# Threads that read and write large pieces; more would only queue at the disk.
THREADS = 4
MAX_BODY = 8 * 1024 * 1024


_END: Any = object()


class _Queue:
    """The items not yet begun, of any kind of iterable; handed out one at a time."""

    def __init__(self, items: Iterable[Item] | AsyncIterable[Item]) -> None:
        if not isinstance(items, Iterable | AsyncIterable) or isinstance(items, str | bytes):
            raise InvalidRequest(Problem("items", "an iterable or async iterable of items", describe(items)))
        self._next = _async_next(aiter(items)) if isinstance(items, AsyncIterable) else _sync_next(iter(items))
        self._lock = anyio.Lock(fast_acquire=True)
        self._ended = False
        self.failure: Exception | None = None

    async def next(self) -> Any:
        """The next item, or `_END`: also after the iterable has failed, with what, `failure` says."""
        async with self._lock:
            if self._ended:
                return _END
            try:
                item = await self._next()
            except Exception as error:  # noqa: BLE001 (the caller's own; it is raised to who reads the results)
                self.failure, item = error, _END
            self._ended = item is _END
            return item


def _sync_next(iterator: Iterator[Item]) -> Callable[[], Awaitable[Any]]:
    async def advance() -> Any:
        return next(iterator, _END)

    return advance


def _async_next(iterator: AsyncIterator[Item]) -> Callable[[], Awaitable[Any]]:
    async def advance() -> Any:
        return await anext(iterator, _END)

    return advance


class _Results:
    """The results as they come; not a generator, so that leaving it anywhere leaves nothing suspended."""

    def __init__(self, receiver: MemoryObjectReceiveStream[TransferResult], queue: _Queue) -> None:
        self._receiver = receiver
        self._queue = queue

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TransferResult:
        try:
            return await self._receiver.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            if self._queue.failure is not None:
                raise self._queue.failure from None
            raise StopAsyncIteration from None


class Transfer:
    """Moves bytes with presigned requests, within `limits`. Used as an async context manager.

    `concurrency` is the shorthand of `limits=Limits(concurrency=...)`: so many requests at once, and so many items.
    `signer` signs `S3Object`s just before they are sent; without one, everything given must be signed already. An object of
    `multipart_threshold` bytes or more moves in parts of `part_size` bytes (8 MiB, or as many more as S3's 10,000 parts ask
    for), which are sent and fetched side by side, each tried again on its own. `require_checksum` fails what only the size
    proves. `session` is an aiohttp session whose connections are used, and nothing else of it; it is never closed here.
    `ssl` is a context or False, `proxy` a URL; `trust_env` lets the environment name the proxy. `transport` and `edge`
    replace HTTP, and clock, chance and sleep, in tests.

    Raises `InvalidRequest` with everything that is wrong.
    """

    def __init__(
        self,
        signer: Signer | None = None,
        *,
        concurrency: int | None = None,
        limits: Limits | None = None,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 (frozen)
        require_checksum: bool = False,
        part_size: int | None = None,
        multipart_threshold: int = MULTIPART_THRESHOLD,
        session: aiohttp.ClientSession | None = None,
        ssl: ssl_module.SSLContext | bool | None = None,
        proxy: str | None = None,
        trust_env: bool = False,
        transport: Transport | None = None,
        edge: Edge = Edge(),  # noqa: B008 (frozen)
    ) -> None:
        problems = []
        if concurrency is not None and (not isinstance(concurrency, int) or isinstance(concurrency, bool) or concurrency < 1):
            problems.append(Problem("concurrency", "an int of at least 1", describe(concurrency)))
        if limits is not None and not isinstance(limits, Limits):
            problems.append(Problem("limits", "Limits", describe(limits)))
        if limits is not None and concurrency is not None:
            problems.append(Problem("concurrency", "nothing beside limits=, which has it: Limits(concurrency=...)", "a value"))
        if signer is not None and not isinstance(signer, Signer):
            problems.append(Problem("signer", "a Signer, such as OfflineSigner", describe(signer)))
        if not isinstance(retry, RetryPolicy):
            problems.append(Problem("retry", "a RetryPolicy", describe(retry)))
        if not isinstance(require_checksum, bool):
            problems.append(Problem("require_checksum", "a bool", describe(require_checksum)))
        try:
            self._sizes = Sizes(part_size, multipart_threshold)
        except InvalidRequest as error:
            problems += error.problems
        if problems:
            raise InvalidRequest(*problems)
        self._signer = signer
        self._limits = limits or (Limits() if concurrency is None else Limits(concurrency=concurrency))
        self._retry = retry
        self._require_checksum = require_checksum
        self._http: dict[str, Any] = {"session": session, "ssl": ssl, "proxy": proxy, "trust_env": trust_env}
        self._given_transport = transport
        self._transport: Transport | None = None
        self._edge = edge

    async def __aenter__(self) -> Self:
        if self._transport is not None:
            raise InvalidRequest(Problem("transfer", "a Transfer that is not in use", "one entered before"))
        limits, monotonic = self._limits, self._edge.monotonic
        self._transport = self._given_transport or AiohttpTransport(
            **self._http, connect=limits.connect, stall=limits.stall, slowest=limits.slowest, monotonic=monotonic
        )
        self._exchange = Exchange(
            self._transport,
            self._signer,
            self._retry,
            self._limits,
            Threads(THREADS),
            self._edge,
            self._sizes,
            self._require_checksum,
        )
        # Of items; those of requests are the exchange's, which a part of an item can have without waiting for its own item.
        self._slots = anyio.Semaphore(self._limits.concurrency, fast_acquire=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        transport, self._transport = self._transport, None
        if transport is not None and transport is not self._given_transport:
            with anyio.CancelScope(shield=True):
                await transport.aclose()

    # --- one item -----------------------------------------------------------------------------------------------------

    async def download(
        self,
        source: PresignedRequest | str | S3Object,
        destination: Destination = None,
        *,
        params: Mapping[str, Any] | None = None,
        checksum: str | None = None,
        if_match: str | None = None,
        if_exists: IfExists = "overwrite",
        size: int | None = None,
        id: str | None = None,
    ) -> TransferResult:
        """Fetch one object; see `Download`. Raises a `PresignError`."""
        item = Download(
            source,
            destination,
            params=params,
            checksum=checksum,
            if_match=if_match,
            if_exists=if_exists,
            size=size,
            id=id,
        )
        return await self._perform(item)

    async def upload(
        self,
        source: Source,
        destination: PresignedRequest | str | S3Object,
        *,
        params: Mapping[str, Any] | None = None,
        size: int | None = None,
        id: str | None = None,
    ) -> TransferResult:
        """PUT one object; see `Upload`. Raises a `PresignError`."""
        return await self._perform(Upload(source, destination, params=params, size=size, id=id))

    async def upload_form(
        self,
        source: Source,
        destination: PresignedPost | S3Object,
        *,
        fields: Mapping[str, str] | None = None,
        conditions: Sequence[Condition] | None = None,
        filename: str | None = None,
        content_type: str | None = None,
        size: int | None = None,
        id: str | None = None,
    ) -> TransferResult:
        """Post one object by a form; see `FormUpload`. Raises a `PresignError`."""
        item = FormUpload(
            source,
            destination,
            fields=fields,
            conditions=conditions,
            filename=filename,
            content_type=content_type,
            size=size,
            id=id,
        )
        return await self._perform(item)

    async def send(
        self,
        request: PresignedRequest,
        body: Source | None = None,
        *,
        raise_for_status: bool = True,
        max_body: int = MAX_BODY,
    ) -> Response:
        """Send any signed request and return the whole answer, of at most `max_body` bytes.

        A failure is tried again as for any item; with `raise_for_status=False` every answer is returned as it came.
        `Content-MD5` is added for the operations whose body S3 takes with a digest only (DeleteObjects and its like), unless
        the request has one, and nothing else. Raises a `PresignError`.
        """
        self._check_entered()
        if not isinstance(request, PresignedRequest):
            raise InvalidRequest(Problem("request", "a PresignedRequest", describe(request)))
        async with self._slots:
            return await send(self._exchange, request, body, raise_for_status, max_body)

    @asynccontextmanager
    async def open(self, source: PresignedRequest | str | S3Object, *, range: str | None = None) -> AsyncGenerator[Answer]:
        """An object's answer, whose body is read as it comes: to be streamed past, as a web handler does.

        `source` is as in `Download`; `range` the text of a `Range` header ("bytes=0-99"), which the server may answer with
        206, or with 200 and all of it. The answer has `.status`, `.headers` (names in lower case) and `.chunks()`, an async
        iterator of bytes. Opening is tried again as any request is; a body that breaks raises `NetworkError`, for what has
        been passed on cannot be taken back. It counts against no limit, and its connection is free when the context ends.
        Raises a `PresignError`.
        """
        self._check_entered()
        async with open_answer(self._exchange, source, range) as answer:
            yield answer

    async def _perform(self, item: Item) -> TransferResult:
        self._check_entered()
        async with self._slots:
            return await perform(self._exchange, item)

    def _check_entered(self) -> None:
        if self._transport is None:
            raise InvalidRequest(Problem("transfer", "to be used inside `async with Transfer(...)`", "a call outside of it"))

    # --- many items ---------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def stream(self, items: Iterable[Item] | AsyncIterable[Item]) -> AsyncGenerator[AsyncIterator[TransferResult]]:
        """Results of `items` in the order they are completed; a failure is a result with `error`.

        `items` is read only as fast as there is room: at most about twice `concurrency` items are alive at once. Leaving
        the context early stops what is under way and leaves nothing of it. What `items` itself raises is raised to who
        reads the results, after those of the items before.
        """
        self._check_entered()
        queue = _Queue(items)
        sender, receiver = anyio.create_memory_object_stream[TransferResult](self._limits.concurrency)
        failure: BaseException | None = None
        with sender, receiver:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._work_through, queue, sender)
                try:
                    yield _Results(receiver, queue)
                except anyio.get_cancelled_exc_class():
                    raise
                except BaseException as error:  # noqa: BLE001 (raised below, outside of the task group, which would wrap it)
                    failure = error
                tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def run(self, items: Iterable[Item] | AsyncIterable[Item], *, fail_fast: bool = False) -> TransferReport:
        """Move all `items` and say how that went. `fail_fast` stops at the first failure, which the report then holds."""
        report = TransferReport()
        started = self._edge.monotonic()
        async with self.stream(items) as results:
            async for result in results:
                report.add(result)
                if fail_fast and result.error is not None:
                    break
        report.seconds = self._edge.monotonic() - started
        return report

    async def _work_through(self, queue: _Queue, sender: MemoryObjectSendStream[TransferResult]) -> None:
        """All of `queue`; the results end when the last worker has."""
        with sender:
            async with anyio.create_task_group() as workers:
                for _ in range(self._limits.concurrency):
                    workers.start_soon(self._work, queue, sender)

    async def _work(self, queue: _Queue, sender: MemoryObjectSendStream[TransferResult]) -> None:
        while (item := await queue.next()) is not _END:
            await sender.send(await self._outcome(item))

    async def _outcome(self, item: Item) -> TransferResult:
        started = self._edge.monotonic()
        try:
            return await self._perform(item)
        except PresignError as error:
            attempts = getattr(error, "attempts", 0)
            seconds = self._edge.monotonic() - started
            return TransferResult(item, Status.FAILED, attempts=attempts, error=error, seconds=seconds)
