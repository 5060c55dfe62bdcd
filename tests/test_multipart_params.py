"""Which request of a multipart upload takes which parameter: rows, and that none is ever lost."""

from __future__ import annotations

from typing import Any

import pytest

from asyncpresign import InvalidRequest
from asyncpresign._s3.multipart import ABORT, COMPLETE, CREATE, LIST, PART, share
from asyncpresign._s3.operations import lookup

# A parameter, and the requests that take it; none: it describes the whole.
ROWS: dict[str, tuple[str, ...]] = {
    "ACL": (CREATE,),
    "CacheControl": (CREATE,),
    "ContentType": (CREATE,),
    "Metadata": (CREATE,),
    "Tagging": (CREATE,),
    "StorageClass": (CREATE,),
    "ObjectLockMode": (CREATE,),
    "ServerSideEncryption": (CREATE,),
    "SSEKMSKeyId": (CREATE,),
    "SSECustomerAlgorithm": (CREATE, PART, COMPLETE, LIST),
    "SSECustomerKey": (CREATE, PART, COMPLETE, LIST),
    "SSECustomerKeyMD5": (CREATE, PART, COMPLETE, LIST),
    "RequestPayer": (CREATE, PART, COMPLETE, ABORT, LIST),
    "ExpectedBucketOwner": (CREATE, PART, COMPLETE, ABORT, LIST),
    "ChecksumAlgorithm": (CREATE, PART),
    "ChecksumType": (CREATE, COMPLETE),
    "IfNoneMatch": (COMPLETE,),
    "IfMatch": (COMPLETE,),
    "ContentLength": (),
    "ContentMD5": (),
    "ChecksumSHA256": (),
    "ChecksumCRC64NVME": (),
    "ChecksumXXHASH3": (),
}


@pytest.mark.parametrize(("name", "requests"), ROWS.items(), ids=ROWS.keys())
def test_who_takes_what(name: str, requests: tuple[str, ...]) -> None:
    shares = share({name: "value"})
    assert {request for request, params in shares.of.items() if name in params} == set(requests)
    assert dict(shares.whole) == ({} if requests else {name: "value"})


def test_every_parameter_of_put_object_is_taken_or_refused() -> None:
    refused = set()
    for name in lookup("put_object").parameters:
        try:
            shares = share({name: "value"})
        except InvalidRequest:
            refused.add(name)
        else:
            assert name in shares.whole or any(name in params for params in shares.of.values())
    # Appending is a PUT's only, the rest is what an item says by itself.
    assert refused == {"Body", "Bucket", "Key", "WriteOffsetBytes"}


@pytest.mark.parametrize("name", ["UploadId", "PartNumber", "MultipartUpload", "Nothing", 5])
def test_what_no_request_takes(name: Any) -> None:
    with pytest.raises(InvalidRequest, match="a parameter of an upload in parts") as caught:
        share({name: "value", "ContentTypes": "b", "ACL": "private"})
    assert [problem.argument for problem in caught.value.problems] == [f"params[{name!r}]", "params['ContentTypes']"]
    assert caught.value.problems[1].suggestion == "did you mean 'ContentType'?"


def test_params_are_a_mapping() -> None:
    with pytest.raises(InvalidRequest, match="a mapping"):
        share(["ACL"])  # type: ignore[arg-type]
