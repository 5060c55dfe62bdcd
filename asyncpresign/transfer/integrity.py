"""What proves that bytes are the ones meant: the table of checksums, and what an answer's headers offer as proof.

Values in, values out: no file, no socket, no loop of its own. `CHECKSUMS` is all there is to know of a kind; a new one is a
row. CRC32C and CRC64NVME are anycrc's work (the extra `checksums`), for which this is the door; without it they are never
skipped in silence when the caller asked for them, and passed over for another proof when only the server offered them.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

from __future__ import annotations

import binascii
import hashlib
import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
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
    keeps the digest of the parts' digests. `polynomial` is a CRC's, reflected; 0 for a hash. `algorithm` and `header` are
    empty for a kind that S3 does not have: it is compared here only, and never sent.
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
    Checksum("sha512", "", "", 64, whole=False, of_parts=False, _hash="sha512"),
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


@dataclass(frozen=True, slots=True)
class Proof:
    """What the bytes must have: `digest`, of the object or, when `parts` is not 0, of the digests of that many parts.

    `part_size` is that of the parts, in bytes, if it was given. Without being `vouched` for the digest may be something else,
    such as an ETag of 32 hexadecimal digits: bytes that have it are proven by it, bytes that have not are not refuted.
    """

    checksum: Checksum
    digest: bytes
    parts: int = 0
    part_size: int = 0
    vouched: bool = True

    @property
    def name(self) -> str:
        """What `TransferResult.verified_by` says when it held."""
        return f"{self.checksum.name} of parts" if self.parts else self.checksum.name

    def hasher(self, part_size: int = 0) -> Hasher:
        """A new one, whose digest is to be `digest`; `part_size`, in bytes, counts when it is of parts of unknown size."""
        return _OfParts(self.checksum, self.part_size or part_size) if self.parts else self.checksum.hasher()


_ETAG_FORM = re.compile(r'"?([0-9a-f]{32})(?:-([1-9][0-9]{0,4}))?"?(?::([1-9][0-9]{0,12}))?', re.IGNORECASE | re.ASCII)


def parse_checksum(text: object) -> Proof:
    """The caller's own `"sha256:<hex or base64>"`, or `"etag:<hex>-<parts>:<part bytes>"`.

    The latter is what S3 keeps of a multipart object: the MD5 of the MD5s of that many parts of that many bytes (the last may
    be smaller). `"etag:<hex>"` is a plain MD5. Raises `InvalidRequest`, and `MissingExtra` for what cannot be computed here.
    """
    expected = f"a text such as 'sha256:<hex>', of {', '.join(CHECKSUMS)}, or 'etag:<hex>-<parts>:<part bytes>'"
    if not isinstance(text, str):
        raise InvalidRequest(Problem("checksum", expected, describe(text)))
    name, colon, value = text.partition(":")
    if name.lower() == "etag":
        return _parse_etag(value)
    checksum = CHECKSUMS.get(name.lower())
    if checksum is None or not colon:
        got = repr(name) if colon and len(name) <= 16 else describe(text)
        raise InvalidRequest(Problem("checksum", expected, got, nearest(name, CHECKSUMS)))
    digest = _from_hex(value, checksum.size) or _decode(value, checksum.size)
    if digest is None:
        digits = f"{checksum.size * 2} hexadecimal digits, or base64 of {checksum.size} bytes, after '{checksum.name}:'"
        raise InvalidRequest(Problem("checksum", digits, describe(value)))
    checksum.hasher()
    return Proof(checksum, digest)


def _parse_etag(value: str) -> Proof:
    found = _ETAG_FORM.fullmatch(value)
    if found is None or (found[2] is None) != (found[3] is None):
        expected = "32 hexadecimal digits after 'etag:', and for a multipart object '-<parts>:<bytes of a part>'"
        raise InvalidRequest(Problem("checksum", expected, describe(value)))
    return Proof(_MD5, bytes.fromhex(found[1]), int(found[2] or 0), int(found[3] or 0))


def encode(digest: bytes) -> str:
    """As it stands in a header and in S3's documents."""
    return b64encode(digest).decode("ascii")


def _from_hex(text: str, size: int) -> bytes | None:
    try:
        digest = binascii.unhexlify(text)
    except ValueError:
        return None
    return digest if len(digest) == size else None


def _decode(text: str, size: int) -> bytes | None:
    try:
        digest = b64decode(text, validate=True)
    except ValueError:
        return None
    return digest if len(digest) == size else None


# --- what an answer offers --------------------------------------------------------------------------------------------


class _About(Enum):
    """What the digest in a header is of."""

    OBJECT = "the object as it is stored"
    REPRESENTATION = "all that the response stands for, of which a 206 has a part"
    CONTENT = "the body of this very response"


# Headers that carry digests by themselves, besides S3's own; either one MD5 in base64, or a list of `algorithm=base64` and, as
# structured fields have it, `algorithm=:base64:`.
_DIGEST_HEADERS: Mapping[str, _About] = {
    "x-goog-hash": _About.OBJECT,  # https://cloud.google.com/storage/docs/xml-api/reference-headers#xgooghash
    "x-ms-blob-content-md5": _About.OBJECT,  # https://learn.microsoft.com/rest/api/storageservices/get-blob
    "repr-digest": _About.REPRESENTATION,  # https://www.rfc-editor.org/rfc/rfc9530#name-the-repr-digest-field
    "digest": _About.REPRESENTATION,  # https://www.rfc-editor.org/rfc/rfc3230#section-4.3.2
    "content-digest": _About.CONTENT,  # https://www.rfc-editor.org/rfc/rfc9530#name-the-content-digest-field
    "content-md5": _About.CONTENT,  # https://www.rfc-editor.org/rfc/rfc2616#section-14.15
}
# Their names in lists, in lower case: https://www.iana.org/assignments/http-digest-hash-alg
_ALGORITHMS = {"md5": "md5", "sha": "sha1", "sha-256": "sha256", "sha-512": "sha512", "crc32c": "crc32c"}
# Characters of a header that are looked at: more digests than there are algorithms.
_LONGEST = 1024

# Headers that tell of an ETag that looks like an MD5 and is none: name and beginning of the value, all of a row.
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
_NO_MD5: tuple[Mapping[str, str], ...] = (
    {"x-amz-server-side-encryption": "aws:"},
    {"x-amz-server-side-encryption-customer-algorithm": ""},
    {"x-amz-storage-class": "EXPRESS_ONEZONE"},
    {"server": "MinIO", "x-amz-server-side-encryption": ""},
)
# A response with headers of S3's is by a server that keeps to S3's rule for ETags; those of AWS's CDN and gateway are added to
# the responses of any server.
_S3_HEADERS = "x-amz-"
_NO_S3_HEADERS = ("x-amz-cf-", "x-amz-apigw-")


def offered(headers: Mapping[str, str], *, whole: bool = True, stored: bool = False) -> list[Proof]:
    """What an answer says of the object's bytes and can be computed here, the best first; names are in lower case.

    `whole=False` for an answer to a range, in which S3's checksum headers, and those about the content, may be the part's.
    `stored=True` for an answer to an upload: what HTTP's own headers say may be of the answer. What is malformed is not there.
    """
    proofs = [
        _from_header(kind, headers[kind.header])
        for kind in CHECKSUMS.values()
        if whole and kind is not _MD5 and kind.available and kind.header in headers
    ]
    for header, about in _DIGEST_HEADERS.items():
        if header in headers and (whole or about is not _About.CONTENT) and not _is_transcoded(header, headers):
            proofs += _from_list(headers[header][:_LONGEST], vouched=about is _About.OBJECT or not stored)
    proofs.append(_from_etag(headers))
    found = [proof for proof in proofs if proof is not None]
    return sorted(found, key=lambda proof: (proof.parts > 0, not proof.vouched))


def _is_transcoded(header: str, headers: Mapping[str, str]) -> bool:
    """Google unpacks what was stored as gzip for who does not accept that, and still gives the digests of what was stored."""
    coding = headers.get("x-goog-stored-content-encoding", "identity")
    return header == "x-goog-hash" and coding not in ("identity", headers.get("content-encoding"))


def _from_list(value: str, vouched: bool) -> list[Proof]:
    """One MD5, or a list of digests with their algorithms, those first which are first in `CHECKSUMS`."""
    if (digest := _decode(value.strip(), _MD5.size)) is not None:
        return [Proof(_MD5, digest, vouched=vouched)]
    found: dict[str, bytes | None] = {}
    for member in value.split(","):
        name, _, text = member.partition(";")[0].strip().partition("=")
        if (kind := CHECKSUMS.get(_ALGORITHMS.get(name.lower(), ""))) is not None and kind.available:
            found[kind.name] = _decode(text.removeprefix(":").removesuffix(":"), kind.size)
    return [Proof(CHECKSUMS[name], digest, vouched=vouched) for name in CHECKSUMS if (digest := found.get(name)) is not None]


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
    vouched = any(name.startswith(_S3_HEADERS) and not name.startswith(_NO_S3_HEADERS) for name in headers)
    return Proof(_MD5, bytes.fromhex(text), int(parts or 0), vouched=vouched)


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
