"""What answers say of their bytes, as a table; and how an object was probably cut."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign import InvalidRequest
from asyncpresign.transfer.plan import MiB, pieces
from asyncpresign.transfer.ranges import Head, byte_range, check_range, likely_part_size, read_head, unsatisfied_total

HEADS: dict[str, tuple[int, dict[str, str], Head]] = {
    "whole": (200, {"content-length": "7", "etag": '"a"'}, Head(0, 7, 7, '"a"', ranged=False)),
    "unknown": (200, {}, Head(0, None, None, None, ranged=False)),
    "not a number": (200, {"content-length": "٣"}, Head(0, None, None, None, ranged=False)),
    "weak": (200, {"content-length": "0", "etag": 'W/"a"'}, Head(0, 0, 0, None, ranged=False)),
    "bare etag": (200, {"etag": "a"}, Head(0, None, None, None, ranged=False)),
    "empty etag": (200, {"etag": '""'}, Head(0, None, None, None, ranged=False)),
    "range": (206, {"content-range": "bytes 5-9/20", "etag": '"a"'}, Head(5, 5, 20, '"a"', ranged=True)),
    "range of nobody": (206, {"content-length": "7"}, Head(-1, 7, None, None, ranged=True)),
    "unknown total": (206, {"content-range": "bytes 5-9/*"}, Head(-1, None, None, None, ranged=True)),
    "a range header of a whole answer": (200, {"content-range": "bytes 5-9/20"}, Head(0, None, None, None, ranged=False)),
}


@pytest.mark.parametrize(("status", "headers", "head"), HEADS.values(), ids=HEADS.keys())
def test_what_an_answer_says(status: int, headers: dict[str, str], head: Head) -> None:
    assert read_head(status, headers) == head


def test_how_a_range_is_asked_for() -> None:
    assert (byte_range(5), byte_range(0, 1), byte_range(5, 10)) == ("bytes=5-", "bytes=0-0", "bytes=5-9")


@pytest.mark.parametrize("value", ["bytes=0-", "bytes=0-99", "bytes=-5"])
def test_a_range_of_the_callers(value: str) -> None:
    assert check_range(value) == value


@pytest.mark.parametrize("value", ["", "bytes=-", "bytes=0-1,3-4", "items=0-1", "bytes=0-1\r\nx: y", "bytes=٣-", 5, (0, 1)])
def test_what_is_no_range(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="range: expected a text such as 'bytes=0-99'"):
        check_range(value)


@pytest.mark.parametrize(("value", "total"), [("bytes */0", 0), ("bytes */9", 9), ("bytes 0-1/9", None), ("", None)])
def test_the_size_that_a_416_says(value: str, total: int | None) -> None:
    assert unsatisfied_total({"content-range": value}) == total


@pytest.mark.parametrize(
    ("total", "parts", "ours", "size"),
    [
        (1, 1, None, 1),
        (0, 1, None, 1),
        (64 * MiB, 8, None, 8 * MiB),
        (64 * MiB, 13, None, 5 * MiB),
        (70 * MiB, 10, 7 * MiB, 7 * MiB),
        (70 * MiB + 1, 10, None, None),
        (66 * MiB, 6, None, 11 * MiB),
        (3 * MiB, 9000, None, None),
    ],
)
def test_in_what_parts_it_was_uploaded(total: int, parts: int, ours: int | None, size: int | None) -> None:
    assert likely_part_size(total, parts, ours) == size


@pytest.mark.parametrize("size", [5, 8, 10, 15, 16, 25, 32, 50, 64, 100, 128, 256, 512, 1024])
def test_parts_as_common_tools_make_them_are_recognised(size: int) -> None:
    """Among others AWS's, rclone, s3cmd, MinIO's; none of the other sizes makes as many parts of so many bytes."""
    assert likely_part_size(size * MiB * 999 + 1, 1000) == size * MiB
    assert likely_part_size(size * MiB * 1000, 1000) == size * MiB


@given(total=st.integers(1, 1 << 42), size=st.integers(5, 6000))
def test_a_guess_always_fits(total: int, size: int) -> None:
    parts = -(-total // (size * MiB))
    guess = likely_part_size(total, parts)
    assert guess is not None
    assert parts > 2000 or len(pieces(total, guess)) == parts
