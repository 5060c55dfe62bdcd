"""The simulation of the transfer engine: seeds in which nothing may be found, and that what it stands on holds."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import asyncpresign

from .simulation import disk, runner
from .simulation.bucket import Bucket, Request, Response
from .simulation.loop import Hang, SimulatedLoop
from .simulation.old_bugs import OLD_BUGS, ROOT
from .simulation.workloads import WORKLOADS
from .test_architecture import TOUCH_FILES

SEEDS = 300
AT_ONCE = 25
OF_THE_DAY = 10


@pytest.mark.parametrize("start", range(0, SEEDS, AT_ONCE))
def test_seeds(start: int) -> None:
    found = runner.run_many(range(start, start + AT_ONCE))
    assert found["failed"] == []


def test_seeds_of_the_day() -> None:
    """Others every day, which only report: `pytest -rx` shows what they found."""
    start = 1_000_000 + 1000 * (datetime.now(UTC) - datetime(2026, 1, 1, tzinfo=UTC)).days
    found = runner.run_many(range(start, start + OF_THE_DAY))
    if found["failed"]:
        pytest.xfail(f"{found['failed']}")


@pytest.mark.parametrize("name", sorted(OLD_BUGS))
def test_a_mended_bug_can_be_put_back(name: str, tmp_path: Path) -> None:
    shutil.copytree(Path(asyncpresign.__file__).parent, tmp_path / "asyncpresign")
    OLD_BUGS[name].apply(tmp_path)
    for path in {file for file, _, _ in OLD_BUGS[name].changes}:
        compile((tmp_path / "asyncpresign" / path).read_text(encoding="utf-8"), path, "exec")


def test_a_failing_seed_is_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here one that fails as soon as a form is stored: nothing else is left of it."""
    answer = Bucket.answer

    def failing(self: Bucket, request: Request, now: float, wall: datetime) -> Response:
        if request.operation == "form":
            raise AssertionError("a form")
        return answer(self, request, now, wall)

    monkeypatch.setattr(Bucket, "answer", failing)
    monkeypatch.setattr(runner, "MOST_TRIES", 40)
    first, least = runner.shrink(3, "mixed")
    assert first.items > 20 > least.items >= 1
    assert len(least.trace) < len(first.trace)


def test_a_seed_is_the_same_in_every_process() -> None:
    traces = []
    for hashes in ("1", "2"):
        command = [sys.executable, "-m", "benchmarks", "simulate", "--only", "mixed", "--replay", "5"]
        environment = {**os.environ, "PYTHONHASHSEED": hashes}
        ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
        traces.append(ended.stdout.partition('"environment"')[0])
    assert traces[0] == traces[1] != ""


@pytest.mark.parametrize("workload", sorted(WORKLOADS))
def test_a_seed_is_the_same_whenever_it_is_run(workload: str) -> None:
    first, other, again = (runner.run_seed(seed, workload, trace=True) for seed in (5, 4, 5))
    assert first.trace == again.trace != other.trace
    assert first.trace


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
