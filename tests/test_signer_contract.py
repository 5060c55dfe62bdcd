"""The contract that every signer keeps: an argument is honoured, or refused with `UnsupportedRequest`; never dropped.

A new signer is a row of `SIGNERS`; what it cannot honour is its row of `REFUSED`. Both are asserted, for every argument of
every method, so that no row can be forgotten and none can outlive its reason.
"""

from __future__ import annotations

import base64
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioRefreshableCredentials
from aiobotocore.session import AioSession

from asyncpresign import (
    Adjustable,
    AiobotocoreSigner,
    Credentials,
    CredentialsError,
    InvalidRequest,
    OfflineSigner,
    PresignedPost,
    PresignedRequest,
    PresignedURLs,
    S3Object,
    Signer,
    UnsupportedRequest,
)
from asyncpresign._s3._operations_table import NAMES
from asyncpresign.signers.presigner import PresignerOptions

from .aiobotocore_sessions import new_session
from .botocore_cases import call_of, travelling
from .test_redaction import assert_clean

NOW = datetime(2026, 11, 23, 12, 0, 1, tzinfo=UTC)
SECRET, TOKEN = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY", "token-of-a-session-that-nobody-may-see"
CREDENTIALS = Credentials("AKIDEXAMPLE", SECRET, TOKEN)
OBJECT = {"Bucket": "bucket", "Key": "a key/ü"}

Make = Callable[..., Awaitable[Signer]]
Options = dict[str, Any]


async def static(stack: AsyncExitStack, credentials: Credentials, options: Options) -> Signer:
    return OfflineSigner(credentials, **options)


async def sourced(stack: AsyncExitStack, credentials: Credentials, options: Options) -> Signer:
    return OfflineSigner(lambda: credentials, **options)


async def awaited(stack: AsyncExitStack, credentials: Credentials, options: Options) -> Signer:
    async def source() -> Credentials:
        return credentials

    return OfflineSigner(source, **options)


def aio_session(credentials: Credentials) -> AioSession:
    """A session whose chain has found `credentials`, and renews them, by our clock, to the very same."""
    session = new_session()
    given = (credentials.access_key_id, credentials.secret_access_key, credentials.session_token)
    if credentials.expires_at is None:
        session.set_credentials(*given)
        return session
    end = credentials.expires_at

    async def renew() -> dict[str, Any]:
        return dict(zip(("access_key", "secret_key", "token"), given, strict=True), expiry_time=end.isoformat())

    session._credentials = AioRefreshableCredentials(*given, end, renew, "test", time_fetcher=lambda: NOW)
    return session


async def of_a_client(stack: AsyncExitStack, credentials: Credentials, options: Options) -> Signer:
    place = {"region_name": options.pop("region"), "endpoint_url": options.pop("endpoint_url", None)}
    spelt = {
        "addressing_style": "addressing_style",
        "use_accelerate": "use_accelerate_endpoint",
        "use_arn_region": "use_arn_region",
    }
    own = {theirs: options.pop(ours) for ours, theirs in spelt.items() if ours in options}
    hosts = {f"{name}_endpoint": options.pop(name) for name in ("use_dualstack", "use_fips") if name in options}
    config = AioConfig(s3=own, **hosts)
    client = await stack.enter_async_context(aio_session(credentials).create_client("s3", config=config, **place))
    return AiobotocoreSigner(client, **options)


async def of_a_session(stack: AsyncExitStack, credentials: Credentials, options: Options) -> Signer:
    return await stack.enter_async_context(AiobotocoreSigner.create(aio_session(credentials), **options))


SIGNERS: Mapping[str, Callable[[AsyncExitStack, Credentials, Options], Awaitable[Signer]]] = {
    "offline": static,
    "offline from a function": sourced,
    "offline from a coroutine": awaited,
    "aiobotocore client": of_a_client,
    "aiobotocore session": of_a_session,
}

# What a signer refuses: names of the rows below. None refuses anything yet.
REFUSED: Mapping[str, frozenset[str]] = {name: frozenset() for name in SIGNERS}


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query, keep_blank_values=True).items()}


def policy(post: PresignedPost) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(base64.b64decode(post.fields["policy"]))
    return document


# Row: method, arguments, and what shows that they were honoured.
PRESIGN: Mapping[str, tuple[dict[str, Any], Callable[[PresignedRequest], bool]]] = {
    "operation": ({}, lambda got: got.operation == "PutObject" and got.method == "PUT" and got.body == "optional"),
    "params": (
        {"params": {**OBJECT, "ContentType": "text/x"}},
        lambda got: got.headers == {"Content-Type": "text/x"} and "/a%20key/%C3%BC?" in got.url,
    ),
    "expires_in": ({"expires_in": timedelta(minutes=1)}, lambda got: got.expires_at == NOW + timedelta(minutes=1)),
    "http_method": ({"http_method": "POST"}, lambda got: got.method == "POST"),
    "hoist_headers": (
        {"params": {**OBJECT, "ACL": "private"}, "hoist_headers": "strict"},
        lambda got: got.headers == {} and query(got.url)["x-amz-acl"] == "private",
    ),
    "extra_query": ({"extra_query": {"x-id": "PutObject"}}, lambda got: query(got.url)["x-id"] == "PutObject"),
    "extra_headers": (
        {"extra_headers": {"X-Custom": "1"}},
        lambda got: got.headers == {"X-Custom": "1"} and "x-custom" in query(got.url)["X-Amz-SignedHeaders"],
    ),
    "signing_time": (
        {"signing_time": datetime(2026, 1, 2, tzinfo=UTC)},
        lambda got: query(got.url)["X-Amz-Date"] == "20260102T000000Z",
    ),
}
URLS: Mapping[str, tuple[dict[str, Any], Callable[[PresignedURLs], bool]]] = {
    "operation": ({"operation": "head_object"}, lambda got: got.method == "HEAD"),
    "bucket": ({"bucket": "other"}, lambda got: all("//other." in url for url in got)),
    "keys": (
        {"keys": ["a", S3Object("bucket", "b", "v1")]},
        lambda got: len(got) == 2 and "/a?" in got[0] and query(got[1])["versionId"] == "v1",
    ),
    "params": (
        {"params": {"ResponseContentType": "a/b"}},
        lambda got: all(query(url)["response-content-type"] == "a/b" for url in got),
    ),
    "expires_in": ({"expires_in": 60}, lambda got: got.expires_at == NOW + timedelta(minutes=1)),
}
POST: Mapping[str, tuple[dict[str, Any], Callable[[PresignedPost], bool]]] = {
    "bucket": ({"bucket": "other"}, lambda got: {"bucket": "other"} in policy(got)["conditions"] and "//other." in got.url),
    "key": ({"key": "a/${filename}"}, lambda got: ["starts-with", "$key", "a/"] in policy(got)["conditions"]),
    "fields": (
        {"fields": {"acl": "private"}},
        lambda got: got.fields["acl"] == "private" and {"acl": "private"} in policy(got)["conditions"],
    ),
    "conditions": (
        {"conditions": [["starts-with", "$acl", ""]]},
        lambda got: policy(got)["conditions"][0] == ["starts-with", "$acl", ""],
    ),
    "content_length_range": (
        {"content_length_range": (1, 9)},
        lambda got: ["content-length-range", 1, 9] in policy(got)["conditions"],
    ),
    "expires_in": ({"expires_in": 60}, lambda got: policy(got)["expiration"] == "2026-11-23T12:01:01Z"),
    "signing_time": (
        {"signing_time": datetime(2026, 1, 2, tzinfo=UTC)},
        lambda got: got.fields["x-amz-date"] == "20260102T000000Z",
    ),
}
METHODS: Mapping[str, tuple[dict[str, Any], Mapping[str, tuple[dict[str, Any], Callable[[Any], bool]]]]] = {
    "presign": ({"operation": "put_object", "params": OBJECT}, PRESIGN),
    "presign_urls": ({"operation": "get_object", "bucket": "bucket", "keys": ["a"]}, URLS),
    "presign_post": ({"bucket": "bucket", "key": "key"}, POST),
}
# Options of the constructor, for those that have them.
OPTIONS: Mapping[str, tuple[dict[str, Any], Callable[[PresignedRequest], bool]]] = {
    "region": ({"region": "us-west-2"}, lambda got: "//bucket.s3.us-west-2.amazonaws.com/" in got.url),
    "endpoint_url": ({"endpoint_url": "http://minio:9000"}, lambda got: got.url.startswith("http://minio:9000/bucket/")),
    "public_endpoint_url": (
        {"endpoint_url": "http://minio:9000", "public_endpoint_url": "https://files.example.com/s3"},
        lambda got: got.url.startswith("https://files.example.com/s3/bucket/"),
    ),
    "addressing_style": ({"addressing_style": "path"}, lambda got: "//s3.eu-central-1.amazonaws.com/bucket/" in got.url),
    "use_dualstack": ({"use_dualstack": True}, lambda got: "//bucket.s3.dualstack.eu-central-1.amazonaws.com/" in got.url),
    "use_fips": ({"use_fips": True, "region": "us-west-2"}, lambda got: "//bucket.s3-fips.us-west-2.amazonaws.com/" in got.url),
    "use_accelerate": ({"use_accelerate": True}, lambda got: "//bucket.s3-accelerate.amazonaws.com/" in got.url),
    "bucket_endpoint": (
        {"public_endpoint_url": "https://cdn.example.com", "bucket_endpoint": True},
        lambda got: got.url.startswith("https://cdn.example.com/") and "bucket" not in got.url,
    ),
    "stripped_prefix": (
        {"public_endpoint_url": "https://files.example.com/s3", "stripped_prefix": "/s3"},
        lambda got: got.url.startswith("https://files.example.com/s3/bucket/"),
    ),
    "signing_window": ({"signing_window": 600}, lambda got: query(got.url)["X-Amz-Date"] == "20261123T120000Z"),
}

CASES = [(method, row) for method, (_, rows) in METHODS.items() for row in rows]


@pytest.fixture(params=SIGNERS, ids=str)
def name(request: pytest.FixtureRequest) -> str:
    made: str = request.param
    return made


@pytest.fixture
async def make(name: str) -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:

        async def made(credentials: Credentials = CREDENTIALS, **options: Any) -> Signer:
            return await SIGNERS[name](stack, credentials, {"region": "eu-central-1", "clock": lambda: NOW, **options})

        yield made


def reference() -> Signer:
    return OfflineSigner(CREDENTIALS, region="eu-central-1", clock=lambda: NOW)


def call(signer: Signer, method: str, **changes: Any) -> Any:
    return getattr(signer, method)(**{**METHODS[method][0], **changes})


def test_every_argument_of_the_protocol_has_its_row() -> None:
    for method, (_, rows) in METHODS.items():
        arguments = set(inspect.signature(getattr(Signer, method)).parameters) - {"self"}
        assert set(rows) == arguments
    assert set(REFUSED) == set(SIGNERS)


async def test_it_is_a_signer(make: Make, name: str) -> None:
    signer = await make()
    assert isinstance(signer, Signer)
    for method in METHODS:
        ours, theirs = inspect.signature(getattr(signer, method)), inspect.signature(getattr(Signer, method))
        assert list(ours.parameters) == list(theirs.parameters)[1:]
        assert [p.default for p in ours.parameters.values()] == [p.default for p in list(theirs.parameters.values())[1:]]


@pytest.mark.parametrize(("method", "row"), CASES, ids=lambda part: part)
async def test_an_argument_is_honoured_or_refused(make: Make, name: str, method: str, row: str) -> None:
    changes, honoured = METHODS[method][1][row]
    if f"{method} {row}" in REFUSED[name]:
        with pytest.raises(UnsupportedRequest):
            await call(await make(), method, **changes)
    else:
        assert honoured(await call(await make(), method, **changes))


@pytest.mark.parametrize("row", OPTIONS)
async def test_an_option_is_honoured_or_refused(make: Make, name: str, row: str) -> None:
    options, honoured = OPTIONS[row]
    if row in REFUSED[name]:
        with pytest.raises(UnsupportedRequest):
            await make(**options)
    else:
        assert honoured(await call(await make(**options), "presign"))


ARN = "arn:aws:s3:us-west-2:123456789012:accesspoint/point"


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("presign", {"params": {"Bucket": ARN, "Key": "key"}}),
        ("presign_urls", {"bucket": ARN}),
        ("presign_post", {"bucket": ARN}),
    ],
)
async def test_an_access_point_is_signed_for_its_own_region_unless_that_is_refused(
    make: Make, method: str, changes: dict[str, Any]
) -> None:
    signed = await call(await make(), method, **changes)
    assert signed == await call(reference(), method, **changes)
    shown = str(signed.to_dict()) if not isinstance(signed, list) else signed[0]
    assert "https://point-123456789012.s3-accesspoint.us-west-2.amazonaws.com/" in shown
    with pytest.raises(InvalidRequest, match=r"^use_arn_region: "):
        await call(await make(use_arn_region=False), method, **changes)


def test_every_option_has_its_row() -> None:
    elsewhere = {"short_credentials", "use_arn_region", "clock"}  # tests of their own
    assert set(OPTIONS) | elsewhere == set(PresignerOptions.__annotations__)


async def test_all_signers_sign_the_same(make: Make) -> None:
    for method in METHODS:
        assert await call(await make(), method) == await call(reference(), method)


@pytest.mark.oracle
async def test_all_signers_sign_every_operation_the_same(make: Make) -> None:
    signer = await make()
    for operation in NAMES:
        params = call_of(operation, *travelling(operation)).params
        assert await signer.presign(operation, params) == await reference().presign(operation, params)


async def test_the_callers_arguments_are_not_changed(make: Make) -> None:
    params, fields = {**OBJECT, "Metadata": {"a": "b"}}, {"acl": "private"}
    conditions: list[Any] = [["starts-with", "$x", ""], {"acl": "private"}]
    before = json.dumps([params, fields, conditions])
    await call(await make(), "presign", params=params)
    await call(await make(), "presign_post", fields=fields, conditions=conditions)
    assert json.dumps([params, fields, conditions]) == before


@pytest.mark.parametrize("method", METHODS)
async def test_wrong_arguments_are_invalid(make: Make, method: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await call(await make(), method, expires_in=0)
    assert [problem.argument for problem in caught.value.problems] == ["expires_in"]


async def test_a_form_that_s3_would_refuse_is_refused_with_every_reason(make: Make) -> None:
    given = {"fields": {"acl": "a", "ACL": "a"}, "conditions": [["starts-with", "$bucket", ""], {"key": "other"}]}
    with pytest.raises(InvalidRequest) as caught:
        await call(await make(), "presign_post", **given)
    assert [problem.argument for problem in caught.value.problems] == ["fields['ACL']", "conditions[0]", "conditions[1]"]


# --- expiry -----------------------------------------------------------------------------------------------------------


def ending(after: timedelta) -> Credentials:
    return Credentials("AKIDEXAMPLE", SECRET, TOKEN, NOW + after)


async def test_nothing_claims_to_outlive_its_credentials(make: Make) -> None:
    end = NOW + timedelta(minutes=10)
    signer = await make(ending(timedelta(minutes=10)))
    request = await call(signer, "presign", expires_in=3600)
    assert (request.expires_at, query(request.url)["X-Amz-Expires"]) == (end, "600")
    urls = await call(signer, "presign_urls", expires_in=3600)
    assert (urls.expires_at, query(urls[0])["X-Amz-Expires"]) == (end, "600")
    post = await call(signer, "presign_post", expires_in=3600)
    assert (post.expires_at, policy(post)["expiration"]) == (end, "2026-11-23T12:10:01Z")


@pytest.mark.parametrize("method", METHODS)
async def test_short_credentials_can_be_refused(make: Make, method: str) -> None:
    signer = await make(ending(timedelta(minutes=10)), short_credentials="raise")
    assert await call(signer, method, expires_in=600)
    with pytest.raises(CredentialsError, match="12:10:01Z"):
        await call(signer, method, expires_in=601)


@pytest.mark.parametrize("method", METHODS)
async def test_dead_credentials_sign_nothing(make: Make, method: str) -> None:
    with pytest.raises(CredentialsError):
        await call(await make(ending(timedelta(seconds=-1))), method)


async def test_a_window_keeps_the_url_and_counts_the_life_from_its_start(make: Make) -> None:
    moments = [NOW + timedelta(seconds=seconds) for seconds in (0, 100, 298, 299)]
    signed = [
        await call(await make(clock=lambda moment=moment: moment, signing_window=300), "presign", expires_in=600)
        for moment in moments
    ]
    assert signed[0] == signed[1] == signed[2] != signed[3]
    assert signed[0].expires_at == datetime(2026, 11, 23, 12, 10, tzinfo=UTC)
    with pytest.raises(InvalidRequest, match="twice the signing window"):
        await call(await make(signing_window=301), "presign", expires_in=600)


async def test_a_pinned_moment_is_not_floored(make: Make) -> None:
    request = await call(await make(signing_window=300), "presign", signing_time=NOW, expires_in=10)
    assert (query(request.url)["X-Amz-Date"], query(request.url)["X-Amz-Expires"]) == ("20261123T120001Z", "10")


# --- adjusting --------------------------------------------------------------------------------------------------------


async def test_a_clock_that_is_off_is_corrected_for_all_that_follows(make: Make) -> None:
    signer = await make()
    assert isinstance(signer, Adjustable)
    assert await signer.adjust(clock_offset=timedelta(minutes=20))
    assert query((await call(signer, "presign")).url)["X-Amz-Date"] == "20261123T122001Z"
    assert not await signer.adjust(clock_offset=timedelta(minutes=20))
    assert await signer.adjust(clock_offset=timedelta(0))
    assert query((await call(signer, "presign")).url)["X-Amz-Date"] == "20261123T120001Z"
    for wrong in (20, timedelta(days=40_000)):
        with pytest.raises(InvalidRequest, match=r"^clock_offset: "):
            await signer.adjust(clock_offset=wrong)  # type: ignore[arg-type]


# --- redaction, concurrency, closing ----------------------------------------------------------------------------------


async def test_no_repr_shows_what_grants_access(make: Make) -> None:
    signer = await make()
    request, post, urls = [await call(signer, method) for method in ("presign", "presign_post", "presign_urls")]
    live = [query(request.url)["X-Amz-Signature"], post.fields["x-amz-signature"], query(urls[0])["X-Amz-Signature"]]
    for shown in (signer, request, post, urls):
        assert_clean(repr(shown) + str(shown), [SECRET, TOKEN, *live])


async def test_many_at_once_sign_what_each_signs_alone(make: Make) -> None:
    signer = await make()
    signed: dict[int, PresignedRequest] = {}

    async def sign(number: int) -> None:
        signed[number] = await call(signer, "presign", params={"Bucket": "bucket", "Key": str(number)})

    async with anyio.create_task_group() as tasks:
        for number in range(200):
            tasks.start_soon(sign, number)
    alone = [await call(reference(), "presign", params={"Bucket": "bucket", "Key": str(number)}) for number in range(200)]
    assert [signed[number] for number in range(200)] == alone


async def test_closing_closes_nothing_that_is_the_callers(make: Make) -> None:
    signer: Any = await make()
    async with signer as entered:
        assert entered is signer
        first = await call(signer, "presign")
    assert await call(signer, "presign") == first
