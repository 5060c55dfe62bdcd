"""The values: frozen, picklable, JSON-ready, silent in a repr; their curl lines and forms hold against hostile text."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import shlex
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign import Credentials, CredentialsError, InvalidRequest, PresignedPost, PresignedRequest, PresignedURLs, S3Object

END = datetime(2026, 3, 1, 12, 30, 45, tzinfo=UTC)
URL = "https://bucket.example.com/a%20b?X-Amz-Credential=AKID%2F20260301&X-Amz-Security-Token=tok%2Fen&X-Amz-Signature=5160"
REQUEST = PresignedRequest("PUT", URL, {"Content-Type": "text/plain", "x-amz-acl": ""}, END, "PutObject", "optional")
URLS = PresignedURLs([URL, "https://h/b"], method="HEAD", expires_at=END)
POST = PresignedPost(
    "https://bucket.example.com/", {"key": "a/${filename}", "policy": "cG9saWN5", "x-amz-signature": "5160"}, END
)
CREDENTIALS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "token", END)
OBJECT = S3Object("bucket", "a/b", "v1")
VALUES = {type(value).__name__: value for value in (REQUEST, URLS, POST, CREDENTIALS, OBJECT)}
SIGNED = {name: value for name, value in VALUES.items() if hasattr(value, "to_dict")}


def fields_of(value: Any) -> Any:
    return (list(value), value.method, value.expires_at) if isinstance(value, PresignedURLs) else value


# --- what every value can do ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SIGNED)
def test_a_round_trip_through_json(name: str) -> None:
    value = SIGNED[name]
    data = json.loads(json.dumps(value.to_dict()))
    assert data["v"] == 1
    assert data["expires_at"] == "2026-03-01T12:30:45Z"
    again = type(value).from_dict(data)
    assert type(again) is type(value)
    assert fields_of(again) == fields_of(value)
    assert again.to_dict() == data
    assert again.expires_at.tzinfo is UTC


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", VALUES)
def test_a_round_trip_through_pickle(name: str, protocol: int) -> None:
    again = pickle.loads(pickle.dumps(VALUES[name], protocol))
    assert type(again) is type(VALUES[name])
    assert fields_of(again) == fields_of(VALUES[name])


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
@pytest.mark.parametrize("name", VALUES)
def test_copies_are_equal(name: str, make: Any) -> None:
    assert fields_of(make(VALUES[name])) == fields_of(VALUES[name])


@pytest.mark.parametrize("name", [name for name in VALUES if name != "PresignedURLs"])
def test_values_are_frozen_and_hashable(name: str) -> None:
    value = VALUES[name]
    first = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, first, "other")
    with pytest.raises((AttributeError, TypeError)):
        value.other = "x"
    assert {value: 1}[copy.deepcopy(value)] == 1
    assert value != dataclasses.replace(value, **{first: "other"})


def test_urls_are_a_list_of_str() -> None:
    assert list(URLS) == URLS == [URL, "https://h/b"]
    assert isinstance(URLS, list)
    assert URLS[1] == "https://h/b"
    assert json.loads(json.dumps(URLS)) == [URL, "https://h/b"]


def test_what_to_dict_gives_is_nobody_elses() -> None:
    data = REQUEST.to_dict()
    data["headers"]["x"] = "y"
    assert "x" not in REQUEST.headers
    again = PresignedRequest.from_dict(data)
    data["headers"]["z"] = "y"
    assert "z" not in again.headers
    fields = POST.to_dict()
    fields["fields"]["x"] = "y"
    assert "x" not in POST.fields


def test_ends_are_written_in_utc_with_their_microseconds() -> None:
    end = datetime(2026, 3, 1, 1, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    data = PresignedPost("https://h/", {}, end).to_dict()
    assert data["expires_at"] == "2026-02-28T23:00:00.000005Z"
    assert PresignedPost.from_dict(data).expires_at == end


@pytest.mark.parametrize("name", SIGNED)
@pytest.mark.parametrize("data", [None, 5, "text", [], {}, {"v": 1}, {1: 2}, [("v", 1)]], ids=repr)
def test_data_that_to_dict_never_returned(name: str, data: Any) -> None:
    with pytest.raises(InvalidRequest) as raised:
        type(SIGNED[name]).from_dict(data)
    assert [problem.argument for problem in raised.value.problems] == ["data"]
    assert name in str(raised.value)


WRONG: dict[str, list[Any]] = {
    "v": [2, 0, "1", True, None],
    "method": [None, 5],
    "url": [None, b"https://h/"],
    "urls": ["https://h/", [5], None],
    "headers": [None, [], {"a": 1}, {1: "a"}],
    "fields": [None, "a=b", {"a": None}],
    "expires_at": [None, 0, "", "2026-03-01", "2026-03-01T00:00:00", "soon", "0001-01-01T00:00:00+01:00"],
    "operation": [5, []],
    "body": [None, "maybe", [], True],
}


@pytest.mark.parametrize(
    ("name", "field", "wrong"),
    [(name, field, wrong) for name, value in SIGNED.items() for field in value.to_dict() for wrong in WRONG[field]],
)
def test_data_with_a_wrong_field_names_it(name: str, field: str, wrong: Any) -> None:
    with pytest.raises(InvalidRequest) as raised:
        type(SIGNED[name]).from_dict({**SIGNED[name].to_dict(), field: wrong})
    assert [problem.argument for problem in raised.value.problems] == [f"data[{field!r}]"]


@pytest.mark.parametrize("name", SIGNED)
def test_data_with_a_field_more_or_less(name: str) -> None:
    data = SIGNED[name].to_dict()
    for wrong in ({**data, "more": 1}, {key: value for key, value in data.items() if key != "expires_at"}):
        with pytest.raises(InvalidRequest):
            type(SIGNED[name]).from_dict(wrong)


# --- reprs ------------------------------------------------------------------------------------------------------------


def test_reprs_say_what_something_is_and_nothing_that_grants_access() -> None:
    assert repr(REQUEST) == (
        "PresignedRequest(PUT https://bucket.example.com/a%20b?"
        "X-Amz-Credential=...&X-Amz-Security-Token=...&X-Amz-Signature=..., "
        "headers=['Content-Type', 'x-amz-acl'], expires_at=2026-03-01T12:30:45Z)"
    )
    assert repr(URLS) == "PresignedURLs(2 HEAD URLs, expires_at=2026-03-01T12:30:45Z)"
    assert repr(POST) == (
        "PresignedPost(https://bucket.example.com/, fields=['key', 'policy', 'x-amz-signature'], "
        "expires_at=2026-03-01T12:30:45Z)"
    )
    assert repr(CREDENTIALS) == (
        "Credentials(AKIA..., secret_access_key=..., session_token=..., expires_at=2026-03-01T12:30:45Z)"
    )
    assert repr(Credentials("AKID", "secret")) == "Credentials(AKID..., secret_access_key=...)"
    assert str(OBJECT) == "s3://bucket/a/b"


# --- credentials ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "arguments"),
    [
        ({"access_key_id": ""}, ["access_key_id"]),
        ({"access_key_id": None}, ["access_key_id"]),
        ({"access_key_id": b"AKID"}, ["access_key_id"]),
        ({"access_key_id": "AKID\n"}, ["access_key_id"]),
        ({"access_key_id": "AK\ud800"}, ["access_key_id"]),
        ({"access_key_id": "A/K\n"}, ["access_key_id"]),
        ({"secret_access_key": ""}, ["secret_access_key"]),
        ({"secret_access_key": 5}, ["secret_access_key"]),
        ({"secret_access_key": "secret\n"}, ["secret_access_key"]),
        ({"secret_access_key": "\ud800"}, ["secret_access_key"]),
        ({"session_token": ""}, ["session_token"]),
        ({"session_token": b"token"}, ["session_token"]),
        ({"session_token": "to\r\nken"}, ["session_token"]),
        ({"session_token": "\udfff"}, ["session_token"]),
        ({"expires_at": datetime(2026, 3, 1)}, ["expires_at"]),  # noqa: DTZ001
        ({"expires_at": "2026-03-01T00:00:00Z"}, ["expires_at"]),
        ({"expires_at": 0}, ["expires_at"]),
        ({"expires_at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))}, ["expires_at"]),
        (
            {"access_key_id": "", "secret_access_key": "", "session_token": 1, "expires_at": 1},
            ["access_key_id", "secret_access_key", "session_token", "expires_at"],
        ),
    ],
)
def test_credentials_that_cannot_be(changes: dict[str, Any], arguments: list[str]) -> None:
    given: dict[str, Any] = {"access_key_id": "AKID", "secret_access_key": "secret", **changes}
    with pytest.raises(InvalidRequest) as raised:
        Credentials(**given)
    assert [problem.argument for problem in raised.value.problems] == arguments


def test_credentials_of_other_servers_may_be_any_printable_text() -> None:
    assert Credentials("minio admin ü", "p@ss word/+=").secret_access_key == "p@ss word/+="
    assert Credentials("minio/admin", "secret").access_key_id == "minio/admin"


def test_credentials_from_the_environment() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"}
    assert Credentials.from_env(environ) == Credentials("AKID", "secret")
    assert Credentials.from_env({**environ, "AWS_SESSION_TOKEN": ""}) == Credentials("AKID", "secret")
    more = {"AWS_SESSION_TOKEN": "token", "AWS_CREDENTIAL_EXPIRATION": "2026-03-01T14:30:45+02:00"}
    assert Credentials.from_env({**environ, **more}) == Credentials("AKID", "secret", "token", END)
    assert Credentials.from_env({**environ, "AWS_CREDENTIAL_EXPIRATION": ""}).expires_at is None


def test_credentials_from_the_processs_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert Credentials.from_env() == Credentials("AKID", "secret")


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY not set"),
        ({"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": ""}, "environment: AWS_SECRET_ACCESS_KEY not set"),
        ({"AWS_ACCESS_KEY_ID": "AK\tID", "AWS_SECRET_ACCESS_KEY": "s"}, "access_key_id: expected a text without line breaks"),
        (
            {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "s\n"},
            "secret_access_key: expected a text without line breaks",
        ),
        (
            {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "s", "AWS_CREDENTIAL_EXPIRATION": "soon"},
            "AWS_CREDENTIAL_EXPIRATION",
        ),
        (
            {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "s", "AWS_CREDENTIAL_EXPIRATION": "2026-03-01"},
            "AWS_CREDENTIAL_EXPIRATION",
        ),
    ],
)
def test_an_environment_without_usable_credentials(environ: dict[str, str], said: str) -> None:
    with pytest.raises(CredentialsError) as raised:
        Credentials.from_env(environ)
    assert said in str(raised.value)


# --- objects ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "bucket", "key"),
    [
        ("s3://b/k", "b", "k"),
        ("s3://b//k/", "b", "/k/"),
        ("s3://b/a%20b?c#d", "b", "a%20b?c#d"),
        ("s3://b/s3://b/k", "b", "s3://b/k"),
        ("s3://b/../x", "b", "../x"),
        ("s3://arn:aws:s3:us-west-2:1:accesspoint/point/a/b", "arn:aws:s3:us-west-2:1:accesspoint/point", "a/b"),
        ("s3://arn:aws:s3:us-west-2:1:accesspoint:point//a:b", "arn:aws:s3:us-west-2:1:accesspoint:point", "/a:b"),
        ("s3://arn:aws:s3::1:accesspoint/x.mrap/k\nl", "arn:aws:s3::1:accesspoint/x.mrap", "k\nl"),
        (
            "s3://arn:aws:s3-outposts:us-west-2:1:outpost/op-1/accesspoint/point/k",
            "arn:aws:s3-outposts:us-west-2:1:outpost/op-1/accesspoint/point",
            "k",
        ),
        ("s3://arn:aws:s3:::b/k", "arn:aws:s3:::b", "k"),
    ],
)
def test_a_uri_is_taken_as_it_stands(uri: str, bucket: str, key: str) -> None:
    assert S3Object.parse(uri) == S3Object(bucket, key)
    assert str(S3Object.parse(uri)) == uri


@pytest.mark.parametrize(
    "uri",
    ["", "s3://", "s3://b", "s3://b/", "s3:///k", "b/k", "https://b/k", "S3://b/k", None, 5, b"s3://b/k",
     "s3://arn:aws:s3:us-west-2:1:accesspoint/point/"],
)  # fmt: skip
def test_a_uri_that_names_no_object(uri: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^uri: expected s3://bucket/key"):
        S3Object.parse(uri)


def test_an_object_as_parameters() -> None:
    assert OBJECT.to_params() == {"Bucket": "bucket", "Key": "a/b", "VersionId": "v1"}
    assert S3Object("b", "k").to_params() == {"Bucket": "b", "Key": "k"}


# --- curl -------------------------------------------------------------------------------------------------------------

HOSTILE = [
    "",
    "a b",
    "'",
    '"',
    "\\",
    "$(id)",
    "`id`",
    "${HOME}",
    "!!",
    "; rm -rf /",
    "a'b\"c\\d",
    "é🎉",
    "-x",
    "@file",
    "<file",
    "%00",
    "a;type=x",
    "#",
    "*",
    "~",
    "&&",
    "|",
]


def words_of(line: str) -> list[str]:
    assert "\n" not in line
    return shlex.split(line)


def options(words: list[str], name: str) -> list[str]:
    return [words[at + 1] for at, word in enumerate(words) if word == name]


@pytest.mark.parametrize(
    ("method", "file", "expected"),
    [
        ("GET", None, []),
        ("GET", "out", ["--output", "out"]),
        ("HEAD", None, ["--head"]),
        ("PUT", "in", ["--upload-file", "in"]),
        ("PUT", None, ["--request", "PUT"]),
        ("DELETE", None, ["--request", "DELETE"]),
        ("POST", "in", ["--request", "POST", "--upload-file", "in"]),
    ],
)
def test_curl_lines_by_method(method: str, file: str | None, expected: list[str]) -> None:
    words = words_of(PresignedRequest(method, URL, {}, END).curl(file=file))
    assert words == ["curl", "--fail-with-body", "--path-as-is", "--globoff", *expected, URL]


@pytest.mark.parametrize("value", HOSTILE)
def test_curl_lines_keep_hostile_headers_and_files(value: str) -> None:
    url = "https://h/a/../[1-3]{a,b}'\"$(id)`id`"
    words = words_of(PresignedRequest("PUT", url, {"x-amz-meta-a": value}, END).curl(file=value))
    assert options(words, "--header") == [f"x-amz-meta-a: {value}" if value else "x-amz-meta-a;"]
    assert options(words, "--upload-file") == [value]
    assert words[-1] == url


@pytest.mark.parametrize("value", HOSTILE)
def test_curl_lines_of_forms_keep_hostile_fields(value: str) -> None:
    words = words_of(PresignedPost("https://h/", {"key": "k", "x": value}, END).curl("in"))
    assert options(words, "--form-string") == ["key=k", f"x={value}"]
    assert words[-3:] == ["--form", 'file=@"in"', "https://h/"]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_curl_reads_the_files_name_back(file: str) -> None:
    """In curl's quoted file names a backslash escapes a quote and itself."""
    [part] = options(words_of(POST.curl(file)), "--form")
    assert part.startswith('file=@"')
    assert part.endswith('"')
    quoted = part[len('file=@"') : -1]
    assert quoted.count("\\") == 2 * file.count("\\") + file.count('"')
    assert quoted.replace("\\\\", "\0").replace('\\"', '"').replace("\0", "\\") == file


@pytest.mark.parametrize(
    "end",
    [
        datetime.max.replace(tzinfo=timezone(-timedelta(hours=12))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
        datetime.min,  # noqa: DTZ901
        datetime.max,  # noqa: DTZ901
    ],
    ids=str,
)
def test_an_end_that_utc_cannot_hold_is_shown_as_it_is(end: datetime) -> None:
    for value in (
        PresignedRequest("GET", URL, {}, end),
        PresignedPost("https://h/", {}, end),
        PresignedURLs([], method="GET", expires_at=end),
    ):
        shown = end.isoformat().replace("+00:00", "Z")
        assert shown in repr(value)
        assert value.to_dict()["expires_at"] == shown
        with pytest.raises(InvalidRequest):
            type(value).from_dict(value.to_dict())
