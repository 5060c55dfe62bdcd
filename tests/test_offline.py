"""`OfflineSigner` is `Presigner` for coroutines: the same answers, the same refusals, room for other tasks."""

from __future__ import annotations

import asyncio
import inspect
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from asyncpresign import (
    Credentials,
    CredentialsError,
    InvalidRequest,
    OfflineSigner,
    Presigner,
    S3Object,
    Signer,
    UnsupportedRequest,
)
from asyncpresign.signers.presigner import BATCH

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, 12, 30, 45, tzinfo=UTC)
CREDENTIALS = Credentials("AKID", "secret", "token", NOW + timedelta(hours=2))
OPTIONS: dict[str, Any] = {
    "region": "eu-central-1",
    "endpoint_url": "http://localhost:9000",
    "addressing_style": "virtual",
    "clock": lambda: NOW,
}
OBJECT = {"Bucket": "bucket", "Key": "key"}


@pytest.fixture
def signer() -> OfflineSigner:
    return OfflineSigner(CREDENTIALS, **OPTIONS)


@pytest.fixture
def presigner() -> Presigner:
    return Presigner(CREDENTIALS, **OPTIONS)


async def test_it_is_a_signer_and_a_context(signer: OfflineSigner) -> None:
    assert isinstance(signer, Signer)
    async with signer as entered:
        assert entered is signer
    assert (await signer.presign("get_object", OBJECT)).url, "leaving closes nothing, for nothing was opened"


async def test_it_answers_as_the_presigner_does(signer: OfflineSigner, presigner: Presigner) -> None:
    params = {**OBJECT, "ContentType": "text/plain"}
    at = NOW - timedelta(days=1)
    life: dict[str, Any] = {"expires_in": timedelta(minutes=5), "signing_time": at}
    assert await signer.presign("put_object", params, http_method="POST", **life) == presigner.presign(
        "put_object", params, http_method="POST", **life
    )
    form: dict[str, Any] = {
        "fields": {"acl": "private"},
        "conditions": [["starts-with", "$acl", ""]],
        "content_length_range": (1, 2),
        **life,
    }
    assert await signer.presign_post("bucket", "key", **form) == presigner.presign_post("bucket", "key", **form)
    keys = ["a", S3Object("bucket", "b", "v1")] * BATCH
    shared: dict[str, Any] = {"params": {"ResponseContentType": "x"}, "expires_in": 60}
    urls, expected = (
        await signer.presign_urls("get_object", "bucket", keys, **shared),
        presigner.presign_urls("get_object", "bucket", keys, **shared),
    )
    assert urls == expected
    assert (urls.method, urls.expires_at) == (expected.method, expected.expires_at)


async def test_its_presigner_is_the_synchronous_one(signer: OfflineSigner, presigner: Presigner) -> None:
    assert (await signer.presigner()).presign("get_object", OBJECT) == presigner.presign("get_object", OBJECT)
    assert repr(signer) == f"OfflineSigner({presigner!r})"


async def test_it_refuses_as_the_presigner_does(signer: OfflineSigner) -> None:
    with pytest.raises(InvalidRequest, match="region"):
        OfflineSigner(CREDENTIALS, region="")
    with pytest.raises(InvalidRequest, match="expires_in"):
        await signer.presign("get_object", OBJECT, expires_in=0)
    with pytest.raises(UnsupportedRequest, match="Range"):
        await signer.presign_urls("get_object", "bucket", ["key"], params={"Range": "bytes=0-1"})
    with pytest.raises(InvalidRequest, match=r"keys\[1\]"):
        await signer.presign_urls("get_object", "bucket", ["key", ""])
    with pytest.raises(InvalidRequest, match="bucket"):
        await signer.presign_post("", "key")
    strict = OfflineSigner(CREDENTIALS, short_credentials="raise", **OPTIONS)
    with pytest.raises(CredentialsError):
        await strict.presign("get_object", OBJECT, expires_in=7201)


async def test_other_tasks_run_between_batches(signer: OfflineSigner) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    try:
        urls = await signer.presign_urls("get_object", "bucket", (f"key-{n}" for n in range(10 * BATCH)))
    finally:
        ticking.cancel()
    assert len(urls) == 10 * BATCH
    assert ticks >= 10


async def test_a_cancelled_batch_stops_reading_keys(signer: OfflineSigner) -> None:
    read = 0

    def endless() -> Any:
        nonlocal read
        while True:
            read += 1
            yield "key"

    signing = asyncio.create_task(signer.presign_urls("get_object", "bucket", endless()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    signing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await signing
    assert BATCH <= read <= 4 * BATCH


@pytest.mark.parametrize("name", ["presign", "presign_urls", "presign_post"])
async def test_signatures_agree_with_the_protocol_and_the_presigner(name: str) -> None:
    def parameters(owner: type) -> list[tuple[str, Any, Any]]:
        return [(p.name, p.kind, p.default) for p in inspect.signature(getattr(owner, name)).parameters.values()]

    assert parameters(OfflineSigner) == parameters(Signer) == parameters(Presigner)


async def test_options_are_the_presigners() -> None:
    def options(owner: type) -> list[tuple[str, Any, Any]]:
        return [(p.name, p.kind, p.default) for p in inspect.signature(owner).parameters.values()]

    assert options(OfflineSigner) == options(Presigner)
