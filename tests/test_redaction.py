"""What grants access stays out of messages, reprs and tracebacks.

`assert_clean` is for every half of the package: the transfer's errors, results and log records are searched with it too.
"""

from __future__ import annotations

import copy
import errno
import pickle
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign import (
    Credentials,
    InvalidRequest,
    LocalFileError,
    MissingExtra,
    NetworkError,
    NotFound,
    OfflineSigner,
    PresignedPost,
    PresignedRequest,
    PresignedURLs,
    Presigner,
    PresignError,
    Problem,
    S3Object,
    TransferError,
)
from asyncpresign._s3.endpoints import EndpointOptions
from asyncpresign._sigv4.presigned import read_url
from asyncpresign.errors import describe, nearest, redact

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOKEN = "IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3QtMSJHMEUC+/=="
CUSTOMER_KEY = "customer-key-customer-key-custom"
NOW = datetime(2026, 3, 1, 12, 30, 45, tzinfo=UTC)
CREDENTIALS = Credentials("AKIAIOSFODNN7EXAMPLE", SECRET, TOKEN, NOW + timedelta(hours=2))
OBJECT = {"Bucket": "bucket", "Key": "key"}
SIGNER = Presigner(CREDENTIALS, region="eu-central-1", clock=lambda: NOW)
REQUEST = SIGNER.presign("get_object", {**OBJECT, "SSECustomerKey": CUSTOMER_KEY})
URLS = SIGNER.presign_urls("get_object", "bucket", ["a", "b"])
POST = SIGNER.presign_post("bucket", "key")


def signature_of(url: str) -> str:
    return dict(parse_qsl(urlsplit(url).query))["X-Amz-Signature"]


SIGNATURES = [signature_of(REQUEST.url), *map(signature_of, URLS), POST.fields["x-amz-signature"]]
SECRETS = [
    SECRET,
    TOKEN,
    CUSTOMER_KEY,
    POST.fields["policy"],
    REQUEST.headers["x-amz-server-side-encryption-customer-key"],
    *SIGNATURES,
]


def assert_clean(text: str, secrets: Iterable[str]) -> None:
    """No secret is in `text`: not plain, not percent-encoded, not the greater part of one."""
    for secret in secrets:
        assert secret, "an empty secret is in every text"
        for spelling in {secret, quote(secret, safe=""), secret[: max(12, len(secret) // 2)]}:
            assert spelling not in text, f"a secret of {len(secret)} letters is in a text of {len(text)}"


def everything_about(error: BaseException) -> str:
    """All that a log could show of an error: its texts, its parts and its traceback with the chained ones."""
    seen = [str(error), repr(error), repr(error.args), *traceback.format_exception(error)]
    seen += [f"{name}={value!r}" for name, value in vars(error).items()]
    chained = [cause for cause in (error.__cause__, error.__context__) if cause is not None]
    return "\n".join([*seen, *map(everything_about, chained)])


# --- the helper can fail ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [SECRET, f"x{TOKEN}x", quote(TOKEN, safe=""), f"...{SECRET[:20]}...", REQUEST.url, URLS[0], str(POST.fields)]
)
def test_the_helper_finds_secrets(text: str) -> None:
    with pytest.raises(AssertionError, match="a secret of"):
        assert_clean(text, SECRETS)


def test_the_helper_lets_harmless_texts_pass() -> None:
    assert_clean("AKIA... https://bucket.s3.eu-central-1.amazonaws.com/key", SECRETS)


# --- values -----------------------------------------------------------------------------------------------------------

VALUES: list[Any] = [
    CREDENTIALS,
    SIGNER,
    OfflineSigner(CREDENTIALS, region="eu-central-1"),
    REQUEST,
    URLS,
    POST,
    S3Object("bucket", "key"),
    EndpointOptions("eu-central-1", "http://localhost:9000"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_do_not_show_what_grants_access(value: Any) -> None:
    for text in (repr(value), str(value), f"{value}", f"{[value]}", f"{ {'a': value} }"):
        assert_clean(text, SECRETS)


def test_the_token_in_a_repr_is_redacted_though_it_is_a_parameter_of_the_url() -> None:
    assert "X-Amz-Security-Token=..." in repr(REQUEST)


# --- errors -----------------------------------------------------------------------------------------------------------

BYTES_OF_SECRET = SECRET.encode()
LEAKS: dict[str, Callable[[], Any]] = {
    "secret as access key": lambda: Credentials(SECRET, ""),
    "secret with a line break": lambda: Credentials("AKID", SECRET + "\n", TOKEN + "\n"),
    "secret in surrogates": lambda: Credentials("AKID", SECRET + "\ud800", TOKEN + "\ud800"),
    "secret as bytes": lambda: Credentials("AKID", BYTES_OF_SECRET, [TOKEN]),  # type: ignore[arg-type]
    "secret as end": lambda: Credentials("AKID", SECRET, TOKEN, SECRET),  # type: ignore[arg-type]
    "environment": lambda: Credentials.from_env(
        {"AWS_ACCESS_KEY_ID": SECRET, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN + "\n"}
    ),
    "expiration": lambda: Credentials.from_env(
        {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_CREDENTIAL_EXPIRATION": TOKEN}
    ),
    "credentials as a tuple": lambda: Presigner(("AKID", SECRET, TOKEN), region="eu-central-1"),  # type: ignore[arg-type]
    "credentials as a text": lambda: Presigner(SECRET, region="eu-central-1"),  # type: ignore[arg-type]
    "secret as region": lambda: Presigner(CREDENTIALS, region=SECRET),
    "secret as style": lambda: Presigner(CREDENTIALS, region="eu-central-1", addressing_style=SECRET),  # type: ignore[arg-type]
    "secret as option": lambda: Presigner(CREDENTIALS, region="eu-central-1", short_credentials=SECRET),
    # type: ignore[arg-type]
    "password in the endpoint": lambda: Presigner(
        CREDENTIALS, region="eu-central-1", endpoint_url=f"https://user:{quote(SECRET, safe='')}@host"
    ),
    "URL as endpoint": lambda: Presigner(CREDENTIALS, region="eu-central-1", endpoint_url=REQUEST.url),
    "URL as operation": lambda: SIGNER.presign(REQUEST.url, OBJECT),
    "URL as params": lambda: SIGNER.presign("get_object", REQUEST.url),  # type: ignore[arg-type]
    "URL as method": lambda: SIGNER.presign("get_object", OBJECT, http_method=REQUEST.url),
    "URL as bucket": lambda: SIGNER.presign("get_object", {"Bucket": REQUEST.url, "Key": "key"}),
    "URL as uri": lambda: S3Object.parse(REQUEST.url),
    "URL as keys": lambda: SIGNER.presign_urls("get_object", "bucket", REQUEST.url),
    "URL as key": lambda: SIGNER.presign_urls("get_object", "bucket", [REQUEST.url * 9]),
    "secret in a header": lambda: SIGNER.presign(
        "get_object", {**OBJECT, "SSECustomerKeyMD5": SECRET + "\n", "SSECustomerKey": CUSTOMER_KEY}
    ),
    "customer key of a wrong type": lambda: SIGNER.presign("get_object", {**OBJECT, "SSECustomerKey": [CUSTOMER_KEY]}),
    "secret in metadata": lambda: SIGNER.presign("put_object", {**OBJECT, "Metadata": {"a": SECRET + "\n"}}),
    "secret in a field": lambda: SIGNER.presign_post("bucket", "key", fields={"x-amz-meta-a": SECRET + "\n"}),
    "secret in a condition": lambda: SIGNER.presign_post("bucket", "key", conditions=[["eq", SECRET, TOKEN], SECRET]),
    "secret as key": lambda: SIGNER.presign_post("bucket", SECRET + "\ud800"),
    "secret as range": lambda: SIGNER.presign_post("bucket", "key", content_length_range=(SECRET, TOKEN)),
    # type: ignore[arg-type]
    "secret as life": lambda: SIGNER.presign("get_object", OBJECT, expires_in=SECRET),  # type: ignore[arg-type]
    "ended credentials": lambda: SIGNER.presign("get_object", OBJECT, signing_time=NOW + timedelta(days=1)),
    "header in a batch": lambda: SIGNER.presign_urls("get_object", "bucket", ["key"], params={"SSECustomerKey": CUSTOMER_KEY}),
    "ARN": lambda: SIGNER.presign("get_object", {"Bucket": f"arn:{SECRET}", "Key": "key"}),
    "request from wrong data": lambda: PresignedRequest.from_dict({**REQUEST.to_dict(), "v": 2, "method": [SECRET]}),
    "request from a text": lambda: PresignedRequest.from_dict(REQUEST.url),  # type: ignore[arg-type]
    "urls from wrong data": lambda: PresignedURLs.from_dict({**URLS.to_dict(), "urls": REQUEST.url}),
    "form from wrong data": lambda: PresignedPost.from_dict({**POST.to_dict(), "expires_at": POST.fields["policy"]}),
}


@pytest.mark.parametrize("name", LEAKS)
def test_errors_do_not_show_what_grants_access(name: str) -> None:
    with pytest.raises(PresignError) as raised:
        LEAKS[name]()
    assert_clean(everything_about(raised.value), SECRETS)


# --- the two functions every text is built with -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (5, "5"),
        (1 << 64, "an int of 65 bits"),
        (1.5, "1.5"),
        (timedelta(seconds=5), "datetime.timedelta(seconds=5)"),
        (NOW, "datetime 2026-03-01T12:30:45+00:00"),
        ("", "an empty str"),
        (b"", "an empty bytes"),
        ("secret", "a str of length 6"),
        (b"secret", "a bytes of length 6"),
        (["secret"], "an object of type list"),
        ({"secret": 1}, "an object of type dict"),
    ],
)
def test_values_are_described_and_not_shown(value: object, text: str) -> None:
    assert describe(value) == text


def test_the_nearest_name_is_suggested() -> None:
    assert nearest("Bukket", ["Bucket", "Key"]) == "did you mean 'Bucket'?"
    assert nearest("zzz", ["Bucket", "Key"]) == ""
    for name in ("KEY", "__k__e__y__", "--k--e--y--"):
        assert nearest(name, ["Bucket", "Key"]) == "did you mean 'Key'?"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("https://h/k?versionId=b&X-Amz-Signature=5160&c=d", "https://h/k?versionId=b&X-Amz-Signature=...&c=..."),
        ("x-amz-security-token=a%2Fb end", "x-amz-security-token=... end"),
        ("'X-Amz-Credential=AKID%2Fx'", "'X-Amz-Credential=...'"),
        ("?AWSAccessKeyId=AKID&Signature=x%3D&Expires=1", "?AWSAccessKeyId=...&Signature=...&Expires=1"),
        ('{"policy=abc"}', '{"policy=..."}'),
        ("http://user:password@host/ and https://token@host", "http://...@host/ and https://...@host"),
        ("mail me@example.com about design=1", "mail me@example.com about design=1"),
        ("https://h/a@b?x=y", "https://h/a@b?x=..."),
        ("see https://h/k?sig=a%2Bb, or (https://h/k?prefix=a/)", "see https://h/k?sig=..., or (https://h/k?prefix=a/)"),
        ("https://h/k?next=https://x/secret&partNumber=3#access_token=t", "https://h/k?next=...&partNumber=3#access_token=..."),
        ("https://h/k?versioning&hunter2secret", "https://h/k?versioning&..."),
        ("https://h/k?a=1&amp;sig=b&amp;versionId=3", "https://h/k?a=...&amp;sig=...&amp;versionId=3"),
        ("GET /k?hm=8f2c&ex=69a3 HTTP/1.1", "GET /k?hm=...&ex=... HTTP/1.1"),
        ("X-Amz-Signature: 5160", "X-Amz-Signature: ..."),
        ('{"X-Amz-Signature": "5160", "a": "b"}', '{"X-Amz-Signature": "...", "a": "b"}'),
        ("Authorization: Bearer a.b.c and more", "Authorization: ... and more"),
        ("x-amz-server-side-encryption-customer-key: a2V5", "x-amz-server-side-encryption-customer-key: ..."),
        ("https%3A%2F%2Fh%2Fk%3FX-Amz-Signature%3D5160", "https%3A%2F%2Fh%2Fk%3FX-Amz-Signature%3D..."),
        ("a%253Fb%253D1%2526sig%253d5160", "a%253Fb%253D1%2526sig%253d..."),
        ("http://user:p#ss@host/", "http://...#..."),
        ("http://user:p/ss@host:80/", "http://...@host:80/"),
        ("http://[::1]:80/k, http://host:80.", "http://[::1]:80/k, http://host:80."),
        ("nothing beside session=, whose; what? a=b", "nothing beside session=, whose; what? a=b"),
        ("X-Amz-Signature= and x-amz-signature: ", "X-Amz-Signature= and x-amz-signature: "),
        ("sent: x-amz-signature: 5160", "sent: x-amz-signature: ..."),
        ("https://h/k?" + "a=b&" * 300 + "sig=c", "https://h/k?" + "a=...&" * 199 + "..."),
        ("a://u:p@h/" * 20, "a://...@h/" * 16 + "a..."),
        ("session_token: expected a text", "session_token: expected a text"),
    ],
)
def test_texts_are_redacted(text: str, redacted: str) -> None:
    assert redact(text) == redacted
    assert redact(redacted) == redacted


@given(
    st.text("aZ09-_.~%", min_size=1),
    st.sampled_from(["X-Amz-Signature", "x-amz-signature", "X-AMZ-SECURITY-TOKEN", "X-Amz-Credential"]),
    st.sampled_from(["", "&b=c", '"', " and", "'", ">", "<", "\n"]),
)
def test_a_live_value_never_survives(value: str, name: str, after: str) -> None:
    shown = after.replace("b=c", "b=...")
    assert redact(f"see https://h/k?x-id=1&{name}=live{value}{after}") == f"see https://h/k?x-id=1&{name}=...{shown}"


# --- errors as values -------------------------------------------------------------------------------------------------


def test_problems_in_words() -> None:
    assert str(Problem("a", "b")) == "a: expected b"
    assert str(Problem("a", "b", "c")) == "a: expected b, got c"
    assert str(Problem("a", "b", "c", "d")) == "a: expected b, got c; d"
    assert str(Problem("a", "b", suggestion="d")) == "a: expected b; d"
    assert str(InvalidRequest(Problem("key", "b"), Problem("url", "d"))) == "key: expected b\nurl: expected d"


def test_a_missing_extra_says_what_to_install() -> None:
    error = MissingExtra("demo", "asyncpresign demo")
    assert (error.extra, error.feature) == ("demo", "asyncpresign demo")
    assert str(error) == "asyncpresign demo needs an optional dependency: python -m pip install 'asyncpresign[demo]'"
    assert isinstance(error, ImportError)


def test_a_transfer_error_says_which_request_and_how_often_it_was_tried() -> None:
    assert str(TransferError("it broke")) == "it broke"
    assert str(TransferError("it broke", attempts=3)) == "it broke (after 3 attempts)"
    assert str(TransferError("it broke", request="GET /k", attempts=2)) == "GET /k: it broke (after 2 attempts)"
    error = NotFound("no such key", status=404, code="NoSuchKey", request_id="4442", retry_after=2.0, request="GET /k")
    assert (error.message, error.request, error.attempts) == ("no such key", "GET /k", 1)
    assert (error.status, error.code, error.request_id, error.retry_after) == (404, "NoSuchKey", "4442", 2.0)
    assert (NetworkError("reset").permanent, NetworkError("no such host", permanent=True).permanent) == (False, True)


def test_a_local_file_error_says_which_file() -> None:
    error = LocalFileError("No space left on device", path="/data/x", request="GET /k")
    assert str(error) == "/data/x: GET /k: No space left on device"
    assert str(LocalFileError("gone")) == "gone"
    assert isinstance(error, OSError)
    assert (error.path, error.filename) == ("/data/x", "/data/x")
    assert (error.errno, error.strerror) == (None, None)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOENT, FileNotFoundError),
        (errno.EACCES, PermissionError),
        (errno.EPERM, PermissionError),
        (errno.ENOSPC, LocalFileError),
        (None, LocalFileError),
    ],
)
def test_a_local_file_error_is_what_the_system_raised(number: int | None, kind: type[Exception]) -> None:
    error = LocalFileError("said by the system", path="/data/x", errno=number, request="GET /k", attempts=2)
    for each in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert isinstance(each, kind)
        assert isinstance(each, LocalFileError)
        assert isinstance(each, FileNotFoundError) == (kind is FileNotFoundError)
        assert (each.errno, each.filename, each.attempts) == (number, "/data/x", 2)
        assert each.strerror == (None if number is None else "said by the system")
        assert str(each) == "/data/x: GET /k: said by the system (after 2 attempts)"


def test_what_was_read_of_a_url_is_shown_without_what_grants_access() -> None:
    url = SIGNER.presign("get_object", OBJECT).url
    said = read_url(url)
    assert_clean(repr(said), [url.rpartition("X-Amz-Signature=")[2], SECRET, TOKEN])
    assert "eu-central-1" in repr(said)
