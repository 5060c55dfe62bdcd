"""Items and results: values whose reprs say what they are and hold nothing that grants access."""

from __future__ import annotations

import dataclasses
import io
import pickle
from datetime import UTC, datetime
from pathlib import Path

import pytest

from asyncpresign import (
    AccessDenied,
    Download,
    FormUpload,
    InvalidRequest,
    PresignedPost,
    PresignedRequest,
    Problem,
    S3Object,
    TransferResult,
    Upload,
)
from asyncpresign.transfer.items import Status

SECRET = "5ec2e7" * 10
URL = f"https://bucket.example.test/key?X-Amz-Credential=AKID%2Fscope&X-Amz-Security-Token={SECRET}&X-Amz-Signature={SECRET}"
END = datetime(2026, 11, 23, tzinfo=UTC)
GET = PresignedRequest("GET", URL, {"x-amz-meta-secret": SECRET}, END)
PUT = PresignedRequest("PUT", URL, {}, END)
POST = PresignedPost("https://bucket.example.test/", {"key": "k", "policy": SECRET, "x-amz-signature": SECRET}, END)
OBJECT = S3Object("bucket", "key")

SHOWN = {
    Download(OBJECT): "Download(source=s3://bucket/key)",
    Download(URL, "/tmp/a", size=3, id="7"): "destination='/tmp/a', size=3, id='7')",
    Download(GET, Path("/tmp/a")): "destination=PosixPath('/tmp/a'))",
    Upload(b"content " + SECRET.encode(), OBJECT): "Upload(source=<a bytes of length 68>, destination=s3://bucket/key)",
    Upload("/tmp/a", PUT): "Upload(source='/tmp/a', destination=PresignedRequest(PUT https://",
    Upload("/tmp/a", URL): "destination='https://bucket.example.test/key?X-Amz-Credential=...",
    FormUpload("/tmp/a", POST): "destination=PresignedPost(https://bucket.example.test/, fields=['key', 'policy'",
    FormUpload("/tmp/a", OBJECT, content_type="guess"): "content_type='guess')",
}


@pytest.mark.parametrize(("item", "part"), SHOWN.items(), ids=lambda value: type(value).__name__)
def test_a_repr_says_what_it_is_and_holds_no_secret(item: object, part: str) -> None:
    assert part in repr(item)
    for text in (repr(item), str(item), f"{item}", repr([item])):
        assert SECRET not in text


UNSHOWN = [
    Download(URL, io.BytesIO(SECRET.encode()), params={"SSECustomerKey": SECRET}),
    Download("http://me:" + SECRET + "@host/key"),
    Download(URL, id=URL),
    Download(URL.encode()),  # type: ignore[arg-type]
    Download(["x", URL]),  # type: ignore[arg-type]
    Upload(io.BytesIO(SECRET.encode()), URL),
    Upload(bytearray(SECRET.encode()), URL, params={"SSECustomerKey": SECRET}),
    Upload(memoryview(SECRET.encode()), URL),  # type: ignore[arg-type]
    Upload(URL, URL),
    Upload(Path(URL), URL),
    FormUpload("/tmp/a", OBJECT, fields={"x-amz-signature": SECRET}, conditions=[{"a": SECRET}], filename=URL),
    TransferResult(Download(URL), Status.DONE, 68, data=SECRET.encode()),
    TransferResult(Upload("/a", URL), Status.FAILED, error=AccessDenied("HTTP 403", request="PUT https://host/key")),
    TransferResult(Upload("/a", URL), Status.FAILED, error=InvalidRequest(Problem("url", "a URL", "another text"))),
]


@pytest.mark.parametrize("item", UNSHOWN, ids=lambda value: type(value).__name__)
def test_nothing_that_can_be_in_an_item_is_shown(item: object) -> None:
    for text in (repr(item), str(item), f"{item}", repr({"item": item})):
        assert SECRET not in text


def test_a_result_shows_how_it_ended() -> None:
    shown = repr(TransferResult(Download(OBJECT), Status.FAILED, attempts=3, error=AccessDenied("HTTP 403", attempts=3)))
    assert shown == (
        "TransferResult(item=Download(source=s3://bucket/key), status='failed', attempts=3, error=AccessDenied('HTTP 403'))"
    )


@pytest.mark.parametrize("item", [Download(URL, "/tmp/a"), Upload(b"x", OBJECT), FormUpload(b"x", POST)])
def test_items_are_frozen_values(item: Download | Upload | FormUpload) -> None:
    assert pickle.loads(pickle.dumps(item)) == item == dataclasses.replace(item)
    with pytest.raises(dataclasses.FrozenInstanceError):
        item.id = "x"  # type: ignore[misc]
    assert not hasattr(item, "__dict__")
