"""The process that is killed: one run of the soak's job, which dies by itself where it was told to.

    python -m benchmarks._job DIRECTION BUCKET OBJECTS ROOT JOURNAL ENDPOINT CONCURRENCY COMMITS HOW

On stdout a line of JSON now and then says how far it is and how much memory it has; at the end, the report. `COMMITS` is the
journal's writing commit at which it dies, 0 for none; `HOW`: `before` it, `behind` it, or `told`, by the parent, who is told.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

from asyncpresign import Credentials, Directory, Download, ItemFinished, OfflineSigner, RetryPolicy, S3Object, Transfer, Upload
from asyncpresign.transfer.items import Item
from asyncpresign.transfer.journal import Book, Call

SMALLEST, RATIO = 1024, 64


def keys(objects: int) -> Iterator[str]:
    return (f"soak/{number % 500:03}/{number:07}" for number in range(objects))


def content(key: str) -> bytes:
    """1 to 64 KiB, log-uniform in size, that only this key has."""
    seed = hashlib.blake2b(key.encode(), digest_size=8).digest()
    size = int(SMALLEST * RATIO ** (int.from_bytes(seed) / 2**64))
    return hashlib.shake_128(key.encode()).digest(size)


def items(direction: str, bucket: str, objects: int, root: str) -> Iterator[Item]:
    """The same in every run."""
    for key in keys(objects):
        if direction == "up":
            yield Upload(content(key), S3Object(bucket, key))
        else:
            yield Download(S3Object(bucket, key), Directory(root))


class DyingBook(Book):
    """Ends the process at its `moment`th commit that writes something."""

    moment = 0
    how = ""
    written = 0

    def apply(self, calls: Any) -> None:
        before = self._connection.total_changes
        super().apply([*calls, Call(self._die_before, (before,))])
        if self.written == self.moment and self._connection.total_changes > before:
            if self.how == "behind":
                os.kill(os.getpid(), signal.SIGKILL)
            say(kill=True)

    def _die_before(self, changes: int) -> None:
        """The last thing in a transaction."""
        self.written += self._connection.total_changes > changes
        if self.written == self.moment and self.how == "before":
            os.kill(os.getpid(), signal.SIGKILL)


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def memory() -> int:
    """Bytes of this process that are in memory now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def main(direction: str, bucket: str, objects: int, root: str, journal: str, endpoint: str, concurrency: int) -> None:
    finished = 0

    def tell(event: object) -> None:
        nonlocal finished
        if isinstance(event, ItemFinished):
            finished += 1
            if finished % max(1, objects // 20) == 0:
                say(finished=finished, memory=memory())

    signer = OfflineSigner(Credentials.from_env(), region="us-east-1", endpoint_url=endpoint)
    policy = RetryPolicy(attempts=12, base=0.02, cap=1.0, budget=objects)
    async with Transfer(signer, concurrency=concurrency, retry=policy) as transfer:
        given = items(direction, bucket, objects, root)
        report = await transfer.run(given, journal=journal, job=f"soak {direction}", on_event=tell)
    say(report=json.loads(report.to_json()))


if __name__ == "__main__":
    from asyncpresign.transfer import journal as module

    *words, moment, how = sys.argv[1:]
    DyingBook.moment, DyingBook.how = int(moment), how
    module.Book = DyingBook  # type: ignore[misc]
    asyncio.run(main(words[0], words[1], int(words[2]), *words[3:6], int(words[6])))  # type: ignore[call-arg]
