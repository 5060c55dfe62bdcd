"""An asyncio event loop with virtual time, in which whatever asyncio leaves open is decided by a seed.

Time passes only when nothing is ready: then it jumps to the next timer. Every turn of the loop costs a few microseconds, so
that code which spins does not stop the clock. Timers that are due together run in a seeded order, and so are the tasks of an
anyio cancel scope cancelled; `call_soon` stays first in, first out, as asyncio documents. Jobs for threads run in the loop's
own thread, at a seeded moment; their result arrives at a later one.

A loop that has nothing left to do, or spins without an end, raises `Hang` with the stacks of all tasks.
"""

from __future__ import annotations

import asyncio
import io
import random
from asyncio import events
from collections.abc import Callable, Iterator, MutableSet
from contextlib import contextmanager
from heapq import heappush
from typing import Any

import aiohttp.connector
import anyio._backends._asyncio as backend

TURN = 10e-6
"""Seconds that one turn of the loop takes."""
SPIN = 200
"""Turns without a jump of the clock after which one takes as long as the next timer needs."""
MOST_IDLE_TURNS = 20_000
"""Turns without a timer in between: code that spins for ever."""
MOST_TURNS = 400_000
"""Turns of one run: more than any workload needs."""


class Hang(BaseException):
    """Nothing will ever happen again, or the same for ever; the text holds the stacks of all tasks."""


class Crash(BaseException):
    """The process dies here: nothing that is in memory is left, and no `finally` runs."""


class _Timer(asyncio.TimerHandle):
    """A timer with a seeded place among those that are due at the same moment."""

    __slots__ = ("_tie",)

    def __init__(self, when: float, callback: Any, args: Any, loop: SimulatedLoop, context: Any, tie: float) -> None:
        super().__init__(when, callback, args, loop, context)
        self._tie = tie

    def __lt__(self, other: Any) -> bool:
        return (self._when, self._tie) < (other._when, other._tie)  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(self._tie)

    def __eq__(self, other: object) -> bool:
        return self is other


class _Future(asyncio.Future[Any]):
    """A future whose place in a set is the seed's and not its address's: aiohttp wakes waiters in such an order."""

    def __init__(self, *, loop: SimulatedLoop) -> None:
        super().__init__(loop=loop)
        self._place = loop.chance.getrandbits(60)

    def __hash__(self) -> int:
        return self._place


class _Selector:
    """What the loop waits for I/O with: it never waits, and moves the clock instead."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        self._loop.turn_over(timeout)
        return []

    def close(self) -> None:
        """Nothing is open."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """`network` answers what is asked of sockets and names; see `network.Network`."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._selector = _Selector(self)
        self._clock_resolution = 1e-9
        self._now = 1000.0
        self._spun = 0
        self._idle = 0
        self.chance = chance
        self.turns = 0
        self.jobs = 0
        self.network: Any = None
        # The turn at which the process dies; 0 for never.
        self.crash_at = 0
        # Turns at which something is to be called, in any order.
        self.alarms: list[tuple[int, Callable[[], object]]] = []
        # The same, begun when the result of a job arrives, by its number.
        self.arrived = 0
        self.job_alarms: dict[int, list[tuple[int, Callable[[], object]]]] = {}
        self.errors: list[dict[str, Any]] = []
        # Called when the result of the job that runs now arrives; at once, if none does.
        self._in_job = False
        self._after_job: list[Callable[[], None]] = []
        self.set_exception_handler(lambda _, context: self.errors.append(context))

    # --- time ---------------------------------------------------------------------------------------------------------

    def time(self) -> float:
        return self._now

    def turn_over(self, timeout: float | None) -> None:
        self.turns += 1
        if self.turns == self.crash_at:
            raise Crash
        if self.alarms:
            due = [call for turn, call in self.alarms if turn <= self.turns]
            self.alarms = [(turn, call) for turn, call in self.alarms if turn > self.turns]
            for call in due:
                self.call_soon(call)
        if self.turns > MOST_TURNS:
            raise Hang(f"more than {MOST_TURNS} turns of the loop\n{self.stacks()}")
        if timeout is None and not self._ready:
            raise Hang(f"nothing is ready and no timer is set\n{self.stacks()}")
        if timeout is not None and timeout > 0:
            self._now += timeout
            self._spun = self._idle = 0
            return
        self._now += TURN
        self._spun += 1
        if self._spun > SPIN:
            self._spun = 0
            live = [timer._when for timer in self._scheduled if not timer._cancelled]  # type: ignore[attr-defined]
            if live:
                self._now = max(self._now, min(live))
                self._idle = 0
            else:
                self._idle += SPIN
                if self._idle > MOST_IDLE_TURNS:
                    raise Hang(f"{MOST_IDLE_TURNS} turns of the loop without a timer: something spins\n{self.stacks()}")

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        self._check_closed()
        timer = _Timer(when, callback, args, self, context, self.chance.random())
        heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def stacks(self) -> str:
        text = io.StringIO()
        for task in sorted(asyncio.all_tasks(self), key=lambda task: task.get_name()):
            print(f"--- {task.get_name()} {task.get_coro()!r}", file=text)
            task.print_stack(file=text, limit=12)
        return text.getvalue()

    def create_future(self) -> asyncio.Future[Any]:
        return _Future(loop=self)

    # --- what asyncio's own loops add ---------------------------------------------------------------------------------

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none: the network calls back by timers."""

    def _write_to_self(self) -> None:
        """There is no other thread to wake it from."""

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        return await self.network.resolve(host, port)

    async def sock_connect(self, sock: Any, address: Any) -> None:
        await self.network.connect(sock, address)

    async def create_connection(self, protocol_factory: Any, *, sock: Any = None, **_: Any) -> Any:  # type: ignore[override]
        return await self.network.attach(protocol_factory, sock)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        future = self.create_future()

        def report(result: Any, error: BaseException | None) -> None:
            if not future.cancelled():
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)

        self.start_job(lambda: func(*args), report)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There is none."""

    # --- jobs for threads ---------------------------------------------------------------------------------------------

    def start_job(self, call: Callable[[], Any], report: Callable[[Any, BaseException | None], None]) -> None:
        """Run `call` at some moment, and `report` what it returned or raised at some later one."""
        self.call_later(self._pause(), self._run_job, call, report)

    def _run_job(self, call: Callable[[], Any], report: Callable[[Any, BaseException | None], None]) -> None:
        self.jobs += 1
        self._in_job, self._after_job = True, []
        result, failure = None, None
        # A thread has no running loop.
        running = events._get_running_loop()  # type: ignore[attr-defined]
        events._set_running_loop(None)  # type: ignore[attr-defined]
        try:
            result = call()
        except (Crash, Hang):
            raise
        except BaseException as error:  # noqa: BLE001 (handed on, as a thread does)
            failure = error
        finally:
            events._set_running_loop(running)  # type: ignore[attr-defined]
            self._in_job = False
        after = self._after_job

        def arrive() -> None:
            self.arrived += 1
            self.alarms += [(self.turns + turns, call) for turns, call in self.job_alarms.pop(self.arrived, [])]
            report(result, failure)
            for call in after if failure is None else ():
                call()

        if self.chance.random() < 0.5:
            self.call_soon(arrive)
        else:
            self.call_later(self._pause(), arrive)

    def after_job(self, call: Callable[[], None]) -> None:
        """Call `call` when whoever asked for the job that runs now has its result; at once, if this is no job."""
        if self._in_job:
            self._after_job.append(call)
        else:
            call()

    def _pause(self) -> float:
        draw = self.chance.random()
        return draw * 200e-6 if draw < 0.7 else draw * 5e-3 if draw < 0.97 else draw * 0.5


class _Requests:
    """What stands for the queue of a worker thread."""

    def __init__(self, worker: _Worker) -> None:
        self._worker = worker

    def put_nowait(self, item: Any) -> None:
        if item is not None:
            context, func, args, future, _ = item
            worker = self._worker

            def call() -> Any:
                # anyio's worker does not begin what was given up before.
                return None if future.cancelled() else context.run(func, *args)

            worker.loop.start_job(call, lambda result, error: worker._report_result(future, result, error))


class _Worker(backend.WorkerThread):
    """anyio's worker thread without the thread; what anyio does around it stays as it is."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.queue = _Requests(self)  # type: ignore[assignment]

    def start(self) -> None:
        """The loop runs its jobs."""


class _Shuffled(MutableSet[Any]):
    """A set of objects that are hashed by address, which differs from run to run: here in a seeded order."""

    __slots__ = ("_members",)

    def __init__(self) -> None:
        self._members: dict[int, Any] = {}

    def __contains__(self, member: object) -> bool:
        return id(member) in self._members

    def __iter__(self) -> Iterator[Any]:
        members = list(self._members.values())
        loop = events._get_running_loop()  # type: ignore[attr-defined]
        if len(members) > 1 and isinstance(loop, SimulatedLoop):
            loop.chance.shuffle(members)
        return iter(members)

    def __len__(self) -> int:
        return len(self._members)

    def add(self, member: Any) -> None:
        self._members[id(member)] = member

    def discard(self, member: Any) -> None:
        self._members.pop(id(member), None)


@contextmanager
def installed(loop: SimulatedLoop) -> Iterator[None]:
    """anyio's threads, the order of its cancellations and aiohttp's clock are those of `loop` while this is open."""
    init = backend.CancelScope.__init__
    worker = backend.WorkerThread
    clock = aiohttp.connector.monotonic

    def seeded(self: Any, *args: Any, **options: Any) -> None:
        init(self, *args, **options)
        self._child_scopes = _Shuffled()
        self._tasks = _Shuffled()

    backend.CancelScope.__init__ = seeded  # type: ignore[method-assign]
    backend.WorkerThread = _Worker  # type: ignore[misc]
    aiohttp.connector.monotonic = loop.time  # type: ignore[attr-defined]
    try:
        yield
    finally:
        backend.CancelScope.__init__ = init  # type: ignore[method-assign]
        backend.WorkerThread = worker  # type: ignore[misc]
        aiohttp.connector.monotonic = clock  # type: ignore[attr-defined]
