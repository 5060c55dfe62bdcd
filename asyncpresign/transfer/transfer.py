"""`Transfer`: how many items move at once, where they come from, and that nothing is left behind when it ends."""

from __future__ import annotations

import os
import ssl as ssl_module
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Self, Unpack, cast

import anyio

from .._sigv4.post_policy import Condition
from ..errors import InvalidRequest, Problem, describe
from ..http.aiohttp_transport import AiohttpTransport
from ..http.transport import Answer, Response, Transport
from ..models import PresignedPost, PresignedRequest, S3Object
from ..signers.base import Signer
from .bulk import Wanted, downloads_below, uploads_below
from .crew import Caught, as_presign_error
from .downloads import open_answer
from .edge import Edge
from .engine import perform, send
from .exchange import Exchange
from .files import Threads
from .hosts import ClockTrust
from .items import Destination, Download, FormUpload, IfExists, Item, Source, Status, TransferResult, Upload
from .job import Job, OnEvent, Places, RunOptions, Settled, check_run, journal_of, refused
from .listing import CommonPrefix, ObjectInfo, check_texts, listed
from .paths import Directory
from .plan import MULTIPART_THRESHOLD, Sizes
from .policy import Limits, RetryPolicy
from .report import TransferReport
from .stream import results_of

if TYPE_CHECKING:
    import aiohttp

# Threads that read and write large pieces; more would only queue at the disk.
THREADS = 4
MAX_BODY = 8 * 1024 * 1024
MAX_CLOCK_OFFSET = timedelta(days=1)


class Transfer:
    """Moves bytes with presigned requests, within `limits`. Used as an async context manager.

    `concurrency` is the shorthand of `limits=Limits(concurrency=...)`: so many requests at once, and so many items.
    `signer` signs `S3Object`s just before they are sent; without one, everything given must be signed already. An object of
    `multipart_threshold` bytes or more moves in parts of `part_size` bytes (8 MiB, or as many more as S3's 10,000 parts ask
    for), which are sent and fetched side by side, each tried again on its own. `require_checksum` fails what only the size
    proves.

    When a server refuses a signature because of its time, what is signed for that host is dated by the `Date` of its response
    from then on. `max_clock_offset` is the largest difference from this machine's clock that is believed over TLS with a
    verified certificate, or from this machine; otherwise it is 15 minutes at most. The clock of `signer` itself is never set.

    `session` is an aiohttp session whose connections are used, and nothing else of it; it is never closed here. `ssl` is a
    context or False, `proxy` a URL; `trust_env` lets the environment name the proxy. `transport` and `edge` replace HTTP, and
    clock, chance and sleep, in tests.

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
        max_clock_offset: timedelta = MAX_CLOCK_OFFSET,
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
        if not isinstance(max_clock_offset, timedelta) or max_clock_offset < timedelta():
            problems.append(Problem("max_clock_offset", "a timedelta of at least 0", describe(max_clock_offset)))
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
        self._max_clock_offset = max_clock_offset
        self._http: dict[str, Any] = {"session": session, "ssl": ssl, "proxy": proxy, "trust_env": trust_env}
        self._given_transport = transport
        self._transport: Transport | None = None
        self._edge = edge

    async def __aenter__(self) -> Self:
        if self._transport is not None:
            raise InvalidRequest(Problem("transfer", "a Transfer that is not in use", "one entered before"))
        limits, monotonic = self._limits, self._edge.monotonic
        self._transport = self._given_transport or AiohttpTransport(
            **self._http,
            connect=limits.connect,
            stall=limits.stall,
            slowest=limits.slowest,
            idle=limits.concurrency,
            monotonic=monotonic,
        )
        self._exchange = Exchange(
            self._transport,
            self._signer,
            self._retry,
            self._limits,
            Threads(THREADS, self._edge.stopwatch),
            self._edge,
            self._sizes,
            self._require_checksum,
            ClockTrust(
                self._max_clock_offset,
                verified=not isinstance(self._transport, AiohttpTransport) or self._transport.verifies,
                direct=self._http["proxy"] is None and not self._http["trust_env"],
            ),
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
        checksum: str | None = None,
        if_none_match: str | None = None,
        size: int | None = None,
        id: str | None = None,
    ) -> TransferResult:
        """Store one object, a large one in parts; see `Upload`. Raises a `PresignError`."""
        item = Upload(source, destination, params=params, checksum=checksum, if_none_match=if_none_match, size=size, id=id)
        return await self._perform(item)

    async def upload_form(
        self,
        source: Source,
        destination: PresignedPost | S3Object,
        *,
        fields: Mapping[str, str] | None = None,
        conditions: Sequence[Condition] | None = None,
        filename: str | None = None,
        content_type: str | None = None,
        checksum: str | None = None,
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
            checksum=checksum,
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
        with Caught() as caught:
            async with self._slots:
                return await send(self._exchange, request, body, raise_for_status, max_body)
        raise as_presign_error(cast("Exception", caught.failure))

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
        async with AsyncExitStack() as stack:
            yield await self._opened(stack, source, range)

    async def _opened(self, stack: AsyncExitStack, source: PresignedRequest | str | S3Object, range: str | None) -> Answer:
        with Caught() as caught:
            return await stack.enter_async_context(open_answer(self._exchange, source, range))
        raise as_presign_error(cast("Exception", caught.failure))

    async def _perform(self, item: Item) -> TransferResult:
        self._check_entered()
        with Caught() as caught:
            async with self._slots:
                return await perform(self._exchange, item)
        raise as_presign_error(cast("Exception", caught.failure))

    async def _outcome(self, exchange: Exchange, item: Item) -> TransferResult:
        started = self._edge.monotonic()
        with Caught() as caught:
            async with self._slots:
                return await perform(exchange, item)
        error = as_presign_error(cast("Exception", caught.failure))
        attempts = getattr(error, "attempts", 0)
        seconds = self._edge.monotonic() - started
        return TransferResult(item, Status.FAILED, attempts=attempts, error=error, seconds=seconds)

    def _check_entered(self) -> None:
        if self._transport is None:
            raise InvalidRequest(Problem("transfer", "to be used inside `async with Transfer(...)`", "a call outside of it"))

    # --- many items ---------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def stream(self, items: Iterable[Item] | AsyncIterable[Item]) -> AsyncGenerator[AsyncIterator[TransferResult]]:
        """Results of `items` in the order they are completed; a failure is a result with `error`.

        `items` is read only as fast as there is room: at most about twice `concurrency` items are alive at once. Leaving
        the context early stops what is under way and leaves nothing of it. What `items` itself raises is raised to who
        reads the results, after those of the items before. Two downloads never end in one file: of equal items
        the later ones wait for the first and are skipped when it is done; a different one that goes to the same path, or to
        an open file of that path, is an `UnsafePathError`.
        """
        self._check_entered()
        async with Places(self._exchange) as places:

            async def outcome(item: Item) -> TransferResult:
                with Caught() as caught:
                    return await places.first(item, partial(self._outcome, self._exchange, item))
                return refused(item, as_presign_error(cast("Exception", caught.failure)))

            async with results_of(items, outcome, self._limits.concurrency) as results:
                yield results

    async def run(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        *,
        journal: str | os.PathLike[str] | None = None,
        job: str | None = None,
        fail_fast: bool = False,
        on_event: OnEvent | None = None,
        processes: int = 1,
    ) -> TransferReport:
        """Move all `items` and say how that went. `fail_fast` stops at the first failure, which the report then holds.

        `journal` is a file, made if there is none, in which every item that is done is written down: the same call again,
        whatever ended the first, skips those and finishes the rest. `job` is its name; another job's journal, or one begun
        with other settings, in use, or damaged is a `JournalError`. An item is known by its `id`, which is then its own, or
        else by what it moves and where to; it must be one that can be begun again: from a path or bytes, to a path or a
        `Directory`. Two downloads never end in one file, as in `stream`.

        `on_event` is called with an `Event` when an item begins, is tried again, and ends; what it raises ends the run and is
        raised. More than one of `processes` is not there yet.
        """
        self._check_entered()
        check_run(journal, job, on_event, processes)
        report = TransferReport()
        started = self._edge.monotonic()
        async with journal_of(journal, job, self._exchange) as book, Places(self._exchange, journal) as places:
            work = Job(self._exchange, self._outcome, book, on_event, report, places)
            # While some items wait for the journal others move.
            workers = self._limits.concurrency * (1 if book is None else 2)
            with work.scope:
                async with results_of(items, work.outcome, workers) as results:
                    async for result in results:
                        report.add(result)
                        if fail_fast and result.error is not None:
                            break
        if work.failure is not None:
            raise work.failure
        report.seconds = self._edge.monotonic() - started
        return report

    def list_objects(
        self, bucket: str, prefix: str = "", *, delimiter: str | None = None
    ) -> AsyncGenerator[ObjectInfo | CommonPrefix]:
        """The objects of `bucket` whose keys begin with `prefix`, in the order of their keys, a page of 1,000 at a time.

        With a `delimiter` what follows the prefix is cut behind its first one, and keys that are equal then are one
        `CommonPrefix`. Raises a `PresignError`.
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-prefixes.html
        """
        self._check_entered()
        return listed(self._exchange, bucket, prefix, delimiter)

    async def download_prefix(
        self,
        bucket: str,
        prefix: str,
        root: str | os.PathLike[str],
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        **options: Unpack[RunOptions],
    ) -> TransferReport:
        """Download all objects of `bucket` below `prefix` into the folder `root`, each by its name there.

        A name is what follows the prefix as a folder (`photos/`, or `photos` before a `/`), else what follows the prefix's
        last `/`. `include` and `exclude` are patterns of names, in which `*` matches `/` too. A key that is no path below
        `root` (see `Directory`), or one that the disk cannot tell from an earlier key or that has one for its folder, fails
        with `UnsafePathError`; the empty objects that stand for folders are skipped. `options` are those of `run`.
        """
        self._check_entered()
        wanted, _ = Wanted(include, exclude), Directory(root)
        objects = listed(self._exchange, bucket, prefix, None)
        return await self._run(downloads_below(self._exchange, objects, prefix, root, wanted), options)

    async def upload_tree(
        self,
        root: str | os.PathLike[str],
        bucket: str,
        prefix: str,
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        **options: Unpack[RunOptions],
    ) -> TransferReport:
        """Upload all files below the folder `root` to `bucket`, as `prefix`, `/` and their path there.

        `include` and `exclude` are as in `download_prefix`. A symbolic link is not followed: it fails with `UnsafePathError`
        unless it is excluded. Folders without files leave no trace. `options` are those of `run`.
        """
        self._check_entered()
        wanted, _ = Wanted(include, exclude), Directory(root)
        check_texts(bucket=bucket, prefix=prefix)
        return await self._run(uploads_below(self._exchange, root, bucket, prefix, wanted), options)

    async def _run(self, items: AsyncGenerator[Item | Settled], options: RunOptions) -> TransferReport:
        async with aclosing(items):
            return await self.run(cast("AsyncIterable[Item]", items), **options)
