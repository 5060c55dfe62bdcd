"""The table of checksums against published values, what an answer offers as proof, and the sums of parts."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import zlib
from collections.abc import Callable
from typing import Any

import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign import InvalidRequest
from asyncpresign.transfer.integrity import (
    CHECKSUMS,
    INLINE,
    Checksum,
    Proof,
    encode,
    of_parts,
    of_whole,
    offered,
    parse_checksum,
    update,
)

# Of b"123456789": the "check" of https://reveng.sourceforge.io/crc-catalogue/all.htm and the hashes of RFC 1321, 3174, 6234.
CHECK = {
    "md5": "25f9e794323b453885f5181f1b624d0b",
    "sha1": "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
    "sha256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
    "sha512": "d9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274a"
    "d27fcd5811b313d681f7e55ec02d73d499c95455b6b5bb503acf574fba8ffe85",
    "crc32": "cbf43926",
    "crc32c": "e3069283",
    "crc64nvme": "ae8b14860a799888",
}
B64 = {name: base64.b64encode(bytes.fromhex(value)).decode() for name, value in CHECK.items()}
NINE = b"123456789"
EVERY = pytest.mark.parametrize("checksum", CHECKSUMS.values(), ids=CHECKSUMS.keys())
CRCS = pytest.mark.parametrize(
    "checksum", [checksum for checksum in CHECKSUMS.values() if checksum.polynomial], ids=lambda checksum: checksum.name
)


@EVERY
def test_the_published_value(checksum: Checksum) -> None:
    assert checksum.digest(NINE).hex() == CHECK[checksum.name]
    assert len(checksum.digest(b"")) == checksum.size
    hasher = checksum.hasher()
    hasher.update(b"1234")
    hasher.update(b"")
    hasher.update(b"56789")
    assert hasher.digest().hex() == CHECK[checksum.name]


@EVERY
def test_the_callers_own(checksum: Checksum) -> None:
    name, value = checksum.name, CHECK[checksum.name]
    for text in (f"{name}:{value}", f"{name.upper()}:{value.upper()}", f"{name}:{B64[name]}"):
        assert parse_checksum(text) == Proof(checksum, bytes.fromhex(value))
    assert parse_checksum(f"{name}:{value}").name == name


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "got None"),
        (b"md5:00", "got a bytes"),
        ("", "got an empty str"),
        ("sha256", "got a str of length 6; did you mean 'sha256'"),
        ("sha265:00", r"got 'sha265'; did you mean 'sha256'"),
        ("sha384:" + "0" * 96, "got 'sha384'; did you mean 'sha"),
        ("sha256:", "64 hexadecimal digits, or base64 of 32 bytes, after 'sha256:', got an empty str"),
        ("sha256:" + "0" * 63, "got a str of length 63"),
        ("md5:" + "0" * 64, "32 hexadecimal digits"),
        ("crc32:zzzzzzzz", "8 hexadecimal digits"),
        ("crc32:" + encode(b"abc"), "8 hexadecimal digits, or base64 of 4 bytes"),
        ("sha256:" + encode(bytes(32))[:-1], "64 hexadecimal digits"),
        ("sha256:" + encode(bytes(31)) + "=", "64 hexadecimal digits"),
        ("etag:", "32 hexadecimal digits after 'etag:'"),
        ("etag:" + "0" * 31, "32 hexadecimal digits"),
        ("etag:" + "0" * 32 + "-2", "-<parts>:<bytes of a part>"),
        ("etag:" + "0" * 32 + ":5", "-<parts>:<bytes of a part>"),
        ("etag:" + "0" * 32 + "-0:5", "-<parts>:<bytes of a part>"),
        ("etag:" + "0" * 32 + "-2:0", "-<parts>:<bytes of a part>"),
        ("etag:" + "0" * 32 + "-2:" + "9" * 5000, "-<parts>:<bytes of a part>"),
        ("etag:" + "0" * 32 + "-٢:5", "-<parts>:<bytes of a part>"),
        ("md5:" + "é" * 32, "32 hexadecimal digits"),
    ],
    ids=str,
)
def test_what_is_no_checksum(text: Any, says: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^checksum: .*{says}"):
        parse_checksum(text)


def test_without_the_extra_what_was_asked_for_is_told_and_what_was_offered_is_passed_over() -> None:
    """In a process of its own, in which anycrc cannot be imported."""
    program = """
import sys
sys.modules["anycrc"] = None
from asyncpresign import MissingExtra
from asyncpresign.transfer.integrity import CHECKSUMS, offered, parse_checksum
for text in ("crc32c:e3069283", "crc64nvme:ae8b14860a799888"):
    try:
        parse_checksum(text)
    except MissingExtra as error:
        print(error)
headers = {"x-amz-checksum-crc32c": "4waSgw==", "x-amz-checksum-crc32": "y/Q5Jg=="}
print([proof.name for proof in offered(headers)], parse_checksum("crc32:cbf43926").name)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50)
    assert done.stdout.splitlines() == [
        "a crc32c checksum needs an optional dependency: python -m pip install 'asyncpresign[checksums]'",
        "a crc64nvme checksum needs an optional dependency: python -m pip install 'asyncpresign[checksums]'",
        "['crc32'] crc32",
    ]


# Of the whole object, and of its parts: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
TYPES = {
    "sha256": (False, True),
    "sha1": (False, True),
    "crc64nvme": (True, False),
    "crc32c": (True, True),
    "crc32": (True, True),
    "md5": (False, True),
}


@pytest.mark.parametrize(("name", "types"), TYPES.items(), ids=TYPES.keys())
def test_what_s3_can_say_of_an_object_in_parts(name: str, types: tuple[bool, bool]) -> None:
    checksum = CHECKSUMS[name]
    assert (checksum.whole, checksum.of_parts) == types
    header = f"x-amz-checksum-{name}" if name != "md5" else "content-md5"
    assert (checksum.algorithm, checksum.header) == (name.upper(), header)


# --- what an answer offers --------------------------------------------------------------------------------------------

MD5 = CHECK["md5"]
OFFERED: dict[str, tuple[dict[str, str], list[str]]] = {
    "nothing": ({}, []),
    "md5": ({"etag": f'"{MD5}"'}, ["md5"]),
    "no quotes": ({"etag": MD5}, ["md5"]),
    "capitals": ({"etag": f'"{MD5.upper()}"'}, ["md5"]),
    "multipart": ({"etag": f'"{MD5}-12"'}, ["md5 of parts"]),
    "weak": ({"etag": f'W/"{MD5}"'}, []),
    "no md5": ({"etag": '"0x8D4BCC2E4835CD0"'}, []),
    "other digits": ({"etag": f'"{"٣" * 32}"'}, []),
    "bad count": ({"etag": f'"{MD5}-x"'}, []),
    "more parts than five digits count": ({"etag": f'"{MD5}-100000"'}, []),
    "no parts": ({"etag": f'"{MD5}-0"'}, []),
    "sse-s3": ({"etag": f'"{MD5}"', "x-amz-server-side-encryption": "AES256"}, ["md5"]),
    "sse-s3 of minio": ({"etag": f'"{MD5}"', "x-amz-server-side-encryption": "AES256", "server": "MinIO"}, []),
    "minio": ({"etag": f'"{MD5}"', "server": "MinIO"}, ["md5"]),
    "kms": ({"etag": f'"{MD5}"', "x-amz-server-side-encryption": "aws:kms"}, []),
    "dsse": ({"etag": f'"{MD5}"', "x-amz-server-side-encryption": "aws:kms:dsse"}, []),
    "sse-c": ({"etag": f'"{MD5}"', "x-amz-server-side-encryption-customer-algorithm": "AES256"}, []),
    "express": ({"etag": f'"{MD5}"', "x-amz-storage-class": "EXPRESS_ONEZONE"}, []),
    "checksum first": ({"etag": f'"{MD5}"', "x-amz-checksum-crc32": B64["crc32"]}, ["crc32", "md5"]),
    "whole first": ({"etag": f'"{MD5}"', "x-amz-checksum-sha256": B64["sha256"] + "-3"}, ["md5", "sha256 of parts"]),
    "whole before one part": ({"etag": f'"{MD5}"', "x-amz-checksum-sha256": B64["sha256"] + "-1"}, ["md5", "sha256 of parts"]),
    "not base64": ({"x-amz-checksum-crc32": "!"}, []),
    "another size": ({"x-amz-checksum-crc32": B64["sha1"]}, []),
    "no such count": ({"x-amz-checksum-crc32": B64["crc32"] + "-"}, []),
    "all": (
        {row.header: B64[name] for name, row in CHECKSUMS.items() if name != "md5" and row.header},
        ["sha256", "sha1", "crc64nvme", "crc32c", "crc32"],
    ),
}


@pytest.mark.parametrize(("headers", "names"), OFFERED.values(), ids=OFFERED.keys())
def test_what_an_answer_offers(headers: dict[str, str], names: list[str]) -> None:
    proofs = offered(headers)
    assert [proof.name for proof in proofs] == names
    for proof in proofs:
        assert proof.digest.hex() == CHECK[proof.checksum.name]


def test_a_range_is_proven_by_the_objects_etag_only() -> None:
    headers = {"etag": f'"{MD5}"', "x-amz-checksum-crc32": B64["crc32"]}
    assert [proof.name for proof in offered(headers, whole=False)] == ["md5"]


# Headers, and the proofs that they are in an answer: with the whole object, with a range of it, to an upload. With a question
# mark when nobody vouches for it.
SAID: dict[str, tuple[dict[str, str], str, str, str]] = {
    "an etag of s3's": ({"etag": f'"{MD5}"', "x-amz-id-2": "x"}, "md5", "md5", "md5"),
    "an etag": ({"etag": f'"{MD5}"'}, "md5?", "md5?", "md5?"),
    "behind aws's cdn": ({"etag": f'"{MD5}"', "x-amz-cf-id": "x", "x-amz-cf-pop": "y"}, "md5?", "md5?", "md5?"),
    "behind aws's gateway": ({"etag": f'"{MD5}"', "x-amz-apigw-id": "x", "x-amzn-requestid": "y"}, "md5?", "md5?", "md5?"),
    "s3 behind aws's cdn": ({"etag": f'"{MD5}"', "x-amz-cf-id": "x", "x-amz-request-id": "y"}, "md5", "md5", "md5"),
    "of segments": ({"etag": f'"{MD5}"', "x-static-large-object": "True"}, "md5?", "md5?", "md5?"),
    "content-md5": ({"content-md5": B64["md5"]}, "md5", "", "md5?"),
    "content-md5 and an etag": ({"etag": f'"{MD5}"', "content-md5": f" {B64['md5']} "}, "md5 md5?", "md5?", "md5? md5?"),
    "azure's of the blob": ({"x-ms-blob-content-md5": B64["md5"]}, "md5", "md5", "md5"),
    "google's": ({"x-goog-hash": f"crc32c={B64['crc32c']},md5={B64['md5']}"}, "crc32c md5", "crc32c md5", "crc32c md5"),
    "google's, unpacked": ({"x-goog-hash": f"md5={B64['md5']}", "x-goog-stored-content-encoding": "gzip"}, "", "", ""),
    "google's, as stored": (
        {"x-goog-hash": f"md5={B64['md5']}", "x-goog-stored-content-encoding": "gzip", "content-encoding": "gzip"},
        "md5",
        "md5",
        "md5",
    ),
    "google's, never packed": (
        {"x-goog-hash": f"md5={B64['md5']}", "x-goog-stored-content-encoding": "identity"},
        "md5",
        "md5",
        "md5",
    ),
    "digest": (
        {"digest": f"MD5={B64['md5']}, SHA={B64['sha1']}, sha-256={B64['sha256']};q=1, unixsum=30637"},
        "sha256 sha1 md5",
        "sha256 sha1 md5",
        "sha256? sha1? md5?",
    ),
    "repr-digest": (
        {"repr-digest": f"sha-256=:{B64['sha256']}:, sha-512=:{B64['sha512']}:;a=1, x=:AA==:"},
        "sha256 sha512",
        "sha256 sha512",
        "sha256? sha512?",
    ),
    "content-digest": ({"content-digest": f"sha-512=:{B64['sha512']}:"}, "sha512", "", "sha512?"),
    "the last of two": ({"repr-digest": f"md5=:AAAA:, md5=:{B64['md5']}:"}, "md5", "md5", "md5?"),
    "vouched first": ({"etag": f'"{MD5}"', "digest": f"md5={B64['md5']}"}, "md5 md5?", "md5 md5?", "md5? md5?"),
    "no digests": ({"digest": "md5, sha-256=, =, ,=:;", "repr-digest": "sha-256=?1", "content-md5": "AAAA"}, "", "", ""),
    "hexadecimal": ({"digest": f"md5={MD5}", "content-md5": MD5}, "", "", ""),
    "endless": ({"digest": "x," * 30_000 + f"md5={B64['md5']}"}, "", "", ""),
}


@pytest.mark.parametrize(("headers", "whole", "ranged", "stored"), SAID.values(), ids=SAID.keys())
def test_who_vouches_for_what(headers: dict[str, str], whole: str, ranged: str, stored: str) -> None:
    """Content-MD5 and its kin may be those of the part in a 206, and of the answer itself when it is one to an upload."""
    proofs = {"whole": offered(headers), "ranged": offered(headers, whole=False), "stored": offered(headers, stored=True)}
    for proofs_of, names in ((proofs["whole"], whole), (proofs["ranged"], ranged), (proofs["stored"], stored)):
        assert " ".join(proof.name + "?" * (not proof.vouched) for proof in proofs_of) == names
        assert {proof.digest.hex() for proof in proofs_of} <= set(CHECK.values())


@pytest.mark.parametrize("quote", ["", '"'])
def test_the_etag_of_parts_that_the_caller_has(quote: str) -> None:
    parts = [NINE[:4], NINE[4:8], NINE[8:]]
    digest = of_parts(CHECKSUMS["md5"], map(CHECKSUMS["md5"].digest, parts))
    proof = parse_checksum(f"etag:{quote}{digest.hex().upper()}-3{quote}:4")
    assert (proof.digest, proof.parts, proof.part_size, proof.name) == (digest, 3, 4, "md5 of parts")
    hasher = proof.hasher(5)
    hasher.update(NINE)
    assert hasher.digest() == digest, "its own size of parts counts"
    assert parse_checksum(f"ETag:{quote}{MD5}{quote}") == Proof(CHECKSUMS["md5"], bytes.fromhex(MD5))


NAMES = ["etag", "digest", "repr-digest", "x-goog-hash", *(row.header for row in CHECKSUMS.values() if row.header)]


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=60)))
def test_no_header_is_too_strange(headers: dict[str, str]) -> None:
    for proof in offered(headers):
        assert len(proof.digest) == proof.checksum.size


# --- parts ------------------------------------------------------------------------------------------------------------


def test_the_digest_of_the_parts_digests() -> None:
    """As S3's ETag of a multipart upload is made."""
    digests = [hashlib.md5(part).digest() for part in (b"123", b"456789")]
    assert of_parts(CHECKSUMS["md5"], digests) == hashlib.md5(b"".join(digests)).digest()


@EVERY
@given(data=st.binary(min_size=1, max_size=200), cuts=st.lists(st.integers(1, 60), max_size=9), size=st.integers(1, 70))
def test_the_same_of_bytes_that_come_in_pieces(checksum: Checksum, data: bytes, cuts: list[int], size: int) -> None:
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    hasher = Proof(checksum, b"", len(parts)).hasher(size)
    rest = data
    for cut in cuts:
        hasher.update(rest[:cut])
        rest = rest[cut:]
    hasher.update(rest)
    assert hasher.digest() == of_parts(checksum, map(checksum.digest, parts))


@CRCS
@given(parts=st.lists(st.binary(max_size=300), max_size=5))
def test_a_crc_of_the_whole_from_those_of_its_parts(checksum: Checksum, parts: list[bytes]) -> None:
    summed = of_whole(checksum, [(checksum.digest(part), len(part)) for part in parts])
    assert summed == checksum.digest(b"".join(parts))


def test_parts_of_any_size_are_summed_at_once() -> None:
    """Ten thousand parts of 500 MiB take as many steps as ones of one byte; the value is zlib's, for what it can hold."""
    zeros = bytes(1 << 20)
    checksum = CHECKSUMS["crc32"]
    assert of_whole(checksum, [(checksum.digest(zeros), len(zeros))] * 3) == zlib.crc32(zeros * 3).to_bytes(4, "big")


# --- threads ----------------------------------------------------------------------------------------------------------


async def test_only_what_is_large_leaves_the_loop() -> None:
    ran: list[int] = []

    async def run(call: Callable[[bytes], None], data: bytes) -> None:
        ran.append(len(data))
        await anyio.to_thread.run_sync(call, data)

    hasher = CHECKSUMS["sha256"].hasher()
    data = [b"a", bytes(INLINE), bytes(INLINE + 1)]
    for piece in data:
        await update(hasher, piece, run)
    assert ran == [INLINE + 1]
    assert hasher.digest() == hashlib.sha256(b"".join(data)).digest()
