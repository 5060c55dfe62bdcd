"""One item at a time: sign, send, receive, and what `decide` says when that fails.

The coroutines here only do what the pure modules decide; clock, randomness and sleep come in as `Edge`.
"""

from __future__ import annotations

import mimetypes
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar, assert_never

import anyio

from .._s3.documents import parse_error
from .._s3.operations import text_problem
from ..errors import IntegrityError, InvalidRequest, PresignError, Problem, ResponseError, TransferError, describe
from ..http.transport import Answer, Request, RequestBody, Response, Transport
from ..models import PresignedPost, PresignedRequest, S3Object
from ..signers.base import Signer
from .decide import Action, decide, response_error
from .files import CHUNK, OpenSource, Sink, Threads, check_destination, open_sink, open_source, size_problems
from .form import form_body, form_content_type
from .items import Download, FormUpload, Item, Source, Status, TransferResult, Upload
from .policy import RetryBudget, RetryPolicy

# Reads the system's tables now: a coroutine must not wait for files.
mimetypes.init()

# How much of an answer that is not an object is read: S3's documents about one object are a few hundred bytes.
_DOCUMENT = 64 * 1024
# S3 answers a form with 303 when it has a success_action_redirect; the object is stored by then.
_SEE_OTHER = 303

# What an item's fields hold if they hold anything; the others are looked at where they are used.
_KINDS: Mapping[str, tuple[type, str]] = {
    "params": (Mapping, "a mapping of parameter names to values"),
    "fields": (Mapping, "a mapping of field names to texts"),
    "filename": (str, "a text"),
    "content_type": (str, 'a content type, or "guess"'),
}

_Result = TypeVar("_Result")
_Sign = Callable[[], Awaitable[Request]]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Edge:
    """What a transfer asks of the world besides bytes: a time of day, seconds, chance, names and patience."""

    now: Callable[[], datetime] = _now
    monotonic: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random
    token: Callable[[], str] = lambda: secrets.token_hex(12)
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep


@dataclass(frozen=True, slots=True)
class _Moved:
    """What one attempt moved."""

    size: int
    verified_by: str | None
    data: bytes | None = None


class Engine:
    """Performs items over `transport`, signing with `signer`, under one retry policy and budget."""

    def __init__(self, transport: Transport, signer: Signer | None, policy: RetryPolicy, threads: Threads, edge: Edge) -> None:
        self._transport = transport
        self._signer = signer
        self._policy = policy
        self._budget = RetryBudget(policy)
        self._threads = threads
        self._edge = edge

    async def perform(self, item: Item) -> TransferResult:
        """Do what `item` says. Raises a `PresignError` when it cannot be done."""
        started = self._edge.monotonic()
        _check_item(item)
        match item:
            case Download():
                moved, attempts = await self._download(item)
            case Upload():
                moved, attempts = await self._upload(item)
            case FormUpload():
                moved, attempts = await self._upload_form(item)
            case _:
                assert_never(item)
        seconds = self._edge.monotonic() - started
        return TransferResult(item, Status.DONE, moved.size, attempts, moved.verified_by, None, seconds, moved.data)

    async def send(self, request: PresignedRequest, body: Source | None, raise_for_status: bool, max_body: int) -> Response:
        """See `Transfer.send`."""
        source = await open_source(body, None, self._threads) if body is not None else None
        wire = Request(request.method, request.url, request.headers, source)

        async def attempt() -> Response:
            async with self._answer(wire, any_status=not raise_for_status) as answer:
                return Response(answer.status, answer.headers, await _read(answer, max_body, wire))

        try:
            response, _ = await self._persist(attempt, _allowed(None, source))
        finally:
            if source is not None:
                source.close()
        return response

    # --- the three kinds of item --------------------------------------------------------------------------------------

    async def _download(self, item: Download) -> tuple[_Moved, int]:
        sign = self._signing(item.source, "source", "get_object", "GET", item.params)
        check_destination(item.destination)
        sink = await open_sink(item.destination, self._edge.token(), self._threads)

        async def attempt() -> _Moved:
            request = await sign()
            await sink.restart()
            async with self._answer(request) as answer:
                size, verified_by = await _receive(answer, sink, item.size, request)
            return _Moved(size, verified_by, await sink.commit())

        try:
            return await self._persist(attempt, _allowed(item.source, None))
        finally:
            sink.discard()

    async def _upload(self, item: Upload) -> tuple[_Moved, int]:
        sign = self._signing(item.destination, "destination", "put_object", "PUT", item.params)
        source = await open_source(item.source, item.size, self._threads)

        async def attempt() -> _Moved:
            request = await sign()
            return await self._deliver(Request(request.method, request.url, request.headers, source), source)

        try:
            return await self._persist(attempt, _allowed(item.destination, source))
        finally:
            source.close()

    async def _upload_form(self, item: FormUpload) -> tuple[_Moved, int]:
        source = await open_source(item.source, item.size, self._threads)
        try:
            filename, content_type = _file_part(item, source)
            sign = self._form_signing(item, content_type)

            async def attempt() -> _Moved:
                post = await sign()
                boundary = f"asyncpresign-{self._edge.token()}"
                form = form_body(
                    post.fields,
                    source,
                    filename=filename,
                    content_type=content_type or "application/octet-stream",
                    boundary=boundary,
                )
                headers = {"Content-Type": form_content_type(boundary)}
                return await self._deliver(Request("POST", post.url, headers, form), source)

            return await self._persist(attempt, _allowed(item.destination, source))
        finally:
            source.close()

    async def _deliver(self, request: Request, source: RequestBody) -> _Moved:
        async with self._answer(request) as answer:
            await _read(answer, _DOCUMENT, request)
        # S3 compares what arrives with Content-Length before it stores anything.
        return _Moved(source.size, "size")

    # --- signing ------------------------------------------------------------------------------------------------------

    def _signing(
        self,
        place: PresignedRequest | str | S3Object,
        argument: str,
        operation: str,
        method: str,
        params: Mapping[str, Any] | None,
    ) -> _Sign:
        """A function that returns the request to send: signed afresh at every call for an `S3Object`."""
        if isinstance(place, S3Object):
            signer = self._require_signer(argument)
            named = {**place.to_params(), **(params or {})}

            async def sign() -> Request:
                signed = await _by_signer(signer.presign(operation, named))
                return Request(signed.method, signed.url, signed.headers)

            return sign
        if params is not None:
            raise InvalidRequest(Problem("params", f"no params beside a {argument} that is signed already", describe(params)))
        fixed = _fixed_request(place, argument, method)

        async def keep() -> Request:
            return fixed

        return keep

    def _form_signing(self, item: FormUpload, content_type: str | None) -> Callable[[], Awaitable[PresignedPost]]:
        place = item.destination
        if isinstance(place, S3Object):
            signer = self._require_signer("destination")
            fields = dict(item.fields or {})
            if content_type is not None and "content-type" not in (name.lower() for name in fields):
                fields["Content-Type"] = content_type

            async def sign() -> PresignedPost:
                signing = signer.presign_post(place.bucket, place.key, fields=fields, conditions=item.conditions)
                return await _by_signer(signing)

            return sign
        if not isinstance(place, PresignedPost):
            raise InvalidRequest(Problem("destination", "a PresignedPost or an S3Object", describe(place)))
        given = [name for name in ("fields", "conditions") if getattr(item, name) is not None]
        if given:
            raise InvalidRequest(*(Problem(name, "nothing beside a form that is signed already", "a value") for name in given))

        async def keep() -> PresignedPost:
            return place

        return keep

    def _require_signer(self, argument: str) -> Signer:
        if self._signer is None:
            raise InvalidRequest(Problem(argument, "something signed, or a Transfer(signer) that signs it", "an S3Object"))
        return self._signer

    # --- one exchange -------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _answer(self, request: Request, any_status: bool = False) -> AsyncIterator[Answer]:
        """The answer, which is a success unless `any_status`; raises the `ResponseError` that any other stands for."""
        async with self._transport.send(request) as answer:
            success = 200 <= answer.status < 300 or (answer.status == _SEE_OTHER and request.method == "POST")
            if not success and not any_status:
                raise await self._refusal(answer, request)
            yield answer

    async def _refusal(self, answer: Answer, request: Request) -> ResponseError:
        try:
            document = parse_error(await _read(answer, _DOCUMENT, request))
        except TransferError:
            # The status says enough when its explanation did not arrive.
            document = None
        return response_error(answer.status, answer.headers, document, now=self._edge.now(), request=str(request))

    async def _persist(self, attempt: Callable[[], Awaitable[_Result]], allowed: frozenset[Action]) -> tuple[_Result, int]:
        """Try until it succeeds or `decide` says that it will not. Returns the result and the number of attempts."""
        tried: set[Action] = set()
        number = 0
        while True:
            number += 1
            try:
                result = await attempt()
            except TransferError as error:
                error.attempts = number
                decision = decide(error, number, self._policy, allowed=allowed, tried=tried, jitter=self._edge.random())
                if decision.action is Action.FAIL or not self._budget.take():
                    raise
                tried.add(decision.action)
            else:
                self._budget.give()
                return result, number
            await self._edge.sleep(decision.delay)


async def _by_signer(signing: Awaitable[_Result]) -> _Result:
    """What the signer made. A signer may be anybody's: what it raises fails this item and no other."""
    try:
        return await signing
    except PresignError:
        raise
    except Exception as error:
        raise TransferError(f"the signer raised {type(error).__name__}") from error


def _check_item(item: object) -> None:
    if not isinstance(item, Download | Upload | FormUpload):
        raise InvalidRequest(Problem("item", "a Download, Upload or FormUpload", describe(item)))
    values = {name: getattr(item, name, None) for name in _KINDS}
    problems = [
        Problem(name, _KINDS[name][1], describe(value))
        for name, value in values.items()
        if value is not None and not isinstance(value, _KINDS[name][0])
    ]
    if problems := [*problems, *size_problems(item.size)]:
        raise InvalidRequest(*problems)


def _allowed(place: object, source: OpenSource | None) -> frozenset[Action]:
    """What may be done again: nothing with a source that can be read once; signing only what is not signed already."""
    if source is not None and not source.repeatable:
        return frozenset()
    signed_here = {Action.RESIGN} if isinstance(place, S3Object) else set()
    return frozenset({Action.RETRY, Action.SLOW_DOWN, *signed_here})


def _fixed_request(place: object, argument: str, method: str) -> Request:
    match place:
        case PresignedRequest() if place.method == method:
            return Request(place.method, place.url, place.headers)
        case PresignedRequest():
            raise InvalidRequest(Problem(argument, f"a request signed for {method}", f"one signed for {place.method}"))
        case str() if place.startswith(("https://", "http://")):
            return Request(method, place, {})
        case _:
            hint = "S3Object.parse(...) names an object" if isinstance(place, str) and place.startswith("s3://") else ""
            raise InvalidRequest(Problem(argument, "a PresignedRequest, an http(s) URL or an S3Object", describe(place), hint))


def _file_part(item: FormUpload, source: OpenSource) -> tuple[str, str | None]:
    """The file's name and, where one was asked for, its content type."""
    filename = (item.filename if item.filename is not None else source.name).encode("utf-8", "replace").decode()
    content_type = item.content_type
    if content_type == "guess":
        content_type = mimetypes.guess_type(filename)[0] or "application/octet-stream"
    named = {"filename": filename, "content_type": content_type or ""}
    if problems := [Problem(name, *bad) for name, value in named.items() if (bad := text_problem(value))]:
        raise InvalidRequest(*problems)
    return filename, content_type


async def _receive(answer: Answer, sink: Sink, size: int | None, request: Request) -> tuple[int, str | None]:
    """Move the body into `sink`, in pieces that are worth a thread's while. Returns its size and what proved it."""
    announced = answer.headers.get("content-length")
    expected = int(announced) if announced is not None and announced.isdigit() else None
    if size is not None and expected not in (None, size):
        raise IntegrityError(f"the object has {expected} bytes, not the {size} that were expected", request=str(request))
    limit = size if expected is None else expected
    pending: list[bytes] = []
    held = total = 0
    async for chunk in answer.chunks():
        pending.append(chunk)
        held += len(chunk)
        if limit is not None and total + held > limit:
            raise IntegrityError(f"more than {limit} bytes arrived", request=str(request))
        if held >= CHUNK:
            await sink.write(b"".join(pending))
            pending.clear()
            total, held = total + held, 0
    total += held
    if limit is not None and total < limit:
        raise IntegrityError(f"{total} bytes arrived instead of {limit}", request=str(request))
    if held:
        await sink.write(b"".join(pending))
    return total, "size" if limit is not None else None


async def _read(answer: Answer, limit: int, request: Request) -> bytes:
    parts: list[bytes] = []
    left = limit
    async for chunk in answer.chunks():
        left -= len(chunk)
        if left < 0:
            raise TransferError(f"the answer is larger than {limit} bytes", request=str(request))
        parts.append(chunk)
    return b"".join(parts)
