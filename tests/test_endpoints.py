"""Which host and path a bucket has; the vectors are compared with botocore's rules in test_botocore_differential."""

from __future__ import annotations

import unittest
from typing import Any

import pytest

from asyncpresign import UnsupportedRequest
from asyncpresign._s3.endpoints import EndpointOptions, option_problems, resolve

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
        "http://h/./a", "http://h/a/..", "http://h/../", 5, b"http://h", ["http://h"],
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


@pytest.mark.parametrize(
    "bucket",
    ["arn:aws:s3:eu-central-1:123456789012:accesspoint/point", "b--use1-az4--x-s3", "b--use1-az4--xa-s3", "alias--op-s3"],
)
def test_what_another_service_answers_to_is_refused(bucket: str) -> None:
    with pytest.raises(UnsupportedRequest, match=r"^bucket: "):
        resolve(EndpointOptions("eu-central-1"), bucket)


def test_other_servers_have_no_directory_buckets() -> None:
    assert resolve(EndpointOptions("eu-central-1", "http://h"), "b--x-s3").path == "/b--x-s3"
