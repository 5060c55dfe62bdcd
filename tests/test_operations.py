"""The table of operations, and how parameters become path, query and headers."""

from __future__ import annotations

import subprocess
import sys
import unittest
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import pytest

import asyncpresign
from asyncpresign import InvalidRequest
from asyncpresign._s3 import _operations_table
from asyncpresign._s3._operations_table import NAMES, TABLE, OperationName
from asyncpresign._s3.operations import Body, bind, bucket_problems, key_problems, lookup, text_problem

from .stdlib_only import cases, check_key_problems

OBJECT = {"Bucket": "bucket", "Key": "key"}
ROOT = Path(asyncpresign.__file__).parents[1]
GENERATOR = Path(__file__).parents[1] / "scripts" / "generate_operations.py"


def problems_of(operation: Any, params: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequest) as raised:
        bind(operation, params)
    return [(problem.argument, problem.suggestion) for problem in raised.value.problems]


def arguments_of(operation: Any, params: Any) -> list[str]:
    return [argument for argument, _ in problems_of(operation, params)]


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_table_is_what_the_generator_writes() -> None:
    """Against the botocore at hand. In a run of the installed package the script finds its table beside itself only."""
    script = "import runpy, sys, pathlib; module = runpy.run_path(sys.argv[1]); sys.stdout.write(module['render']())"
    done = subprocess.run([sys.executable, "-c", script, str(GENERATOR)], capture_output=True, text=True, check=True)
    written = Path(_operations_table.__file__).read_text(encoding="utf-8")
    assert without_version(done.stdout) == without_version(written)


def without_version(text: str) -> str:
    """The first line names the botocore that the table was read from; another that says the same is fine."""
    return text.partition("\n")[2]


def test_check_says_when_the_table_is_old(tmp_path: Path) -> None:
    """`--check` compares with asyncpresign/_s3/ beside scripts/, so a copy of both can be made wrong."""
    copied = tmp_path / "scripts" / GENERATOR.name
    table = tmp_path / "asyncpresign" / "_s3" / "_operations_table.py"
    copied.parent.mkdir()
    table.parent.mkdir(parents=True)
    copied.write_text(GENERATOR.read_text(encoding="utf-8"), encoding="utf-8")
    subprocess.run([sys.executable, str(copied)], check=True)
    assert subprocess.run([sys.executable, str(copied), "--check"], check=False).returncode == 0
    table.write_text(table.read_text(encoding="utf-8").replace("PUT", "GET"), encoding="utf-8")
    assert subprocess.run([sys.executable, str(copied), "--check"], check=False).returncode == 1


def test_the_names_are_the_tables_in_both_spellings() -> None:
    assert set(get_args(OperationName)) == {*NAMES, *TABLE}
    assert sorted(NAMES.values()) == sorted(TABLE)


@pytest.mark.parametrize(("snake", "camel"), NAMES.items())
def test_both_spellings_are_one_operation(snake: str, camel: str) -> None:
    assert lookup(snake) is lookup(camel)
    assert lookup(snake).name == camel


@pytest.mark.parametrize(
    ("name", "method", "body"),
    [
        ("create_bucket", "PUT", Body.OPTIONAL),
        ("delete_object", "DELETE", Body.NONE),
        ("get_object", "GET", Body.NONE),
        ("head_object", "HEAD", Body.NONE),
        ("list_buckets", "GET", Body.NONE),
        ("list_objects_v2", "GET", Body.NONE),
        ("put_object", "PUT", Body.OPTIONAL),
        ("upload_part", "PUT", Body.OPTIONAL),
        ("complete_multipart_upload", "POST", Body.OPTIONAL),
        ("create_multipart_upload", "POST", Body.NONE),
        ("copy_object", "PUT", Body.NONE),
        ("delete_objects", "POST", Body.REQUIRED),
        ("put_bucket_policy", "PUT", Body.REQUIRED),
        ("select_object_content", "POST", Body.REQUIRED),
    ],
)
def test_method_and_body(name: str, method: str, body: Body) -> None:
    operation = lookup(name)
    assert (operation.method, operation.body) == (method, body)


def test_the_table_is_loaded_when_something_is_signed_and_read_row_by_row() -> None:
    script = """
import sys, asyncpresign
assert "asyncpresign._s3._operations_table" not in sys.modules
from asyncpresign._s3 import operations
operations.bind("get_object", {"Bucket": "bucket", "Key": "key"})
print(operations._read.cache_info().currsize)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "1\n"


# --- where parameters go ----------------------------------------------------------------------------------------------


def test_parameters_go_where_the_table_says_in_the_callers_order() -> None:
    params = {"VersionId": "v", "Key": "a/b", "Range": "bytes=0-1", "PartNumber": 2, "Bucket": "bucket", "IfMatch": "e"}
    bound = bind("GetObject", params)
    assert (bound.operation, bound.method, bound.bucket, bound.key) == ("GetObject", "GET", "bucket", "a/b")
    assert bound.query == [("versionId", "v"), ("partNumber", "2")]
    assert list(bound.headers.items()) == [("Range", "bytes=0-1"), ("If-Match", "e")]


def test_what_the_operation_itself_asks_comes_first_and_what_botocore_adds_last() -> None:
    assert bind("list_objects_v2", {"Bucket": "b", "Prefix": ""}).query == [
        ("list-type", "2"),
        ("prefix", ""),
        ("encoding-type", "url"),
    ]
    assert bind("list_objects_v2", {"Bucket": "b", "EncodingType": "url", "Prefix": "p"}).query == [
        ("list-type", "2"),
        ("encoding-type", "url"),
        ("prefix", "p"),
    ]


def test_an_operation_on_no_bucket() -> None:
    bound = bind("list_buckets", {})
    assert (bound.bucket, bound.key, bound.query, bound.headers) == (None, None, [], {})


def test_a_parameter_of_the_body_is_ignored_and_none_is_not_given() -> None:
    bound = bind("put_object", {**OBJECT, "Body": object(), "ACL": None})
    assert (bound.query, bound.headers) == ([], {})


@pytest.mark.parametrize("name", ["list_objects", "list_objects_v2", "list_object_versions", "list_multipart_uploads"])
def test_listings_of_objects_ask_for_encoded_keys(name: str) -> None:
    assert (("encoding-type", "url") in bind(name, {"Bucket": "b"}).query) is (name != "list_multipart_uploads")


def test_a_binding_does_not_share_its_parts() -> None:
    first = bind("list_objects_v2", {"Bucket": "b"})
    first.query.append(("x", "y"))
    first.headers["x"] = "y"
    second = bind("list_objects_v2", {"Bucket": "b"})
    assert ("x", "y") not in second.query
    assert second.headers == {}


MOMENT = datetime(2026, 3, 1, 1, 2, 3, 999_999, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("operation", "name", "value", "expected"),
    [
        ("put_object", "ContentType", "", {"Content-Type": ""}),
        ("put_object", "ContentLength", 0, {"Content-Length": "0"}),
        ("put_object", "ContentLength", -5, {"Content-Length": "-5"}),
        ("put_object", "BucketKeyEnabled", True, {"x-amz-server-side-encryption-bucket-key-enabled": "true"}),
        ("put_object", "BucketKeyEnabled", False, {"x-amz-server-side-encryption-bucket-key-enabled": "false"}),
        ("put_object", "Expires", MOMENT, {"Expires": "Sat, 28 Feb 2026 23:02:03 GMT"}),
        ("put_object", "Expires", datetime(999, 1, 1, tzinfo=UTC), {"Expires": "Tue, 01 Jan 0999 00:00:00 GMT"}),
        ("put_object", "ObjectLockRetainUntilDate", MOMENT, {"x-amz-object-lock-retain-until-date": "2026-02-28T23:02:03Z"}),
        ("put_object", "Metadata", {"A": "1", "b": ""}, {"x-amz-meta-A": "1", "x-amz-meta-b": ""}),
        ("put_object", "Metadata", MappingProxyType({"a": "1"}), {"x-amz-meta-a": "1"}),
        ("put_object", "Metadata", {}, {}),
    ],
)
def test_how_values_of_each_kind_are_spelt(operation: str, name: str, value: Any, expected: Mapping[str, str]) -> None:
    headers = bind(operation, {**OBJECT, name: value}).headers
    assert headers == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(["a", "b"], "a,b"), (("a",), "a"), (["a,b", 'c"d', ""], '"a,b","c\\"d",')],
)
def test_lists_are_quoted_where_an_item_holds_what_separates_items(value: Any, expected: str) -> None:
    headers = bind("list_objects_v2", {"Bucket": "b", "OptionalObjectAttributes": value}).headers
    assert headers == {"x-amz-optional-object-attributes": expected}


def test_an_empty_list_is_no_header() -> None:
    assert bind("list_objects_v2", {"Bucket": "b", "OptionalObjectAttributes": []}).headers == {}


def test_a_customer_key_travels_encoded_and_with_its_digest() -> None:
    headers = bind("get_object", {**OBJECT, "SSECustomerKey": "0" * 32}).headers
    assert headers["x-amz-server-side-encryption-customer-key"] == "MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA="
    assert headers["x-amz-server-side-encryption-customer-key-MD5"] == "zZ5FnqcIqUjVwvWmyog4zw=="
    as_bytes = bind("get_object", {**OBJECT, "SSECustomerKey": b"0" * 32}).headers
    assert as_bytes == headers


@pytest.mark.parametrize("order", [("SSECustomerKey", "SSECustomerKeyMD5"), ("SSECustomerKeyMD5", "SSECustomerKey")])
def test_a_customer_key_with_its_digest_is_encoded_already(order: tuple[str, str]) -> None:
    given = {"SSECustomerKey": "a2V5", "SSECustomerKeyMD5": "bWQ1"}
    headers = bind("get_object", {**OBJECT, **{name: given[name] for name in order}}).headers
    assert headers["x-amz-server-side-encryption-customer-key"] == "a2V5"
    assert headers["x-amz-server-side-encryption-customer-key-MD5"] == "bWQ1"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("from/a b+ü", "from/a%20b%2B%C3%BC"),
        ("from/a b?versionId=v+1", "from/a%20b?versionId=v+1"),
        ("from/a?versionId=", "from/a%3FversionId%3D"),
        ({"Bucket": "from", "Key": "a?versionId=b"}, "from/a%3FversionId%3Db"),
        (MappingProxyType({"Bucket": "from", "Key": "a//b", "VersionId": "v+1"}), "from/a//b?versionId=v+1"),
        ({"Bucket": "from", "Key": "a", "VersionId": None}, "from/a"),
        (
            {"Bucket": "arn:aws:s3:eu-west-1:123456789012:accesspoint/p", "Key": "a"},
            "arn%3Aaws%3As3%3Aeu-west-1%3A123456789012%3Aaccesspoint/p/object/a",
        ),
    ],
)
def test_a_copy_source_is_encoded_but_for_its_version(value: Any, expected: str) -> None:
    assert bind("copy_object", {**OBJECT, "CopySource": value}).headers == {"x-amz-copy-source": expected}


def test_a_route_stands_in_a_header_and_before_the_host() -> None:
    bound = bind("write_get_object_response", {"RequestRoute": "io-1", "RequestToken": "t"})
    assert (bound.host_prefix, bound.key, bound.headers["x-amz-request-route"]) == ("io-1.", "WriteGetObjectResponse", "io-1")


@pytest.mark.parametrize("route", ["", "a.b", "-a", "a/b", "ü", "a" * 64, 5])
def test_a_route_that_is_no_host_label(route: Any) -> None:
    assert arguments_of("write_get_object_response", {"RequestRoute": route, "RequestToken": "t"}) == ["params['RequestRoute']"]


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("get_objct", "did you mean 'get_object'?"),
        ("GetObjct", "did you mean 'GetObject'?"),
        ("list_objects_v3", "did you mean 'list_objects_v2'?"),
        ("", ""),
        ("zzz", ""),
    ],
)
def test_an_unknown_operation(name: str, suggestion: str) -> None:
    assert problems_of(name, {}) == [("operation", suggestion)]


@pytest.mark.parametrize("name", [None, 5, b"get_object", ["get_object"], {}, object()], ids=lambda name: type(name).__name__)
def test_an_operation_that_is_no_name(name: Any) -> None:
    assert arguments_of(name, {}) == ["operation"]


@pytest.mark.parametrize("params", [None, 5, "Bucket", ["Bucket"], [("Bucket", "b")]])
def test_params_that_are_no_mapping(params: Any) -> None:
    assert arguments_of("get_object", params) == ["params"]


def test_an_unknown_parameter_with_its_nearest_name() -> None:
    assert problems_of("get_object", {**OBJECT, "VersionID": "v", "zzz": 1}) == [
        ("params['VersionID']", "did you mean 'VersionId'?"),
        ("params['zzz']", ""),
    ]


@pytest.mark.parametrize("name", [5, None, (1,), b"Key"])
def test_a_parameter_whose_name_is_no_text(name: Any) -> None:
    assert arguments_of("get_object", {**OBJECT, name: "x"}) == [f"params[{name!r}]"]


def test_a_missing_parameter() -> None:
    assert arguments_of("get_object", {}) == ["params['Bucket']", "params['Key']"]
    assert arguments_of("get_object", {"Bucket": None, "Key": "key"}) == ["params['Bucket']"]


NAIVE = datetime(2026, 3, 1)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("operation", "name", "value"),
    [
        ("get_object", "Key", 5),
        ("get_object", "Key", b"key"),
        ("get_object", "Bucket", ["bucket"]),
        ("get_object", "Range", 5),
        ("get_object", "PartNumber", "1"),
        ("get_object", "PartNumber", 1.0),
        ("get_object", "PartNumber", True),
        ("get_object", "PartNumber", 2**63),
        ("put_object", "ContentLength", -(2**63)),
        ("get_object", "IfModifiedSince", NAIVE),
        ("get_object", "IfModifiedSince", "2026-03-01T00:00:00Z"),
        ("get_object", "IfModifiedSince", 0),
        ("get_object", "IfModifiedSince", datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))),
        ("get_object", "ResponseExpires", NAIVE),
        ("get_object", "SSECustomerKey", 5),
        ("put_object", "BucketKeyEnabled", 1),
        ("put_object", "BucketKeyEnabled", "true"),
        ("put_object", "ObjectLockRetainUntilDate", NAIVE),
        ("put_object", "ObjectLockRetainUntilDate", "2026-03-01"),
        ("put_object", "Metadata", [("a", "b")]),
        ("put_object", "Metadata", {"a": 1}),
        ("put_object", "Metadata", {1: "a"}),
        ("put_object", "Metadata", {"": "a"}),
        ("put_object", "Metadata", {"a b": "c"}),
        ("put_object", "Metadata", {"a:": "c"}),
        ("put_object", "Metadata", {"ü": "c"}),
        ("put_object", "Metadata", {"a": "ü"}),
        ("put_object", "Metadata", {"a": "1", "A": "2"}),
        ("put_object", "Metadata", {"a\n": "c"}),
        ("put_object", "Metadata", {"a": "b\r\nx-amz-acl: public-read"}),
        ("put_object", "ContentType", "a\nb"),
        ("put_object", "ContentType", "a\x00"),
        ("put_object", "ContentType", "a\x7f"),
        ("put_object", "ContentType", "\ud800"),
        ("get_object", "VersionId", "\ud800"),
        ("get_object", "ResponseContentDisposition", "\udfff"),
        ("get_object", "Key", ""),
        ("get_object", "Key", "\ud800"),
        ("get_object", "Key", "k" * 1025),
        ("get_object", "Bucket", ""),
        ("get_object", "Bucket", "a/b"),
        ("get_object", "Bucket", ".."),
        ("get_object", "Bucket", "a\nb"),
        ("get_object", "Bucket", "\ud800"),
    ],
)
def test_a_value_that_cannot_be(operation: str, name: str, value: Any) -> None:
    assert arguments_of(operation, {**OBJECT, name: value}) == [f"params[{name!r}]"]


@pytest.mark.parametrize("value", ["5", ["a", 5], [None], {"a"}, b"a"], ids=repr)
def test_a_list_that_cannot_be(value: Any) -> None:
    assert arguments_of("list_objects_v2", {"Bucket": "b", "OptionalObjectAttributes": value}) == [
        "params['OptionalObjectAttributes']"
    ]


@pytest.mark.parametrize(
    "value",
    [
        5,
        b"from/key",
        ["from", "key"],
        {},
        {"Bucket": "from"},
        {"Key": "key"},
        {"Bucket": "from", "Key": None},
        {"Bucket": b"from", "Key": "key"},
        {"Bucket": "from", "Key": "key", "VersionId": 5},
        {"Bucket": "from", "Key": "key", "VersionID": "v"},
        {"Bucket": "from", "Key": "key", "VersionId": "v\r\nx-amz-acl: public-read"},
        {"Bucket": "from", "Key": "key", "VersionId": "\ud800"},
        {"Bucket": "from", "Key": "key\ud800"},
        "from/key\ud800",
        "from/key?versionId=\ud800",
        "from/key?versionId=v\n",
    ],
    ids=ascii,
)
def test_a_copy_source_that_cannot_be(value: Any) -> None:
    assert arguments_of("copy_object", {**OBJECT, "CopySource": value}) == ["params['CopySource']"]


def test_a_tab_may_stand_in_a_header_and_anything_in_a_query() -> None:
    assert bind("put_object", {**OBJECT, "ContentType": "a\tb"}).headers == {"Content-Type": "a\tb"}
    assert ("prefix", "a\n\x00") in bind("list_objects_v2", {"Bucket": "b", "Prefix": "a\n\x00"}).query


def test_all_problems_are_said_at_once() -> None:
    params = {"Key": "", "Versionid": "x", "Range": 5, "PartNumber": "1", "IfMatch": "a\nb"}
    assert arguments_of("get_object", params) == [
        "params['Versionid']",
        "params['Bucket']",
        "params['Key']",
        "params['Range']",
        "params['PartNumber']",
        "params['IfMatch']",
    ]


def test_the_message_has_a_line_for_each_problem_and_no_values() -> None:
    with pytest.raises(InvalidRequest) as raised:
        bind("get_object", {"Key": "k" * 1025, "Range": b"private"})
    assert str(raised.value).splitlines() == [
        "params['Bucket']: expected a value, which GetObject requires, got nothing",
        "params['Key']: expected at most 1024 bytes of UTF-8 for GetObject, got 1025 bytes",
        "params['Range']: expected a str for GetObject, got a bytes of length 7",
    ]
    assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize("case", cases("key_problems"), ids=lambda case: f"{case['key']!a}*{case.get('repeat', 1)}")
def test_key_vectors(case: dict[str, Any]) -> None:
    check_key_problems(unittest.TestCase(), case)


def test_names_that_are_free_of_problems() -> None:
    assert key_problems("\n", "Key") == []
    assert bucket_problems("arn:aws:s3:::x/y", "Bucket") == []
    assert bucket_problems("Any Name ü", "Bucket") == []
    assert text_problem("any text ü\t") is None


def test_a_glance_at_an_integer_needs_to_know_no_minimum() -> None:
    every = [parameter for name in NAMES for parameter in lookup(name).parameters.values()]
    assert {parameter.minimum for parameter in every} == {None, 0, 1}
    assert all(
        parameter.glance is None or parameter.glance(value) is None for parameter in every for value in (0, -1, True, 1.0)
    )
