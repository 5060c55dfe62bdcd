"""`resolve_endpoint` against AWS's rule set, as botocore ships and evaluates it, and what its errors say."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice, product
from pathlib import Path
from typing import Any

import pytest

os.environ["BOTO_DISABLE_CRT"] = "true"

from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import EndpointProviderError
from botocore.loaders import Loader

from asyncpresign import InvalidRequest, UnsupportedRequest
from asyncpresign._s3 import _partitions_table
from asyncpresign._s3.arns import parse_arn, partition_of
from asyncpresign._s3.hosts import EndpointInputs
from asyncpresign._s3.rules import resolve_endpoint
from scripts import generate_partitions
from scripts.endpoint_cases import PARAMETERS, Answer, answer_of, expected_of

from .endpoint_differences import DIFFERENCES

# --- the product of inputs --------------------------------------------------------------------------------------------

REGIONS = [
    "us-east-1", "us-west-2", "eu-central-1", "ap-southeast-5", "mx-central-1", "aws-global", "s3-external-1",
    "cn-north-1", "cn-northwest-1", "aws-cn-global", "cn-new-7", "us-gov-west-1", "us-gov-east-1", "us-gov-new-7",
    "us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1", "us-isof-south-1", "eusc-de-east-1", "eusc-fr-east-1",
    "xx-nowhere-1", "us-east-11", "auto", "snow", "US-EAST-1", "us-east.special", "us_east-1", "-us", "",
]  # fmt: skip
NAMES = [
    None, "bucket", "my-bucket-1", "my.dotted.bucket", "Upper", "under_score", "ab", "a" * 63, "a" * 64, "192.168.1.1",
    "-start", "end-", "a..b", "9.a", "bucket!", "my bucket", "bücket", "a/b", "%2F", "ünicode--x-s3", ".", "a.b.",
]  # fmt: skip
EXPRESS = [
    "--x-s3", "x--x-s3", "bucket--use1-az4--x-s3", "bucket--apne1-az4--x-s3", "bucket--usw2-lax1-az1--x-s3",
    "bucket--abcd-efg1-az12--x-s3", "bucket--abcd-efgh-ijkl-az1--x-s3", "bucket--usaz1--x-s3", "my.bucket--use1-az4--x-s3",
    "Bucket--use1-az4--x-s3", "bucket--use1-az4--xa-s3", "point--apne1-az4--xa-s3", "point--usw2-lax1-az1--xa-s3",
    "my_point--use1-az4--xa-s3", "point--none--xa-s3", "a--b--c-d-e-f--x-s3", "bucket--use1-az4--X-S3",
]  # fmt: skip
# {point}{hardware}{17 of an Outpost's id}{20 more}{region's code}--op-s3
ALIASES = [
    "test-accessp-o0b1d075431d83bebde8xz5w8ijx1qzlbp3i3kuse10--op-s3",
    "test-accessp-o0b1d075431d83bebde8xz5w8ijx1qzlbp3i3kbeta0--op-s3",
    "161743052723-e00000136899934034jeahy1t8gpzpbwjj8kb7beta0--op-s3",
    "161743052723-e00000136899934034jeahy1t8gpzpbwjj8kb7use10--op-s3",
    "test-accessp-h0000075431d83bebde8xz5w8ijx1qzlbp3i3kuse10--op-s3",
    "test-accessp-o0b1d.75431d83bebde8xz5w8ijx1qzlbp3i3kuse10--op-s3",
    "test-accessp-o0b1de75431d83bebd/8xz5w8ijx1qzlbp3i3kbeta0--op-s3",
    "short--op-s3",
]
POINTS = [
    "accesspoint/point", "accesspoint:point", "accesspoint/point/more", "accesspoint:a:b:c", "accesspoint", "accesspoint/",
    "accesspoint/my_point", "accesspoint/my.point", "accesspoint/*", "accesspoint/a..b", "bucket", "bucket/name", ":point", "/",
    "", "outpost/op-1/accesspoint/point", "outpost:op-1:accesspoint:point", "outpost/op_1/accesspoint/point", "outpost",
    "outpost/op-1", "outpost/op-1/accesspoint", "outpost/op-1/bucket/name", "outpost/op-1/accesspoint/point/more",
    "outpost/op-1/accesspoint/a_b",
]  # fmt: skip
ARNS = [
    f"arn:{partition}:{service}:{region}:{account}:{point}"
    for service in ("s3", "s3-object-lambda", "s3-outposts")
    for point in POINTS
    for partition, region, account in (
        ("aws", "us-west-2", "123456789012"), ("aws", "", "123456789012"), ("aws-cn", "cn-north-1", "123456789012"),
        ("aws", "us_west", ""), ("aws", "us-east-1", "123_4"), ("aws-cn", "", "1"),
    )
]  # fmt: skip
ARNS += [
    "arn:", "arn:aws", "arn:aws:s3:us-west-2:1", "arn::s3:us-west-2:1:accesspoint/p", "arn:aws::us-west-2:1:accesspoint/p",
    "ARN:aws:s3:us-west-2:1:accesspoint/p", "arn:aws:s3:us-west-2:1:accesspoint/p--x-s3", "arn:aws:sqs::1:accesspoint/point",
    "arn:aws:sqs:us-west-2:123456789012:accesspoint/point", "arn:aws:sqs::123456789012:queue",
]  # fmt: skip
ENDPOINTS = [
    None, None, "https://s3.example.com", "http://s3.example.com", "https://s3.example.com/base", "http://minio:9000/a/b/",
    "https://s3.example.com:443/", "http://127.0.0.1:9000", "https://256.1.1.1", "https://10.0.0.1/base", "http://[::1]:9000", "https://S3.Example.COM:8443",
    "not a url",
]  # fmt: skip
SWITCHES = ["use_fips", "use_dualstack", "use_accelerate", "path_style"]
OTHERS = [name for name, value in EndpointInputs()._asdict().items() if isinstance(value, bool) and name not in SWITCHES]


def inputs_of_every_shape() -> Iterator[EndpointInputs]:
    """Every name with every endpoint and every setting of the switches; regions and all else by chance, which is seeded."""
    chance = random.Random(20261125)
    for names, rounds in ((NAMES, 12), (EXPRESS, 8), (ALIASES, 8), (ARNS, 1)):
        for name, endpoint, *switches in product(names, ENDPOINTS, *[(False, True)] * len(SWITCHES)):
            # Most options exclude each other: whatever is refused for that says no more when it is said often.
            if chance.random() > 0.12 and (sum(switches) > 1 or (endpoint and any(switches[:3]))):
                continue
            for _ in range(rounds):
                others = {option: chance.random() < (0.7 if option == "use_arn_region" else 0.2) for option in OTHERS}
                region = chance.choice(["us-west-2", *REGIONS] if names is not ARNS else ["us-west-2"] * 20 + REGIONS)
                yield EndpointInputs(region, name, endpoint, **dict(zip(SWITCHES, switches, strict=True)), **others)


# --- both asked -------------------------------------------------------------------------------------------------------


@cache
def provider() -> Any:
    loader = Loader()
    rules = loader.load_service_model("s3", "endpoint-rule-set-1")
    return EndpointProvider(rules, loader.load_data("partitions"))


def theirs(inputs: EndpointInputs) -> Answer | None:
    given = {name: getattr(inputs, ours) for name, ours in PARAMETERS.items()}
    given = {name: value for name, value in given.items() if value is not None and (name, value) != ("Region", "")}
    try:
        found = provider().resolve_endpoint(**given)
    except EndpointProviderError:
        return None
    return expected_of({"url": found.url, "headers": found.headers, "properties": found.properties})


def ours(inputs: EndpointInputs) -> Answer | str:
    """The answer, or the name of the input that is refused."""
    try:
        return answer_of(resolve_endpoint(inputs))
    except (InvalidRequest, UnsupportedRequest) as error:
        return str(error).partition(":")[0]


INPUTS = set(EndpointInputs._fields)


def compare(some: Iterable[EndpointInputs]) -> tuple[int, int, dict[str, int]]:
    """How many were asked, have an endpoint, and differ on purpose."""
    asked, answered, differing = 0, 0, dict.fromkeys((row.name for row in DIFFERENCES), 0)
    for inputs in some:
        got, expected = ours(inputs), theirs(inputs)
        refused = isinstance(got, str)
        asked, answered = asked + 1, answered + (not refused)
        assert not refused or got in INPUTS, "the error names no input"
        if got != expected and not (refused and expected is None):
            row = next((row for row in DIFFERENCES if row.applies(inputs)), None)
            assert row is not None, f"{inputs}: expected {expected}, got {got}"
            assert row.answers is not refused, row.name
            differing[row.name] += 1
    return asked, answered, differing


def test_one_answer_in_forty_is_that_of_the_rule_set() -> None:
    """On every Python; the oracle compares all."""
    asked, answered, _ = compare(islice(inputs_of_every_shape(), 0, None, 40))
    assert asked > 1000
    assert answered > 225


RARE = [
    *(EndpointInputs("us-west-2", alias, endpoint) for alias in ALIASES for endpoint in (None, "https://example.com")),
    *(
        EndpointInputs(region, "bucket", use_accelerate=True, use_dualstack=dualstack)
        for region in ("aws-global", "us-east-1", "eu-central-1", "cn-north-1")
        for dualstack in (False, True)
    ),
    *(
        EndpointInputs(region, bucket, use_global_endpoint=True, use_dualstack=dualstack)
        for region in ("aws-global", "us-east-1", "eu-central-1")
        for bucket in (None, "bucket")
        for dualstack in (False, True)
    ),
]


def test_answers_to_what_is_rarely_drawn_are_those_of_the_rule_set() -> None:
    """Aliases of Outposts, accelerated hosts and the global endpoint."""
    assert compare(RARE)[0] == len(RARE)


@pytest.mark.oracle
@pytest.mark.timeout(300)
def test_every_answer_is_that_of_the_rule_set() -> None:
    asked, answered, differing = compare(inputs_of_every_shape())
    print(f"{asked} inputs, of which {answered} have an endpoint; differing on purpose: {differing}")
    assert asked > 40_000
    assert answered > 9_000
    assert all(differing.values()), "a row without a case has to go"


# --- the table of partitions ------------------------------------------------------------------------------------------


def test_the_partitions_are_those_of_the_installed_botocore() -> None:
    assert Path(_partitions_table.__file__).read_text(encoding="utf-8") == generate_partitions.render()


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-central-1", "aws"), ("eu-new-7", "aws"), ("aws-global", "aws"), ("cn-north-1", "aws-cn"), ("cn-new-7", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"), ("us-iso-new-1", "aws-iso"), ("us-isob-new-1", "aws-iso-b"),
        ("eusc-de-x-1", "aws-eusc"), ("eusc-fr-x-1", "aws"), ("aws-cn-global", "aws-cn"), ("auto", "aws"), ("", "aws"),
    ],
)  # fmt: skip
def test_the_partition_of_a_region(region: str, partition: str) -> None:
    assert partition_of(region) == partition


# --- what the errors say ----------------------------------------------------------------------------------------------

POINT = "arn:aws:s3:us-west-2:123456789012:accesspoint/point"
OBJECT_LAMBDA = "arn:aws:s3-object-lambda:us-west-2:123456789012:accesspoint/point"
OUTPOST = "arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-1/accesspoint/point"
MULTI_REGION = "arn:aws:s3::123456789012:accesspoint:name.mrap"


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        ({"region": ""}, InvalidRequest, "region: expected an AWS region such as 'eu-central-1', got nothing"),
        ({"use_fips": True, "use_accelerate": True}, InvalidRequest, "use_fips: .* beside use_accelerate"),
        ({"use_fips": True, "region": "cn-north-1"}, InvalidRequest, "use_fips: .* China"),
        ({"use_dualstack": True, "endpoint_url": "http://h"}, InvalidRequest, "use_dualstack: .* endpoint_url"),
        ({"use_accelerate": True, "bucket": "my.bucket"}, UnsupportedRequest, "use_accelerate: .* one label"),
        ({"use_accelerate": True, "bucket": "bucket", "region": "cn-north-1"}, UnsupportedRequest, "use_accelerate: China"),
        ({"bucket": "arn:aws:s3"}, InvalidRequest, "bucket: expected an ARN, arn:partition:service:"),
        ({"bucket": "arn:aws:s3:::bucket"}, InvalidRequest, "got 'arn:aws:s3:::bucket'; a bucket goes by its name"),
        ({"bucket": "arn:aws:s3:::a-secret-in-the-wrong-place"}, InvalidRequest, "got a str of length 40"),
        ({"bucket": "arn:aws:sqs:us-west-2:1:queue"}, InvalidRequest, "access point of s3, s3-object-lambda or s3-outposts"),
        ({"bucket": POINT, "path_style": True}, UnsupportedRequest, "bucket: an ARN is part of the host"),
        ({"bucket": POINT, "no_access_points": True}, UnsupportedRequest, "bucket: this operation takes no access points"),
        ({"bucket": POINT, "use_arn_region": False}, InvalidRequest, "use_arn_region: .* 'eu-central-1', got 'us-west-2'"),
        ({"bucket": POINT, "region": "cn-north-1"}, InvalidRequest, "bucket: .* partition 'aws-cn'"),
        ({"bucket": f"{POINT}/more"}, InvalidRequest, "ends with the access point's name, got 'accesspoint/point/more'"),
        ({"bucket": POINT.replace("/point", "/my_point")}, InvalidRequest, "an access point's name .*, got 'my_point'"),
        ({"bucket": OBJECT_LAMBDA, "use_dualstack": True}, UnsupportedRequest, "use_dualstack: S3 Object Lambda"),
        ({"bucket": OUTPOST.replace("op-1", "op_1")}, InvalidRequest, "an Outpost's id of .*, got 'op_1'"),
        ({"bucket": OUTPOST.replace("accesspoint", "bucket")}, InvalidRequest, "ends in outpost/{id}/accesspoint/{name}"),
        ({"bucket": MULTI_REGION, "no_multi_region": True}, UnsupportedRequest, "switched off"),
        ({"bucket": MULTI_REGION, "region": "cn-north-1"}, InvalidRequest, "bucket: .* partition 'aws-cn'.*, got 'aws'"),
        ({"bucket": "name--nowhere--x-s3"}, InvalidRequest, "zone, such as 'name--use1-az4--x-s3', got 'name--nowhere--x-s3'"),
        ({"bucket": "my.name--use1-az4--x-s3"}, InvalidRequest, "bucket: expected a directory bucket"),
        ({"bucket": ALIASES[4]}, InvalidRequest, "hardware 'o' or 'e'.*, got 'h'"),
        ({"bucket": ALIASES[1]}, InvalidRequest, "endpoint_url: expected a URL"),
        ({"bucket": ALIASES[0], "use_fips": True}, UnsupportedRequest, "use_fips: S3 on Outposts"),
    ],
)  # fmt: skip
def test_an_error_names_the_input_and_says_what_would_do(given: dict[str, Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text) as caught:
        resolve_endpoint(EndpointInputs(**{"region": "eu-central-1", **given}))
    assert str(caught.value).partition(":")[0] in INPUTS


def test_everything_wrong_with_an_arn_is_said_at_once() -> None:
    with pytest.raises(InvalidRequest) as caught:
        resolve_endpoint(EndpointInputs("us-west-2", "arn:aws:s3:cn-north-1::accesspoint/my_point/more", use_arn_region=False))
    assert len(caught.value.problems) == 5


@pytest.mark.parametrize(
    "text", ["", "arn", "arn:::::", "arn::s3:r:1:a", "arn:aws::r:1:a", "arn:aws:s3:r:1:", "arn:aws:s3:r:1", "Arn:aws:s3:r:1:a"]
)
def test_what_is_no_arn(text: str) -> None:
    assert parse_arn(text) is None


def test_the_region_and_the_account_of_an_arn_may_be_left_out() -> None:
    assert parse_arn("arn:aws:s3:::a/b:c") == ("aws", "s3", "", "", ("a", "b", "c"))
