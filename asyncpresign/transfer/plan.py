"""How an object is cut into parts: pure arithmetic on sizes in bytes, within S3's limits.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..errors import InvalidRequest, Problem, describe

MiB = 1024 * 1024
GiB = 1024 * MiB

MIN_PART = 5 * MiB
"""Of every part but the last."""
MAX_PART = 5 * GiB
MAX_PARTS = 10_000
MAX_PUT = 5 * GiB
"""What one PUT or one form may hold."""
MAX_OBJECT = 5 * 1024 * GiB

# Small enough that a lost connection costs little and that a stream's parts fit into memory.
PART_SIZE = 8 * MiB
# Below this the requests that begin and end a multipart upload cost more than its parts in parallel win.
MULTIPART_THRESHOLD = 64 * MiB
# Of one object; more would win nothing, and each holds up to 2 MiB going up and 6 coming down.
PARTS_AT_ONCE = 12


@dataclass(frozen=True, slots=True)
class Sizes:
    """From `multipart_threshold` bytes on an object moves in parts of `part_size` bytes, or more where S3's limits ask for it.

    Raises `InvalidRequest`.
    """

    part_size: int | None = None
    multipart_threshold: int = MULTIPART_THRESHOLD

    def __post_init__(self) -> None:
        rules = {
            "part_size": (MIN_PART, MAX_PART, self.part_size if self.part_size is not None else PART_SIZE),
            "multipart_threshold": (1, MAX_PUT, self.multipart_threshold),
        }
        problems = [
            Problem(name, f"bytes, an int from {least} to {most}", describe(value))
            for name, (least, most, value) in rules.items()
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most
        ]
        if problems:
            raise InvalidRequest(*problems)

    def in_parts(self, size: int) -> bool:
        """Whether an object of `size` bytes moves in parts."""
        return size >= self.multipart_threshold


class Piece(NamedTuple):
    """The bytes `start` to `start + size` of an object; `number` counts from 1."""

    number: int
    start: int
    size: int


def part_size_for(size: int, wanted: int | None = None) -> int:
    """The size of the parts of an object of `size` bytes: `wanted`, or as many MiB more as keep it to 10,000 parts."""
    least = -(-size // MAX_PARTS)
    wanted = PART_SIZE if wanted is None else wanted
    return wanted if wanted >= least else -(-least // MiB) * MiB


def pieces(size: int, part_size: int) -> list[Piece]:
    """All of `size` bytes in pieces of `part_size`; the last is smaller if need be. An empty object is one empty piece."""
    starts = range(0, size, part_size) if size else (0,)
    return [Piece(index + 1, start, min(part_size, size - start)) for index, start in enumerate(starts)]
