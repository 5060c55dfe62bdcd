"""How many items a stream keeps alive, and what the engine costs an item, when the network costs nothing.

A generator of a million downloads goes through `Transfer.stream` over a transport in memory. Weak references count how
many of its items are alive at once.
"""

from __future__ import annotations

import argparse
import asyncio
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from asyncpresign import Credentials, Download, OfflineSigner, S3Object, Transfer
from asyncpresign.cli.demo import peak_memory


class Item(Download):
    """A download that can be referred to weakly; slots keep the library's own from it."""

    __slots__ = ("__weakref__",)


class MemoryAnswer:
    """200, and a body of four bytes."""

    status = 200
    headers = {"content-length": "4"}  # noqa: RUF012 (shared on purpose)

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b"body"


class MemoryTransport:
    """A `Transport` without a network; it lets other tasks run in the middle of every exchange, as a socket would."""

    @asynccontextmanager
    async def send(self, request: object) -> AsyncIterator[MemoryAnswer]:
        await asyncio.sleep(0)
        yield MemoryAnswer()

    async def aclose(self) -> None:
        """Nothing is open."""


class Alive:
    """Counts items from their making to their end."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def _gone(self) -> None:
        self.now -= 1

    def watch(self, item: Item) -> Item:
        self.now += 1
        self.most = max(self.most, self.now)
        weakref.finalize(item, self._gone).atexit = False
        return item


async def measure(items: int, concurrency: int) -> dict[str, Any]:
    alive = Alive()
    before = peak_memory()
    signer = OfflineSigner(Credentials("AKIAIOSFODNN7EXAMPLE", "secret"), region="us-east-1")

    def generate() -> Iterator[Item]:
        return (alive.watch(Item(S3Object("bucket", f"key/{number}"))) for number in range(items))

    done = 0
    started = time.perf_counter()
    async with (
        Transfer(signer, concurrency=concurrency, transport=MemoryTransport()) as transfer,
        transfer.stream(generate()) as results,
    ):
        async for result in results:
            done += result.status == "done"
    seconds = time.perf_counter() - started
    return {
        "items": items,
        "done": done,
        "concurrency": concurrency,
        "most_items_alive": alive.most,
        "alive_at_the_end": alive.now,
        "peak_memory_bytes": peak_memory(),
        "peak_memory_before_bytes": before,
        "seconds": round(seconds, 3),
        "microseconds_per_item": round(seconds / items * 1e6, 2),
    }


def main(arguments: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks stream", description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--concurrency", type=int, default=64)
    options = parser.parse_args(arguments)
    return asyncio.run(measure(options.items, options.concurrency))
