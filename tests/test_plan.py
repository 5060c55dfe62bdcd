"""Sizes to parts: the limits of S3 as a table, and that every byte is in exactly one part."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign import InvalidRequest
from asyncpresign.transfer.plan import (
    MAX_OBJECT,
    MAX_PART,
    MAX_PARTS,
    MAX_PUT,
    MIN_PART,
    PART_SIZE,
    GiB,
    MiB,
    Sizes,
    part_size_for,
    pieces,
)

# Size, the part size wanted, and the size and number of the parts.
PLANS: dict[str, tuple[int, int | None, int, int]] = {
    "nothing": (0, None, 8 * MiB, 1),
    "one byte": (1, None, 8 * MiB, 1),
    "one part": (8 * MiB, None, 8 * MiB, 1),
    "a byte more": (8 * MiB + 1, None, 8 * MiB, 2),
    "2 GiB": (2 * GiB, None, 8 * MiB, 256),
    "the most of the default": (80_000 * MiB, None, 8 * MiB, 10_000),
    "a byte more than that": (80_000 * MiB + 1, None, 9 * MiB, 8_889),
    "1 TiB": (1024 * GiB, None, 105 * MiB, 9_987),
    "5 TiB": (MAX_OBJECT, None, 525 * MiB, 9_987),
    "5 TiB in the largest parts": (MAX_OBJECT, MAX_PART, MAX_PART, 1_024),
    "an own size": (100 * MiB, 5 * MiB, 5 * MiB, 20),
    "an own size that is no MiB": (100 * MiB, 5 * MiB + 1, 5 * MiB + 1, 20),
    "an own size that is too small": (100 * GiB, 5 * MiB, 11 * MiB, 9_310),
}


@pytest.mark.parametrize(("size", "wanted", "part_size", "count"), PLANS.values(), ids=PLANS.keys())
def test_plans(size: int, wanted: int | None, part_size: int, count: int) -> None:
    assert part_size_for(size, wanted) == part_size
    assert len(pieces(size, part_size)) == count


@given(st.integers(0, MAX_OBJECT), st.none() | st.integers(MIN_PART, MAX_PART))
def test_every_plan_is_within_the_limits(size: int, wanted: int | None) -> None:
    part_size = part_size_for(size, wanted)
    assert max(MIN_PART, wanted or PART_SIZE) <= part_size <= MAX_PART
    assert 1 <= -(-size // part_size) <= MAX_PARTS or size == 0


@given(st.integers(0, 10_000), st.integers(1, 5_000))
def test_every_byte_is_in_one_piece(size: int, part_size: int) -> None:
    cut = pieces(size, part_size)
    assert [piece.number for piece in cut] == list(range(1, len(cut) + 1))
    assert [piece.start for piece in cut[1:]] == [piece.start + piece.size for piece in cut[:-1]]
    assert (cut[0].start, cut[-1].start + cut[-1].size) == (0, size)
    assert all(piece.size == part_size for piece in cut[:-1])
    assert cut[-1].size > 0 or size == 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"part_size": 5 * MiB - 1}, ["part_size"]),
        ({"part_size": 5 * GiB + 1}, ["part_size"]),
        ({"part_size": True}, ["part_size"]),
        ({"part_size": "8MiB", "multipart_threshold": 0}, ["part_size", "multipart_threshold"]),
        ({"multipart_threshold": 5 * GiB + 1}, ["multipart_threshold"]),
        ({"multipart_threshold": None}, ["multipart_threshold"]),
    ],
    ids=str,
)
def test_sizes_that_s3_refuses(options: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Sizes(**options)
    assert [problem.argument for problem in caught.value.problems] == named


def test_what_moves_in_parts() -> None:
    assert [Sizes(multipart_threshold=10).in_parts(size) for size in (0, 9, 10, 11)] == [False, False, True, True]


def test_the_limits_are_those_that_s3_publishes() -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html"""
    assert (MiB, GiB) == (1_048_576, 1_073_741_824)
    assert (MIN_PART, MAX_PART, MAX_PARTS) == (5_242_880, 5_368_709_120, 10_000)
    assert (MAX_PUT, MAX_OBJECT) == (5_368_709_120, 5_497_558_138_880)
    assert (Sizes().part_size, Sizes().multipart_threshold, PART_SIZE) == (None, 67_108_864, 8_388_608)
    for size in (MIN_PART, MAX_PART):
        assert Sizes(part_size=size).part_size == size
    for size in (1, MAX_PUT):
        assert Sizes(multipart_threshold=size).in_parts(size)
