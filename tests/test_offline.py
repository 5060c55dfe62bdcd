"""`OfflineSigner` is `Presigner` for coroutines: the same answers, the same refusals, room for other tasks."""

from __future__ import annotations

import asyncio
import inspect
import os
from datetime import UTC, datetime, timedelta
from typing import Any, get_type_hints
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest

from asyncpresign import (
    Credentials,
    CredentialsError,
    InvalidRequest,
    OfflineSigner,
    PresignedRequest,
    Presigner,
    S3Object,
    Signer,
    UnsupportedRequest,
)
from asyncpresign.signers.presigner import BATCH, PresignerOptions

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
    with pytest.raises(InvalidRequest, match=r"^region: "):
        OfflineSigner(CREDENTIALS, region="")
    with pytest.raises(InvalidRequest, match=r"^expires_in: "):
        await signer.presign("get_object", OBJECT, expires_in=0)
    with pytest.raises(UnsupportedRequest, match="Range"):
        await signer.presign_urls("get_object", "bucket", ["key"], params={"Range": "bytes=0-1"})
    with pytest.raises(InvalidRequest, match=r"keys\[1\]"):
        await signer.presign_urls("get_object", "bucket", ["key", ""])
    with pytest.raises(InvalidRequest, match=r"^bucket: "):
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
    names = list(inspect.signature(Presigner).parameters)
    assert names == ["credentials", *PresignerOptions.__annotations__]
    assert get_type_hints(PresignerOptions) == {
        name: hint for name, hint in get_type_hints(Presigner.__init__).items() if name in PresignerOptions.__annotations__
    }


async def test_a_thousand_calls_over_credentials_that_end_in_between() -> None:
    """One refresh, and every URL is of one snapshot that outlives it."""
    start = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
    clock = [start]
    given: list[Credentials] = []

    async def source() -> Credentials:
        await asyncio.sleep(0)
        number = len(given) + 1
        given.append(Credentials(f"AKID{number}", f"secret{number}", f"token{number}", clock[0] + timedelta(hours=1)))
        return given[-1]

    signer = OfflineSigner(source, region="eu-central-1", clock=lambda: clock[0])
    signed: list[tuple[datetime, PresignedRequest]] = []

    async def sign() -> None:
        for _ in range(10):
            clock[0] += timedelta(seconds=5)
            signed.append((clock[0], await signer.presign("get_object", OBJECT, expires_in=900)))
            await asyncio.sleep(0)

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(sign)
    assert len(signed) == 1000
    assert clock[0] - start == timedelta(seconds=5000)
    assert len(given) == 2
    for asked, request in signed:
        query = parse_qs(urlsplit(request.url).query)
        (used,) = [one for one in given if query["X-Amz-Credential"][0].startswith(f"{one.access_key_id}/")]
        assert query["X-Amz-Security-Token"] == [used.session_token]
        assert request.expires_at <= (used.expires_at or start)
        assert request.expires_at > asked
        again = Presigner(used, region="eu-central-1")
        moment = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        life = int(query["X-Amz-Expires"][0])
        assert again.presign("get_object", OBJECT, expires_in=life, signing_time=moment).url == request.url


NO_FILES = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


def url_of(signer: OfflineSigner, params: dict[str, str] = OBJECT) -> str:
    """Signed outside of the test's loop, for `from_env` reads files."""

    async def sign() -> str:
        return (await signer.presign("get_object", params)).url

    return asyncio.run(sign())


def test_the_environment_sets_a_signer_up() -> None:
    environ = {
        **NO_FILES,
        "AWS_ACCESS_KEY_ID": "AKIDENV",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "eu-west-3",
        "AWS_ENDPOINT_URL": "http://everything:9000",
    }
    url = url_of(OfflineSigner.from_env(environ))
    assert url.startswith("http://everything:9000/bucket/key?")
    assert "AKIDENV%2F" in url
    assert "%2Feu-west-3%2Fs3%2F" in url
    environ["AWS_ENDPOINT_URL_S3"] = "http://storage:9000"
    url = url_of(OfflineSigner.from_env(environ))
    assert url.startswith("http://storage:9000/bucket/key?")
    url = url_of(OfflineSigner.from_env(environ, region="us-west-2", endpoint_url=None))
    assert url.startswith("https://bucket.s3.us-west-2.amazonaws.com/key?")
    del environ["AWS_ENDPOINT_URL_S3"], environ["AWS_ENDPOINT_URL"]
    url = url_of(OfflineSigner.from_env(environ))
    assert url.startswith("https://bucket.s3.eu-west-3.amazonaws.com/key?")


@pytest.mark.parametrize(
    ("variables", "options", "origin"),
    [
        ({"AWS_USE_FIPS_ENDPOINT": "true"}, {}, "https://bucket.s3-fips.us-west-2.amazonaws.com"),
        ({"AWS_USE_DUALSTACK_ENDPOINT": "True"}, {}, "https://bucket.s3.dualstack.us-west-2.amazonaws.com"),
        ({"AWS_USE_FIPS_ENDPOINT": "false", "AWS_USE_DUALSTACK_ENDPOINT": ""}, {}, "https://bucket.s3.us-west-2.amazonaws.com"),
        ({"AWS_USE_FIPS_ENDPOINT": "true"}, {"use_fips": False}, "https://bucket.s3.us-west-2.amazonaws.com"),
        ({"AWS_USE_FIPS_ENDPOINT": "true", "AWS_ENDPOINT_URL": "http://h"}, {}, "http://h/bucket"),
        ({"AWS_USE_DUALSTACK_ENDPOINT": "true"}, {"public_endpoint_url": "http://h"}, "http://h/bucket"),
        ({"AWS_S3_USE_ARN_REGION": "false"}, {}, "https://bucket.s3.us-west-2.amazonaws.com"),
    ],
)
def test_the_environment_chooses_hosts_where_there_is_no_endpoint(variables: dict[str, str], options: Any, origin: str) -> None:
    keys = {**NO_FILES, "AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-west-2"}
    url = url_of(OfflineSigner.from_env({**keys, **variables}, **options))
    assert url.startswith(f"{origin}/key?")


def test_the_environment_says_what_arns_may_do() -> None:
    environ = {**NO_FILES, "AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-west-2"}
    params = {**OBJECT, "Bucket": "arn:aws:s3:eu-west-1:123456789012:accesspoint/point"}
    assert "%2Feu-west-1%2F" in url_of(OfflineSigner.from_env(environ), params)
    with pytest.raises(InvalidRequest, match=r"^use_arn_region: "):
        url_of(OfflineSigner.from_env({**environ, "AWS_S3_USE_ARN_REGION": "false"}), params)


def test_an_environment_without_a_region_is_told() -> None:
    with pytest.raises(InvalidRequest, match=r"^region: "):
        OfflineSigner.from_env(NO_FILES)


@pytest.mark.parametrize("years", [9950, 9999, 1, 50])
async def test_a_corrected_clock_that_leaves_the_calendar_is_refused(years: int) -> None:
    for days in (36_525, -36_525):
        late = OfflineSigner(CREDENTIALS, **{**OPTIONS, "clock": lambda: datetime(years, 1, 1, tzinfo=UTC)})
        await late.adjust(clock_offset=timedelta(days=days))
        if years + days // 365.25 not in range(1000, 9999):
            with pytest.raises(InvalidRequest, match="clock"):
                await late.presign("get_object", OBJECT)
