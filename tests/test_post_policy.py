"""Which conditions a form carries, in which order, and what is signed."""

from __future__ import annotations

import base64
import json
import unittest
from collections import UserList
from types import MappingProxyType
from typing import Any

import pytest

from asyncpresign._sigv4.post_policy import (
    Rule,
    basename,
    field_condition,
    is_met,
    key_condition,
    needs_condition,
    read_condition,
    read_policy,
    sign_form,
)
from asyncpresign._sigv4.signing import CredentialScope, signature, signing_key

from .stdlib_only import cases, check_botocore_form, check_post_policy

SCOPE = CredentialScope("20260301", "eu-central-1")
CREDENTIAL = f"AKID/{SCOPE}"


def form(fields: dict[str, str] | None = None, conditions: Any = (), **changes: Any) -> dict[str, str]:
    given: dict[str, Any] = {
        "bucket": "bucket",
        "key": "key",
        "expiration": "2026-03-01T13:00:00Z",
        "access_key_id": "AKID",
        "secret_access_key": "secret",
        "session_token": None,
        "scope": SCOPE,
        "timestamp": "20260301T123045Z",
        **changes,
    }
    return sign_form(fields=fields or {}, conditions=conditions, **given)


def policy(signed: dict[str, str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(base64.b64decode(signed["policy"]))
    return document


PROOF = [{"x-amz-algorithm": "AWS4-HMAC-SHA256"}, {"x-amz-credential": CREDENTIAL}, {"x-amz-date": "20260301T123045Z"}]


@pytest.mark.parametrize("case", cases("aws_post_policy"), ids=lambda case: case["bucket"])
def test_awss_example(case: dict[str, Any]) -> None:
    check_post_policy(unittest.TestCase(), case)


@pytest.mark.parametrize("case", cases("botocore_forms"), ids=lambda case: case["key"])
def test_frozen_forms_of_botocore(case: dict[str, Any]) -> None:
    check_botocore_form(unittest.TestCase(), case)


def test_a_form_with_nothing_of_the_callers() -> None:
    signed = form()
    assert list(signed) == ["key", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "policy", "x-amz-signature"]
    assert policy(signed) == {
        "expiration": "2026-03-01T13:00:00Z",
        "conditions": [{"bucket": "bucket"}, {"key": "key"}, *PROOF],
    }
    assert signed["x-amz-signature"] == signature(signing_key("secret", SCOPE), signed["policy"])


def test_the_token_is_a_field_and_a_condition() -> None:
    signed = form(session_token="to/ken")
    assert signed["x-amz-security-token"] == "to/ken"
    assert policy(signed)["conditions"][-1] == {"x-amz-security-token": "to/ken"}


def test_conditions_are_the_callers_then_uncovered_fields_then_the_forms_own() -> None:
    conditions = [["content-length-range", 1, 2], ["starts-with", "$Content-Type", "image/"]]
    signed = form({"acl": "private", "content-type": "image/png", "x-amz-meta-a": "é"}, conditions)
    assert policy(signed)["conditions"] == [
        *conditions,
        {"acl": "private"},
        {"x-amz-meta-a": "é"},
        {"bucket": "bucket"},
        {"key": "key"},
        *PROOF,
    ]
    assert list(signed)[:4] == ["acl", "content-type", "x-amz-meta-a", "key"]


@pytest.mark.parametrize("said", [{"bucket": "bucket"}, {"key": "key"}, PROOF[0]], ids=str)
def test_what_the_caller_said_is_not_said_again(said: dict[str, str]) -> None:
    conditions = policy(form(conditions=[said]))["conditions"]
    assert conditions.count(said) == 1
    assert conditions[0] == said
    assert len(conditions) == 5


def test_a_weaker_condition_on_the_key_does_not_replace_the_exact_one() -> None:
    conditions = policy(form(conditions=[["starts-with", "$key", ""]]))["conditions"]
    assert {"key": "key"} in conditions


@pytest.mark.parametrize(
    "name", ["x-ignore-me", "X-Ignore-", "file", "Policy", "x-amz-signature", "AWSAccessKeyId", "signature"]
)
def test_fields_that_s3_does_not_ask_to_cover(name: str) -> None:
    assert not needs_condition(name)
    assert name not in str(policy(form({name: "value"}))["conditions"])


@pytest.mark.parametrize("name", ["acl", "x-ignore", "x-amz-meta-file", "Content-Type", "success_action_status"])
def test_fields_that_s3_asks_to_cover(name: str) -> None:
    assert needs_condition(name)
    assert {name: "value"} in policy(form({name: "value"}))["conditions"]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("key", {"key": "key"}),
        ("${filename}", ["starts-with", "$key", ""]),
        ("user/${filename}", ["starts-with", "$key", "user/"]),
        ("user/${filename}.jpg", {"key": "user/${filename}.jpg"}),
        ("${filename}${filename}", ["starts-with", "$key", "${filename}"]),
    ],
)
def test_only_a_final_filename_loosens_the_key(key: str, expected: Any) -> None:
    assert key_condition(key) == expected
    signed = form(key=key)
    assert expected in policy(signed)["conditions"]
    assert signed["key"] == key


def test_conditions_cover_by_name_without_regard_to_case() -> None:
    signed = form({"acl": "private", "B": "c", "x-amz-meta-a": "x"}, [{"ACL": "private"}, ("eq", "$b", "c")])
    assert policy(signed)["conditions"][2:3] == [{"x-amz-meta-a": "x"}]


@pytest.mark.parametrize(
    ("value", "condition"),
    [
        ("plain", {"x-amz-meta-a": "plain"}),
        ("${filename}", ["starts-with", "$x-amz-meta-a", ""]),
        ("a-${filename}.b", ["starts-with", "$x-amz-meta-a", "a-"]),
    ],
)
def test_a_field_with_the_files_name_is_asked_for_its_beginning(value: str, condition: Any) -> None:
    assert field_condition("x-amz-meta-a", value) == condition
    assert condition in policy(form({"x-amz-meta-a": value}))["conditions"]


@pytest.mark.parametrize(
    "said",
    [["eq", "$bucket", "bucket"], {"Bucket": "bucket"}, ("eq", "$Key", "key"), {"X-Amz-Algorithm": "AWS4-HMAC-SHA256"}],
    ids=str,
)
def test_another_spelling_of_what_the_form_says_is_not_said_again(said: Any) -> None:
    assert len(policy(form(conditions=[said]))["conditions"]) == 5


def test_conditions_of_any_mapping_and_sequence_type_become_json() -> None:
    signed = form(
        conditions=[MappingProxyType({"acl": "private"}), ("content-length-range", 1, 2), UserList(["eq", "$a", "b"])]
    )
    assert policy(signed)["conditions"][:3] == [{"acl": "private"}, ["content-length-range", 1, 2], ["eq", "$a", "b"]]


def test_the_document_is_ascii() -> None:
    assert base64.b64decode(form({"x-amz-meta-a": "é🎉"})["policy"]).isascii()


# --- reading and keeping a policy -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "rule"),
    [
        ({"ACL": "private"}, Rule("eq", "acl", "private")),
        (["eq", "$Content-Type", ""], Rule("eq", "content-type", "")),
        (("starts-with", "$key", "a/"), Rule("starts-with", "key", "a/")),
        (["content-length-range", 0, 10], Rule("content-length-range", "", (0, 10))),
        (["content-length-range", 2, 1], Rule("content-length-range", "", (2, 1))),
        ({}, None),
        ({"a": "b", "c": "d"}, None),
        ({"a": 1}, None),
        ({1: "a"}, None),
        (["eq", "key", "a"], None),
        (["eq", "$", "a"], None),
        ({"": "a"}, None),
        (["EQ", "$key", "a"], Rule("eq", "key", "a")),
        (["StArTs-WiTh", "$Key", "A"], Rule("starts-with", "key", "A")),
        (["\u017ftarts-with", "$key", "a"], None),
        ([b"eq", "$key", "a"], None),
        (["in", "$key", "a"], None),
        (["eq", "$key"], None),
        (["eq", "$key", 1], None),
        (["content-length-range", "0", "10485760"], Rule("content-length-range", "", (0, 10485760))),
        (("Content-Length-RANGE", "0", 10), Rule("content-length-range", "", (0, 10))),
        (["content-length-range", "00", str(2**63 - 1)], Rule("content-length-range", "", (0, 2**63 - 1))),
        *((["content-length-range", "0", text], None) for text in ("", "+1", "-1", " 1", "1.0", "1e1", "\u0661", str(2**63))),
        (["content-length-range", "0", "9" * 10_000], None),
        (["content-length-range", "0", b"1"], None),
        (["content-length-range", True, 10], None),
        (["content-length-range", 0, 2**63], None),
        ([], None),
        ("key", None),
        (None, None),
    ],
    ids=str,
)
def test_a_condition_in_its_one_spelling(condition: object, rule: Rule | None) -> None:
    assert read_condition(condition) == rule


def encoded(document: str) -> str:
    return base64.b64encode(document.encode()).decode()


def test_a_policy_is_read_back() -> None:
    read = read_policy(form({"acl": "private"}, [["content-length-range", 1, 2]])["policy"])
    assert read.expiration == "2026-03-01T13:00:00Z"
    assert read.rules[:3] == (
        Rule("content-length-range", "", (1, 2)),
        Rule("eq", "acl", "private"),
        Rule("eq", "bucket", "bucket"),
    )


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (r"\$", "$"),
        (r"a\$b", "a$b"),
        ("$", "$"),
        (r"\v", "\v"),
        (r"\\$", r"\$"),
        (r"\\v", r"\v"),
        (r"\n\u00e9\"\\", '\né"\\'),
    ],
)
def test_what_s3_escapes_beyond_json(written: str, value: str) -> None:
    document = '{"expiration": "2026-03-01T13:00:00Z", "conditions": [{"x-amz-meta-a": "' + written + '"}]}'
    assert read_policy(encoded(document)).rules == (Rule("eq", "x-amz-meta-a", value),)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "JSON"),
        ("e30", "Error"),
        ("é", "ValueError"),
        ("e3 0=", "Error"),
        (base64.b64encode(b"\xff").decode(), "Unicode"),
        (encoded("[" * 100_000), "Recursion"),
        (encoded("[]"), "object"),
        (encoded('{"expiration": 1, "conditions": []}'), "object"),
        (encoded('{"expiration": "x"}'), "object"),
        (encoded('{"expiration": "x", "conditions": [{"a": "b"}, ["eq"]]}'), r"conditions\[1\]"),
    ],
)
def test_what_is_no_policy(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_policy(text)


@pytest.mark.parametrize(
    ("filename", "name"), [("a.txt", "a.txt"), ("a/b.txt", "b.txt"), (r"C:\x\b.txt", "b.txt"), ("a/", ""), ("", "")]
)
def test_the_name_that_s3_puts_in(filename: str, name: str) -> None:
    assert basename(filename) == name


MET: list[tuple[Any, dict[str, str], bool]] = [
    ({"acl": "private"}, {"acl": "private"}, True),
    ({"acl": "private"}, {"acl": "Private"}, False),
    ({"acl": "private"}, {}, False),
    ({"acl": ""}, {"acl": ""}, True),
    ({"acl": ""}, {}, False),
    (["starts-with", "$key", "a/"], {"key": "a/b"}, True),
    (["starts-with", "$key", "a/"], {"key": "b/a/"}, False),
    (["starts-with", "$key", ""], {"key": ""}, True),
    (["starts-with", "$key", ""], {}, False),
    (["starts-with", "$key", "a"], {"key": "a,b"}, True),
    (["starts-with", "$Content-Type", "image/"], {"content-type": "image/png,image/gif"}, True),
    (["starts-with", "$Content-Type", "image/"], {"content-type": "image/png,text/html"}, False),
    (["starts-with", "$Content-Type", ""], {"content-type": "a,b"}, True),
    (["eq", "$Content-Type", "image/png,image/gif"], {"content-type": "image/png,image/gif"}, True),
    (["content-length-range", 0, 9], {}, False),
    (["content-length-range", 10, 10], {}, True),
    (["content-length-range", 11, 12], {}, False),
]


@pytest.mark.parametrize(("condition", "values", "met"), MET, ids=str)
def test_whether_a_form_of_ten_bytes_keeps_a_condition(condition: Any, values: dict[str, str], met: bool) -> None:
    rule = read_condition(condition)
    assert rule is not None
    assert is_met(rule, values, 10) is met
