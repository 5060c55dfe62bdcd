"""What the caller asks to be proven, what is summed up while it goes out, and what the server's answer makes of it."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from asyncpresign import IntegrityError, InvalidRequest
from asyncpresign.transfer.files import Threads
from asyncpresign.transfer.integrity import CHECKSUMS, Proof, encode, of_parts
from asyncpresign.transfer.plan import MiB
from asyncpresign.transfer.proving import Asked, Sums, asked, digest, digest_like, digest_parameter, judge
from asyncpresign.transfer.sources import bytes_source

MD5, SHA256, CRC32 = (CHECKSUMS[name] for name in ("md5", "sha256", "crc32"))
DATA = b"0123456789"


def proof(name: str, data: bytes = DATA, parts: int = 0) -> Proof:
    return Proof(CHECKSUMS[name], CHECKSUMS[name].digest(data), parts)


TEXT = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
DIGEST = encode(hashlib.sha256(DATA).digest())

# What the caller says, by checksum= and by params, and what that asks for.
ASKED: list[tuple[str | None, dict[str, Any], Asked]] = [
    (None, {}, Asked(None, None)),
    (None, {"ContentType": "a/b", "ChecksumAlgorithm": None}, Asked(None, None)),
    (TEXT, {}, Asked(SHA256, proof("sha256"))),
    (None, {"ChecksumSHA256": DIGEST}, Asked(SHA256, proof("sha256"))),
    (None, {"ChecksumSHA256": DIGEST, "ChecksumAlgorithm": "SHA256"}, Asked(SHA256, proof("sha256"))),
    (None, {"ContentMD5": encode(MD5.digest(DATA))}, Asked(MD5, proof("md5"))),
    (None, {"ChecksumAlgorithm": "CRC32"}, Asked(CRC32, None)),
    (None, {"ChecksumAlgorithm": "SHA512", "ChecksumSHA512": "of another kind"}, Asked(None, None)),
]


@pytest.mark.parametrize(("checksum", "params", "expected"), ASKED, ids=str)
def test_what_is_asked_for(checksum: str | None, params: dict[str, Any], expected: Asked) -> None:
    assert asked(checksum, params) == expected


@pytest.mark.parametrize(
    ("checksum", "params", "named"),
    [
        ("sha256:00", {}, "checksum"),
        (TEXT, {"ChecksumSHA256": DIGEST}, r"params\['ChecksumSHA256'\]"),
        (None, {"ChecksumSHA256": "short"}, "a digest of 32 bytes in base64"),
        (None, {"ContentMD5": b"bytes"}, "a digest of 16 bytes in base64"),
        (None, {"ChecksumAlgorithm": "SHA512"}, "ChecksumAlgorithm.*one of SHA256.*'SHA512'"),
        (None, {"ChecksumAlgorithm": "crc32"}, "one of"),
        (None, {"ChecksumAlgorithm": 5}, "one of"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_for(checksum: str | None, params: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        asked(checksum, params)


def test_the_parameters_that_carry_digests() -> None:
    named = {name: digest_parameter(kind) for name, kind in CHECKSUMS.items()}
    assert named["md5"] == "ContentMD5"
    assert named["crc64nvme"] == "ChecksumCRC64NVME"


def test_sums_are_of_all_that_was_seen() -> None:
    sums = Sums([MD5, SHA256], 10)
    for chunk in (b"0123", b"456789"):
        sums.seen(chunk)
    assert sums.digests() == {"md5": MD5.digest(DATA), "sha256": SHA256.digest(DATA)}
    assert Sums([MD5], 0).digests() == {"md5": MD5.digest(b"")}


def test_a_body_that_was_not_read_to_its_end_was_not_stored() -> None:
    sums = Sums([MD5], 10)
    sums.seen(b"0123")
    with pytest.raises(IntegrityError, match="6 bytes had not been sent") as caught:
        sums.digests()
    assert not caught.value.permanent


def test_the_last_byte_of_another_content_is_not_let_go() -> None:
    sums = Sums([MD5], 10, proof("crc32"))
    sums.seen(b"012345678")
    with pytest.raises(IntegrityError, match="the source has not the crc32") as caught:
        sums.seen(b"x")
    assert caught.value.permanent
    with pytest.raises(IntegrityError):
        Sums([], 0, proof("crc32"))
    right = Sums([], 10, proof("crc32"))
    right.seen(DATA)
    assert right.digests() == {"crc32": CRC32.digest(DATA)}


KNOWN = {("md5", 0): MD5.digest(DATA), ("sha256", 2): b"s" * 32}
JUDGED: list[tuple[list[Proof], str | None]] = [
    ([], None),
    ([proof("sha256")], None),
    ([proof("md5")], "md5"),
    ([proof("sha256"), proof("md5")], "md5"),
    ([proof("md5", b"other", parts=2)], None),
    ([Proof(SHA256, b"s" * 32, 2), proof("md5")], "sha256 of parts"),
]


@pytest.mark.parametrize(("offered", "name"), JUDGED)
def test_the_best_that_can_be_compared_is_named(offered: list[Proof], name: str | None) -> None:
    assert judge(offered, KNOWN) == name


def test_what_nobody_vouches_for_confirms_and_refutes_nothing() -> None:
    doubtful = Proof(MD5, MD5.digest(b"other"), vouched=False)
    assert judge([doubtful], KNOWN) is None
    assert judge([doubtful, proof("md5")], KNOWN) == "md5"
    assert judge([Proof(MD5, MD5.digest(DATA), vouched=False)], KNOWN) == "md5"


def test_kinds_that_s3_does_not_have_are_compared_here_and_not_sent() -> None:
    for checksum in (f"sha512:{hashlib.sha512(DATA).hexdigest()}", f"etag:{of_parts(MD5, [MD5.digest(DATA)]).hex()}-1:10"):
        wanted = asked(checksum)
        assert wanted.kind is None
        sums = Sums([MD5], len(DATA), wanted.expected)
        sums.seen(DATA[:5])
        sums.seen(DATA[5:])
        assert sums.digests()["md5"] == MD5.digest(DATA)
        with pytest.raises(IntegrityError, match=r"the source has not the (sha512|md5 of parts)"):
            Sums([MD5], len(DATA), wanted.expected).seen(DATA[::-1])
    assert asked(f"etag:{MD5.digest(DATA).hex()}").kind is MD5
    with pytest.raises(InvalidRequest, match="ChecksumAlgorithm"):
        asked(None, {"ChecksumAlgorithm": "SHA512"})


@pytest.mark.parametrize("offered", [[proof("md5", b"other")], [Proof(SHA256, b"s" * 32, 2), proof("md5", b"other")]])
def test_one_that_does_not_hold_is_enough(offered: list[Proof]) -> None:
    with pytest.raises(IntegrityError, match="its md5 is another"):
        judge(offered, KNOWN)


async def test_digests_of_a_source() -> None:
    data = bytes(range(256)) * 4096 * 12
    source = bytes_source(data, Threads(1))
    assert await digest(source, SHA256) == hashlib.sha256(data).digest()
    assert await digest(source, CRC32, 5, 100) == CRC32.digest(data[5:105])
    assert await digest_like(source, proof("md5", data), None) == MD5.digest(data)
    for size, wanted in ((8 * MiB, None), (5 * MiB, None), (6 * MiB + 1, 6 * MiB + 1)):
        parts = [MD5.digest(data[at : at + size]) for at in range(0, len(data), size)]
        like = Proof(MD5, of_parts(MD5, parts), len(parts))
        assert await digest_like(source, like, wanted) == like.digest
    assert await digest_like(source, Proof(MD5, b"", 5000), None) is None
