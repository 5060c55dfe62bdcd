"""botocore is the oracle of the bodies too: what we write says what it writes, what we read is what it reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest
from botocore import handlers
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign import documents
from asyncpresign.documents import Part

from .botocore_differences import session
from .test_documents import ANSWERS, xml_texts

pytestmark = pytest.mark.oracle


# botocore's serializer writes a carriage return as it is, which parsers read as a line feed; its clients mend some bodies.
texts = xml_texts.map(lambda text: text.replace("\r", "-"))


def written_by_botocore(operation: str, **params: Any) -> bytes:
    model = session().get_service_model("s3").operation_model(operation)
    body: bytes = create_serializer("rest-xml").serialize_to_request(params, model)["body"]
    return body


def read_by_botocore(operation: str, body: bytes) -> dict[str, Any]:
    shape = session().get_service_model("s3").operation_model(operation).output_shape
    answer = {"status_code": 200, "headers": {}, "body": body, "context": {"operation_name": operation}}
    parsed: dict[str, Any] = create_parser("rest-xml").parse(answer, shape)
    return parsed


def assert_alike(ours: bytes, theirs: bytes) -> None:
    assert ElementTree.canonicalize(ours.decode()) == ElementTree.canonicalize(theirs.decode())


# --- writing ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(texts, st.one_of(st.none(), texts)), min_size=1, max_size=4), st.booleans())
def test_deletions(objects: list[tuple[str, str | None]], quiet: bool) -> None:
    named = [{"Key": key, **({} if version is None else {"VersionId": version})} for key, version in objects]
    delete = {"Objects": named, **({"Quiet": True} if quiet else {})}
    theirs = written_by_botocore("DeleteObjects", Bucket="bucket", Delete=delete)
    assert_alike(documents.build_delete_objects(objects, quiet=quiet), theirs)


@given(st.dictionaries(st.integers(1, 10_000), st.tuples(texts, st.booleans()), min_size=1, max_size=4))
def test_completions(given_parts: dict[int, tuple[str, bool]]) -> None:
    parts = [Part(n, etag, checksums={"crc32": "A=="} if has else {}) for n, (etag, has) in given_parts.items()]
    named = [
        {"PartNumber": n, "ETag": etag, **({"ChecksumCRC32": "A=="} if has else {})}
        for n, (etag, has) in sorted(given_parts.items())
    ]
    upload = {"Parts": named}
    theirs = written_by_botocore("CompleteMultipartUpload", Bucket="b", Key="k", UploadId="u", MultipartUpload=upload)
    assert_alike(documents.build_complete_multipart_upload(parts), theirs)


@given(st.dictionaries(texts, texts, max_size=3))
def test_tags(tags: dict[str, str]) -> None:
    tagging = {"TagSet": [{"Key": name, "Value": value} for name, value in tags.items()]}
    assert_alike(documents.build_tagging(tags), written_by_botocore("PutBucketTagging", Bucket="bucket", Tagging=tagging))


def test_a_bucket_elsewhere() -> None:
    place = {"LocationConstraint": "eu-west-1"}
    theirs = written_by_botocore("CreateBucket", Bucket="bucket", CreateBucketConfiguration=place)
    assert_alike(documents.build_create_bucket("eu-west-1"), theirs)


# --- reading ----------------------------------------------------------------------------------------------------------

# Function, operation, then the paths of botocore's answer and of ours that have to be equal.
READ: list[tuple[str, str, dict[str, str]]] = [
    (
        "parse_list_objects_v2",
        "ListObjectsV2",
        {
            "Contents.Key": "objects.key",
            "Contents.Size": "objects.size",
            "Contents.ETag": "objects.etag",
            "Contents.LastModified": "objects.last_modified",
            "Contents.StorageClass": "objects.storage_class",
            "CommonPrefixes.Prefix": "common_prefixes",
            "IsTruncated": "is_truncated",
            "NextContinuationToken": "next_token",
        },
    ),
    ("parse_list_objects", "ListObjects", {"Contents.Key": "objects.key", "IsTruncated": "is_truncated"}),
    (
        "parse_list_object_versions",
        "ListObjectVersions",
        {
            "Versions.Key": "versions.key",
            "Versions.VersionId": "versions.version_id",
            "Versions.IsLatest": "versions.is_latest",
            "DeleteMarkers.Key": "delete_markers.key",
            "NextKeyMarker": "next_key_marker",
            "NextVersionIdMarker": "next_version_id_marker",
        },
    ),
    (
        "parse_list_buckets",
        "ListBuckets",
        {"Buckets.Name": "buckets.name", "Buckets.CreationDate": "buckets.created", "Buckets.BucketRegion": "buckets.region"},
    ),
    (
        "parse_list_parts",
        "ListParts",
        {
            "Parts.PartNumber": "parts.part_number",
            "Parts.ETag": "parts.etag",
            "Parts.Size": "parts.size",
            "NextPartNumberMarker": "next_part_number_marker",
        },
    ),
    (
        "parse_list_multipart_uploads",
        "ListMultipartUploads",
        {"Uploads.Key": "uploads.key", "Uploads.UploadId": "uploads.upload_id", "Uploads.Initiated": "uploads.initiated"},
    ),
    ("parse_complete_multipart_upload", "CompleteMultipartUpload", {"ETag": "etag"}),
    (
        "parse_delete_objects",
        "DeleteObjects",
        {
            "Deleted.Key": "deleted.key",
            "Deleted.VersionId": "deleted.version_id",
            "Deleted.DeleteMarker": "deleted.is_delete_marker",
            "Errors.Code": "errors.code",
            "Errors.Message": "errors.message",
        },
    ),
]
DECODE: dict[str, Callable[..., None]] = {
    "ListObjectsV2": handlers.decode_list_object_v2,
    "ListObjects": handlers.decode_list_object,
    "ListObjectVersions": handlers.decode_list_object_versions,
}


def at(found: Any, path: str) -> list[Any]:
    """All values at `path` that are there, of dicts or of dataclasses."""
    values = [found]
    for name in path.split("."):
        values = [value.get(name) if isinstance(value, dict) else getattr(value, name) for value in values]
        values = [one for value in values for one in (value if isinstance(value, list | tuple) else [value])]
        values = [value for value in values if value not in (None, "", False)]
    return values


def assert_read_alike(name: str, operation: str, paths: dict[str, str], body: bytes) -> None:
    theirs = read_by_botocore(operation, body)
    if operation in DECODE and b"<EncodingType>url" in body:
        DECODE[operation](parsed=theirs, context={"encoding_type_auto_set": True})
    ours = getattr(documents, name)(body)
    for their_path, our_path in paths.items():
        assert at(ours, our_path) == at(theirs, their_path), their_path


@pytest.mark.parametrize(("name", "operation", "paths"), READ, ids=[operation for _, operation, _ in READ])
def test_answers(name: str, operation: str, paths: dict[str, str]) -> None:
    bodies = [body.encode() for parser, body, _ in ANSWERS if parser == name]
    assert bodies
    for body in bodies:
        assert_read_alike(name, operation, paths, body)


@given(
    st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.integers(0, 2**40)), max_size=5),
    st.booleans(),
)
def test_listings_of_any_keys(objects: list[tuple[str, int]], encoded: bool) -> None:
    spell = quote_plus if encoded else (lambda key: escape("".join(letter for letter in key if letter.isprintable())))
    contents = "".join(f"<Contents><Key>{spell(key)}</Key><Size>{size}</Size></Contents>" for key, size in objects)
    kind = "<EncodingType>url</EncodingType>" if encoded else ""
    body = f"<ListBucketResult>{kind}{contents}</ListBucketResult>".encode()
    assert_read_alike("parse_list_objects_v2", "ListObjectsV2", READ[0][2], body)
