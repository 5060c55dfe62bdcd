"""What a whole run did, in counts that stay small however many items there were; and what it says while it does it.

Nothing here holds a URL that grants access in any text it makes.
"""

from __future__ import annotations

import json
from bisect import insort
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import ResponseError, TransferError
from .items import Item, Shown, Status, TransferResult

# Failures kept whole; of all others only the number is known.
KEPT = 1000
SLOWEST = 10


@dataclass(frozen=True, slots=True, repr=False)
class ItemStarted(Shown):
    """`item` is about to be moved."""

    item: Item


@dataclass(frozen=True, slots=True, repr=False)
class ItemProgressed(Shown):
    """`size` more bytes of `item` went over the wire, those of attempts that fail too; told of about once a MiB."""

    item: Item
    size: int


@dataclass(frozen=True, slots=True, repr=False)
class ItemRetried(Shown):
    """A request of `item` failed by `error` and is sent again after `delay` seconds."""

    item: Item
    error: TransferError
    delay: float

    @property
    def cause(self) -> str:
        """S3's code for the failure, or the kind of error where S3 said nothing."""
        code = self.error.code if isinstance(self.error, ResponseError) else ""
        return code or type(self.error).__name__


@dataclass(frozen=True, slots=True, repr=False)
class ItemFinished(Shown):
    """An item ended, as `result` says; with a journal, its row is written."""

    result: TransferResult


Event = ItemStarted | ItemProgressed | ItemRetried | ItemFinished


@dataclass(slots=True)
class TransferReport:
    """Counts of items by how they ended, `size` in bytes moved, `attempts` made, `seconds` from start to end.

    `skipped` are those that needed nothing: a journal says that they are done, or their destination has what it should.
    `failures` are the first 1,000 results that failed; `failed` is how many there were. `retries` counts requests sent again
    by S3's code for what had failed, or by the kind of error; `slowest` are the ten results that took longest, longest first.
    """

    done: int = 0
    skipped: int = 0
    failed: int = 0
    size: int = 0
    attempts: int = 0
    seconds: float = 0.0
    failures: list[TransferResult] = field(default_factory=list)
    retries: Counter[str] = field(default_factory=Counter)
    slowest: list[TransferResult] = field(default_factory=list)

    def add(self, result: TransferResult) -> None:
        """Count one more result."""
        match result.status:
            case Status.DONE:
                self.done += 1
            case Status.SKIPPED:
                self.skipped += 1
            case Status.FAILED:
                self.failed += 1
                if len(self.failures) < KEPT:
                    self.failures.append(result)
        self.size += result.size
        self.attempts += result.attempts
        self._time(result)

    def _time(self, result: TransferResult) -> None:
        if result.seconds and (len(self.slowest) < SLOWEST or result.seconds > self.slowest[-1].seconds):
            # Without its bytes, which would be kept until the end.
            insort(self.slowest, replace(result, data=None), key=lambda kept: -kept.seconds)
            del self.slowest[SLOWEST:]

    def to_json(self) -> str:
        """A JSON object with the counts, the retries, and failures and slowest items in words."""
        counts: dict[str, Any] = {
            name: getattr(self, name) for name in ("done", "skipped", "failed", "size", "attempts", "seconds")
        }
        failures = [
            {"item": repr(result.item), "error": type(result.error).__name__, "message": str(result.error)}
            for result in self.failures
        ]
        slowest = [
            {"item": repr(result.item), "seconds": result.seconds, "size": result.size, "attempts": result.attempts}
            for result in self.slowest
        ]
        return json.dumps({"v": 1, **counts, "retries": dict(self.retries), "slowest": slowest, "failures": failures})

    def raise_for_failures(self) -> None:
        """Raise a `TransferError` that names the first failure and is chained to it, if there was any."""
        if not self.failures:
            return
        first = self.failures[0].error
        total = self.done + self.skipped + self.failed
        raise TransferError(f"{self.failed} of {total} items failed; the first: {first}") from first
