"""Query-string presigning: AWS's own URL, the order of the parameters, and that a signature covers everything."""

from __future__ import annotations

import unittest
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign import Credentials, Presigner
from asyncpresign._sigv4.canonical import trim, uri_encode, uri_encode_all
from asyncpresign._sigv4.presign import prove, url_template
from asyncpresign._sigv4.signing import CredentialScope

from . import reference
from .stdlib_only import cases, check_botocore_url, check_presigned_url, presign_url

EXAMPLE = {
    "method": "GET",
    "origin": "https://bucket.example.com",
    "host": "bucket.example.com",
    "path": "/key",
    "query": [("versionId", "v 1")],
    "headers": {"Range": "bytes=0-9"},
    "access_key_id": "AKID",
    "secret_access_key": "secret",
    "session_token": None,
    "scope": CredentialScope("20260301", "eu-central-1"),
    "timestamp": "20260301T123045Z",
    "expires_in": 60,
}


@pytest.mark.parametrize("case", cases("aws_presigned_urls"), ids=lambda case: case["path"])
def test_awss_example(case: dict[str, Any]) -> None:
    check_presigned_url(unittest.TestCase(), case)


@pytest.mark.parametrize("case", cases("botocore_urls"), ids=lambda case: case["operation"])
def test_frozen_urls_of_botocore(case: dict[str, Any]) -> None:
    check_botocore_url(unittest.TestCase(), case)


def test_awss_example_from_end_to_end() -> None:
    """The host of 2013 is the global one, which an `endpoint_url` can still name."""
    [case] = cases("aws_presigned_urls")
    signer = Presigner(
        Credentials(case["access_key_id"], case["secret_access_key"]),
        region="us-east-1",
        endpoint_url="https://s3.amazonaws.com",
        addressing_style="virtual",
    )
    params = {"Bucket": "examplebucket", "Key": "test.txt"}
    request = signer.presign("get_object", params, expires_in=86400, signing_time=datetime(2013, 5, 24, tzinfo=UTC))
    assert request.url == case["url"]
    assert request.url.endswith("aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")
    assert request.expires_at == datetime(2013, 5, 25, tzinfo=UTC)


def test_the_order_is_own_parameters_then_proof_then_token_then_signature() -> None:
    names = [name for name, _ in parse_qsl(urlsplit(presign_url(**{**EXAMPLE, "session_token": "to/ken"})).query)]
    assert names == [
        "versionId",
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Security-Token",
        "X-Amz-Signature",
    ]


def test_every_header_given_is_signed_and_host_always() -> None:
    query = dict(parse_qsl(urlsplit(presign_url(**EXAMPLE)).query))
    assert query["X-Amz-SignedHeaders"] == "host;range"
    assert dict(parse_qsl(urlsplit(presign_url(**{**EXAMPLE, "headers": {}})).query))["X-Amz-SignedHeaders"] == "host"


CHANGES = {
    "method": "HEAD",
    "host": "bucket.example.com:8443",
    "path": "/Key",
    "query": [("versionId", "v  1")],
    "headers": {"Range": "bytes=0-8"},
    "access_key_id": "AKIE",
    "secret_access_key": "secreT",
    "session_token": "token",
    "scope": CredentialScope("20260302", "eu-central-1"),
    "timestamp": "20260301T123046Z",
    "expires_in": 61,
}


def signature_of(url: str) -> str:
    return url.rpartition("&X-Amz-Signature=")[2]


@pytest.mark.parametrize("changed", CHANGES)
def test_the_signature_covers(changed: str) -> None:
    assert EXAMPLE[changed] != CHANGES[changed]
    assert signature_of(presign_url(**{**EXAMPLE, changed: CHANGES[changed]})) != signature_of(presign_url(**EXAMPLE))


def test_the_signature_does_not_cover_the_scheme() -> None:
    assert signature_of(presign_url(**{**EXAMPLE, "origin": "http://bucket.example.com"})) == signature_of(
        presign_url(**EXAMPLE)
    )


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
header_texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)


@given(
    st.lists(texts.filter(bool), max_size=6),
    st.lists(st.tuples(st.one_of(texts, st.sampled_from(["X-Amz-E", "X-Amz-T", "x-id", "A"])), texts), max_size=4),
    st.dictionaries(st.sampled_from(["Range", "x-amz-meta-a", "X-Amz-B", "IF-MATCH"]), header_texts, max_size=3),
    st.one_of(st.none(), texts.filter(bool)),
    st.sampled_from(["", "/", "/base/bucket/"]),
    st.integers(1, 604_800),
    st.data(),
)
def test_urls_are_the_specifications(
    keys: list[str],
    query: list[tuple[str, str]],
    headers: dict[str, str],
    token: str | None,
    base: str,
    life: int,
    data: st.DataObject,
) -> None:
    """Whatever is prepared once and shared, or left open: each URL is what plain code makes of the specification by itself."""
    scope, timestamp = CredentialScope("20260301", "eu-central-1"), "20260301T123045Z"
    given = {"method": "GET", "origin": "https://h.example:1", "host": "h.example:1", "query": query, "headers": headers}
    names = [name for name, _ in query]
    open_query = [index for index, name in enumerate(names) if data.draw(st.booleans()) and names.count(name) == 1]
    open_headers = [name for name in headers if data.draw(st.booleans())]
    left_open = {
        "query": [(name, None if index in open_query else value) for index, (name, value) in enumerate(query)],
        "headers": {name: None if name in open_headers else value for name, value in headers.items()},
    }
    template = url_template(path=base or "/", with_token=token is not None, **{**given, **left_open})
    proof = prove(
        access_key_id="AKID",
        secret_access_key="secret/ü",
        session_token=token,
        scope=scope,
        timestamp=timestamp,
        expires_in=life,
    )
    values = [uri_encode(query[index][1]) for index in open_query], [trim(headers[name]) for name in open_headers]
    proved, rests = template.at(proof), uri_encode_all(keys, keep_slash=True)
    who = {"access_key_id": "AKID", "secret": "secret/ü", "token": token, "scope": str(scope), "timestamp": timestamp}
    expected = [reference.presign(key=base[1:] + key, **given, **who, expires_in=life) for key in keys]
    assert proved.fill(*values).urls(rests) == expected
    assert [proved.url(rest, *values) for rest in rests] == expected
    start = template.start
    assert repr((proof, proved, proved.fill(*values))) == (
        f"(Proof(...), OpenTemplate({start!r}, ...), SignedTemplate({start!r}, ...))"
    )
