"""How an explanation and a verification print: every section, in order, and nothing said of what holds."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from asyncpresign import Credentials, InvalidRequest, Presigner, explain_url, inspect_url, verify_url
from asyncpresign._sigv4.presigned import read_url

NOW = datetime(2026, 3, 1, 12, 30, 45, tzinfo=UTC)
CREDENTIALS = Credentials("AKIDEXAMPLE", "a secret", "a token")
SIGNER = Presigner(CREDENTIALS, region="eu-central-1", clock=lambda: NOW)
REQUEST = SIGNER.presign("get_object", {"Bucket": "bucket", "Key": "a key"}, expires_in=60)

SHOWN = """\
Scope:
    20260301/eu-central-1/s3/aws4_request
Ends:
    2026-03-01T12:31:45+00:00
Canonical request ({method}):
    GET
    /a%20key
    X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20260301%2Feu-central-1%2Fs3%2Faws4_request&\
X-Amz-Date=20260301T123045Z&X-Amz-Expires=60&X-Amz-Security-Token=...&X-Amz-SignedHeaders=host
    host:bucket.s3.eu-central-1.amazonaws.com
    \n\
    host
    UNSIGNED-PAYLOAD
String to sign:
    AWS4-HMAC-SHA256
    20260301T123045Z
    20260301/eu-central-1/s3/aws4_request
"""


def test_an_explanation_has_a_section_for_everything_that_is_known() -> None:
    shown = str(explain_url(REQUEST.url, credentials=CREDENTIALS))
    assert shown.startswith(SHOWN.format(method="GET"))
    assert "\nSignature:\n    it is right\nUsual causes:\n    " in shown
    assert "Differences" not in shown
    unknown = str(explain_url(REQUEST.url))
    assert "\nSignature:\n    it cannot be computed from what is known\n" in unknown
    wrong = str(explain_url(REQUEST.url, credentials=Credentials("AKIDEXAMPLE", "another", "a token")))
    assert "\nSignature:\n    it is wrong\n" in wrong


def test_nothing_is_said_of_a_check_that_holds() -> None:
    held = verify_url(REQUEST.url, CREDENTIALS, method="GET", at=NOW)
    assert held
    assert {check.detail for check in held.checks} == {""}
    assert [str(check) for check in held.checks] == [f"{check.name}: holds" for check in held.checks]
    refused = verify_url(REQUEST.url, CREDENTIALS, method="PUT", at=NOW)
    assert [check.name for check in refused.failures] == ["signature"]
    assert str(refused.failures[0]) == f"signature: {refused.failures[0].detail}" != "signature: "


@pytest.mark.parametrize("url", [REQUEST.url.replace("/a%20key", "/a%FF"), f"{REQUEST.url}&x=%FF"], ids=["path", "query"])
def test_bytes_that_are_no_utf_8_are_said_to_be_it(url: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^url: expected UTF-8 behind its escapes, got a str of length \d+$"):
        inspect_url(url)


def test_a_plus_is_a_space_in_names_as_in_values() -> None:
    assert ("a b", "c d") in read_url(f"{REQUEST.url}&a+b=c+d").query


@pytest.mark.parametrize(
    ("origin", "host"),
    [("http://h:80", "h"), ("https://h:443", "h"), ("http://h:443", "h:443"), ("https://h:80", "h:80"), ("http://h", "h")],
)
def test_a_scheme_s_own_port_is_not_part_of_the_host_that_was_signed(origin: str, host: str) -> None:
    url = f"{origin}/{REQUEST.url.split('/', 3)[3]}"
    assert read_url(url).host == host
