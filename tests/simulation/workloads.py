"""What is done in a seed: a table of workloads, each a function of a world and of the chance that plans it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import anyio

from asyncpresign import (
    Credentials,
    Download,
    FormUpload,
    Limits,
    OfflineSigner,
    PresignError,
    RetryPolicy,
    S3Object,
    Transfer,
    Upload,
)
from asyncpresign.transfer.items import Item, Status, TransferResult

from .case import FOLDER, UP, Case
from .loop import Crash
from .world import ACCESS_KEY_ID, SECRET, TOKEN, World

Workload = Callable[[World, random.Random], None]
WORKLOADS: dict[str, Workload] = {}


def workload(function: Workload) -> Workload:
    WORKLOADS[function.__name__] = function
    return function


class Stop(Exception):
    """What callers raise."""


# --- what all have in common ------------------------------------------------------------------------------------------


def troubles(world: World, plan: random.Random) -> None:
    """How much goes wrong: nothing in some seeds, a lot in others."""
    severity = world.severity
    severity.requests = plan.choice((0.0, 0.05, 0.1, 0.2, 0.2, 0.3, 0.4))
    severity.connections = plan.choice((0.0, 0.0, 0.1, 0.25))
    severity.disk = plan.choice((0.0, 0.0, 0.0, 0.01, 0.05))
    severity.slow_disk = plan.choice((0.0, 0.0, 0.2, 0.9))


def signer(world: World) -> OfflineSigner:
    credentials = Credentials(ACCESS_KEY_ID, SECRET, TOKEN)
    return OfflineSigner(credentials, region="us-east-1", endpoint_url="http://s3.test", clock=world.wall)


def transfer(world: World, case: Case, signing: Any = None) -> Transfer:
    # The same for every process of a seed.
    plan = random.Random(case.settings)
    concurrency = plan.choice((1, 2, 3, 8, 8, 64))
    per_host = plan.choice((None, None, 1, 2))
    limits = Limits(
        concurrency=concurrency,
        per_host=per_host,
        memory=plan.choice((1_000, 30_000, 64 << 20)),
        bytes_per_second=plan.choice((None, None, None, 20_000.0)),
        requests_per_second=plan.choice((None, None, None, 5.0)),
    )
    retry = RetryPolicy(attempts=plan.choice((1, 3, 6, 6)), budget=plan.choice((500, 500, 3)))
    made = Transfer(
        signing or signer(world),
        limits=limits,
        retry=retry,
        part_size=case.parts,
        multipart_threshold=int(case.parts * plan.choice((1.0, 1.5, 4.0))),
        edge=world.edge(),
    )
    world.limits = limits
    return made


def at_turn(world: World, turn: int, call: Callable[[], object]) -> None:
    """Call `call` in that many turns of the loop."""
    world.loop.alarms.append((world.loop.turns + turn, call))


def items_of(world: World, plan: random.Random, case: Case) -> Any:
    """The items as an iterable of some kind."""
    items = case.items()

    async def slowly() -> AsyncIterator[Item]:
        for item in items:
            await asyncio.sleep(plan.random() * 0.01)
            yield item

    def lazily() -> Iterator[Item]:
        yield from items

    return plan.choice((lambda: items, lazily, slowly))()


async def each(transfer: Transfer, item: Item) -> TransferResult:
    """The call for one item."""
    match item:
        case Download():
            return await transfer.download(
                item.source,
                item.destination,
                checksum=item.checksum,
                size=item.size,
                if_exists=item.if_exists,
            )
        case Upload():
            return await transfer.upload(
                item.source,
                item.destination,
                params=item.params,
                checksum=item.checksum,
                if_none_match=item.if_none_match,
                size=item.size,
            )
        case FormUpload():
            return await transfer.upload_form(item.source, item.destination, filename=item.filename, size=item.size)
    raise AssertionError


async def moved(world: World, case: Case, moving: Transfer, items: Any, how: str) -> None:
    """All of `items` by `run` or by `stream`, with every outcome looked at as it comes."""
    if how == "stream":
        async with moving.stream(items) as results:
            async for result in results:
                case.outcome(result)
        return

    def told(event: Any) -> None:
        if type(event).__name__ == "ItemFinished":
            case.outcome(event.result)

    report = await moving.run(items, on_event=told)
    if report.done + report.skipped + report.failed != case.finished:
        world.violate(f"the report has {report.done + report.skipped + report.failed} outcomes, {case.finished} were told")
    world.seen.moments.update({f"retried {cause}": count for cause, count in report.retries.items()})


async def still_works(world: World, case: Case, moving: Transfer) -> None:
    """After whatever happened, the same Transfer has all its slots and connections."""
    world.quiet = True
    world.bucket.store("after", b"after it all")

    async def once() -> None:
        try:
            async with asyncio.timeout(1000):
                result = await moving.download(S3Object("bucket", "after"))
        except PresignError as error:
            if world.trouble_for_all or world.troubled:
                # A host's retries may be spent, or a window closed.
                return
            world.violate(f"a download after it all failed: {error!r}")
        except TimeoutError:
            world.violate("a download after it all waits for ever: a slot was not given back")
        else:
            if result.data != b"after it all":
                world.violate("a download after it all has other bytes")

    await asyncio.gather(once(), once(), once())


# --- the workloads ----------------------------------------------------------------------------------------------------


@workload
def mixed(world: World, plan: random.Random) -> None:
    """Items of all kinds, to their end."""
    troubles(world, plan)
    case = Case(world, plan)
    case.fill(plan.randrange(10, 70))
    how = plan.choice(("run", "stream"))

    async def work() -> None:
        async with transfer(world, case) as moving:
            await moved(world, case, moving, items_of(world, plan, case), how)
            await still_works(world, case, moving)

    world.run(work)
    case.check_end(complete=True)


@workload
def cancelled(world: World, plan: random.Random) -> None:
    """Items of all kinds, whose caller is cancelled, natively or by a scope, once or twice, at any turn of the loop."""
    troubles(world, plan)
    case = Case(world, plan)
    how = plan.choice(("run", "stream", "calls"))
    case.fill(plan.randrange(5, 60), clashes=how != "calls")
    way = plan.choice(("native", "native twice", "scope", "timeout", "anyio timeout", "scope and native"))
    turns = [int(10 ** plan.uniform(0, 3.5)) for _ in range(2)]
    seconds = 10 ** plan.uniform(-4, 1.5)
    # Whether the Transfer itself is left by the cancellation, too.
    whole = plan.random() < 0.4

    async def calls(moving: Transfer) -> None:
        async with anyio.create_task_group() as tasks:
            for thing in case.things:
                tasks.start_soon(one, moving, thing.item)

    async def one(moving: Transfer, item: Item) -> None:
        try:
            result = await each(moving, item)
        except PresignError as error:
            result = TransferResult(item, Status.FAILED, error=error)
        case.outcome(replace(result, item=item))

    async def body(moving: Transfer) -> None:
        if how == "calls":
            await calls(moving)
        else:
            await moved(world, case, moving, items_of(world, plan, case), how)

    async def alone() -> None:
        async with transfer(world, case) as moving:
            await body(moving)

    async def until_cancelled(work: Callable[[], Awaitable[None]]) -> None:
        scope = anyio.CancelScope()

        async def inner() -> None:
            with scope:
                await work()

        if way == "timeout":
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await inner()
        elif way == "anyio timeout":
            with anyio.move_on_after(seconds):
                await inner()
        else:
            task = asyncio.create_task(inner(), name="cancelled")
            if way != "scope":
                at_turn(world, turns[0], task.cancel)
            if way == "native twice":
                at_turn(world, sum(turns), task.cancel)
            if way in ("scope", "scope and native"):
                at_turn(world, turns[1], scope.cancel)
            await asyncio.wait([task])
            if not task.cancelled() and task.exception() is not None:
                world.violate(f"cancelled, it raised {task.exception()!r}")
        world.log(f"cancelled by {way}")
        world.seen.moments[f"cancelled by {way}"] += 1

    async def work() -> None:
        if whole:
            await until_cancelled(alone)
            return
        async with transfer(world, case) as moving:
            await until_cancelled(lambda: body(moving))
            await still_works(world, case, moving)

    world.run(work)
    case.check_end(complete=False)


@workload
def left_early(world: World, plan: random.Random) -> None:
    """A stream that is left after some results, by `break` or by an exception; a run that stops at its first failure."""
    troubles(world, plan)
    case = Case(world, plan)
    case.fill(plan.randrange(10, 60))
    way = plan.choice(("break", "raise", "fail fast", "event raises", "items raise", "items hang"))
    after = plan.randrange(0, 20)

    async def raising() -> AsyncIterator[Item]:
        for number, item in enumerate(case.items()):
            if number == after:
                raise Stop
            yield item

    async def hanging() -> AsyncIterator[Item]:
        for number, item in enumerate(case.items()):
            if number == after:
                await asyncio.sleep(100_000)
            yield item

    async def through_stream(moving: Transfer) -> None:
        async with moving.stream(case.items()) as results:
            count = 0
            async for result in results:
                case.outcome(result)
                count += 1
                if count > after:
                    if way == "raise":
                        raise Stop
                    break

    async def work() -> None:
        async with transfer(world, case) as moving:
            with suppress(Stop):
                if way in ("break", "raise"):
                    await through_stream(moving)
                elif way == "fail fast":
                    await moving.run(items_of(world, plan, case), fail_fast=True)
                elif way == "event raises":
                    count = 0

                    def told(event: Any) -> None:
                        nonlocal count
                        count += 1
                        if count > after:
                            raise Stop

                    await moving.run(items_of(world, plan, case), on_event=told)
                elif way == "items raise":
                    await moving.run(raising())
                else:
                    with anyio.move_on_after(1_000):
                        await moving.run(hanging())
            world.seen.moments[f"left by: {way}"] += 1
            await still_works(world, case, moving)

    world.run(work)
    case.check_end(complete=False)


class TroubledSigner:
    """A signer that fails, hangs, or raises the `CancelledError` of a task of its own."""

    def __init__(self, world: World, inner: OfflineSigner, share: float) -> None:
        self._world = world
        self._inner = inner
        self._share = share
        self.failed = 0

    async def _trouble(self) -> None:
        world = self._world
        kind = world._happens(self._share, ["error", "stray", "slow", "hang", "error of ours"])
        if kind is None:
            return
        self.failed += 1
        world.trouble_for_all = True
        world._noted(f"signer: {kind}", "sign", world.faults_drawn)
        world.log(f"FAULT {world.faults_drawn}: signer: {kind}")
        match kind:
            case "error":
                raise RuntimeError("the signer broke")
            case "error of ours":
                raise PresignError("the signer cannot")
            case "stray":
                task = asyncio.ensure_future(asyncio.sleep(1000))
                asyncio.get_running_loop().call_soon(task.cancel)
                await task
            case "slow":
                await asyncio.sleep(world.chance.random() * 5)
            case "hang":
                await asyncio.sleep(100)

    async def presign(self, *args: Any, **options: Any) -> Any:
        await self._trouble()
        return await self._inner.presign(*args, **options)

    async def presign_urls(self, *args: Any, **options: Any) -> Any:
        return await self._inner.presign_urls(*args, **options)

    async def presign_post(self, *args: Any, **options: Any) -> Any:
        await self._trouble()
        return await self._inner.presign_post(*args, **options)


@workload
def signers(world: World, plan: random.Random) -> None:
    """A signer of somebody's, which may raise anything, also what looks like a cancellation."""
    troubles(world, plan)
    case = Case(world, plan)
    case.fill(plan.randrange(10, 60))
    share = plan.choice((0.05, 0.3))
    how = plan.choice(("run", "stream"))

    async def work() -> None:
        async with transfer(world, case, TroubledSigner(world, signer(world), share)) as moving:
            await moved(world, case, moving, items_of(world, plan, case), how)

    world.run(work)
    case.check_end(complete=True)


@workload
def clocks(world: World, plan: random.Random) -> None:
    """Clocks that jump, and servers whose clock is another."""
    troubles(world, plan)
    world.severity.jumps = plan.choice((0.0, 0.02))
    world.skew = timedelta(minutes=plan.choice((-180, -20, 20, 180, 60 * 24 * 30)))
    case = Case(world, plan)
    case.fill(plan.randrange(10, 60))

    async def work() -> None:
        async with transfer(world, case) as moving:
            await moved(world, case, moving, items_of(world, plan, case), "run")

    world.run(work)
    case.check_end(complete=True)


@workload
def journal(world: World, plan: random.Random) -> None:
    """A run with a journal whose process dies, by a signal or with its machine; the same call again, until it returns."""
    troubles(world, plan)
    case = Case(world, plan)
    case.fill(plan.randrange(10, 50), journal=True)
    case.journal = True
    crashes = plan.choice((1, 1, 2, 3))
    path = world.database.path
    crashed = False

    async def work() -> None:
        async with transfer(world, case) as moving:

            def told(event: Any) -> None:
                if type(event).__name__ == "ItemFinished":
                    case.outcome(event.result)

            await moving.run(case.items(), journal=path, job="simulated", on_event=told)

    for life in range(crashes + 1):
        how = plan.choice(("kill", "kill", "power", "cancel", "cancel"))
        turn = int(10 ** plan.uniform(1, 3.6))
        world.quiet = life == crashes
        case.begin_again()
        if world.quiet:
            world.run(work)
        elif how == "cancel":
            way = plan.choice(("once", "twice", "scope", "scope"))
            world.run(partial(cancelled_once, world, case, work, turn, way))
        else:
            with suppress(Crash):
                world.run(work, crash_at=turn)
                continue
            world.seen.moments[f"process dies: {how}"] += 1
            world.crash(how)
            crashed = True
            case.crashed(certain=how == "kill")
        if world.database.is_open:
            world.violate("the journal is left open")
            world.database.abandon()
    case.check_end(complete=True, crashed=crashed)


async def cancelled_once(world: World, case: Case, work: Callable[[], Coroutine[Any, Any, None]], turn: int, way: str) -> None:
    scope = anyio.CancelScope()

    async def inner() -> None:
        with scope:
            await work()

    task = asyncio.create_task(inner(), name="cancelled")

    def cancel() -> None:
        if not task.done():
            (scope.cancel if way == "scope" else task.cancel)()
            world.seen.moments[f"a run with a journal is cancelled: {way}"] += 1
            world.log("the run is cancelled")
            case.cancelled_at(world.loop.turns)

    if turn % 2:
        at_turn(world, turn, cancel)
    else:
        # As soon as the result of some job has arrived: then what waited for it goes on.
        world.loop.job_alarms[1 + turn % 97] = [(1 + turn % 5, cancel)]
    if way == "twice":
        at_turn(world, turn + 3, task.cancel)
    await asyncio.wait([task])


@workload
def neighbours(world: World, plan: random.Random) -> None:
    """Single calls side by side, some of which are cancelled or time out; the others end as if nothing had been."""
    troubles(world, plan)
    case = Case(world, plan)
    case.fill(plan.randrange(10, 60), clashes=False)
    doomed = {id(thing.item) for thing in case.things if plan.random() < 0.3}

    async def one(moving: Transfer, item: Item) -> None:
        try:
            result = await each(moving, item)
        except PresignError as error:
            result = TransferResult(item, Status.FAILED, error=error)
        case.outcome(replace(result, item=item))

    async def work() -> None:
        async with transfer(world, case) as moving:
            tasks = []
            for thing in case.things:
                task = asyncio.create_task(one(moving, thing.item), name=thing.key)
                tasks.append(task)
                if id(thing.item) in doomed:
                    for _ in range(plan.randrange(1, 3)):
                        at_turn(world, int(10 ** plan.uniform(0, 3.5)), task.cancel)
                        world.seen.moments["a call is cancelled beside others"] += 1
            try:
                async with asyncio.timeout(100_000):
                    await asyncio.wait(tasks)
            except TimeoutError:
                waiting = [task.get_name() for task in tasks if not task.done()]
                world.violate(f"these wait for ever: {waiting}")
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
            for task in tasks:
                if not task.cancelled() and task.exception() is not None:
                    world.violate(f"{task.get_name()} raised {task.exception()!r}")
            await still_works(world, case, moving)

    world.run(work)
    undone = [thing.key for thing in case.things if id(thing.item) not in doomed and id(thing.item) not in case.outcomes]
    if undone and not world.violations:
        world.violate(f"no outcome of {undone}")
    case.check_end(complete=False)


@workload
def trees(world: World, plan: random.Random) -> None:
    """A whole prefix down and a whole tree up, with a journal or without; listings have many pages."""
    troubles(world, plan)
    case = Case(world, plan)
    down = plan.random() < 0.5
    journal = world.database.path if plan.random() < 0.5 else None
    for number in range(plan.randrange(5, 60)):
        name = f"{plan.choice(('', 'a/', 'a/b/', 'ü/', 'c d/'))}n{number}"
        if down:
            case.object(f"prefix/{name}")
            case.expect(f"prefix/{name}", path=f"{FOLDER}/{name}")
        else:
            content = plan.randbytes(case.size())
            world.disk.write_file(f"{UP}/{name}", content)
            case.expect(f"prefix/{name}", content=content)

    async def work() -> None:
        def event(event: Any) -> None:
            if type(event).__name__ == "ItemFinished":
                case.named(event.result)

        async with transfer(world, case) as moving:
            try:
                if down:
                    report = await moving.download_prefix("bucket", "prefix/", FOLDER, journal=journal, on_event=event)
                else:
                    report = await moving.upload_tree(UP, "bucket", "prefix", journal=journal, on_event=event)
            except PresignError as error:
                # A listing that cannot be read.
                world.log(f"it ends with {error!r}")
                if not (world.troubled or world.trouble_for_all):
                    world.violate(f"it failed and met no fault: {error!r}")
                return
            if report.done + report.skipped + report.failed != len(case.things):
                world.violate(f"{len(case.things)} files, and {report.done}, {report.skipped} and {report.failed} outcomes")

    world.run(work)
    case.check_end(complete=False)
