"""One exchange with the server, and as many more as `decide` says when it fails; and who signs what is sent.

Downloads and uploads are made of these. The coroutines here only do what the pure modules decide; clock, randomness and
sleep come in as `Edge`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from .._s3.documents import parse_error
from ..errors import (
    InvalidRequest,
    PresignError,
    Problem,
    ResponseError,
    TransferError,
    URLExpired,
    describe,
)
from ..http.transport import Answer, Request, Transport
from ..models import PresignedPost, PresignedRequest, S3Object
from ..signers.base import Signer
from .adjust import Refreshes, by_signer
from .decide import Accept, Action, decide, is_success, meaning, response_error
from .edge import Edge
from .files import Threads
from .gates import Gates, Lane, Memory, Pass
from .hosts import ClockTrust
from .items import Memo, Status
from .meter import Meter, MeteredAnswer, MeteredBody, Tally
from .plan import Sizes
from .policy import Limits, RetryPolicy
from .ranges import check_partial, requested_range
from .sources import OpenSource

# How much of an answer that is not an object is read: S3's documents about one object are a few hundred bytes.
DOCUMENT = 64 * 1024
# Bytes of a document that are parsed in the event loop: what makes most work of so many takes four milliseconds.
INLINE = 2 * 1024
# What ends sooner is signed again before it is sent, if it can be.
FRESH = timedelta(seconds=5)
_DATE = re.compile(r"[?&]X-Amz-Date=(\d{8}T\d{6}Z)(?:&|$)", re.IGNORECASE)
_LIFE = re.compile(r"[?&]X-Amz-Expires=(\d{1,7})(?:&|$)", re.IGNORECASE)

# What of an error may be a server's words.
_SAID = frozenset({"message", "code", "request_id"})

_SENDING = frozenset({Action.RETRY, Action.RESUME, Action.SLOW_DOWN})
_SIGNING = _SENDING | {Action.RESIGN, Action.CORRECT_CLOCK}

# The request that the current task sent last: of whose host a retry takes from the budget, and may correct the clock.
_asked: ContextVar[Pass | None] = ContextVar("asked", default=None)

_Result = TypeVar("_Result")
_Signed = TypeVar("_Signed", PresignedRequest, PresignedPost)
Sign = Callable[[], Awaitable[Request]]
OnRetry = Callable[[TransferError, float], None]


def _nothing() -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Moved:
    """What one attempt moved."""

    size: int
    verified_by: str | None
    data: bytes | None = None
    status: Status = Status.DONE


class Exchange:
    """Sends over `transport`, signing with `signer`, within one policy, budget and set of limits; files are read in `threads`.

    Inside of `answer` nobody may open another one, or take memory: who holds a slot must not wait for one.
    """

    def __init__(
        self,
        transport: Transport,
        signer: Signer | None,
        policy: RetryPolicy,
        limits: Limits,
        threads: Threads,
        edge: Edge,
        sizes: Sizes = Sizes(),  # noqa: B008 (frozen)
        require_checksum: bool = False,
        clocks: ClockTrust = ClockTrust(),  # noqa: B008 (frozen)
    ) -> None:
        self._transport = transport
        self._signer = signer
        self._policy = policy
        self._refreshes = Refreshes(signer)
        self._clocks = clocks
        self._gates = Gates(limits, policy.cap, edge, policy.budget)
        self._rate = Meter(limits.bytes_per_second, edge) if limits.bytes_per_second is not None else None
        self._bytes: Meter | Tally | None = self._rate
        self.limits = limits
        self.memory: Memory = Memory(limits.memory)
        self.threads = threads
        self.edge = edge
        self.sizes = sizes
        self.require_checksum = require_checksum
        self.memo: Memo | None = None
        self._on_retry: OnRetry | None = None

    def of_item(self, memo: Memo | None, on_retry: OnRetry, on_bytes: Callable[[int], None] | None = None) -> Exchange:
        """The same for one item: what it shares it shares; `on_retry` is told of what is sent again, before the wait.

        `on_bytes` is told of what goes over the wire in bodies, some at a time.
        """
        mine = object.__new__(Exchange)
        mine.__dict__.update(self.__dict__, memo=memo, _on_retry=on_retry)
        if on_bytes is not None:
            mine._bytes = Tally(on_bytes, self._rate)
        return mine

    def token(self) -> str:
        """What an item's temporary file is called by: in every run the same, if a journal has the item."""
        return self.edge.token() if self.memo is None else self.memo.token

    # --- signing ------------------------------------------------------------------------------------------------------

    def signing(
        self,
        place: PresignedRequest | str | S3Object,
        argument: str,
        operation: str,
        method: str,
        params: Mapping[str, Any] | None,
    ) -> Sign:
        """A function that returns the request to send: signed afresh at every call for an `S3Object`."""
        if isinstance(place, S3Object):
            signer = self.require_signer(argument)
            named = {**place.to_params(), **(params or {})}

            async def sign() -> Request:
                signed = await self.signed(partial(signer.presign, operation, named))
                return Request(signed.method, signed.url, signed.headers, None, signed.expires_at)

            return sign
        if params is not None:
            raise InvalidRequest(Problem("params", f"no params beside a {argument} that is signed already", describe(params)))
        return self.keeping(_fixed_request(place, argument, method))

    async def signed(self, sign: Callable[..., Awaitable[_Signed]]) -> _Signed:
        """What `sign(signing_time=...)` makes, dated by the clock of the host that it is for, where that is known to differ.

        Only the URL names the host, so it is signed by the signer's own clock first. Raises a `PresignError`.
        """
        made = await by_signer(_called(sign))
        offset = self._gates.host(made.url).clock_offset
        if offset is not None:
            # A signer that cannot be told a time has to be right by itself: then the server says whether it is.
            with suppress(PresignError):
                return await by_signer(_called(sign, signing_time=self.edge.now() + offset))
        return made

    def keeping(self, request: Request) -> Sign:
        """A function that returns `request`, signed already, for as long as it may be sent; then it raises `URLExpired`."""

        async def keep() -> Request:
            self.check_life(request.expires_at, request)
            return request

        return keep

    def check_life(self, expires_at: datetime | None, request: Request) -> None:
        """Raises `URLExpired` for what is signed already and past its end: no server need be asked."""
        if expires_at is not None and expires_at <= (now := self._now(request.url)):
            ended = f"signed until {expires_at:%Y-%m-%d %H:%M:%S}Z, and it is {now:%Y-%m-%d %H:%M:%S}Z"
            raise URLExpired(f"{ended}: have it signed anew, or give an S3Object and a signer", request=str(request))

    def require_signer(self, argument: str) -> Signer:
        if self._signer is None:
            raise InvalidRequest(Problem(argument, "something signed, or a Transfer(signer) that signs it", "an S3Object"))
        return self._signer

    def allowed(self, place: object, source: OpenSource | None) -> frozenset[Action]:
        """What may be done again: nothing with a source that can be read once; signing only what is not signed already."""
        if source is not None and not source.repeatable:
            return frozenset()
        if not isinstance(place, S3Object):
            return _SENDING
        return _SIGNING | {Action.REFRESH} if self._refreshes.possible else _SIGNING

    def _now(self, url: str) -> datetime:
        """By the clock of the host of `url`, as far as it is known."""
        return self.edge.now() + (self._gates.host(url).clock_offset or timedelta())

    # --- one exchange -------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def answer(self, sign: Sign, lane: Lane | None = Lane.DATA, accept: Accept = Accept.RESULT) -> AsyncIterator[Answer]:
        """The answer to what `sign` signs, sent when there is a slot for it in `lane`; without a lane it counts nowhere.

        Any answer that is not in `accept` raises the `ResponseError` that it stands for, and a part of an object that is not
        the one asked for an `IntegrityError`. What has been signed before a wait that used up its life is signed again.
        """
        request = await sign()
        passed = self._gates.ask(request.url, lane)
        _asked.set(passed)
        try:
            if not self._gates.enter_nowait(passed):
                await self._gates.enter(passed)
                if request.expires_at is not None and request.expires_at - self._now(request.url) < FRESH:
                    request = await sign()
            async with self._transport.send(self._metered(request)) as answer:
                error = await self._refusal(answer, request, accept)
                if accept is not Accept.ANY:
                    if error is not None:
                        raise error
                    check_partial(answer.status, answer.headers, requested_range(request.url, request.headers))
                yield answer if self._bytes is None else MeteredAnswer(answer, self._bytes)
            self._learn(passed, error)
        except TransferError as failure:
            failure.request = failure.request or str(request)
            _conceal(failure, request)
            self._learn(passed, failure)
            raise
        finally:
            self._gates.leave(passed)

    def _learn(self, passed: Pass, error: TransferError | None) -> None:
        """How the host fares."""
        if error is None:
            self._gates.succeeded(passed)
        elif isinstance(error, ResponseError) and meaning(error) is Action.SLOW_DOWN:
            self._gates.slowed(passed, error.retry_after)

    async def _refusal(self, answer: Answer, request: Request, accept: Accept) -> ResponseError | None:
        """The error that the answer stands for, if any. Its body, the explanation, is left unread where all is accepted."""
        if is_success(request.method, answer.status, accept):
            return None
        document = None
        if accept is not Accept.ANY:
            # The status says enough when its explanation did not arrive.
            with suppress(TransferError):
                document = await self.parsed(parse_error, await read_answer(answer, DOCUMENT))
        return response_error(answer.status, answer.headers, document, now=self.edge.now(), request=str(request))

    async def parsed(self, parse: Callable[[bytes], _Result], document: bytes) -> _Result:
        """`parse(document)`, in a thread where it could hold the event loop. Raises what it raises."""
        return parse(document) if len(document) <= INLINE else await self.threads.run(parse, document)

    def _metered(self, request: Request) -> Request:
        if self._bytes is None or request.body is None:
            return request
        return replace(request, body=MeteredBody(request.body, self._bytes))

    async def persist(
        self, attempt: Callable[[int], Awaitable[_Result]], allowed: frozenset[Action], held: Callable[[], int] = _nothing
    ) -> tuple[_Result, int]:
        """Try until it succeeds or `decide` says that it will not. Returns the result and the number of attempts.

        `attempt` is told at which byte to go on; `held` says how many are safe when one has failed.
        """
        tried: set[Action] = set()
        number = at = 0
        while True:
            number += 1
            known = self._refreshes.made
            _asked.set(None)
            try:
                result = await attempt(at)
            except TransferError as error:
                error.attempts = number
                asked = _asked.get()
                decision = decide(
                    error,
                    number,
                    self._policy,
                    allowed=allowed,
                    tried=tried,
                    jitter=self.edge.random(),
                    held=held(),
                    clock_limit=timedelta() if asked is None else self._clocks.limit(asked.url),
                )
                if decision.action is Action.FAIL or (asked is not None and not asked.host.budget.take()):
                    raise
                tried.add(decision.action)
                if decision.action is Action.CORRECT_CLOCK and asked is not None and isinstance(error, ResponseError):
                    asked.host.clock_offset = error.clock_offset
                if self._on_retry is not None:
                    self._on_retry(error, decision.delay)
            else:
                if (asked := _asked.get()) is not None:
                    asked.host.budget.give()
                return result, number
            if decision.action is Action.REFRESH:
                await self._refreshes.make(known)
            await self.edge.sleep(decision.delay)
            at = decision.at


async def _called(sign: Callable[..., Awaitable[_Signed]], **options: datetime) -> _Signed:
    """`sign(**options)`, so that what the call itself raises is raised by awaiting it."""
    return await sign(**options)


def _conceal(error: TransferError, request: Request) -> None:
    """Mask in all that `error` says what grants access by `request`: servers repeat what they were sent, in whatever they say.

    What another error said before it was replaced is not shown, so it is not kept.
    """
    hide = request.hiding()
    for name in _SAID & vars(error).keys():
        setattr(error, name, hide(getattr(error, name)))
    error.args = (error.message,)
    if error.__suppress_context__:
        error.__context__ = None


def _fixed_request(place: object, argument: str, method: str) -> Request:
    match place:
        case PresignedRequest() if place.method == method:
            return Request(place.method, place.url, place.headers, None, place.expires_at)
        case PresignedRequest():
            raise InvalidRequest(Problem(argument, f"a request signed for {method}", f"one signed for {place.method}"))
        case str() if place[:8].lower().startswith(("https://", "http://")):
            return Request(method, place, {}, None, _end(place))
        case _:
            hint = "S3Object.parse(...) names an object" if isinstance(place, str) and place.startswith("s3://") else ""
            raise InvalidRequest(Problem(argument, "a PresignedRequest, an http(s) URL or an S3Object", describe(place), hint))


def _end(url: str) -> datetime | None:
    """When a presigned URL ends, by its own words; None when it does not say."""
    date, life = _DATE.search(url), _LIFE.search(url)
    if date is None or life is None:
        return None
    try:
        return datetime.strptime(date[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) + timedelta(seconds=int(life[1]))
    except (ValueError, OverflowError):
        return None


def with_headers(sign: Sign, headers: Mapping[str, str]) -> Sign:
    """What `sign` signs, with `headers` beside it; S3 takes `Range` and the conditions unsigned. The caller's own stay."""

    async def signed() -> Request:
        request = await sign()
        own = {name.lower() for name in request.headers}
        added = {name: value for name, value in headers.items() if name.lower() not in own}
        return replace(request, headers={**request.headers, **added})

    return signed


async def read_answer(answer: Answer, limit: int) -> bytes:
    parts: list[bytes] = []
    left = limit
    async for chunk in answer.chunks():
        left -= len(chunk)
        if left < 0:
            raise TransferError(f"the answer is larger than {limit} bytes")
        parts.append(chunk)
    return b"".join(parts)
