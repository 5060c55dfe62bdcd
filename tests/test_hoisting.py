"""What a caller adds to a request, and which headers move into the query."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from asyncpresign import Credentials, InvalidRequest, PresignedRequest, Presigner, UnsupportedRequest
from asyncpresign._s3 import hoisting
from asyncpresign._s3._operations_table import NAMES
from asyncpresign._s3.operations import lookup

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
    ({"ChecksumSHA256": "abc="}, {"x-amz-checksum-sha256": "abc="}),
]
KEPT: list[tuple[dict[str, Any], str]] = [
    ({"Tagging": "a=b"}, "x-amz-tagging"),
    ({"StorageClass": "GLACIER"}, "x-amz-storage-class"),
    ({"ObjectLockMode": "GOVERNANCE"}, "x-amz-object-lock-mode"),
    ({"ServerSideEncryption": "aws:kms"}, "x-amz-server-side-encryption"),
    ({"SSECustomerKey": "k" * 32}, "x-amz-server-side-encryption-customer-key"),
    ({"WebsiteRedirectLocation": "/x"}, "x-amz-website-redirect-location"),
    ({"ContentType": "text/plain"}, "content-type"),
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
    "bucket-", "bypass-governance-retention", "client-token", "confirm-remove-self-bucket-access", "copy-source",
    "create-session-mode", "expected-bucket-owner", "fwd-", "if-match-", "max-parts", "metadata-directive", "mfa",
    "mp-object-size", "object-", "optional-object-attributes", "part-number-marker", "rename-source", "request-route",
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
