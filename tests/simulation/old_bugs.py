"""Bugs that were mended once, as the few lines that bring each back: what the simulation has to find.

`find` puts one of them into a copy of the tree and runs seeds there until one fails; `python -m benchmarks simulate
--old-bugs` prints the table. A change whose old text is not in the tree any more is an error, so that the list stays true.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MOST_SEEDS = 2000


@dataclass(frozen=True, slots=True)
class OldBug:
    """`changes` are (file, text of today, text that brings the bug back); `only` is the workload that it is looked for in."""

    what: str
    changes: tuple[tuple[str, str, str], ...]
    only: str | None = None

    def apply(self, root: Path) -> None:
        """Raises `ValueError` when the tree has changed so that this is no longer the bug."""
        for name, today, before in self.changes:
            path = root / "asyncpresign" / name
            source = path.read_text(encoding="utf-8")
            if source.count(today) != 1:
                raise ValueError(f"{name} has {source.count(today)} times {today!r}")
            path.write_text(source.replace(today, before), encoding="utf-8")


OLD_BUGS: dict[str, OldBug] = {
    "framing": OldBug(
        "a signed Content-Length that is another than the body's is sent",
        (
            (
                "http/framing.py",
                "    problems = [*url_problems(request.url), *_header_problems(request)]\n",
                "    problems = [*url_problems(request.url)]\n",
            ),
        ),
    ),
    "unasked 206": OldBug(
        "a part of the object that nobody asked for is taken for the object",
        (
            (
                "transfer/exchange.py",
                "                    check_partial(answer.status, answer.headers, ",
                "                    (lambda *_: None)(answer.status, answer.headers, ",
            ),
        ),
    ),
    "two items of one path": OldBug(
        "two items end in one file",
        (
            (
                "transfer/job.py",
                "        if not isinstance(item, Download) or item.destination is None:\n            return await move()\n",
                "        return await move()\n",
            ),
        ),
    ),
    "stray CancelledError": OldBug(
        "a CancelledError that nobody asked for ends a worker",
        (
            (
                "transfer/crew.py",
                "if isinstance(error, asyncio.CancelledError) and not is_being_cancelled():",
                "if False:",
            ),
            ("transfer/adjust.py", "        if is_being_cancelled():\n            raise\n", "        raise\n"),
        ),
    ),
    "journal's identity": OldBug(
        "items whose URLs differ in their query are one to a journal",
        (("transfer/rows.py", "list(identity_query(parts.query))", "[]"),),
    ),
    "cancelled journal write": OldBug(
        "a row that waits for the journal's thread is lost when its writer is cancelled",
        (
            (
                "transfer/journal.py",
                "await self._threads.run(self._book.apply, calls, certain=True)",
                "await self._threads.run(self._book.apply, calls)",
            ),
        ),
    ),
    "limiter": OldBug(
        "a request that is cancelled as it gets its slot gives back its task's, which has none (anyio 4.15)",
        (
            (
                "transfer/gates.py",
                "    return {lane: anyio.CapacityLimiter(_capacity(lane, limit)) for lane in Lane}\n",
                (
                    "    return {lane: _Old(_capacity(lane, limit)) for lane in Lane}\n"
                    "\n\n"
                    "from anyio._backends._asyncio import AsyncIOBackend, CapacityLimiter as _New\n"
                    "\n\n"
                    "class _Old(_New):\n"
                    "    async def acquire_on_behalf_of(self, borrower):\n"
                    "        await AsyncIOBackend.checkpoint_if_cancelled()\n"
                    "        try:\n"
                    "            self.acquire_on_behalf_of_nowait(borrower)\n"
                    "        except anyio.WouldBlock:\n"
                    "            await super().acquire_on_behalf_of(borrower)\n"
                    "        else:\n"
                    "            try:\n"
                    "                await AsyncIOBackend.cancel_shielded_checkpoint()\n"
                    "            except BaseException:\n"
                    "                self.release()\n"
                    "                raise\n"
                ),
            ),
        ),
    ),
    "journal left open": OldBug(
        "a cancelled run does not close its journal",
        (("transfer/journal.py", "        await threads.run(end, certain=True)\n", "        await threads.run(end)\n"),),
    ),
    "task cancelled alone": OldBug(
        "a range whose task was cancelled by itself is taken for done",
        (
            (
                "transfer/crew.py",
                "    if unfinished or next(left, None) is not None:\n        raise broken_off()\n",
                "",
            ),
            (
                "transfer/crew.py",
                "if isinstance(error, asyncio.CancelledError) and not is_being_cancelled():",
                "if False:",
            ),
            ("transfer/adjust.py", "        if is_being_cancelled():\n            raise\n", "        raise\n"),
        ),
    ),
    "memo of another file": OldBug(
        "what a memo says is believed of a file that is another",
        (
            ("transfer/folders.py", "identity_of(status) == identity and status.st_size >= end", "True"),
            (
                "transfer/incoming.py",
                (
                    "            with anyio.CancelScope(shield=True), suppress(JournalError):\n"
                    "                await self._clear_memo()\n"
                ),
                "",
            ),
            ("transfer/incoming.py", "        if self._split:\n            await self._clear_memo()\n", ""),
            ("transfer/incoming.py", "                if not at:\n                    await self._clear_memo()\n", ""),
        ),
    ),
    # Found by the simulation itself.
    "a small range": OldBug(
        "an object of one small range is hashed before it is in its file",
        (
            (
                "transfer/sinks.py",
                (
                    "            if self._small:\n"
                    "                write_at(self._file, 0, self._small, self._platform)\n"
                    '                self._small = b""\n'
                ),
                "",
            ),
            (
                "transfer/sinks.py",
                "        file = self._open()\n        if self._durable:\n",
                (
                    "        file = self._open()\n"
                    "        write_at(file, 0, self._small, self._platform)\n"
                    "        if self._durable:\n"
                ),
            ),
            (
                "transfer/sinks.py",
                "        await self._call(len(self._small) + len(data), self._put, data, at)\n",
                (
                    '        small, self._small = self._small, b""\n'
                    "        if small:\n"
                    "            await self._call(len(small), self._put, small, 0)\n"
                    "        await self._call(len(data), self._put, data, at)\n"
                ),
            ),
        ),
    ),
    "a response read late": OldBug(
        "reading what has arrived breaks the next request of the connection",
        (
            (
                "http/aiohttp_transport.py",
                "        if self._payload is None:\n            # aiohttp",
                "        if False:\n            # aiohttp",
            ),
        ),
    ),
    "a peer that stops reading": OldBug(
        "a connection with unsent bytes is never closed",
        (("http/aiohttp_transport.py", "            self.watch.drop_unsent()\n", "            pass\n"),),
    ),
    "permissions refused": OldBug(
        "a file whose permissions cannot be set stays open and stays there",
        (
            (
                "transfer/folders.py",
                "                os.close(file)\n                self.unlink(name)\n                raise\n",
                "                raise\n",
            ),
        ),
    ),
    "folders not synced": OldBug(
        "a folder that is made for a durable file is not synced",
        (
            (
                "transfer/folders.py",
                "        _sync(os.path.dirname(name) or os.curdir, descriptor, platform)\n",
                "        pass\n",
            ),
        ),
    ),
    "salt not synced": OldBug(
        "a loss of power takes a new journal and leaves its temporary files",
        (
            (
                "transfer/journal.py",
                '        ask("pragma synchronous = full")\n',
                '        ask("pragma synchronous = normal")\n',
            ),
        ),
    ),
}


def find(name: str, most: int = MOST_SEEDS, only: str | None = None) -> dict[str, Any]:
    """How many seeds it took to find the bug `name`, and what was said then; `seeds` is None if it was not found."""
    bug = OLD_BUGS[name]
    with tempfile.TemporaryDirectory(prefix="asyncpresign-old-bug-") as folder:
        root = Path(folder)
        for part in ("asyncpresign", "tests", "benchmarks", "scripts"):
            shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        bug.apply(root)
        command = [sys.executable, "-m", "benchmarks", "simulate", "--seeds", str(most), "--stop"]
        command += ["--only", only] if only else []
        environment = {**os.environ, "PYTHONPATH": str(root)}
        ended = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
        if ended.returncode == 0:
            return {"bug": name, "what": bug.what, "seeds": None}
        try:
            found = json.loads(ended.stdout)
        except ValueError:
            return {"bug": name, "what": bug.what, "seeds": None, "problem": ended.stderr[-500:]}
        failure = found["failed"][0]
        return {
            "bug": name,
            "what": bug.what,
            "seeds": failure["seed"] + 1,
            "workload": failure["workload"],
            "said": failure["violations"][0][:160],
            "shrunk": failure.get("shrunk"),
        }
