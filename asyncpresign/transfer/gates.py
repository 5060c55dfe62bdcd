"""What a request waits for before it is sent: its host's patience, a slot, a rate; and who may hold how much memory.

Slots count requests, not items. They are taken in one order (memory, host, all, rate), and nobody who has one waits for an
earlier one: an item holds none, so its parts can never wait for each other. What is right to do is `rate`'s to say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from enum import StrEnum
from math import inf

import anyio

from .edge import Edge
from .hosts import Hosts
from .meter import Meter
from .policy import Limits, RetryBudget, RetryPolicy
from .rate import Window


class Lane(StrEnum):
    """Small requests have slots of their own, so that none waits behind bodies, nor they behind it."""

    DATA = "data"
    PROBE = "probe"


def _capacity(lane: Lane, limit: float) -> int:
    return int(limit) if lane is Lane.DATA else max(1, int(limit) // 4)


def _slots(limit: float) -> Mapping[Lane, anyio.CapacityLimiter]:
    return {lane: anyio.CapacityLimiter(_capacity(lane, limit)) for lane in Lane}


class Host:
    """What one `Transfer` knows about a host: how many requests it takes at once, the retries left for it, and its clock.

    `clock_offset` is the host's time minus this machine's; None where the signer's own clock was right so far.
    """

    __slots__ = ("__weakref__", "budget", "clock_offset", "slots", "window")

    def __init__(self, most: int, budget: int) -> None:
        self.window: Window = Window(most, float(most))
        self.slots: Mapping[Lane, anyio.CapacityLimiter] = _slots(most)
        self.budget: RetryBudget = RetryBudget(budget)
        self.clock_offset: timedelta | None = None

    def become(self, window: Window) -> None:
        if int(window.limit) != int(self.window.limit):
            for lane, slots in self.slots.items():
                slots.total_tokens = _capacity(lane, window.limit)
        self.window = window


class Pass:
    """One request for `url` that is, or waits to be, under way; `lane` None has no slot."""

    __slots__ = ("cuts", "held", "host", "lane", "url")

    def __init__(self, url: str, host: Host, lane: Lane | None) -> None:
        self.url: str = url
        self.host: Host = host
        self.lane: Lane | None = lane
        self.cuts: int = host.window.cuts
        self.held: list[anyio.CapacityLimiter] = []


class Gates:
    """The slots, rates and hosts of one `Transfer`.

    `longest` is the most seconds that a server's `Retry-After` is believed, `budget` how many retries a host has open.
    """

    def __init__(self, limits: Limits, longest: float, edge: Edge, budget: int = RetryPolicy().budget) -> None:
        most = min(limits.concurrency, limits.per_host or limits.concurrency)
        self._longest = longest
        self._edge = edge
        self._hosts = Hosts(lambda: Host(most, budget))
        self._all = _slots(limits.concurrency)
        self._requests = Meter(limits.requests_per_second, edge) if limits.requests_per_second else None

    def ask(self, url: str, lane: Lane | None) -> Pass:
        """A pass for the host of `url`, with which to `enter`."""
        return Pass(url, self._hosts.of(url), lane)

    def host(self, url: str) -> Host:
        """What is known about the host of `url`."""
        return self._hosts.of(url)

    def enter_nowait(self, asked: Pass) -> bool:
        """Whether there is nothing to wait for; if so, it has entered."""
        host, lane = asked.host, asked.lane
        if self._requests is not None or host.window.closed_until > -inf:
            return False
        if lane is None:
            return True
        try:
            for slots in (host.slots[lane], self._all[lane]):
                slots.acquire_on_behalf_of_nowait(asked)
                asked.held.append(slots)
        except anyio.WouldBlock:
            self.leave(asked)
            return False
        return True

    async def enter(self, asked: Pass) -> None:
        """Wait for everything; whoever is cancelled has to `leave` as well."""
        await self._take(asked, asked.host.slots)
        # Those of a host that is closed wait without a slot that another host's could use.
        await self._until_open(asked.host)
        await self._take(asked, self._all)
        if self._requests is not None:
            await self._requests.spend(1)
        # What stands now is what it adds to.
        asked.cuts = asked.host.window.cuts

    async def _take(self, asked: Pass, of: Mapping[Lane, anyio.CapacityLimiter]) -> None:
        if asked.lane is not None:
            await of[asked.lane].acquire_on_behalf_of(asked)
            asked.held.append(of[asked.lane])

    async def _until_open(self, host: Host) -> None:
        while (wait := host.window.closed_until - self._edge.monotonic()) > 0:
            await self._edge.sleep(wait)
        host.become(host.window.opened())

    def leave(self, passed: Pass) -> None:
        while passed.held:
            passed.held.pop().release_on_behalf_of(passed)

    def slowed(self, passed: Pass, retry_after: float | None) -> None:
        """The server asked for fewer requests."""
        host = passed.host
        pause = min(retry_after or 0.0, self._longest)
        host.become(host.window.slowed(passed.cuts, self._edge.monotonic(), pause))

    def succeeded(self, passed: Pass) -> None:
        host = passed.host
        if host.window.limit < host.window.most:
            host.become(host.window.succeeded())


class Memory:
    """At most `whole` bytes held at once by all who ask for them first; in the order in which they ask."""

    def __init__(self, whole: int) -> None:
        self._whole = whole
        self.left: int = whole
        self._waiting: deque[tuple[int, anyio.Event]] = deque()

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Room for `size` bytes until the context ends. More than there is at all is given when nobody else holds any."""
        size = min(size, self._whole)
        await self._take(size)
        try:
            yield
        finally:
            self._give(size)

    async def _take(self, size: int) -> None:
        if not self._waiting and size <= self.left:
            self.left -= size
            return
        place = (size, anyio.Event())
        self._waiting.append(place)
        try:
            await place[1].wait()
        except BaseException:
            if place[1].is_set():
                self._give(size)
            else:
                self._waiting.remove(place)
                self._give(0)
            raise

    def _give(self, size: int) -> None:
        self.left += size
        while self._waiting and self._waiting[0][0] <= self.left:
            size, turn = self._waiting.popleft()
            self.left -= size
            turn.set()
