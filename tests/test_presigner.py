"""The synchronous core: the life of a signature, what is refused and in which words, batches, forms."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncpresign import (
    Credentials,
    CredentialsError,
    InvalidRequest,
    Presigner,
    PresignError,
    S3Object,
    UnsupportedRequest,
)
from asyncpresign.signers.life import utc_now
from asyncpresign.signers.presigner import BATCH

NOW = datetime(2026, 3, 1, 12, 30, 45, 600_000, tzinfo=UTC)
START = NOW.replace(microsecond=0)
NAIVE = datetime(2026, 3, 1)  # noqa: DTZ001
CREDENTIALS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
OBJECT = {"Bucket": "bucket", "Key": "key"}


def presigner(credentials: Credentials = CREDENTIALS, **options: Any) -> Presigner:
    return Presigner(credentials, **{"region": "eu-central-1", "clock": lambda: NOW, **options})


def ending(left: timedelta) -> Credentials:
    """Temporary credentials with so much left at `NOW`."""
    return Credentials("AKID", "secret", "token", NOW + left)


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def policy_of(fields: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(base64.b64decode(fields["policy"]))
    return document


# --- what comes back --------------------------------------------------------------------------------------------------


def test_a_request_says_how_it_is_to_be_sent() -> None:
    request = presigner().presign("put_object", {**OBJECT, "ContentType": "text/plain", "Metadata": {"a": "b"}})
    assert (request.method, request.operation, request.body) == ("PUT", "PutObject", "optional")
    assert request.headers == {"Content-Type": "text/plain", "x-amz-meta-a": "b"}
    assert query_of(request.url)["X-Amz-SignedHeaders"] == "content-type;host;x-amz-meta-a"
    assert presigner().presign("get_object", OBJECT).body == "none"


def test_params_may_be_left_out() -> None:
    assert presigner().presign("list_buckets").url.startswith("https://s3.eu-central-1.amazonaws.com/?X-Amz-Algorithm=")


def test_another_method_replaces_the_operations_and_is_signed() -> None:
    get, head = presigner().presign("get_object", OBJECT), presigner().presign("get_object", OBJECT, http_method="HEAD")
    assert (head.method, head.operation) == ("HEAD", "GetObject")
    assert query_of(head.url)["X-Amz-Signature"] != query_of(get.url)["X-Amz-Signature"]
    assert head.url.partition("&X-Amz-Signature")[0] == get.url.partition("&X-Amz-Signature")[0]


def test_the_callers_params_are_not_changed() -> None:
    params = {"Bucket": "bucket", "Prefix": "a"}
    presigner().presign("list_objects_v2", params)
    assert params == {"Bucket": "bucket", "Prefix": "a"}


def test_a_read_only_mapping_will_do() -> None:
    frozen = presigner().presign("get_object", MappingProxyType(OBJECT))
    assert frozen == presigner().presign("get_object", OBJECT)
    form = presigner().presign_post(
        "bucket", "key", fields=MappingProxyType({"acl": "private"}), conditions=[MappingProxyType({"a": "b"})]
    )
    assert policy_of(form.fields)["conditions"][:2] == [{"a": "b"}, {"acl": "private"}]


def test_the_clock_is_now_unless_another_is_given() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    request = Presigner(CREDENTIALS, region="eu-central-1").presign("get_object", OBJECT, expires_in=60)
    assert before + timedelta(seconds=60) <= request.expires_at <= datetime.now(UTC) + timedelta(seconds=60)
    assert utc_now().tzinfo is UTC


def test_a_repr_says_where_and_whose() -> None:
    assert repr(presigner()) == "Presigner(Credentials(AKIA..., secret_access_key=...), region='eu-central-1')"
    there = presigner(endpoint_url="http://localhost:9000")
    assert repr(there).endswith(", region='eu-central-1', endpoint_url='http://localhost:9000')")


# --- the life of a signature ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expires_in", [1, 60, 60.0, 604_800, timedelta(seconds=1), timedelta(days=7), timedelta(hours=1, seconds=1)], ids=repr
)
def test_the_end_is_told_and_signed(expires_in: Any) -> None:
    seconds = int(expires_in.total_seconds()) if isinstance(expires_in, timedelta) else int(expires_in)
    request = presigner().presign("get_object", OBJECT, expires_in=expires_in)
    assert query_of(request.url)["X-Amz-Expires"] == str(seconds)
    assert query_of(request.url)["X-Amz-Date"] == "20260301T123045Z"
    assert request.expires_at == START + timedelta(seconds=seconds)
    assert request.expires_at.tzinfo is UTC


@pytest.mark.parametrize(
    ("moment", "stamp"),
    [
        (datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC), "20260228T235959Z"),
        (datetime(2026, 3, 1, 1, 0, tzinfo=timezone(timedelta(hours=2))), "20260228T230000Z"),
        (datetime(1000, 1, 1, tzinfo=UTC), "10000101T000000Z"),
        (datetime(9999, 1, 1, tzinfo=UTC), "99990101T000000Z"),
    ],
)
def test_a_signing_time_stands_for_now(moment: datetime, stamp: str) -> None:
    request = presigner().presign("get_object", OBJECT, signing_time=moment, expires_in=604_800)
    query = query_of(request.url)
    assert query["X-Amz-Date"] == stamp
    assert query["X-Amz-Credential"] == f"{CREDENTIALS.access_key_id}/{stamp[:8]}/eu-central-1/s3/aws4_request"
    assert request.expires_at == moment.replace(microsecond=0) + timedelta(days=7)
    form = presigner().presign_post("bucket", "key", signing_time=moment)
    assert form.fields["x-amz-date"] == stamp
    assert form.expires_at == moment.replace(microsecond=0) + timedelta(hours=1)


@given(st.integers(1, 604_800), st.timedeltas(timedelta(0), timedelta(days=8)))
def test_a_url_never_outlives_its_credentials(asked: int, left: timedelta) -> None:
    signer = presigner(ending(left))
    whole = int((NOW + left - START).total_seconds())
    if whole < 1:
        with pytest.raises(CredentialsError):
            signer.presign("get_object", OBJECT, expires_in=asked)
        return
    request = signer.presign("get_object", OBJECT, expires_in=asked)
    signed = int(query_of(request.url)["X-Amz-Expires"])
    assert signed == min(asked, whole)
    assert request.expires_at == START + timedelta(seconds=signed) <= NOW + left


@given(st.integers(1, 604_800), st.timedeltas(timedelta(0), timedelta(days=8)))
def test_raise_refuses_what_clamp_would_shorten(asked: int, left: timedelta) -> None:
    strict = presigner(ending(left), short_credentials="raise")
    if NOW + left < START + timedelta(seconds=asked):
        with pytest.raises(CredentialsError, match=r"the credentials end at 2026"):
            strict.presign("get_object", OBJECT, expires_in=asked)
    else:
        assert strict.presign("get_object", OBJECT, expires_in=asked).expires_at == START + timedelta(seconds=asked)


@pytest.mark.parametrize("left", [timedelta(0), timedelta(microseconds=399_999), timedelta(seconds=-1), timedelta(days=-1)])
@pytest.mark.parametrize("short_credentials", ["clamp", "raise"])
def test_credentials_that_ended_or_end_within_a_second_sign_nothing(left: timedelta, short_credentials: Any) -> None:
    signer = presigner(ending(left), short_credentials=short_credentials)
    calls: list[Callable[[], Any]] = [
        lambda: signer.presign("get_object", OBJECT, expires_in=1),
        lambda: signer.presign_urls("get_object", "bucket", ["key"]),
        lambda: signer.presign_post("bucket", "key"),
    ]
    for call in calls:
        with pytest.raises(CredentialsError, match=r"the credentials end at 2026-"):
            call()


def test_one_whole_second_left_is_enough() -> None:
    request = presigner(ending(timedelta(microseconds=400_000))).presign("get_object", OBJECT)
    assert query_of(request.url)["X-Amz-Expires"] == "1"


def test_every_kind_of_answer_is_clamped() -> None:
    signer = presigner(ending(timedelta(seconds=90, milliseconds=900)))
    end = START + timedelta(seconds=91)
    urls, form = signer.presign_urls("get_object", "bucket", ["key"]), signer.presign_post("bucket", "key")
    assert (urls.expires_at, form.expires_at) == (end, end)
    assert query_of(urls[0])["X-Amz-Expires"] == "91"
    assert policy_of(form.fields)["expiration"] == "2026-03-01T12:32:16Z"


def test_credentials_that_end_are_counted_from_the_signing_time() -> None:
    signer = presigner(ending(timedelta(hours=1)))
    later = signer.presign("get_object", OBJECT, signing_time=NOW + timedelta(minutes=50))
    assert query_of(later.url)["X-Amz-Expires"] == "600"
    with pytest.raises(CredentialsError):
        signer.presign("get_object", OBJECT, signing_time=NOW + timedelta(hours=1))


# --- bad input --------------------------------------------------------------------------------------------------------

# The least a message must name, then a call that must be refused.
BAD_LIVES = [0, -1, 604_801, 1.5, 0.5, True, False, float("nan"), float("inf"), -float("inf"), 1e300, "60", None, b"60",
[60], timedelta(0), timedelta(seconds=-1),
             timedelta(milliseconds=1500), timedelta(days=7, seconds=1), timedelta.max]  # fmt: skip
BAD_TIMES = [NAIVE, 0, "2026-03-01T00:00:00Z", datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC),
datetime(9999, 6, 1, tzinfo=UTC),
             datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))]  # fmt: skip
BAD_FORMS: list[tuple[str, dict[str, Any]]] = [
    *(("bucket", {"bucket": bucket}) for bucket in ("", None, 5, b"bucket", "a/b", ".", "..", "a\nb", "\ud800")),
    *(("key", {"key": key}) for key in ("", None, 5, b"key", "k" * 1025, "é" * 513, "\ud800")),
    *(("fields", {"fields": fields}) for fields in (5, "acl", [], ["acl"], [("acl", "private")], {"": "x"}, {5: "x"},
    {"a\nb": "x"}, {"\ud800": "x"})),
    *((f"fields[{name!r}]", {"fields": {name: "x"}}) for name in ("key", "Key", "policy", "file", "bucket",
    "X-Amz-Signature", "x-amz-date",
                                                                "x-amz-algorithm", "x-amz-credential", "x-amz-security-token")),
    *(("fields['acl']", {"fields": {"acl": value}}) for value in (None, 5, b"private", "a\nb", "a\rb", "\x00", "\x7f",
    "\ud800", ["private"])),
    *(("conditions", {"conditions": conditions}) for conditions in (5, "eq", b"eq", {}, {"acl": "private"}, {1, 2})),
    *(
        ("conditions[0]", {"conditions": [condition]})
        for condition in (
            None, 5, "eq", [], {}, {"acl": 5}, {5: "x"}, {"acl": None}, ["eq"], ["eq", "$acl"], ["eq", "acl", "x"], ["eq",
            "$", "x"], ["eq", "$acl", 5], ["EQUAL", "$acl", "x"],
            ["eq", "$acl", "x", "y"], ["starts-with", 5, "x"], ["ends-with", "$acl", "x"], ["content-length-range", 1],
            ["content-length-range", 2, 1], ["content-length-range", 0, 10**5000],
            ["content-length-range", -1, 1], ["content-length-range", "1", "+2"], ["content-length-range", 1.0, 2],
            ["content-length-range", "2", "1"], ["content-length-range", "", "1"],
            ["content-length-range", True, 2],
            ["content-length-range", 0, True], ["content-length-range", None, None], ["content-length-range", 0, float("inf")],
        )
    ),
    *(("content_length_range", {"content_length_range": bounds}) for bounds in ((2, 1), (0, 10**5000), (-1, 1), (1,), (1,
    2, 3), ("1",
    "2"), 5, "12", (1.0, 2), (True, 2), (0, None), {}, ())),
    *(("expires_in", {"expires_in": life}) for life in BAD_LIVES),
    *(("signing_time", {"signing_time": moment}) for moment in BAD_TIMES),
]  # fmt: skip
BAD_REQUESTS: list[tuple[str, dict[str, Any]]] = [
    *(("operation", {"operation": operation}) for operation in ("get_objct", "", None, 5, ["get_object"], {"get_object": 1})),
    *(("params", {"params": params}) for params in (5, 0, "", "Bucket", [], ["Bucket"], False)),
    *(("params['Key']", {"params": {**OBJECT, "Key": key}}) for key in ("", None, 5, "k" * 1025, "\ud800")),
    *(("params['Bucket']", {"params": {**OBJECT, "Bucket": bucket}}) for bucket in ("", None, 5, "a/b", "..", "\ud800")),
    ("params['Bukket']", {"params": {**OBJECT, "Bukket": "b"}}),
    ("params['IfModifiedSince']", {"params": {**OBJECT, "IfModifiedSince": NAIVE}}),
    ("params['Range']", {"params": {**OBJECT, "Range": "bytes=0-1\r\nx: y"}}),
    *(("http_method", {"http_method": method}) for method in ("", "get", "G E T", "GET\n", 5, b"GET", ["GET"])),
    *(("expires_in", {"expires_in": life}) for life in BAD_LIVES),
    *(("signing_time", {"signing_time": moment}) for moment in BAD_TIMES),
]
BAD_BATCHES: list[tuple[str, dict[str, Any]]] = [
    *(("keys", {"keys": keys}) for keys in ("key", b"key", S3Object("bucket", "key"), None, 5)),
    *(
        (f"keys[{at}]", {"keys": ["ok"] * at + [key]})
        for at, key in enumerate(["", 5, None, b"key", "\ud800", "k" * 1025, ["key"]])
    ),
    ("keys[0]", {"keys": [S3Object("other", "key")]}),
    ("keys[0]", {"keys": [S3Object("bucket", "")]}),
    ("keys[0]", {"keys": [S3Object("bucket", 5)]}),  # type: ignore[arg-type]
    ("keys[0]", {"keys": [S3Object("bucket", "key", 5)]}),  # type: ignore[arg-type]
    ("keys[0]", {"operation": "put_object", "keys": [S3Object("bucket", "key", "v1")]}),
    *(("params['Bucket']", {"bucket": bucket}) for bucket in ("", None, 5, "a/b")),
    *(("params", {"params": params}) for params in (5, "x", [], [1])),
    ("params['Key']", {"params": {"Key": "other"}}),
    ("params['Bucket']", {"params": {"Bucket": "other"}}),
    ("params['Key']", {"operation": "list_objects_v2"}),
    ("operation", {"operation": "get_objects"}),
    *(("expires_in", {"expires_in": life}) for life in BAD_LIVES),
]


def refused(call: Callable[..., Any], **given: Any) -> list[str]:
    """The arguments that the refusal names; its message names them too."""
    with pytest.raises(InvalidRequest) as raised:
        call(**given)
    problems = raised.value.problems
    assert all(problem.argument and problem.expected for problem in problems)
    assert str(raised.value).splitlines() == [str(problem) for problem in problems]
    return [problem.argument for problem in problems]


@pytest.mark.parametrize(("argument", "given"), BAD_REQUESTS)
def test_a_bad_request(argument: str, given: dict[str, Any]) -> None:
    assert refused(presigner().presign, **{"operation": "get_object", "params": OBJECT, **given}) == [argument]


@pytest.mark.parametrize(("argument", "given"), BAD_FORMS)
def test_a_bad_form(argument: str, given: dict[str, Any]) -> None:
    assert refused(presigner().presign_post, **{"bucket": "bucket", "key": "key", **given}) == [argument]


@pytest.mark.parametrize(("argument", "given"), BAD_BATCHES)
def test_a_bad_batch(argument: str, given: dict[str, Any]) -> None:
    call = {"operation": "get_object", "bucket": "bucket", "keys": ["key"], **given}
    assert refused(presigner().presign_urls, **call) == [argument]


@pytest.mark.parametrize(
    ("argument", "given"),
    [
        *(("region", {"region": region}) for region in (None, "", "eu central", "eu/x", "aws-global", 5, "ü")),
        *(("credentials", {"credentials": credentials}) for credentials in (None, ("AKID", "secret"),
        {"access_key_id": "AKID"}, "AKID", lambda: CREDENTIALS)),
        *(("endpoint_url", {"endpoint_url": url}) for url in ("", "localhost:9000", "ftp://h", "http://u:p@h", 5)),
        *(("addressing_style", {"addressing_style": style}) for style in ("Virtual", "", None, 5, [])),
        *(("short_credentials", {"short_credentials": word}) for word in ("clmp", "", None, 5, [])),
        *(("clock", {"clock": clock}) for clock in (5, NOW, "now")),
    ],
)  # fmt: skip
def test_a_bad_presigner(argument: str, given: dict[str, Any]) -> None:
    assert refused(Presigner, **{"credentials": CREDENTIALS, "region": "eu-central-1", **given}) == [argument]


@pytest.mark.parametrize("moment", [NAIVE, None, 0, datetime.max.replace(tzinfo=UTC)], ids=repr)
def test_a_bad_clock(moment: Any) -> None:
    signer = presigner(clock=lambda: moment)
    assert refused(signer.presign, operation="get_object", params=OBJECT) == ["clock"]
    assert refused(signer.presign_post, bucket="bucket", key="key") == ["clock"]
    assert refused(signer.presign_urls, operation="get_object", bucket="bucket", keys=[]) == ["clock"]


def test_a_region_that_is_empty_is_none() -> None:
    with pytest.raises(InvalidRequest, match=r"^region: .*, got nothing"):
        Presigner(CREDENTIALS, region="")


def test_a_missing_region_is_named_and_never_guessed() -> None:
    with pytest.raises(InvalidRequest) as caught:
        Presigner(CREDENTIALS)
    assert [problem.argument for problem in caught.value.problems] == ["region"]


def test_the_region_is_looked_up_when_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert Presigner(CREDENTIALS).region == "eu-west-1"
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    assert Presigner(CREDENTIALS).region == "eu-west-2"
    assert Presigner(CREDENTIALS, region="eu-west-3").region == "eu-west-3"
    assert refused(Presigner, credentials=CREDENTIALS, region="") == ["region"]


def test_no_endpoint_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, "http://somewhere.else")
    assert (
        "//bucket.s3.eu-west-1.amazonaws.com/" in Presigner(CREDENTIALS, region="eu-west-1").presign("get_object", OBJECT).url
    )


@pytest.mark.parametrize("window", [0, -1, 1.5, True, "60", 302_401, timedelta(days=4)])
def test_windows_that_are_none(window: Any) -> None:
    assert refused(Presigner, credentials=CREDENTIALS, region="eu-west-1", signing_window=window) == ["signing_window"]


@pytest.mark.parametrize("window", [1, 302_400, timedelta(days=3.5)])
def test_the_shortest_and_the_longest_window(window: Any) -> None:
    Presigner(CREDENTIALS, region="eu-west-1", signing_window=window)


def test_all_problems_of_a_call_are_said_at_once() -> None:
    call = {
        "operation": "get_object",
        "params": {"Key": "", "Rnge": "x"},
        "expires_in": 0,
        "signing_time": NAIVE,
        "http_method": "get",
    }
    assert refused(presigner().presign, **call) == [
        "params['Rnge']",
        "params['Bucket']",
        "params['Key']",
        "expires_in",
        "signing_time",
        "http_method",
    ]
    assert refused(presigner().presign, **{**call, "operation": "x"}) == [
        "operation",
        "expires_in",
        "signing_time",
        "http_method",
    ]
    form = {
        "bucket": "",
        "key": "",
        "fields": {"key": "x", "acl": 5},
        "conditions": [[], {}],
        "content_length_range": (2, 1),
        "expires_in": 0,
        "signing_time": 0,
    }
    assert refused(presigner().presign_post, **form) == [
        "bucket", "key", "fields['key']", "fields['acl']", "conditions[0]", "conditions[1]", "content_length_range",
        "expires_in", "signing_time",
    ]  # fmt: skip
    batch = {"operation": "get_object", "bucket": "", "keys": "key", "params": {"Key": "x"}, "expires_in": 0}
    assert refused(presigner().presign_urls, **batch) == ["params['Bucket']", "keys", "params['Key']", "expires_in"]
    signer = {
        "credentials": None,
        "region": "",
        "endpoint_url": "x",
        "addressing_style": "x",
        "short_credentials": "x",
        "clock": 5,
    }
    assert refused(Presigner, **signer) == [
        "region",
        "addressing_style",
        "endpoint_url",
        "credentials",
        "short_credentials",
        "clock",
    ]


@pytest.mark.parametrize("key", ["k" * 1025, "é" * 513, "é" * 600, "\U0001f600" * 257, ""], ids=len)
def test_a_key_that_s3_cannot_hold_is_refused_alone_and_in_a_batch(key: str) -> None:
    with pytest.raises(InvalidRequest, match=r"params\['Key'\]: "):
        presigner().presign("get_object", {"Bucket": "bucket", "Key": key})
    with pytest.raises(InvalidRequest, match=r"keys\[1\]: "):
        list(presigner().presign_urls("get_object", "bucket", ["good", key]))
    with pytest.raises(InvalidRequest, match=r"^key: "):
        presigner().presign_post("bucket", key)


def test_every_bad_key_of_a_batch_is_named() -> None:
    keys = ["ok"] * (2 * BATCH) + ["", "ok", 5, S3Object("other", "k")]
    at = 2 * BATCH
    assert refused(presigner().presign_urls, operation="get_object", bucket="bucket", keys=keys) == [
        f"keys[{at}]",
        f"keys[{at + 2}]",
        f"keys[{at + 3}]",
    ]


@pytest.mark.parametrize("key", ["k" * 1024, "é" * 512, "🎉" * 256])
def test_a_key_of_1024_bytes_is_not_too_long(key: str) -> None:
    assert presigner().presign("get_object", {**OBJECT, "Key": key}).url
    assert presigner().presign_post("bucket", key).fields["key"] == key
    assert len(presigner().presign_urls("get_object", "bucket", [key])) == 1


@pytest.mark.parametrize(("method", "suggestion"), [("get", "GET"), ("Put", "PUT"), ("delet", "DELETE")])
def test_a_method_has_a_suggestion(method: str, suggestion: str) -> None:
    with pytest.raises(InvalidRequest, match=f"did you mean '{suggestion}'"):
        presigner().presign("get_object", OBJECT, http_method=method)


@pytest.mark.parametrize("bucket", ["arn:aws:s3::123456789012:accesspoint/point.mrap", "bucket--use1-az4--x-s3"])
def test_what_cannot_be_signed_yet_is_unsupported(bucket: str) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: presigner().presign("get_object", {"Bucket": bucket, "Key": "key"}),
        lambda: presigner().presign_urls("get_object", bucket, ["key"]),
        lambda: presigner().presign_post(bucket, "key"),
    ]
    for call in calls:
        with pytest.raises(UnsupportedRequest, match=r"^bucket: "):
            call()


# --- nothing foreign escapes ------------------------------------------------------------------------------------------

any_text = st.text(max_size=8)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), any_text)
jsonish = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(any_text, inner, max_size=4)), max_leaves=8
)
operations = st.one_of(
    st.sampled_from(["get_object", "put_object", "list_objects_v2", "create_bucket", "list_buckets"]), jsonish
)
named = st.sampled_from(["Bucket", "Key", "Range", "VersionId", "Metadata", "PartNumber", "Prefix", "MaxKeys",
"FetchOwner", "OptionalObjectAttributes",
                         "IfModifiedSince", "SSECustomerKey", "SSECustomerKeyMD5", "BucketKeyEnabled", "ContentType",
                         "Body", "EncodingType"])  # fmt: skip
params = st.one_of(
    jsonish,
    st.dictionaries(named, jsonish, max_size=5),
    st.dictionaries(named, any_text, max_size=4).map(lambda some: {**OBJECT, **some}),
)
words = st.sampled_from(["eq", "starts-with", "content-length-range", "$key", "$acl", "$", 0, 10])
conditions = st.one_of(
    jsonish,
    st.lists(
        st.one_of(st.lists(st.one_of(words, scalars), max_size=4), st.dictionaries(any_text, scalars, max_size=2), jsonish),
        max_size=3,
    ),
)
form_fields = st.one_of(jsonish, st.dictionaries(any_text, any_text, max_size=3))
lives = st.one_of(st.just(3600), jsonish)
SIGNER = presigner(ending(timedelta(minutes=10)))


def refused_or_signed(call: Callable[[], Any]) -> None:
    """Anything but an answer or a `PresignError` fails the test by itself."""
    with contextlib.suppress(PresignError):
        assert call() is not None


@settings(max_examples=4 * settings().max_examples)
@given(operations, params, lives, st.one_of(st.none(), jsonish), st.one_of(st.none(), jsonish))
def test_presign_signs_or_says_why_not(operation: Any, given: Any, life: Any, method: Any, moment: Any) -> None:
    refused_or_signed(lambda: SIGNER.presign(operation, given, expires_in=life, http_method=method, signing_time=moment))


@settings(max_examples=4 * settings().max_examples)
@given(
    st.one_of(st.just("bucket"), jsonish),
    st.one_of(any_text, jsonish),
    form_fields,
    conditions,
    st.one_of(st.none(), jsonish),
    lives,
)
def test_presign_post_signs_or_says_why_not(bucket: Any, key: Any, fields: Any, said: Any, bounds: Any, life: Any) -> None:
    refused_or_signed(
        lambda: SIGNER.presign_post(bucket, key, fields=fields, conditions=said, content_length_range=bounds, expires_in=life)
    )


@settings(max_examples=2 * settings().max_examples)
@given(operations, st.one_of(st.just("bucket"), jsonish), jsonish, st.one_of(st.none(), params), lives)
def test_presign_urls_signs_or_says_why_not(operation: Any, bucket: Any, keys: Any, given: Any, life: Any) -> None:
    refused_or_signed(lambda: SIGNER.presign_urls(operation, bucket, keys, params=given, expires_in=life))


@given(st.tuples(jsonish, jsonish, jsonish, jsonish), st.tuples(any_text, any_text, st.one_of(st.none(), any_text)))
def test_a_presigner_is_made_or_says_why_not(options: tuple[Any, ...], parts: tuple[Any, ...]) -> None:
    region, endpoint_url, style, short = options
    refused_or_signed(
        lambda: Presigner(
            CREDENTIALS, region=region, endpoint_url=endpoint_url, addressing_style=style, short_credentials=short
        )
    )
    refused_or_signed(lambda: presigner(Credentials(*parts)).presign_post("bucket", "key"))


# --- batches ----------------------------------------------------------------------------------------------------------


def test_a_batch_is_what_single_calls_sign() -> None:
    keys: list[str | S3Object] = [
        "a",
        "ü/ b",
        S3Object("bucket", "c"),
        S3Object("bucket", "d", "v1"),
        *(f"k{n}" for n in range(3 * BATCH)),
    ]
    shared = {"ResponseContentType": "text/plain"}
    urls = presigner().presign_urls("get_object", "bucket", keys, params=shared, expires_in=60)
    assert (urls.method, urls.expires_at) == ("GET", START + timedelta(seconds=60))
    singles = [
        {**shared, **(key.to_params() if isinstance(key, S3Object) else {"Bucket": "bucket", "Key": key})} for key in keys
    ]
    assert urls == [presigner().presign("get_object", single, expires_in=60).url for single in singles]


def test_the_version_of_an_object_counts_before_the_one_for_all() -> None:
    urls = presigner().presign_urls(
        "get_object", "bucket", ["k", S3Object("bucket", "k", "mine")], params={"VersionId": "shared"}
    )
    assert [query_of(url)["versionId"] for url in urls] == ["shared", "mine"]


def test_an_empty_batch_is_a_batch() -> None:
    urls = presigner().presign_urls("delete_object", "bucket", [])
    assert (urls, urls.method) == ([], "DELETE")


def test_a_parameter_that_becomes_a_header_is_unsupported_in_a_batch() -> None:
    with pytest.raises(UnsupportedRequest, match=r"If-Match, Range must be sent as headers.*use presign"):
        presigner().presign_urls("get_object", "bucket", ["key"], params={"Range": "bytes=0-1", "IfMatch": "x"})


def test_keys_are_read_batch_by_batch() -> None:
    read = []

    def keys() -> Iterator[str]:
        for n in range(10 * BATCH):
            read.append(n)
            yield f"key-{n}"

    urls, batches = presigner().batches("get_object", "bucket", keys(), None, 3600)
    assert (list(urls), read) == ([], [])
    assert len(next(batches)) == BATCH
    assert len(read) == BATCH


def test_an_error_of_the_callers_iterator_is_the_callers() -> None:
    def keys() -> Iterator[str]:
        yield "key"
        raise LookupError("theirs")

    with pytest.raises(LookupError, match="theirs"):
        presigner().presign_urls("get_object", "bucket", keys())


# --- forms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bounds", [(0, 0), (1, 5 * 2**30), [1, 2]])
def test_a_length_range_is_a_condition_after_the_callers(bounds: Any) -> None:
    form = presigner().presign_post("bucket", "key", conditions=[{"acl": "private"}], content_length_range=bounds)
    assert policy_of(form.fields)["conditions"][:2] == [{"acl": "private"}, ["content-length-range", *bounds]]


def test_a_form_goes_to_the_bucket() -> None:
    assert presigner().presign_post("bucket", "key").url == "https://bucket.s3.eu-central-1.amazonaws.com/"
    assert presigner().presign_post("my.bucket", "key").url == "https://s3.eu-central-1.amazonaws.com/my.bucket"
    assert presigner(endpoint_url="http://[::1]:9000/base").presign_post("bucket", "key").url == "http://[::1]:9000/base/bucket"


def test_a_form_holds_the_token_of_its_credentials() -> None:
    form = presigner(ending(timedelta(hours=2))).presign_post("bucket", "key")
    assert form.fields["x-amz-security-token"] == "token"
    assert {"x-amz-security-token": "token"} in policy_of(form.fields)["conditions"]
