"""Where clock, chance and patience come in: the only module of the transfer that asks for them."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Edge:
    """What a transfer asks of the world besides bytes: a time of day, seconds, chance, names and patience.

    `stopwatch`, in seconds, measures how long a file call takes.
    """

    now: Callable[[], datetime] = _now
    monotonic: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random
    token: Callable[[], str] = lambda: secrets.token_hex(12)
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    stopwatch: Callable[[], float] = time.perf_counter
