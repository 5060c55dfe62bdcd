"""botocore is the oracle: what we sign is, byte for byte, what it signs, but for the rows of `botocore_differences`."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from asyncpresign import PresignedURLs, S3Object
from asyncpresign._s3._operations_table import NAMES
from asyncpresign._s3.operations import Parameter, lookup

from .botocore_differences import (
    ACCESS_KEY_ID,
    DIFFERENCES,
    MOMENT,
    SECRET_ACCESS_KEY,
    Call,
    Difference,
    FormCall,
    Place,
    frozen,
    known_difference,
    ours,
    presigner,
    session,
    theirs,
)
from .stdlib_only import VECTORS, cases

pytestmark = pytest.mark.oracle

# --- what is asked for ------------------------------------------------------------------------------------------------

# Letters that some encoder treats as special, whole traps, and the rest of Unicode.
special = st.sampled_from(
    [*"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ ü€🎉\u0301\u2028\u00a0", "//", "/../", "/./", "%2F", "%zz", "a+b", "\x00", "\n"]
)
unicode = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
texts = st.one_of(st.lists(special, max_size=8).map("".join), unicode)
keys = texts.filter(bool)
# In headers botocore and we both take what HTTP can carry.
header_texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
moments = st.datetimes(
    datetime(1000, 1, 2),  # noqa: DTZ001 (hypothesis adds the zone)
    datetime(9999, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7, minutes=-30))]),
)
tokens = st.dictionaries(
    st.text("abcXYZ-_.019", min_size=1, max_size=8),
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"])),
    max_size=3,
)

versions = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
source_buckets = st.one_of(
    st.sampled_from(
        [
            "from",
            "arn:aws:s3:eu-central-1:123456789012:accesspoint/point",
            "arn:aws-cn:s3-object-lambda:cn-north-1:123456789012:accesspoint:point",
            "arn:aws:s3-outposts:eu-central-1:123456789012:outpost/op-1/accesspoint/point",
            "arn:aws:s3-outposts::123456789012:outpost/op-1/accesspoint/point",
            "arn:aws:s3:eu-central-1:1:accesspoint/point",
            "arn:aws:s3:eu-central-1:123456789012:accesspoint/point/object",
            " arn:aws:s3:eu-central-1:123456789012:accesspoint/point",
        ]
    ),
    texts,
)
copy_sources = st.one_of(
    st.builds("{}/{}{}".format, source_buckets, texts, st.sampled_from(["", "?versionId=", "?versionId=v", "?versionId=a b"])),
    st.builds("{}/{}?versionId={}".format, source_buckets, texts, versions),
    st.fixed_dictionaries({"Bucket": source_buckets, "Key": texts}, optional={"VersionId": st.one_of(st.none(), versions)}),
)

KINDS: dict[str, st.SearchStrategy[Any]] = {
    "string": header_texts,
    "integer": st.integers(1 - 2**63, 2**63 - 1),
    "boolean": st.booleans(),
    "rfc822": moments,
    "iso8601": moments,
    "list": st.lists(header_texts, max_size=3),
    "map": tokens,
    "sse-c-key": st.one_of(header_texts, st.binary(max_size=33)),
    "copy-source": copy_sources,
}

buckets = st.sampled_from(
    [
        "bucket",
        "my-bucket-1",
        "my.dotted.bucket",
        "Upper",
        "under_score",
        "ab",
        "a" * 63,
        "a" * 64,
        "192.168.1.1",
        "-start",
        "end-",
        "a..b",
        "9.a",
    ]
)
regions = st.sampled_from(
    [
        "us-east-1", "us-east-2", "us-west-1", "eu-west-1", "eu-central-1", "ap-southeast-1", "ap-northeast-1",
        "sa-east-1", "me-central-1",
        "mx-central-1", "cn-north-1", "cn-northwest-1", "us-gov-west-1", "us-gov-east-1", "us-iso-east-1",
        "us-isob-east-1", "eu-isoe-west-1",
        "us-isof-south-1", "eusc-de-east-1", "xx-nowhere-1",
    ]
)  # fmt: skip
endpoints = st.sampled_from(
    [
        None, None, None, "http://localhost:9000", "http://127.0.0.1:9000", "https://s3.example.com",
        "https://s3.example.com/", "https://s3.example.com/base",
        "https://s3.example.com/base/path/", "https://s3.example.com:443", "http://s3.example.com:80",
        "http://s3.example.com:443", "https://S3.Example.COM:8443",
        "http://[::1]:9000", "https://[2001:DB8::1]", "http://[::1]:80/x", "https://abc.r2.cloudflarestorage.com",
        "http://minio:9000/a-1._~/b",
    ]
)  # fmt: skip
day_borders = st.sampled_from(
    [
        datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 3, 1, 0, 0, 0, tzinfo=UTC),
        datetime(2028, 2, 29, 0, 0, 0, 1, tzinfo=UTC),
        datetime(2026, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-11))),
        datetime(2027, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    ]
)
places = st.builds(
    Place,
    region=regions,
    endpoint_url=endpoints,
    addressing_style=st.sampled_from(["auto", "virtual", "path"]),
    session_token=st.one_of(
        st.none(), st.just("IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3QtMSJHMEUC+/=="), st.text("aZ09+/=%& ", min_size=1)
    ),
    moment=st.one_of(day_borders, moments.filter(lambda moment: moment.year < 9998)),
    expires_in=st.integers(1, 604_800),
)


def values_of(parameter: Parameter) -> st.SearchStrategy[Any]:
    if parameter.name in ("Bucket", "Key"):
        return buckets if parameter.name == "Bucket" else keys
    return texts if parameter.place == "query" and parameter.kind == "string" else KINDS[parameter.kind]


def parameters_of(operation: str) -> st.SearchStrategy[dict[str, Any]]:
    """Any of the operation's parameters that do not travel in the body, in any order."""
    known = [parameter for parameter in lookup(operation).parameters.values() if parameter.place != "body"]
    required = {parameter.name: values_of(parameter) for parameter in known if parameter.required}
    optional = [parameter for parameter in known if not parameter.required]
    chosen = st.lists(st.sampled_from(optional) if optional else st.nothing(), unique=True, max_size=6).flatmap(
        lambda some: st.fixed_dictionaries({parameter.name: values_of(parameter) for parameter in some})
    )
    together = st.tuples(st.fixed_dictionaries(required), chosen).map(lambda pair: {**pair[0], **pair[1]})
    return together.flatmap(lambda params: st.permutations(list(params.items())).map(dict))


def calls_of(operation: str) -> st.SearchStrategy[Call]:
    return st.builds(Call, st.just(operation), parameters_of(operation), places, st.sampled_from([None, None, "HEAD", "PUT"]))


def value_of(parameter: Parameter) -> Any:
    """One value of the parameter's kind."""
    of_kind = {
        "string": "a b/ü", "integer": 7, "boolean": True, "rfc822": MOMENT, "iso8601": MOMENT, "list": ["a", "b,c"],
        "map": {"Name": "value"}, "sse-c-key": "k" * 32, "copy-source": {"Bucket": "from", "Key": "a b", "VersionId": "v"},
    }  # fmt: skip
    return {"Bucket": "bucket", "Key": "key"}.get(parameter.name, of_kind[parameter.kind])


# --- URLs -------------------------------------------------------------------------------------------------------------


def assert_equal(call: Call | FormCall) -> None:
    expected, got = theirs(call), ours(call)
    assert expected.refusal is None, f"botocore refused: {expected.refusal}"
    assert got == expected


@pytest.mark.parametrize("operation", NAMES)
@settings(max_examples=max(1, settings().max_examples // 10))
@given(st.data())
def test_urls_and_headers_are_botocores(operation: str, data: st.DataObject) -> None:
    call = data.draw(calls_of(operation))
    assume(known_difference(call) is None)
    assert_equal(call)


@pytest.mark.parametrize("style", ["virtual", "path"])
@pytest.mark.parametrize("operation", NAMES)
def test_every_operation_is_botocores_with_what_it_requires_and_with_all_it_takes(operation: str, style: str) -> None:
    known = [parameter for parameter in lookup(operation).parameters.values() if parameter.place != "body"]
    place = Place(addressing_style=style)
    assert_equal(Call(operation, {p.name: value_of(p) for p in known if p.required}, place))
    assert_equal(Call(operation, {p.name: value_of(p) for p in known}, place))


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


def test_the_table_and_what_it_leaves_out_are_all_that_botocore_has() -> None:
    """What is added to the model is either signed, and compared above, or left out by name and reason."""
    excluded = {"CreateSession", "GetBucketLocation", "ListDirectoryBuckets", "RenameObject", "WriteGetObjectResponse"}
    assert {*NAMES.values(), *excluded} == set(session().get_service_model("s3").operation_names)
    assert excluded.isdisjoint(NAMES.values())


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
        for parameter in lookup(operation).parameters.values()
        if parameter.place != "body"
    ],
)
def test_every_parameter_alone_is_botocores(operation: str, parameter: Parameter) -> None:
    required = [one for one in lookup(operation).parameters.values() if one.required and one.place != "body"]
    call = Call(operation, {one.name: value_of(one) for one in (*required, parameter)})
    if (row := known_difference(call)) is None:
        assert_equal(call)
    else:
        assert theirs(call) != ours(call), row.name


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
    signer = presigner(place)
    signer._clock = lambda: place.moment
    urls = signer.presign_urls("get_object", "bucket", some, params=params, expires_in=place.expires_in)
    expected = [theirs(Call("get_object", {"Bucket": "bucket", "Key": key, **params}, place)).url for key in some]
    assert isinstance(urls, PresignedURLs)
    assert urls == expected


def test_a_batch_of_versions_is_botocores_urls() -> None:
    signer = presigner(Place())
    signer._clock = lambda: MOMENT
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
                [["content-length-range", 0, 10], ("content-length-range", 1, 5 * 2**30), ["starts-with", "$tagging", ""]]
            ),
            max_size=2,
        )
    )
    key = draw(header_texts.filter(bool)) + draw(st.sampled_from(["", "${filename}", "/${filename}.jpg"]))
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
    got = ours(row.example)
    assert got != theirs(row.example)
    assert got.refusal is row.refusal
    assert row.applies(row.example), "the row does not cover its own example"


def test_rows_have_names_of_their_own() -> None:
    assert len({row.name for row in DIFFERENCES}) == len(DIFFERENCES)


# --- the vectors that machines without botocore check -----------------------------------------------------------------


def endpoint_call(case: dict[str, Any]) -> Call:
    place = Place(case["region"], case["endpoint_url"], case["addressing_style"])
    return Call("list_objects_v2", {"Bucket": case["bucket"]}, place) if case["bucket"] else Call("list_buckets", {}, place)


@pytest.mark.parametrize(
    "case",
    cases("endpoints"),
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
    return Place(
        case["region"], case["endpoint_url"], case["addressing_style"], case["session_token"], moment, case["expires_in"]
    )


@pytest.mark.parametrize("case", cases("botocore_urls"), ids=lambda case: case["operation"])
def test_the_url_vectors_are_botocores(case: dict[str, Any]) -> None:
    outcome = theirs(Call(case["operation"], case["params"], place_of(case)))
    assert (outcome.url, dict(outcome.pairs)) == (case["url"], case["headers"])


@pytest.mark.parametrize("case", cases("botocore_forms"), ids=lambda case: case["key"])
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
