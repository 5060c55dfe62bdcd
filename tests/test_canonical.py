"""How paths, queries and headers are spelt before they are hashed."""

from __future__ import annotations

import unittest
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign._sigv4.canonical import (
    UNSIGNED_PAYLOAD,
    canonical_headers,
    canonical_query,
    canonical_request,
    encode_query,
    join_query,
    uri_encode,
    uri_encode_all,
)
from asyncpresign._sigv4.comparison import Parts, compare_requests, split_request

from .stdlib_only import cases, check_stages, check_uri_encoding

texts = st.text(st.characters(exclude_categories=["Cs"]))
UNRESERVED = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@pytest.mark.parametrize("case", cases("uri_encoding"), ids=lambda case: ascii(case["text"][:20]))
def test_uri_encoding_vectors(case: dict[str, Any]) -> None:
    check_uri_encoding(unittest.TestCase(), case)


@pytest.mark.parametrize("case", cases("aws_stages"), ids=lambda case: case["name"])
def test_awss_examples_stage_by_stage(case: dict[str, Any]) -> None:
    check_stages(unittest.TestCase(), case)


@given(texts)
def test_encoding_is_undone_by_decoding_and_leaves_unreserved_letters_only(text: str) -> None:
    encoded = uri_encode(text)
    assert unquote(encoded, errors="strict") == text
    assert set(encoded) <= UNRESERVED | {"%"}


@given(texts, st.sampled_from(["a", "aaaaaaaa", "%25%2Fa", "ü%/ü"]), st.integers(0, 9), st.booleans())
def test_a_text_is_encoded_as_its_characters_are(text: str, filler: str, times: int, keep_slash: bool) -> None:
    """Whether much of it has to be encoded or little, which is done in two ways."""
    whole = f"{filler * times}{text}{filler * times}"
    assert uri_encode(whole, keep_slash=keep_slash) == "".join(uri_encode(one, keep_slash=keep_slash) for one in whole)


@given(st.lists(st.one_of(texts, st.text("aZ09-._~/", max_size=5)), max_size=5), st.booleans())
def test_many_are_encoded_as_each_is(some: list[str], keep_slash: bool) -> None:
    assert uri_encode_all(some, keep_slash=keep_slash) == [uri_encode(text, keep_slash=keep_slash) for text in some]


@given(texts)
def test_a_kept_slash_is_the_only_difference(text: str) -> None:
    assert uri_encode(text, keep_slash=True).replace("/", "%2F") == uri_encode(text)


@pytest.mark.parametrize("key", ["//", "/a//b/", ".", "..", "a/../b", "./a", "../../etc/passwd"])
def test_paths_are_not_normalised(key: str) -> None:
    assert uri_encode(key, keep_slash=True) == key


def test_composed_and_decomposed_letters_stay_apart() -> None:
    assert (uri_encode("\u00e9"), uri_encode("e\u0301")) == ("%C3%A9", "e%CC%81")


def test_a_query_keeps_its_order_in_the_url_and_is_sorted_when_hashed() -> None:
    encoded = encode_query([("b", "2"), ("a", "x y"), ("B", ""), ("a", "10")])
    assert join_query(encoded) == "b=2&a=x%20y&B=&a=10"
    assert canonical_query(encoded) == "B=&a=10&a=x%20y&b=2"


def test_a_query_is_sorted_by_its_encoded_names() -> None:
    """`~` is encoded as itself and stands behind `%7B`, which as a letter stands before it too; `ü` is `%C3`."""
    assert canonical_query(encode_query([("z", "1"), ("ü", "2"), ("-", "3")])) == "%C3%BC=2&-=3&z=1"


def test_headers_are_lowered_sorted_and_trimmed() -> None:
    block, signed = canonical_headers({"X-Amz-B": "  two\t words ", "Host": "h", "x-amz-a": ""})
    assert block == "host:h\nx-amz-a:\nx-amz-b:two words\n"
    assert signed == "host;x-amz-a;x-amz-b"


def test_a_request_has_six_parts_and_an_unsigned_payload_unless_told() -> None:
    assert canonical_request("GET", "/k", "a=b", "host:h\n", "host") == f"GET\n/k\na=b\nhost:h\n\nhost\n{UNSIGNED_PAYLOAD}"
    assert canonical_request("GET", "/", "", "host:h\n", "host", "e3b0").endswith("\ne3b0")


def test_a_canonical_request_is_read_line_by_line() -> None:
    text = "GET\n/a\nx=1\nhost:h\nx-amz-meta-a:b:c\n\nhost;x-amz-meta-a\nUNSIGNED-PAYLOAD"
    headers = {"host": "h", "x-amz-meta-a": "b:c"}
    assert split_request(text) == ("GET", "/a", "x=1", headers, "host;x-amz-meta-a", "UNSIGNED-PAYLOAD")
    assert split_request("GET\n/a\nx=1\n\nhost") is None
    assert split_request(text.replace("\n\n", "\n")) is None


def test_a_header_that_differs_is_shown_with_its_name_on_both_sides() -> None:
    signed = Parts("GET", "/", "", {"host": "h", "a": "1", "b": "2"}, "host;a;b", "UNSIGNED-PAYLOAD")
    seen = signed._replace(headers={"host": "h", "a": "3", "c": "4"})
    found = compare_requests(signed, seen)
    assert [(one.part, one.line, one.signed, one.seen) for one in found] == [
        ("header a", 5, "a:1", "a:3"),
        ("header c", 6, "", "c:4"),
        ("header b", 0, "b:2", ""),
    ]
