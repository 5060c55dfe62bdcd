"""botocore is the oracle: what we sign is, byte for byte, what it signs, but for the rows of `botocore_differences`."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from asyncpresign import PresignedURLs, S3Object, UnsupportedRequest
from asyncpresign._s3._operations_table import NAMES
from asyncpresign._s3.operations import Parameter, Trait, lookup

from .botocore_cases import (
    buckets,
    call_of,
    calls_of,
    cases,
    copy_sources,
    header_texts,
    keys,
    places,
    travelling,
    values_of,
)
from .botocore_differences import (
    ACCESS_KEY_ID,
    DIFFERENCES,
    MOMENT,
    SECRET_ACCESS_KEY,
    Call,
    Difference,
    FormCall,
    Outcome,
    Place,
    classify,
    frozen,
    known_difference,
    ours,
    presigner,
    session,
    theirs,
)
from .stdlib_only import VECTORS
from .stdlib_only import cases as vectors
from .test_url_parity import has_other_white_space, holds

pytestmark = pytest.mark.oracle

# --- URLs -------------------------------------------------------------------------------------------------------------


def assert_equal(call: Call | FormCall) -> None:
    expected, got = theirs(call), ours(call)
    assert expected.refusal is None, f"botocore refused: {expected.refusal}"
    assert got == expected
    if isinstance(call, Call) and not has_other_white_space(got):
        assert holds(got.url, call, dict(got.pairs)), "verify_url refused it"


def assert_as_said(call: Call) -> None:
    """Equal, or different where a row says so."""
    if (row := known_difference(call)) is None:
        assert_equal(call)
    else:
        assert theirs(call) != ours(call), row.name


@pytest.mark.parametrize("operation", NAMES)
@settings(max_examples=max(1, settings().max_examples // 10))
@given(st.data())
def test_urls_and_headers_are_botocores(operation: str, data: st.DataObject) -> None:
    """Also by a presigner that was asked for the same with other values."""
    call = data.draw(calls_of(operation))
    assume(known_difference(call) is None)
    parameters = lookup(operation).parameters
    ours(replace(call, params={name: data.draw(values_of(parameters[name])) for name in call.params}))
    assert_equal(call)


@pytest.mark.parametrize("style", ["virtual", "path"])
@pytest.mark.parametrize("operation", NAMES)
def test_every_operation_is_botocores_with_what_it_requires_and_with_all_it_takes(operation: str, style: str) -> None:
    place = Place(addressing_style=style)
    assert_as_said(call_of(operation, place=place))
    assert_as_said(call_of(operation, *travelling(operation), place=place))


@given(st.sampled_from(["copy_object", "upload_part_copy"]), copy_sources)
@example("copy_object", "a/b?versionId=x?versionId=y")
@example("copy_object", "a/b?versionId=")
@example("copy_object", "/a/b c")
@example("copy_object", {"Bucket": "", "Key": "", "VersionId": ""})
def test_copy_sources_are_botocores(operation: str, source: Any) -> None:
    more = {"UploadId": "id", "PartNumber": 1} if operation == "upload_part_copy" else {}
    assert_equal(Call(operation, {"Bucket": "bucket", "Key": "key", "CopySource": source, **more}))


@pytest.mark.parametrize("operation", NAMES)
def test_a_body_is_required_where_the_model_requires_a_member_of_it(operation: str) -> None:
    shape = session().get_service_model("s3").operation_model(lookup(operation).name).input_shape
    inside = [name for name, member in shape.members.items() if "location" not in member.serialization]
    required = any(name in shape.required_members for name in inside)
    assert lookup(operation).body == ("required" if required else "optional" if inside else "none")


@pytest.mark.parametrize("operation", NAMES)
def test_a_digest_is_demanded_where_the_model_demands_one(operation: str) -> None:
    model = session().get_service_model("s3").operation_model(lookup(operation).name)
    assert (Trait.CHECKSUM in lookup(operation).traits) == bool(model.http_checksum.get("requestChecksumRequired"))


def test_the_table_is_all_that_botocore_has() -> None:
    assert set(NAMES.values()) == set(session().get_service_model("s3").operation_names)


def test_the_stream_of_cases_is_seeded_and_has_every_operation() -> None:
    some = list(cases(1, 2 * len(NAMES)))
    assert {call.operation for call in some} == set(NAMES)
    assert some == list(cases(1, 2 * len(NAMES)))
    assert some != list(cases(2, 2 * len(NAMES)))


@given(keys, places)
@example("/a//../b/./c", Place())
@example("".join(map(chr, range(128))), Place())
@example("é" * 512, Place(session_token="+/="))
def test_urls_of_any_key_are_botocores(key: str, place: Place) -> None:
    assert_equal(Call("get_object", {"Bucket": "bucket", "Key": key}, place))


@pytest.mark.parametrize(
    ("operation", "parameter"),
    [
        pytest.param(operation, parameter, id=f"{operation}-{parameter.name}")
        for operation in NAMES
        for parameter in travelling(operation)
    ],
)
def test_every_parameter_alone_is_botocores(operation: str, parameter: Parameter) -> None:
    assert_as_said(call_of(operation, parameter))


@pytest.mark.parametrize("value", [False, True])
def test_booleans_in_headers_and_queries_are_small(value: bool) -> None:
    call = Call("list_objects_v2", {"Bucket": "bucket", "FetchOwner": value})
    assert f"fetch-owner={str(value).lower()}&" in ours(call).url
    assert_equal(call)
    assert_equal(Call("put_object", {"Bucket": "bucket", "Key": "key", "BucketKeyEnabled": value}))


def test_an_encoded_customer_key_with_its_digest_is_left_as_it_is() -> None:
    sse = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "a2V5", "SSECustomerKeyMD5": "bWQ1"}
    call = Call("get_object", {"Bucket": "bucket", "Key": "key", **sse})
    assert dict(ours(call).pairs)["x-amz-server-side-encryption-customer-key"] == "a2V5"
    assert_equal(call)


@given(st.lists(keys, max_size=5), places)
def test_a_batch_is_botocores_urls(some: list[str], place: Place) -> None:
    params = {"VersionId": "v 1", "ResponseContentType": "text/plain; charset=ü"}
    signer = presigner(place, lambda: place.moment)
    urls = signer.presign_urls("get_object", "bucket", some, params=params, expires_in=place.expires_in)
    expected = [theirs(Call("get_object", {"Bucket": "bucket", "Key": key, **params}, place)).url for key in some]
    assert isinstance(urls, PresignedURLs)
    assert urls == expected


def test_a_batch_of_versions_is_botocores_urls() -> None:
    signer = presigner(Place(), lambda: MOMENT)
    urls = signer.presign_urls(
        "get_object", "bucket", [S3Object("bucket", "key", "v1"), "key"], params={"ResponseExpires": MOMENT}
    )
    plain = {"Bucket": "bucket", "Key": "key", "ResponseExpires": MOMENT}
    assert urls == [theirs(Call("get_object", {**plain, "VersionId": "v1"})).url, theirs(Call("get_object", plain)).url]


# --- forms ------------------------------------------------------------------------------------------------------------

field_names = st.one_of(
    st.sampled_from(
        [
            "acl",
            "Content-Type",
            "Cache-Control",
            "success_action_status",
            "success_action_redirect",
            "tagging",
            "x-amz-meta-a",
            "X-Amz-Meta-B",
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).map(lambda name: "x-amz-meta-" + name),
)


@st.composite
def form_calls(draw: st.DrawFn) -> FormCall:
    """A form whose every field the conditions cover, which botocore does not do for its caller."""
    fields = draw(st.dictionaries(field_names, header_texts, max_size=4))
    covering: list[Any] = [
        draw(st.sampled_from([{name: value}, ["eq", f"${name}", value], ["starts-with", f"${name}", value[:2]]]))
        for name, value in fields.items()
    ]
    more = draw(
        st.lists(
            st.sampled_from(
                [
                    ["content-length-range", 0, 10],
                    ("content-length-range", 1, 5 * 2**30),
                    ["Content-Length-Range", "0", "10485760"],
                    ["starts-with", "$tagging", ""],
                    ["StArTs-WiTh", "$tagging", ""],
                ]
            ),
            max_size=2,
        )
    )
    key = draw(keys) + draw(st.sampled_from(["", "${filename}", "/${filename}.jpg"]))
    return FormCall(draw(buckets), key, fields, draw(st.permutations(covering + more)), draw(places))


@settings(max_examples=2 * settings().max_examples)
@given(form_calls())
@example(FormCall("bucket", "${filename}"))
def test_forms_are_botocores(call: FormCall) -> None:
    """The URL, the fields in order, the policy's base64 and the signature over it."""
    assume(known_difference(call) is None)
    assert_equal(call)


def test_the_callers_fields_and_conditions_are_not_changed() -> None:
    fields, conditions = {"acl": "private"}, [["content-length-range", 1, 2], {"x-amz-meta-a": "b"}]
    before = copy.deepcopy((fields, conditions))
    presigner(Place()).presign_post("bucket", "key", fields=fields, conditions=conditions, content_length_range=(1, 2))
    assert (fields, conditions) == before


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", DIFFERENCES, ids=lambda row: row.name)
def test_every_row_is_a_real_difference(row: Difference) -> None:
    """What the table excuses differs, and we do what the row says; a row that no longer differs has to go."""
    got, expected = ours(row.example), theirs(row.example)
    assert got != expected
    assert got.refusal is row.refusal
    assert row.applies(row.example), "the row does not cover its own example"
    assert row.says in got.message
    assert classify(row.example, got, expected) == row.name


def test_what_no_row_explains_is_classified_as_nothing() -> None:
    """Another URL, a refusal of another type, a refusal where botocore signs, and a message about another argument."""
    call = Call("get_object", {"Bucket": "bucket", "Key": "key"})
    late = replace(call, place=Place(expires_in=0))
    assert classify(call, ours(call), theirs(call)) == "equal"
    assert classify(call, replace(ours(call), url="https://other"), theirs(call)) == ""
    assert classify(call, ours(late), theirs(call)) == ""
    assert classify(late, ours(late), theirs(late)) == "expiry"
    assert classify(late, replace(ours(late), message="region: is empty"), theirs(late)) == ""
    assert classify(late, replace(ours(late), refusal=UnsupportedRequest), theirs(late)) == ""
    assert classify(late, ours(late), Outcome(refusal=ValueError)) == "refused by both"


def test_rows_have_names_of_their_own() -> None:
    assert len({row.name for row in DIFFERENCES}) == len(DIFFERENCES)


# --- the vectors that machines without botocore check -----------------------------------------------------------------


def endpoint_call(case: dict[str, Any]) -> Call:
    place = Place(case["region"], case["endpoint_url"], case["addressing_style"])
    return Call("list_objects_v2", {"Bucket": case["bucket"]}, place) if case["bucket"] else Call("list_buckets", {}, place)


@pytest.mark.parametrize(
    "case",
    vectors("endpoints"),
    ids=lambda case: f"{case['endpoint_url'] or case['region']}-{case['bucket']}-{case['addressing_style']}",
)
def test_the_endpoint_vectors_are_botocores(case: dict[str, Any]) -> None:
    call = endpoint_call(case)
    if (row := known_difference(call)) is None:
        assert theirs(call).url.partition("?")[0] == case["origin"] + case["path"]
    else:
        assert theirs(call) != ours(call), row.name


def place_of(case: dict[str, Any]) -> Place:
    moment = datetime.strptime(case["timestamp"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert (case["access_key_id"], case["secret_access_key"]) == (ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    place = (case["region"], case["endpoint_url"], case["addressing_style"], case["session_token"], moment, case["expires_in"])
    return Place(*place, **case.get("options", {}))


@pytest.mark.parametrize("case", vectors("botocore_urls"), ids=lambda case: case["operation"])
def test_the_url_vectors_are_botocores(case: dict[str, Any]) -> None:
    outcome = theirs(Call(case["operation"], case["params"], place_of(case)))
    assert (outcome.url, dict(outcome.pairs)) == (case["url"], case["headers"])


@pytest.mark.parametrize("case", vectors("botocore_forms"), ids=lambda case: case["key"])
def test_the_form_vectors_are_botocores(case: dict[str, Any]) -> None:
    outcome = theirs(FormCall(case["bucket"], case["key"], case["fields"], case["conditions"], place_of(case)))
    assert (outcome.url, list(map(list, outcome.pairs))) == (case["url"], case["form"])


def test_the_vectors_say_which_botocore_wrote_them() -> None:
    for name in ("botocore_urls", "botocore_forms"):
        assert "botocore 1." in json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))["source"]


def test_the_oracle_is_frozen_and_signs_with_signature_version_4() -> None:
    with frozen(Place(region="us-east-1", session_token="token")) as found:
        url = found.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "key"})
    assert f"X-Amz-Date={MOMENT:%Y%m%dT%H%M%SZ}" in url
    assert "AWS4-HMAC-SHA256" in url
    assert url.startswith("https://bucket.s3.us-east-1.amazonaws.com/key?")
