"""The simulation of the transfer engine: seeds in which nothing may be found, and that what it stands on holds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from .simulation import disk, runner
from .simulation.loop import Hang, SimulatedLoop
from .simulation.workloads import WORKLOADS
from .test_architecture import TOUCH_FILES

SEEDS = 500
AT_ONCE = 25


@pytest.mark.parametrize("start", range(0, SEEDS, AT_ONCE))
def test_seeds(start: int) -> None:
    found = runner.run_many(range(start, start + AT_ONCE))
    assert found["failed"] == []


@pytest.mark.parametrize("workload", sorted(WORKLOADS))
def test_a_seed_is_the_same_whenever_it_is_run(workload: str) -> None:
    first, other, again = (runner.run_seed(seed, workload, trace=True) for seed in (3, 4, 3))
    assert first.trace == again.trace != other.trace
    assert len(first.trace) > 5


def test_it_takes_the_place_of_every_module_that_calls_files() -> None:
    names = {f"transfer/{Path(str(module.__file__)).name}" for module in disk.MODULES}
    assert names == {*TOUCH_FILES, "transfer/tree.py"}


@pytest.fixture
def loop() -> Iterator[SimulatedLoop]:
    made = SimulatedLoop(random.Random(1))
    yield made
    made.close()


def test_time_jumps_to_the_next_timer(loop: SimulatedLoop) -> None:
    began = loop.time()
    loop.run_until_complete(asyncio.sleep(3600))
    assert loop.time() == pytest.approx(began + 3600, abs=1)


def test_timers_that_are_due_together_run_in_any_order_and_what_is_called_soon_in_one() -> None:
    orders = set()
    for seed in range(20):
        loop = SimulatedLoop(random.Random(seed))
        timers: list[int] = []
        soon: list[int] = []
        for number in range(3):
            loop.call_at(loop.time() + 1, timers.append, number)
            loop.call_soon(soon.append, number)
        loop.run_until_complete(asyncio.sleep(2))
        loop.close()
        orders.add(tuple(timers))
        assert soon == [0, 1, 2]
    assert len(orders) == 6


def test_what_waits_for_ever_is_found(loop: SimulatedLoop) -> None:
    with pytest.raises(Hang, match="nothing is ready"):
        loop.run_until_complete(loop.create_future())


def test_what_spins_for_ever_is_found(loop: SimulatedLoop) -> None:
    async def spin() -> None:
        while True:
            await asyncio.sleep(0)

    task = loop.create_task(spin())
    with pytest.raises(Hang, match="spins"):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
