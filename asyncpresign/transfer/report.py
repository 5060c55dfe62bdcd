"""What a whole run did, in counts that stay small however many items there were."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from ..errors import TransferError
from .items import Status, TransferResult

# Failures kept whole; of all others only the number is known.
KEPT = 1000


@dataclass(slots=True)
class TransferReport:
    """Counts of items by how they ended, `size` in bytes moved, `attempts` made, `seconds` from start to end.

    `failures` are the first 1,000 results that failed; `failed` is how many there were.
    """

    done: int = 0
    skipped: int = 0
    failed: int = 0
    size: int = 0
    attempts: int = 0
    seconds: float = 0.0
    failures: list[TransferResult] = field(default_factory=list)

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

    def to_json(self) -> str:
        """A JSON object with the counts and the failures in words; no URL that grants access is in it."""
        counts: dict[str, Any] = {
            name: getattr(self, name) for name in ("done", "skipped", "failed", "size", "attempts", "seconds")
        }
        failures = [
            {"item": repr(result.item), "error": type(result.error).__name__, "message": str(result.error)}
            for result in self.failures
        ]
        return json.dumps({"v": 1, **counts, "failures": failures})

    def raise_for_failures(self) -> None:
        """Raise a `TransferError` that names the first failure and is chained to it, if there was any."""
        if not self.failures:
            return
        first = self.failures[0].error
        total = self.done + self.skipped + self.failed
        raise TransferError(f"{self.failed} of {total} items failed; the first: {first}") from first
