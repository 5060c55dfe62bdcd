"""A job that is killed again and again, over a connection that fails now and then: what is lost, torn, left over, done twice.

Objects of 1 to 64 KiB go up to the embedded server and come down again, each way a run with a journal, through a relay that
spoils a share of the requests and counts what moves. The process is ended by SIGKILL at moments counted in commits of its
journal, and the same call is made again until it returns. Prints the zeros, the memory as the runs went on, and the rates.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asyncpresign import Credentials, OfflineSigner, Transfer
from asyncpresign.testing import local_s3
from asyncpresign.transfer.rows import State, item_key

from ._job import content, items, keys
from ._relay import Relay

BUCKET = "soak-bucket"
HOW = ("before", "behind", "told")


@dataclass
class Found:
    """What must be zero, added up over all looks."""

    torn: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    left_over: set[str] = field(default_factory=set)


@dataclass
class Soak:
    """One direction of the job, with the moments at which its process dies."""

    direction: str
    options: argparse.Namespace
    folder: Path
    relay: Relay
    credentials: Credentials
    kills_left: int
    chance: random.Random
    found: Found = field(default_factory=Found)
    memory: list[int] = field(default_factory=list)
    kills: list[dict[str, Any]] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.folder / "down"

    @property
    def journal(self) -> Path:
        return self.folder / f"journal-{self.direction}"

    async def run(self) -> dict[str, Any]:
        started = time.perf_counter()
        self.relay.done = set()
        names = await asyncio.to_thread(self._names)
        report = None
        while report is None:
            commit, how = self._moment()
            report = await asyncio.to_thread(self._process, commit, how)
            self.relay.done = {names[row] for row in await asyncio.to_thread(self._done)}
            await asyncio.to_thread(self._look, report is not None)
            if report is None:
                self.kills.append({"commit": commit, "how": how, "done_by_then": len(self.relay.done)})
        seconds = time.perf_counter() - started
        return {
            "kills": self.kills,
            "last_run": {name: report[name] for name in ("done", "skipped", "failed", "retries")},
            "memory_bytes": {"first": self.memory[0], "last": self.memory[-1], "most": max(self.memory)},
            "seconds": round(seconds, 1),
            "objects_per_second": round(self.options.objects / seconds, 1),
        }

    def _moment(self) -> tuple[int, str]:
        """When the next process dies: by chance, spread over what is left, and never behind its end.

        Twice as many tasks as requests write two calls an item, so a commit ends `concurrency` items at the most.
        """
        if self.kills_left == 0:
            return 0, ""
        commits = (self.options.objects - len(self.relay.done)) // self.options.concurrency
        chosen = self.chance.randint(1, max(1, 2 * commits // (self.kills_left + 1))), self.chance.choice(HOW)
        self.kills_left -= 1
        return chosen

    def _process(self, commit: int, how: str) -> dict[str, Any] | None:
        """One process from its start to its end; its report, or None if it was killed."""
        o = self.options
        words = [self.direction, BUCKET, o.objects, self.root, self.journal, self.relay.url, o.concurrency, commit, how]
        environment = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": self.credentials.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.credentials.secret_access_key,
        }
        command = [sys.executable, "-W", "error", "-m", "benchmarks._job", *map(str, words)]
        report = None
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    said = json.loads(line)
                    if "kill" in said:
                        process.kill()
                    report = said.get("report", report)
                    self.memory += [said["memory"]] if "memory" in said else []
            finally:
                process.kill()
        if process.returncode not in (0, -signal.SIGKILL) or (report is None and process.returncode == 0):
            raise RuntimeError(f"the job ended with status {process.returncode}")
        return report

    # --- what is there --------------------------------------------------------------------------------------------------

    def _names(self) -> dict[bytes, str]:
        """The key that each row of the journal is about."""
        made = items(self.direction, BUCKET, self.options.objects, str(self.root))
        return {item_key(item, os.path.abspath).row: key for item, key in zip(made, keys(self.options.objects), strict=True)}

    def _done(self) -> list[bytes]:
        """The rows that say so, read from a copy: the next run must find the file as the dead one left it."""
        with tempfile.TemporaryDirectory(dir=self.folder) as copy:
            for path in self.folder.glob(f"{self.journal.name}*"):
                shutil.copy(path, copy)
            connection = sqlite3.connect(os.path.join(copy, self.journal.name))
            try:
                rows = connection.execute("select key from item where state = ?", (int(State.DONE),)).fetchall()
            finally:
                connection.close()
        return [key for (key,) in rows]

    def _look(self, ended: bool) -> None:
        """At the files: what is visible is whole at any time, and at the end all is there and nothing else."""
        if self.direction == "up":
            return
        wanted = set(keys(self.options.objects))
        seen = set()
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = os.path.join(folder, name)
                key = os.path.relpath(path, self.root).replace(os.sep, "/")
                if key in wanted:
                    seen.add(key)
                    with open(path, "rb") as file:
                        self.found.torn.update([key] if file.read() != content(key) else [])
                elif ended or not name.endswith(".part"):
                    self.found.left_over.add(key)
        # What a row calls done is there, whatever came after.
        self.found.lost |= (wanted if ended else self.relay.done) - seen


@asynccontextmanager
async def relayed(options: argparse.Namespace) -> AsyncIterator[tuple[Relay, Credentials]]:
    async with AsyncExitStack() as stack:
        credentials, upstream = Credentials("AKIDEXAMPLE", "secret"), None
        if options.server != "none":
            s3 = await stack.enter_async_context(local_s3(options.server))
            credentials, upstream = s3.credentials, s3.endpoint_url
            signer = OfflineSigner(credentials, region=s3.region, endpoint_url=upstream)
            async with Transfer(signer) as transfer:
                await transfer.send(await signer.presign("create_bucket", {"Bucket": BUCKET}))
        relay = Relay(content, upstream, options.faults, random.Random(options.seed))
        yield await stack.enter_async_context(relay), credentials


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    twice: Counter[str] = Counter()
    found = Found()
    with tempfile.TemporaryDirectory(prefix="asyncpresign-soak-", dir=options.folder) as folder:
        async with relayed(options) as (relay, credentials):
            directions = ("up", "down") if options.only is None else (options.only,)
            for direction in directions:
                kills = options.kills if len(directions) == 1 else options.kills // 3 * (1 if direction == "up" else 2)
                kills += options.kills % 3 if direction == "down" and len(directions) == 2 else 0
                chance = random.Random(f"{options.seed} {direction}")
                job = Soak(direction, options, Path(folder), relay, credentials, kills, chance, found)
                figures[direction] = await job.run()
                twice += relay.twice
                relay.twice.clear()
    return {
        "objects": options.objects,
        "seed": options.seed,
        "server": options.server,
        "killed": sum(len(figures[direction]["kills"]) for direction in directions),
        "lost": len(found.lost),
        "torn": len(found.torn) + len(relay.wrong),
        "left_over": len(found.left_over),
        "moved_twice": sum(twice.values()),
        "failed": sum(figures[direction]["last_run"]["failed"] for direction in directions),
        "injected_faults": dict(relay.injected),
        "relayed_whole": relay.moved,
        **figures,
    }


def main(arguments: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks soak", description=__doc__)
    parser.add_argument("--objects", type=int, default=200_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--faults", type=float, default=0.01, help="the share of requests that is spoilt")
    parser.add_argument("--server", choices=("juicefs", "seaweedfs", "none"), default="juicefs")
    parser.add_argument("--only", choices=("up", "down"))
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--folder", help="where the files go; the system's temporary folder else")
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", file=sys.stderr)
    return asyncio.run(measure(options))
