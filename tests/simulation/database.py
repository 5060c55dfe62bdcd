"""The journal's SQLite file through a crash.

The database is a real one, in a folder of the system's. A process that is killed leaves the file and its write-ahead log as
they are. After a loss of power the log is cut at any frame behind the last one that was synced: with `synchronous=full` every
commit syncs it, with `normal` a checkpoint does. A torn frame ends the log for SQLite, as its checksum is wrong.
https://www.sqlite.org/walformat.html
"""

from __future__ import annotations

import os
import random
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from asyncpresign.transfer import journal

# Where the system has a file system in memory.
_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
WAL_HEADER, FRAME_HEADER = 32, 24


class Database:
    """The journal at `path`, in a folder that `close` removes."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._folder = tempfile.TemporaryDirectory(prefix="asyncpresign-simulated-", dir=_MEMORY)
        self.path = os.path.join(self._folder.name, "journal")
        # Bytes of the log that a loss of power leaves.
        self.synced = 0
        self._open: list[_Connection] = []

    @property
    def is_open(self) -> bool:
        return bool(self._open)

    def close(self) -> None:
        self.abandon()
        self._folder.cleanup()

    def abandon(self) -> None:
        """The process is gone; what it had open is closed without changing the files."""
        files, synced, left = self._read(), self.synced, self._open
        self._open = []
        for connection in left:
            connection.close()
        self._write(files)
        self.synced = synced

    def kill(self) -> None:
        self.abandon()

    def lose_power(self, chance: random.Random) -> str:
        """Cut the log at a frame, or inside of one, behind what was synced. Returns what was done, for the trace."""
        self.abandon()
        log = f"{self.path}-wal"
        size = os.path.getsize(log) if os.path.exists(log) else 0
        if size <= WAL_HEADER:
            return "the journal's log is empty"
        frame = FRAME_HEADER + journal.PAGE
        first = max(0, min(self.synced, size) - WAL_HEADER) // frame
        frames = (size - WAL_HEADER) // frame
        kept = chance.randint(min(first, frames), frames)
        torn = chance.randrange(frame) if kept < frames and chance.random() < 0.3 else 0
        with open(log, "r+b") as file:
            file.truncate(WAL_HEADER + kept * frame + torn)
        return f"the journal's log keeps {kept} of {frames} frames"

    def rows(self) -> dict[bytes, int]:
        """The state of every row, by its key, as the next process will find it; read from a copy."""
        with tempfile.TemporaryDirectory() as folder:
            copy = os.path.join(folder, "journal")
            for suffix, data in self._read().items():
                with open(copy + suffix, "wb") as file:
                    file.write(data)
            connection = sqlite3.connect(copy)
            try:
                found = connection.execute("select key, state from item").fetchall()
            except sqlite3.Error:
                return {}
            finally:
                connection.close()
        return dict(found)

    def _read(self) -> dict[str, bytes]:
        found = {}
        for suffix in ("", "-wal"):
            if os.path.exists(self.path + suffix):
                with open(self.path + suffix, "rb") as file:
                    found[suffix] = file.read()
        return found

    def _write(self, files: dict[str, bytes]) -> None:
        for suffix in ("", "-wal", "-shm"):
            if os.path.exists(self.path + suffix):
                os.unlink(self.path + suffix)
        for suffix, data in files.items():
            with open(self.path + suffix, "wb") as file:
                file.write(data)

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """The journal's connections are watched while this is open, and its names of files are the seed's."""
        before = journal.sqlite3, journal.secrets

        def connect(path: str, **options: Any) -> Any:
            if path != self.path:
                return sqlite3.connect(path, **options)
            made = sqlite3.connect(path, factory=_Connection, **options)
            made.database = self
            # What is there when a process begins is on the disk.
            self.noted_sync()
            self._open.append(made)
            return made

        journal.sqlite3 = SimpleNamespace(connect=connect, Error=sqlite3.Error)  # type: ignore[assignment]
        journal.secrets = SimpleNamespace(token_hex=lambda size: self._chance.randbytes(size).hex())  # type: ignore[assignment]
        try:
            yield
        finally:
            journal.sqlite3, journal.secrets = before

    def noted_sync(self) -> None:
        log = f"{self.path}-wal"
        self.synced = os.path.getsize(log) if os.path.exists(log) else 0

    def closed(self, connection: _Connection) -> None:
        if connection in self._open:
            self._open.remove(connection)
            self.synced = 0


class _Connection(sqlite3.Connection):
    """Knows when its log is synced."""

    database: Database
    full = False

    def execute(self, sql: str, *args: Any) -> Any:  # type: ignore[override]
        result = super().execute(sql, *args)
        words = sql.split()
        if words[:2] == ["pragma", "synchronous"]:
            self.full = words[-1] == "full"
        elif words == ["commit"] and self.full:
            self.database.noted_sync()
        return result

    def close(self) -> None:
        super().close()
        self.database.closed(self)
