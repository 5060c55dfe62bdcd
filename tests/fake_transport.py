"""A `Transport` in memory for tests of what is above it: it answers by plain data and counts what is open.

It implements the protocol as the real ones do (the body is read to its end before the answer, unless the answer is early)
and stands in for the network, not for code of ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from asyncpresign import Credentials, NetworkError, OfflineSigner
from asyncpresign.http.transport import Answer, Request
from asyncpresign.transfer.edge import Edge

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


def make_signer() -> OfflineSigner:
    credentials = Credentials("AKIDEXAMPLE", SECRET, "the/session+token")
    return OfflineSigner(credentials, region="us-east-1", endpoint_url="http://s3.test", clock=lambda: NOW)


@dataclass(frozen=True)
class Say:
    """An answer: `body` in chunks; then the connection breaks if `broken`."""

    status: int = 200
    body: bytes | tuple[bytes, ...] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: bool = True
    broken: bool = False
    announced: int | None = None


class _Answer:
    def __init__(self, say: Say) -> None:
        self._chunks = say.body if isinstance(say.body, tuple) else (say.body,) if say.body else ()
        self._broken = say.broken
        self.status = say.status
        size = sum(map(len, self._chunks)) if say.announced is None else say.announced
        self.headers: Mapping[str, str] = {**say.headers, **({"content-length": str(size)} if say.length else {})}

    async def chunks(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            await asyncio.sleep(0)
            yield chunk
        if self._broken:
            raise NetworkError("broken off")


def error(status: int, code: str, message: str = "", **headers: str) -> Say:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    document = f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>req</RequestId></Error>"
    return Say(status, document.encode(), names)


REFUSED = NetworkError("refused")
Script = Callable[[Request, bytes], Say | NetworkError]


@dataclass
class FakeTransport:
    """`answers` one by one, and `otherwise` after them, which may be a function of the request and its body."""

    answers: list[Say | NetworkError] = field(default_factory=list)
    otherwise: Say | Script = Say()
    before: Callable[[Request], Awaitable[None]] | None = None
    requests: list[Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    keep: bool = True
    sent: int = 0
    open: int = 0
    most_open: int = 0
    closed: int = 0

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Answer]:
        self.open += 1
        self.sent += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await asyncio.sleep(0)
            body = b"" if request.body is None else b"".join([chunk async for chunk in request.body.chunks()])
            if self.keep:
                self.requests.append(request)
                self.bodies.append(body)
            if self.before is not None:
                await self.before(request)
            said = self.answers.pop(0) if self.answers else self.otherwise
            if callable(said):
                said = said(request, body)
            if isinstance(said, NetworkError):
                raise NetworkError(said.message, request=str(request), permanent=said.permanent, sent=said.sent)
            yield _Answer(said)
        finally:
            self.open -= 1

    async def aclose(self) -> None:
        self.closed += 1


@dataclass
class World:
    """The `Edge` of a test: a fixed time, chances of one half, numbered names, seconds that pass only by being slept or, by
    `step`, asked for, and sleeps that are only written down."""

    sleeps: list[float] = field(default_factory=list)
    names: int = 0
    ticks: float = 0.0
    step: float = 2.0**-10
    chance: float = 0.5

    def edge(self) -> Edge:
        return Edge(now=lambda: NOW, monotonic=self._tick, random=lambda: self.chance, token=self._name, sleep=self._sleep)

    def _tick(self) -> float:
        self.ticks += self.step
        return self.ticks + sum(self.sleeps)

    def _name(self) -> str:
        self.names += 1
        return f"token{self.names}"

    async def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        await asyncio.sleep(0)
