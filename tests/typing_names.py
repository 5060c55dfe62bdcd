"""Only type-checked, never run: the public names have the types that the contract gives them, and wrong ones are errors.

Each `type: ignore` below is on an error that has to be there; an ignore that nothing needs is itself an error, in mypy
(`warn_unused_ignores`) and in pyright (`reportUnnecessaryTypeIgnoreComment`).
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import assert_type

import asyncpresign
from asyncpresign import (
    Check,
    CommonPrefix,
    Credentials,
    Directory,
    Download,
    Explanation,
    FormUpload,
    InspectedURL,
    InvalidRequest,
    Limits,
    LocalFileError,
    MissingExtra,
    ObjectInfo,
    OfflineSigner,
    PresignedPost,
    PresignedRequest,
    PresignedURLs,
    Presigner,
    PresignError,
    Problem,
    Response,
    ResponseError,
    RetryPolicy,
    S3Object,
    Signer,
    Transfer,
    TransferError,
    TransferReport,
    TransferResult,
    Upload,
    Verification,
    explain_url,
    inspect_url,
    verify_post,
    verify_url,
)
from asyncpresign.documents import Listing, Part, build_complete_multipart_upload, parse_list_objects_v2
from asyncpresign.testing import LocalS3, local_s3


def names() -> None:
    from asyncpresign import presigner  # type: ignore[attr-defined]

    asyncpresign.Presinger  # type: ignore[attr-defined]


def values(request: PresignedRequest, urls: PresignedURLs, post: PresignedPost) -> None:
    assert_type(Credentials("id", "secret", "token", datetime.now(UTC)), Credentials)
    assert_type(Credentials(access_key_id="id", secret_access_key="secret"), Credentials)
    assert_type(Credentials.from_env(), Credentials)
    assert_type(S3Object("bucket", "key", version_id="1"), S3Object)
    assert_type(S3Object.parse("s3://bucket/key"), S3Object)
    assert_type((request.method, request.url, request.expires_at), tuple[str, str, datetime])
    headers: Mapping[str, str] = request.headers
    assert_type(PresignedRequest.from_dict(request.to_dict()), PresignedRequest)
    assert_type(urls[0], str)
    assert_type((urls.method, urls.expires_at), tuple[str, datetime])
    assert_type((post.url, post.expires_at), tuple[str, datetime])
    fields: Mapping[str, str] = post.fields
    assert_type(post.html(), str)

    request.url = ""  # type: ignore[misc]
    Credentials("id")  # type: ignore[call-arg]
    Credentials("id", "secret", expires_at=3600)  # type: ignore[arg-type]


def signing(credentials: Credentials) -> None:
    presigner = Presigner(credentials, region="eu-central-1", endpoint_url="http://127.0.0.1:9000", addressing_style="path")
    assert_type(presigner.presign("get_object", {"Bucket": "bucket", "Key": "key"}), PresignedRequest)
    assert_type(
        presigner.presign("list_buckets", expires_in=timedelta(hours=1), signing_time=datetime.now(UTC)), PresignedRequest
    )
    assert_type(presigner.presign_urls("get_object", "bucket", ["key", S3Object("bucket", "key")]), PresignedURLs)
    assert_type(presigner.presign_post("bucket", "key", fields={"acl": "private"}, content_length_range=(0, 9)), PresignedPost)

    Presigner(credentials, use_dualstack=True, use_fips=True, use_accelerate=False, use_arn_region=False)

    Presigner()  # type: ignore[call-arg]
    OfflineSigner(credentials, regoin="eu-central-1")  # type: ignore[call-arg]
    Presigner(credentials, region="eu-central-1", addressing_style="host")  # type: ignore[arg-type]
    OfflineSigner(credentials, use_fips="yes")  # type: ignore[arg-type]
    presigner.presign("get_object", expires="1h")  # type: ignore[call-arg]
    presigner.presign("get_object", expires_in="1h")  # type: ignore[arg-type]
    presigner.presing("get_object")  # type: ignore[attr-defined]


def inspecting(credentials: Credentials, request: PresignedRequest, post: PresignedPost) -> None:
    said = inspect_url(request.url)
    assert_type(said, InspectedURL)
    assert_type((said.operation, said.seconds_left, said.signed_headers), tuple[str | None, float, tuple[str, ...]])
    held = verify_url(request.url, credentials, method="GET", headers=request.headers, tolerance=timedelta(0), region="x")
    assert_type(held, Verification)
    assert_type((held.ok, held.failures, held.expires_at), tuple[bool, tuple[Check, ...], datetime])
    assert_type(verify_post(post.fields, lambda _: credentials, bucket="bucket", size=1, filename="a"), Verification)
    assert_type(explain_url(request.url, credentials=credentials, error_xml=b"<Error/>"), Explanation)

    verify_url(request.url, credentials)  # type: ignore[call-arg]
    verify_post(post, credentials, bucket="bucket", size=1)  # type: ignore[arg-type]


async def signing_in_a_loop(credentials: Credentials) -> None:
    async with OfflineSigner(credentials, region="eu-central-1") as opened:
        assert_type(opened, OfflineSigner)
    signer: Signer = OfflineSigner(credentials, region="eu-central-1")
    assert_type(await signer.presign("put_object", {"Bucket": "bucket", "Key": "key"}), PresignedRequest)
    assert_type(await signer.presign_urls("head_object", "bucket", ("a", "b"), expires_in=60), PresignedURLs)
    assert_type(await signer.presign_post("bucket", "${filename}", conditions=[["starts-with", "$key", ""]]), PresignedPost)
    assert_type(await OfflineSigner(credentials, region="eu-central-1").presigner(), Presigner)

    signer.presign("get_object").url  # type: ignore[attr-defined]
    wrong: Signer = credentials  # type: ignore[assignment]


async def transferring(signer: Signer, request: PresignedRequest, post: PresignedPost, items: AsyncIterator[Download]) -> None:
    destination = S3Object("bucket", "key")
    Transfer(signer, limits=Limits(concurrency=8, per_host=4, bytes_per_second=1e6, requests_per_second=100, memory=1 << 20))
    async with Transfer(signer, concurrency=64, retry=RetryPolicy(attempts=3)) as transfer:
        assert_type(transfer, Transfer)
        assert_type(await transfer.download(request, Path("file")), TransferResult)
        assert_type(await transfer.download(request, Directory(Path("folder"), name="a/b")), TransferResult)
        assert_type(await transfer.download("https://example.org/?X-Amz-Signature=0", None), TransferResult)
        assert_type(await transfer.upload(b"bytes", destination), TransferResult)
        assert_type(await transfer.upload_form("file", post), TransferResult)
        response = await transfer.send(request, raise_for_status=False)
        assert_type(response, Response)
        assert_type((response.status, response.body), tuple[int, bytes])
        async with transfer.stream(items) as results:
            async for result in results:
                assert_type(result, TransferResult)
        mixed: Iterable[Download | Upload | FormUpload] = [
            Download(destination, Path("file")),
            Upload("file", destination),
            FormUpload(b"bytes", destination),
        ]
        assert_type(await transfer.run(mixed, fail_fast=True), TransferReport)
        report = await transfer.run(mixed, journal=Path("journal"), job="job", on_event=print)
        assert_type((report.retries["SlowDown"], report.slowest), tuple[int, list[TransferResult]])
        async for entry in transfer.list_objects("bucket", "prefix/", delimiter="/"):
            assert_type(entry, ObjectInfo | CommonPrefix)
        assert_type(await transfer.download_prefix("bucket", "", "root", include=["*.jpg"]), TransferReport)
        assert_type(await transfer.upload_tree(Path("root"), "bucket", "", exclude=("*~",), job="j"), TransferReport)
        await transfer.download_prefix("bucket", "", "root", jurnal="f")  # type: ignore[call-arg]

        await transfer.download(1, "file")  # type: ignore[arg-type]
        await transfer.downlaod(request, "file")  # type: ignore[attr-defined]
    Transfer(credentials=signer)  # type: ignore[call-arg]


def errors(invalid: InvalidRequest, extra: MissingExtra, response: ResponseError, local: LocalFileError) -> None:
    roots: list[PresignError] = [invalid, extra, response, local]
    value_error: ValueError = invalid
    import_error: ImportError = extra
    os_error: OSError = local
    transfer_error: TransferError = response
    assert_type(invalid.problems, tuple[Problem, ...])
    assert_type((response.status, response.code, response.request_id), tuple[int, str, str])
    network: ConnectionError = response  # type: ignore[assignment]


def speaking_xml(body: bytes) -> None:
    assert_type(parse_list_objects_v2(body), Listing)
    assert_type([(found.key, found.size) for found in parse_list_objects_v2(body).objects], list[tuple[str, int]])
    assert_type(build_complete_multipart_upload([Part(1, "etag", checksums={"crc32": "AAAAAA=="})]), bytes)
    build_complete_multipart_upload([(1, "etag")])  # type: ignore[list-item]


async def serving() -> None:
    async with local_s3() as s3:
        assert_type(s3, LocalS3)
        assert_type((s3.endpoint_url, s3.credentials, s3.region), tuple[str, Credentials, str])
    local_s3(server="minio")  # type: ignore[arg-type]
