"""String to sign, signing key, signature."""

from __future__ import annotations

import hashlib
import hmac
import unittest
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign._sigv4.signing import (
    CredentialScope,
    amz_date,
    begin,
    finish,
    keyed_hashes,
    signature,
    signing_key,
    string_to_sign,
    utc,
)

from .stdlib_only import cases, check_signing_key

texts = st.text(st.characters(exclude_categories=["Cs"]))
SCOPE = CredentialScope("20260301", "eu-central-1")


@pytest.mark.parametrize("case", cases("aws_signing_keys"), ids=lambda case: case["date"])
def test_awss_signing_keys(case: dict[str, Any]) -> None:
    check_signing_key(unittest.TestCase(), case)


def test_a_scope_is_s3s_unless_told() -> None:
    assert str(SCOPE) == "20260301/eu-central-1/s3/aws4_request"
    assert str(CredentialScope("20260301", "us-east-1", "iam")) == "20260301/us-east-1/iam/aws4_request"


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2026, 3, 1, 1, 2, 3, tzinfo=UTC), "20260301T010203Z"),
        (datetime(2026, 3, 1, 23, 59, 59, 999_999, tzinfo=UTC), "20260301T235959Z"),
        (datetime(2026, 3, 1, 1, 0, tzinfo=timezone(timedelta(hours=2))), "20260228T230000Z"),
        (datetime(2026, 12, 31, 23, 0, tzinfo=timezone(timedelta(hours=-3))), "20270101T020000Z"),
    ],
)
def test_dates_are_in_utc_without_fractions(moment: datetime, expected: str) -> None:
    assert amz_date(moment) == expected


class NoOffset(tzinfo):
    """A zone that does not know its offset: Python calls such a datetime naive."""

    def utcoffset(self, _: datetime | None) -> None:
        return None


@pytest.mark.parametrize(
    "value",
    [
        None,
        "2026-03-01T00:00:00Z",
        0,
        datetime(2026, 3, 1),  # noqa: DTZ001
        datetime(2026, 3, 1, tzinfo=NoOffset()),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=1))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
    ],
)
def test_what_is_no_moment(value: object) -> None:
    assert utc(value) is None


def test_a_moment_is_in_utc() -> None:
    moment = utc(datetime(2026, 3, 1, 1, 0, tzinfo=timezone(timedelta(hours=2))))
    assert moment == datetime(2026, 2, 28, 23, 0, tzinfo=UTC)
    assert moment.tzinfo is UTC


def test_a_string_to_sign_holds_the_hash_of_the_request() -> None:
    digest = hashlib.sha256("é".encode()).hexdigest()
    assert string_to_sign("20260301T010203Z", SCOPE, "é") == f"AWS4-HMAC-SHA256\n20260301T010203Z\n{SCOPE}\n{digest}"


def test_a_signature_is_the_hex_hmac() -> None:
    key = signing_key("sécret", SCOPE)
    assert len(key) == 32
    assert signature(key, "text") == hmac.new(key, b"text", "sha256").hexdigest()


@given(st.binary(max_size=64), texts, st.lists(texts, max_size=4))
def test_hashes_of_a_key_make_hmacs_however_often_they_are_used(key: bytes, beginning: str, rests: list[str]) -> None:
    begun = begin(keyed_hashes(key), beginning)
    assert [finish(begun, rest) for rest in rests] == [
        hmac.digest(key, (beginning + rest).encode(), "sha256").hex() for rest in rests
    ]


def test_keys_differ_by_every_part() -> None:
    scopes = [
        SCOPE,
        CredentialScope("20260302", "eu-central-1"),
        CredentialScope("20260301", "eu-west-1"),
        CredentialScope("20260301", "eu-central-1", "iam"),
    ]
    assert len({signing_key(secret, scope) for scope in scopes for secret in ("a", "b")}) == 8
