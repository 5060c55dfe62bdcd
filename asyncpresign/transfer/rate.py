"""How fast a server is asked: pure functions over (state, now).

Concurrency follows additive increase and multiplicative decrease, as TCP's congestion window does
(https://www.rfc-editor.org/rfc/rfc5681#section-3.1); rates are a token bucket, kept as the one moment at which it is full
again. Nothing here waits, or knows what a request is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

# Seconds of rest that a bucket saves up: short enough that no server takes what follows for a burst.
BURST = 0.1


@dataclass(frozen=True, slots=True)
class Window:
    """How many requests may be under way to one host, at most `most`, and that none may begin before `closed_until`.

    `cuts` counts how often it was halved. A request remembers the number that stood when it began: however many of those
    that were under way together are told to slow down, they say it of one load, and halve once.
    """

    most: int
    limit: float
    cuts: int = 0
    closed_until: float = -inf

    def slowed(self, cuts: int, now: float, pause: float) -> Window:
        """After an answer that asks for fewer requests, to one begun when `cuts` stood, and for none in `pause` seconds."""
        closed_until = max(self.closed_until, now + pause) if pause else self.closed_until
        if cuts != self.cuts:
            return replace(self, closed_until=closed_until)
        return replace(self, limit=max(1.0, self.limit / 2), cuts=self.cuts + 1, closed_until=closed_until)

    def opened(self) -> Window:
        return replace(self, closed_until=-inf)

    def succeeded(self) -> Window:
        """One more for every windowful of successes."""
        return replace(self, limit=min(float(self.most), self.limit + 1 / self.limit))


def spend(full_at: float, amount: float, rate: float, now: float) -> tuple[float, float]:
    """Take `amount` from a bucket that fills with `rate` a second and is full at `full_at`.

    Returns that moment anew, and the seconds to wait first: until those before are paid for. A taker is never refused, only
    asked to wait, so any amount can be had; it is who comes next that waits for it.
    """
    delay = max(0.0, full_at - now - BURST)
    return max(full_at, now) + amount / rate, delay
