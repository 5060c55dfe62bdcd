"""On real servers, which check every signature: what we sign is accepted, and what somebody altered is refused.

`LENIENT` names what a server lets pass; each of its rows is asserted too, so that it goes when the server changes.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import anyio
import pytest

from asyncpresign import (
    AccessDenied,
    AiobotocoreSigner,
    Credentials,
    IntegrityError,
    NotFound,
    OfflineSigner,
    PresignedPost,
    PresignedRequest,
    Presigner,
    Response,
    ResponseError,
    RetryPolicy,
    S3Object,
    SignatureMismatch,
    Transfer,
    URLExpired,
    botocore_source,
)
from asyncpresign.testing import LocalS3
from asyncpresign.transfer.edge import Edge

from .form_cases import CONTROL

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

FIXTURES = {"juicefs": "local_s3", "seaweedfs": "local_s3_seaweedfs"}


@dataclass(frozen=True)
class Place:
    """A bucket of its own on one server, and what signs for it."""

    s3: LocalS3
    bucket: str

    def presigner(self, **changes: Any) -> Presigner:
        options = {"credentials": self.s3.credentials, "region": self.s3.region, "endpoint_url": self.s3.endpoint_url}
        return Presigner(**{**options, **changes})

    def signer(self, **changes: Any) -> OfflineSigner:
        options = {"credentials": self.s3.credentials, "region": self.s3.region, "endpoint_url": self.s3.endpoint_url}
        return OfflineSigner(**{**options, **changes})

    def sign(self, operation: str, key: str | None = None, **params: Any) -> PresignedRequest:
        named = {"Bucket": self.bucket, **({} if key is None else {"Key": key}), **params}
        return self.presigner().presign(operation, named)


async def make_bucket(s3: LocalS3) -> Place:
    place = Place(s3, f"test-{secrets.token_hex(6)}")
    async with Transfer() as moving:
        await moving.send(place.sign("create_bucket"))
    return place


@pytest.fixture(scope="module", params=FIXTURES.values(), ids=FIXTURES.keys())
def place(request: pytest.FixtureRequest) -> Place:
    return anyio.run(make_bucket, request.getfixturevalue(request.param))


@pytest.fixture
async def moving(place: Place) -> AsyncIterator[Transfer]:
    """By its clock nothing of these tests has ended yet, so that the server is asked."""
    edge = Edge(now=lambda: datetime.now(UTC) - timedelta(days=1))
    async with Transfer(place.signer(), retry=RetryPolicy(attempts=2), edge=edge) as made:
        yield made


async def stored(moving: Transfer, place: Place, key: str) -> bytes | None:
    try:
        return (await moving.download(S3Object(place.bucket, key))).data
    except NotFound:
        return None


# --- what is accepted -------------------------------------------------------------------------------------------------


@pytest.mark.smoke
async def test_up_and_down_again(local_s3: LocalS3, tmp_path: Path) -> None:
    place = await make_bucket(local_s3)
    (tmp_path / "up").write_bytes(data := os.urandom(100_000))
    async with Transfer(place.signer()) as moving:
        await moving.upload(tmp_path / "up", S3Object(place.bucket, "put"))
        await moving.upload_form(tmp_path / "up", S3Object(place.bucket, "form"))
        for key in ("put", "form"):
            await moving.download(S3Object(place.bucket, key), tmp_path / key)
            assert (tmp_path / key).read_bytes() == data


async def test_all_seven_operations(place: Place, moving: Transfer) -> None:
    bucket = f"test-{secrets.token_hex(6)}"
    presigner = place.presigner()

    async def send(operation: str, body: bytes | None = None, **params: Any) -> Response:
        return await moving.send(presigner.presign(operation, params), body)

    assert (await send("create_bucket", Bucket=bucket)).status == 200
    assert bucket.encode() in (await send("list_buckets")).body
    assert (await send("put_object", b"content", Bucket=bucket, Key="a/b")).headers["etag"]
    head = await send("head_object", Bucket=bucket, Key="a/b")
    assert (head.headers["content-length"], head.body) == ("7", b"")
    assert (await send("get_object", Bucket=bucket, Key="a/b")).body == b"content"
    assert b"<Key>a/b</Key>" in (await send("list_objects_v2", Bucket=bucket, Prefix="a/")).body
    assert (await send("delete_object", Bucket=bucket, Key="a/b")).status == 204
    with pytest.raises(NotFound):
        await send("head_object", Bucket=bucket, Key="a/b")


@pytest.mark.parametrize("size", [0, 1, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 5 << 20])
async def test_every_size(place: Place, moving: Transfer, size: int, tmp_path: Path) -> None:
    data = os.urandom(size)
    (tmp_path / "up").write_bytes(data)
    for kind in ("upload", "upload_form"):
        target = S3Object(place.bucket, f"size/{kind}/{size}")
        assert (await getattr(moving, kind)(tmp_path / "up", target)).attempts == 1
        result = await moving.download(target, tmp_path / "down", size=size)
        assert (result.size, result.verified_by) == (size, "md5")
        assert (tmp_path / "down").read_bytes() == data


async def test_headers_of_an_upload_are_stored(place: Place, moving: Transfer) -> None:
    target = S3Object(place.bucket, "headers")
    params = {
        "Metadata": {"name": "value with  spaces", "other": "b"},
        "ContentType": "text/x-test",
        "CacheControl": "no-store",
    }
    await moving.upload(b"x", target, params=params)
    head = await moving.send(place.sign("head_object", "headers"))
    assert head.headers["x-amz-meta-name"] in ("value with  spaces", "value with spaces")
    assert (head.headers["x-amz-meta-other"], head.headers["content-type"]) == ("b", "text/x-test")
    assert head.headers["cache-control"] == "no-store"


async def test_fields_of_a_form_are_stored(place: Place, moving: Transfer) -> None:
    target = S3Object(place.bucket, "fields")
    await moving.upload_form(b"x", target, fields={"x-amz-meta-name": "value"}, content_type="text/x-test")
    head = await moving.send(place.sign("head_object", "fields"))
    assert (head.headers["x-amz-meta-name"], head.headers["content-type"]) == ("value", "text/x-test")


@pytest.mark.parametrize("name", ["plain.txt", 'quo"te.txt', "grün – 日本.txt"])
async def test_a_name_to_save_as(place: Place, moving: Transfer, name: str) -> None:
    await moving.upload(b"x", S3Object(place.bucket, "saved"))
    wanted = f"attachment; filename*=UTF-8''{quote(name)}"
    for disposition in (wanted, f'attachment; filename="{name}"'):
        response = await moving.send(place.sign("get_object", "saved", ResponseContentDisposition=disposition))
        received = response.headers["content-disposition"]
        assert disposition in (received, received.encode("latin-1", "replace").decode("utf-8", "replace"))


@pytest.mark.parametrize("status", ["200", "201", "204"])
async def test_every_answer_to_a_form(place: Place, moving: Transfer, status: str) -> None:
    key = f"answer/{status}"
    await moving.upload_form(b"content", S3Object(place.bucket, key), fields={"success_action_status": status})
    assert await stored(moving, place, key) == b"content"


async def test_a_form_that_redirects(place: Place, moving: Transfer) -> None:
    fields = {"success_action_redirect": f"{place.s3.endpoint_url}/elsewhere"}
    assert (await moving.upload_form(b"content", S3Object(place.bucket, "redirects"), fields=fields)).attempts == 1
    assert await stored(moving, place, "redirects") == b"content"


async def test_the_name_of_the_file_in_the_key(place: Place, moving: Transfer) -> None:
    post = place.presigner().presign_post(place.bucket, "named/${filename}", content_length_range=(1, 100))
    await moving.upload_form(b"content", post, filename="a file.txt")
    assert await stored(moving, place, "named/a file.txt") == b"content"


# --- what is refused --------------------------------------------------------------------------------------------------


def with_signature(url: str, change: Callable[[str], str]) -> str:
    head, signature = url.split("X-Amz-Signature=")
    return f"{head}X-Amz-Signature={change(signature)}"


def flipped(signature: str) -> str:
    return signature[:-1] + ("0" if signature[-1] != "0" else "1")


METADATA = {"Metadata": {"a": "b"}}
NOW = datetime.now(UTC)
Sign = Callable[[Place, str, str], PresignedRequest]


def presign(place: Place, operation: str, key: str, **options: Any) -> PresignedRequest:
    changes = {name: options.pop(name) for name in ("credentials", "region") if name in options}
    params = {"Bucket": place.bucket, "Key": key, **(METADATA if operation == "put_object" else {})}
    return place.presigner(**changes).presign(operation, params, **options)


def altered(request: PresignedRequest, **changes: Any) -> PresignedRequest:
    return replace(request, **changes)


def url_of(change: Callable[[str], str]) -> Sign:
    def sign(place: Place, operation: str, key: str) -> PresignedRequest:
        request = presign(place, operation, key)
        changed = altered(request, url=change(request.url))
        assert changed.url != request.url
        return changed

    return sign


def with_credentials(**changes: str) -> Sign:
    def sign(place: Place, operation: str, key: str) -> PresignedRequest:
        return presign(place, operation, key, credentials=replace(place.s3.credentials, **changes))

    return sign


def with_headers(change: Callable[[Mapping[str, str]], Mapping[str, str]]) -> Sign:
    def sign(place: Place, operation: str, key: str) -> PresignedRequest:
        request = presign(place, operation, key)
        return altered(request, headers=change(request.headers))

    return sign


REFUSED: dict[str, Sign] = {
    "tampered signature": url_of(lambda url: with_signature(url, flipped)),
    "signature cut": url_of(lambda url: with_signature(url, lambda signature: signature[:-1])),
    "no signature": url_of(lambda url: url.partition("&X-Amz-Signature=")[0]),
    "other key": url_of(lambda url: url.replace("/refused/", "/refused/other-", 1)),
    "longer life": url_of(lambda url: url.replace("X-Amz-Expires=3600", "X-Amz-Expires=7200")),
    "extra parameter": url_of(lambda url: url + "&response-content-type=text%2Fhtml"),
    "other date": url_of(lambda url: re.sub(r"(?<=X-Amz-Date=\d{8}T\d{5})\d", lambda digit: str(9 - int(digit[0])), url)),
    "expired": lambda place, operation, key: presign(
        place, operation, key, signing_time=NOW - timedelta(hours=2), expires_in=60
    ),
    "dated ahead": lambda place, operation, key: presign(place, operation, key, signing_time=NOW + timedelta(hours=2)),
    "wrong secret": with_credentials(secret_access_key="not-the-secret-of-this-server"),
    "unknown access key": with_credentials(access_key_id="AKIDUNKNOWNUNKNOWN00"),
    "token of nobody": with_credentials(session_token="nobody-ever-gave-this-token"),
    "wrong region": lambda place, operation, key: presign(place, operation, key, region="eu-west-3"),
    "other method": lambda place, operation, key: altered(
        presign(place, "head_object" if operation == "put_object" else "put_object", key),
        method={"put_object": "PUT", "get_object": "GET"}[operation],
    ),
}
REFUSED_PUTS: dict[str, Sign] = {
    **REFUSED,
    "signed header missing": with_headers(lambda headers: {}),
    "signed header changed": with_headers(lambda headers: {**headers, "x-amz-meta-a": "c"}),
    "unsigned header added": with_headers(lambda headers: {**headers, "x-amz-meta-z": "c"}),
}
LENIENT = {
    ("seaweedfs", "dated ahead"),
    ("seaweedfs", "wrong region"),
    ("juicefs", "unsigned header added"),
}


@pytest.mark.parametrize("name", REFUSED_PUTS)
async def test_a_put_that_was_altered_stores_nothing(place: Place, moving: Transfer, name: str) -> None:
    key = f"refused/{name}"
    response = await moving.send(REFUSED_PUTS[name](place, "put_object", key), b"content", raise_for_status=False)
    if (place.s3.server, name) in LENIENT:
        assert response.status == 200
    else:
        assert 400 <= response.status < 500, response.body
        listing = await moving.send(place.sign("list_objects_v2", Prefix="refused/"))
        assert f"<Key>{key}</Key>".encode() not in listing.body
        assert await stored(moving, place, key) is None
        assert await stored(moving, place, key.replace("/", "/other-")) is None


@pytest.mark.parametrize("name", REFUSED)
async def test_a_get_that_was_altered_gives_nothing(place: Place, moving: Transfer, name: str) -> None:
    key = f"refused/{name} to read"
    for real in (key, key.replace("/", "/other-")):
        await moving.upload(b"the content", S3Object(place.bucket, real))
    request = REFUSED[name](place, "get_object", key)
    response = await moving.send(request, raise_for_status=False)
    if (place.s3.server, name) in LENIENT:
        assert response.body == b"the content"
    else:
        assert 400 <= response.status < 500
        assert b"the content" not in response.body
        with pytest.raises(ResponseError) as caught:
            await moving.download(request)
        assert caught.value.attempts == 1
        expected = {"expired": URLExpired, "tampered signature": SignatureMismatch, "wrong secret": SignatureMismatch}
        assert isinstance(caught.value, expected.get(name, ResponseError))


Form = Callable[[PresignedPost], PresignedPost]


def fields(**changes: str | None) -> Form:
    named = {name.replace("_", "-"): value for name, value in changes.items()}

    def change(post: PresignedPost) -> PresignedPost:
        changed = {**post.fields, **named}
        return replace(post, fields={name: value for name, value in changed.items() if value is not None})

    return change


def same(post: PresignedPost) -> PresignedPost:
    return post


def signature_flipped(post: PresignedPost) -> PresignedPost:
    return replace(post, fields={**post.fields, "x-amz-signature": flipped(post.fields["x-amz-signature"])})


def policy_cut(post: PresignedPost) -> PresignedPost:
    policy = post.fields["policy"]
    return replace(post, fields={**post.fields, "policy": policy[:20] + ("A" if policy[20] != "A" else "B") + policy[21:]})


# Content, what is changed after signing, options of `presign_post`, changes of the signer.
REFUSED_FORMS: dict[str, tuple[bytes, Form, dict[str, Any], dict[str, Any]]] = {
    "too large": (b"x" * 101, same, {}, {}),
    "much too large": (b"x" * (3 << 20), same, {}, {}),
    "too small": (b"x" * 9, same, {}, {}),
    "other content type": (b"x" * 50, fields(Content_Type="text/html"), {}, {}),
    "no content type": (b"x" * 50, fields(Content_Type=None), {}, {}),
    "other key": (b"x" * 50, fields(key="elsewhere/key"), {}, {}),
    "other metadata": (b"x" * 50, fields(x_amz_meta_a="c"), {}, {}),
    "tampered signature": (b"x" * 50, signature_flipped, {}, {}),
    "tampered policy": (b"x" * 50, policy_cut, {}, {}),
    "no policy": (b"x" * 50, fields(policy=None), {}, {}),
    "no signature": (b"x" * 50, fields(x_amz_signature=None), {}, {}),
    "expired": (b"x" * 50, same, {"signing_time": NOW - timedelta(hours=2), "expires_in": 60}, {}),
    "wrong secret": (b"x" * 50, same, {}, {"secret_access_key": "not-the-secret-of-this-server"}),
    "unknown access key": (b"x" * 50, same, {}, {"access_key_id": "AKIDUNKNOWNUNKNOWN00"}),
    "plain field in no condition": (b"x" * 50, fields(note="anything"), {}, {}),
}
LENIENT_FORMS = {("juicefs", "plain field in no condition"), ("seaweedfs", "plain field in no condition")}


@pytest.mark.parametrize("name", REFUSED_FORMS)
async def test_a_form_that_violates_its_policy_stores_nothing(place: Place, moving: Transfer, name: str) -> None:
    content, change, options, credentials = REFUSED_FORMS[name]
    key = f"forms/{name}"
    post = change(
        place.presigner(credentials=replace(place.s3.credentials, **credentials)).presign_post(
            place.bucket,
            key,
            fields={"Content-Type": "image/png", "x-amz-meta-a": "b"},
            conditions=[["starts-with", "$Content-Type", "image/"], ["starts-with", "$key", "forms/"]],
            content_length_range=(10, 100),
            **options,
        )
    )
    if (place.s3.server, name) in LENIENT_FORMS:
        assert (await moving.upload_form(content, post)).attempts == 1
        return
    with pytest.raises(ResponseError) as caught:
        await moving.upload_form(content, post)
    assert 400 <= caught.value.status < 500
    assert caught.value.attempts == 1
    if name == "expired":
        assert isinstance(caught.value, URLExpired)
    for missing in (key, "elsewhere/key"):
        assert await stored(moving, place, missing) is None


async def test_a_form_within_its_policy_is_accepted(place: Place, moving: Transfer) -> None:
    """The rows above are refused for what they say, and not for something that they have in common."""
    post = place.presigner().presign_post(
        place.bucket,
        "forms/fine",
        fields={"Content-Type": "image/png", "x-amz-meta-a": "b"},
        conditions=[["starts-with", "$Content-Type", "image/"], ["starts-with", "$key", "forms/"]],
        content_length_range=(10, 100),
    )
    for content in (b"x" * 10, b"x" * 100):
        await moving.upload_form(content, post)
        assert await stored(moving, place, "forms/fine") == content


async def test_a_form_stores_its_file_under_any_key_that_it_can_carry(place: Place) -> None:
    async with Transfer(place.signer(), retry=RetryPolicy(attempts=1)) as moving:
        for letters in CONTROL:
            key = f"{letters}a{letters}b{letters}"
            await moving.upload_form(letters.encode(), S3Object(place.bucket, key))
            assert await stored(moving, place, key) == letters.encode()
        # Neither server has such keys; both say so.
        with pytest.raises(ResponseError):
            await moving.upload_form(b"x", S3Object(place.bucket, "a\0b"))


async def test_a_bucket_that_is_not_there(place: Place, moving: Transfer) -> None:
    for call in (
        moving.download(S3Object("no-such-bucket-here", "key")),
        moving.upload(b"x", S3Object("no-such-bucket-here", "k")),
    ):
        with pytest.raises((NotFound, AccessDenied)):
            await call


# --- temporary credentials --------------------------------------------------------------------------------------------


# What becomes of `x-amz-meta-name=value` in a query: AWS and MinIO store it, seaweedfs ignores it.
HOISTED_METADATA: Mapping[str, str | None] = {"juicefs": "value", "seaweedfs": None}


def assume_role(s3: LocalS3) -> Credentials:
    """Of a user: the root of this server may not (FACTS §1)."""
    from minio import MinioAdmin
    from minio.credentials import AssumeRoleProvider, StaticProvider

    secret = secrets.token_urlsafe(20)
    root = s3.credentials
    admin = MinioAdmin(
        endpoint=urlsplit(s3.endpoint_url).netloc,
        credentials=StaticProvider(root.access_key_id, root.secret_access_key),
        secure=False,
    )
    admin.user_add("user1", secret)
    admin.policy_set("readwrite", user="user1")
    provider = AssumeRoleProvider(
        sts_endpoint=s3.endpoint_url,
        access_key="user1",
        secret_key=secret,
        duration_seconds=900,
        region=s3.region,
        role_arn="arn:aws:iam::123456789012:role/x",
        role_session_name="test",
    )
    given = provider.retrieve()
    assert given.expiration is not None
    return Credentials(given.access_key, given.secret_key, given.session_token, given.expiration.replace(tzinfo=UTC))


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the minio package's own connections
async def test_a_session_token(local_s3: LocalS3) -> None:
    place = await make_bucket(local_s3)
    credentials = await anyio.to_thread.run_sync(assume_role, local_s3)
    assert credentials.session_token
    async with Transfer(place.signer(credentials=credentials)) as moving:
        await moving.upload(b"by URL", S3Object(place.bucket, "url"))
        await moving.upload_form(b"by form", S3Object(place.bucket, "form"))
        assert await stored(moving, place, "url") == b"by URL"
        assert await stored(moving, place, "form") == b"by form"
        without = place.presigner(credentials=replace(credentials, session_token=None))
        response = await moving.send(
            without.presign("get_object", {"Bucket": place.bucket, "Key": "url"}), raise_for_status=False
        )
        assert response.status in (400, 403)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the minio package's own connections
async def test_a_session_from_a_source(local_s3: LocalS3) -> None:
    """A live STS session that a source hands out as many times as it is asked."""
    place = await make_bucket(local_s3)
    asked: list[Credentials] = []

    def source() -> Credentials:
        asked.append(assume_role(local_s3))
        return asked[-1]

    signer = OfflineSigner(source, region=local_s3.region, endpoint_url=local_s3.endpoint_url)
    async with Transfer(signer) as moving:
        for number in range(2):
            await moving.upload(b"by URL", S3Object(place.bucket, f"{number}/url"))
            await moving.upload_form(b"by form", S3Object(place.bucket, f"{number}/form"))
            assert await stored(moving, place, f"{number}/url") == b"by URL"
            assert await stored(moving, place, f"{number}/form") == b"by form"
            assert len(asked) == number + 1
            assert await signer.adjust(refresh_credentials=True) == (asked[-1] != asked[-2])
    request = await signer.presign("get_object", {"Bucket": place.bucket, "Key": "0/url"}, expires_in=7200)
    assert request.expires_at <= (asked[-1].expires_at or NOW)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the minio package's own connections
async def test_a_session_of_an_aiobotocore_client(local_s3: LocalS3) -> None:
    from aiobotocore.session import get_session

    place = await make_bucket(local_s3)
    given = await anyio.to_thread.run_sync(assume_role, local_s3)
    keys = {"aws_access_key_id": given.access_key_id, "aws_secret_access_key": given.secret_access_key}
    client = get_session().create_client(
        "s3", region_name=local_s3.region, endpoint_url=local_s3.endpoint_url, aws_session_token=given.session_token, **keys
    )
    async with client as owner, Transfer(AiobotocoreSigner(owner)) as moving:
        await moving.upload(b"by URL", S3Object(place.bucket, "url"))
        await moving.upload_form(b"by form", S3Object(place.bucket, "form"))
        assert await stored(moving, place, "url") == b"by URL"
        assert await stored(moving, place, "form") == b"by form"


async def test_credentials_of_botocores_chain(place: Place) -> None:
    from botocore.session import Session

    session = Session()
    session.set_credentials(place.s3.credentials.access_key_id, place.s3.credentials.secret_access_key)
    signer = OfflineSigner(botocore_source(session), region=place.s3.region, endpoint_url=place.s3.endpoint_url)
    async with Transfer(signer) as moving:
        await moving.upload_form(b"content", S3Object(place.bucket, "chain"))
        assert await stored(moving, place, "chain") == b"content"


async def test_hoisted_metadata_is_stored_and_needs_no_header(place: Place, moving: Transfer) -> None:
    params = {"Bucket": place.bucket, "Key": "hoisted", "Metadata": {"name": "value"}}
    request = place.presigner().presign("put_object", params, hoist_headers="strict")
    assert request.headers == {}
    await moving.send(request, b"content")
    head = await moving.send(place.sign("head_object", "hoisted"))
    assert head.headers.get("x-amz-meta-name") == HOISTED_METADATA[place.s3.server]


async def test_additions_are_accepted(place: Place, moving: Transfer) -> None:
    params = {"Bucket": place.bucket, "Key": "added"}
    presigner = place.presigner()
    extra_headers = {"Content-Language": "de", "X-Amz-Meta-Added": "1"}
    await moving.send(presigner.presign("put_object", params, extra_query={"x-id": "Put"}, extra_headers=extra_headers), b"x")
    head = await moving.send(place.sign("head_object", "added"))
    assert head.headers["x-amz-meta-added"] == "1"


async def test_a_window_is_accepted(place: Place, moving: Transfer) -> None:
    await moving.upload(b"content", S3Object(place.bucket, "window"))
    request = place.presigner(signing_window=60).presign("get_object", {"Bucket": place.bucket, "Key": "window"})
    assert (await moving.download(request)).data == b"content"


# --- keys, byte by byte -----------------------------------------------------------------------------------------------

RESERVED = "!\"#$%&'()*+,-.:;<=>?@[]^_`{|}~"
KEYS = {
    **{f"reserved {character}": f"a{character}b" for character in RESERVED},
    "space": "a b  c",
    "spaces around": " a ",
    "plus": "a+b%2Bc",
    "percent": "100%25%zz%",
    "question": "what?a=b&c#d",
    "backslash": "a\\b",
    "NFC": "\u00fc",
    "NFD": "u\u0308",
    "Japanese": "日本語/ファイル",
    "emoji": "\U0001f600/\U0001f468\u200d\U0001f469",
    "Hebrew": "שלום",
    "DEL": "a\x7fb",
    "long": "x" * 200 + "/" + "ü" * 100,
    "dots": "a/.../b..c/.d",
    "encoded slash": "a%2Fb",
    "encoded dots": "%2e%2e/a",
    "double slash": "a//b",
    "leading slash": "/a",
    "trailing slash": "a/",
    "dot": "a/./b",
    "dot dot": "a/../b",
}
# Keys that a server cannot hold or names otherwise, whatever signs them (FACTS §1).
UNHELD = {
    "juicefs": {"leading slash", "trailing slash", "dot", "dot dot"},
    "seaweedfs": {"trailing slash", "dot", "dot dot"},
}


@dataclass
class Recorded:
    endpoint_url: str
    lines: list[bytes]


REQUEST_LINE = re.compile(rb"(?:GET|PUT|POST) \S+ HTTP/1\.1(?=\r\n)")


@asynccontextmanager
async def recording_proxy(target: str) -> AsyncIterator[Recorded]:
    """TCP passed on as it is; the request lines that go by are written down."""
    parts = urlsplit(target)
    lines: list[bytes] = []
    tasks: set[asyncio.Task[None] | None] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: bool) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                if record:
                    lines.extend(REQUEST_LINE.findall(data))
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        up_reader, up_writer = await asyncio.open_connection(parts.hostname, parts.port)
        async with anyio.create_task_group() as both:
            both.start_soon(pump, reader, up_writer, True)
            both.start_soon(pump, up_reader, writer, False)
        tasks.discard(asyncio.current_task())

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Recorded(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", lines)
    finally:
        server.close()
        with anyio.fail_after(10):
            while any(task is not None and not task.done() for task in tasks):
                await asyncio.sleep(0)


class Remembering(OfflineSigner):
    """It remembers what it signed, to compare with the wire."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.lines: list[bytes] = []

    async def presign(self, *arguments: Any, **options: Any) -> PresignedRequest:
        request = await super().presign(*arguments, **options)
        target = request.url.split("/", 3)[3]
        self.lines.append(f"{request.method} /{target} HTTP/1.1".encode())
        return request

    async def presign_post(self, *arguments: Any, **options: Any) -> PresignedPost:
        post = await super().presign_post(*arguments, **options)
        self.lines.append(f"POST /{post.url.split('/', 3)[3]} HTTP/1.1".encode())
        return post


# A form cannot say a control character.
@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name in KEYS for kind in ("upload", "upload_form") if (name, kind) != ("DEL", "upload_form")],
)
async def test_nasty_keys_go_up_and_come_down(place: Place, name: str, kind: str) -> None:
    key = f"{kind}/{name.replace('/', 'slash') if name.startswith('reserved') else name}/{KEYS[name]}"
    if name == "leading slash":
        key = f"/{kind}"
    content, refusal = f"{kind} {name}".encode(), ""
    async with recording_proxy(place.s3.endpoint_url) as proxy:
        signer = Remembering(place.s3.credentials, region=place.s3.region, endpoint_url=proxy.endpoint_url)
        async with Transfer(signer, retry=RetryPolicy(attempts=1)) as moving:
            try:
                await getattr(moving, kind)(content, S3Object(place.bucket, key))
                received = (await moving.download(S3Object(place.bucket, key))).data
            except ResponseError as error:
                received, refusal = None, error.code
            except IntegrityError:  # seaweedfs stores a folder for a key that ends in a slash, and gives back no bytes
                received = None
        assert proxy.lines == signer.lines
    assert refusal != "SignatureDoesNotMatch"
    assert (received == content) == (name not in UNHELD[place.s3.server]), received


# --- what a server's answer teaches -----------------------------------------------------------------------------------


async def up_and_down(moving: Transfer, place: Place, key: str) -> list[int]:
    """The attempts of an upload, a form and a download, whole as they are."""
    there = S3Object(place.bucket, key)
    results = [
        await moving.upload(b"content", there),
        await moving.upload_form(b"content", there),
        await moving.download(there),
    ]
    assert results[-1].data == b"content"
    return [result.attempts for result in results]


@pytest.mark.parametrize("hours", [-2, 2])
async def test_a_wrong_clock_is_corrected_by_the_servers(place: Place, hours: int) -> None:
    def clock() -> datetime:
        return datetime.now(UTC) + timedelta(hours=hours)

    async with Transfer(place.signer(clock=clock), edge=Edge(now=clock)) as moving:
        attempts = await up_and_down(moving, place, f"clock/{hours}")
        lenient = (place.s3.server, "dated ahead") in LENIENT and hours > 0
        assert attempts == ([1, 1, 1] if lenient else [2, 1, 1])


async def test_credentials_that_died_are_fetched_anew(place: Place) -> None:
    """They were rotated: the access key that the source gave first is known no more."""
    given = [place.s3.credentials, replace(place.s3.credentials, access_key_id="AKIDUNKNOWNUNKNOWN00")]
    async with Transfer(place.signer(credentials=given.pop)) as moving:
        assert await up_and_down(moving, place, "rotated") == [2, 1, 1]
    assert given == []
