"""What requests wait for, on a loop whose seconds pass only when somebody sleeps."""

from __future__ import annotations

import asyncio
from random import Random

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from asyncpresign import Limits
from asyncpresign.transfer.gates import Gates, Lane, Memory, Pass
from asyncpresign.transfer.hosts import IDLE_HOSTS

from .fake_transport import World

A, B = "https://a.test/x", "https://b.test/x"


def gates(world: World | None = None, longest: float = 20.0, **limits: float) -> Gates:
    return Gates(Limits(**limits), longest, (world or World()).edge())  # type: ignore[arg-type]


def enters(made: Gates, url: str, lane: Lane | None = Lane.DATA) -> Pass | None:
    asked = made.ask(url, lane)
    return asked if made.enter_nowait(asked) else None


def how_many(made: Gates, url: str, lane: Lane = Lane.DATA) -> int:
    """How many may be under way, by trying; they all leave again."""
    passed = []
    while (one := enters(made, url, lane)) is not None:
        passed.append(one)
    for one in passed:
        made.leave(one)
    return len(passed)


async def test_slots_of_all_and_of_one_host() -> None:
    made = gates(concurrency=5, per_host=3)
    held = [enters(made, A) for _ in range(3)]
    assert None not in held
    assert enters(made, A) is None
    assert how_many(made, B) == 2
    made.leave(held[0])  # type: ignore[arg-type]
    assert (how_many(made, A), how_many(made, B)) == (1, 3)


async def test_lanes_do_not_wait_for_each_other() -> None:
    made = gates(concurrency=8)
    assert [how_many(made, A, lane) for lane in Lane] == [8, 2]
    data = [enters(made, A) for _ in range(8)]
    assert how_many(made, A, Lane.PROBE) == 2
    assert enters(made, A) is None
    assert all(enters(made, A, None) for _ in range(100)), "what its caller holds counts nowhere"
    for one in data:
        made.leave(one)  # type: ignore[arg-type]
    assert how_many(gates(concurrency=1), A, Lane.PROBE) == 1


async def test_who_waits_is_let_in_by_who_leaves_in_order() -> None:
    made, order = gates(concurrency=1), []
    first = enters(made, A)
    assert first is not None

    async def wait(name: str, url: str) -> None:
        asked = made.ask(url, Lane.DATA)
        await made.enter(asked)
        order.append(name)
        made.leave(asked)

    async with anyio.create_task_group() as tasks:
        for name, url in (("1", A), ("2", B), ("3", A)):
            tasks.start_soon(wait, name, url)
            await wait_all_tasks_blocked()
        assert order == []
        made.leave(first)
    assert sorted(order) == ["1", "2", "3"]
    assert order.index("1") < order.index("3")
    assert how_many(made, A) == 1


async def test_who_is_cancelled_while_waiting_holds_nothing() -> None:
    made = gates(concurrency=1)
    first = enters(made, A)
    assert first is not None
    asked = made.ask(B, Lane.DATA)
    task = asyncio.create_task(made.enter(asked))
    await wait_all_tasks_blocked()
    task.cancel()
    await asyncio.wait([task])
    made.leave(asked)
    made.leave(first)
    assert (how_many(made, A), how_many(made, B)) == (1, 1)


async def test_slow_down_halves_and_success_gives_back() -> None:
    made = gates(concurrency=16)
    together = [enters(made, A) for _ in range(4)]
    for one in together:
        made.slowed(one, None)  # type: ignore[arg-type]
        made.leave(one)  # type: ignore[arg-type]
    assert [how_many(made, A, lane) for lane in Lane] == [8, 2]
    assert how_many(made, B) == 16, "another host's slots are its own"
    for _ in range(9):
        one = enters(made, A)
        assert one is not None
        made.succeeded(one)
        made.leave(one)
    assert how_many(made, A) == 9
    for _ in range(200):
        made.succeeded(made.ask(A, Lane.DATA))
    assert how_many(made, A) == 16


@pytest.mark.parametrize(("asked_for", "slept"), [(7.0, 7.0), (3600.0, 20.0)])
async def test_a_host_is_left_alone_as_long_as_it_asks(asked_for: float, slept: float) -> None:
    world = World(step=0.0)
    made = gates(world, concurrency=4)
    one = made.ask(A, Lane.DATA)
    made.slowed(one, asked_for)
    assert enters(made, A) is None
    assert enters(made, A, Lane.PROBE) is None
    assert how_many(made, B) == 4
    await made.enter(one)
    assert world.sleeps == [slept]
    made.leave(one)
    assert how_many(made, A) == 2, "it is open again"


async def test_a_closed_hosts_requests_hold_no_slot_of_the_others() -> None:
    world = World()
    waiting = anyio.Event()

    async def sleep(_: float) -> None:
        waiting.set()
        await anyio.sleep_forever()

    world._sleep = sleep  # type: ignore[method-assign]
    made = gates(world, concurrency=2)
    made.slowed(made.ask(A, Lane.DATA), 10.0)
    task = asyncio.create_task(made.enter(made.ask(A, Lane.DATA)))
    await waiting.wait()
    assert how_many(made, B) == 2
    task.cancel()
    await asyncio.wait([task])


async def test_requests_a_second() -> None:
    world = World(step=0.0)
    made = gates(world, requests_per_second=2)
    for _ in range(4):
        await made.enter(made.ask(A, None))
    assert world.sleeps == pytest.approx([0.4, 0.5, 0.5])


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_nobody_is_forgotten(seed: int) -> None:
    """Requests that come, go, slow down, succeed and are cancelled at random: the slots suffice, and are all there again."""
    chance, most = Random(seed), 4
    made = gates(World(step=0.0), concurrency=most, per_host=3)
    under_way: dict[str, int] = {A: 0, B: 0}
    done: list[int] = []

    async def work(number: int, url: str) -> None:
        asked = made.ask(url, Lane.DATA)
        try:
            if not made.enter_nowait(asked):
                await made.enter(asked)
            under_way[url] += 1
            try:
                assert sum(under_way.values()) <= most
                assert under_way[url] <= 3
                for _ in range(chance.randrange(4)):
                    await checkpoint()
            finally:
                under_way[url] -= 1
            if chance.random() < 0.2:
                made.slowed(asked, chance.choice([None, 0.0, 5.0]))
            else:
                made.succeeded(asked)
            done.append(number)
        finally:
            made.leave(asked)

    tasks = [asyncio.create_task(work(number, chance.choice([A, B]))) for number in range(150)]
    while not all(task.done() for task in tasks):
        await checkpoint()
        if chance.random() < 0.3:
            chance.choice(tasks).cancel()
    assert len(done) == sum(not task.cancelled() for task in tasks) > 50
    assert [task.exception() for task in tasks if not task.cancelled()] == [None] * len(done)
    for url in (A, B):
        for _ in range(100):
            made.succeeded(made.ask(url, Lane.DATA))
        one = made.ask(url, Lane.DATA)
        await made.enter(one)
        made.leave(one)
        assert how_many(made, url) == 3


# --- hosts ------------------------------------------------------------------------------------------------------------


async def test_one_host_has_one_state_however_it_is_written() -> None:
    made = gates(concurrency=4, per_host=1)
    held = enters(made, "https://Host.Test/x")
    assert held is not None
    for url in ("HTTPS://host.test:443?x", "https://me@HOST.test?x", "https://host.test"):
        assert enters(made, url) is None
    for url in ("http://host.test/x", "https://host.test:8443/x", "https://host.test.example/x"):
        assert enters(made, url) is not None


async def test_hosts_are_forgotten_in_time_and_never_while_they_are_in_use() -> None:
    made = gates(concurrency=4, per_host=1)
    held = enters(made, A)
    assert held is not None
    for number in range(3 * IDLE_HOSTS):
        made.leave(made.ask(f"https://{number}.test/x", Lane.DATA))
    assert len(made._hosts) <= IDLE_HOSTS + 1
    assert enters(made, A) is None, "its slot is still taken"
    made.leave(held)
    assert enters(made, A) is not None


# --- memory -----------------------------------------------------------------------------------------------------------


async def test_memory_is_given_in_order_and_given_back() -> None:
    memory, order = Memory(10), []

    async def hold(name: str, size: int) -> None:
        async with memory.hold(size):
            order.append(name)
            await checkpoint()

    async with anyio.create_task_group() as tasks, memory.hold(6):
        for name, size in (("large", 8), ("small", 1), ("more than all", 99)):
            tasks.start_soon(hold, name, size)
            await wait_all_tasks_blocked()
        assert (order, memory.left) == ([], 4), "nobody overtakes who asked before"
    assert order == ["large", "small", "more than all"]
    assert memory.left == 10


async def test_who_no_longer_wants_memory_lets_the_next_have_it() -> None:
    memory = Memory(10)

    async def hold(size: int) -> None:
        async with memory.hold(size):
            pass

    async with memory.hold(6):
        large, small = asyncio.create_task(hold(8)), asyncio.create_task(hold(4))
        await wait_all_tasks_blocked()
        large.cancel()
        await asyncio.wait([large, small])
        assert (large.cancelled(), small.done()) == (True, True)
    assert memory.left == 10


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_all_memory_is_given_back(seed: int) -> None:
    chance, memory, held = Random(seed), Memory(10), 0

    async def work() -> None:
        nonlocal held
        size = chance.randint(1, 10)
        async with memory.hold(size):
            held += size
            assert held <= 10
            try:
                for _ in range(chance.randrange(4)):
                    await checkpoint()
            finally:
                held -= size

    tasks = [asyncio.create_task(work()) for _ in range(150)]
    while not all(task.done() for task in tasks):
        await checkpoint()
        if chance.random() < 0.3:
            chance.choice(tasks).cancel()
    assert sum(not task.cancelled() for task in tasks) > 50
    assert [task.exception() for task in tasks if not task.cancelled() and task.exception()] == []
    assert memory.left == 10


async def test_who_is_cancelled_when_it_is_given_memory_gives_it_back() -> None:
    memory = Memory(10)

    async def hold() -> None:
        async with memory.hold(8):
            pass

    async with memory.hold(6):
        task = asyncio.create_task(hold())
        await wait_all_tasks_blocked()
    task.cancel()
    await asyncio.wait([task])
    assert (task.cancelled(), memory.left) == (True, 10)
