"""How often and how long to try again: frozen values and the budget they share."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import InvalidRequest, Problem, describe


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts` in all for one item; before the n-th retry a random wait of at most `base * 2**(n-1)`, capped, in seconds.

    `budget` is how many retries all items of a `Transfer` may have open against their successes: every retry takes one,
    every item that succeeds gives one back. When a server fails for everybody, a spent budget keeps the retries from
    being the load that holds it down. Raises `InvalidRequest`.
    https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
    """

    attempts: int = 6
    base: float = 0.1
    cap: float = 20.0
    budget: int = 500

    def __post_init__(self) -> None:
        rules = {
            "attempts": ("an int of at least 1", _is_count(self.attempts) and self.attempts >= 1),
            "base": ("seconds, at least 0", _is_seconds(self.base)),
            "cap": ("seconds, at least 0", _is_seconds(self.cap)),
            "budget": ("an int of at least 0", _is_count(self.budget) and self.budget >= 0),
        }
        problems = [
            Problem(name, expected, describe(getattr(self, name))) for name, (expected, holds) in rules.items() if not holds
        ]
        if problems:
            raise InvalidRequest(*problems)

    def backoff(self, retry: int, jitter: float) -> float:
        """Seconds before retry number `retry` (from 1): full jitter, `jitter` being random in 0..1."""
        return jitter * min(self.cap, self.base * 2.0 ** min(retry - 1, 60))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


class RetryBudget:
    """What is left of a policy's budget; one for all items of a `Transfer`."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._capacity = self._left = policy.budget

    def take(self) -> bool:
        """Whether there was a retry left to take."""
        if self._left == 0:
            return False
        self._left -= 1
        return True

    def give(self) -> None:
        self._left = min(self._capacity, self._left + 1)
