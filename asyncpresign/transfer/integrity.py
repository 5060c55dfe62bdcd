"""What proves that bytes are the ones meant: the table of checksums, and what an answer's headers offer as proof.

Values in, values out: no file, no socket, no loop of its own. `CHECKSUMS` is all there is to know of a kind; a new one is a
row. CRC32C and CRC64NVME are anycrc's work (the extra `checksums`), for which this is the door; without it they are never
skipped in silence when the caller asked for them, and passed over for another proof when only the server offered them.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

from __future__ import annotations

import binascii
import hashlib
import zlib
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol

from ..errors import InvalidRequest, MissingExtra, Problem, describe, nearest

# Bytes that are hashed at once, in the event loop (a tenth of a millisecond for the slowest kind); more go to a thread.
INLINE = 64 * 1024


class Hasher(Protocol):
    """As of hashlib: bytes go in piece by piece, the digest comes out."""

    def update(self, data: bytes | memoryview, /) -> None: ...

    def digest(self) -> bytes: ...


class _CRC:
    def __init__(self, continued: Callable[[bytes | memoryview, int], int], size: int) -> None:
        self._continued = continued
        self._size = size
        self._value = 0

    def update(self, data: bytes | memoryview) -> None:
        self._value = self._continued(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


def _anycrc(model: str) -> Callable[[bytes | memoryview, int], int] | None:
    """Asked when this module is loaded, for the table below."""
    try:
        from anycrc import Model
    except ImportError:
        return None
    calc: Callable[[bytes | memoryview, int], int] = Model(model).calc
    return calc


@dataclass(frozen=True, slots=True)
class Checksum:
    """A kind of checksum.

    `name` is ours, in `checksum="sha256:..."` and `verified_by`; `algorithm` S3's, as in `ChecksumAlgorithm` and
    `Checksum<algorithm>`; `header` carries the digest in base64, of the object or, with `-N` behind it, of N parts;
    `size` is the digest's, in bytes. `whole` says that S3 keeps one for a whole multipart object, `of_parts` that it
    keeps the digest of the parts' digests. `polynomial` is a CRC's, reflected; 0 for a hash.
    """

    name: str
    algorithm: str
    header: str
    size: int
    whole: bool
    of_parts: bool
    polynomial: int = 0
    _hash: str = ""
    _crc: Callable[[bytes | memoryview, int], int] | None = None

    @property
    def available(self) -> bool:
        """Whether it can be computed with what is installed."""
        return bool(self._hash) or self._crc is not None

    def hasher(self) -> Hasher:
        """A new one. Raises `MissingExtra`."""
        if self._hash:
            return hashlib.new(self._hash, usedforsecurity=False)
        if self._crc is None:
            raise MissingExtra("checksums", f"a {self.name} checksum")
        return _CRC(self._crc, self.size)

    def digest(self, data: bytes) -> bytes:
        """Of bytes that are all there. Raises `MissingExtra`."""
        hasher = self.hasher()
        hasher.update(data)
        return hasher.digest()


# In the order in which one is chosen when several are offered. MD5 comes by ETag, and goes by Content-MD5.
_ROWS = (
    Checksum("sha256", "SHA256", "x-amz-checksum-sha256", 32, whole=False, of_parts=True, _hash="sha256"),
    Checksum("sha1", "SHA1", "x-amz-checksum-sha1", 20, whole=False, of_parts=True, _hash="sha1"),
    Checksum(
        "crc64nvme", "CRC64NVME", "x-amz-checksum-crc64nvme", 8, True, False, 0x9A6C9329AC4BC9B5, _crc=_anycrc("CRC64-NVME")
    ),
    Checksum("crc32c", "CRC32C", "x-amz-checksum-crc32c", 4, True, True, 0x82F63B78, _crc=_anycrc("CRC32C")),
    Checksum("crc32", "CRC32", "x-amz-checksum-crc32", 4, True, True, 0xEDB88320, _crc=zlib.crc32),
    Checksum("md5", "MD5", "content-md5", 16, whole=False, of_parts=True, _hash="md5"),
)
CHECKSUMS: Mapping[str, Checksum] = {row.name: row for row in _ROWS}
_MD5 = CHECKSUMS["md5"]
_TOLD = tuple(kind for kind in _ROWS if kind.available and kind is not _MD5)


@dataclass(frozen=True, slots=True)
class Proof:
    """What the bytes must have: `digest`, of the object or, when `parts` is not 0, of the digests of that many parts."""

    checksum: Checksum
    digest: bytes
    parts: int = 0

    @property
    def name(self) -> str:
        """What `TransferResult.verified_by` says when it held."""
        return f"{self.checksum.name} of parts" if self.parts else self.checksum.name

    def hasher(self, part_size: int) -> Hasher:
        """A new one, whose digest is to be `digest`; `part_size`, in bytes, counts when it is of parts."""
        return _OfParts(self.checksum, part_size) if self.parts else self.checksum.hasher()


def parse_checksum(text: object) -> Proof:
    """The caller's own `"sha256:<hex>"`. Raises `InvalidRequest`, and `MissingExtra` for what cannot be computed here."""
    expected = f"a text such as 'sha256:<hex>', of {', '.join(CHECKSUMS)}"
    if not isinstance(text, str):
        raise InvalidRequest(Problem("checksum", expected, describe(text)))
    name, colon, value = text.partition(":")
    checksum = CHECKSUMS.get(name.lower())
    if checksum is None or not colon:
        got = repr(name) if colon and len(name) <= 16 else describe(text)
        raise InvalidRequest(Problem("checksum", expected, got, nearest(name, CHECKSUMS)))
    try:
        digest = binascii.unhexlify(value)
    except ValueError:
        digest = b""
    if len(digest) != checksum.size:
        digits = f"{checksum.size * 2} hexadecimal digits after '{checksum.name}:'"
        raise InvalidRequest(Problem("checksum", digits, describe(value)))
    checksum.hasher()
    return Proof(checksum, digest)


def encode(digest: bytes) -> str:
    """As it stands in a header and in S3's documents."""
    return b64encode(digest).decode("ascii")


def _decode(text: str, size: int) -> bytes | None:
    try:
        digest = b64decode(text, validate=True)
    except ValueError:
        return None
    return digest if len(digest) == size else None


# --- what an answer offers --------------------------------------------------------------------------------------------

# Headers that tell of an ETag that looks like an MD5 and is none: name and beginning of the value, all of a row.
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
_NO_MD5: tuple[Mapping[str, str], ...] = (
    {"x-amz-server-side-encryption": "aws:"},
    {"x-amz-server-side-encryption-customer-algorithm": ""},
    {"x-amz-storage-class": "EXPRESS_ONEZONE"},
    {"server": "MinIO", "x-amz-server-side-encryption": ""},
)


def offered(headers: Mapping[str, str], *, whole: bool = True) -> list[Proof]:
    """What an answer says of the object's bytes and can be computed here, the best first; names are in lower case.

    `whole=False` for an answer to a range, in which a checksum header may be the part's and only the ETag is the object's.
    What is malformed is not there.
    """
    told = [kind for kind in CHECKSUMS.values() if kind.header in headers] if whole else []
    found = [_from_header(kind, headers[kind.header]) for kind in told if kind.available and kind is not _MD5]
    proofs = [proof for proof in (*found, _from_etag(headers)) if proof is not None]
    return sorted(proofs, key=lambda proof: proof.parts > 0)


def _from_header(kind: Checksum, value: str) -> Proof | None:
    text, dash, parts = value.partition("-")
    digest = _decode(text, kind.size)
    if digest is None or (dash and not _is_count(parts)):
        return None
    return Proof(kind, digest, int(parts or 0))


def _from_etag(headers: Mapping[str, str]) -> Proof | None:
    """A weak one (`W/"..."`) may stand for other bytes, so it proves nothing."""
    etag = headers.get("etag", "")
    text, dash, parts = etag.removeprefix('"').removesuffix('"').partition("-")
    if len(text) != 2 * _MD5.size or not set(text) <= set("0123456789abcdefABCDEF") or (dash and not _is_count(parts)):
        return None
    if any(all(name in headers and headers[name].startswith(start) for name, start in row.items()) for row in _NO_MD5):
        return None
    return Proof(_MD5, bytes.fromhex(text), int(parts or 0))


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and 1 <= len(text) <= 5 and text != "0"


# --- of the parts of an object ----------------------------------------------------------------------------------------


def of_parts(checksum: Checksum, digests: Iterable[bytes]) -> bytes:
    """The digest of the parts' digests: what S3 keeps, followed by `-N`, for a multipart object of type COMPOSITE."""
    return checksum.digest(b"".join(digests))


class _OfParts:
    """The same, of bytes that come in order and in pieces of any size."""

    def __init__(self, checksum: Checksum, part_size: int) -> None:
        self._checksum = checksum
        self._part_size = self._left = part_size
        self._part = checksum.hasher()
        self._digests: list[bytes] = []

    def update(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            if not self._left:
                self._digests.append(self._part.digest())
                self._part, self._left = self._checksum.hasher(), self._part_size
            self._part.update(view[: self._left])
            taken = min(self._left, len(view))
            self._left -= taken
            view = view[taken:]

    def digest(self) -> bytes:
        return of_parts(self._checksum, [*self._digests, self._part.digest()])


def of_whole(checksum: Checksum, parts: Iterable[tuple[bytes, int]]) -> bytes:
    """A CRC of the whole from those of its consecutive parts and their sizes in bytes, without the bytes.

    A CRC is a remainder: that of what comes first, carried past what follows (times x to the power of its bits), and that
    of what follows are added. https://github.com/madler/zlib/blob/master/crc32.c (crc32_combine)
    """
    bits = checksum.size * 8

    def join(left: int, right: tuple[bytes, int]) -> int:
        digest, size = right
        return _times(left, _power(size * 8, bits, checksum.polynomial), bits, checksum.polynomial) ^ int.from_bytes(digest)

    return reduce(join, parts, 0).to_bytes(checksum.size)


def _times(a: int, b: int, bits: int, polynomial: int) -> int:
    """The product of two remainders; the highest bit of the reflected form is x to the power of 0."""
    product = 0
    for place in reversed(range(bits)):
        if a >> place & 1:
            product ^= b
        b = b >> 1 ^ (polynomial if b & 1 else 0)
    return product


def _power(exponent: int, bits: int, polynomial: int) -> int:
    """x to the power of `exponent`, by squaring."""
    result, square = 1 << bits - 1, 1 << bits - 2
    while exponent:
        if exponent & 1:
            result = _times(result, square, bits, polynomial)
        square = _times(square, square, bits, polynomial)
        exponent >>= 1
    return result


# --- without holding the loop -----------------------------------------------------------------------------------------


async def update(hasher: Hasher, data: bytes, run: Callable[..., Awaitable[Any]]) -> None:
    """Feed `hasher`; by `run(call, *arguments)`, in a thread, what would hold the event loop."""
    if len(data) <= INLINE:
        hasher.update(data)
    else:
        await run(hasher.update, data)
