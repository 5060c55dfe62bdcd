"""What both are asked for: hypothesis strategies of valid calls for every operation, and a seeded stream of them.

A call is (operation, parameters, place): region, addressing style, endpoint, token, expiry and moment are the place's. Values
are the hostile ones: letters that encoders trip over, day borders, names that are nearly buckets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from asyncpresign._s3._operations_table import NAMES
from asyncpresign._s3.operations import Parameter, lookup

from .botocore_differences import MOMENT, Call, Place, known_difference

# Letters that some encoder treats as special, whole traps, and the rest of Unicode.
special = st.sampled_from(
    [*"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ ü€🎉\u0301\u2028\u00a0", "//", "/../", "/./", "%2F", "%zz", "a+b", "\x00", "\n"]
)
unicode = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
texts = st.one_of(st.lists(special, max_size=8).map("".join), unicode)
keys = texts.filter(bool)
# In headers botocore and we both take what HTTP can carry.
header_texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
moments = st.datetimes(
    datetime(1000, 1, 2),  # noqa: DTZ001 (hypothesis adds the zone)
    datetime(9999, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7, minutes=-30))]),
)
tokens = st.dictionaries(
    st.text("abcXYZ-_.019", min_size=1, max_size=8),
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"])),
    max_size=3,
)

ascii_texts = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=20)
versions = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=8)
source_buckets = st.one_of(
    st.sampled_from(
        [
            "from",
            "arn:aws:s3:eu-central-1:123456789012:accesspoint/point",
            "arn:aws-cn:s3-object-lambda:cn-north-1:123456789012:accesspoint:point",
            "arn:aws:s3-outposts:eu-central-1:123456789012:outpost/op-1/accesspoint/point",
            "arn:aws:s3-outposts::123456789012:outpost/op-1/accesspoint/point",
            "arn:aws:s3:eu-central-1:1:accesspoint/point",
            "arn:aws:s3:eu-central-1:123456789012:accesspoint/point/object",
            " arn:aws:s3:eu-central-1:123456789012:accesspoint/point",
        ]
    ),
    texts,
)
copy_sources = st.one_of(
    st.builds("{}/{}{}".format, source_buckets, texts, st.sampled_from(["", "?versionId=", "?versionId=v", "?versionId=a b"])),
    st.builds("{}/{}?versionId={}".format, source_buckets, texts, versions),
    st.fixed_dictionaries({"Bucket": source_buckets, "Key": texts}, optional={"VersionId": st.one_of(st.none(), versions)}),
)

KINDS: dict[str, st.SearchStrategy[Any]] = {
    "string": ascii_texts,
    "host-label": st.from_regex(r"(?!-)[a-z0-9-]{1,63}(?<!-)", fullmatch=True),
    "integer": st.integers(1 - 2**63, 2**63 - 1),
    "boolean": st.booleans(),
    "rfc822": moments,
    "iso8601": moments,
    "list": st.lists(ascii_texts, max_size=3),
    "map": tokens,
    "sse-c-key": st.one_of(header_texts, st.binary(max_size=33), st.binary(max_size=33).map(bytearray)),
    "copy-source": copy_sources,
}

buckets = st.sampled_from(
    [
        "bucket",
        "my-bucket-1",
        "my.dotted.bucket",
        "Upper",
        "under_score",
        "ab",
        "a" * 63,
        "a" * 64,
        "192.168.1.1",
        "-start",
        "end-",
        "a..b",
        "9.a",
    ]
)
regions = st.sampled_from(
    [
        "us-east-1", "us-east-2", "us-west-1", "eu-west-1", "eu-central-1", "ap-southeast-1", "ap-northeast-1",
        "sa-east-1", "me-central-1",
        "mx-central-1", "cn-north-1", "cn-northwest-1", "us-gov-west-1", "us-gov-east-1", "us-iso-east-1",
        "us-isob-east-1", "eu-isoe-west-1",
        "us-isof-south-1", "eusc-de-east-1", "xx-nowhere-1",
    ]
)  # fmt: skip
endpoints = st.sampled_from(
    [
        None, None, None, "http://localhost:9000", "http://127.0.0.1:9000", "https://s3.example.com",
        "https://s3.example.com/", "https://s3.example.com/base",
        "https://s3.example.com/base/path/", "https://s3.example.com:443", "http://s3.example.com:80",
        "http://s3.example.com:443", "https://S3.Example.COM:8443",
        "http://[::1]:9000", "https://[2001:DB8::1]", "http://[::1]:80/x", "https://abc.r2.cloudflarestorage.com",
        "http://minio:9000/a-1._~/b",
    ]
)  # fmt: skip
day_borders = st.sampled_from(
    [
        datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 3, 1, 0, 0, 0, tzinfo=UTC),
        datetime(2028, 2, 29, 0, 0, 0, 1, tzinfo=UTC),
        datetime(2026, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-11))),
        datetime(2027, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    ]
)


def has_options(place: Place) -> bool:
    """Whether botocore makes a client with other hosts there; for the smallest partitions it knows fewer than its own rules."""
    return place.endpoint_url is None and not place.region.startswith(("us-iso", "eu-iso", "eusc-"))


places = st.builds(
    Place,
    region=regions,
    endpoint_url=endpoints,
    addressing_style=st.sampled_from(["auto", "virtual", "path"]),
    session_token=st.one_of(
        st.none(), st.just("IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3QtMSJHMEUC+/=="), st.text("aZ09+/=%& ", min_size=1)
    ),
    moment=st.one_of(day_borders, moments.filter(lambda moment: moment.year < 9998)),
    expires_in=st.integers(1, 604_800),
    use_dualstack=st.sampled_from([False, False, True]),
    use_fips=st.sampled_from([False, False, True]),
).map(
    lambda place: replace(
        place,
        use_dualstack=place.use_dualstack and has_options(place),
        use_fips=place.use_fips and has_options(place) and not place.region.startswith("cn-"),
    )
)


OF_OBJECT_LAMBDA = "write_get_object_response"
# Where botocore makes up a value by chance when the caller gives none, there is nothing to compare without one.
ALWAYS = {("RenameObject", "ClientToken")}


def values_of(parameter: Parameter) -> st.SearchStrategy[Any]:
    if parameter.name in ("Bucket", "Key"):
        return buckets if parameter.name == "Bucket" else keys
    if parameter.minimum is not None:
        return st.integers(parameter.minimum, 2**63 - 1)
    return texts if parameter.place == "query" and parameter.kind == "string" else KINDS[parameter.kind]


def travelling(operation: str) -> list[Parameter]:
    return [parameter for parameter in lookup(operation).parameters.values() if parameter.place != "body"]


def is_needed(operation: str, parameter: Parameter) -> bool:
    return parameter.required or (lookup(operation).name, parameter.name) in ALWAYS


def parameters_of(operation: str) -> st.SearchStrategy[dict[str, Any]]:
    """Any of the operation's parameters that do not travel in the body, in any order."""
    known = travelling(operation)
    required = {parameter.name: values_of(parameter) for parameter in known if is_needed(operation, parameter)}
    optional = [parameter for parameter in known if not is_needed(operation, parameter)]
    chosen = st.lists(st.sampled_from(optional) if optional else st.nothing(), unique=True, max_size=6).flatmap(
        lambda some: st.fixed_dictionaries({parameter.name: values_of(parameter) for parameter in some})
    )
    together = st.tuples(st.fixed_dictionaries(required), chosen).map(lambda pair: {**pair[0], **pair[1]})
    return together.flatmap(lambda params: st.permutations(list(params.items())).map(dict))


def calls_of(operation: str) -> st.SearchStrategy[Call]:
    # S3 Object Lambda has no dualstack hosts, which both say.
    where = places.map(lambda place: replace(place, use_dualstack=False)) if operation == OF_OBJECT_LAMBDA else places
    return st.builds(Call, st.just(operation), parameters_of(operation), where, st.sampled_from([None, None, "HEAD", "PUT"]))


def cases(seed: int, n: int) -> Iterator[Call]:
    """`n` calls or a few more, the same for the same seed, as many of every operation, none with a deliberate difference."""
    for number, operation in enumerate(NAMES):
        yield from _drawn(calls_of(operation), seed + number, -(-n // len(NAMES)))


def _drawn(strategy: st.SearchStrategy[Call], seed: int, n: int) -> list[Call]:
    drawn: list[Call] = []

    @hypothesis.seed(seed)
    @settings(
        max_examples=n, database=None, deadline=None, derandomize=False, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @hypothesis.given(strategy.filter(lambda call: known_difference(call) is None))
    def draw(call: Call) -> None:
        drawn.append(call)

    draw()
    return drawn


def value_of(parameter: Parameter) -> Any:
    """One value of the parameter's kind."""
    of_kind = {
        "string": "a b/~", "host-label": "route-1",
        "integer": 7, "boolean": True, "rfc822": MOMENT, "iso8601": MOMENT, "list": ["a", "b,c"],
        "map": {"Name": "value"}, "sse-c-key": "k" * 32, "copy-source": {"Bucket": "from", "Key": "a b", "VersionId": "v"},
    }  # fmt: skip
    return {"Bucket": "bucket", "Key": "key"}.get(parameter.name, of_kind[parameter.kind])


def call_of(operation: str, *more: Parameter, place: Place | None = None) -> Call:
    """A call with what the operation needs, and `more`."""
    needed = [parameter for parameter in travelling(operation) if is_needed(operation, parameter)]
    return Call(operation, {parameter.name: value_of(parameter) for parameter in (*needed, *more)}, place or Place())
