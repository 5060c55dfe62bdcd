"""Forms of every kind, kept, broken and with something missing; and where two real servers are not of S3's mind about them.

The forms are signed by the core, since `presign_post` would refuse most of them. `DIFFERS` names each row on which a server
differs, with the reason; the test asserts its rows too, so that one goes when the server changes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncpresign._s3.forms import form_field
from asyncpresign._sigv4.post_policy import sign_form
from asyncpresign._sigv4.signing import CredentialScope, amz_date, signature, signing_key
from asyncpresign.testing import LocalS3

CONTENT = b"0123456789"


@dataclass(frozen=True)
class Bucket:
    """A bucket of its own on one server."""

    s3: LocalS3
    name: str


Fields = dict[str, str]


@dataclass(frozen=True)
class Form:
    """What is signed: `fields` and `conditions` beside the form's own; then what is changed after signing."""

    fields: Fields = field(default_factory=dict)
    conditions: list[Any] = field(default_factory=list)
    key: str = "form/key"
    filename: str = "file.txt"
    moment: timedelta = timedelta(0)
    life: timedelta = timedelta(hours=1)
    signing: Mapping[str, str] = field(default_factory=dict)
    policy: Callable[[dict[str, Any]], Any] | None = None
    change: Callable[[Fields], Fields] = dict


def signed(form: Form, bucket: Bucket) -> Fields:
    moment = datetime.now(UTC).replace(microsecond=0) + form.moment
    signing = {
        "access_key_id": bucket.s3.credentials.access_key_id,
        "secret_access_key": bucket.s3.credentials.secret_access_key,
        "region": bucket.s3.region,
        "service": "s3",
        "day": amz_date(moment)[:8],
        "timestamp": amz_date(moment),
        "bucket": bucket.name,
        **form.signing,
    }
    scope = CredentialScope(signing["day"], signing["region"], signing["service"])
    fields = sign_form(
        bucket=signing["bucket"],
        key=form.key,
        fields=form.fields,
        conditions=form.conditions,
        expiration=f"{moment + form.life:%Y-%m-%dT%H:%M:%SZ}",
        access_key_id=signing["access_key_id"],
        secret_access_key=signing["secret_access_key"],
        session_token=signing.get("session_token"),
        scope=scope,
        timestamp=signing["timestamp"],
    )
    if form.policy:
        document = form.policy(json.loads(base64.b64decode(fields["policy"])))
        text = document if isinstance(document, str) else json.dumps(document)
        policy = base64.b64encode(text.encode()).decode()
        proof = signature(signing_key(signing["secret_access_key"], scope), policy)
        fields |= {"policy": policy, "x-amz-signature": proof}
    return form.change(fields)


def without(*names: str) -> Callable[[Fields], Fields]:
    return lambda fields: {name: value for name, value in fields.items() if name not in names}


def having(**values: str) -> Callable[[Fields], Fields]:
    return lambda fields: {**fields, **{name.replace("_", "-"): value for name, value in values.items()}}


def renamed(name: str, other: str) -> Callable[[Fields], Fields]:
    return lambda fields: {other if each == name else each: value for each, value in fields.items()}


def flipped(name: str, at: int) -> Callable[[Fields], Fields]:
    def change(fields: Fields) -> Fields:
        value = fields[name]
        return {**fields, name: value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]}

    return change


# A value that keeps the conditions below, one that breaks them, and the beginning that they ask for.
VALUES: dict[str, tuple[str, str, str]] = {
    "acl": ("private", "bucket-owner-read", "priv"),
    "Cache-Control": ("max-age=60", "no-store", "max-age"),
    "Content-Type": ("image/png", "text/html", "image/"),
    "Content-Disposition": ('attachment; filename="a b"', "inline", "attachment"),
    "Content-Encoding": ("gzip", "br", "gz"),
    "Expires": ("Thu, 01 Dec 2033 16:00:00 GMT", "Fri, 02 Dec 2033 16:00:00 GMT", "Thu"),
    "success_action_redirect": ("http://127.0.0.1/done", "http://127.0.0.1/other", "http://127.0.0.1/d"),
    "success_action_status": ("201", "200", "20"),
    "tagging": (
        "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
        "<Tagging><TagSet></TagSet></Tagging>",
        "<Tagging><TagSet><Tag>",
    ),
    "x-amz-meta-name": ("value", "other", "val"),
    "X-Amz-META-Other": ("wért", "other", "wé"),
    "x-amz-storage-class": ("STANDARD", "REDUCED_REDUNDANCY", "STAND"),
    "x-amz-website-redirect-location": ("/here", "/there", "/h"),
    "x-amz-checksum-algorithm": ("SHA256", "CRC32", "SHA"),
    "x-amz-checksum-sha256": (
        base64.b64encode(hashlib.sha256(CONTENT).digest()).decode(),
        base64.b64encode(hashlib.sha256(b"other").digest()).decode(),
        "hN",
    ),
    "x-ignore-name": ("value", "other", "val"),
    "utf8": ("✓", "x", "✓"),
}


def of_fields() -> dict[str, Form]:
    """Each kind of condition on each field, kept, broken and with the field missing."""
    forms = {}
    for name, (good, bad, beginning) in VALUES.items():
        kinds: dict[str, Any] = {
            "exact": {name: good},
            "eq": ["eq", f"${name}", good],
            "starts-with": ["starts-with", f"${name}", beginning],
            "any": ["starts-with", f"${name}", ""],
        }
        for kind, condition in kinds.items():
            forms[f"{name} {kind} kept"] = Form({name: good}, [condition])
            forms[f"{name} {kind} missing"] = Form({}, [condition])
            if kind != "any":
                forms[f"{name} {kind} broken"] = Form({name: bad}, [condition])
    return forms


def bounds(minimum: int, maximum: int) -> Form:
    return Form({}, [["content-length-range", minimum, maximum]])


def plain(condition: Any) -> Form:
    """A form whose own condition on the key is replaced."""
    return Form(policy=lambda document: {**document, "conditions": [
        condition if "key" in part else part for part in document["conditions"]]})  # fmt: skip


def document(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda policy: {**policy, **changes}


def more(*conditions: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda policy: {**policy, "conditions": [*policy["conditions"], *conditions]}


def less(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda policy: {**policy, "conditions": [part for part in policy["conditions"] if name not in part]}


HOUR = timedelta(hours=1)
# What a form carries raw in a key.
CONTROL = ("\n", "\r", "\r\n", "\t", "\x01", "\x0b", "\x1f", "\x7f")
FORMS: dict[str, Form] = {
    "nothing but its own": Form(),
    **of_fields(),
    # The file's size.
    "size within": bounds(1, 10),
    "size exact": bounds(10, 10),
    "size too large": bounds(0, 9),
    "size too small": bounds(11, 20),
    # The key.
    "key exact kept": plain({"key": "form/key"}),
    "key exact broken": plain({"key": "form/other"}),
    "key eq broken": plain(["eq", "$key", "form/other"]),
    "key starts-with kept": plain(["starts-with", "$key", "form/"]),
    "key starts-with broken": plain(["starts-with", "$key", "other/"]),
    "key any": plain(["starts-with", "$key", ""]),
    "key missing": Form(change=without("key")),
    "key empty": Form(change=having(key="")),
    "key changed": Form(change=having(key="form/other")),
    "key in no condition": Form(policy=less("key")),
    **{f"key with {letters!a}": Form(key=f"form/a{letters}b") for letters in CONTROL},
    **{f"key with {letters!a} at both ends kept": Form(key=f"{letters}form{letters}") for letters in CONTROL},
    **{f"key with {letters!a} in a beginning": Form(key="form/a\nb", policy=more(["starts-with", "$key", f"form/a{letters}"]))
       for letters in ("", "\n", "\r\n")},
    # The file's name.
    "filename kept": Form(key="form/${filename}", filename="name.txt"),
    "filename with folders": Form(key="form/${filename}", conditions=[["starts-with", "$key", "form/c"]], filename="a/b/c"),
    "filename that breaks": Form(key="form/${filename}", conditions=[["starts-with", "$key", "form/c"]], filename="b.txt"),
    "filename that is asked for": Form(key="form/${filename}", conditions=[{"key": "form/c"}], filename="c"),
    "filename in the middle": Form(key="form/${filename}.txt", filename="name"),
    "filename in metadata kept": Form({"x-amz-meta-a": "${filename}"}, [["starts-with", "$x-amz-meta-a", ""]]),
    "filename in metadata expanded": Form({"x-amz-meta-a": "${filename}"}, [{"x-amz-meta-a": "name"}], filename="name"),
    # The bucket.
    "bucket broken": Form(signing={"bucket": "another-bucket"}),
    "bucket starts-with": Form(policy=more(["starts-with", "$bucket", "par"])),
    "bucket in no condition": Form(policy=less("bucket")),
    # What proves.
    "algorithm starts-with": Form(policy=more(["starts-with", "$x-amz-algorithm", "AWS4"])),
    "credential starts-with": Form(policy=more(["starts-with", "$x-amz-credential", ""])),
    "date starts-with": Form(policy=more(["starts-with", "$x-amz-date", "20"])),
    "algorithm in no condition": Form(policy=less("x-amz-algorithm")),
    "credential in no condition": Form(policy=less("x-amz-credential")),
    "date in no condition": Form(policy=less("x-amz-date")),
    "token of nobody": Form(signing={"session_token": "nobody's"}),
    # Fields that no condition speaks of.
    "uncovered acl": Form(change=having(acl="private")),
    "uncovered metadata": Form(change=having(x_amz_meta_a="b")),
    "uncovered storage class": Form(change=having(x_amz_storage_class="STANDARD")),
    "uncovered unknown": Form(change=having(note="b")),
    "uncovered and ignored": Form(change=having(x_ignore_a="b")),
    # Spelling.
    "condition in another case": Form({"Content-Type": "image/png"}, [["starts-with", "$CONTENT-TYPE", "image/"]]),
    "condition in another case broken": Form({"Content-Type": "text/html"}, [["starts-with", "$CONTENT-TYPE", "image/"]]),
    "field in another case": Form(change=renamed("key", "Key")),
    "value in another case": Form({"x-amz-meta-a": "Value"}, [{"x-amz-meta-a": "value"}]),
    "field twice": Form({"acl": "private"}, change=having(ACL="private")),
    "list of types kept": Form({"Content-Type": "image/png,image/gif"}, [["starts-with", "$Content-Type", "image/"]]),
    "list of types broken": Form({"Content-Type": "image/png,text/html"}, [["starts-with", "$Content-Type", "image/"]]),
    "escaped dollar": Form({"x-amz-meta-a": "$5"}, policy=lambda policy: json.dumps(policy).replace('"$5"', '"\\$5"')),
    "unicode": Form({"x-amz-meta-a": "é🎉"}),
    # Policies that are none.
    "operator unknown": Form(policy=more(["ends-with", "$key", "y"])),
    "operator in capitals": Form(policy=more(["EQ", "$key", "form/key"])),
    "operator in capitals broken": Form(policy=more(["EQ", "$key", "form/other"])),
    "beginning in capitals kept": Form(policy=more(["StArTs-WiTh", "$key", "form/"])),
    "beginning in capitals broken": Form(policy=more(["STARTS-WITH", "$key", "other/"])),
    "range in capitals kept": Form(policy=more(["Content-Length-Range", 1, 10])),
    "range in capitals broken": Form(policy=more(["Content-Length-Range", 1, 9])),
    "name without dollar": Form(policy=more(["eq", "key", "form/key"])),
    "value that is a number": Form(policy=more({"x-amz-meta-a": 5})),
    "two properties": Form(policy=more({"x-amz-meta-a": "b", "x-amz-meta-c": "d"}),
                           change=having(x_amz_meta_a="b", x_amz_meta_c="d")),
    "range of texts": Form(policy=more(["content-length-range", "1", "10"])),
    "range of texts broken": Form(policy=more(["content-length-range", "1", "9"])),
    "range of texts, exact": Form(policy=more(["content-length-range", "10", "10"])),
    "range of a text and a number": Form(policy=more(["content-length-range", "1", 10])),
    "range of texts with zeros": Form(policy=more(["content-length-range", "00", "0010"])),
    **{f"range of {text!a}": Form(policy=more(["content-length-range", "0", text]))
       for text in ("", "ten", "1e1", "10.0", "-1", "+10", " 10", "0x10", "\u0661\u0660", "9" * 30)},
    "range inverted": Form(policy=more(["content-length-range", 10, 1])),
    "range alone": Form(policy=more(["content-length-range", 1])),
    "no conditions": Form(policy=document(conditions=None)),
    "no expiration": Form(policy=lambda policy: {"conditions": policy["conditions"]}),
    "expiration that is none": Form(policy=document(expiration="tomorrow")),
    "policy that is no JSON": Form(policy=lambda _: "{"),
    "policy that is no object": Form(policy=lambda _: "[]"),
    # Signatures.
    "wrong secret": Form(signing={"secret_access_key": "not-the-secret-of-this-server"}),
    "unknown access key": Form(signing={"access_key_id": "AKIDUNKNOWNUNKNOWN00"}),
    "other region": Form(signing={"region": "eu-west-9"}),
    "other service": Form(signing={"service": "sns"}),
    "other day": Form(signing={"day": "20200101"}),
    "other algorithm": Form(change=having(x_amz_algorithm="AWS4-HMAC-SHA1")),
    "signature changed": Form(change=flipped("x-amz-signature", 10)),
    "signature cut": Form(change=lambda fields: {**fields, "x-amz-signature": fields["x-amz-signature"][:-1]}),
    "signature in capitals": Form(change=lambda fields: {**fields, "x-amz-signature": fields["x-amz-signature"].upper()}),
    "policy changed": Form(change=flipped("policy", 20)),
    "date changed": Form(change=having(x_amz_date="20200101T000000Z")),
    "credential changed": Form(change=flipped("x-amz-credential", 0)),
    "credential that is none": Form(change=having(x_amz_credential="AKID")),
    **{f"no {name}": Form(change=without(name)) for name in ("policy", "x-amz-signature", "x-amz-algorithm",
       "x-amz-credential", "x-amz-date")},
    # The clock.
    "ended": Form(moment=-2 * HOUR),
    "ended just now": Form(moment=-HOUR - timedelta(seconds=5)),
    "dated ahead": Form(moment=HOUR),
}  # fmt: skip

# Fields of S3's forms that a server does not know of, or knows by their beginning only.
UNKNOWN = {"tagging", "x-ignore-name", "utf8"}
PREFIXED = {name for name in VALUES if name.startswith("x-amz-") and not form_field(name).starts_with}
KINDS = ("exact", "eq", "starts-with", "any")


def rows(names: Iterable[str], *ends: str) -> set[str]:
    return {f"{name} {end}" for name in names for end in ends}


# Where a server is not of S3's mind, and why: (server, reason) -> rows. All of them are asserted.
DIFFERS: dict[tuple[str, str], set[str]] = {
    (server, reason): set(named)
    for servers, reason, named in (
        ("juicefs seaweedfs", "a field that is missing is an empty one",
         rows(VALUES.keys() - {"success_action_status"} - UNKNOWN, "any missing")),
        ("juicefs", "conditions on fields that it does not know are not looked at",
         rows(UNKNOWN, *(f"{kind} missing" for kind in KINDS), *(f"{kind} broken" for kind in KINDS[:3]))),
        ("seaweedfs", "conditions on fields that it does not know are refused",
         rows(UNKNOWN, *(f"{kind} kept" for kind in KINDS))),
        ("juicefs seaweedfs", "a beginning is allowed for every x-amz- field", rows(PREFIXED, "starts-with kept", "any kept")),
        ("juicefs seaweedfs", "fields that no condition speaks of are taken",
         {"uncovered acl", "uncovered unknown", "key in no condition", "bucket in no condition", "algorithm in no condition",
          "credential in no condition", "date in no condition", "no conditions"}),
        ("juicefs", "of metadata alone it asks that conditions speak of them", {"uncovered storage class"}),
        ("juicefs seaweedfs", "the file's name is put into the key only", {"filename in metadata expanded"}),
        ("juicefs seaweedfs", "names that differ in case only are taken, and one of them counts", {"field twice"}),
        ("juicefs seaweedfs", "a list of types is one text", {"list of types broken"}),
        ("juicefs seaweedfs", "JSON has no escape for the dollar", {"escaped dollar"}),
        ("juicefs seaweedfs", "policies are read with less care",
         {"two properties", "range of '+10'"}),
        ("seaweedfs", "region and service are not looked at", {"other region", "other service"}),
        ("seaweedfs", "a token beside permanent credentials is not looked at", {"token of nobody"}),
        ("juicefs seaweedfs", "the form's own date is not looked at", {"other day", "dated ahead"}),
    )
    for server in servers.split()
}  # fmt: skip
