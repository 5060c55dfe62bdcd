"""One seed's world: chance, the clocks, the network with its servers, the disk, and what was seen of it all.

A world outlives the process that works in it: `life` begins a process, which a `Crash` ends, and the next `life` finds the
servers as they are and the disk as the crash left it.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import random
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from asyncpresign.transfer import plan
from asyncpresign.transfer.edge import Edge

from . import loop as loop_module
from .bucket import Bucket, Request, Response, error
from .database import Database
from .disk import Disk, mounted
from .loop import Crash, Hang, SimulatedLoop
from .network import Connection, Network
from .server import FITTING, Serving

# Faults of a connection that its next request may meet.
SPILL = {
    "a surplus response",
    "surplus bytes",
    "closed while idle",
    "half-closed after the response",
    "longer than said",
    "refused before the body was read",
}
BEGAN = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
ACCESS_KEY_ID = "AKIDSIMULATED"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOKEN = "the/session+token/of+the+simulation"


@dataclass(slots=True)
class Severity:
    """How much goes wrong in a seed: shares of requests, connections and file calls."""

    requests: float = 0.0
    connections: float = 0.0
    disk: float = 0.0
    slow_disk: float = 0.0
    jumps: float = 0.0


@dataclass(slots=True)
class Seen:
    """What happened, for the coverage table and the checks."""

    faults: Counter[tuple[str, str]] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)


class World:
    """`muted` are the numbers of faults, by their order, that do not happen, and `dropped` those of items that are not
    there: what shrinking leaves out.
    """

    def __init__(
        self, seed: str, *, trace: bool = False, muted: frozenset[int] = frozenset(), dropped: frozenset[int] = frozenset()
    ) -> None:
        self.seed = seed
        self.chance = random.Random(f"{seed} schedule")
        self.trouble = random.Random(f"{seed} trouble")
        self.bucket = Bucket()
        self.disk = Disk()
        self.severity = Severity()
        self.seen = Seen()
        self.muted = muted
        self.dropped = dropped
        self.faults_drawn = 0
        self.faults_met: list[str] = []
        self.violations: list[str] = []
        self.trace: list[str] | None = [] if trace else None
        self.loop: SimulatedLoop
        self.network: Network
        self.now = 1000.0
        self.jump = timedelta()
        self.skew = timedelta()
        self.quiet = False
        # Keys that nobody may ask for any more.
        self.forbidden: set[str] = set()
        # Keys that met a fault, and whether anything went wrong that is no key's.
        self.troubled: set[str] = set()
        self.trouble_for_all = False
        self.spilled = False
        self.valid_keys = {ACCESS_KEY_ID}
        self.signatures: set[str] = {TOKEN, SECRET}
        self.most_active: Counter[str] = Counter()
        self._active: set[Serving] = set()
        self._tokens = 0
        self._spent = 0.0
        self.database = Database(self.chance)
        self.limits: Any = None
        self.items = 0
        self.turns = 0

    # --- a process ----------------------------------------------------------------------------------------------------

    @contextmanager
    def life(self) -> Iterator[SimulatedLoop]:
        """A process with an event loop of its own."""
        loop = self.loop = SimulatedLoop(self.chance)
        loop._now = self.now
        self._active = set()
        self.network = loop.network = Network(loop, self._serve, self._connecting, self.log)
        self.disk.before = self._before
        with ExitStack() as stack:
            stack.enter_context(loop_module.installed(loop))
            stack.enter_context(mounted(self.disk))
            stack.enter_context(self.database.mounted())
            stack.enter_context(small_parts())
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", ResourceWarning)
            try:
                yield loop
            finally:
                self.now = loop.time() + 1.0
                self.turns += loop.turns
                loop.close()

    def run(self, work: Callable[[], Awaitable[Any]], crash_at: int = 0) -> Any:
        """What `work` returns or raises, in a process of its own, after which nothing of it may be left.

        Raises `Crash` when the process dies at turn `crash_at` of its loop.
        """
        with self.life() as loop:
            loop.crash_at = crash_at
            task = loop.create_task(_awaited(work), name="caller")
            try:
                loop.run_until_complete(asyncio.wait([task]))
                loop.crash_at = 0
                self._settle()
            except Crash:
                self.log("the process dies")
                self._bury(loop)
                raise
            except Hang as hang:
                self.violate(f"it hangs: {hang}")
                self._bury(loop)
                return None
            if task.cancelled():
                raise asyncio.CancelledError
            return task.result()

    def _settle(self) -> None:
        """After the last outcome: no request begins, no task is left, all connections are closed."""
        loop = self.loop
        begun = sum(self.seen.requests.values())
        left = [task for task in asyncio.all_tasks(loop) if not task.done()]
        if left:
            self.violate(f"tasks are left: {left}")
        loop.run_until_complete(asyncio.sleep(0.0))
        open_ones = sorted(self.network.open)
        if open_ones:
            self.violate(f"connections are left open: {open_ones}")
        arrived = sum(self.seen.requests.values())
        loop.run_until_complete(asyncio.sleep(200.0))
        del begun, arrived
        if self.disk.open_descriptors:
            self.violate(f"files are left open: {self.disk.open_descriptors}")
        for context in loop.errors:
            self.violate(f"the loop's exception handler was called: {context.get('message')} {context.get('exception')!r}")
        loop.run_until_complete(loop.shutdown_asyncgens())

    def _bury(self, loop: SimulatedLoop) -> None:
        """Drop all tasks without letting them do anything more."""
        self.disk.dead = True
        self.network.bury()
        loop.errors.clear()
        for task in asyncio.all_tasks(loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop._ready.clear()  # type: ignore[attr-defined]
        loop._scheduled.clear()  # type: ignore[attr-defined]

    def crash(self, how: str) -> None:
        """What the next process finds after this one was killed, or its machine lost power."""
        published = self.disk.published
        if how == "kill":
            self.database.kill()
            self.disk = self.disk.after_kill()
        else:
            self.log(self.database.lose_power(self.chance))
            self.disk = self.disk.after_power_loss(self.chance)
        self.disk.published = published

    # --- clocks, chance, names ----------------------------------------------------------------------------------------

    def edge(self) -> Edge:
        return Edge(
            now=self.wall,
            monotonic=self.loop.time,
            random=self.chance.random,
            token=self._token,
            stopwatch=lambda: self.loop.time() + self._spent,
        )

    def wall(self) -> datetime:
        """The time of day on this machine, whose clock is set now and then."""
        if self.severity.jumps and self.chance.random() < self.severity.jumps:
            self.jump = timedelta(seconds=self.chance.choice((-3600, -5, 5, 600, 86400)) * self.chance.random())
            self.seen.moments["clock jumps"] += 1
        return BEGAN + timedelta(seconds=self.loop.time()) + self.jump

    def server_time(self) -> datetime:
        return BEGAN + timedelta(seconds=self.loop.time()) + self.skew

    def _token(self) -> str:
        self._tokens += 1
        return f"{self._tokens:024x}"

    # --- what is seen -------------------------------------------------------------------------------------------------

    def log(self, what: str) -> None:
        if self.trace is not None:
            self.trace.append(f"{self.loop.time():12.6f}  {what}")

    def violate(self, what: str) -> None:
        self.log(f"VIOLATION: {what}")
        self.violations.append(what)

    # --- troubles -----------------------------------------------------------------------------------------------------

    def _happens(self, share: float, kinds: list[str]) -> str | None:
        """One of `kinds`, or None; drawn from a sequence that muting does not change."""
        draw, kind = self.trouble.random(), self.trouble.random()
        if self.quiet or draw >= share or not kinds:
            return None
        self.faults_drawn += 1
        if self.faults_drawn in self.muted:
            return None
        return kinds[int(kind * len(kinds))]

    def _noted(self, name: str, where: str, number: int) -> None:
        self.seen.faults[name, where] += 1
        self.faults_met.append(f"{number}: {name} ({where})")

    def met(self, serving: Serving, request: Request) -> str | None:
        """The fault that a request meets. It has just been read, to the end of its head."""
        operation, key = request.operation, self.bucket.key_of(request)
        self.seen.requests[operation] += 1
        self._active.add(serving)
        active = sum(each.connection.is_open and each.host == request.host for each in self._active)
        self.most_active[request.host] = max(self.most_active[request.host], active)
        if key in self.forbidden:
            self.violate(f"{operation} of {key}, which a journal has for done")
        signature = request.query.get("X-Amz-Signature")
        if signature:
            self.signatures.add(signature)
        name = self._happens(self.severity.requests, FITTING[operation])
        if name is None and self.trace is None:
            return None
        shown = f"#{serving.connection.number} {operation} {key} {request.headers.get('range', '')}"
        if name is None:
            self.log(shown)
            return None
        self._noted(name, operation, self.faults_drawn)
        self.troubled.add("form" if operation == "form" else key)
        if name in SPILL:
            self.spilled = True
        self.log(f"{shown}  FAULT {self.faults_drawn}: {name}")
        return name

    def _connecting(self, stage: str, host: str) -> str | None:
        kinds = ["failed"] if stage == "resolve" else ["refused", "refused", "unanswered"]
        name = self._happens(self.severity.connections, kinds)
        if name is not None:
            self._noted(name, stage, self.faults_drawn)
            self.trouble_for_all = True
            self.log(f"FAULT {self.faults_drawn}: {stage} of {host} {name}")
        return name

    def _before(self, call: str, path: str) -> None:
        """A file call, which may be slow or fail."""
        if self.severity.slow_disk and self.chance.random() < self.severity.slow_disk:
            self._spent += self.chance.random() * 0.05
            self.seen.moments["slow file calls"] += 1
        if not self.severity.disk or call in ("fstat", "stat", "unlink", "scandir"):
            return
        name = self._happens(self.severity.disk, ["full", "broken"])
        if name is not None:
            self._noted(f"disk {name}", call, self.faults_drawn)
            self.trouble_for_all = True
            self.log(f"FAULT {self.faults_drawn}: {call} {path}: {name}")
            number = errno.ENOSPC if name == "full" else errno.EIO
            raise OSError(number, os.strerror(number), path)

    def service_time(self) -> float:
        return self.chance.random() * 10 ** self.chance.uniform(-4, -1)

    # --- servers ------------------------------------------------------------------------------------------------------

    def _serve(self, host: str, connection: Connection) -> Serving:
        return Serving(self, host, connection)

    def inactive(self, serving: Serving) -> None:
        """Its response is sent, or nobody waits for it."""
        self._active.discard(serving)

    def answer(self, request: Request) -> Response:
        """The true response, after the deed."""
        wall = self.server_time()
        refused = self._refusal(request, wall)
        response = refused or self.bucket.answer(request, self.loop.time(), wall)
        if self.trace is not None:
            self.log(f"   {request.operation} {self.bucket.key_of(request)} -> {response.status} ({len(response.body)} bytes)")
        return response

    def _refusal(self, request: Request, wall: datetime) -> Response | None:
        """A light check of signatures: whose, from when, until when."""
        query = request.query
        if request.host != "s3.test" or request.operation == "form":
            return None
        if "X-Amz-Signature" not in query:
            return error(403, "AccessDenied", "no signature")
        signed = datetime.fromisoformat(query["X-Amz-Date"])
        if query["X-Amz-Credential"].partition("/")[0] not in self.valid_keys:
            return error(403, "InvalidAccessKeyId")
        date = format_datetime(wall, usegmt=True)
        if signed - wall > timedelta(minutes=15):
            return error(403, "RequestTimeTooSkewed", Date=date)
        if wall > signed + timedelta(seconds=int(query["X-Amz-Expires"])):
            return error(403, "AccessDenied", "Request has expired", Date=date)
        return None


async def _awaited(work: Callable[[], Awaitable[Any]]) -> Any:
    return await work()


@contextmanager
def small_parts() -> Iterator[None]:
    """S3's own least size of a part would make every object with parts one of 5 MiB at least."""
    least = plan.MIN_PART
    plan.MIN_PART = 1  # type: ignore[misc]
    try:
        yield
    finally:
        plan.MIN_PART = least  # type: ignore[misc]


@contextmanager
def deterministic() -> Iterator[None]:
    """Objects die when nobody refers to them, and never at a moment that the garbage collector chooses."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
