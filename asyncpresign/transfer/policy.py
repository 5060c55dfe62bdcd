"""How often to try again, how much at once and how fast: frozen values, and the retry budget of a host."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeGuard

from ..errors import InvalidRequest, Problem, describe


class _Rule(NamedTuple):
    expected: str
    holds: Callable[[object], bool]


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf


def _or_none(rule: _Rule) -> _Rule:
    return _Rule(f"{rule.expected}, or None", lambda value: value is None or rule.holds(value))


_COUNT = _Rule("an int of at least 1", lambda value: _is_count(value) and value >= 1)
_COUNT_OR_NONE_AT_ALL = _Rule("an int of at least 0", lambda value: _is_count(value) and value >= 0)
_SECONDS = _Rule("seconds, at least 0", lambda value: _is_number(value) and value >= 0)
_POSITIVE = _Rule("a number above 0", lambda value: _is_number(value) and value > 0)


def _check(values: object, **rules: _Rule) -> None:
    found = {name: getattr(values, name) for name in rules}
    problems = [
        Problem(name, rules[name].expected, describe(value)) for name, value in found.items() if not rules[name].holds(value)
    ]
    if problems:
        raise InvalidRequest(*problems)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts` in all for one item; before the n-th retry a random wait of at most `base * 2**(n-1)`, capped, in seconds.

    `budget` is how many retries the items of a `Transfer` may have open at one host: every retry takes one from the budget
    of the host that failed, every success at that host gives one back. When a server fails for everybody, a spent budget
    keeps the retries from being the load that holds it down. Other hosts are not affected. Raises `InvalidRequest`.
    https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
    """

    attempts: int = 6
    base: float = 0.1
    cap: float = 20.0
    budget: int = 500

    def __post_init__(self) -> None:
        _check(self, attempts=_COUNT, base=_SECONDS, cap=_SECONDS, budget=_COUNT_OR_NONE_AT_ALL)

    def backoff(self, retry: int, jitter: float) -> float:
        """Seconds before retry number `retry` (from 1): full jitter, `jitter` being random in 0..1."""
        return jitter * min(self.cap, self.base * 2.0 ** min(retry - 1, 60))


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of the network, the server and the memory one `Transfer` takes.

    `concurrency` is how many requests are under way at once, `per_host` how many of them to one host; small requests
    beside the objects' own (probes, the bookkeeping of a multipart upload, listings) have a quarter as many slots of their
    own. A host that asks to be spared gets fewer until it has been well for a while. `bytes_per_second` (bodies, both
    ways) and `requests_per_second` hold for all together; `memory` is how many bytes of parts are held at once.

    There is no total timeout. `connect` is how many seconds a connection may take, `stall` how many may pass without a
    byte in either direction; a body that brings fewer than `slowest` bytes a second, over `stall` seconds of waiting for
    it, is broken off. Raises `InvalidRequest`.
    """

    concurrency: int = 64
    per_host: int | None = None
    bytes_per_second: float | None = None
    requests_per_second: float | None = None
    memory: int = 64 * 1024 * 1024
    connect: float = 30.0
    stall: float = 60.0
    slowest: float = 256.0

    def __post_init__(self) -> None:
        _check(
            self,
            concurrency=_COUNT,
            per_host=_or_none(_COUNT),
            bytes_per_second=_or_none(_POSITIVE),
            requests_per_second=_or_none(_POSITIVE),
            memory=_COUNT,
            connect=_POSITIVE,
            stall=_POSITIVE,
            slowest=_SECONDS._replace(expected="bytes a second, at least 0"),
        )


class RetryBudget:
    """The retries that are left for one host, of `capacity`."""

    def __init__(self, capacity: int) -> None:
        self._capacity = self._left = capacity

    def take(self) -> bool:
        """Whether there was a retry left to take."""
        if self._left == 0:
            return False
        self._left -= 1
        return True

    def give(self) -> None:
        self._left = min(self._capacity, self._left + 1)
