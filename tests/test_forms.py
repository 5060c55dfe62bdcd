"""Which forms are refused before they are signed, and that no form is refused without a reason."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign import Credentials, InvalidRequest, PresignedPost, Presigner
from asyncpresign._s3.forms import FIELDS, MAX_FORM_BYTES, form_field, form_problems, room, size_problems
from asyncpresign._sigv4.post_policy import is_met, read_condition, read_policy

SIGNER = Presigner(Credentials("AKID", "secret", "token"), region="eu-central-1")


def refusals(**given: Any) -> list[str]:
    """The arguments that are refused."""
    try:
        SIGNER.presign_post(**{"bucket": "bucket", "key": "key", **given})
    except InvalidRequest as error:
        return [problem.argument for problem in error.problems]
    return []


def test_every_field_that_s3_knows_has_a_row_of_its_own() -> None:
    names = [field.name.lower() for field in FIELDS]
    assert len(names) == len(set(names))
    assert FIELDS[-1].name == "*"


def named(condition: Callable[[Any], bool]) -> set[str]:
    return {field.name for field in FIELDS if condition(field)}


def test_what_s3_says_of_its_fields() -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html"""
    assert named(lambda field: field.starts_with) == {
        *("key", "acl", "Cache-Control", "Content-Type", "Content-Disposition", "Content-Encoding", "Expires"),
        *("success_action_redirect", "redirect", "tagging", "x-amz-meta-*", "x-ignore-*", "*"),
    }
    written = {f"x-amz-{name}" for name in ("algorithm", "credential", "date", "security-token", "signature")}
    assert named(lambda field: field.ours) == {"key", "bucket", "policy", "file", *written}
    assert named(lambda field: field.raw) == {"key", "tagging", "x-ignore-*", "*"}
    assert named(lambda field: not field.in_policy) == {"x-amz-signature", "policy", "file"}
    customer_key = {f"x-amz-server-side-encryption-customer-key{end}" for end in ("", "-MD5")}
    live = {"x-amz-credential", "x-amz-security-token", "x-amz-signature", "policy"}
    assert named(lambda field: field.secret) == customer_key | live
    assert {field.name: field.digest for field in FIELDS if field.digest} == {
        **{f"x-amz-checksum-{name}": size for name, size in DIGESTS.items()},
        "x-amz-server-side-encryption-customer-key": 32,
        "x-amz-server-side-encryption-customer-key-MD5": 16,
    }


DIGESTS = {
    "crc32": 4,
    "crc32c": 4,
    "crc64nvme": 8,
    "sha1": 20,
    "sha256": 32,
    "sha512": 64,
    "md5": 16,
    "xxhash64": 8,
    "xxhash3": 8,
    "xxhash128": 16,
}


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("ACL", "acl"),
        ("content-type", "Content-Type"),
        ("X-Amz-Meta-Anything", "x-amz-meta-*"),
        ("x-amz-server-side-encryption", "x-amz-server-side-encryption*"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "x-amz-server-side-encryption*"),
        ("x-amz-server-side-encryption-customer-key", "x-amz-server-side-encryption-customer-key"),
        ("x-amz-checksum-sha256", "x-amz-checksum-sha256"),
        ("x-amz-new", "x-amz-*"),
        ("x-ignore-me", "x-ignore-*"),
        ("utf8", "*"),
    ],
)
def test_a_fields_row(name: str, row: str) -> None:
    assert form_field(name).name == row


def value_of(name: str) -> str:
    return base64.b64encode(bytes(form_field(name).digest)).decode() if form_field(name).digest else "value"


CALLERS = [field for field in FIELDS if not field.ours]


@pytest.mark.parametrize("field", CALLERS, ids=lambda field: field.name)
def test_every_field_of_the_callers_is_signed_and_covered(field: Any) -> None:
    name = field.name.replace("*", "name")
    signed = SIGNER.presign_post("bucket", "key", fields={name: value_of(name)}).fields
    assert next(iter(signed)) == name
    covered = name.lower() in {rule.field for rule in read_policy(signed["policy"]).rules}
    assert covered == (not name.startswith("x-ignore-"))


@pytest.mark.parametrize("field", [field for field in FIELDS if field.ours], ids=lambda field: field.name)
def test_the_forms_own_fields_are_not_the_callers(field: Any) -> None:
    for name in (field.name, field.name.upper()):
        assert refusals(fields={name: "value"}) == [f"fields[{name!r}]"]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_beginning_is_asked_for_only_where_s3_allows_it(field: Any) -> None:
    name = field.name.replace("*", "name")
    assert refusals(conditions=[["starts-with", f"${name}", ""]]) == ([] if field.starts_with else ["conditions[0]"])


@pytest.mark.parametrize("name", ["policy", "x-amz-signature", "X-Amz-Signature", "file"])
def test_no_policy_speaks_of_what_carries_it(name: str) -> None:
    assert refusals(conditions=[["eq", f"${name}", "x"]]) == ["conditions[0]"]


# What S3 would refuse, and the arguments that say so.
REFUSED: list[tuple[str, dict[str, Any], list[str]]] = [
    ("field in another case twice", {"fields": {"acl": "a", "ACL": "a"}}, ["fields['ACL']"]),
    ("three of one", {"fields": {"a": "", "x": "", "A": "", "X": ""}}, ["fields['A']", "fields['X']"]),
    ("value that is no text", {"fields": {"success_action_status": 201}}, ["fields['success_action_status']"]),
    ("condition on a value that is no text", {"conditions": [{"success_action_status": 201}]}, ["conditions[0]"]),
    ("two conditions in one object", {"conditions": [{"acl": "a", "tagging": "b"}]}, ["conditions[0]"]),
    ("short digest", {"fields": {"x-amz-checksum-sha256": "AAAA"}}, ["fields['x-amz-checksum-sha256']"]),
    ("digest that is no base64", {"fields": {"X-Amz-Checksum-CRC32": "é"}}, ["fields['X-Amz-Checksum-CRC32']"]),
    ("file's name in an exact field", {"fields": {"x-amz-storage-class": "${filename}"}}, ["fields['x-amz-storage-class']"]),
    ("field breaks a condition", {"fields": {"acl": "private"}, "conditions": [{"acl": "public-read"}]}, ["conditions[0]"]),
    ("in another case", {"fields": {"ACL": "private"}, "conditions": [["eq", "$Acl", "public"]]}, ["conditions[0]"]),
    ("beginning", {"fields": {"Content-Type": "text/x"}, "conditions": [["starts-with", "$content-type", "image/"]]},
     ["conditions[0]"]),
    ("one of a list", {"fields": {"Content-Type": "image/png,text/x"},
     "conditions": [["starts-with", "$Content-Type", "image/"]]}, ["conditions[0]"]),
    ("file's name in the middle", {"key": "a/${filename}.jpg"}, ["key"]),
    ("file's name twice", {"key": "${filename}${filename}"}, ["key"]),
    ("other bucket", {"conditions": [{"bucket": "other"}]}, ["conditions[0]"]),
    ("other key", {"conditions": [["eq", "$key", "other"]]}, ["conditions[0]"]),
    ("other folder", {"conditions": [["starts-with", "$key", "folder/"]]}, ["conditions[0]"]),
    ("other folder for any name", {"key": "a/${filename}", "conditions": [["starts-with", "$key", "b/"]]}, ["conditions[0]"]),
    ("exact key outside of the folder", {"key": "a/${filename}", "conditions": [{"key": "b/c"}]}, ["conditions[0]"]),
    ("other algorithm", {"conditions": [{"x-amz-algorithm": "AWS4-HMAC-SHA1"}]}, ["conditions[0]"]),
    ("other credential", {"conditions": [{"x-amz-credential": "AKID/20260101/x/s3/aws4_request"}]}, ["conditions[0]"]),
    ("other date", {"conditions": [["eq", "$x-amz-date", "20260101T000000Z"]]}, ["conditions[0]"]),
    ("other token", {"conditions": [{"acl": "x"}, {"x-amz-security-token": "other"}]}, ["conditions[1]"]),
    ("two exact values", {"conditions": [{"acl": "private"}, {"acl": "public"}]}, ["conditions[1]"]),
    ("exact value outside of the beginning", {"conditions": [["starts-with", "$acl", "pub"], {"ACL": "private"}]},
     ["conditions[1]"]),
    ("beginning that the exact value has not", {"conditions": [{"acl": "private"}, ["starts-with", "$acl", "pub"]]},
     ["conditions[1]"]),
    ("two beginnings", {"conditions": [["starts-with", "$a", "x"], ["starts-with", "$a", "y"]]}, ["conditions[1]"]),
    ("inverted range", {"conditions": [["content-length-range", 2, 1]]}, ["conditions[0]"]),
    ("inverted range of its own", {"content_length_range": (2, 1)}, ["content_length_range"]),
    ("ranges apart", {"conditions": [["content-length-range", 0, 9], ["content-length-range", 10, 11]]}, ["conditions[1]"]),
    ("ranges of digits apart", {"conditions": [["content-length-range", "0", "9"], ["content-length-range", 10, "11"]]},
     ["conditions[1]"]),
    ("inverted range of digits", {"conditions": [["content-length-range", "10", "9"]]}, ["conditions[0]"]),
    ("capitals that the form breaks", {"fields": {"acl": "private"}, "conditions": [["EQ", "$acl", "x"]]}, ["conditions[0]"]),
    ("beginning in capitals of what has to be exact", {"conditions": [["STARTS-WITH", "$bucket", ""]]}, ["conditions[0]"]),
    ("key that no form can hold", {"key": "\ud800"}, ["key"]),
    ("line break in what becomes a header", {"fields": {"x-amz-meta-a": "a\nb"}}, ["fields['x-amz-meta-a']"]),
    ("ranges apart in two places", {"conditions": [["content-length-range", 0, 9]], "content_length_range": (10, 11)},
     ["conditions[0]"]),
    ("condition that no field can hold", {"conditions": [{"x-amz-meta-a": "a\nb"}]}, ["conditions[0]"]),
    ("name that no field can have", {"conditions": [{"x-amz-meta-\ud800": "a"}]}, ["conditions[0]"]),
    ("no life", {"expires_in": 0}, ["expires_in"]),
    ("ended before it began", {"expires_in": -1}, ["expires_in"]),
    ("too large", {"fields": {"x-amz-meta-a": "x" * MAX_FORM_BYTES}}, ["fields"]),
    ("too large for its conditions", {"conditions": [["starts-with", f"$x-{n}", "x" * 1000] for n in range(20)]}, ["fields"]),
    ("all at once", {"fields": {"acl": "a", "ACL": "b", "tagging": 5}, "expires_in": 0,
     "conditions": [{"acl": "x"}, ["starts-with", "$bucket", ""], ["content-length-range", 2, 1]]},
     ["fields['tagging']", "fields['ACL']", "conditions[0]", "conditions[1]", "conditions[2]", "expires_in"]),
]  # fmt: skip


@pytest.mark.parametrize(("given", "arguments"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_s3_would_refuse_is_refused_with_every_reason(given: dict[str, Any], arguments: list[str]) -> None:
    assert refusals(**given) == arguments


ACCEPTED: list[dict[str, Any]] = [
    {"fields": {"acl": "private", "x-amz-acl": "private"}},
    {"key": "a\nb\x01", "conditions": [["starts-with", "$key", "a\n"], {"key": "a\nb\x01"}]},
    {"key": "\0\r\n/${filename}", "conditions": [["StArTs-WiTh", "$key", "\0"]]},
    {
        "fields": {"tagging": "<Tagging>\n</Tagging>", "note": "a\r\nb", "x-ignore-a": "\x01"},
        "conditions": [{"note": "a\r\nb"}],
    },
    {"fields": {"acl": "private"}, "conditions": [["EQ", "$acl", "private"], ["Starts-With", "$ACL", "pri"]]},
    {"conditions": [["content-length-range", "0", "10485760"]], "content_length_range": (1, 10485760)},
    {"conditions": [["Content-Length-Range", "5", 5], ["content-length-range", 0, "9"]]},
    {"conditions": [["starts-with", "$Content-Type", ""], ["starts-with", "$name", ""], {"acl": "private"}]},
    {"conditions": [["starts-with", "$key", ""], ["starts-with", "$key", "ke"], {"key": "key"}, {"bucket": "bucket"}]},
    {"conditions": [{"x-amz-algorithm": "AWS4-HMAC-SHA256"}, {"x-amz-security-token": "token"}]},
    {"key": "a/${filename}", "conditions": [["starts-with", "$key", "a/b/"], ["starts-with", "$key", "a"]]},
    {"key": "a/${filename}", "conditions": [["eq", "$key", "a/report.pdf"]]},
    {"fields": {"x-amz-meta-name": "${filename}", "success_action_redirect": "https://example.com/?name=${filename}"}},
    {"fields": {"x-ignore-a": "b"}, "conditions": [{"x-ignore-a": "b"}]},
    {"fields": {"Content-Type": "image/png,image/gif"}, "conditions": [["starts-with", "$Content-Type", "image/"]]},
    {"fields": {"Content-Type": "a,b"}, "conditions": [["eq", "$content-type", "a,b"]]},
    {"conditions": [["starts-with", "$acl", "pub"], {"acl": "public-read"}, ["starts-with", "$acl", "public"]]},
    {"conditions": [["content-length-range", 0, 9], ["content-length-range", 9, 11]], "content_length_range": (0, 10)},
    {"fields": {"x-amz-meta-a": "x" * (MAX_FORM_BYTES // 3)}},
]


@pytest.mark.parametrize("given", ACCEPTED, ids=str)
def test_what_s3_would_take_is_signed(given: dict[str, Any]) -> None:
    assert refusals(**given) == []


def test_a_range_in_both_places_is_said_once() -> None:
    for said in (["content-length-range", 1, 2], ("content-length-range", 1, 2)):
        signed = SIGNER.presign_post("bucket", "key", conditions=[said], content_length_range=(1, 2))
        assert [rule.operator for rule in read_policy(signed.fields["policy"]).rules].count("content-length-range") == 1


texts = st.text("ab/,", max_size=3)
names = st.sampled_from(["acl", "ACL", "Content-Type", "x-amz-meta-a", "name", "success_action_status"])
said = st.one_of(
    st.tuples(names, texts).map(lambda pair: {pair[0]: pair[1]}),
    st.tuples(st.sampled_from(["eq", "starts-with"]), names.map(lambda name: f"${name}"), texts).map(list),
    st.tuples(st.just("content-length-range"), st.integers(0, 3), st.integers(0, 3)).map(list),
)


@given(st.dictionaries(names, texts, max_size=3), st.lists(said, max_size=4), texts.filter(bool))
def test_a_form_that_is_signed_can_be_met_and_one_that_is_refused_cannot(
    fields: dict[str, str], conditions: list[Any], key: str
) -> None:
    """Against every value that could matter, tried one by one: the beginnings and values that the conditions name."""
    problems = form_problems("bucket", key, fields, conditions, None)
    if len({name.lower() for name in fields}) < len(fields) or any(
        rule and rule.operator == "starts-with" and rule.field == "success_action_status"
        for rule in map(read_condition, conditions)
    ):
        assert problems
        return
    rules = [rule for rule in map(read_condition, conditions) if rule]
    given = {name.lower(): value for name, value in fields.items()}
    possible = all(
        any(
            all(is_met(rule, {**given, name: value}, size) for rule in rules if rule.field == name)
            for size in range(4)
            for value in ([given[name]] if name in given else [str(rule.value) for rule in rules])
        )
        for name in {rule.field for rule in rules}
    )
    assert (problems == []) == possible


def test_the_curl_line_refuses_a_name_that_curl_would_cut() -> None:
    post = PresignedPost("https://h/", {"x-ignore-a=b": "c"}, SIGNER.presign_post("bucket", "key").expires_at)
    with pytest.raises(InvalidRequest, match=r"^fields\['x-ignore-a=b'\]: "):
        post.curl("file")


def test_the_curl_line_refuses_a_value_that_no_program_can_be_given() -> None:
    with pytest.raises(InvalidRequest, match=r"^fields: "):
        SIGNER.presign_post("bucket", "a\0b").curl("file")
    assert "key=a\nb" in SIGNER.presign_post("bucket", "a\nb").curl("file")


@pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False)])
def test_s3_reads_20480_bytes_of_a_form(more: int, fits: bool) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTForms.html: "up to 20 KB"."""
    around = 87  # a boundary as short as browsers make it, and the lines of a part
    assert room({"a": "x" * (20_480 - around - 1 + more)}) == -more
    assert (size_problems({"a": "x" * (20_480 - around - 1 + more)}) == []) is fits
