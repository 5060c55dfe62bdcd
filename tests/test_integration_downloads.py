"""Downloads on real servers: unsigned ranges and conditions beside a signed GET, and what the servers' answers prove."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from asyncpresign import PreconditionFailed, S3Object, Transfer
from asyncpresign.transfer.integrity import CHECKSUMS
from asyncpresign.transfer.items import Status

from .test_integration import FIXTURES, Place, make_bucket

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

PART = 5 << 20
DATA = os.urandom(1 << 20) * 11 + b"the last part"


@pytest.fixture(scope="module", params=FIXTURES.values(), ids=FIXTURES.keys())
def place(request: pytest.FixtureRequest) -> Place:
    return anyio.run(make_bucket, request.getfixturevalue(request.param))


@pytest.fixture
async def moving(place: Place) -> AsyncIterator[Transfer]:
    async with Transfer(place.signer(), part_size=PART, multipart_threshold=PART) as made:
        yield made


@pytest.mark.parametrize("size", [None, len(DATA)], ids=["unknown", "known"])
async def test_down_in_ranges(place: Place, moving: Transfer, size: int | None, tmp_path: Path) -> None:
    stored = S3Object(place.bucket, "large")
    await moving.upload(DATA, stored)
    result = await moving.download(stored, tmp_path / "file", size=size)
    assert ((tmp_path / "file").read_bytes() == DATA, result.attempts, result.verified_by) == (True, 1, "md5 of parts")
    async with Transfer(place.signer()) as plain:
        again = await plain.download(stored, tmp_path / "file", if_exists="verify")
        assert (again.status, again.verified_by) == (Status.SKIPPED, "md5 of parts")


async def test_an_empty_object_is_fetched_and_recognised(place: Place, moving: Transfer, tmp_path: Path) -> None:
    stored = S3Object(place.bucket, "empty")
    await moving.upload(b"", stored)
    assert (await moving.download(stored, tmp_path / "file")).verified_by == "md5"
    again = await moving.download(stored, tmp_path / "file", if_exists="verify")
    assert (again.status, again.verified_by, again.size) == (Status.SKIPPED, "size", 0)


async def test_another_etag_is_refused(place: Place, moving: Transfer) -> None:
    stored = S3Object(place.bucket, "small")
    await moving.upload(b"small", stored)
    with pytest.raises(PreconditionFailed):
        await moving.download(stored, if_match="0" * 32)
    async with moving.open(stored, range="bytes=1-2") as body:
        assert (body.status, b"".join([chunk async for chunk in body.chunks()])) == (206, b"ma")
        etag = body.headers["etag"]
    assert (await moving.download(stored, if_match=etag)).data == b"small"


@pytest.mark.parametrize("name", [name for name, kind in CHECKSUMS.items() if kind.header.startswith("x-amz-")])
async def test_a_checksum_that_is_stored_is_told_to_who_requires_one(place: Place, name: str) -> None:
    """juicefs keeps none, and is proven by its ETag."""
    stored = S3Object(place.bucket, f"with {name}")
    digest = CHECKSUMS[name].digest(b"small").hex()
    async with Transfer(place.signer(), require_checksum=True) as strict:
        await strict.upload(b"small", stored, checksum=f"{name}:{digest}")
        result = await strict.download(stored)
    assert result.data == b"small"
    assert result.verified_by in ({name} if place.s3.server == "seaweedfs" else {"md5"})
