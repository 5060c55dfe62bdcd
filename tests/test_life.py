"""From when to when a signature is good, and that what is kept for it is never taken for another's."""

from __future__ import annotations

import pickle
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncpresign import Credentials, CredentialsError, InvalidRequest, Presigner, PresignError, Problem
from asyncpresign.signers.life import Kept, Lives
from asyncpresign.signers.presigner import _PLANS

from . import reference

NOW = datetime(2026, 3, 1, 12, 30, 45, 600_000, tzinfo=UTC)
OBJECT = {"Bucket": "bucket", "Key": "key"}
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)


def lives(clock: list[datetime], *, ends: datetime | None = None, window: int | None = None) -> Lives:
    """`clock` is read at its last entry, so that a test can go on."""
    return Lives(ends, "clamp", window, lambda: clock[-1])


def test_a_moment_is_kept_for_its_second_and_no_longer() -> None:
    clock = [NOW]
    decided = lives(clock)
    first = decided.now()
    clock.append(NOW + timedelta(milliseconds=399))
    assert decided.now() is first
    clock.append(NOW + timedelta(milliseconds=400))
    second = decided.now()
    assert (second.timestamp, second.start) == ("20260301T123046Z", first.start + timedelta(seconds=1))
    assert second.kept is not first.kept


def test_a_clock_that_goes_back_is_believed() -> None:
    clock = [NOW]
    decided = lives(clock)
    decided.now()
    clock.append(NOW - timedelta(hours=1))
    assert decided.now().timestamp == "20260301T113045Z"


def test_a_clock_of_another_zone_tells_the_same_moment() -> None:
    clock = [NOW.astimezone(timezone(timedelta(hours=5)))]
    decided = lives(clock)
    assert (decided.now().start, decided.now().timestamp) == (NOW.replace(microsecond=0), "20260301T123045Z")
    clock.append(clock[0] + timedelta(seconds=1))
    assert decided.now().timestamp == "20260301T123046Z"


def test_seconds_are_the_same_in_every_spelling() -> None:
    decided = lives([NOW])
    assert decided.life(decided.now(), 60) == decided.life(decided.now(), timedelta(minutes=1))


@pytest.mark.parametrize(
    "given",
    [
        NOW,
        MIDNIGHT,
        datetime(1000, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(9998, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ],
    ids=str,
)
def test_a_moment_begins_where_its_second_does(given: datetime) -> None:
    moment = lives([NOW]).moment(given)
    assert moment.start == given.replace(microsecond=0)
    assert moment.end - moment.start == timedelta(seconds=1)
    assert moment.first <= given.timestamp() < moment.last or given.year == 9998  # where a float has no microseconds left


def test_a_given_moment_leaves_the_clocks_alone() -> None:
    decided = lives([NOW])
    now = decided.now()
    assert decided.moment(MIDNIGHT).timestamp == "20260302T000000Z"
    assert decided.now() is now


def test_a_window_is_kept_as_long_as_it_lasts() -> None:
    clock = [NOW]
    decided = lives(clock, window=60)
    first = decided.now()
    assert first.timestamp == "20260301T123000Z"
    clock.append(NOW.replace(second=59))
    assert decided.now() is first
    clock.append(NOW.replace(minute=31, second=0, microsecond=0))
    assert decided.now().timestamp == "20260301T123100Z"


@pytest.mark.parametrize("window", [None, 3600])
def test_nothing_kept_hides_the_end_of_the_credentials(window: int | None) -> None:
    ends = NOW + timedelta(seconds=2, milliseconds=400)
    clock = [NOW]
    decided = lives(clock, ends=ends, window=window)
    assert decided.life(decided.now(), 7200)[1] == ends.replace(microsecond=0)
    clock.append(ends)
    with pytest.raises(CredentialsError, match="the credentials end at 2026-03-01T12:30:48Z"):
        decided.life(decided.now(), 7200)


def test_what_is_kept_has_an_end() -> None:
    kept = Kept(16)
    for number in range(100):
        kept.keep(number, number)
        assert len(kept) <= 16
    assert kept[99] == 99


def test_a_customers_own_key_is_forgotten_with_its_second() -> None:
    presigner, clock = signed_by(0)
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "a-key-of-the-customers-own------"}
    _PLANS.clear()
    presigner.presign("get_object", {**OBJECT, **key})
    assert len(_PLANS) == 0
    presigner.presign("get_object", OBJECT)
    assert len(_PLANS) == 1
    kept = presigner._lives.now().kept
    clock.append(MIDNIGHT + timedelta(seconds=1))
    assert presigner._lives.now().kept is not kept


def test_no_text_of_a_call_is_remembered() -> None:
    presigner = frozen()
    _PLANS.clear()
    presigner.presign("put_object", {"Bucket": "bucket", "Key": "a-key", "ContentType": "a-type", "ACL": "a-list"})
    presigner.presign("get_object", {"Bucket": "bucket", "Key": "a-key", "VersionId": "a-version"})
    remembered = repr((_PLANS, presigner._lives.now().kept))
    assert len(_PLANS) == 2
    assert "VersionId" in remembered
    assert "a-" not in remembered
    for key in ("a-\u3000b", "a-\x7f", "a-" + "é" * 300):
        presigner.presign("get_object", {"Bucket": "bucket", "Key": key, "VersionId": "a-\u200d\n"})
    assert len(_PLANS) == 2  # also of those that need a closer look


def test_plans_are_shared_by_credentials_and_by_nothing_else() -> None:
    """What differs in anything but the credentials and the moment is signed as by one that never saw the others."""
    options: list[dict[str, Any]] = [
        {"region": "eu-central-1"},
        {"region": "us-east-1"},
        {"region": "us-east-1", "addressing_style": "path"},
        {"region": "us-east-1", "use_dualstack": True},
        {"region": "us-east-1", "endpoint_url": "http://localhost:9000"},
        {"region": "us-east-1", "public_endpoint_url": "http://localhost:9001"},
    ]
    some = [Credentials("AKID", "secret"), Credentials("AKIE", "secret2"), Credentials("AKIF", "secret", "to/ken")]
    given = [(one, option) for one in some for option in options]
    sharing = [sign_at_now(*each) for each in given]
    assert len(set(sharing)) == len(given)
    for each, url in zip(given, sharing, strict=True):
        _PLANS.clear()
        assert sign_at_now(*each) == url


def sign_at_now(credentials: Credentials, options: dict[str, Any]) -> str:
    return Presigner(credentials, clock=lambda: NOW, **options).presign("get_object", OBJECT).url


def test_a_presigner_can_be_pickled_after_it_has_signed() -> None:
    presigner = Presigner(Credentials("AKID", "secret"), region="eu-central-1")
    presigner.presign("get_object", {"Bucket": "bucket", "Key": "key"})
    again = pickle.loads(pickle.dumps(presigner))
    at: dict[str, Any] = {"signing_time": NOW}
    asked = ("get_object", {"Bucket": "bucket", "Key": "key"})
    assert again.presign(*asked, **at) == presigner.presign(*asked, **at)


def test_the_systems_clock_is_followed_from_second_to_second() -> None:
    presigner, seen = Presigner(Credentials("AKID", "secret"), region="eu-central-1"), set[str]()
    while len(seen) < 2:
        before = datetime.now(UTC)
        stamp = presigner.presign("get_object", OBJECT).url.partition("&X-Amz-Date=")[2][:16]
        seen.add(stamp)
        assert f"{before:%Y%m%dT%H%M%SZ}" <= stamp <= f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


# --- threads ----------------------------------------------------------------------------------------------------------

moments = st.sampled_from(
    [MIDNIGHT + timedelta(milliseconds=step) for step in (-86_400_000, -1500, -1000, -1, 0, 1, 999, 1000)]
)
asked = st.tuples(
    moments,
    st.sampled_from(["key", "a b", "ü/ö"]),
    st.sampled_from([1, 60, 3600]),
    st.sampled_from([{}, {"VersionId": "v"}, {"ResponseContentType": "text/plain"}]),
    st.integers(0, 5),
)


@settings(max_examples=max(5, settings().max_examples // 4))
@given(st.lists(st.lists(asked, min_size=1, max_size=12), min_size=8, max_size=8))
def test_eight_threads_over_shared_caches_sign_what_the_specification_does(plans: list[list[Any]]) -> None:
    """Six presigners of three credentials and two regions, whose clocks all threads set to and fro over midnight."""
    shared = [signed_by(number) for number in range(6)]
    failures: list[Any] = []
    start = threading.Barrier(len(plans))

    def run(plan: list[Any]) -> None:
        start.wait()
        for moment, key, life, params, number in plan:
            presigner, clock = shared[number]
            clock.append(moment)  # another thread may set it in between: the URL says which moment it was
            request = presigner.presign("get_object", {"Bucket": "bucket", "Key": key, **params}, expires_in=life)
            [url] = presigner.presign_urls("get_object", "bucket", [key], params=params, expires_in=life)
            failures.extend(url for url in (request.url, url) if url != expected(url, number, key, life, params))

    threads = [threading.Thread(target=run, args=(plan,)) for plan in plans]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # they are to get into each other's way
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert failures == []


def signed_by(number: int) -> tuple[Presigner, list[datetime]]:
    clock = [MIDNIGHT]
    credentials = Credentials(f"AKID{number % 3}", f"secret{number % 3}", "to/ken" if number % 3 else None)
    return Presigner(credentials, region=("eu-central-1", "us-east-1")[number // 3], clock=lambda: clock[-1]), clock


def expected(url: str, number: int, key: str, life: int, params: dict[str, str]) -> str:
    """What the specification makes of the moment that `url` says, with everything else as it was asked for."""
    timestamp = url.partition("&X-Amz-Date=")[2][:16]
    region = ("eu-central-1", "us-east-1")[number // 3]
    wire = {"VersionId": "versionId", "ResponseContentType": "response-content-type"}
    return reference.presign(
        method="GET",
        origin=f"https://bucket.s3.{region}.amazonaws.com",
        host=f"bucket.s3.{region}.amazonaws.com",
        key=key,
        query=[(wire[name], value) for name, value in params.items()],
        headers={},
        access_key_id=f"AKID{number % 3}",
        secret=f"secret{number % 3}",
        token="to/ken" if number % 3 else None,
        scope=f"{timestamp[:8]}/{region}/s3/aws4_request",
        timestamp=timestamp,
        expires_in=life,
    )


# --- what is remembered of calls --------------------------------------------------------------------------------------

PART = {"Bucket": "bucket", "Key": "key", "UploadId": "id", "PartNumber": 1}


def frozen() -> Presigner:
    return Presigner(Credentials("AKID", "secret"), region="eu-central-1", clock=lambda: NOW)


@pytest.mark.parametrize(
    "then",
    [
        {"PartNumber": True},
        {"PartNumber": 1.0},
        {"PartNumber": "1"},
        {"Key": ""},
        {"Key": None},
        {"Key": "k" * 1025},
        {"Key": "\ud800"},
        {"Key": 5},
        {"Bucket": "a/b"},
        {"UploadId": ["id"]},
        {"UploadId": {}},
        {"Other": "x"},
    ],
    ids=str,
)
def test_what_was_signed_a_moment_ago_makes_nothing_valid(then: dict[str, Any]) -> None:
    presigner = frozen()
    presigner.presign("upload_part", PART)
    with pytest.raises(InvalidRequest) as remembering:
        presigner.presign("upload_part", {**PART, **then})
    with pytest.raises(InvalidRequest) as fresh:
        frozen().presign("upload_part", {**PART, **then})
    assert remembering.value.problems == fresh.value.problems


@pytest.mark.parametrize("life", [True, 0, -1, 1.5, 604_801, "3600", None, [3600]])
def test_a_bad_life_is_refused_after_a_good_one(life: Any) -> None:
    presigner = frozen()
    presigner.presign("get_object", OBJECT, expires_in=1)
    with pytest.raises(InvalidRequest, match=r"^expires_in: "):
        presigner.presign("get_object", OBJECT, expires_in=life)


@pytest.mark.parametrize("operation", ["get_objec", 5, None, ["get_object"]])
def test_a_bad_operation_is_refused_after_a_good_one(operation: Any) -> None:
    presigner = frozen()
    presigner.presign("get_object", OBJECT)
    with pytest.raises(InvalidRequest, match=r"^operation: "):
        presigner.presign(operation, OBJECT)


def test_the_callers_hold_on_an_answer_changes_no_other() -> None:
    presigner, params = frozen(), {**OBJECT, "Metadata": {"a": "b"}, "ContentType": "text/plain"}
    first = presigner.presign("put_object", {**OBJECT, "ContentType": "text/plain"})
    assert isinstance(first.headers, dict)
    first.headers["x-amz-acl"] = "public-read"
    assert presigner.presign("put_object", {**OBJECT, "ContentType": "text/plain"}).headers == {"Content-Type": "text/plain"}
    assert presigner.presign("put_object", params).headers == {"Content-Type": "text/plain", "x-amz-meta-a": "b"}
    fixed = {**OBJECT, "Metadata": {"a": "b"}}  # no header of which differs from call to call
    for _ in range(2):
        headers = presigner.presign("put_object", fixed).headers
        assert headers == {"x-amz-meta-a": "b"}
        assert isinstance(headers, dict)
        headers["x-amz-acl"] = "public-read"
    params["Metadata"]["a"] = "c"  # type: ignore[index]
    assert presigner.presign("put_object", params).headers["x-amz-meta-a"] == "c"


ALIKE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a value like the name of the next parameter": ({"MaxKeys": 5, "Prefix": "x"}, {"MaxKeys": "Prefix"}),
    "a text that needs a closer look": ({"Prefix": "\ud800"}, {"Prefix": "\udfff"}),
    "a number and a text": ({"MaxKeys": 5}, {"MaxKeys": "5"}),
    "a bool and a number": ({"MaxKeys": 1}, {"MaxKeys": True}),
}


@pytest.mark.parametrize("pair", ALIKE.values(), ids=ALIKE.keys())
def test_calls_that_look_alike_are_not_taken_for_each_other(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    for one, other in (pair, pair[::-1]):
        remembering = frozen()
        for params in (one, other, one):
            call = ("list_objects_v2", {"Bucket": "bucket", **params}, 60, {})
            assert outcome(remembering, call) == outcome(frozen(), call)


def test_values_that_no_plan_can_be_kept_by_are_signed_as_they_are() -> None:
    presigner = frozen()
    for day in (1, 2, 1):
        since = datetime(2026, 3, day, tzinfo=UTC)
        assert (
            f"0{day} Mar 2026"
            in presigner.presign("get_object", {**OBJECT, "IfModifiedSince": since}).headers["If-Modified-Since"]
        )


OPTIONS: list[dict[str, Any]] = [
    {},
    {"http_method": "HEAD"},
    {"hoist_headers": True},
    {"hoist_headers": "strict"},
    {"extra_query": {"a": "b"}},
    {"extra_query": {"a": "c"}},
    {"extra_headers": {"x-amz-meta-b": "c"}},
    {"extra_headers": {"x-amz-meta-b": "d"}},
    {"extra_query": {"Key": "x", "key": "x", "Content-Type": "x", "content-type": "x"}},
    {"extra_headers": {"Key": "x", "key-": "x"}},
    {"extra_query": {"x-amz-acl": "x"}, "hoist_headers": True},
    {"signing_time": MIDNIGHT},
]
values = st.one_of(
    st.sampled_from(["x", "1", "true", "a b", "", " a  b ", "%s{0}", "ü", "a\nb"]),
    st.sampled_from([1, 20, True, 1.0, 0, 2**63, None, NOW, ["a"], {"a": "b"}, b"k"]),
)
calls = st.tuples(
    st.sampled_from(["get_object", "GetObject", "upload_part", "list_objects_v2", "put_object", "list_buckets"]),
    st.dictionaries(
        st.sampled_from(
            ["Bucket", "Key", "UploadId", "PartNumber", "Prefix", "VersionId", "IfMatch", "ACL", "Metadata", "MaxKeys"]
        ),
        values,
        max_size=5,
    ).map(lambda some: {"Bucket": "bucket", "Key": "key", **some}),
    st.sampled_from([60, 60.0, timedelta(seconds=60), True, 61]),
    st.sampled_from(OPTIONS),
)


def outcome(presigner: Presigner, call: Any) -> Any:
    operation, params, life, options = call
    try:
        return presigner.presign(operation, params, expires_in=life, **options)
    except PresignError as error:
        return type(error), str(error)


def outcome_alone(call: Any) -> Any:
    """That of a presigner which is the first to be asked anything."""
    _PLANS.clear()
    return outcome(frozen(), call)


def test_no_option_or_text_of_a_call_is_taken_for_another() -> None:
    params: list[dict[str, str]] = [  # of which the last stays a header
        {"Bucket": "bucket", "Key": "key", "ContentType": "a", "ACL": "private", "Tagging": "a=b"},
        {"Bucket": "bucket", "Key": "another", "ContentType": "b", "ACL": "public-read", "Tagging": "a=c"},
    ]
    some = [("put_object", each, 60, options) for each in params for options in OPTIONS]
    expected = [outcome_alone(call) for call in some]
    assert len(set(expected)) == len(some) - 2  # "strict" and a name that a hoisted header has are refused with the same words
    for presigner in (frozen(), frozen()):
        assert [outcome(presigner, call) for call in some + some] == expected + expected


@settings(max_examples=3 * settings().max_examples)
@given(st.lists(calls, min_size=1, max_size=8))
def test_presigners_that_remember_answer_as_new_ones(some: list[Any]) -> None:
    expected = [outcome_alone(call) for call in some]
    for presigner in (frozen(), frozen()):  # the second finds the plans of the first
        assert [outcome(presigner, call) for call in some + some] == expected + expected


forms = st.tuples(
    st.sampled_from(["key", "a b", "ü/ö", "", "a\nb", "up/${filename}", "${filename}.jpg", "\x7f", "k" * 300, '"\\', 5]),
    st.one_of(
        st.none(),
        st.dictionaries(
            st.sampled_from(["acl", "Content-Type", "x-amz-meta-a", "tagging"]), st.sampled_from(["x", "ü", "", 1]), max_size=3
        ),
    ),
    st.one_of(
        st.none(),
        st.lists(
            st.sampled_from(
                [
                    ["starts-with", "$key", ""],
                    ["eq", "$acl", "x"],
                    {"key": "key"},
                    ["content-length-range", 0, 1],
                    {"a": "b"},
                    5,
                ]
            ),
            max_size=2,
        ),
    ),
    st.sampled_from([None, (1, 2), [1, 2], (True, 2), (2, 1)]),
    st.sampled_from([60, 60.0, timedelta(seconds=60), True, 61]),
)


def form_outcome(presigner: Presigner, call: Any) -> Any:
    key, fields, conditions, bounds, life = call
    try:
        form = presigner.presign_post(
            "bucket", key, fields=fields, conditions=conditions, content_length_range=bounds, expires_in=life
        )
    except InvalidRequest as error:
        return error.problems
    return form.url, list(form.fields.items()), form.expires_at


@settings(max_examples=3 * settings().max_examples)
@given(st.lists(forms, min_size=1, max_size=6))
def test_a_presigner_that_remembers_makes_the_forms_of_a_new_one(some: list[Any]) -> None:
    remembering = frozen()
    for call in some + some + [("another", *call[1:]) for call in some]:
        assert form_outcome(remembering, call) == form_outcome(frozen(), call)


def test_a_form_that_grows_too_large_with_its_key_is_refused_after_a_small_one() -> None:
    presigner, fields = frozen(), {f"x-amz-meta-{number}": "v" * 1300 for number in range(6)}
    presigner.presign_post("bucket", "k", fields=fields)
    for key in ("k" * 1024, "\U0001f600" * 256):
        assert form_outcome(presigner, (key, fields, None, None, 60)) == form_outcome(frozen(), (key, fields, None, None, 60))
    refused = 0
    del fields["x-amz-meta-0"]
    for more in range(0, 2000, 50):  # from what fits with every key to what fits with none of this length
        call = ("k" * 1024, {**fields, "x-amz-meta-more": "v" * more}, None, None, 60)
        form_outcome(presigner, ("k", *call[1:]))
        assert form_outcome(presigner, call) == form_outcome(frozen(), call)
        refused += isinstance(form_outcome(frozen(), call)[0], Problem)
    assert 0 < refused < 40


def test_the_callers_hold_on_a_form_changes_no_other() -> None:
    presigner, fields = frozen(), {"acl": "private"}
    first = presigner.presign_post("bucket", "key", fields=fields)
    assert isinstance(first.fields, dict)
    first.fields.clear()
    fields["acl"] = "public-read"
    again = presigner.presign_post("bucket", "key", fields={"acl": "private"})
    assert again.fields["acl"] == "private"
    assert again == frozen().presign_post("bucket", "key", fields={"acl": "private"})
