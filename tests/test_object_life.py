"""The life of objects on real servers by presigned requests alone, from the bucket's birth to its end.

What a server cannot is a row of `LIMITS`, which is asserted too, so that it goes when the server learns it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asyncpresign import NotFound, PresignedRequest, Presigner, Response, ResponseError, RetryPolicy, Transfer
from asyncpresign._s3 import documents as xml
from asyncpresign._s3.operations import lookup
from asyncpresign.testing import LocalS3

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

LIMITS = {
    ("juicefs", "versions"): "the gateway answers 501 to versioning",
    ("juicefs", "acl"): "the gateway answers 501 to access control lists",
    ("juicefs", "deleted"): "the answer to DeleteObjects has no keys",
    ("juicefs", "folders"): "DeleteObjects leaves a key's folder behind, which is listed as an object",
}

DOCS = Path(__file__).parent.parent / "docs"
# Whatever keys are made of that XML, URLs and listings trip over.
KEYS = ["a b+c/%2F&<1>.txt", "a b+c/ü/\u2028.txt", "plain"]
PART = 5 << 20  # the least that S3 takes, but for the last
VERSIONED = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"


@dataclass(frozen=True)
class Life:
    """A bucket, and a way to ask for any operation on it."""

    s3: LocalS3
    bucket: str
    transfer: Transfer

    def sign(self, operation: str, **params: Any) -> PresignedRequest:
        presigner = Presigner(self.s3.credentials, region=self.s3.region, endpoint_url=self.s3.endpoint_url)
        bucket = {"Bucket": self.bucket} if "Bucket" in lookup(operation).parameters else {}
        return presigner.presign(operation, {**bucket, **params})

    async def do(self, operation: str, body: bytes | None = None, **params: Any) -> Response:
        return await self.transfer.send(self.sign(operation, **params), body)

    async def begin(self, key: str) -> str:
        return xml.parse_create_multipart_upload((await self.do("create_multipart_upload", Key=key)).body)

    async def keys(self) -> list[str]:
        return [found.key for found in xml.parse_list_objects_v2((await self.do("list_objects_v2")).body).objects]

    def is_limited(self, what: str) -> bool:
        return (self.s3.server, what) in LIMITS


@pytest.fixture(params=["local_s3", "local_s3_seaweedfs"], ids=["juicefs", "seaweedfs"])
def s3(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture
async def life(s3: LocalS3) -> AsyncIterator[Life]:
    async with Transfer(retry=RetryPolicy(attempts=2)) as transfer:
        made = Life(s3, f"life-{secrets.token_hex(6)}", transfer)
        await made.do("create_bucket", xml.build_create_bucket(s3.region) or None)
        yield made
        await made.do("delete_bucket")
        with pytest.raises(NotFound):
            await made.do("head_bucket")


async def test_a_bucket_is_listed(life: Life) -> None:
    listing = xml.parse_list_buckets((await life.do("list_buckets")).body)
    assert life.bucket in [bucket.name for bucket in listing.buckets]
    assert all(bucket.created for bucket in listing.buckets)


async def test_objects_are_stored_listed_page_by_page_copied_and_deleted_together(life: Life) -> None:
    for number, key in enumerate(KEYS):
        stored = await life.do("put_object", bytes(number), Key=key)
        assert (await life.do("head_object", Key=key)).headers["etag"] == stored.headers["etag"]
        copied = xml.parse_copy((await life.do("copy_object", Key=f"copy of {key}", CopySource=f"{life.bucket}/{key}")).body)
        assert copied.etag.strip('"') == stored.headers["etag"].strip('"')
    every = sorted([*KEYS, *(f"copy of {key}" for key in KEYS)], key=str.encode)

    for operation, parse, token in (
        ("list_objects_v2", xml.parse_list_objects_v2, "ContinuationToken"),
        ("list_objects", xml.parse_list_objects, "Marker"),
    ):
        assert [found.key async for found in pages(life, operation, parse, token)] == every
    sizes = {found.key: found.size async for found in pages(life, "list_objects", xml.parse_list_objects, "Marker")}
    assert [sizes[key] for key in KEYS] == [0, 1, 2]

    top = xml.parse_list_objects_v2((await life.do("list_objects_v2", Delimiter="/")).body)
    assert [found.key for found in top.objects] == ["copy of plain", "plain"]
    assert sorted(top.common_prefixes) == ["a b+c/", "copy of a b+c/"]

    gone = xml.parse_delete_objects((await life.do("delete_objects", xml.build_delete_objects(every))).body)
    assert [found.key for found in gone.deleted] == ([""] * len(every) if life.is_limited("deleted") else every)
    assert gone.errors == ()
    await assert_empty(life, "a b+c/ü/", "copy of a b+c/ü/")


async def assert_empty(life: Life, *folders: str) -> None:
    left = await life.keys()
    assert left == (list(folders) if life.is_limited("folders") else [])
    for key in left:
        await life.do("delete_object", Key=key)


async def pages(
    life: Life, operation: str, parse: Callable[[bytes], xml.Listing], token: str
) -> AsyncIterator[xml.ListedObject]:
    more: dict[str, str] = {}
    while True:
        page = parse((await life.do(operation, MaxKeys=4, **more)).body)
        assert len(page.objects) <= 4
        for found in page.objects:
            yield found
        if not page.is_truncated:
            return
        assert page.next_token
        more = {token: page.next_token}


async def test_the_example_of_the_docs(life: Life) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (DOCS / "operations.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(example, names := {})
    for key in ("a", "b & c"):
        await life.do("put_object", b"x", Key=key)
    presigner = Presigner(life.s3.credentials, region=life.s3.region, endpoint_url=life.s3.endpoint_url)
    assert await names["clear"](life.transfer, presigner, life.bucket) == ()
    assert await life.keys() == []


async def test_tags_come_and_go(life: Life) -> None:
    tags = {"colour": "red +-=._:/@", "empty": ""}
    await life.do("put_object", b"x", Key=KEYS[0], Tagging="a=1")
    for expected in ({"a": "1"}, tags):
        assert xml.parse_tagging((await life.do("get_object_tagging", Key=KEYS[0])).body) == expected
        await life.do("put_object_tagging", xml.build_tagging(tags), Key=KEYS[0])
    await life.do("delete_object_tagging", Key=KEYS[0])
    assert xml.parse_tagging((await life.do("get_object_tagging", Key=KEYS[0])).body) == {}
    await life.do("delete_object", Key=KEYS[0])


async def test_an_operation_that_demands_a_digest_without_a_body(life: Life) -> None:
    await life.do("put_object", b"x", Key="k")
    await unless_limited(life, "acl", life.do("put_object_acl", Key="k", ACL="private"))
    await life.do("delete_object", Key="k")


async def test_an_upload_in_parts_is_completed_and_another_aborted(life: Life) -> None:
    key = KEYS[1]
    await life.do("put_object", b"the end", Key="end")
    kept, dropped = [
        xml.parse_create_multipart_upload((await life.do("create_multipart_upload", Key=name)).body)
        for name in (key, "dropped")
    ]
    listed = xml.parse_list_multipart_uploads((await life.do("list_multipart_uploads")).body)
    assert {(upload.key, upload.upload_id) for upload in listed.uploads} == {(key, kept), ("dropped", dropped)}

    one = await life.do("upload_part", bytes(PART), Key=key, UploadId=kept, PartNumber=1)
    source = {"Bucket": life.bucket, "Key": "end"}
    two = xml.parse_copy((await life.do("upload_part_copy", Key=key, UploadId=kept, PartNumber=2, CopySource=source)).body)
    first = xml.parse_list_parts((await life.do("list_parts", Key=key, UploadId=kept, MaxParts=1)).body)
    assert (len(first.parts), first.is_truncated, first.next_part_number_marker) == (1, True, 1)
    rest = xml.parse_list_parts((await life.do("list_parts", Key=key, UploadId=kept, PartNumberMarker=1)).body)
    parts = (*first.parts, *rest.parts)
    assert [(part.part_number, part.size, part.etag.strip('"')) for part in parts] == [
        (1, PART, one.headers["etag"].strip('"')),
        (2, 7, two.etag.strip('"')),
    ]
    body = xml.build_complete_multipart_upload(reversed(parts))
    done = xml.parse_complete_multipart_upload((await life.do("complete_multipart_upload", body, Key=key, UploadId=kept)).body)
    assert done.etag.strip('"').endswith("-2")
    whole = await life.transfer.send(life.sign("get_object", Key=key), max_body=2 * PART)
    assert whole.body == bytes(PART) + b"the end"

    await life.do("abort_multipart_upload", Key="dropped", UploadId=dropped)
    with pytest.raises(NotFound):
        await life.do("list_parts", Key="dropped", UploadId=dropped)
    await life.do("delete_objects", xml.build_delete_objects([key, "end"], quiet=True))
    await assert_empty(life, "a b+c/ü/")


async def test_versions_are_listed_and_deleted_one_by_one(life: Life) -> None:
    if not await unless_limited(life, "versions", life.do("put_bucket_versioning", VERSIONED)):
        return
    key = KEYS[0]
    made = [(await life.do("put_object", body, Key=key)).headers["x-amz-version-id"] for body in (b"1", b"22")]
    marker = (await life.do("delete_object", Key=key)).headers["x-amz-version-id"]
    listing = xml.parse_list_object_versions((await life.do("list_object_versions", Prefix=key)).body)
    assert {(found.key, found.version_id, found.size, found.is_latest) for found in listing.versions} == {
        (key, made[0], 1, False),
        (key, made[1], 2, False),
    }
    assert [(found.key, found.version_id, found.is_latest) for found in listing.delete_markers] == [(key, marker, True)]
    assert (await life.do("get_object", Key=key, VersionId=made[0])).body == b"1"

    every = [(key, version) for version in (*made, marker)]
    gone = xml.parse_delete_objects((await life.do("delete_objects", xml.build_delete_objects(every))).body)
    assert {found.version_id or found.delete_marker_version_id for found in gone.deleted} == {*made, marker}
    assert xml.parse_list_object_versions((await life.do("list_object_versions")).body) == xml.VersionListing()


async def unless_limited(life: Life, what: str, doing: Coroutine[Any, Any, Response]) -> bool:
    """Whether the server could do it, which it has to but for a row of `LIMITS`."""
    if not life.is_limited(what):
        assert (await doing).status < 300
        return True
    with pytest.raises(ResponseError) as caught:
        await doing
    assert (caught.value.status, caught.value.code) == (501, "NotImplemented")
    return False
