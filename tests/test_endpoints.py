"""Which host and path a bucket has; the vectors are compared with botocore's rules in test_botocore_differential."""

from __future__ import annotations

import unittest
from typing import Any

import pytest

from asyncpresign import InvalidRequest, UnsupportedRequest
from asyncpresign._s3.endpoints import EndpointOptions, option_problems, resolve
from asyncpresign._s3.operations import Trait

from .stdlib_only import cases, check_endpoint


@pytest.mark.parametrize(
    "case",
    cases("endpoints"),
    ids=lambda case: f"{case['endpoint_url'] or case['region']}-{case['bucket']}-{case['addressing_style']}",
)
def test_endpoint_vectors(case: dict[str, Any]) -> None:
    check_endpoint(unittest.TestCase(), case)


@pytest.mark.parametrize(
    ("endpoint_url", "key", "expected"),
    [
        (None, "a/b", "/a/b"),
        (None, "/a//b/", "//a//b/"),
        (None, "../x", "/../x"),
        (None, "//evil.example/x", "///evil.example/x"),
        (None, "https://evil.example/", "/https%3A//evil.example/"),
        ("http://h/base", "k", "/base/bucket/k"),
        ("http://h/base/", "?#%", "/base/bucket/%3F%23%25"),
    ],
)
def test_keys_are_joined_by_text(endpoint_url: str | None, key: str, expected: str) -> None:
    assert resolve(EndpointOptions("eu-central-1", endpoint_url), "bucket").object_path(key) == expected


@pytest.mark.parametrize("region", [None, "", "eu central", "eu/central", "-eu", "eu-", "ü", "a" * 64, 5, b"eu-central-1",
"eu-central-1\n", "eu.central",
                                    "aws-global", "aws-cn-global", "fips-us-east-1", "us-gov-west-1-fips",
                                    "s3-external-1"])  # fmt: skip
def test_regions_that_are_none(region: Any) -> None:
    [problem] = option_problems(EndpointOptions(region))
    assert problem.argument == "region"


@pytest.mark.parametrize("url", ["http://my_minio:9000", "http://_h", "http://h_", "http://a_b.c-d.e", "http://h.", "http://H.:80/a",
                                 "http://" + "a" * 63, "http://" + "a." * 127 + "b",
                                 "http://xn--bcher-kva.example", "http://a--b"])  # fmt: skip
def test_endpoints_of_any_name(url: str) -> None:
    assert option_problems(EndpointOptions("eu-central-1", url)) == []


@pytest.mark.parametrize("region", ["eu-central-1", "us-east-1", "auto", "garage", "xx-new-77", "1"])
def test_regions_of_any_server_are_taken(region: str) -> None:
    assert option_problems(EndpointOptions(region, "http://localhost:9000")) == []


@pytest.mark.parametrize(
    "url",
    [
        "", "localhost", "localhost:9000", "//localhost", "ftp://h", "http://", "http:///x", "http://:80", "http://h:0",
        "http://h:65536", "http://h:", "http://h:080",
        "http://h:x", "http://h?q", "http://h/?q=1", "http://h/#f", "http://u@h", "http://u:p@h", "http://[::1",
        "http://[zz]", "http://[1.2.3.4.5]", "http://a b",
        "http://h/a b", "http://h/ü", "http://ü", "http://h/%zz", "http://h/a\nb", "\nhttp://h", "http://h\n",
        "http://h/\\", "http://h//", "http://h/a//b",
        "http://h/./a", "http://h/a/..", "http://h/../", "http://-h", "http://h-", "http://a..b", "http://.h", "http://h..",
        "http://" + "a" * 64, "http://" + "a." * 128 + "b", 5, b"http://h", ["http://h"],
    ],
)  # fmt: skip
def test_endpoints_that_are_none(url: Any) -> None:
    [problem] = option_problems(EndpointOptions("eu-central-1", url))
    assert problem.argument == "endpoint_url"
    assert "u:p" not in str(problem), "an endpoint may hold a password"


@pytest.mark.parametrize(
    "url",
    [
        "http://h",
        "HTTP://h",
        "https://H:8443/",
        "http://h/a.b/.c/..d",
        "http://h/%2F/!$&'()*+,;=:@",
        "http://[::ffff:1.2.3.4]:1/x",
    ],
)
def test_endpoints_that_are(url: str) -> None:
    assert option_problems(EndpointOptions("eu-central-1", url)) == []


@pytest.mark.parametrize(
    ("style", "suggestion"),
    [
        ("virtul", "did you mean 'virtual'?"),
        ("Path", "did you mean 'path'?"),
        (None, ""),
        (["path"], "did you mean 'path'?"),
        ("zzz", ""),
    ],
)
def test_addressing_styles_that_are_none(style: Any, suggestion: str) -> None:
    [problem] = option_problems(EndpointOptions("eu-central-1", None, style))
    assert (problem.argument, problem.suggestion) == ("addressing_style", suggestion)


def test_all_problems_are_said() -> None:
    problems = option_problems(EndpointOptions("", "h", "x"))
    assert [problem.argument for problem in problems] == ["region", "addressing_style", "endpoint_url"]


def origin(bucket: str | None, *traits: Trait, region: str = "eu-central-1", **options: Any) -> str:
    """Where a bucket is and what it is signed for, of options without a problem."""
    chosen = EndpointOptions(region, **options)
    assert option_problems(chosen) == []
    endpoint = resolve(chosen, bucket, frozenset(traits))
    return f"{endpoint.url} {endpoint.service} {endpoint.region}"


POINT = "arn:aws:s3:us-west-2:123456789012:accesspoint/point"
OUTPOST = "arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-1/accesspoint/point"
LAMBDA = "arn:aws:s3-object-lambda:us-west-2:123456789012:accesspoint/point"
MULTI_REGION = "arn:aws:s3::123456789012:accesspoint/name.mrap"
DIRECTORY = "name--use1-az4--x-s3"


@pytest.mark.parametrize(
    ("bucket", "options", "expected"),
    [
        ("bucket", {"use_dualstack": True}, "https://bucket.s3.dualstack.eu-central-1.amazonaws.com/ s3 eu-central-1"),
        ("a.b", {"use_dualstack": True}, "https://s3.dualstack.eu-central-1.amazonaws.com/a.b s3 eu-central-1"),
        ("bucket", {"use_accelerate": True}, "https://bucket.s3-accelerate.amazonaws.com/ s3 eu-central-1"),
        (None, {"use_accelerate": True}, "https://s3.eu-central-1.amazonaws.com/ s3 eu-central-1"),
        (
            "bucket",
            {"use_fips": True, "use_dualstack": True, "region": "us-gov-west-1"},
            "https://bucket.s3-fips.dualstack.us-gov-west-1.amazonaws.com/ s3 us-gov-west-1",
        ),
        (POINT, {}, "https://point-123456789012.s3-accesspoint.us-west-2.amazonaws.com/ s3 us-west-2"),
        (
            POINT,
            {"addressing_style": "path", "use_fips": True},
            "https://point-123456789012.s3-accesspoint-fips.us-west-2.amazonaws.com/ s3 us-west-2",
        ),
        (POINT, {"endpoint_url": "http://h:1/base"}, "http://point-123456789012.h:1/base s3 us-west-2"),
        (LAMBDA, {}, "https://point-123456789012.s3-object-lambda.us-west-2.amazonaws.com/ s3-object-lambda us-west-2"),
        (OUTPOST, {}, "https://point-123456789012.op-1.s3-outposts.us-west-2.amazonaws.com/ s3-outposts us-west-2"),
        (OUTPOST, {"endpoint_url": "http://h:1/base"}, "https://point-123456789012.op-1.h:1/ s3-outposts us-west-2"),
    ],
)
def test_where_options_and_arns_lead(bucket: str | None, options: dict[str, Any], expected: str) -> None:
    assert origin(bucket, **options) == expected


@pytest.mark.parametrize(
    ("bucket", "trait", "expected"),
    [
        ("bucket", Trait.PATH_STYLE, "https://s3.eu-central-1.amazonaws.com/bucket s3 eu-central-1"),
        (None, Trait.OBJECT_LAMBDA, "https://s3-object-lambda.eu-central-1.amazonaws.com/ s3-object-lambda eu-central-1"),
        (None, Trait.EXPRESS_CONTROL, "https://s3express-control.eu-central-1.amazonaws.com/ s3express eu-central-1"),
        (
            DIRECTORY,
            Trait.EXPRESS_CONTROL,
            f"https://s3express-control.eu-central-1.amazonaws.com/{DIRECTORY} s3express eu-central-1",
        ),
        (
            DIRECTORY,
            Trait.NO_SESSION,
            f"https://{DIRECTORY}.s3express-use1-az4.eu-central-1.amazonaws.com/ s3express eu-central-1",
        ),
        ("bucket", Trait.EXPRESS_CONTROL, "https://bucket.s3.eu-central-1.amazonaws.com/ s3 eu-central-1"),
        ("bucket", Trait.CHECKSUM, "https://bucket.s3.eu-central-1.amazonaws.com/ s3 eu-central-1"),
    ],
)
def test_where_an_operations_traits_lead(bucket: str | None, trait: Trait, expected: str) -> None:
    assert origin(bucket, trait) == expected


@pytest.mark.parametrize(
    ("bucket", "trait", "text"),
    [
        (DIRECTORY, Trait.CHECKSUM, "bucket: .*session"),
        ("name--use1-az4--xa-s3", Trait.CHECKSUM, "bucket: .*session"),
        (MULTI_REGION, Trait.CHECKSUM, "bucket: .*SigV4A"),
        (POINT, Trait.NO_ACCESS_POINTS, "bucket: .*no access points"),
        (POINT, Trait.PATH_STYLE, "bucket: .*path style"),
    ],
)
def test_what_no_signer_signs_is_refused(bucket: str, trait: Trait, text: str) -> None:
    with pytest.raises(UnsupportedRequest, match=text):
        origin(bucket, trait)


def test_a_prefix_stands_before_the_host_as_it_is_and_as_it_is_signed() -> None:
    endpoint = resolve(EndpointOptions("eu-central-1", "http://Host:80/base"), None).behind("Route.")
    assert (endpoint.url, endpoint.host) == ("http://Route.Host:80/base", "route.host")
    with pytest.raises(UnsupportedRequest, match="endpoint_url: "):
        resolve(EndpointOptions("eu-central-1", "http://[::1]:9000"), None).behind("route.")


def test_no_arn_stands_before_an_address() -> None:
    with pytest.raises(UnsupportedRequest, match=r"bucket: .*address"):
        origin(POINT, endpoint_url="http://127.0.0.1:9000")


@pytest.mark.parametrize(
    "bucket", [DIRECTORY, "point--use1-az4--xa-s3", "test-accessp-o0b1d075431d83bebde8xz5w8ijx1qzlbp3i3kuse10--op-s3"]
)
def test_other_servers_read_nothing_out_of_a_name(bucket: str) -> None:
    assert origin(bucket, endpoint_url="http://h") == f"http://h/{bucket} s3 eu-central-1"


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"use_fips": True, "use_accelerate": True}, "use_fips"),
        ({"use_fips": True, "region": "cn-north-1"}, "use_fips"),
        ({"use_fips": True, "endpoint_url": "http://h"}, "use_fips"),
        ({"use_dualstack": True, "endpoint_url": "http://h"}, "use_dualstack"),
        ({"use_accelerate": True, "endpoint_url": "http://h"}, "use_accelerate"),
        ({"use_accelerate": True, "addressing_style": "path"}, "addressing_style"),
        ({"use_dualstack": True, "region": "eu-isoe-west-1"}, "use_dualstack"),
        ({"use_dualstack": True, "use_fips": True, "region": "us-isof-south-1"}, "use_dualstack"),
        ({"use_dualstack": True, "region": "us-isof-new-7"}, "use_dualstack"),
        ({"use_fips": "yes"}, "use_fips"),
        ({"use_dualstack": None}, "use_dualstack"),
        ({"use_accelerate": 1}, "use_accelerate"),
        ({"use_arn_region": "no"}, "use_arn_region"),
    ],
)
def test_options_that_are_wrong_or_exclude_each_other(options: dict[str, Any], argument: str) -> None:
    [problem] = option_problems(EndpointOptions(**{"region": "eu-central-1", **options}))
    assert problem.argument == argument


def test_all_that_exclude_each_other_are_said() -> None:
    problems = option_problems(
        EndpointOptions("cn-north-1", "http://h", use_fips=True, use_dualstack=True, use_accelerate=True)
    )
    assert [problem.argument for problem in problems] == ["use_fips", "use_dualstack", "use_accelerate", "use_fips", "use_fips"]


def test_an_arn_of_another_region_is_refused_when_the_signer_says_so() -> None:
    with pytest.raises(InvalidRequest, match="use_arn_region: expected True, or an ARN of the region 'eu-central-1'"):
        origin(POINT, use_arn_region=False)
    assert origin(POINT, region="us-west-2", use_arn_region=False).endswith(" s3 us-west-2")


ACCELERATED = "https://s3-accelerate.amazonaws.com"
OWN = "https://cdn.example.com/base"


@pytest.mark.parametrize(
    ("bucket", "options", "expected"),
    [
        ("bucket", {"endpoint_url": ACCELERATED}, "https://bucket.s3-accelerate.amazonaws.com/"),
        ("bucket", {"endpoint_url": f"{ACCELERATED}:443/"}, "https://bucket.s3-accelerate.amazonaws.com:443/"),
        ("bucket", {"endpoint_url": ACCELERATED.replace("te.", "te.dualstack.")},
         "https://bucket.s3-accelerate.dualstack.amazonaws.com/"),
        ("my.bucket", {"endpoint_url": ACCELERATED}, f"{ACCELERATED}/my.bucket"),
        ("bucket", {"endpoint_url": ACCELERATED, "addressing_style": "path"}, f"{ACCELERATED}/bucket"),
        ("bucket", {"endpoint_url": "https://s3-accelerate.example.com"}, "https://s3-accelerate.example.com/bucket"),
        ("bucket", {"endpoint_url": OWN, "bucket_endpoint": True}, OWN),
        ("bucket", {"endpoint_url": "https://bucket.s3.amazonaws.com", "bucket_endpoint": True}, "https://bucket.s3.amazonaws.com/"),
        ("b--use1-az4--x-s3", {"endpoint_url": OWN, "bucket_endpoint": True}, OWN),
        ("bucket", {"endpoint_url": "http://127.0.0.1:9000", "bucket_endpoint": True}, "http://127.0.0.1:9000/"),
        ("minio", {"endpoint_url": "http://minio:9000"}, "http://minio:9000/minio"),
        ("127", {"endpoint_url": "http://127.0.0.1:9000"}, "http://127.0.0.1:9000/127"),
        ("files", {"endpoint_url": "https://files.example.com", "addressing_style": "path"}, "https://files.example.com/files"),
        ("bucket", {"endpoint_url": "https://mybucket.example.com"}, "https://mybucket.example.com/bucket"),
        ("bucket", {"endpoint_url": "https://h/minio", "stripped_prefix": "/minio"}, "https://h/minio/bucket"),
        ("bucket", {"endpoint_url": "https://h/a/b/", "stripped_prefix": "/a/b"}, "https://h/a/b/bucket"),
        ("bucket", {"endpoint_url": "https://h.x/a", "stripped_prefix": "/a", "addressing_style": "virtual"}, "https://bucket.h.x/a/"),
        ("bucket", {"endpoint_url": "https://cdn.x/a", "stripped_prefix": "/a", "bucket_endpoint": True}, "https://cdn.x/a/"),
        (None, {"endpoint_url": "https://h/a", "stripped_prefix": "/a"}, "https://h/a/"),
    ],
)  # fmt: skip
def test_where_a_bucket_of_a_given_endpoint_is(bucket: str | None, options: dict[str, Any], expected: str) -> None:
    assert origin(bucket, **options) == f"{expected} s3 eu-central-1"


@pytest.mark.parametrize(
    ("bucket", "options"),
    [
        ("bucket", {"endpoint_url": "https://bucket.s3.eu-central-1.amazonaws.com"}),
        ("bucket", {"endpoint_url": "https://bucket.s3.amazonaws.com", "addressing_style": "path"}),
        ("bucket", {"endpoint_url": "https://Bucket.account.r2.cloudflarestorage.com:443/base", "addressing_style": "virtual"}),
        ("files.example.com", {"endpoint_url": "https://files.example.com"}),
        ("my.bucket", {"endpoint_url": "http://my.bucket.s3.test"}),
    ],
)
def test_a_bucket_that_is_in_the_endpoints_host_already_is_refused(bucket: str, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="bucket_endpoint=True"):
        origin(bucket, **options)
    if options.get("addressing_style") != "path":
        assert origin(bucket, bucket_endpoint=True, **options).startswith(options["endpoint_url"])


@pytest.mark.parametrize(
    "bucket",
    [
        "arn:aws:s3:us-east-1:12345:accesspoint:point",
        "arn:aws:s3:us-east-1:1234567890123:accesspoint:point",
        "arn:other:s3:us-east-1:123456789012:accesspoint:point",
        "arn:aws:s3-object-lambda:us-east-1:1:accesspoint/point",
        "arn:aws:s3-outposts:us-east-1:1:outpost/op-1/accesspoint/point",
    ],
)
def test_an_arn_that_no_account_of_aws_has_is_refused(bucket: str) -> None:
    with pytest.raises(InvalidRequest, match="an account of 12 digits"):
        origin(bucket)


@pytest.mark.parametrize("bucket", [None, POINT, MULTI_REGION])
def test_what_a_host_that_is_a_bucket_cannot_do(bucket: str | None) -> None:
    with pytest.raises(UnsupportedRequest):
        origin(bucket, endpoint_url=OWN, bucket_endpoint=True)


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({"bucket_endpoint": True}, ["bucket_endpoint"]),
        ({"bucket_endpoint": 1, "endpoint_url": OWN}, ["bucket_endpoint"]),
        ({"bucket_endpoint": True, "endpoint_url": OWN, "addressing_style": "path"}, ["addressing_style"]),
        ({"stripped_prefix": "/base"}, ["stripped_prefix"]),
        ({"stripped_prefix": None, "endpoint_url": OWN}, ["stripped_prefix"]),
        *(
            ({"stripped_prefix": prefix, "endpoint_url": OWN}, ["stripped_prefix"])
            for prefix in ("base", "/bas", "/base/x", "/", 5)
        ),
        ({"stripped_prefix": "/x", "endpoint_url": "https://h"}, ["stripped_prefix"]),
        ({"stripped_prefix": "/x", "bucket_endpoint": True}, ["bucket_endpoint", "stripped_prefix"]),
    ],
)
def test_options_that_do_not_fit_the_endpoint(options: dict[str, Any], arguments: list[str]) -> None:
    assert [problem.argument for problem in option_problems(EndpointOptions("eu-central-1", **options))] == arguments
