"""A rate that all share, a tally of an item, and bodies that keep to the one and are counted by the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from math import inf

from ..http.transport import Answer, RequestBody
from .edge import Edge
from .rate import spend

# How much of a body goes out between two waits: less where that would be long, since servers give up on who is silent.
PIECE = 64 * 1024
LEAST = 1024
# How many bytes of an item move before they are told of.
STEP = 1024 * 1024


class Meter:
    """A rate that all share: each waits for the time that what it took is worth."""

    def __init__(self, rate: float, edge: Edge) -> None:
        self._rate = rate
        self.piece: int = max(LEAST, min(PIECE, int(rate / 64)))
        self._edge = edge
        self._full_at = -inf

    async def spend(self, amount: int) -> None:
        self._full_at, delay = spend(self._full_at, amount, self._rate, self._edge.monotonic())
        if delay:
            await self._edge.sleep(delay)


class Tally:
    """Counts what passes, within `meter` if there is one, and tells of it in steps of at least `STEP` bytes."""

    def __init__(self, tell: Callable[[int], None], meter: Meter | None) -> None:
        self._tell = tell
        self._meter = meter
        self.piece: int = PIECE if meter is None else meter.piece
        self._untold = 0

    async def spend(self, amount: int) -> None:
        if self._meter is not None:
            await self._meter.spend(amount)
        self._untold += amount
        if self._untold >= STEP:
            told, self._untold = self._untold, 0
            self._tell(told)


class MeteredBody:
    """A body that is sent no faster."""

    def __init__(self, body: RequestBody, meter: Meter | Tally) -> None:
        self._body = body
        self._meter = meter
        self.size: int = body.size

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._body.chunks():
            for start in range(0, len(chunk), self._meter.piece):
                piece = chunk[start : start + self._meter.piece]
                await self._meter.spend(len(piece))
                yield piece


class MeteredAnswer:
    """An answer that is read no faster."""

    def __init__(self, answer: Answer, meter: Meter | Tally) -> None:
        self._answer = answer
        self._meter = meter
        self.status: int = answer.status
        self.headers: Mapping[str, str] = answer.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._answer.chunks():
            await self._meter.spend(len(chunk))
            yield chunk
