"""What URLs and forms say of themselves, whether they hold, and why they do not: each check alone, then anything at all."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import wsgiref.headers
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from http.client import HTTPMessage
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy, MultiDict

from asyncpresign import (
    Check,
    Credentials,
    InvalidRequest,
    PresignedRequest,
    Presigner,
    Verification,
    VerificationError,
    explain_url,
    inspect_url,
    verify_post,
    verify_url,
)
from asyncpresign._sigv4.post_policy import sign_form
from asyncpresign._sigv4.presigned import read_url
from asyncpresign._sigv4.signing import CredentialScope, amz_date
from asyncpresign.inspection.explanation import explain_at
from asyncpresign.inspection.refusals import REFUSALS

from .test_redaction import assert_clean

NOW = datetime(2026, 3, 1, 12, 30, 45, tzinfo=UTC)
SECRET, TOKEN = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY", "token/of+a=session-that-nobody-may-see"
CREDENTIALS = Credentials("AKIDEXAMPLE", SECRET, TOKEN)
PLAIN = Credentials("AKIDEXAMPLE", SECRET)
OBJECT = {"Bucket": "bucket", "Key": "a key/ü"}


def presigner(credentials: Credentials = CREDENTIALS, **options: Any) -> Presigner:
    return Presigner(credentials, **{"region": "eu-central-1", "clock": lambda: NOW, **options})


def put(**params: Any) -> PresignedRequest:
    return presigner().presign("put_object", {**OBJECT, "Metadata": {"a": "b  c"}, **params})


PUT = put()
GET = presigner(PLAIN).presign("get_object", OBJECT)


def verified(request: PresignedRequest = PUT, credentials: Any = CREDENTIALS, **changes: Any) -> Verification:
    return verify_url(
        **{
            "url": request.url,
            "credentials": credentials,
            "method": request.method,
            "headers": request.headers,
            "at": NOW,
            **changes,
        }
    )


def failed(verification: Verification) -> list[str]:
    assert bool(verification) == verification.ok == (not verification.failures)
    return [check.name for check in verification.failures]


# --- what a URL says --------------------------------------------------------------------------------------------------


def test_a_url_says_what_it_is() -> None:
    said = inspect_url(PUT.url)
    assert (said.host, said.bucket, said.key) == ("bucket.s3.eu-central-1.amazonaws.com", "bucket", "a key/ü")
    assert (said.access_key_id, said.date, said.region, said.service) == ("AKIDEXAMPLE", "20260301", "eu-central-1", "s3")
    assert said.scope == "20260301/eu-central-1/s3/aws4_request"
    assert (said.signed_at, said.expires_in, said.expires_at) == (NOW, 3600, PUT.expires_at)
    assert said.signed_headers == ("host", "x-amz-meta-a")
    assert (said.has_session_token, said.operation, said.operations) == (True, "PutObject", ("PutObject",))
    assert said.seconds_left < 0
    assert_clean(repr(said) + str(said), [SECRET, TOKEN, signature_of(PUT.url)])


def signature_of(url: str) -> str:
    return url.rpartition("X-Amz-Signature=")[2]


def test_the_seconds_that_are_left_are_counted_from_now() -> None:
    assert 3590 < inspect_url(Presigner(PLAIN, region="x").presign("list_buckets").url).seconds_left <= 3600


@pytest.mark.parametrize(
    ("operation", "params", "told"),
    [
        ("get_object", {}, None),
        ("upload_part", {"UploadId": "u", "PartNumber": 1}, "UploadPart"),
        ("create_multipart_upload", {}, "CreateMultipartUpload"),
        ("list_parts", {"UploadId": "u"}, None),
        ("get_object_attributes", {"ObjectAttributes": ["ETag"]}, "GetObjectAttributes"),
        ("copy_object", {"CopySource": "a/b"}, "CopyObject"),
        ("put_object", {"ContentType": "text/plain"}, "PutObject"),
        ("select_object_content", {}, "SelectObjectContent"),
        ("list_objects_v2", None, "ListObjectsV2"),
        ("put_bucket_cors", None, None),
        ("delete_objects", None, "DeleteObjects"),
        ("list_buckets", {"Prefix": "a"}, "ListBuckets"),
    ],
)
@pytest.mark.parametrize("style", ["virtual", "path"])
def test_the_operation_is_told_where_it_can_be(operation: str, params: Any, told: str | None, style: Any) -> None:
    named = {"Bucket": "bucket"} if params is None else params if operation == "list_buckets" else {**OBJECT, **params}
    request = presigner(addressing_style=style).presign(operation, named)
    said = inspect_url(request.url)
    assert said.operation == told
    assert request.operation in said.operations
    assert (said.bucket, said.key) == (named.get("Bucket"), named.get("Key"))


@pytest.mark.parametrize(
    ("endpoint_url", "style", "operation", "params", "told"),
    [
        ("http://localhost:9000", "path", "list_objects_v2", {}, "ListObjectsV2"),
        ("http://127.0.0.1:9000", "path", "head_bucket", {}, None),
        ("http://[::1]:9000", "path", "upload_part", {"Key": "k", "UploadId": "u", "PartNumber": 1}, "UploadPart"),
        ("https://s3.example.com", "path", "list_objects_v2", {}, "ListObjectsV2"),
        ("https://s3.example.com", "virtual", "list_objects_v2", {}, "ListObjectsV2"),
        ("https://s3.example.com", "virtual", "create_multipart_upload", {"Key": "a/b"}, "CreateMultipartUpload"),
        ("https://s3.example.com", "virtual", "get_object", {"Key": "key"}, None),
    ],
)
def test_a_host_that_is_not_awss_leaves_open_where_the_bucket_is(
    endpoint_url: str, style: Any, operation: str, params: dict[str, Any], told: str | None
) -> None:
    signer = presigner(endpoint_url=endpoint_url, addressing_style=style)
    request = signer.presign(operation, {"Bucket": "bucket", **params})
    said = inspect_url(request.url)
    assert said.operation == told
    assert request.operation in said.operations
    assert (said.bucket == "bucket") == (style == "path")


def test_the_name_that_some_sdks_write_tells_the_operation() -> None:
    assert (
        inspect_url(presigner().presign("get_object", OBJECT, extra_query={"x-id": "GetObject"}).url).operation == "GetObject"
    )


def test_headers_that_no_operation_knows_tell_nothing() -> None:
    request = presigner().presign("get_object", OBJECT, extra_headers={"x-request-id": "5"})
    assert inspect_url(request.url).operations == ("DeleteObject", "GetObject", "HeadObject", "PutObject")


# --- URLs -------------------------------------------------------------------------------------------------------------


def test_what_we_sign_holds() -> None:
    assert failed(verified()) == []
    assert failed(verified(GET, PLAIN)) == []
    assert verified().expires_at == PUT.expires_at
    verified().raise_if_failed()


def test_it_holds_no_longer_than_the_credentials() -> None:
    end = NOW + timedelta(minutes=10)
    ending = replace(CREDENTIALS, expires_at=end)
    assert verified(credentials=ending).expires_at == end
    assert checked(credentials=ending).expires_at == end
    assert verified(credentials=replace(CREDENTIALS, expires_at=NOW + DAY)).expires_at == PUT.expires_at


def test_credentials_are_asked_for_by_their_id() -> None:
    asked: list[str] = []

    def find(access_key_id: str) -> Credentials | None:
        asked.append(access_key_id)
        return CREDENTIALS if access_key_id == "AKIDEXAMPLE" else None

    assert verified(credentials=find)
    assert failed(verified(url=PUT.url.replace("AKIDEXAMPLE", "AKIDOTHER"), credentials=find)) == ["access key", "signature"]
    assert asked == ["AKIDEXAMPLE", "AKIDOTHER"]
    assert failed(verified(credentials=lambda _: replace(CREDENTIALS, access_key_id="AKIDOTHER"))) == [
        "access key",
        "signature",
    ]


DAY = timedelta(days=1)
CHANGED_URLS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("other method", {"method": "GET"}, ["signature"]),
    ("other secret", {"credentials": replace(CREDENTIALS, secret_access_key="other")}, ["signature"]),
    ("other key", {"credentials": replace(CREDENTIALS, access_key_id="AKIDOTHER")}, ["access key", "signature"]),
    ("without the token", {"credentials": PLAIN}, ["session token"]),
    ("other token", {"credentials": replace(CREDENTIALS, session_token="other")}, ["session token"]),
    ("ended credentials", {"credentials": replace(CREDENTIALS, expires_at=NOW - timedelta(seconds=1))}, ["credentials"]),
    ("header not sent", {"headers": {}}, ["signed headers", "signature"]),
    ("other header value", {"headers": {"x-amz-meta-a": "c"}}, ["signature"]),
    ("unsigned header", {"headers": {**PUT.headers, "X-Amz-Acl": "private"}}, ["unsigned headers"]),
    ("other host", {"headers": {**PUT.headers, "Host": "example.com"}}, ["signature"]),
    ("host in capitals", {"headers": {**PUT.headers, "Host": "BUCKET.s3.eu-central-1.amazonaws.com"}}, ["signature"]),
    ("host with a port", {"headers": {**PUT.headers, "Host": "bucket.s3.eu-central-1.amazonaws.com:443"}},
     ["host header", "signature"]),
    ("host that is none", {"headers": {**PUT.headers, "Host": "a b"}}, ["host header", "signature"]),
    ("method in small letters", {"method": "put"}, ["method", "signature"]),
    ("region not asked for", {"region": "us-east-1"}, ["region"]),
    ("service not asked for", {"service": "s3express"}, ["service"]),
    ("authorization beside", {"headers": {**PUT.headers, "Authorization": "Bearer x"}}, ["authorization"]),
    ("token beside", {"headers": {**PUT.headers, "x-amz-security-token": TOKEN}}, ["unsigned headers", "authorization"]),
    ("payload hash beside", {"headers": {**PUT.headers, "x-amz-content-sha256": ""}},
     ["unsigned headers", "payload header", "signature"]),
    ("no-break space", {"headers": {"x-amz-meta-a": "b\xa0c"}}, ["header text"]),
    ("file separator", {"headers": {"x-amz-meta-a": "b\x1cc"}}, ["header text"]),
    ("tab inside", {"headers": {"x-amz-meta-a": "b\tc"}}, ["header text"]),
    ("control character beside", {"headers": {**PUT.headers, "user-agent": "a\x0bb"}}, ["header text"]),
    ("ended", {"at": NOW + timedelta(seconds=3601)}, ["expiry"]),
    ("dated ahead", {"at": NOW - timedelta(minutes=15, seconds=1)}, ["date"]),
    ("dated ahead of an exact clock", {"at": NOW - timedelta(seconds=1), "tolerance": timedelta(0)}, ["date"]),
    ("other algorithm", {"url": PUT.url.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")}, ["algorithm", "signature"]),
    ("other day", {"url": PUT.url.replace("%2F20260301%2F", "%2F20260302%2F")}, ["day", "signature"]),
    ("other region", {"url": PUT.url.replace("eu-central-1%2F", "eu-central-2%2F")}, ["signature"]),
    ("other service", {"url": PUT.url.replace("%2Fs3%2F", "%2Fsns%2F")}, ["service", "signature"]),
    ("no life", {"url": PUT.url.replace("Expires=3600", "Expires=0")}, ["life", "signature"]),
    ("endless", {"url": PUT.url.replace("Expires=3600", "Expires=9999999999")}, ["life", "signature"]),
    ("host not signed", {"url": PUT.url.replace("host%3B", "")}, ["host", "signature"]),
    ("query added", {"url": PUT.url + "&a=b"}, ["signature"]),
    ("path", {"url": PUT.url.replace("/a%20key", "/b%20key")}, ["signature"]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "names"), [row[1:] for row in CHANGED_URLS], ids=[row[0] for row in CHANGED_URLS])
def test_what_was_changed_does_not_hold_and_the_check_is_named(changes: dict[str, Any], names: list[str]) -> None:
    verification = verified(**changes)
    assert failed(verification) == names
    assert all(check.detail for check in verification.failures)
    with pytest.raises(VerificationError) as caught:
        verification.raise_if_failed()
    assert str(caught.value) == "; ".join(map(str, verification.failures))
    assert_clean(repr(verification) + str(caught.value), [SECRET, TOKEN, signature_of(PUT.url)])


@pytest.mark.parametrize(
    "changes",
    [
        {"at": NOW + timedelta(seconds=3600)},
        {"at": NOW - timedelta(minutes=15)},
        {"headers": {"X-AMZ-META-A": " b c\t"}},
        {"headers": {**PUT.headers, "User-Agent": "\xa0\udcff"}},
        {"region": "eu-central-1"},
        {"region": None, "service": "s3"},
        {"headers": {**PUT.headers, "User-Agent": "x", "Host": "bucket.s3.eu-central-1.amazonaws.com"}},
        {"credentials": replace(CREDENTIALS, expires_at=NOW)},
        {"url": PUT.url.replace("https://bucket.s3", "HTTPS://Bucket.S3").replace("amazonaws.com/", "amazonaws.com:443/")},
        {"url": PUT.url.replace("%2F", "%2f").replace("%C3%BC", "%c3%bC")},
        {"url": PUT.url.replace("?", "?&").replace("&X-Amz-Date", "&&X-Amz-Date") + "&"},
        {"url": PUT.url.replace("/a%20key", "/%61%20key")},
    ],
    ids=str,
)
def test_what_s3_takes_for_the_same_holds(changes: dict[str, Any]) -> None:
    assert failed(verified(**changes)) == []


def test_a_plus_in_a_query_is_a_space() -> None:
    request = presigner().presign("get_object", {**OBJECT, "ResponseContentType": "a b+c"})
    assert "a%20b%2Bc" in request.url
    assert verified(request, url=request.url.replace("a%20b%2Bc", "a+b%2Bc"))
    assert not verified(request, url=request.url.replace("a%20b%2Bc", "a+b+c"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://bucket.s3.amazonaws.com/key",
        GET.url.replace("&X-Amz-Date", "&X-Amz-Dat"),
        GET.url.replace("X-Amz-Signature", "x-amz-signature"),
        GET.url.replace("X-Amz-Signature=", "X-Amz-Signature=&x="),
        GET.url + "&X-Amz-Signature=0",
        GET.url + "&X-Amz-Date=20260301T123045Z",
        GET.url.replace("%20", "%2"),
        GET.url.replace("%20", "%zz"),
        GET.url.replace("%C3", "%FF"),
        GET.url.replace("%20", " "),
        GET.url.replace("%20", "\n"),
        GET.url.replace("%20", "ü"),
        GET.url.replace("https", "ftp"),
        GET.url.replace("https://", "https://user:password@"),
        GET.url.replace("amazonaws.com/", "amazonaws.com:0443/"),
        GET.url.replace("T123045Z", "T999999Z"),
        GET.url.replace("20260301T123045Z", "20260301"),
        GET.url + "#fragment",
        GET.url.replace("Expires=3600", "Expires=03600"),
        GET.url.replace("Expires=3600", "Expires=-0"),
        GET.url.replace("Expires=3600", "Expires=1.5"),
        GET.url.replace("%2Faws4_request", ""),
        GET.url.replace("aws4_request", "aws4_reques"),
        "https://h/k?AWSAccessKeyId=AKID&Signature=x&Expires=1",
    ],
)
def test_what_is_no_presigned_url_is_invalid(url: str) -> None:
    for call in (inspect_url, explain_url, lambda url: verify_url(url, PLAIN, method="GET")):
        with pytest.raises(InvalidRequest) as caught:
            call(url)
        assert [problem.argument for problem in caught.value.problems] == ["url"]
        assert_clean(str(caught.value), [signature_of(GET.url)])


class Pairs(Mapping[str, Any]):
    """A mapping whose `items()` are these, in which a name may be there twice; or raises."""

    def __init__(self, pairs: Any) -> None:
        self.pairs = pairs

    def items(self) -> Any:
        if isinstance(self.pairs, Exception):
            raise self.pairs
        return self.pairs

    def __getitem__(self, name: str) -> Any:
        return next(value for each, value in self.pairs if each == name)

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in self.pairs])

    def __len__(self) -> int:
        return len(self.pairs)


class Odd(tzinfo):
    """Its methods raise `NotImplementedError`."""


WRONG: list[tuple[str, dict[str, Any]]] = [
    *(("url", {"url": url}) for url in (None, b"https://h/", 5)),
    *(("method", {"method": method}) for method in (None, 5)),
    *(("headers", {"headers": headers}) for headers in ([1], {"a": 1}, {1: "a"}, "text")),
    *(("at", {"at": at}) for at in (5, datetime(2026, 1, 1), "now")),  # noqa: DTZ001
    *(("headers", {"headers": headers}) for headers in ([], Pairs([("a", "b", "c")]), Pairs(ZeroDivisionError()))),
    *(("at", {"at": at}) for at in (datetime(1, 1, 1, tzinfo=Odd()), datetime.max.replace(tzinfo=timezone(-DAY / 2)))),
    *(("region", {"region": region}) for region in (5, b"x")),
    *(("service", {"service": service}) for service in (None, 5)),
    *(("tolerance", {"tolerance": tolerance}) for tolerance in (5, timedelta(seconds=-1), None)),
    *(("credentials", {"credentials": credentials}) for credentials in (None, "AKID", lambda _: "AKID", ("AKID", "secret"))),
]


@pytest.mark.parametrize(("argument", "changes"), WRONG)
def test_a_wrong_argument_is_named(argument: str, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        verified(**changes)
    assert [problem.argument for problem in caught.value.problems] == [argument]


@pytest.mark.parametrize("text", ["\ud800", "x\udcff", "\x00", "é", "a\nb"])
def test_bytes_that_nobody_signed_do_not_hold(text: str) -> None:
    assert "signature" in failed(verified(headers={"x-amz-meta-a": text}))
    assert failed(verified(headers={**PUT.headers, text: "b"})) == ["header text"]
    assert failed(verified(method=text)) == ["method", "signature"]
    assert "eq $bucket" in failed(checked(changed({"x-amz-meta-name": text}), bucket=text, filename=text))


def test_a_finders_own_error_is_its_own() -> None:
    def find(_: str) -> Credentials | None:
        raise LookupError("theirs")

    with pytest.raises(LookupError, match="theirs"):
        verified(credentials=find)


def test_a_check_in_words() -> None:
    assert str(Check("expiry", True)) == "expiry: holds"
    assert str(Check("expiry", False, "it ended")) == "expiry: it ended"


class Shown(Pairs):
    """One of several values is in `items()`: the first, the last, or all of them joined. A method returns all of them."""

    def __init__(self, pairs: list[tuple[str, str]], shown: Callable[[list[str]], str], method: str) -> None:
        folded: dict[str, list[str]] = {}
        for name, value in pairs:
            folded.setdefault(name.lower(), []).append(value)
        super().__init__([(name, shown(values)) for name, values in folded.items()])
        setattr(self, method, lambda name: folded.get(name.lower(), []))


def message(pairs: list[tuple[str, str]]) -> HTTPMessage:
    made = HTTPMessage()
    for name, value in pairs:
        made[name] = value
    return made


COLLECTIONS: dict[str, Callable[[list[tuple[str, str]]], Any]] = {
    "pairs behind a mapping": Pairs,
    "dict": dict,
    "multidict": MultiDict,
    "multidict without case": lambda pairs: CIMultiDictProxy(CIMultiDict(pairs)),
    "http.client": message,
    "wsgiref": wsgiref.headers.Headers,
    "the first value (Werkzeug)": lambda pairs: Shown(pairs, lambda values: values[0], "getlist"),
    "the last value (Django, Starlette)": lambda pairs: Shown(pairs, lambda values: values[-1], "getlist"),
    "all values joined (httpx)": lambda pairs: Shown(pairs, ", ".join, "get_list"),
}


@pytest.mark.parametrize("collect", COLLECTIONS.values(), ids=COLLECTIONS.keys())
def test_a_signed_header_that_is_there_twice_does_not_hold_in_any_collection(collect: Callable[[Any], Any]) -> None:
    host = [("Host", read_url(PUT.url).host)]
    assert failed(verified(headers=collect([("x-amz-meta-a", "b c"), *host, ("Accept", "a"), ("accept", "b")]))) == []
    for first, second in (("b c", "evil"), ("evil", "b c"), ("b c", "b c")):
        twice = collect([("X-Amz-Meta-A", first), *host, ("x-amz-meta-a", second)])
        assert "repeated headers" in failed(verified(headers=twice))
    assert "repeated headers" in failed(verified(headers=collect([*PUT.headers.items(), *host, ("host", "other")])))


@pytest.mark.parametrize("collect", COLLECTIONS.values(), ids=COLLECTIONS.keys())
def test_a_field_that_is_there_twice_does_not_hold_in_any_collection(collect: Callable[[Any], Any]) -> None:
    fields = list(FORM.items())
    assert failed(checked(collect(fields))) == []
    for name, value in (("Key", "user/b"), ("KEY", "evil"), ("X-Amz-Meta-Name", "x")):
        assert "names" in failed(checked(collect([(name, value), *fields])))
        assert "names" in failed(checked(collect([*fields, (name, value)])))


def resigned(
    change: Callable[[str], str] = str, headers: Mapping[str, str] | None = None, method: str = "GET", **scope: str
) -> Any:
    """The verdict about GET's URL without its signature, changed, and signed as it is read here; and its keyword arguments."""
    parts = {"service": "s3", **scope}
    url = change(GET.url[: GET.url.index("&X-Amz-Signature")].replace("%2Fs3%2F", f"%2F{parts['service']}%2F"))
    parsed = read_url(f"{url}&X-Amz-Signature=0")
    sent = {"host": parsed.host, **(headers or {})}
    url += "&X-Amz-Signature=" + parsed.expected_signature(parsed.canonical_request(method, sent), SECRET)
    return verify_url(url, PLAIN, method=method, headers=sent, at=NOW, service=parts["service"])


SHA256 = "x-amz-content-sha256"
SIGNED_ODDLY: list[tuple[str, Callable[[str], str], dict[str, str], str]] = [
    ("host twice in the list", lambda url: url.replace("=host", "=host%3Bhost"), {}, "header list"),
    ("unsorted list", lambda url: url.replace("=host", "=x-a%3Bhost"), {"x-a": "b"}, "header list"),
    ("capitals in the list", lambda url: url.replace("=host", "=X-A%3Bhost"), {"x-a": "b"}, "header list"),
    ("an empty name in the list", lambda url: url.replace("=host", "=%3Bhost"), {}, "header list"),
    ("a name that is none in the list", lambda url: url.replace("=host", "=host%3Bx%20a"), {}, "header list"),
    ("parameter twice", lambda url: url + "&a=2&a=1", {}, "query"),
    ("parameters that sort otherwise when encoded", lambda url: url + "&z=1&%C3%A9=1", {}, "query"),
    ("values that sort otherwise when encoded", lambda url: url + "&a=%E2%80%83&a=b", {}, "query"),
    ("a semicolon", lambda url: url + "&a=b;c", {}, "spelling"),
    ("a slash behind the bucket", lambda url: url.replace("/a%20key/", "/a%20key%2f"), {}, "spelling"),
    ("key id of version 2", lambda url: url + "&AWSAccessKeyId=AKID", {}, "authentication"),
    ("signature of version 2", lambda url: url + "&Signature=x", {}, "authentication"),
    ("hash of a body", lambda url: f"{url}&X-Amz-Content-Sha256={'0' * 64}", {}, ""),
    ("hash of a body in a header", lambda url: url.replace("=host", "=host%3Bx-amz-content-sha256"), {SHA256: "0" * 64}, ""),
    ("hash in query and header", lambda url: f"{url}&X-Amz-Content-Sha256={'0' * 64}".replace("=host", f"=host%3B{SHA256}"),
     {SHA256: "0" * 64}, ""),
    ("another hash in a header", lambda url: f"{url}&X-Amz-Content-Sha256={'0' * 64}".replace("=host", f"=host%3B{SHA256}"),
     {SHA256: "1" * 64}, "payload header"),
    ("unsigned payload, said", lambda url: f"{url}&x-amz-content-sha256=UNSIGNED-PAYLOAD", {}, ""),
    ("hash by a name in small letters", lambda url: f"{url}&x-amz-content-sha256={'0' * 64}", {}, "payload"),
    ("hash in capitals", lambda url: f"{url}&X-Amz-Content-Sha256={'A' * 64}", {}, "payload"),
    ("hash that is too short", lambda url: f"{url}&X-Amz-Content-Sha256={'0' * 63}", {}, "payload"),
    ("no hash", lambda url: f"{url}&X-Amz-Content-Sha256=", {}, "payload"),
    ("chunks", lambda url: url.replace("=host", f"=host%3B{SHA256}"), {SHA256: "STREAMING-UNSIGNED-PAYLOAD-TRAILER"},
     "payload header"),
    ("token of a session", lambda url: url + "&X-Amz-S3session-Token=x", {}, "token parameter"),
    ("authorization", lambda url: url.replace("=host", "=authorization%3Bhost"), {"authorization": "x"}, "authorization"),
    ("token as a header", lambda url: url.replace("=host", "=host%3Bx-amz-security-token"), {"x-amz-security-token": "x"},
     "authorization"),
    ("space of Unicode", lambda url: url.replace("=host", "=host%3Bx-a"), {"x-a": "b\u3000c"}, "header text"),
    ("nothing to encode", lambda url: url.replace("=host", "=host%3Bx-a"), {"x-a": "b?c"}, ""),
    ("parameter twice, sorted", lambda url: url + "&a=1&a=2", {}, ""),
    ("a slash in the key", lambda url: url.replace("/a%20key/", "/a/b%2Fc/"), {}, ""),
    ("no hash of a body", lambda url: url + "&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD", {}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("change", "headers", "name"), [row[1:] for row in SIGNED_ODDLY], ids=[row[0] for row in SIGNED_ODDLY])
def test_what_servers_read_differently_does_not_hold_although_it_was_signed(
    change: Callable[[str], str], headers: dict[str, str], name: str
) -> None:
    names = failed(resigned(change, headers))
    assert (names[:1] or [""]) == [name]
    assert "signature" not in names


def test_a_surrogate_is_no_question_mark() -> None:
    def listed(url: str) -> str:
        return url.replace("=host", "=host%3Bx-a")

    assert failed(resigned(listed, {"x-a": "?"})) == []
    signed = resigned(listed, {"x-a": "?"})
    assert signed.ok
    token = replace(CREDENTIALS, session_token="?")
    request = presigner(token).presign("get_object", OBJECT)
    assert verified(request, token)
    form = dict(presigner(token).presign_post("bucket", "k").fields)
    assert failed(checked({**form, "x-amz-security-token": "\udcff"}, credentials=token)) == [
        "session token",
        "eq $x-amz-security-token",
    ]
    assert "header text" in failed(verified(headers={"x-amz-meta-a": "b \udcff"}))


def test_a_session_of_a_directory_bucket_has_its_own_service_and_token() -> None:
    def tokened(url: str) -> str:
        return url + "&X-Amz-S3session-Token=x"

    assert failed(resigned(tokened, service="s3express")) == ["session token"]
    assert failed(resigned(service="s3express")) == []
    assert failed(resigned(lambda url: url + "&X-Amz-Security-Token=x", service="s3express")) == ["session token"]
    both = resigned(lambda url: tokened(url) + "&X-Amz-Security-Token=x", service="s3express")
    assert failed(both) == ["token parameter", "session token"]


@pytest.mark.parametrize(("seconds", "names"), [(0, ["life"]), (1, []), (604_800, []), (604_801, ["life"]), (-1, ["life"])])
def test_a_life_is_of_one_second_to_seven_days(seconds: int, names: list[str]) -> None:
    def lasting(url: str) -> str:
        return url.replace("Expires=3600", f"Expires={seconds}")

    found = resigned(lasting)
    assert [name for name in failed(found) if name != "expiry"] == names
    assert found.expires_at == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("seconds", [1, 3600, 604_800, 9_999_999_999])
def test_the_last_second_of_the_calendar_overflows_nothing(seconds: int) -> None:
    url = GET.url.replace("20260301T123045Z", "99991231T235959Z").replace("Expires=3600", f"Expires={seconds}")
    end = datetime.max.replace(tzinfo=UTC)
    assert inspect_url(url).expires_at == end
    assert inspect_url(url).seconds_left > 0
    assert verify_url(url, PLAIN, method="GET", at=NOW).expires_at == end
    assert verify_url(url, PLAIN, method="GET", at=end).expires_at == end
    assert explain_url(url).expires_at == end


# --- forms ------------------------------------------------------------------------------------------------------------

FORM = dict(
    presigner()
    .presign_post(
        "bucket",
        "user/${filename}",
        fields={"Content-Type": "image/png", "x-amz-meta-name": "${filename}", "x-ignore-a": "b"},
        conditions=[["starts-with", "$content-type", "image/"]],
        content_length_range=(1, 10),
    )
    .fields
)


def checked(fields: Mapping[str, str] = FORM, **changes: Any) -> Verification:
    given = {"credentials": CREDENTIALS, "bucket": "bucket", "size": 10, "filename": "a.png", "at": NOW, **changes}
    return verify_post(fields, **given)


def test_the_forms_that_we_sign_hold() -> None:
    assert failed(checked()) == []
    assert checked().expires_at == NOW + timedelta(hours=1)
    assert failed(checked({name.upper(): value for name, value in FORM.items()})) == []


CHANGED_FORMS: list[tuple[str, dict[str, str | None], dict[str, Any], list[str]]] = [
    ("too large", {}, {"size": 11}, ["content-length-range"]),
    ("too small", {}, {"size": 0}, ["content-length-range"]),
    ("other bucket", {}, {"bucket": "other"}, ["eq $bucket"]),
    ("other type", {"Content-Type": "text/html"}, {}, ["starts-with $content-type"]),
    ("one type of a list", {"Content-Type": "image/png,text/html"}, {}, ["starts-with $content-type"]),
    ("no type", {"Content-Type": None}, {}, ["starts-with $content-type"]),
    ("other folder", {"key": "other/${filename}"}, {}, ["starts-with $key"]),
    ("no key", {"key": None}, {}, ["key", "starts-with $key"]),
    ("empty key", {"key": ""}, {}, ["key", "starts-with $key"]),
    ("long key", {"key": "user/" + "x" * 1020}, {}, ["key"]),
    ("field added", {"acl": "public-read", "b": ""}, {}, ["extra fields"]),
    ("field in another case twice", {"content-type": "image/png"}, {}, ["names"]),
    ("signature", {"x-amz-signature": "0" * 64}, {}, ["signature"]),
    ("policy", {"policy": base64.b64encode(base64.b64decode(FORM["policy"]) + b" ").decode()}, {}, ["signature"]),
    ("ended", {}, {"at": NOW + timedelta(hours=1)}, ["expiry"]),
    ("dated ahead", {}, {"at": NOW - timedelta(minutes=16)}, ["date"]),
    ("other date", {"x-amz-date": "20260301T123046Z"}, {}, ["eq $x-amz-date"]),
    ("other day", {"x-amz-date": "20260228T123045Z"}, {}, ["day", "eq $x-amz-date"]),
    ("other algorithm", {"x-amz-algorithm": "x"}, {}, ["algorithm", "eq $x-amz-algorithm"]),
    ("other credential", {"x-amz-credential": "AKIDOTHER/20260301/eu-central-1/s3/aws4_request"}, {},
     ["access key", "signature", "eq $x-amz-credential"]),
    ("other region", {"x-amz-credential": "AKIDEXAMPLE/20260301/us-east-1/s3/aws4_request"}, {},
     ["signature", "eq $x-amz-credential"]),
    ("no token", {"x-amz-security-token": None}, {}, ["session token", "eq $x-amz-security-token"]),
    ("other token", {"x-amz-security-token": "other"}, {}, ["session token", "eq $x-amz-security-token"]),
    ("other secret", {}, {"credentials": replace(CREDENTIALS, secret_access_key="x")}, ["signature"]),
    ("region not asked for", {}, {"region": "us-east-1"}, ["region"]),
    ("service not asked for", {}, {"service": "s3-outposts"}, ["service"]),
    ("signature of version 2", {"Signature": "x"}, {}, ["authentication"]),
    ("key id of version 2", {"AWSAccessKeyId": "x"}, {}, ["authentication"]),
    ("other bucket as a field", {"bucket": "other"}, {}, ["bucket", "eq $bucket"]),
    ("key by a Kelvin sign", {"key": None, "\u212aey": "user/a"}, {}, ["key", "extra fields", "starts-with $key"]),
    ("key that is no UTF-8", {"key": "user/\udcff"}, {}, ["key"]),
    ("key with NUL", {"key": "user/\x00"}, {}, ["key"]),
    ("field without a name", {"": "x"}, {}, ["extra fields"]),
]  # fmt: skip


def changed(changes: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in {**FORM, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "given", "names"), [row[1:] for row in CHANGED_FORMS], ids=[row[0] for row in CHANGED_FORMS]
)
def test_what_was_changed_of_a_form_is_named(changes: dict[str, str | None], given: dict[str, Any], names: list[str]) -> None:
    verification = checked(changed(changes), **given)
    assert failed(verification) == names
    assert_clean(repr(verification), [SECRET, TOKEN, FORM["x-amz-signature"]])


@pytest.mark.parametrize(
    ("changes", "given"),
    [
        ({"Content-Type": "image/png,image/gif"}, {}),
        ({"x-ignore-anything": "x"}, {}),
        ({"key": "user/x"}, {"filename": None}),
        ({"file": "x"}, {}),
        ({}, {"filename": "C:\\folder\\a.png", "size": 1}),
        ({}, {"at": NOW + timedelta(minutes=59, seconds=59)}),
        ({}, {"at": NOW - timedelta(minutes=15)}),
    ],
    ids=str,
)
def test_what_a_policy_leaves_open_holds(changes: dict[str, str | None], given: dict[str, Any]) -> None:
    assert failed(checked(changed(changes), **given)) == []


def signed(conditions: list[Any], fields: dict[str, str]) -> dict[str, str]:
    """A form that `presign_post` would not sign."""
    return sign_form(
        bucket="bucket", key="key", fields=fields, conditions=conditions, expiration="2026-03-01T13:00:00Z",
        access_key_id="AKIDEXAMPLE", secret_access_key=SECRET, session_token=None,
        scope=CredentialScope("20260301", "eu-central-1"), timestamp=amz_date(NOW),
    )  # fmt: skip


def test_a_policy_that_s3_would_not_apply_does_not_hold() -> None:
    form = signed(
        [["starts-with", "$x-amz-storage-class", ""], {"x-amz-server-side-encryption-customer-key": "a"}],
        {"x-amz-storage-class": "A"},
    )
    verification = checked(form, credentials=PLAIN)
    assert failed(verification) == ["starts-with $x-amz-storage-class", "eq $x-amz-server-side-encryption-customer-key"]


def test_the_name_of_the_file_is_put_in_before_conditions_are_looked_at() -> None:
    form = signed([{"x-amz-meta-a": "is b.txt"}], {"x-amz-meta-a": "is ${filename}"})
    assert failed(checked(form, credentials=PLAIN, filename="a/b.txt")) == []
    assert failed(checked(form, credentials=PLAIN, filename=None)) == ["eq $x-amz-meta-a"]


def recoded(document: Any) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()


@pytest.mark.parametrize(
    ("changes", "argument"),
    [
        ({"policy": None}, "fields"),
        ({"policy": ""}, "fields"),
        ({"x-amz-signature": None}, "fields"),
        ({"x-amz-algorithm": None, "x-amz-date": None}, "fields"),
        ({"policy": "%"}, "fields['policy']"),
        ({"policy": recoded({"conditions": []})}, "fields['policy']"),
        ({"policy": recoded({"expiration": "soon", "conditions": []})}, "fields['policy']"),
        ({"policy": recoded({"expiration": "2026-03-01T13:00:00", "conditions": []})}, "fields['policy']"),
        ({"policy": recoded({"expiration": "2026-03-01T13:00:00Z", "conditions": [["in", "$a", "b"]]})}, "fields['policy']"),
        ({"x-amz-date": "now"}, "fields['x-amz-date']"),
        ({"x-amz-credential": "AKID"}, "fields['x-amz-credential']"),
        ({"x-amz-credential": "AKID/20260301/\ud800/s3/aws4_request"}, "fields['x-amz-credential']"),
    ],
)
def test_what_is_no_signed_form_is_invalid(changes: dict[str, str | None], argument: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        checked(changed(changes))
    assert [problem.argument for problem in caught.value.problems] == [argument]
    assert_clean(str(caught.value), [FORM["x-amz-signature"], FORM["policy"], TOKEN])


JSON = base64.b64decode(FORM["policy"]).decode()


@pytest.mark.parametrize(
    "text",
    [
        JSON.replace("{", '{"expiration": "2026-03-01T13:00:00Z", ', 1),
        JSON.replace("{", '{"conditions": [], ', 1),
        JSON.replace("]", ', {"acl": "private", "acl": "public-read"}]', 1),
        JSON.replace("{", '{"version": 1, ', 1),
        JSON + "x",
        JSON + "{}",
        "\ufeff" + JSON,
        "\xa0" + JSON,
        JSON.replace("1, 10", "1, NaN"),
        JSON.replace("1, 10", "1, Infinity"),
        JSON.replace("1, 10", "1, 10.0"),
        JSON.replace("1, 10", "1, 1e1"),
        JSON.replace("1, 10", "1, " + "9" * 5000),
        JSON.replace('"bucket"', "5", 1),
        JSON.replace('"image/"', '"\\udcff"'),
        JSON.replace('"image/"', '"a\tb"'),
        JSON.replace("Z", "", 1),
        *(
            re.sub("T13:30:45Z", end, JSON)
            for end in (
                "T13:30:45z", "t13:30:45Z", " 13:30:45Z", "T13:30:45+00:00", "T13:30:45-08:00", "T13:30Z", "T133045Z",
                "T24:00:00Z", "T13:30:60Z", "T13:30:45.1Z", "T13:30:45.123456Z", "T13:30:45,000Z", "",
                "T13:30:45Z ", "T13:30:٤٥Z",
            )
        ),
        JSON.replace("2026-03-01T", "2026-W09-7T"),
        JSON.replace("2026-03-01T", "20260301T"),
        JSON.replace("2026-03-01T", "2026-060T"),
        JSON.replace("2026-03-01T", "0000-03-01T"),
    ],
    ids=lambda text: ascii(text[:40]),
)  # fmt: skip
def test_a_policy_that_could_be_read_in_two_ways_is_invalid(text: str) -> None:
    assert text != JSON
    with pytest.raises(InvalidRequest) as caught:
        checked(changed({"policy": base64.b64encode(text.encode()).decode()}))
    assert [problem.argument for problem in caught.value.problems] == ["fields['policy']"]


def test_an_expiration_may_have_milliseconds() -> None:
    text = JSON.replace("T13:30:45Z", "T13:30:45.250Z")
    assert text != JSON
    found = checked(changed({"policy": base64.b64encode(text.encode()).decode()}))
    assert found.expires_at == NOW + timedelta(hours=1, milliseconds=250)


@pytest.mark.parametrize(
    "policy",
    [
        FORM["policy"] + "\n",
        FORM["policy"][:8] + "\r\n" + FORM["policy"][8:],
        FORM["policy"] + " ",
        FORM["policy"].rstrip("=") if FORM["policy"].endswith("=") else FORM["policy"] + "=",
        base64.urlsafe_b64encode((JSON.replace("image/", "~~~???>>>")).encode()).decode(),
        base64.b64encode(JSON.encode() + b" " * ((1 - len(JSON.encode())) % 3)).decode()[:-3] + "h==",
    ],
    ids=["line break", "line break inside", "space", "padding", "letters of URLs", "bits behind the last byte"],
)
def test_a_policy_in_another_base64_is_invalid(policy: str) -> None:
    with pytest.raises(InvalidRequest):
        checked(changed({"policy": policy}))


@pytest.mark.parametrize(
    ("argument", "given"),
    [
        *(("region", {"region": region}) for region in (5, b"x")),
        *(("service", {"service": service}) for service in (None, 5)),
        *(("fields", {"fields": fields}) for fields in ("text", Pairs([("a",)]), Pairs(KeyError()))),
        *(("fields", {"fields": fields}) for fields in (None, [], {"a": 1}, {1: "a"})),
        *(("bucket", {"bucket": bucket}) for bucket in (None, 5)),
        *(("size", {"size": size}) for size in (None, -1, 1.5, True, "1")),
        *(("filename", {"filename": filename}) for filename in (5, b"a")),
        *(("at", {"at": at}) for at in (5, "now")),
    ],
)
def test_a_wrong_argument_of_a_form_is_named(argument: str, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        checked(**given)
    assert [problem.argument for problem in caught.value.problems] == [argument]


# --- why --------------------------------------------------------------------------------------------------------------


def seen(request: PresignedRequest = PUT, **changes: Any) -> str:
    """The error document of a server that saw `request` so."""
    parsed = read_url(request.url)
    method, host = changes.pop("method", request.method), changes.pop("host", parsed.host)
    headers = {**{name.lower(): value for name, value in request.headers.items()}, "host": host, **changes.pop("headers", {})}
    canonical = replace(parsed, **changes).canonical_request(method, headers)
    return error("SignatureDoesNotMatch", CanonicalRequest=canonical, StringToSign=changes.get("to_sign", ""))


def error(code: str, **elements: str) -> str:
    from xml.sax.saxutils import escape

    body = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in elements.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>no</Message>{body}</Error>'


def query(request: PresignedRequest, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (*read_url(request.url).query, *more)


SEEN: list[tuple[str, str, tuple[str, int], str]] = [
    ("other method", seen(method="GET"), ("method", 1), "another HTTP method"),
    ("re-quoted path", seen(path="/a%20key/ü"), ("path", 2), "re-quoted"),
    ("query added", seen(query=query(PUT, ("utm", "1"))), ("query parameter utm", 3), "params"),
    ("query changed", seen(query=query(PUT)[1:]), ("query parameter X-Amz-Algorithm", 3), "params"),
    ("other host", seen(host="minio:9000"), ("header host", 4), "public_endpoint_url"),
    ("header not sent", seen(headers={"x-amz-meta-a": ""}), ("header x-amz-meta-a", 5), "exactly the headers"),
    ("header not in the list", seen(signed_headers=("host",)), ("header x-amz-meta-a", 0), "exactly the headers"),
]


@pytest.mark.parametrize(("document", "place", "cause"), [row[1:] for row in SEEN], ids=[row[0] for row in SEEN])
def test_the_line_that_differs_is_pointed_at_with_its_usual_cause(document: str, place: tuple[str, int], cause: str) -> None:
    for body in (document, document.encode()):
        explanation = explain_url(PUT.url, error_xml=body)
        first = explanation.differences[0]
        assert (first.part, first.line) == place
        assert cause in first.cause
        assert cause in explanation.causes[0]
        assert str(first) in str(explanation)
        assert_clean(str(explanation) + repr(explanation), [SECRET, TOKEN, signature_of(PUT.url)])


def test_the_list_of_signed_headers_and_the_payload_are_compared_too() -> None:
    document = seen(signed_headers=("host",)).replace("UNSIGNED-PAYLOAD", "0" * 64)
    found = {difference.part: difference.line for difference in explain_url(PUT.url, error_xml=document).differences}
    assert found == {"header x-amz-meta-a": 0, "signed headers": 6, "payload": 7}


def test_the_same_text_on_both_sides_means_another_secret() -> None:
    explanation = explain_url(PUT.url, error_xml=seen(), credentials=CREDENTIALS)
    assert (explanation.differences, explanation.signature_matches, explanation.method) == ((), True, "PUT")
    assert "another secret access key" in explanation.causes[0]
    other = explain_url(PUT.url, error_xml=seen(), credentials=replace(CREDENTIALS, secret_access_key="other"))
    assert other.signature_matches is False
    assert "not the one given here" in other.causes[0]
    assert not any("another secret" in cause for cause in other.causes)


def test_a_header_whose_value_nobody_knows_may_be_the_cause() -> None:
    assert explain_url(PUT.url, error_xml=seen()).causes[0] == (
        "a signed header (x-amz-meta-a) was sent with another value than was signed"
    )
    assert "another secret access key" in explain_url(GET.url, error_xml=seen(GET)).causes[0]


def test_another_scope_and_another_date_are_told_from_the_text_to_sign() -> None:
    ours = explain_url(GET.url, credentials=PLAIN).string_to_sign
    document = error("SignatureDoesNotMatch", StringToSign=ours.replace("eu-central-1", "us-east-1").replace("T123045Z", "T0"))
    found = [difference.part for difference in explain_url(GET.url, error_xml=document).differences]
    assert found == ["date", "scope"]


def test_what_is_known_is_computed() -> None:
    explanation = explain_url(GET.url, credentials=PLAIN)
    assert (explanation.method, explanation.signature_matches) == ("GET", True)
    assert explanation.scope == "20260301/eu-central-1/s3/aws4_request"
    assert explanation.canonical_request.startswith("GET\n/a%20key/%C3%BC\nX-Amz-Algorithm=")
    assert explanation.string_to_sign.split("\n")[:3] == ["AWS4-HMAC-SHA256", "20260301T123045Z", explanation.scope]
    assert len(explanation.string_to_sign.split("\n")[3]) == 64
    assert "Signature:\n    it is right" in str(explanation)


def test_what_is_not_known_is_said() -> None:
    explanation = explain_url(put().url, credentials=lambda _: None)
    assert (explanation.method, explanation.signature_matches) == ("PUT", None)
    assert "x-amz-meta-a:<as it was signed>" in explanation.canonical_request
    assert explanation.string_to_sign.endswith("<SHA-256 of the canonical request, whose unknown values are in it>")
    assert "not those of this access key id" in explanation.causes[0]
    assert explain_url(GET.url).canonical_request.startswith("<method>\n")


def refused(code: str, message: str, **elements: str) -> tuple[str, ...]:
    """The causes that are named for GET's URL, used in time."""
    return explain_at(GET.url, NOW, error_xml=error(code, **elements).replace("<Message>no<", f"<Message>{message}<")).causes


QUERY_ERROR, HEADER_ERROR = "AuthorizationQueryParametersError", "AuthorizationHeaderMalformed"
WEEK = "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds"
MESSAGES: list[tuple[str, str, dict[str, str], str]] = [
    # AWS, MinIO and seaweedfs; MinIO names its region in every error.
    (QUERY_ERROR, WEEK, {}, "longer than a week"),
    (QUERY_ERROR, WEEK, {"Region": "us-west-2"}, "longer than a week"),
    (QUERY_ERROR, "X-Amz-Expires must be non-negative", {}, "is negative"),
    (QUERY_ERROR, "X-Amz-Expires should be a number", {}, "not a whole number"),
    (
        QUERY_ERROR,
        "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"",
        {},
        "X-Amz-Date is not of the form",
    ),
    (QUERY_ERROR, 'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"', {}, "an algorithm that this server does not take"),
    (QUERY_ERROR, "Error parsing the X-Amz-Credential parameter; the region 'a' is wrong; expecting 'b'", {}, "another region"),
    (
        QUERY_ERROR,
        "Error parsing the X-Amz-Credential parameter; the region is wrong; expecting 'b'",
        {"Region": "us-west-2"},
        "another region than the bucket's (us-west-2)",
    ),
    (HEADER_ERROR, "The authorization header is malformed; the region is wrong; expecting 'us-east-1'.", {}, "another region"),
    (HEADER_ERROR, "The authorization header is malformed", {}, "not of the form that this server asks for"),
    (QUERY_ERROR, "no", {"Region": "us-west-2"}, "another region than the bucket's (us-west-2)"),
    (QUERY_ERROR, "no", {"Region": "eu-central-1"}, "not of the form that this server asks for"),
    (QUERY_ERROR, "no", {"Region": "<b>"}, "not of the form that this server asks for"),
    (
        QUERY_ERROR,
        'Error parsing the X-Amz-Credential parameter; incorrect service "sts". This endpoint belongs to "s3".',
        {},
        "another service",
    ),
    (
        "AuthorizationParametersError",
        'Error parsing the Credential/X-Amz-Credential parameter; incorrect service. This endpoint belongs to "s3".',
        {},
        "another service",
    ),
    (
        QUERY_ERROR,
        'Error parsing the X-Amz-Credential parameter; incorrect terminal. This endpoint uses "aws4_request".',
        {},
        "aws4_request",
    ),
    (
        QUERY_ERROR,
        "Error parsing the X-Amz-Credential parameter; incorrect date format. ...",
        {},
        "the day in X-Amz-Credential",
    ),
    (
        QUERY_ERROR,
        'Invalid credential date "20260101". This date is not the same as X-Amz-Date: "20260301".',
        {},
        "another day",
    ),
    (
        QUERY_ERROR,
        'Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; expecting "..."',
        {},
        "incomplete",
    ),
    (
        QUERY_ERROR,
        "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, ...",
        {},
        "cut at an &",
    ),
    ("AccessDenied", "Request has expired", {}, "used after its end"),
    ("ExpiredPresignRequest", "Request has expired", {}, "used after its end"),
    ("AccessDenied", "Request is not yet valid", {}, "clock"),
    ("AccessDenied", "Request is not valid yet", {}, "clock"),
    ("AccessDenied", "Access Denied", {}, "no permission"),
    (
        "AccessDenied",
        "There were headers present in the request which were not signed",
        {},
        "headers were sent that are not signed",
    ),
    (
        "InvalidArgument",
        "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, ...",
        {},
        "an Authorization header beside",
    ),
    (
        "InvalidArgument",
        "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4.",
        {},
        "version 2",
    ),
    ("InvalidArgument", "Header value cannot be represented using ISO-8859-1.", {}, "filename*="),
    ("NotImplemented", "A header you provided implies functionality that is not implemented", {}, "in chunks"),
    ("MissingContentLength", "You must provide the Content-Length HTTP header.", {}, "in chunks"),
    ("IllegalLocationConstraintException", "The me-south-1 location constraint is incompatible", {}, "in another region"),
    (
        "PermanentRedirect",
        "The bucket you are attempting to access",
        {"Region": "us-west-2"},
        "in another region: sign for that region and its host (us-west-2)",
    ),
    ("RequestTimeTooSkewed", "The difference between the request time", {}, "the clock"),
    ("InvalidAccessKeyId", "The AWS Access Key Id you provided", {}, "does not know this access key id"),
    ("InvalidTokenId", "The security token included in the request is invalid", {}, "session token"),
    ("ExpiredToken", "The provided token has expired.", {}, "used after its end"),
    ("ExpiredToken", "no", {}, "the temporary credentials ended"),
    ("MethodNotAllowed", "The specified method is not allowed", {}, "another HTTP method"),
    ("BadDigest", "The CRC32 you specified did not match the calculated checksum.", {}, "the body is not the one"),
    ("XAmzContentChecksumMismatch", "no", {}, "the body is not the one"),
    ("SignatureDoesNotMatch", "no", {}, "another request was sent"),
]


@pytest.mark.parametrize(("code", "message", "elements", "cause"), MESSAGES)
def test_a_cause_is_named_by_code_and_message(code: str, message: str, elements: dict[str, str], cause: str) -> None:
    causes = refused(code, message, **elements)
    assert cause in causes[0]
    assert len(causes) == 1
    assert explain_at(GET.url, NOW, error_xml=error("Unheard", **elements)).causes == ()


def test_every_row_of_refusals_is_reached() -> None:
    """A row that stands behind a wider one would never be named."""
    for row in REFUSALS:
        codes = row.codes or ("AnyCode",)
        assert [refused(code, row.words.upper() or "no")[0].startswith(row.cause) for code in codes] == [True] * len(codes)


@pytest.mark.parametrize(
    ("listed", "named"),
    [
        ("x-amz-meta-a", "x-amz-meta-a"),
        ("x-amz-acl, content-type", "x-amz-acl, content-type"),
        ("host;range", "host, range"),
        ("<b>x</b> a=b x-amz-acl", "x-amz-acl"),
        (signature_of(GET.url)[:40] + " x-amz-acl", "x-amz-acl"),
        ("a" * 61 + " x-amz-acl", "x-amz-acl"),
    ],
)
def test_headers_that_were_not_signed_are_named(listed: str, named: str) -> None:
    message = "There were headers present in the request which were not signed"
    assert refused("AccessDenied", message, HeadersNotSigned=listed)[1:] == (f"not signed, but sent: {named}",)


def test_a_list_of_no_header_names_names_none() -> None:
    message = "There were headers present in the request which were not signed"
    assert len(refused("AccessDenied", message, HeadersNotSigned="<b> " * 5000)) == 1


NOTHING = {
    "Content-MD5": base64.b64encode(hashlib.md5(b"").digest()).decode(),
    "x-amz-checksum-crc32": base64.b64encode(zlib.crc32(b"").to_bytes(4, "big")).decode(),
    "X-Amz-Checksum-Crc32c": "AAAAAA==",
    "x-amz-checksum-crc64nvme": base64.b64encode(bytes(8)).decode(),
    "x-amz-checksum-sha1": base64.b64encode(hashlib.sha1(b"").digest()).decode(),
    "x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(b"").digest()).decode(),
    "x-amz-checksum-sha512": base64.b64encode(hashlib.sha512(b"").digest()).decode(),
    "X-Amz-Content-Sha256": hashlib.sha256(b"").hexdigest(),
}


@pytest.mark.parametrize("name", NOTHING)
def test_the_checksum_of_an_empty_body_is_named_with_and_without_an_error_document(name: str) -> None:
    request = presigner(PLAIN).presign("put_object", OBJECT, extra_query={name: NOTHING[name]})
    for document in (error("BadDigest"), None):
        causes = explain_at(request.url, NOW, error_xml=document).causes
        assert f"the checksum of an empty body is signed, which no other body fits: {name.lower()}" in causes
    other = presigner(PLAIN).presign(
        "put_object", OBJECT, extra_query={name: "AAAAAQ==" if len(NOTHING[name]) < 64 else "0" * 64}
    )
    assert not any("empty body" in cause for cause in explain_at(other.url, NOW).causes)


def test_the_checksum_of_an_empty_body_is_found_among_the_headers_that_the_server_saw() -> None:
    request = presigner(PLAIN).presign("put_object", {**OBJECT, "ContentMD5": NOTHING["Content-MD5"]})
    assert "empty body" not in "".join(explain_at(request.url, NOW).causes)
    assert "no other body fits: content-md5" in "".join(explain_at(request.url, NOW, error_xml=seen(request)).causes)


def altered(*changes: tuple[str, str]) -> str:
    url = GET.url
    for before, after in changes:
        assert before in url
        url = url.replace(before, after)
    return url


ALONE: list[tuple[str, str, datetime, str]] = [
    ("over a week", altered(("Expires=3600", "Expires=604801")), NOW, "X-Amz-Expires is 604801"),
    ("no life", altered(("Expires=3600", "Expires=0")), NOW, "X-Amz-Expires is 0"),
    ("negative life", altered(("Expires=3600", "Expires=-5")), NOW, "X-Amz-Expires is -5"),
    ("ended", GET.url, NOW + timedelta(seconds=3601), "the URL ended at"),
    ("not yet valid", GET.url, NOW - timedelta(minutes=15, seconds=1), "dated ahead"),
    ("wrong day", altered(("%2F20260301%2F", "%2F20260302%2F")), NOW, "another day (20260302)"),
    ("other algorithm", altered(("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1")), NOW, "the algorithm is not"),
    ("multi-region access point", altered(("bucket.s3.eu-central-1", "m.accesspoint.s3-global")), NOW, "SigV4A"),
    ("region set", GET.url + "&X-Amz-Region-Set=*", NOW, "SigV4A"),
    ("temporary key without a token", altered(("AKIDEXAMPLE", "ASIDEXAMPLE"), ("ASID", "ASIA")), NOW, "has no session token"),
    ("host not signed", altered(("SignedHeaders=host", "SignedHeaders=range")), NOW, "host is not among"),
    ("host twice", altered(("SignedHeaders=host", "SignedHeaders=host%3Bhost")), NOW, "not a sorted list"),
    ("signature of version 2", GET.url + "&Signature=a", NOW, "another way to authenticate"),
    ("semicolon", GET.url + "&a=b;c", NOW, "a semicolon is not encoded"),
]  # fmt: skip


@pytest.mark.parametrize(("url", "now", "cause"), [row[1:] for row in ALONE], ids=[row[0] for row in ALONE])
def test_what_a_url_alone_tells_is_named_without_an_error_document(url: str, now: datetime, cause: str) -> None:
    assert cause in explain_at(url, now).causes[0]


def test_a_url_of_sigv4a_is_named_as_such() -> None:
    url = GET.url.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256").replace("eu-central-1%2F", "")
    with pytest.raises(InvalidRequest, match="SigV4A"):
        explain_url(url)


@pytest.mark.parametrize(
    ("now", "causes"),
    [
        (NOW, 0),
        (NOW - timedelta(minutes=15), 0),
        (NOW - timedelta(minutes=15, microseconds=1), 1),
        (NOW + timedelta(seconds=3600), 0),
        (NOW + timedelta(seconds=3600, microseconds=1), 1),
    ],
    ids=str,
)
def test_a_url_signed_just_now_has_nothing_against_it_within_15_minutes(now: datetime, causes: int) -> None:
    assert len(explain_at(GET.url, now).causes) == causes


def test_a_url_signed_just_now_has_nothing_against_it_by_the_machines_clock() -> None:
    for ahead in (timedelta(0), timedelta(minutes=14), -timedelta(minutes=50)):
        request = Presigner(PLAIN, region="x").presign("list_buckets", signing_time=datetime.now(UTC) + ahead)
        assert explain_url(request.url, credentials=PLAIN).causes == ()


@pytest.mark.parametrize("now", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_no_clock_overflows_an_explanation(now: datetime) -> None:
    assert explain_at(GET.url.replace("20260301T", "99991231T"), now).causes
    assert explain_at(GET.url.replace("20260301T", "00010101T"), now).causes


def test_a_token_that_was_added_left_out_or_exchanged_is_named() -> None:
    added = GET.url.replace("&X-Amz-Signature", "&X-Amz-Security-Token=added&X-Amz-Signature")
    assert explain_at(added, NOW, credentials=PLAIN).causes == (
        "the session token is not signed: it was added to the URL afterwards",
    )
    left_out = explain_at(GET.url, NOW, credentials=CREDENTIALS).causes
    assert left_out == ("the access key is a temporary one, and the URL has no session token",)
    request = presigner().presign("get_object", OBJECT)
    other = replace(CREDENTIALS, session_token="other")
    assert explain_at(request.url, NOW, credentials=other).causes == (
        "the session token is not that of the credentials given here",
    )
    ended = replace(CREDENTIALS, expires_at=NOW - DAY)
    assert explain_at(request.url, NOW, credentials=ended).causes == ("the credentials have ended, and the URL with them",)


def test_a_right_url_whose_signature_does_not_hold_was_sent_otherwise() -> None:
    document = error("SignatureDoesNotMatch")
    assert explain_at(GET.url, NOW, error_xml=document, credentials=PLAIN).causes == (
        "another request was sent than was signed: another method, another Host, or headers that are not the signed ones",
    )
    assert "or the server has another secret" in explain_at(GET.url, NOW, error_xml=document).causes[0]


def test_the_clock_is_looked_at() -> None:
    past = explain_url(GET.url)
    assert past.causes == (f"the URL ended at {GET.expires_at.isoformat()}",)
    ahead = Presigner(PLAIN, region="x").presign("list_buckets", signing_time=datetime.now(UTC) + DAY)
    assert "dated ahead" in explain_url(ahead.url).causes[0]
    other = explain_url(GET.url.replace("%2F20260301%2F", "%2F20260302%2F"))
    assert other.causes[0] == "the scope is of another day (20260302) than the date (20260301)"


@pytest.mark.parametrize("document", ["", "<html/>", b"\xff", "<Error>", 5, ["<Error/>"], "\ud800"])
def test_what_is_no_error_document_is_invalid(document: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        explain_url(GET.url, error_xml=document)
    assert [problem.argument for problem in caught.value.problems] == ["error_xml"]


def test_customer_keys_stay_out_of_an_explanation() -> None:
    request = put(SSECustomerKey="customer-key-customer-key-custom")
    key = request.headers["x-amz-server-side-encryption-customer-key"]
    explanation = explain_url(request.url, error_xml=seen(request, host="other"), credentials=CREDENTIALS)
    assert_clean(str(explanation) + repr(explanation), [SECRET, TOKEN, key, signature_of(request.url)])
    assert explanation.signature_matches is True


def test_the_example_of_the_page_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parent.parent / "docs/inspection.md").read_text(encoding="utf-8")
    example, printed = re.findall(r"^```(?:python|text)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    exec(compile(example, "docs/inspection.md", "exec"), {})
    assert capsys.readouterr().out == printed


# --- anything at all --------------------------------------------------------------------------------------------------

letters = st.text(max_size=20)
broken = st.text(st.characters(), max_size=20)  # lone surrogates too
queries = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders",
                                   "X-Amz-Signature", "X-Amz-Security-Token", "x-id"]), letters),
        st.one_of(st.sampled_from(["AWS4-HMAC-SHA256", "AKID/20260301/x/s3/aws4_request", "20260301T123045Z",
                                   "99991231T235959Z", "9999999999", "host;x-amz-meta-a", ";", "0"]), letters),
    ),
    max_size=10,
).map(lambda pairs: "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs))  # fmt: skip
REST = "AKID%2F20260301%2Fx%2Fs3%2Faws4_request&X-Amz-Expires=9999999999&X-Amz-SignedHeaders=host&X-Amz-Signature=0"
urls = st.one_of(
    letters,
    st.builds("{}://{}/{}?{}".format, st.sampled_from(["http", "https", "HTTP", "s3"]), letters, letters, queries),
    st.builds(
        "https://h{}?{}&X-Amz-Algorithm={}&X-Amz-Date=99991231T235959Z&X-Amz-Credential=".format, letters, queries, letters
    ).map(lambda text: text + REST),
)
spots = st.tuples(st.integers(0, len(PUT.url) - 1), st.one_of(letters, st.characters()))


def answered(url: str, header: str = "b") -> None:
    """Read and answered, or `InvalidRequest`; any other exception fails the test by itself."""
    for call in (
        lambda: inspect_url(url).operation,
        lambda: verify_url(url, CREDENTIALS, method="GET", headers={"x-amz-meta-a": header}, at=NOW),
        lambda: str(explain_url(url, credentials=CREDENTIALS, error_xml=seen())),
    ):
        with suppress(InvalidRequest):
            assert call() is not True


@settings(max_examples=5 * settings().max_examples)
@given(urls, broken)
@example("https://h/?" + "&".join(f"{name}=%00" for name in ("X-Amz-Signature", "X-Amz-Date")), "b")
def test_any_url_is_answered(url: str, header: str) -> None:
    answered(url, header)


@settings(max_examples=5 * settings().max_examples)
@given(spots)
def test_a_broken_url_is_answered(spot: tuple[int, str]) -> None:
    at, text = spot
    answered(PUT.url[:at] + text + PUT.url[at + 1 :])


jsonish = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), letters),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(letters, inner, max_size=4)),
    max_leaves=8,
)
said = st.lists(
    st.one_of(
        jsonish,
        st.tuples(st.sampled_from(["eq", "starts-with"]), st.sampled_from(["$key", "$acl", "$Content-Type"]), letters),
        st.tuples(st.just("content-length-range"), st.integers(), st.integers()),
    ),
    max_size=4,
)
policies = st.one_of(
    letters,
    st.binary(max_size=40).map(lambda data: base64.b64encode(data).decode()),
    jsonish.map(recoded),
    st.builds(lambda end, conditions: recoded({"expiration": end, "conditions": conditions}), st.one_of(
        st.sampled_from(["2026-03-01T13:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"]), letters), said),
)  # fmt: skip
names = st.sampled_from([*FORM, "acl", "KEY", "x-amz-storage-class"])


@settings(max_examples=5 * settings().max_examples)
@given(
    st.dictionaries(names, letters, max_size=4),
    st.one_of(st.none(), policies),
    letters,
    st.integers(0),
    st.one_of(st.none(), letters),
)
def test_any_form_is_answered(
    changes: dict[str, str], policy: str | None, bucket: str, size: int, filename: str | None
) -> None:
    fields = {**FORM, **changes, **({} if policy is None else {"policy": policy})}
    with suppress(InvalidRequest):
        verification = verify_post(fields, CREDENTIALS, bucket=bucket, size=size, filename=filename, at=NOW)
        assert not verification or (fields["policy"] == FORM["policy"] and bucket == "bucket")


# --- behind a proxy, and at a host that is the bucket --------------------------------------------------------------------


def test_what_a_proxy_removes_is_in_the_url_and_not_signed() -> None:
    behind = Presigner(
        PLAIN,
        region="us-east-1",
        endpoint_url="http://minio:9000",
        public_endpoint_url="https://h.example.com/a/minio/",
        stripped_prefix="/a/minio",
        clock=lambda: NOW,
    )
    direct = Presigner(PLAIN, region="us-east-1", endpoint_url="https://h.example.com", clock=lambda: NOW)
    for operation, params in (("get_object", OBJECT), ("list_buckets", {}), ("put_object", {**OBJECT, "ContentType": "a/b"})):
        shown, seen = behind.presign(operation, params), direct.presign(operation, params)
        assert shown.url == seen.url.replace("h.example.com", "h.example.com/a/minio", 1)
        method, headers = shown.method, shown.headers
        assert verify_url(seen.url, PLAIN, method=method, headers=headers, at=NOW).ok
        assert verify_url(shown.url, PLAIN, method=method, headers=headers, at=NOW, stripped_prefix="/a/minio").ok
        assert not verify_url(shown.url, PLAIN, method=method, headers=headers, at=NOW).ok
        explained = explain_at(shown.url, NOW, credentials=PLAIN, stripped_prefix="/a/minio/")
        assert explained.signature_matches is (None if headers else True)
    assert behind.presign_urls("get_object", "bucket", ["k"])[0].startswith("https://h.example.com/a/minio/bucket/k?")
    assert behind.presign_post("bucket", "k").url == "https://h.example.com/a/minio/bucket"
    found = inspect_url(behind.presign("get_object", OBJECT).url, stripped_prefix="/a/minio")
    assert (found.bucket, found.key, "GetObject" in found.operations) == (OBJECT["Bucket"], OBJECT["Key"], True)


@pytest.mark.parametrize("prefix", ["/b", "/buck", "x", 5, None])
def test_a_url_without_the_prefix_that_a_proxy_removes_is_none(prefix: Any) -> None:
    calls: list[Callable[..., Any]] = [
        inspect_url,
        explain_url,
        lambda url, **options: verify_url(url, PLAIN, method="GET", **options),
    ]
    for call in calls:
        with pytest.raises(InvalidRequest, match=r"^(url|stripped_prefix): "):
            call(GET.url, stripped_prefix=prefix)


def test_the_key_is_the_whole_path_at_a_host_that_is_the_bucket() -> None:
    at_cdn = Presigner(
        PLAIN, region="us-east-1", public_endpoint_url="https://cdn.example.com", bucket_endpoint=True, clock=lambda: NOW
    )
    request = at_cdn.presign("get_object", {"Bucket": "anything", "Key": "a/b c"})
    assert request.url.startswith("https://cdn.example.com/a/b%20c?")
    assert verify_url(request.url, PLAIN, method="GET", at=NOW).ok
    found = inspect_url(request.url, bucket_endpoint=True)
    assert (found.bucket, found.key, "GetObject" in found.operations) == (None, "a/b c", True)
    listing = inspect_url(at_cdn.presign("list_objects_v2", {"Bucket": "anything"}).url, bucket_endpoint=True)
    assert (listing.key, listing.operation) == (None, "ListObjectsV2")
    form = at_cdn.presign_post("anything", "k")
    assert form.url == "https://cdn.example.com/"
    assert verify_post(form.fields, PLAIN, bucket="anything", size=1, at=NOW).ok
    with pytest.raises(InvalidRequest, match=r"^bucket_endpoint: "):
        inspect_url(request.url, bucket_endpoint="yes")  # type: ignore[arg-type]
