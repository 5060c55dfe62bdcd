"""What a single PUT sends beside the bytes: the checksum that somebody asked for, and none that nobody did."""

from __future__ import annotations

import io
from typing import Any

import pytest

from asyncpresign import Upload
from asyncpresign.transfer.engine import perform
from asyncpresign.transfer.integrity import CHECKSUMS, Checksum, encode

from .fake_transport import FakeTransport
from .memory_s3 import MemoryS3
from .test_multipart import DATA, PLACE, exchange, small_sizes, stream

SOURCES: dict[str, Any] = {
    "bytes": lambda: DATA,
    "a file": lambda: io.BytesIO(DATA),
    "read once": lambda: stream(DATA[:40], DATA[40:]),
}
SENT = [checksum for checksum in CHECKSUMS.values() if checksum.header.startswith("x-amz-")]


async def put(source: Any, **options: Any) -> dict[str, str]:
    """The `x-amz-*` headers of the PUT."""
    s3 = MemoryS3()
    await perform(
        exchange(FakeTransport(otherwise=s3), None, sizes=small_sizes(threshold=1000)), Upload(source, PLACE, **options)
    )
    (request,) = s3.requests("put")
    assert s3.objects == {"key": DATA}
    return {name.lower(): value for name, value in request.headers.items() if name.lower().startswith("x-amz-checksum")}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
@pytest.mark.parametrize("checksum", SENT, ids=lambda checksum: checksum.name)
async def test_the_digest_of_the_checksum_that_the_caller_names_is_sent(checksum: Checksum, source: Any) -> None:
    digest = checksum.digest(DATA)
    header = {f"x-amz-checksum-{checksum.name}": encode(digest)}
    given = {"checksum": f"{checksum.name}:{digest.hex()}"}
    assert await put(source(), size=len(DATA), **given) == header
    asked = {"params": {"ChecksumAlgorithm": checksum.name.upper()}}
    assert await put(source(), size=len(DATA), **asked) == header


async def test_no_checksum_is_sent_that_nobody_asked_for() -> None:
    assert await put(DATA) == {}
    assert await put(DATA, params={"ContentType": "text/plain"}) == {}
