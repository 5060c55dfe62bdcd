"""What answers say of their bytes, as a table; and how an object was probably cut."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign import IntegrityError, InvalidRequest
from asyncpresign.transfer.plan import MiB, pieces
from asyncpresign.transfer.ranges import (
    Head,
    byte_range,
    check_partial,
    check_range,
    likely_part_size,
    read_head,
    requested_range,
)

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


# --- a part that was asked for ----------------------------------------------------------------------------------------

REQUESTS: list[tuple[str, dict[str, str], str | None]] = [
    ("http://h/k", {}, None),
    ("http://h/k", {"If-Match": '"a"'}, None),
    ("http://h/k", {"Range": "bytes=0-1"}, "bytes=0-1"),
    ("http://h/k", {"rAnGe": "bytes=5-"}, "bytes=5-"),
    ("http://h/k", {"range": "bytes=5-", "x-ms-range": "bytes=6-"}, "bytes=6-"),
    ("http://h/k?partNumber=2&X-Amz-Signature=a", {}, ""),
    ("http://h/k?a=b&partNumber=2", {"host": "h"}, ""),
    ("http://h/partNumber=2", {}, None),
]


@pytest.mark.parametrize(("url", "headers", "wanted"), REQUESTS)
def test_what_part_a_request_asks_for(url: str, headers: dict[str, str], wanted: str | None) -> None:
    assert requested_range(url, headers) == wanted


RIGHT = [
    ("bytes=5-9", "bytes 5-9/20"),
    ("bytes=5-9", "Bytes 5-9/20"),
    ("bytes=5-99", "bytes 5-19/20"),
    ("bytes=5-", "bytes 5-19/20"),
    ("bytes=-5", "bytes 15-19/20"),
    ("bytes=-99", "bytes 0-19/20"),
    ("bytes=0-0", "bytes 0-0/1"),
    ("", "bytes 5-9/20"),
]
WRONG = {
    "nobody asked": (None, "bytes 0-19/20"),
    "no header": ("bytes=5-9", ""),
    "no total": ("bytes=5-9", "bytes 5-9/*"),
    "no range": ("bytes=5-9", "bytes */20"),
    "another unit": ("bytes=5-9", "items 5-9/20"),
    "as a request has it": ("bytes=5-9", "bytes=5-9/20"),
    "other digits": ("bytes=5-9", "bytes ٣-9/20"),
    "5,000 digits": ("bytes=5-9", f"bytes 5-9/{'9' * 5000}"),
    "5,000 digits of a first byte": ("bytes=5-9", f"bytes {'0' * 5000}5-9/20"),
    "negative": ("bytes=5-9", "bytes -5-9/20"),
    "backwards": ("bytes=5-9", "bytes 9-5/20"),
    "past the end": ("bytes=5-9", "bytes 5-20/20"),
    "of nothing": ("bytes=0-0", "bytes 0-0/0"),
    "begins early": ("bytes=5-9", "bytes 4-9/20"),
    "ends early": ("bytes=5-9", "bytes 5-8/20"),
    "ends late": ("bytes=5-9", "bytes 5-19/20"),
    "not to the end": ("bytes=5-", "bytes 5-18/20"),
    "of the beginning": ("bytes=-5", "bytes 0-4/20"),
    "one of two ranges": ("bytes=0-1,5-9", "bytes 5-9/20"),
    "a part of no number": ("", "bytes 5-9/*"),
}


@pytest.mark.parametrize(("wanted", "content_range"), RIGHT)
def test_the_part_that_was_asked_for(wanted: str, content_range: str) -> None:
    check_partial(206, {"content-range": content_range}, wanted)
    if "5-9" in content_range:
        check_partial(206, {"content-range": content_range, "content-length": "5"}, wanted)
        with pytest.raises(IntegrityError):
            check_partial(206, {"content-range": content_range, "content-length": "6"}, wanted)


@pytest.mark.parametrize(("wanted", "content_range"), WRONG.values(), ids=WRONG.keys())
def test_another_part_than_was_asked_for(wanted: str | None, content_range: str) -> None:
    with pytest.raises(IntegrityError, match=r"206|others were asked for"):
        check_partial(206, {"content-range": content_range}, wanted)
    check_partial(200, {"content-range": content_range}, wanted)


def test_several_ranges_are_no_range() -> None:
    with pytest.raises(IntegrityError):
        check_partial(206, {"content-type": "multipart/byteranges; boundary=x"}, "bytes=0-1,5-9")


@given(wanted=st.none() | st.text(max_size=30), content_range=st.text(max_size=60), length=st.text(max_size=9))
def test_no_header_is_too_strange(wanted: str | None, content_range: str, length: str) -> None:
    with pytest.raises(IntegrityError):
        check_partial(206, {"content-range": f"x{content_range}", "content-length": length}, wanted)


@given(first=st.integers(0, 30), last=st.integers(0, 30), total=st.integers(1, 30))
def test_what_a_right_server_sends_is_right(first: int, last: int, total: int) -> None:
    """RFC 9110, 14.1.2: the bytes of a slice."""
    held = range(total)[first : last + 1]
    if first <= last and held:
        check_partial(206, {"content-range": f"bytes {held[0]}-{held[-1]}/{total}"}, f"bytes={first}-{last}")
    tail = range(total)[-last:] if last else ()
    if tail:
        check_partial(206, {"content-range": f"bytes {tail[0]}-{tail[-1]}/{total}"}, f"bytes=-{last}")


def test_how_a_range_is_asked_for() -> None:
    assert (byte_range(5), byte_range(0, 1), byte_range(5, 10)) == ("bytes=5-", "bytes=0-0", "bytes=5-9")


@pytest.mark.parametrize("value", ["bytes=0-", "bytes=0-99", "bytes=-5"])
def test_a_range_of_the_callers(value: str) -> None:
    assert check_range(value) == value


@pytest.mark.parametrize("value", ["", "bytes=-", "bytes=0-1,3-4", "items=0-1", "bytes=0-1\r\nx: y", "bytes=٣-", 5, (0, 1)])
def test_what_is_no_range(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="range: expected a text such as 'bytes=0-99'"):
        check_range(value)


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
