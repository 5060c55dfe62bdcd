"""One exchange with the server, and as many more as `decide` says when it fails; and who signs what is sent.

Downloads and uploads are made of these. The coroutines here only do what the pure modules decide; clock, randomness and
sleep come in as `Edge`.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import anyio

from .._s3.documents import parse_error
from ..errors import InvalidRequest, PresignError, Problem, ResponseError, TransferError, describe
from ..http.transport import Answer, Request, Transport
from ..models import PresignedRequest, S3Object
from ..signers.base import Signer
from .decide import Action, decide, response_error
from .files import Threads
from .plan import Sizes
from .policy import RetryBudget, RetryPolicy
from .sources import OpenSource

# How much of an answer that is not an object is read: S3's documents about one object are a few hundred bytes.
DOCUMENT = 64 * 1024
# S3 answers a form with 303 when it has a success_action_redirect; the object is stored by then.
_SEE_OTHER = 303

_Result = TypeVar("_Result")
Sign = Callable[[], Awaitable[Request]]


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
class Moved:
    """What one attempt moved."""

    size: int
    verified_by: str | None
    data: bytes | None = None


class Exchange:
    """Sends over `transport`, signing with `signer`, under one retry policy and budget; files are read in `threads`."""

    def __init__(
        self,
        transport: Transport,
        signer: Signer | None,
        policy: RetryPolicy,
        threads: Threads,
        edge: Edge,
        sizes: Sizes = Sizes(),  # noqa: B008 (frozen)
    ) -> None:
        self._transport = transport
        self._signer = signer
        self._policy = policy
        self._budget = RetryBudget(policy)
        self.threads = threads
        self.edge = edge
        self.sizes = sizes

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
                signed = await by_signer(signer.presign(operation, named))
                return Request(signed.method, signed.url, signed.headers)

            return sign
        if params is not None:
            raise InvalidRequest(Problem("params", f"no params beside a {argument} that is signed already", describe(params)))
        fixed = _fixed_request(place, argument, method)

        async def keep() -> Request:
            return fixed

        return keep

    def require_signer(self, argument: str) -> Signer:
        if self._signer is None:
            raise InvalidRequest(Problem(argument, "something signed, or a Transfer(signer) that signs it", "an S3Object"))
        return self._signer

    # --- one exchange -------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def answer(self, request: Request, any_status: bool = False) -> AsyncIterator[Answer]:
        """The answer, which is a success unless `any_status`; raises the `ResponseError` that any other stands for."""
        async with self._transport.send(request) as answer:
            success = 200 <= answer.status < 300 or (answer.status == _SEE_OTHER and request.method == "POST")
            if not success and not any_status:
                raise await self._refusal(answer, request)
            yield answer

    async def _refusal(self, answer: Answer, request: Request) -> ResponseError:
        try:
            document = parse_error(await read_answer(answer, DOCUMENT, request))
        except TransferError:
            # The status says enough when its explanation did not arrive.
            document = None
        return response_error(answer.status, answer.headers, document, now=self.edge.now(), request=str(request))

    async def persist(self, attempt: Callable[[], Awaitable[_Result]], allowed: frozenset[Action]) -> tuple[_Result, int]:
        """Try until it succeeds or `decide` says that it will not. Returns the result and the number of attempts."""
        tried: set[Action] = set()
        number = 0
        while True:
            number += 1
            try:
                result = await attempt()
            except TransferError as error:
                error.attempts = number
                decision = decide(error, number, self._policy, allowed=allowed, tried=tried, jitter=self.edge.random())
                if decision.action is Action.FAIL or not self._budget.take():
                    raise
                tried.add(decision.action)
            else:
                self._budget.give()
                return result, number
            await self.edge.sleep(decision.delay)


async def by_signer(signing: Awaitable[_Result]) -> _Result:
    """What the signer made. A signer may be anybody's: what it raises fails this item and no other."""
    try:
        return await signing
    except PresignError:
        raise
    except Exception as error:
        raise TransferError(f"the signer raised {type(error).__name__}") from error


def allowed_actions(place: object, source: OpenSource | None) -> frozenset[Action]:
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


async def read_answer(answer: Answer, limit: int, request: Request) -> bytes:
    parts: list[bytes] = []
    left = limit
    async for chunk in answer.chunks():
        left -= len(chunk)
        if left < 0:
            raise TransferError(f"the answer is larger than {limit} bytes", request=str(request))
        parts.append(chunk)
    return b"".join(parts)
