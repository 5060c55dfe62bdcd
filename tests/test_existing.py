"""How an object that is there already is asked for, after a PUT or a multipart upload with `if_none_match` was refused."""

from __future__ import annotations

from typing import Any

import pytest

from asyncpresign import PreconditionFailed

from .fake_transport import Say
from .memory_s3 import MemoryS3, md5
from .test_multipart import DATA, small_sizes, up

CUSTOMER_KEY = bytes(range(32))


def names(s3: MemoryS3, operation: str) -> set[str]:
    """Of the headers and query parameters of the one such request, without those of every signature."""
    (request,) = s3.requests(operation)
    query = {pair.partition("=")[0] for pair in request.url.partition("?")[2].split("&")}
    return {name.lower() for name in (*request.headers, *query) if not name.startswith("X-Amz-")}


ENCRYPTION = {f"x-amz-server-side-encryption-customer-{name}" for name in ("algorithm", "key", "key-md5")}
PARAMS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "none": ({}, set()),
    "a payer and an owner": (
        {"RequestPayer": "requester", "ExpectedBucketOwner": "111122223333"},
        {"x-amz-request-payer", "x-amz-expected-bucket-owner"},
    ),
    "a customer's key, without which S3 refuses to look": (
        {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": CUSTOMER_KEY},
        ENCRYPTION,
    ),
    "what only an upload takes": ({"ContentType": "text/plain", "Metadata": {"a": "b"}, "StorageClass": "GLACIER"}, set()),
}


@pytest.mark.parametrize(("params", "expected"), PARAMS.values(), ids=PARAMS.keys())
@pytest.mark.parametrize("threshold", [1, 1000], ids=["parts", "put"])
async def test_it_is_asked_for_with_the_callers_parameters_that_a_head_takes(
    params: dict[str, Any], expected: set[str], threshold: int
) -> None:
    s3 = MemoryS3(objects={"key": DATA}, etags={"key": f'"{md5(DATA)}"'})
    result = await up(s3, params=params, if_none_match="*", sizes=small_sizes(threshold=threshold))
    assert (result.status, result.verified_by) == ("done", "md5")
    assert names(s3, "head") == {"x-amz-checksum-mode", *expected}


@pytest.mark.parametrize(
    "said", [Say(403), Say(404), Say(200, headers={"etag": f'"{md5(DATA)}"'}, announced=94)], ids=["403", "404", "size"]
)
async def test_what_cannot_be_the_same_is_the_refusal_that_it_was(said: Say) -> None:
    s3 = MemoryS3(objects={"key": DATA}, etags={"key": f'"{md5(DATA)}"'})
    s3.before["head"] = [said]
    with pytest.raises(PreconditionFailed):
        await up(s3, if_none_match="*", sizes=small_sizes(threshold=1000))
