"""What an answer says of an object and of the part of it that follows; and how a part is asked for. Values in, values out.

https://www.rfc-editor.org/rfc/rfc9110#name-range-requests
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import IntegrityError, InvalidRequest, Problem, describe
from .plan import MiB, part_size_for

# No size has more than 19 digits, and Python refuses to read thousands of them.
# One range, as S3 takes it: from, from-to, or the last so many bytes.
_RANGE = re.compile(r"bytes=(?:(\d{1,19})-(\d{0,19})|-(\d{1,19}))", re.ASCII)
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})", re.ASCII | re.IGNORECASE)
_SIZE = re.compile(r"\d{1,19}", re.ASCII)
# Azure's own name comes first, as it does there.
_RANGE_HEADERS = ("x-ms-range", "range")
_PART_NUMBER = re.compile(r"[?&]partNumber=")

# Sizes of parts that are in use (AWS's own tools, rclone, s3cmd, MinIO's, S3's least), in MiB.
_USUAL = (8, 5, 16, 10, 15, 25, 32, 50, 64, 100, 128, 256, 512, 1024)


def byte_range(first: int, end: int | None = None) -> str:
    """The value of `Range` for the bytes from `first` to before `end`, or to the object's end."""
    return f"bytes={first}-" if end is None else f"bytes={first}-{end - 1}"


def check_range(value: object) -> str:
    """A caller's own `Range`. Raises `InvalidRequest`."""
    if isinstance(value, str) and _RANGE.fullmatch(value):
        return value
    raise InvalidRequest(Problem("range", "a text such as 'bytes=0-99', one range", describe(value)))


@dataclass(frozen=True, slots=True)
class Head:
    """Of an answer that holds an object's bytes from `start` on: `size` of them, of `total`; None where it does not say.

    `etag` is a strong one, as it is written: only that says that two answers are of the same bytes.
    """

    start: int
    size: int | None
    total: int | None
    etag: str | None
    ranged: bool


def read_head(status: int, headers: Mapping[str, str]) -> Head:
    """`headers` have lower-case names. A 206 that does not say which bytes it holds starts at -1: see `check_partial`."""
    length = headers.get("content-length", "")
    size = int(length) if _SIZE.fullmatch(length) else None
    etag = headers.get("etag", "")
    strong = etag if len(etag) > 2 and etag.startswith('"') and etag.endswith('"') else None
    if status != 206:
        return Head(0, size, size, strong, ranged=False)
    found = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    if found is None:
        return Head(-1, size, None, strong, ranged=True)
    first, last, total = map(int, found.groups())
    return Head(first, last + 1 - first, total, strong, ranged=True)


def requested_range(url: str, headers: Mapping[str, str]) -> str | None:
    """What part of the object a request asks for: the value of its `Range`, "" for a numbered part, None for the whole object.

    `headers` are those of the request, with names in any case.
    """
    given = {name.lower(): value for name, value in headers.items()} if headers else {}
    found = next((given[name] for name in _RANGE_HEADERS if name in given), None)
    return "" if found is None and _PART_NUMBER.search(url) else found


def check_partial(status: int, headers: Mapping[str, str], wanted: str | None) -> None:
    """Raise `IntegrityError` for a 206 that is not the part which was asked for, all of it; `wanted` as in `requested_range`.

    The bytes of several ranges come as `multipart/byteranges` and are the bytes of no range: they are refused too.
    """
    if status != 206:
        return
    if wanted is None:
        raise IntegrityError("the server sent a part of the object (206), and nobody asked for one")
    found = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    first, last, total = map(int, found.groups()) if found else (0, -1, 0)
    length = headers.get("content-length", "")
    if not first <= last < total or (_SIZE.fullmatch(length) and int(length) != last + 1 - first):
        raise IntegrityError("the server sent a part of the object (206), and does not say which")
    if wanted and _span(wanted, total) != (first, last):
        raise IntegrityError(f"the server sent bytes {first} to {last} of {total}, and others were asked for")


def _span(wanted: str, total: int) -> tuple[int, int] | None:
    """The first and the last byte that `wanted`, the value of a `Range`, names in an object of `total` bytes."""
    found = _RANGE.fullmatch(wanted)
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        return max(0, total - int(suffix)), total - 1
    return int(first), min(int(last), total - 1) if last else total - 1


def likely_part_size(total: int, parts: int, ours: int | None = None) -> int | None:
    """In what parts an object of `total` bytes was probably uploaded, if in that many; None when no usual size fits.

    `ours` is what this program would take. A guess: a digest of parts that agrees proves the bytes, another proves nothing.
    """
    if parts == 1:
        return max(total, 1)
    smallest = -(-total // parts)
    sizes = (part_size_for(total, ours), *(size * MiB for size in _USUAL), -(-smallest // MiB) * MiB)
    return next((size for size in sizes if -(-total // size) == parts), None)
