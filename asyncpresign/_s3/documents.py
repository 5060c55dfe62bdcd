"""The bodies that S3 speaks: built for what is sent with a presigned request, read from what it answers.

`build_x` returns the body that operation `x` takes, `parse_x` reads the answer to it. A class here says by its fields what
is read and where it stands; the work is done in `xml`. Builders raise `InvalidRequest` with all that is wrong, parsers
when `body` is not the document that it should be; S3 may answer 200 with an `<Error>`, which `parse_error` reads.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from ..errors import InvalidRequest, Problem, describe
from .xml import Content, as_boolean, as_checksums, as_integer, as_key, as_time, as_word, element, read, text_problems, write

__all__ = [
    "BucketListing",
    "DeleteError",
    "DeleteResult",
    "DeletedObject",
    "ErrorDocument",
    "ListedBucket",
    "ListedObject",
    "ListedUpload",
    "ListedVersion",
    "Listing",
    "MismatchDocument",
    "Part",
    "PartListing",
    "StoredObject",
    "UploadListing",
    "VersionListing",
    "build_complete_multipart_upload",
    "build_create_bucket",
    "build_delete_objects",
    "build_tagging",
    "parse_complete_multipart_upload",
    "parse_copy",
    "parse_create_multipart_upload",
    "parse_delete_objects",
    "parse_error",
    "parse_list_buckets",
    "parse_list_multipart_uploads",
    "parse_list_object_versions",
    "parse_list_objects",
    "parse_list_objects_v2",
    "parse_list_parts",
    "parse_mismatch",
    "parse_tagging",
]

MAX_DELETED = 1000
"""How many objects one DeleteObjects takes."""

MAX_INITIATED = 16 * 1024
"""Bytes of an unreadable answer that are searched for an upload's id: more than a key and its envelope take."""

MAX_PART_NUMBER = 10_000
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html"""


# --- errors -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ErrorDocument:
    """S3's `<Error>`; what the server left out is an empty text."""

    code: str = element("Code", as_word, default="")
    message: str = element("Message", as_word, default="")
    request_id: str = element("RequestId", as_word, default="")
    region: str = element("Region", as_word, default="")
    endpoint: str = element("Endpoint", as_word, default="")


def parse_error(body: bytes) -> ErrorDocument | None:
    """The error in `body`, or None when it holds none: another document, HTML of a proxy, cut short, empty."""
    try:
        return read(ErrorDocument, "Error", body)
    except InvalidRequest:
        return None


@dataclass(frozen=True, slots=True)
class MismatchDocument:
    """What S3 says beyond that when a signature does not hold: the texts that it hashed. They can hold a session token."""

    error: ErrorDocument = element("", ErrorDocument)
    canonical_request: str = element("CanonicalRequest", default="")
    string_to_sign: str = element("StringToSign", default="")
    headers_not_signed: str = element("HeadersNotSigned", as_word, default="")


def parse_mismatch(body: bytes) -> MismatchDocument:
    return read(MismatchDocument, "Error", body)


# --- listings ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListedObject:
    """`key` is the exact key, decoded; `size` in bytes; `etag` with its quotes, as S3 writes it."""

    key: str = element("Key", as_key)
    size: int = element("Size", as_integer)
    etag: str = element("ETag", default="")
    last_modified: datetime | None = element("LastModified", as_time, default=None)
    storage_class: str = element("StorageClass", as_word, default="")


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of ListObjectsV2 or ListObjects. `next_token` is what the next call's ContinuationToken (Marker) has to be."""

    objects: tuple[ListedObject, ...] = element("Contents", ListedObject, many=True)
    common_prefixes: tuple[str, ...] = element("CommonPrefixes/Prefix", as_key, many=True)
    is_truncated: bool = element("IsTruncated", as_boolean, default=False)
    next_token: str | None = element("NextContinuationToken", default=None)


@dataclass(frozen=True, slots=True)
class _MarkedListing:
    objects: tuple[ListedObject, ...] = element("Contents", ListedObject, many=True)
    common_prefixes: tuple[str, ...] = element("CommonPrefixes/Prefix", as_key, many=True)
    is_truncated: bool = element("IsTruncated", as_boolean, default=False)
    next_marker: str | None = element("NextMarker", as_key, default=None)


@dataclass(frozen=True, slots=True)
class ListedVersion:
    """A version of an object, or a delete marker, which has no size and no ETag."""

    key: str = element("Key", as_key)
    version_id: str = element("VersionId")
    is_latest: bool = element("IsLatest", as_boolean, default=False)
    last_modified: datetime | None = element("LastModified", as_time, default=None)
    size: int | None = element("Size", as_integer, default=None)
    etag: str = element("ETag", default="")
    storage_class: str = element("StorageClass", as_word, default="")


@dataclass(frozen=True, slots=True)
class VersionListing:
    """A page of ListObjectVersions. The next call's KeyMarker and VersionIdMarker are the two `next_` fields."""

    versions: tuple[ListedVersion, ...] = element("Version", ListedVersion, many=True)
    delete_markers: tuple[ListedVersion, ...] = element("DeleteMarker", ListedVersion, many=True)
    common_prefixes: tuple[str, ...] = element("CommonPrefixes/Prefix", as_key, many=True)
    is_truncated: bool = element("IsTruncated", as_boolean, default=False)
    next_key_marker: str | None = element("NextKeyMarker", as_key, default=None)
    next_version_id_marker: str | None = element("NextVersionIdMarker", default=None)


@dataclass(frozen=True, slots=True)
class ListedBucket:
    name: str = element("Name")
    created: datetime | None = element("CreationDate", as_time, default=None)
    region: str = element("BucketRegion", as_word, default="")


@dataclass(frozen=True, slots=True)
class BucketListing:
    """A page of ListBuckets; `next_token` is the next call's ContinuationToken."""

    buckets: tuple[ListedBucket, ...] = element("Buckets/Bucket", ListedBucket, many=True)
    next_token: str | None = element("ContinuationToken", default=None)


def parse_list_objects_v2(body: bytes) -> Listing:
    return read(Listing, "ListBucketResult", body)


def parse_list_objects(body: bytes) -> Listing:
    """The next marker is the last name of the page: S3 says it only where there is a delimiter, others encode it wrongly."""
    page = read(_MarkedListing, "ListBucketResult", body)
    names = [*(listed.key for listed in page.objects[-1:]), *page.common_prefixes[-1:]]
    last = max(names, key=str.encode, default=page.next_marker) if page.is_truncated else None
    return Listing(page.objects, page.common_prefixes, page.is_truncated, last)


def parse_list_object_versions(body: bytes) -> VersionListing:
    return read(VersionListing, "ListVersionsResult", body)


def parse_list_buckets(body: bytes) -> BucketListing:
    return read(BucketListing, "ListAllMyBucketsResult", body)


# --- multipart uploads ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a multipart upload, as ListParts tells it and CompleteMultipartUpload wants it.

    `checksums` are digests in base64 by algorithm ("crc32", "sha256" ...).
    """

    part_number: int = element("PartNumber", as_integer)
    etag: str = element("ETag")
    size: int | None = element("Size", as_integer, default=None)
    last_modified: datetime | None = element("LastModified", as_time, default=None)
    checksums: Mapping[str, str] = element("", as_checksums, default_factory=dict)


@dataclass(frozen=True, slots=True)
class PartListing:
    """A page of ListParts; `next_part_number_marker` is the next call's PartNumberMarker."""

    parts: tuple[Part, ...] = element("Part", Part, many=True)
    is_truncated: bool = element("IsTruncated", as_boolean, default=False)
    next_part_number_marker: int | None = element("NextPartNumberMarker", as_integer, default=None)


@dataclass(frozen=True, slots=True)
class ListedUpload:
    key: str = element("Key", as_key)
    upload_id: str = element("UploadId")
    initiated: datetime | None = element("Initiated", as_time, default=None)
    storage_class: str = element("StorageClass", as_word, default="")


@dataclass(frozen=True, slots=True)
class UploadListing:
    """A page of ListMultipartUploads. The next call's KeyMarker and UploadIdMarker are the two `next_` fields."""

    uploads: tuple[ListedUpload, ...] = element("Upload", ListedUpload, many=True)
    common_prefixes: tuple[str, ...] = element("CommonPrefixes/Prefix", as_key, many=True)
    is_truncated: bool = element("IsTruncated", as_boolean, default=False)
    next_key_marker: str | None = element("NextKeyMarker", as_key, default=None)
    next_upload_id_marker: str | None = element("NextUploadIdMarker", default=None)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a completed upload or a copy made."""

    etag: str = element("ETag")
    last_modified: datetime | None = element("LastModified", as_time, default=None)
    checksums: Mapping[str, str] = element("", as_checksums, default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Initiated:
    upload_id: str = element("UploadId", as_word)


_UPLOAD_ID = re.compile(rb"[!-%'-;=?-~]{1,1024}")


def parse_create_multipart_upload(body: bytes) -> str:
    """The upload's id; also where the rest cannot be read, since an upload whose id is not known cannot be aborted."""
    try:
        return read(_Initiated, "InitiateMultipartUploadResult", body).upload_id
    except InvalidRequest:
        _, _, rest = (body if isinstance(body, bytes) else b"")[:MAX_INITIATED].partition(b"<InitiateMultipartUploadResult")
        upload_id, end, _ = rest.partition(b"<UploadId>")[2].partition(b"</UploadId>")
        if not end or not _UPLOAD_ID.fullmatch(upload_id.strip()):
            raise
        return upload_id.strip().decode("ascii")


def parse_list_parts(body: bytes) -> PartListing:
    return read(PartListing, "ListPartsResult", body)


def parse_list_multipart_uploads(body: bytes) -> UploadListing:
    return read(UploadListing, "ListMultipartUploadsResult", body)


def parse_complete_multipart_upload(body: bytes) -> StoredObject:
    return read(StoredObject, "CompleteMultipartUploadResult", body)


def parse_copy(body: bytes) -> StoredObject:
    """What CopyObject or UploadPartCopy made."""
    return read(StoredObject, "CopyObjectResult CopyPartResult", body)


def build_complete_multipart_upload(parts: Iterable[Part]) -> bytes:
    """`parts`, at least one and in any order, in the order of their numbers, which S3 wants."""
    given = list(parts)
    problems = [problem for index, part in enumerate(given) for problem in _part_problems(f"parts[{index}]", part)]
    if not given:
        problems.append(Problem("parts", "at least one part", "none"))
    if not problems and len({part.part_number for part in given}) < len(given):
        problems.append(Problem("parts", "parts of different numbers", "a number twice"))
    if problems:
        raise InvalidRequest(*problems)
    ordered = sorted(given, key=lambda part: part.part_number)
    return write("CompleteMultipartUpload", [("Part", _part(part)) for part in ordered])


def _part(part: Part) -> Content:
    digests: list[tuple[str, Content]] = [(f"Checksum{name.upper()}", digest) for name, digest in part.checksums.items()]
    return [("PartNumber", str(part.part_number)), ("ETag", part.etag), *digests]


def _part_problems(argument: str, part: object) -> list[Problem]:
    if not isinstance(part, Part):
        return [Problem(argument, "a Part", describe(part))]
    number = part.part_number
    valid = isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= MAX_PART_NUMBER
    problems = [] if valid else [Problem(f"{argument}.part_number", f"an int from 1 to {MAX_PART_NUMBER}", describe(number))]
    problems += text_problems(f"{argument}.etag", part.etag)
    for name, digest in part.checksums.items():
        if not (isinstance(name, str) and name.isascii() and name.isalnum()):
            problems.append(Problem(f"{argument}.checksums", "names of algorithms", describe(name)))
        problems += text_problems(f"{argument}.checksums[{name!r}]", digest)
    return problems


# --- buckets, deletion, tags ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeletedObject:
    """Some servers do not say which it was."""

    key: str = element("Key", default="")
    version_id: str | None = element("VersionId", default=None)
    is_delete_marker: bool = element("DeleteMarker", as_boolean, default=False)
    delete_marker_version_id: str | None = element("DeleteMarkerVersionId", default=None)


@dataclass(frozen=True, slots=True)
class DeleteError:
    code: str = element("Code", as_word, default="")
    message: str = element("Message", as_word, default="")
    key: str = element("Key", default="")
    version_id: str | None = element("VersionId", default=None)


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """What DeleteObjects did, object by object; a quiet one tells the errors only."""

    deleted: tuple[DeletedObject, ...] = element("Deleted", DeletedObject, many=True)
    errors: tuple[DeleteError, ...] = element("Error", DeleteError, many=True)


@dataclass(frozen=True, slots=True)
class _Tag:
    name: str = element("Key")
    value: str = element("Value")


@dataclass(frozen=True, slots=True)
class _Tagging:
    tags: tuple[_Tag, ...] = element("TagSet/Tag", _Tag, many=True)


def build_create_bucket(region: str) -> bytes:
    """For a bucket in `region`; empty for us-east-1, which S3 wants to be left unsaid."""
    if problems := text_problems("region", region):
        raise InvalidRequest(*problems)
    return b"" if region == "us-east-1" else write("CreateBucketConfiguration", [("LocationConstraint", region)])


def build_delete_objects(objects: Iterable[str | tuple[str, str | None]], *, quiet: bool = False) -> bytes:
    """1 to 1000 `objects`: keys, or pairs of a key and the id of the version to delete. `quiet` asks for errors only.

    A key that XML cannot hold is `InvalidRequest`: DeleteObject, one by one, takes any.
    """
    pairs = [(given, None) if isinstance(given, str) else given for given in objects]
    problems = [problem for index, pair in enumerate(pairs) for problem in _deletion_problems(f"objects[{index}]", pair)]
    if not 1 <= len(pairs) <= MAX_DELETED:
        problems.append(Problem("objects", f"from 1 to {MAX_DELETED} objects", str(len(pairs))))
    if problems:
        raise InvalidRequest(*problems)
    flag: list[tuple[str, Content]] = [("Quiet", "true")] if quiet else []
    return write("Delete", [*(("Object", _deletion(*pair)) for pair in pairs), *flag])


def _deletion(name: str, version_id: str | None) -> Content:
    return [("Key", name), *([] if version_id is None else [("VersionId", version_id)])]


def _deletion_problems(argument: str, pair: object) -> list[Problem]:
    match pair:
        case (str(name), None | str() as version_id):
            texts = [name, *([] if version_id is None else [version_id])]
            problems = [problem for value in texts for problem in text_problems(argument, value)]
            return problems if name else [Problem(argument, "a key of at least one character", "an empty str")]
        case _:
            return [Problem(argument, "a key, or a key and a version id", describe(pair))]


def parse_delete_objects(body: bytes) -> DeleteResult:
    return read(DeleteResult, "DeleteResult", body)


def build_tagging(tags: Mapping[str, str]) -> bytes:
    """For PutObjectTagging and PutBucketTagging."""
    if not isinstance(tags, Mapping):
        raise InvalidRequest(Problem("tags", "a mapping of names to values", describe(tags)))
    texts = [(f"tags[{name!r}]", text) for pair in tags.items() for name, text in ((pair[0], part) for part in pair)]
    if problems := [problem for argument, value in texts for problem in text_problems(argument, value)]:
        raise InvalidRequest(*problems)
    return write("Tagging", [("TagSet", [("Tag", [("Key", name), ("Value", value)]) for name, value in tags.items()])])


def parse_tagging(body: bytes) -> dict[str, str]:
    """What GetObjectTagging and GetBucketTagging answer."""
    return {tag.name: tag.value for tag in read(_Tagging, "Tagging", body).tags}
