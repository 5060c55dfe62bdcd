"""Many items at once: how many, how many are alive, in which order, and that leaving in any way leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from asyncpresign import Download, RetryPolicy, Transfer, TransferResult
from asyncpresign.http.transport import Request
from asyncpresign.transfer.items import Item
from asyncpresign.transfer.report import SLOWEST

from .fake_transport import FakeTransport, Say, World, error

URL = "http://s3.test/bucket/"


def transfer(transport: FakeTransport, concurrency: int = 4, **options: Any) -> Transfer:
    return Transfer(transport=transport, concurrency=concurrency, edge=World().edge(), **options)


def downloads(count: int, **options: Any) -> Iterator[Download]:
    for number in range(count):
        yield Download(f"{URL}{number}", id=str(number), **options)


async def spin(turns: int = 20) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
async def nothing_left(tmp_path: Path) -> AsyncIterator[None]:
    """After every test here: no task but those there were, and no temporary file."""
    yield
    gc.collect()
    known = ("TestRunner.", "test_", "nothing_left")
    names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
    assert [name for name in names if not name.startswith(known)] == []
    assert [path for path in tmp_path.rglob("*") if path.name.endswith(".part")] == []


class Gate:
    """Holds requests back until it is opened; `waiting` are those it holds."""

    def __init__(self) -> None:
        self.opened = anyio.Event()
        self.waiting: list[str] = []

    async def __call__(self, request: Request) -> None:
        self.waiting.append(request.url.removeprefix(URL))
        await self.opened.wait()


# --- how many ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 3, 64])
@pytest.mark.parametrize("count", [0, 1, 2, 200])
async def test_all_items_and_never_more_at_once(concurrency: int, count: int) -> None:
    transport = FakeTransport(otherwise=Say(body=b"abc"))
    async with transfer(transport, concurrency) as moving, moving.stream(downloads(count)) as results:
        ids = [result.item.id async for result in results]
    assert sorted(ids, key=lambda name: int(name or "")) == [str(number) for number in range(count)]
    assert transport.most_open == min(concurrency, count)


async def test_two_streams_share_the_limit() -> None:
    transport = FakeTransport(before=lambda _: spin(3))
    async with transfer(transport) as moving, anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(moving.run, downloads(50))
        for number in range(20):
            tasks.start_soon(moving.download, f"{URL}single/{number}")
    assert (transport.sent, transport.most_open) == (170, 4)


async def test_a_stream_in_a_stream() -> None:
    transport = FakeTransport()
    seen = []
    async with transfer(transport, 1) as moving, moving.stream(downloads(5)) as outer:
        async for result in outer:
            seen.append(result.item.id)
            async with moving.stream(downloads(3)) as inner:
                seen += [f"{result.item.id}/{deeper.item.id}" async for deeper in inner]
            await moving.download(URL)
    assert len(seen) == 5 + 5 * 3
    assert (transport.sent, transport.most_open) == (25, 1)


async def test_a_source_that_uses_the_same_transfer() -> None:
    transport = FakeTransport(otherwise=Say(body=b"abc"))

    async def items() -> AsyncIterator[Item]:
        for item in downloads(10):
            await moving.download(f"{URL}manifest")
            yield item

    async with transfer(transport, 1) as moving:
        with anyio.fail_after(5):
            report = await moving.run(items())
    assert (report.done, transport.most_open) == (10, 1)


async def test_results_come_in_the_order_of_completion() -> None:
    gates = {str(number): anyio.Event() for number in range(4)}

    async def wait(request: Request) -> None:
        await gates[request.url.removeprefix(URL)].wait()

    async with transfer(FakeTransport(before=wait)) as moving, moving.stream(downloads(4)) as results:
        for number in ("2", "0", "3", "1"):
            gates[number].set()
            assert (await anext(results)).item.id == number
        with pytest.raises(StopAsyncIteration):
            await anext(results)
        with pytest.raises(StopAsyncIteration):
            await anext(results)


# --- memory -----------------------------------------------------------------------------------------------------------


class Url(str):
    """A text that can be watched by a weak reference."""

    __slots__ = ("__weakref__",)


class Watched:
    """Makes items, and counts how many of them are alive: their URLs live as long as they do."""

    def __init__(self) -> None:
        self.alive = self.most = self.made = 0

    def items(self, count: int) -> Iterator[Download]:
        for number in range(count):
            url = Url(f"{URL}{number}")
            weakref.finalize(url, self._gone)
            self.made += 1
            self.alive += 1
            self.most = max(self.most, self.alive)
            yield Download(url)

    def _gone(self) -> None:
        self.alive -= 1


@pytest.mark.parametrize("concurrency", [1, 16])
async def test_a_generator_is_consumed_lazily(concurrency: int) -> None:
    count, watched = 2_000, Watched()
    transport = FakeTransport(keep=False)
    async with transfer(transport, concurrency) as moving:
        report = await moving.run(watched.items(count))
    assert (report.done, watched.made) == (count, count)
    assert watched.most <= 4 * concurrency + SLOWEST, "the report keeps its slowest"
    assert transport.most_open == concurrency


async def test_a_slow_reader_bounds_what_is_alive() -> None:
    watched, transport = Watched(), FakeTransport(keep=False)
    async with transfer(transport) as moving, moving.stream(watched.items(10_000)) as results:
        for turn in range(1, 4):
            await anext(results)
            await spin(200)
            # In work, or done and waiting to be read.
            assert watched.made <= 3 * 4 + turn
    assert transport.open == 0


async def test_nothing_is_taken_before_it_is_asked_for() -> None:
    watched, gate = Watched(), Gate()
    async with transfer(FakeTransport(before=gate)) as moving, moving.stream(watched.items(1000)):
        await spin(100)
        assert (watched.made, len(gate.waiting)) == (4, 4)


# --- what is iterated over --------------------------------------------------------------------------------------------


async def test_every_kind_of_iterable() -> None:
    async def generator() -> AsyncIterator[Item]:
        for item in downloads(10):
            await asyncio.sleep(0)
            yield item

    class Iterable:
        def __aiter__(self) -> AsyncIterator[Item]:
            return generator()

    async with transfer(FakeTransport()) as moving:
        for items in (list(downloads(10)), tuple(downloads(10)), downloads(10), generator(), Iterable(), set(downloads(10))):
            assert (await moving.run(items)).done == 10


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("place", [0, 1, 5, 100])
async def test_an_iterable_that_raises(asynchronous: bool, place: int) -> None:
    def broken() -> Iterator[Item]:
        yield from downloads(place)
        raise LookupError("the caller's own")

    async def later() -> AsyncIterator[Item]:
        for item in broken():
            yield item

    seen = []

    async def read() -> None:
        async with transfer(FakeTransport()) as moving, moving.stream(later() if asynchronous else broken()) as results:
            async for result in results:
                seen.append(result)  # noqa: PERF401 (those before the exception count)

    with pytest.raises(LookupError, match="the caller's own") as caught:
        await read()
    assert len(seen) == place
    assert type(caught.value) is LookupError


async def test_an_iterable_that_raises_what_it_cannot_be_raised_with() -> None:
    """An exception of a generator's own kind comes out as what it is, not as the end."""

    class Items:
        def __aiter__(self) -> Items:
            return self

        async def __anext__(self) -> Item:
            raise StopIteration

    async with transfer(FakeTransport()) as moving:
        with pytest.raises(RuntimeError):
            await moving.run(Items())  # type: ignore[arg-type]


async def test_a_source_that_is_left_is_the_callers_to_close() -> None:
    closed = []

    async def generator() -> AsyncIterator[Item]:
        try:
            for item in downloads(1000):
                yield item
        finally:
            closed.append(True)

    items = generator()
    async with transfer(FakeTransport()) as moving, moving.stream(items) as results:
        await anext(results)
    await items.aclose()  # type: ignore[attr-defined]
    assert closed == [True]


async def test_a_source_that_waits_is_cancelled_when_the_stream_is_left() -> None:
    ended = []

    async def generator() -> AsyncIterator[Item]:
        try:
            yield Download(URL)
            await anyio.sleep_forever()
        finally:
            ended.append(True)

    async with transfer(FakeTransport()) as moving, moving.stream(generator()) as results:
        await anext(results)
        await spin()
    assert ended == [True]


# --- leaving early ----------------------------------------------------------------------------------------------------


class Mine(Exception):
    pass


class MyBase(BaseException):
    pass


async def leave_by_break(results: AsyncIterator[TransferResult]) -> None:
    async for _ in results:
        break


def leave_by_raising(exception: BaseException) -> Callable[[AsyncIterator[TransferResult]], Awaitable[None]]:
    async def leave(results: AsyncIterator[TransferResult]) -> None:
        await anext(results)
        raise exception

    return leave


ENDINGS: dict[str, tuple[Callable[[AsyncIterator[TransferResult]], Awaitable[None]], type[BaseException] | None]] = {
    "break": (leave_by_break, None),
    "exception": (leave_by_raising(Mine("mine")), Mine),
    "base exception": (leave_by_raising(MyBase("mine")), MyBase),
    "group": (leave_by_raising(ExceptionGroup("mine", [Mine()])), ExceptionGroup),
    "OSError": (leave_by_raising(OSError(5, "mine")), OSError),
    "GeneratorExit": (leave_by_raising(GeneratorExit()), GeneratorExit),
}


@pytest.mark.parametrize("at", ["transport", "file"])
@pytest.mark.parametrize(("leave", "kind"), ENDINGS.values(), ids=ENDINGS.keys())
async def test_leaving_early(
    leave: Callable[[AsyncIterator[TransferResult]], Awaitable[None]],
    kind: type[BaseException] | None,
    at: str,
    tmp_path: Path,
) -> None:
    """The body's own exception comes out as it is; what was under way is gone."""
    turn = 0

    async def hold_all_but_the_first(_: Request) -> None:
        nonlocal turn
        turn += 1
        if turn > 1:
            await spin(5)
            if at == "transport":
                await anyio.sleep_forever()

    # A body that has been written in part when the stream is left.
    said = Say(body=(bytes(1 << 20),) * 50) if at == "file" else Say(body=b"abc")
    transport = FakeTransport(before=hold_all_but_the_first, answers=[Say(body=b"abc")], otherwise=said)
    items = (Download(f"{URL}{number}", tmp_path / str(number)) for number in range(100))
    async with transfer(transport) as moving:
        if kind is None:
            async with moving.stream(items) as results:
                await leave(results)
        else:
            with pytest.raises(kind) as caught:
                async with moving.stream(items) as results:
                    await leave(results)
            assert type(caught.value) is kind
        assert transport.open == 0
        assert all(os.path.getsize(tmp_path / name) in (3, 50 << 20) for name in os.listdir(tmp_path))
        transport.before = None
        assert (await moving.download(URL)).attempts == 1


async def test_leaving_without_reading_anything() -> None:
    gate = Gate()
    async with transfer(transport := FakeTransport(before=gate)) as moving:
        async with moving.stream(downloads(100)):
            pass
        async with moving.stream(downloads(100)) as results:
            await spin()
        assert transport.open == 0
        with pytest.raises(StopAsyncIteration):
            await anext(results)


@pytest.mark.parametrize(
    "how", ["anyio.move_on_after", "anyio.fail_after", "asyncio.timeout", "asyncio.wait_for", "cancel scope"]
)
@pytest.mark.parametrize("inside", [False, True], ids=["around everything", "inside the body"])
async def test_timeouts(how: str, inside: bool, tmp_path: Path) -> None:
    gate = Gate()
    transport = FakeTransport(before=gate)
    items = (Download(f"{URL}{number}", tmp_path / str(number)) for number in range(100))
    reached = []

    async def limited(work: Awaitable[object]) -> None:
        # Over as soon as it is looked at: no test waits for time to pass.
        match how:
            case "anyio.move_on_after":
                with anyio.move_on_after(0.001) as scope:
                    await work
                assert scope.cancelled_caught
            case "anyio.fail_after":
                with pytest.raises(TimeoutError), anyio.fail_after(0.001):
                    await work
            case "asyncio.timeout":
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.001):
                        await work
            case "asyncio.wait_for":
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(work, 0.001)  # type: ignore[arg-type]
            case "cancel scope":
                with anyio.CancelScope() as scope:
                    asyncio.get_running_loop().call_soon(scope.cancel)
                    await work
                assert scope.cancelled_caught
        reached.append(how)

    async def everything() -> None:
        async with moving.stream(items) as results:
            async for _ in results:
                pass

    async with transfer(transport) as moving:
        if inside:
            async with moving.stream(items) as results:
                await limited(anext(results))  # type: ignore[arg-type]
                gate.opened.set()
                assert len([result async for result in results]) == 100
        else:
            await limited(everything())
            gate.opened.set()
        assert transport.open == 0
        assert (await moving.download(URL)).attempts == 1
    assert reached == [how]


@pytest.mark.parametrize("how", ["task.cancel", "cancel scope"])
async def test_cancellation_at_every_step_leaves_nothing(how: str, tmp_path: Path) -> None:
    for steps in range(0, 200, 3):
        said = Say(body=(bytes(1 << 20), b"x"))
        transport = FakeTransport(
            otherwise=lambda request, _, said=said: error(503, "SlowDown") if "7" in request.url else said
        )
        items = (Download(f"{URL}{number}", tmp_path / str(number)) for number in range(10))
        async with transfer(transport, retry=RetryPolicy(attempts=3)) as moving:
            if how == "task.cancel":
                task = asyncio.create_task(moving.run(items))
                await spin(steps)
                task.cancel()
                await asyncio.wait([task])
            else:
                with anyio.CancelScope() as scope:
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(moving.run, items)
                        await spin(steps)
                        scope.cancel()
            assert transport.open == 0
            assert [path for path in tmp_path.iterdir() if path.name.endswith(".part")] == []
    assert all(path.stat().st_size == (1 << 20) + 1 for path in tmp_path.iterdir())


async def test_a_generator_that_holds_a_stream_can_be_closed() -> None:
    """A caller's own async generator around a stream, left by `break` and closed."""

    async def ids(moving: Transfer) -> AsyncIterator[str | None]:
        async with moving.stream(downloads(100)) as results:
            async for result in results:
                yield result.item.id

    async with transfer(transport := FakeTransport()) as moving:
        generator = ids(moving)
        async for _ in generator:
            break
        await generator.aclose()  # type: ignore[attr-defined]
        assert transport.open == 0


async def test_the_transfer_itself_is_left_by_an_exception() -> None:
    gate = Gate()
    transport = FakeTransport(before=gate)

    async def leave() -> None:
        async with transfer(transport) as moving, moving.stream(downloads(100)):
            await spin()
            assert transport.open == 4
            raise Mine

    with pytest.raises(Mine):
        await leave()
    assert transport.open == 0


INTERRUPTED = """
import asyncio, os, signal, sys
sys.path.insert(0, sys.argv[2])
import anyio
from asyncpresign import Download, Transfer
from tests.fake_transport import FakeTransport, Say, World

ROOT = sys.argv[1]

async def interrupt(request):
    await asyncio.sleep(0)
    if request.url.endswith("/5"):
        os.kill(os.getpid(), signal.SIGINT)
        await anyio.sleep_forever()

async def main():
    transport = FakeTransport(before=interrupt, otherwise=Say(body=(bytes(1 << 20),) * 20))
    try:
        async with Transfer(transport=transport, concurrency=4, edge=World().edge()) as moving:
            async with moving.stream(Download(f"http://s3.test/{n}", f"{ROOT}/{n}") for n in range(100)) as results:
                async for result in results:
                    pass
    finally:
        left = [name for name in os.listdir(ROOT) if name.endswith(".part")]
        print("left", transport.open, left, len(asyncio.all_tasks()), flush=True)

try:
    anyio.run(main)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.integration
@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
async def test_ctrl_c(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", INTERRUPTED, str(tmp_path), str(root)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert run.stdout.splitlines() == ["left 0 [] 1", "interrupted"], run.stderr
    assert run.stderr == ""
