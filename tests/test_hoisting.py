"""What a caller adds to a request, and which headers move into the query."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from asyncpresign import (
    Credentials,
    InvalidRequest,
    PresignedRequest,
    Presigner,
    UnsupportedRequest,
    content_disposition,
    verify_url,
)
from asyncpresign._s3 import hoisting
from asyncpresign._s3._operations_table import NAMES
from asyncpresign._s3.operations import lookup
from asyncpresign._sigv4.presigned import read_url

NOW = datetime(2026, 11, 23, 12, 0, 1, tzinfo=UTC)
OBJECT = {"Bucket": "bucket", "Key": "key"}


def put(params: dict[str, Any] | None = None, **options: Any) -> PresignedRequest:
    presigner = Presigner(Credentials("AKID", "secret"), region="us-east-1", clock=lambda: NOW)
    return presigner.presign("put_object", {**OBJECT, **(params or {})}, **options)


def query(request: PresignedRequest) -> dict[str, list[str]]:
    return parse_qs(urlsplit(request.url).query, keep_blank_values=True)


HONOURED: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"ACL": "public-read"}, {"x-amz-acl": "public-read"}),
    ({"GrantRead": "id=1"}, {"x-amz-grant-read": "id=1"}),
    ({"Metadata": {"Name": "a b", "other": ""}}, {"x-amz-meta-name": "a b", "x-amz-meta-other": ""}),
    ({"RequestPayer": "requester"}, {"x-amz-request-payer": "requester"}),
]
KEPT: list[tuple[dict[str, Any], str]] = [
    ({"Tagging": "a=b"}, "x-amz-tagging"),
    ({"StorageClass": "GLACIER"}, "x-amz-storage-class"),
    ({"ObjectLockMode": "GOVERNANCE"}, "x-amz-object-lock-mode"),
    ({"ServerSideEncryption": "aws:kms"}, "x-amz-server-side-encryption"),
    ({"SSECustomerKey": "k" * 32}, "x-amz-server-side-encryption-customer-key"),
    ({"WebsiteRedirectLocation": "/x"}, "x-amz-website-redirect-location"),
    ({"ContentType": "text/plain"}, "content-type"),
    ({"ChecksumSHA256": "abc="}, "x-amz-checksum-sha256"),
    ({"ChecksumCRC64NVME": "abc="}, "x-amz-checksum-crc64nvme"),
    ({"ChecksumAlgorithm": "SHA256"}, "x-amz-sdk-checksum-algorithm"),
    ({"ContentMD5": "abc="}, "content-md5"),
]


@pytest.mark.parametrize(("params", "moved"), HONOURED)
@pytest.mark.parametrize("hoist", [True, "strict"])
def test_what_s3_honours_moves_into_the_query(params: dict[str, Any], moved: dict[str, str], hoist: Any) -> None:
    request = put(params, hoist_headers=hoist)
    assert request.headers == {}
    assert {name: values for name, values in query(request).items() if name in moved} == {k: [v] for k, v in moved.items()}
    assert query(request)["X-Amz-SignedHeaders"] == ["host"]


@pytest.mark.parametrize(("params", "header"), KEPT)
def test_what_s3_ignores_in_a_query_stays_a_header(params: dict[str, Any], header: str) -> None:
    request = put({**params, "ACL": "private"}, hoist_headers=True)
    assert header in [name.lower() for name in request.headers]
    assert header not in query(request)
    assert query(request)["x-amz-acl"] == ["private"]
    assert header in query(request)["X-Amz-SignedHeaders"][0].split(";")


@pytest.mark.parametrize(("params", "header"), KEPT)
def test_strict_refuses_what_would_stay(params: dict[str, Any], header: str) -> None:
    with pytest.raises(UnsupportedRequest, match=f"(?i){header}"):
        put(params, hoist_headers="strict")


# Families of `x-amz-` headers that S3 takes as headers only, or of which nobody has shown that a query does as well.
STAY = (
    "bucket-", "bypass-governance-retention", "checksum-", "client-token", "confirm-remove-self-bucket-access", "copy-source",
    "create-session-mode", "expected-bucket-owner", "fwd-", "if-match-", "max-parts", "metadata-directive", "mfa",
    "mp-object-size", "object-", "optional-object-attributes", "part-number-marker", "rename-source", "request-route",
    "sdk-checksum-algorithm",
    "request-token", "server-side-encryption", "skip-destination-validation", "source-expected-bucket-owner",
    "storage-class", "tagging", "transition-default-minimum-object-size", "website-redirect-location", "write-offset-bytes",
)  # fmt: skip


def test_of_every_header_of_every_operation_it_is_decided() -> None:
    """A header that a new model brings has to be put on one side."""
    wires = {
        parameter.wire.lower()
        for operation in NAMES
        for parameter in lookup(operation).parameters.values()
        if parameter.place.startswith("header") and parameter.wire.lower().startswith("x-amz-")
    }
    sides = (*hoisting.HONOURED, *(f"x-amz-{family}" for family in STAY))
    assert [wire for wire in sorted(wires) if not wire.startswith(sides)] == []
    assert [side for side in sides if not any(wire.startswith(side) for wire in wires)] == []
    assert not any(one.startswith(hoisting.HONOURED) for one in sides[len(hoisting.HONOURED) :])


def test_additions_are_signed_and_returned() -> None:
    plain = put()
    request = put(extra_query={"x-id": "Put Object", "empty": ""}, extra_headers={"X-Custom": "a  b"})
    assert (query(request)["x-id"], query(request)["empty"]) == (["Put Object"], [""])
    assert request.url.index("x-id=Put%20Object&empty=&X-Amz-Algorithm") > 0
    assert request.headers == {"X-Custom": "a  b"}
    assert query(request)["X-Amz-SignedHeaders"] == ["host;x-custom"]
    assert query(request)["X-Amz-Signature"] != query(plain)["X-Amz-Signature"]


def test_added_headers_are_hoisted_like_others() -> None:
    request = put(extra_headers={"X-Amz-Meta-A": "b"}, hoist_headers="strict")
    assert (request.headers, query(request)["x-amz-meta-a"]) == ({}, ["b"])


@pytest.mark.parametrize("hoist", [False, True])
def test_additions_named_like_parameters_are_additions(hoist: bool) -> None:
    named = dict.fromkeys(("Key", "key", "Content-Type", "content-type", "X-Amz-Acl"), "x")
    params = {"ContentType": "text/plain", "ACL": "private"}
    request = put(params, extra_query=named, hoist_headers=hoist)
    assert {name: query(request)[name] for name in named} == {name: ["x"] for name in named}
    request = put(params, extra_headers={"Key": "x", "versionId": "x"}, hoist_headers=hoist)
    sent = {"Content-Type": "text/plain", "Key": "x", "versionId": "x"}
    assert request.headers == (sent if hoist else {**sent, "x-amz-acl": "private"})


def test_nothing_of_the_callers_is_changed() -> None:
    extra_query, extra_headers = {"a": "b"}, {"x-amz-meta-a": "b"}
    put(extra_query=extra_query, extra_headers=extra_headers, hoist_headers=True)
    assert (extra_query, extra_headers) == ({"a": "b"}, {"x-amz-meta-a": "b"})


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({"hoist_headers": "maybe"}, ["hoist_headers"]),
        ({"hoist_headers": None}, ["hoist_headers"]),
        ({"extra_query": [("a", "b")]}, ["extra_query"]),
        ({"extra_query": {"X-Amz-Expires": "9"}}, ["extra_query['X-Amz-Expires']"]),
        ({"extra_query": {"a": 1}}, ["extra_query['a']"]),
        ({"extra_query": {"": "b"}}, ["extra_query"]),
        ({"extra_query": {1: "b"}}, ["extra_query"]),
        ({"extra_query": {"a": "\ud800"}}, ["extra_query['a']"]),
        ({"extra_headers": {"a b": "c"}}, ["extra_headers"]),
        ({"extra_headers": {"X-A": "b", "x-a": "b"}}, ["extra_headers"]),
        ({"extra_headers": {"a\r\nb": "c"}}, ["extra_headers"]),
        ({"extra_headers": {"a": "b\r\nc: d"}}, ["extra_headers['a']"]),
        ({"extra_headers": {"Host": "elsewhere"}}, ["extra_headers['Host']"]),
        ({"extra_headers": {"Content-Length": "3"}}, ["extra_headers['Content-Length']"]),
        ({"extra_query": {"a": 1}, "extra_headers": {"b": 2}}, ["extra_query['a']", "extra_headers['b']"]),
    ],
)
def test_wrong_additions_are_named_all_at_once(options: dict[str, Any], arguments: list[str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        put(**options)
    assert [problem.argument for problem in caught.value.problems] == arguments


@pytest.mark.parametrize(
    ("params", "options", "argument"),
    [
        ({"ContentType": "text/plain"}, {"extra_headers": {"content-type": "text/html"}}, "extra_headers['content-type']"),
        ({"Metadata": {"a": "b"}}, {"extra_headers": {"X-Amz-Meta-A": "c"}}, "extra_headers['X-Amz-Meta-A']"),
        ({"ACL": "private"}, {"extra_query": {"x-amz-acl": "c"}, "hoist_headers": True}, "extra_query['x-amz-acl']"),
    ],
)
def test_an_addition_never_says_twice_what_the_parameters_say(params: Any, options: Any, argument: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        put(params, **options)
    assert [problem.argument for problem in caught.value.problems] == [argument]


HASH = hashlib.sha256(b"body").hexdigest()


@pytest.mark.parametrize(
    ("options", "payload"),
    [
        ({}, "UNSIGNED-PAYLOAD"),
        ({"extra_headers": {"x-amz-content-sha256": HASH}}, HASH),
        ({"extra_headers": {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}}, "UNSIGNED-PAYLOAD"),
        ({"extra_query": {"X-Amz-Content-Sha256": HASH}}, HASH),
        ({"extra_query": {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}}, "UNSIGNED-PAYLOAD"),
        ({"extra_query": {"X-Amz-Content-Sha256": HASH}, "extra_headers": {"x-amz-content-sha256": HASH}}, HASH),
        ({"extra_headers": {"x-amz-content-sha256": HASH}, "hoist_headers": True}, HASH),
    ],
)
def test_the_hash_of_the_body_is_the_last_line_that_is_signed(options: dict[str, Any], payload: str) -> None:
    request = put(**options)
    signed = read_url(request.url)
    headers = {"host": signed.host, **{name.lower(): value for name, value in request.headers.items()}}
    canonical = signed.canonical_request("PUT", headers)
    assert canonical.rpartition("\n")[2] == payload
    assert signed.signature == signed.expected_signature(canonical, "secret")
    credentials = Credentials("AKID", "secret")
    assert verify_url(request.url, credentials, method="PUT", headers=request.headers, at=NOW).ok
    if request.headers and payload == HASH:
        other = dict.fromkeys(request.headers, "0" * 64)
        assert not verify_url(request.url, credentials, method="PUT", headers=other, at=NOW).ok


@pytest.mark.parametrize("value", ["", HASH.upper(), HASH[:-1], f" {HASH}", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "0" * 65])
def test_what_no_body_hashes_to_is_not_signed(value: str) -> None:
    for argument, name in (("extra_headers", "x-amz-content-sha256"), ("extra_query", "X-Amz-Content-Sha256")):
        with pytest.raises(InvalidRequest, match="SHA-256 in 64 lower-case hex digits"):
            put(**{argument: {name: value}})
    with pytest.raises(InvalidRequest, match="the only spelling that every server reads"):
        put(extra_query={"x-amz-content-sha256": HASH})
    with pytest.raises(InvalidRequest, match=r"^extra_headers: "):
        put(extra_query={"X-Amz-Content-Sha256": HASH}, extra_headers={"x-amz-content-sha256": "0" * 64})


NOT_ASCII: list[tuple[dict[str, Any], str]] = [
    ({"ContentDisposition": 'attachment; filename="©.jpg"'}, "params['ContentDisposition']"),
    ({"CacheControl": "é"}, "params['CacheControl']"),
    ({"Tagging": "a=ü"}, "params['Tagging']"),
    ({"ContentType": "text/ü"}, "params['ContentType']"),
    ({"WebsiteRedirectLocation": "/日本"}, "params['WebsiteRedirectLocation']"),
    ({"GrantRead": "id=\x80"}, "params['GrantRead']"),
    ({"Metadata": {"a": "ü"}}, "params['Metadata']"),
]


@pytest.mark.parametrize(("params", "argument"), NOT_ASCII)
def test_a_header_that_clients_send_in_different_bytes_is_not_signed(params: dict[str, Any], argument: str) -> None:
    for call in (lambda: put(params), lambda: put(params, hoist_headers=True)):
        with pytest.raises(InvalidRequest) as caught:
            call()
        (problem,) = caught.value.problems
        assert (problem.argument, "ASCII" in problem.expected) == (argument, True)
        assert ("content_disposition(filename)" in problem.suggestion) == ("Disposition" in argument)


def test_nor_is_one_that_is_added_or_is_a_list_or_a_version() -> None:
    presigner = Presigner(Credentials("AKID", "secret"), region="us-east-1")
    with pytest.raises(InvalidRequest, match=r"^extra_headers\['X-A'\]: expected ASCII"):
        put(extra_headers={"X-A": "é"})
    with pytest.raises(InvalidRequest, match=r"^params\['OptionalObjectAttributes'\]: expected ASCII"):
        presigner.presign("list_objects_v2", {"Bucket": "bucket", "OptionalObjectAttributes": ["é"]})
    with pytest.raises(InvalidRequest, match=r"^params\['CopySource'\]: expected ASCII"):
        presigner.presign("copy_object", {**OBJECT, "CopySource": "bucket/ü?versionId=ü"})
    assert presigner.presign("copy_object", {**OBJECT, "CopySource": "bucket/ü"}).headers == {
        "x-amz-copy-source": "bucket/%C3%BC"
    }
    assert presigner.presign("get_object", {**OBJECT, "ResponseContentDisposition": "é"}).headers == {}


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("report.pdf", 'attachment; filename="report.pdf"'),
        ("a b;c.txt", 'attachment; filename="a b;c.txt"'),
        ("日本.jpg", "attachment; filename=\"__.jpg\"; filename*=UTF-8''%E6%97%A5%E6%9C%AC.jpg"),
        ('a"b.txt', "attachment; filename=\"a_b.txt\"; filename*=UTF-8''a%22b.txt"),
        ("a\\b", "attachment; filename=\"a_b\"; filename*=UTF-8''a%5Cb"),
        ("100%.txt", "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"),
        ("1 ©'(*).jpg", "attachment; filename=\"1 _'(*).jpg\"; filename*=UTF-8''1%20%C2%A9%27%28%2A%29.jpg"),
    ],
)
def test_a_disposition_for_a_file_of_any_name(filename: str, expected: str) -> None:
    assert content_disposition(filename) == expected
    assert content_disposition(filename, disposition="inline") == expected.replace("attachment", "inline")
    assert put({"ContentDisposition": expected}).headers == {"Content-Disposition": expected}


@pytest.mark.parametrize("filename", ["", None, 5, b"a", "a\nb", "a\tb", "\0", "\ud800"])
def test_what_no_file_is_called_has_no_disposition(filename: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^filename: "):
        content_disposition(filename)
    with pytest.raises(InvalidRequest, match=r"^disposition: "):
        content_disposition("a", disposition="form-data")


def test_a_query_parameter_is_not_said_twice() -> None:
    presigner = Presigner(Credentials("AKID", "secret"), region="us-east-1")
    with pytest.raises(InvalidRequest, match=r"^extra_query\['list-type'\]: "):
        presigner.presign("list_objects_v2", {"Bucket": "bucket"}, extra_query={"list-type": "1"})


SIGNED = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Security-Token", "Signature")


@pytest.mark.parametrize("name", [f"X-Amz-{name}" for name in SIGNED])
def test_what_signing_writes_itself_is_not_added_by_a_caller(name: str) -> None:
    presigner = Presigner(Credentials("AKID", "secret"), region="us-east-1")
    for given in (name, name.lower()):
        for argument in ("extra_query", "extra_headers"):
            with pytest.raises(InvalidRequest) as caught:
                presigner.presign("get_object", {"Bucket": "bucket", "Key": "key"}, **{argument: {given: "x"}})
            assert [problem.argument for problem in caught.value.problems] == [f"{argument}[{given!r}]"]


@pytest.mark.parametrize("name", ["Host", "Connection", "Content-Length", "Transfer-Encoding"])
def test_what_the_transport_writes_is_no_extra_header(name: str) -> None:
    presigner = Presigner(Credentials("AKID", "secret"), region="us-east-1")
    for given in (name, name.lower()):
        with pytest.raises(InvalidRequest) as caught:
            presigner.presign("get_object", {"Bucket": "bucket", "Key": "key"}, extra_headers={given: "x"})
        assert [problem.argument for problem in caught.value.problems] == [f"extra_headers[{given!r}]"]
        assert f"{given}=x" in presigner.presign("get_object", {"Bucket": "bucket", "Key": "key"}, extra_query={given: "x"}).url
