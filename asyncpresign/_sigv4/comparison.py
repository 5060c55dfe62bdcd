"""Two canonical requests side by side: ours, and the one that S3 sends back when a signature does not hold.

S3's answer tells what it saw; the first line that differs tells what happened on the way. `CAUSES` holds the usual reason
for each part. Texts that grant access are masked in whatever leaves here.
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

# Stands for the value of a signed header that a URL does not tell.
UNKNOWN = "<as it was signed>"

CAUSES = {
    "method": "the URL is for another HTTP method",
    "path": "the path was re-quoted on its way: send the URL byte for byte (aiohttp: yarl.URL(url, encoded=True))",
    "query": "a query parameter was added, dropped or re-quoted on its way, by a client's params or a proxy",
    "host": "the URL was signed for another host than the one that was asked: sign for the host that clients see "
    "(public_endpoint_url=), and let no proxy rewrite Host",
    "header": "a signed header was not sent, or was changed on its way: send exactly the headers of the PresignedRequest",
    "signed headers": "the list of signed headers was changed on its way",
    "payload": "the body's hash was hashed too: send no x-amz-content-sha256 that was not signed",
    "date": "another moment was signed: the URL's X-Amz-Date was changed on its way",
    "scope": "the URL was signed for another region, service or day than the server's",
}

_SECRET = re.compile(
    r"(?i)((?:x-amz-security-token|x-amz-s3session-token|x-amz-signature|customer-key(?:-md5)?|authorization|cookie)"
    r"[=:])(?!<)[^&\n]+"
)


@dataclass(frozen=True, slots=True)
class Difference:
    """A part of the canonical request that the server saw differently: `line` of the server's text, from 1 (0: none)."""

    part: str
    line: int
    signed: str
    seen: str
    cause: str

    def __str__(self) -> str:
        place = f"line {self.line}, " if self.line else ""
        return f"{place}{self.part}: signed {self.signed or 'nothing'}, the server saw {self.seen or 'nothing'}; {self.cause}"


class Parts(NamedTuple):
    """A canonical request, line by line; the values of headers by their names."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    signed_headers: str
    payload: str


def mask(text: str) -> str:
    """`text` without the values of parameters and headers that grant access."""
    return _SECRET.sub(r"\1...", text)


def split_request(text: str) -> Parts | None:
    """The parts of a canonical request, or None for a text that is none."""
    lines = text.split("\n")
    if len(lines) < 6 or lines[-3]:
        return None
    headers = {name: value for name, _, value in (line.partition(":") for line in lines[3:-3])}
    return Parts(lines[0], lines[1], lines[2], headers, lines[-2], lines[-1])


def compare_requests(signed: Parts, seen: Parts) -> list[Difference]:
    """What differs, in the order of the lines."""
    return [
        Difference(part, line, mask(ours), mask(theirs), CAUSES[kind])
        for kind, part, line, ours, theirs in _differing(signed, seen)
    ]


def _differing(signed: Parts, seen: Parts) -> Iterator[tuple[str, str, int, str, str]]:
    end = 3 + len(seen.headers) + 1
    for kind, line, ours, theirs in (("method", 1, signed.method, seen.method), ("path", 2, signed.path, seen.path)):
        if ours != theirs:
            yield kind, kind, line, ours, theirs
    yield from _differing_query(signed.query, seen.query)
    for number, name in enumerate(dict.fromkeys((*seen.headers, *signed.headers)), 4):
        ours, theirs = signed.headers.get(name, ""), seen.headers.get(name, "")
        if ours != theirs and (ours != UNKNOWN or not theirs):
            kind = "host" if name == "host" else "header"
            line = number if name in seen.headers else 0
            yield kind, f"header {name}", line, ours and f"{name}:{ours}", theirs and f"{name}:{theirs}"
    for kind, line, ours, theirs in (
        ("signed headers", end + 1, signed.signed_headers, seen.signed_headers),
        ("payload", end + 2, signed.payload, seen.payload),
    ):
        if ours not in (theirs, UNKNOWN):
            yield kind, kind, line, ours, theirs


def _differing_query(signed: str, seen: str) -> Iterator[tuple[str, str, int, str, str]]:
    ours, theirs = _by_name(signed), _by_name(seen)
    for name in ours | theirs:
        here, there = ("&".join(pieces.get(name, ())) for pieces in (ours, theirs))
        if here != there:
            yield "query", f"query parameter {name}", 3, here, there


def _by_name(query: str) -> dict[str, list[str]]:
    """The pieces of `query`, in order, by the names of their parameters."""
    pieces: dict[str, list[str]] = {}
    for piece in query.split("&"):
        pieces.setdefault(piece.partition("=")[0], []).append(piece)
    return pieces


def compare_texts_to_sign(signed: str, seen: str) -> list[Difference]:
    """What differs in two strings to sign beside the hash of the canonical request."""
    ours, theirs = signed.split("\n"), seen.split("\n")
    return [
        Difference(kind, 0, ours[at], theirs[at], CAUSES[kind])
        for at, kind in ((1, "date"), (2, "scope"))
        if at < len(theirs) and ours[at] != theirs[at]
    ]
