"""What is signed for every kind of endpoint, byte for byte what botocore's clients sign, and refused where they refuse."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from .botocore_differences import ALIAS, DIRECTORY, Call, FormCall, Place, known_difference, ours, theirs

pytestmark = pytest.mark.oracle


def is_compared(call: Call | FormCall) -> bool:
    return known_difference(call) is None


POINT = "arn:aws:s3:us-west-2:123456789012:accesspoint/point"
BUCKETS = [
    "bucket",
    "my.dotted.bucket",
    "under_score",
    POINT,
    "arn:aws-us-gov:s3:us-gov-west-1:123456789012:accesspoint:point",
    "arn:aws-cn:s3:cn-north-1:123456789012:accesspoint:point",
    "arn:aws:s3-object-lambda:us-west-2:123456789012:accesspoint/point",
    "arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-01234567890123456/accesspoint/point",
    ALIAS,
]
NOT_BUCKETS = [f"{POINT}/more", "arn:aws:s3:us-west-2:123456789012:bucket/name", "arn:aws:s3", "arn:aws:sqs:us-west-2:1:queue"]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"use_dualstack": True},
    {"use_fips": True},
    {"use_fips": True, "use_dualstack": True},
    {"use_accelerate": True},
    {"use_accelerate": True, "use_dualstack": True},
    {"use_accelerate": True, "use_fips": True},
    {"use_arn_region": False},
    {"addressing_style": "path"},
    {"addressing_style": "path", "use_dualstack": True},
    {"addressing_style": "path", "use_accelerate": True},
    {"addressing_style": "auto", "endpoint_url": "https://s3.example.com"},
    {"addressing_style": "path", "endpoint_url": "http://S3.example.com:80/base"},
    {"addressing_style": "virtual", "endpoint_url": "http://s3.example.com:9000/base/"},
    {"addressing_style": "auto", "endpoint_url": "http://127.0.0.1:9000"},
]
REGIONS = ["us-east-1", "us-west-2", "us-gov-west-1", "cn-north-1"]
PLACES = [Place(region=region, session_token="token+/=", **options) for region, options in product(REGIONS, OPTIONS)]

FORM_BUCKETS = [bucket for bucket in BUCKETS if is_compared(FormCall(bucket, "key"))]


def calls(bucket: str, place: Place) -> list[Call]:
    object_ = {"Bucket": bucket, "Key": "a b/ü"}
    return [
        Call("get_object", {**object_, "VersionId": "v"}, place),
        Call("put_object", {**object_, "ContentType": "text/plain"}, place),
        Call("list_objects_v2", {"Bucket": bucket, "Prefix": "a/"}, place),
        Call("create_bucket", {"Bucket": bucket}, place),
        Call("get_bucket_location", {"Bucket": bucket}, place),
    ]


def assert_same(call: Call | FormCall) -> bool:
    """Whether both sign, and the same; when botocore refuses, so do we."""
    got, expected = ours(call), theirs(call)
    if expected.refusal is not None:
        assert got.refusal is not None, f"{call}: botocore refuses by {expected.refusal}, got {got.url}"
        return False
    assert got == expected, f"{call}\n  botocore: {expected}\n  we:       {got}"
    return True


@pytest.mark.parametrize("bucket", BUCKETS)
def test_urls_for_every_kind_of_endpoint_are_botocores(bucket: str) -> None:
    assert sum(assert_same(call) for place in PLACES for call in calls(bucket, place) if is_compared(call)) > 20


@pytest.mark.parametrize("bucket", NOT_BUCKETS)
def test_what_no_endpoint_has_is_refused_by_both(bucket: str) -> None:
    assert not any(assert_same(call) for place in PLACES for call in calls(bucket, place) if is_compared(call))


@pytest.mark.parametrize("bucket", FORM_BUCKETS)
def test_forms_for_every_kind_of_endpoint_are_botocores(bucket: str) -> None:
    compared = [FormCall(bucket, "key", {}, [], place) for place in PLACES]
    assert sum(map(assert_same, filter(is_compared, compared))) > 5


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("get_bucket_policy", {"Bucket": DIRECTORY}),
        ("delete_bucket", {"Bucket": DIRECTORY}),
        ("create_bucket", {"Bucket": DIRECTORY}),
        ("create_session", {"Bucket": DIRECTORY}),
        ("copy_object", {"Bucket": DIRECTORY, "Key": "key", "CopySource": "from/key"}),
        ("list_directory_buckets", {}),
        ("list_buckets", {}),
        ("write_get_object_response", {"RequestRoute": "route", "RequestToken": "token"}),
    ],
)
def test_operations_of_other_services_are_botocores(operation: str, params: dict[str, Any]) -> None:
    compared = [Call(operation, params, place) for place in PLACES if place.endpoint_url is None]
    assert sum(map(assert_same, filter(is_compared, compared))) > 10
