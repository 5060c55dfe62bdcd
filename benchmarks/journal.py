"""What a journal costs: a million uploads planned by a generator, without one, with one, and again when all is done.

They go through `Transfer.run` over a transport in memory, so that the difference is the journal's. The peak of memory is that
of all three runs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from asyncpresign import Credentials, OfflineSigner, S3Object, Transfer, Upload
from asyncpresign.cli.demo import peak_memory
from asyncpresign.http.transport import Request

from .stream import MemoryAnswer, MemoryTransport


class Taking(MemoryTransport):
    """Takes what is sent before it answers."""

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[MemoryAnswer]:
        assert request.body is not None
        async for _ in request.body.chunks():
            await asyncio.sleep(0)
        yield MemoryAnswer()


def items(count: int) -> Iterator[Upload]:
    return (Upload(b"body", S3Object("bucket", f"key/{number}")) for number in range(count))


async def run(count: int, concurrency: int, journal: str | None) -> tuple[float, tuple[int, int]]:
    """Seconds, and how many items were done and skipped."""
    signer = OfflineSigner(Credentials("AKIAIOSFODNN7EXAMPLE", "secret"), region="us-east-1")
    started = time.perf_counter()
    async with Transfer(signer, concurrency=concurrency, transport=Taking()) as transfer:
        report = await transfer.run(items(count), journal=journal)
    report.raise_for_failures()
    return time.perf_counter() - started, (report.done, report.skipped)


def measure(count: int, concurrency: int) -> dict[str, Any]:
    before = peak_memory()
    with tempfile.TemporaryDirectory(prefix="asyncpresign-journal-") as folder:
        journal = os.path.join(folder, "journal")
        bare, _ = asyncio.run(run(count, concurrency, None))
        first, done = asyncio.run(run(count, concurrency, journal))
        again, skipped = asyncio.run(run(count, concurrency, journal))
        size = os.path.getsize(journal)
    return {
        "items": count,
        "done": done[0],
        "skipped_again": skipped[1],
        "concurrency": concurrency,
        "peak_memory_bytes": peak_memory(),
        "peak_memory_before_bytes": before,
        "journal_bytes_per_item": round(size / count, 1),
        "microseconds_per_item": {
            "without": round(bare / count * 1e6, 1),
            "with": round(first / count * 1e6, 1),
            "journal": round((first - bare) / count * 1e6, 1),
            "skipped": round(again / count * 1e6, 1),
        },
    }


def main(arguments: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks journal", description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--concurrency", type=int, default=64)
    options = parser.parse_args(arguments)
    return measure(options.items, options.concurrency)
