"""Random calls, likely and unlikely ones: the stream that `scripts.compare_with_botocore` asks of asyncpresign and of botocore.

Nothing is left out here: endpoints that are no URL, regions that do not exist, credentials of odd characters, arguments of
another type, forms whose conditions have any shape. A call is a plain one with up to three twists. Everything is drawn from
one `random.Random`, so the same seed makes the same stream.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from asyncpresign._s3._operations_table import NAMES
from asyncpresign._s3._partitions_table import PARTITIONS
from asyncpresign._s3.forms import FIELDS
from asyncpresign._s3.operations import lookup

from .botocore_cases import ALWAYS, travelling, value_of
from .botocore_differences import ALIAS, DIRECTORY, MOMENT, Call, FormCall, Place

Random = random.Random
AnyCall = Call | FormCall

# --- strings ----------------------------------------------------------------------------------------------------------

PIECES = (
    *"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ aZ09üß€🎉\u0301\u2028\u00a0\u0130\t", "//", "/../", "/./", "../", "%2F", "%zz", "a+b",
    "  ", "${filename}", "\\$", "name", "name/",
)  # fmt: skip
CONTROLS = ("\x00", "\n", "\r\n", "\x1f", "\x7f", "\x85", "\ud800")


def text(chance: Random, most: int = 8) -> str:
    """A string that encoders trip over, seldom with control characters or a lone surrogate; empty, too."""
    pieces = chance.choices(PIECES, k=chance.randint(0, most))
    if chance.random() < 0.2:
        pieces.append(
            "".join(chr(chance.choice((chance.randrange(32, 0xD800), chance.randrange(0xE000, 0x110000)))) for _ in "ab")
        )
    if chance.random() < 0.05:
        pieces.insert(chance.randint(0, len(pieces)), chance.choice(CONTROLS))
    return "".join(pieces)


def ascii_text(chance: Random, most: int = 12) -> str:
    return "".join(chance.choices(string.ascii_letters + string.digits + string.punctuation + "  ", k=chance.randint(0, most)))


# --- places -----------------------------------------------------------------------------------------------------------

REGIONS = tuple(region for _, _, regions in PARTITIONS.values() for region in regions.split())
ODD_REGIONS = (
    "xx-nowhere-1", "us-new-7", "us-isof-new-9", "fips-us-east-1", "us-east-1-fips", "s3-external-1", "", "us_east-1",
    "US-EAST-1",
    "eu central", "-us", "us-east-1.special", "us-east-1/", "ü", "a" * 64, "us-east-1\n", "@", "*", "cn-new-1", "us-gov-new-1",
)  # fmt: skip
HOSTS = (
    "localhost", "127.0.0.1", "s3.example.com", "S3.Example.COM", "my_minio", "minio_1.internal", "_minio", "s3.example.com.",
    "[::1]", "[2001:DB8::1]", "[fe80::1%25eth0]", "[::ffff:127.0.0.1]", "[v1.a]", "[::1", "bücher.example",
    "xn--bcher-kva.example",
    "-minio", "minio-", "a..b", ".minio", "1.2.3", "0x7f.1", "256.1.1.1", "a.1", "minio~1", "minio%31", "s3 host", "",
    "*.minio",
    "bucket.s3.eu-central-1.amazonaws.com", "s3.eu-west-1.amazonaws.com", "s3-accelerate.amazonaws.com", "s3.amazonaws.com",
    "bucket.s3-accelerate.amazonaws.com", "bucket.vpce-1a2b3c4d-5e6f.s3.us-east-1.vpce.amazonaws.com",
    "abc.r2.cloudflarestorage.com",
    "storage.googleapis.com", "s3.us-west-004.backblazeb2.com", "a" * 64 + ".example", "minio\\x", "min!io", "minio'",
)  # fmt: skip
PORTS = (
    "",
    "",
    "",
    "",
    "",
    ":9000",
    ":9000",
    ":443",
    ":80",
    ":1",
    ":65535",
    ":65536",
    ":0",
    ":",
    ":08080",
    ":http",
    ":-1",
    ":80:80",
)
PATHS = (
    "", "", "", "", "", "", "/", "/", "/base", "/base/path/", "/a%2Fb", "/a%2fb", "/a//b", "/a/../b", "/a/./b", "/..", "//",
    "/ü", "/a b", "/a;b", "/a:b@c", "/a+b", "/a%zz", "/a'b(c)!*", "/a~_-.b", "/a$b&c=d,e", "/a|b", "/a\\b", "/base//", "/%41",
)  # fmt: skip
USERS = ("user:password@", "user@", ":@", "@", "user:pass:word@", "us%40er:p@ss@", "minio_user:x@")
ENDS = ("?x=y", "?", "#part", "#", " ", "\n", "?versionId=1")
SCHEMES = (
    "http://",
    "https://",
    "http://",
    "https://",
    "HTTP://",
    "Https://",
    "ftp://",
    "//",
    "",
    "s3://",
    "https:/",
    "https:",
)
IDS = (
    "minio/admin", "a/b/c", "user@example.com", "a b", " id", "id ", "a+b=", "ü", "", "id\n", "a,b", "a%2Fb", "=", "/", "..",
    "a&b?c#d",
    "GOOG1EXAMPLE", "rootuser", "tenant$user", "tenant:user", "a\tb", "ID" * 100, "a'b\"c", "a;b", "\ud800", "a\x00b",
)  # fmt: skip
SECRETS = ("", " ", "a b", "ü€🎉", "a/b+c=", "\n", "x" * 1000, "sec ret ", "\ud800", "a\x00b")
TOKENS = (
    "IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3QtMSJHMEUC+/==", "", " ", " token", "a b", "ü", "to\nken", "%2F", "a&b=c?d#e",
    "x" * 3000,
    "\ud800", "token\t", "a,b", "+", "~",
)  # fmt: skip
LIVES: tuple[Any, ...] = (
    1, 2, 604_799, 604_800, 604_801, 0, -1, 10**9, 10**18, 60.0, 0.5, "60", "", None, True, False, b"60",
    timedelta(minutes=1), float("nan"),
)  # fmt: skip
MOMENTS = (
    datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC), datetime(2028, 2, 29, 0, 0, 0, 1, tzinfo=UTC),
    datetime(2026, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-11))),
    datetime(2027, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    datetime(1, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, tzinfo=UTC), datetime(2100, 2, 28, tzinfo=UTC),
    datetime(9999, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
)  # fmt: skip
STYLES = ("auto", "virtual", "path")


def plain_url(chance: Random) -> str:
    host = chance.choice(
        ("localhost", "127.0.0.1", "s3.example.com", "[::1]", "my_minio", "S3.Example.COM", chance.choice(HOSTS))
    )
    return (
        chance.choice(("http://", "https://")) + host + chance.choice(("", "", ":9000")) + chance.choice(("", "", "/", "/base"))
    )


def odd_url(chance: Random) -> str:
    user = "" if chance.random() < 0.8 else chance.choice(USERS)
    end = "" if chance.random() < 0.9 else chance.choice(ENDS)
    host = chance.choice((*HOSTS, *("localhost", "127.0.0.1", "s3.example.com") * 3))
    scheme = chance.choice(SCHEMES) if chance.random() < 0.2 else chance.choice(SCHEMES[:6])
    return scheme + user + host + chance.choice((*PORTS, *[""] * 20)) + chance.choice(PATHS) + end


def place(chance: Random) -> tuple[Place, int]:
    """A place, and for how many calls: botocore has to make a client of its own for it, which takes as long as ten calls."""
    odd = chance.random() < 0.1
    region = chance.choice(ODD_REGIONS if odd else REGIONS)
    options = {
        "use_dualstack": chance.random() < 0.2,
        "use_fips": chance.random() < 0.2,
        "use_accelerate": chance.random() < 0.1,
        "use_arn_region": chance.random() < 0.8,
    }
    url = None
    if chance.random() < 0.5:
        plain = chance.random() < 0.5
        url = plain_url(chance) if plain else odd_url(chance)
        odd = odd or not plain
        if chance.random() < 0.95:
            options = {"use_arn_region": options["use_arn_region"]}
    return Place(region, url, chance.choice(STYLES), **options), 2 if odd else CALLS_A_PLACE


# --- parameters -------------------------------------------------------------------------------------------------------

BUCKETS = (
    "bucket", "bucket", "bucket", "my-bucket-1", "my.dotted.bucket", "Upper", "under_score", "ab", "a" * 63, "a" * 64,
    "192.168.1.1",
    "-start", "end-", "a..b", "9.a", "a", "", "my bucket", "ü", "%", "a/b", "/", "bucket/", "..", ".", "a" * 256, "a:b",
    "bucket\n",
    "name--x-s3", DIRECTORY, "name--use1-az4--xa-s3", ALIAS, "a--op-s3", "bucket-s3alias", "xn--bucket", "a?b", "a#b", "\ud800",
)  # fmt: skip
ARN_PARTS: tuple[tuple[str, ...], ...] = (
    ("arn", "arn", "arn", "arn", "arn", "ARN"),
    ("aws", "aws", "aws", "aws-cn", "aws-us-gov", "aws-iso", "xx", ""),
    ("s3", "s3", "s3-object-lambda", "s3-outposts", "s3express", "sqs", ""),
    (
        "eu-central-1",
        "eu-central-1",
        "us-west-2",
        "us-gov-west-1",
        "cn-north-1",
        "us-iso-east-1",
        "eu_central-1",
        "fips-us-east-1",
        "",
    ),
    ("123456789012", "123456789012", "123456789012", "12345678901", "ab_c", ""),
    ("accesspoint", "accesspoint", "outpost", "outpost", "bucket", ""),
)
ARN_ENDS = (
    "/point", ":point", "/point", "/point/object", "/po_int", "", "/", "/op-1/accesspoint/point", ":op-1:accesspoint:point",
    "/op-1",
    "/name.mrap", ":name.mrap", "/op-01234567890123456/accesspoint/my-point", "/op_1/accesspoint/point", "/point:x", "/Point",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    "text", "", 0, 1, -1, 2**63, 1.0, 0.5, True, False, None, b"bytes", b"", [], ["a"], {}, {"a": "b"}, ("a",), {"a"}, MOMENT,
    datetime(2020, 1, 1), "2020-01-01T00:00:00Z",  # noqa: DTZ001
    "Wed, 01 Jan 2020 00:00:00 GMT", "1577836800", 1577836800, object(), "1",
    "true", " ",
    bytearray(b"a"), timedelta(1), float("inf"), [1], [None], {"a": 1}, {1: "a"},
    "application/x-www-form-urlencoded; charset=utf-8",
)  # fmt: skip
METADATA_NAMES = (
    "a",
    "A",
    "Colour",
    "colour",
    "x-y",
    "two words",
    "",
    "ü",
    "a:b",
    "a\nb",
    "a_b",
    "a(b)",
    "=",
    "a.b",
    "~|",
    "é",
    "a/b",
)
METHODS = (
    None,
    "GET",
    "HEAD",
    "PUT",
    "POST",
    "DELETE",
    "PATCH",
    "OPTIONS",
    "head",
    "Put",
    "BREW",
    "",
    "GET ",
    "GE T",
    "G\n",
    "GÉT",
    5,
    b"GET",
)
OPERATIONS = (*NAMES, *("get_object", "put_object", "upload_part", "copy_object", "head_object", "list_objects_v2") * 12)


def arn(chance: Random) -> str:
    if chance.random() < 0.3:
        return ":".join(map(chance.choice, ARN_PARTS)) + chance.choice(ARN_ENDS)
    partition, region = chance.choice(
        (("aws", "eu-central-1"), ("aws", "us-west-2"), ("aws-us-gov", "us-gov-west-1"), ("aws-cn", "cn-north-1"))
    )
    service, end = chance.choice(
        (("s3", "point"), ("s3-object-lambda", "point"), ("s3-outposts", "point"), ("s3", "my-point-2"))
    )
    kind = "outpost/op-01234567890123456/accesspoint" if service == "s3-outposts" else "accesspoint"
    return f"arn:{partition}:{service}:{region}:123456789012:{kind}{chance.choice('/:')}{end}"


def bucket(chance: Random) -> str:
    drawn = chance.random()
    if drawn > 0.6:
        return chance.choice(BUCKETS[:12])
    return arn(chance) if drawn < 0.2 else text(chance, 4) if drawn < 0.26 else chance.choice(BUCKETS)


def key(chance: Random) -> str:
    return text(chance) or chance.choice(("key", "", "a" * 1024, "a" * 1025, "é" * 512, "é" * 513, ".", "..", "/", "//"))


def header(chance: Random) -> str:
    return ascii_text(chance) if chance.random() < 0.6 else text(chance)


def metadata(chance: Random) -> dict[Any, Any]:
    names = chance.choices(METADATA_NAMES, k=chance.randint(0, 3))
    return {name: chance.choice((header(chance), header(chance), header(chance), chance.choice(VALUES))) for name in names}


def copy_source(chance: Random) -> Any:
    source = bucket(chance), text(chance), chance.choice(("", "v", "a b", "null", text(chance)))
    if chance.random() < 0.5:
        return f"{source[0]}/{source[1]}" + chance.choice(("", f"?versionId={source[2]}"))
    whole = {"Bucket": source[0], "Key": source[1], "VersionId": source[2], "VersionID": "v", "More": 1}
    return {name: whole[name] for name in chance.sample(list(whole), chance.randint(1, 4))}


def a_moment(chance: Random) -> datetime:
    return MOMENT.replace(tzinfo=timezone(timedelta(minutes=chance.randrange(-800, 800)))) + timedelta(
        seconds=chance.uniform(-1e9, 1e9)
    )


OF_KIND: Mapping[str, Callable[[Random], Any]] = {
    "string": header,
    "host-label": lambda chance: chance.choice(("route-1", "a", "-a", "a.b", "A_B", "", "a" * 64, "ü")),
    "integer": lambda chance: chance.choice((0, 1, 7, 10_000, 10_001, -1, 2**31, 2**63 - 1)),
    "boolean": lambda chance: chance.random() < 0.5,
    "rfc822": a_moment,
    "iso8601": a_moment,
    "list": lambda chance: [header(chance) for _ in range(chance.randint(0, 3))],
    "map": metadata,
    "sse-c-key": lambda chance: chance.choice(("k" * 32, b"k" * 32, header(chance), b"a", "", b"\xff" * 32)),
    "copy-source": copy_source,
}  # fmt: skip


ODD_OF_KIND: Mapping[str, tuple[Any, ...]] = {
    "string": ("application/x-www-form-urlencoded; charset=utf-8", "", None, 5, b"a"),
    "host-label": ("a" * 64, "-a", "a.b", 5),
    "integer": (True, False, 2**63, 1.0, "1"),
    "boolean": ("true", 1, None),
    "rfc822": (datetime(2020, 1, 1), "2020-01-01", "Wed, 01 Jan 2020 00:00:00 GMT", 1577836800, MOMENT.date()),  # noqa: DTZ001
    "iso8601": (datetime(2020, 1, 1), "2020-01-01", 1577836800.5, MOMENT.date()),  # noqa: DTZ001
    "list": (("a",), "a", [5], {"a": "b"}),
    "map": ({"Colour": "a", "colour": "b"}, {"two words": "a"}, {"a": "ü"}, {"a": "b\n"}, {"": "a"}),
    "sse-c-key": (b"k" * 32, bytearray(b"k"), 5),
    "copy-source": ({"Bucket": "from", "Key": "key", "VersionID": "v"}, "from", {"Key": "key"}, 5),
}


def with_odd_values(chance: Random, call: AnyCall) -> AnyCall:
    """A call whose values may all be ones that are nearly of their kind."""
    if isinstance(call, FormCall):
        return call
    known = lookup(call.operation).parameters
    odd = {
        name: chance.choice(ODD_OF_KIND[known[name].kind])
        for name in call.params
        if name in known and known[name].place != "body"
    }
    kept = [name for name in odd if name in ("Bucket", "Key") or chance.random() < 0.5]
    return with_params(call, **{name: value for name, value in odd.items() if name not in kept})


def plain_call(chance: Random, where: Place) -> Call:
    operation = chance.choice(OPERATIONS)
    known = travelling(operation)
    always = [one for one in known if one.required or (lookup(operation).name, one.name) in ALWAYS]
    others = [one for one in known if one not in always]
    if chance.random() < 0.3:
        always = [one for one in always if (lookup(operation).name, one.name) not in ALWAYS]
    chosen = [*always, *chance.sample(others, min(len(others), chance.choice((0, 0, 1, 1, 2, 3))))]
    chance.shuffle(chosen)
    params = {
        one.name: value_of(one) if chance.random() < 0.3 or one.name == "Bucket" else OF_KIND[one.kind](chance)
        for one in chosen
    }
    if "Key" in params:
        params["Key"] = key(chance)
    # A client that validates refuses an operation whose body is missing, whatever else there is to compare.
    validated = chance.random() < (0.2 if lookup(operation).body == "required" else 0.9)
    return Call(operation, params, where, validated=validated)


# --- forms ------------------------------------------------------------------------------------------------------------

FIELD_NAMES = (
    *("acl", "Content-Type", "x-amz-meta-a", "Cache-Control", "tagging", "success_action_redirect", "note",
    "x-amz-storage-class") * 10,
    *(one.name.replace("*", "name") for one in FIELDS), "acl", "ACL", "Content-Type", "content-type", "x-amz-meta-a",
    "X-Amz-Meta-A",
    "success_action_status", "note", "", "two words", "ü", "a\nb",
    'a"b', "x-amz-meta-ü", "Key", "submit", "AWSAccessKeyId", "Policy",
)  # fmt: skip
OPERATORS = (
    "eq",
    "eq",
    "starts-with",
    "starts-with",
    "EQ",
    "StArTs-WiTh",
    "ends-with",
    "",
    "content-length-range",
    "Content-Length-Range",
    5,
)
BOUNDS: tuple[Any, ...] = (
    0,
    1,
    10,
    5 * 2**30,
    5 * 2**40,
    -1,
    "0",
    "10485760",
    "1e3",
    " 1",
    "",
    1.0,
    0.5,
    True,
    None,
    2**64,
    "٣",
    [1],
    "007",
    "+1",
)
FIELD_STRINGS = ("a,b", "image/png,image/gif", "AAAA", "${filename}", "a/${filename}", "")
FIELD_VALUES: tuple[Any, ...] = (5, True, None, b"a", ["a"], {"a": "b"}, 1.5, MOMENT)


def field_value(chance: Random, name: Any = "") -> Any:
    if chance.random() < 0.04:
        return chance.choice(FIELD_VALUES)
    if name == "success_action_status" and chance.random() < 0.8:
        return chance.choice(("200", "201", "204", "303"))
    return chance.choice((header(chance), "private", "image/png", "image/gif", "text", "b", chance.choice(FIELD_STRINGS)))


def condition(chance: Random, given: Mapping[str, Any]) -> Any:
    name = chance.choice((*given, *given, *given, chance.choice(FIELD_NAMES), "bucket", "key"))
    value = given.get(name, field_value(chance, name)) if chance.random() < 0.8 else field_value(chance, name)
    beginning = value[: chance.randint(0, 3)] if isinstance(value, str) and chance.random() < 0.8 else value
    shape = chance.random()
    if shape < 0.3:
        return {name: value}
    if shape < 0.5:
        return ["starts-with", f"${name}", beginning]
    if shape < 0.65:
        return ["eq", f"${name}", value]
    if shape < 0.8:
        bounds = (
            sorted((chance.randrange(10**4), chance.randrange(10**7))) if chance.random() < 0.5 else chance.choices(BOUNDS, k=2)
        )
        return ["content-length-range", *bounds]
    operator = chance.choice(OPERATORS)
    return chance.choice((
        (operator, f"${name}", value), [operator, f"${name}", beginning], [operator, name, value], [operator], [operator,
        f"${name}"], [],
        [operator, f"${name}", value, value], {}, {name: value, "acl": "private"}, "eq", None, 5, [["eq"], "$key", ""],
        {5: "a"},
        ["eq", ["$key"], "a"], ["eq", f"${str(name).upper()}", value], ["eq", "$", ""], [operator, 5, 6], ["starts-with",
        f"${name}", ""],
    ))  # fmt: skip


def plain_form(chance: Random, where: Place) -> FormCall:
    names = chance.choices(FIELD_NAMES, k=chance.choice((0, 0, 1, 1, 2, 3)))
    given = {name: field_value(chance, name) for name in names}
    covering = [
        chance.choice(({name: value}, ["eq", f"${name}", value], ["starts-with", f"${name}", ""]))
        for name, value in given.items()
    ]
    conditions = [one for one in covering if chance.random() < 0.85]
    conditions += [condition(chance, given) for _ in range(chance.choice((0, 0, 0, 1, 1, 2)))]
    chance.shuffle(conditions)
    ending = chance.choice((*[""] * 12, *("${filename}", "/${filename}") * 3, "${filename}.jpg"))
    plain = chance.choice(("bucket", "bucket", "bucket", "my-bucket-1", "my.dotted.bucket", bucket(chance)))
    return FormCall(plain, key(chance).replace("${filename}", "") + ending, given, conditions, where)


# --- twists -----------------------------------------------------------------------------------------------------------


def placed(call: Any, **changes: Any) -> Any:
    return replace(call, place=replace(call.place, **changes))


def with_params(call: AnyCall, **params: Any) -> AnyCall:
    if isinstance(call, FormCall):
        return replace(call, bucket=params.get("Bucket", call.bucket), key=params.get("Key", call.key))
    return replace(call, params={**call.params, **params})


def without_one(chance: Random, call: AnyCall) -> AnyCall:
    if isinstance(call, FormCall) or not call.params:
        return call
    left_out = chance.choice(list(call.params))
    return replace(call, params={name: value for name, value in call.params.items() if name != left_out})


def with_any_value(chance: Random, call: AnyCall) -> AnyCall:
    if isinstance(call, FormCall):
        return with_params(call, **{chance.choice(("Bucket", "Key")): chance.choice(VALUES)})
    return with_params(call, **{chance.choice(list(call.params) or ["Bucket"]): chance.choice(VALUES)})


def with_another(chance: Random, call: AnyCall) -> AnyCall:
    others = (
        "Body",
        "body",
        "bucket",
        "KEY",
        "Delete",
        "MultipartUpload",
        "CreateBucketConfiguration",
        "Unknown",
        "ContentMD5",
        "Metadata",
        "Tagging",
    )
    return with_params(call, **{chance.choice(others): chance.choice(VALUES)})


def with_big_form(chance: Random, call: AnyCall) -> AnyCall:
    if isinstance(call, Call):
        return call
    name, value = "x-amz-meta-large", "x" * chance.choice((20_000, 20_300, 20_480, 30_000))
    return replace(call, fields={**call.fields, name: value}, conditions=[*call.conditions, {name: value}])


def at_its_edges(chance: Random, call: AnyCall) -> AnyCall:
    """One of the calls that meet a row of the table only when several choices coincide, here with another place or name."""
    operation, params = chance.choice((
        ("create_bucket", {"CreateBucketConfiguration": {"LocationConstraint": call.place.region}}),
        ("put_object", {"Key": "key", "ContentType": "application/x-www-form-urlencoded; charset=utf-8"}),
        ("put_object", {"Key": "key", "Metadata": {"Colour": "a", "colour": "b"}}),
        ("rename_object", {"Key": "key", "RenameSource": "bucket/other"}),
        ("head_object", {"Key": "key", "IfModifiedSince": datetime(2020, 1, 1)}),  # noqa: DTZ001
        ("write_get_object_response", {"RequestRoute": chance.choice(("a", "a" * 64)), "RequestToken": "b"}),
        ("list_parts", {"Key": "key", "UploadId": "id", "SSECustomerKey": "k" * 32}),
        ("get_object", {"Key": "key", "SSECustomerKey": b"k", "SSECustomerKeyMD5": "a"}),
    ))  # fmt: skip
    name = chance.choice(("bucket", "bucket", "my.dotted.bucket", ALIAS, "arn:aws:s3::123456789012:accesspoint/name.mrap"))
    if isinstance(call, FormCall):
        ranges = [["content-length-range", 0, 1], ["content-length-range", *chance.choice(((2, 3), (1, 1), (3, 2)))]]
        return replace(
            call, bucket=name, conditions=chance.choice((ranges, [{"bucket": name}], [{"key": call.key}, *ranges[1:]]))
        )
    where = replace(
        call.place, endpoint_url=chance.choice((call.place.endpoint_url, "http://127.0.0.1:9000", "http://minio:9000"))
    )
    where = replace(where, region="") if chance.random() < 0.1 else where
    if where.endpoint_url is not None:
        where = replace(where, use_dualstack=False, use_fips=False, use_accelerate=False)
    return Call(operation, params if operation == "write_get_object_response" else {"Bucket": name, **params}, where)


def with_method(chance: Random, call: AnyCall) -> AnyCall:
    return call if isinstance(call, FormCall) else replace(call, http_method=chance.choice(METHODS))


Twist = Callable[[Random, Any], Any]
TWISTS: tuple[Twist, ...] = (
    lambda chance, call: placed(call, access_key_id=chance.choice((*IDS, text(chance), ascii_text(chance)))),
    lambda chance, call: placed(call, secret_access_key=chance.choice((*SECRETS, text(chance)))),
    lambda chance, call: placed(call, session_token=chance.choice((*TOKENS, text(chance), ascii_text(chance)))),
    lambda chance, call: placed(call, expires_in=chance.choice((*LIVES, chance.randint(1, 604_800)))),
    lambda chance, call: placed(call, moment=chance.choice((*MOMENTS, a_moment(chance)))),
    lambda chance, call: with_params(call, Bucket=bucket(chance)),
    lambda chance, call: with_params(call, Bucket=arn(chance)),
    lambda chance, call: with_params(call, Key=key(chance)),
    with_any_value,
    with_odd_values,
    with_odd_values,
    at_its_edges,
    with_another,
    without_one,
    with_method,
    with_big_form,
)


def a_call(chance: Random, make: Callable[[Random, Place], Any], where: Place) -> Any:
    call = placed(make(chance, where), session_token=chance.choice((None, None, TOKENS[0])), moment=a_moment(chance))
    for twist in chance.choices(TWISTS, k=chance.choice((0, 0, 1, 1, 1, 2, 3))):
        call = twist(chance, call)
    return call


CALLS_A_PLACE = 8


def calls(seed: int, n: int) -> Iterator[Call]:
    """`n` calls of operations, the same for the same seed."""
    return _stream(Random(f"calls {seed}"), n, plain_call)


def forms(seed: int, n: int) -> Iterator[FormCall]:
    """`n` forms, the same for the same seed."""
    return _stream(Random(f"forms {seed}"), n, plain_form)


def _stream(chance: Random, n: int, make: Callable[[Random, Place], Any]) -> Iterator[Any]:
    where, left = Place(), 0
    for _ in range(n):
        if left == 0:
            # At a place where nothing is signed, most likely, there is little to compare.
            where, left = (Place(), CALLS_A_PLACE) if chance.random() < 0.3 else place(chance)
        left -= 1
        yield a_call(chance, make, where)
