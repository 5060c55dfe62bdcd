"""What went out, summed up on its way, and held against what the server says it stored.

`Asked` is what the caller wants to be proven, `Sums` sees every byte that is sent, so that nothing is read twice, `judge`
compares. A checksum is sent when somebody asked for it; MD5 is summed up always and sent never, for the ETag's sake.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import IntegrityError, InvalidRequest, Problem, describe, nearest
from .integrity import CHECKSUMS, Checksum, Hasher, Proof, parse_checksum
from .ranges import likely_part_size
from .sources import OpenSource

MD5 = CHECKSUMS["md5"]
SENT = tuple(kind for kind in CHECKSUMS.values() if kind.header)
"""The kinds that S3 takes along with a body."""

Known = Mapping[tuple[str, int], bytes]
"""Digests of ours by a checksum's name and of how many parts they are, 0 for the whole."""


# --- what the caller asks for -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """`kind` is to be sent along, `expected` is what the source must have; None: nobody asked."""

    kind: Checksum | None
    expected: Proof | None


def digest_parameter(kind: Checksum) -> str:
    """The parameter of PutObject and UploadPart that carries the digest."""
    return "ContentMD5" if kind is MD5 else f"Checksum{kind.algorithm}"


def asked(checksum: str | None, params: Mapping[str, Any] | None = None) -> Asked:
    """By `checksum`, an item's own, or by `params`: ChecksumAlgorithm, or a digest. Raises `InvalidRequest`."""
    params = params if params is not None else {}
    given = {name: kind for kind in SENT if params.get(name := digest_parameter(kind)) is not None}
    if checksum is not None:
        if given:
            raise InvalidRequest(*(Problem(f"params[{name!r}]", "nothing beside checksum=", "a value") for name in given))
        expected = parse_checksum(checksum)
        # S3 has no parameter for the others.
        return Asked(expected.checksum if expected.checksum in SENT and not expected.parts else None, expected)
    for name, kind in given.items():
        expected = Proof(kind, _decode(name, kind, params[name]))
        # What cannot be computed here is the server's to compare.
        return Asked(kind, expected if kind.available else None)
    algorithm = params.get("ChecksumAlgorithm")
    # One that is not known here is the server's to compare, if its digest is given.
    return Asked(None if f"Checksum{algorithm}" in params else _named(algorithm), None)


def _decode(name: str, kind: Checksum, text: object) -> bytes:
    try:
        digest = b64decode(text, validate=True) if isinstance(text, str) else b""
    except binascii.Error:
        digest = b""
    if len(digest) != kind.size:
        raise InvalidRequest(Problem(f"params[{name!r}]", f"a digest of {kind.size} bytes in base64", describe(text)))
    return digest


def _named(algorithm: object) -> Checksum | None:
    kinds = {kind.algorithm: kind for kind in SENT if kind is not MD5}
    if algorithm is None:
        return None
    if not isinstance(algorithm, str) or algorithm not in kinds:
        expected = f"one of {', '.join(kinds)}, or its digest"
        got = repr(algorithm) if isinstance(algorithm, str) and len(algorithm) < 16 else describe(algorithm)
        raise InvalidRequest(Problem("params['ChecksumAlgorithm']", expected, got, nearest(str(algorithm), kinds)))
    kinds[algorithm].hasher()
    return kinds[algorithm]


# --- what goes out ----------------------------------------------------------------------------------------------------


class Sums:
    """Digests of one body while it is sent, by each of `kinds`; a new one for every attempt.

    When the last byte has been read and the digest is not `expected`, that byte is not sent: `IntegrityError`.
    """

    def __init__(self, kinds: Iterable[Checksum], size: int, expected: Proof | None = None) -> None:
        self._hashers = {kind.name: kind.hasher() for kind in kinds}
        if expected is not None and expected.name not in self._hashers:
            self._hashers[expected.name] = expected.hasher()
        self._expected = expected
        self._left = size
        if not size:
            self._compare()

    def seen(self, chunk: bytes) -> None:
        for hasher in self._hashers.values():
            hasher.update(chunk)
        self._left -= len(chunk)
        if not self._left:
            self._compare()

    def digests(self) -> dict[str, bytes]:
        """Of the whole body. Raises `IntegrityError` when it was not read to its end: whoever accepted it did not have it."""
        if self._left:
            raise IntegrityError(f"the server accepted a body of which {self._left} bytes had not been sent")
        return {name: hasher.digest() for name, hasher in self._hashers.items()}

    def _compare(self) -> None:
        expected = self._expected
        if expected is not None and self._hashers[expected.name].digest() != expected.digest:
            raise IntegrityError(f"the source has not the {expected.name} that was expected", permanent=True)


async def digest(source: OpenSource, kind: Checksum, start: int = 0, size: int | None = None) -> bytes:
    """Of `size` bytes of `source`, read for this alone."""
    return await _read(source, kind.hasher(), start, source.size if size is None else size)


async def digest_like(source: OpenSource, proof: Proof, part_size: int | None) -> bytes | None:
    """Of the whole source, by the same kind as `proof`; None when nobody knows of which parts that is.

    `part_size` is what this program's user would have.
    """
    size = likely_part_size(source.size, proof.parts, part_size) if proof.parts else source.size
    return None if size is None else await _read(source, proof.hasher(size), 0, source.size)


async def _read(source: OpenSource, hasher: Hasher, start: int, size: int) -> bytes:
    async for _ in source.part(start, size, hasher.update).chunks():
        pass
    return hasher.digest()


# --- what the server says ---------------------------------------------------------------------------------------------


def judge(offered: Iterable[Proof], known: Known) -> str | None:
    """The name of the best proof that holds, None when nothing `offered` can be compared with what is `known`.

    Raises `IntegrityError` when one that is vouched for does not hold.
    """
    compared = [(proof, known[key]) for proof in offered if (key := (proof.checksum.name, proof.parts)) in known]
    for proof, ours in compared:
        if proof.vouched and ours != proof.digest:
            raise IntegrityError(f"the server stored other bytes than were sent: its {proof.name} is another")
    return next((proof.name for proof, ours in compared if ours == proof.digest), None)
