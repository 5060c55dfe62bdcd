"""Where asyncpresign and botocore differ on purpose: one table, used by the differential test, every row with its reason.

`Call` and `FormCall` are what both are asked for, `ours` and `theirs` ask them. botocore is the oracle, so it may be
patched: its clock is frozen at its own seam, and its headers are read off the request it signs.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any
from unittest import mock

os.environ["BOTO_DISABLE_CRT"] = "true"  # before botocore is imported: the C runtime orders a query differently

import botocore.session
from botocore.client import BaseClient
from botocore.config import Config
from botocore.credentials import Credentials as BotocoreCredentials
from botocore.exceptions import BotoCoreError

from asyncpresign import Credentials, InvalidRequest, Presigner, PresignError, UnsupportedRequest
from asyncpresign._s3.forms import form_field
from asyncpresign._s3.operations import Trait, lookup

ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET_ACCESS_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
MOMENT = datetime(2026, 3, 1, 12, 30, 45, tzinfo=UTC)


@dataclass(frozen=True)
class Place:
    """Who signs for where and when."""

    region: str = "eu-central-1"
    endpoint_url: str | None = None
    addressing_style: str = "virtual"
    session_token: str | None = None
    moment: datetime = MOMENT
    expires_in: int = 3600
    use_dualstack: bool = False
    use_fips: bool = False
    use_accelerate: bool = False
    use_arn_region: bool = True


@dataclass(frozen=True)
class Call:
    operation: str
    params: Mapping[str, Any]
    place: Place = field(default_factory=Place)
    http_method: str | None = None
    validated: bool = False
    """Whether botocore looks at the parameters first, as its clients do unless they are told not to."""


@dataclass(frozen=True)
class FormCall:
    bucket: str
    key: str
    fields: Mapping[str, str] = field(default_factory=dict)
    conditions: list[Any] = field(default_factory=list)
    place: Place = field(default_factory=Place)


@dataclass(frozen=True)
class Outcome:
    """What came of a call: a URL and its headers, a form and its fields in order, or the type of the refusal."""

    url: str = ""
    pairs: tuple[tuple[str, str], ...] = ()
    refusal: type[Exception] | None = None
    message: str = field(default="", compare=False)
    """The text of the refusal."""


# --- asking both ------------------------------------------------------------------------------------------------------


def presigner(place: Place, clock: Callable[[], datetime] | None = None) -> Presigner:
    return Presigner(
        Credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY, place.session_token),
        region=place.region,
        endpoint_url=place.endpoint_url,
        addressing_style=place.addressing_style,
        use_dualstack=place.use_dualstack,
        use_fips=place.use_fips,
        use_accelerate=place.use_accelerate,
        use_arn_region=place.use_arn_region,
        clock=clock,
    )


def ours(call: Call | FormCall) -> Outcome:
    place = call.place
    life = {"expires_in": place.expires_in, "signing_time": place.moment}
    try:
        if isinstance(call, Call):
            request = presigner(place).presign(call.operation, call.params, http_method=call.http_method, **life)
            return Outcome(request.url, tuple(sorted(request.headers.items())))
        form = presigner(place).presign_post(call.bucket, call.key, fields=call.fields, conditions=call.conditions, **life)
        return Outcome(form.url, tuple(form.fields.items()))
    except PresignError as error:
        return Outcome(refusal=type(error), message=str(error))


@cache
def client(place: Place, validated: bool = False) -> BaseClient:
    """A botocore client that signs as DESIGN says; `endpoint_url` with any style is used as it is."""
    style = {"auto": "path" if place.endpoint_url else "virtual"}.get(place.addressing_style, place.addressing_style)
    config = Config(
        signature_version="s3v4",
        s3={
            "addressing_style": style,
            "us_east_1_regional_endpoint": "regional",
            "use_accelerate_endpoint": place.use_accelerate,
            "use_arn_region": place.use_arn_region,
        },
        use_dualstack_endpoint=place.use_dualstack,
        use_fips_endpoint=place.use_fips,
        parameter_validation=validated,  # it asks for bodies, which a URL has not
    )
    return session().create_client(
        "s3", region_name=place.region, endpoint_url=place.endpoint_url, config=config,
        aws_access_key_id=ACCESS_KEY_ID, aws_secret_access_key=SECRET_ACCESS_KEY,
    )  # fmt: skip


@cache
def session() -> botocore.session.Session:
    return botocore.session.Session()


@contextlib.contextmanager
def frozen(place: Place, validated: bool = False) -> Iterator[BaseClient]:
    """The client of a place, at its moment and with its session token."""
    found = client(replace(place, session_token=None, moment=MOMENT, expires_in=3600), validated)
    credentials = BotocoreCredentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY, place.session_token)
    naive = place.moment.astimezone(UTC).replace(tzinfo=None)
    with (
        mock.patch("botocore.auth.get_current_datetime", return_value=naive),
        mock.patch("botocore.signers.get_current_datetime", return_value=naive),
        mock.patch.object(found._request_signer, "_credentials", credentials),
    ):
        yield found


def theirs(call: Call | FormCall) -> Outcome:
    seen: list[Any] = []

    def see(request: Any, **_: Any) -> None:
        seen.append(request)

    try:
        with frozen(call.place, isinstance(call, Call) and call.validated) as found:
            if isinstance(call, FormCall):
                form = found.generate_presigned_post(
                    call.bucket, call.key, dict(call.fields), copy.deepcopy(call.conditions), call.place.expires_in
                )
                return Outcome(form["url"], tuple(form["fields"].items()))
            found.meta.events.register("before-sign.s3", see)
            try:
                params = dict(call.params)
                url = found.generate_presigned_url(call.operation, params, call.place.expires_in, call.http_method)
            finally:
                found.meta.events.unregister("before-sign.s3", see)
            return Outcome(url, tuple(sorted(seen[-1].headers.items())))
    except (BotoCoreError, ValueError, TypeError, OverflowError) as error:
        return Outcome(refusal=type(error), message=str(error))


# --- the table --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """One deliberate difference, a predicate over a call, our outcome and botocore's.

    Args:
        name: What differs, in a few words; unique.
        reason: Why, for docs/differences.md.
        example: A call that shows the difference.
        applies: Whether a call has the cause of the difference. It gets calls of any kind and with arguments of any type.
        refusal: What asyncpresign raises; None where it signs.
        says: The string that asyncpresign's message contains, where it refuses: the argument's name is enough.
        as_if: The call that botocore signs as asyncpresign signs the given one, where it signs and such a call exists.
    """

    name: str
    reason: str
    example: Call | FormCall
    applies: Callable[[Any], bool]
    refusal: type[PresignError] | None = InvalidRequest
    says: str = ""
    as_if: Callable[[Any], Any] | None = None


OBJECT = {"Bucket": "bucket", "Key": "key"}
GET = Call("get_object", OBJECT)
POINT = "arn:aws:s3:eu-central-1:123456789012:accesspoint/point"
DIRECTORY = "bucket--use1-az4--x-s3"
ALIAS = "test-accessp-o0b1d075431d83bebde8xz5w8ijx1qzlbp3i3kuse10--op-s3"


def get(**params: Any) -> Call:
    return Call("get_object", {**OBJECT, **params})


def put(**params: Any) -> Call:
    return Call("put_object", {**OBJECT, **params})


def at(call: Call, **place: Any) -> Call:
    return Call(call.operation, call.params, Place(**place), call.http_method)


def values(call: Call | FormCall) -> list[Any]:
    """Every value that a call hands to S3, maps opened."""
    given = call.params if isinstance(call, Call) else {"Bucket": call.bucket, "Key": call.key, **call.fields}
    return [text for value in given.values() for text in (value.values() if isinstance(value, Mapping) else [value])]


def some(call: Call | FormCall, test: Callable[[Any], bool]) -> bool:
    return any(map(test, values(call)))


def names(call: Call) -> Mapping[str, Any]:
    return call.params if isinstance(call, Call) else {}


def metadata(call: Call) -> list[str]:
    """The names of what a call attaches, as far as they are texts."""
    given = names(call).get("Metadata")
    return [name for name in given if isinstance(name, str)] if isinstance(given, Mapping) else []


def text_of(call: Call | FormCall, name: str) -> str:
    """Bucket or key, where it is a text."""
    given = {"Bucket": call.bucket, "Key": call.key} if isinstance(call, FormCall) else call.params
    return value if isinstance(value := given.get(name), str) else ""


def sent_as_text(call: Call | FormCall) -> list[str]:
    """What travels in headers and form fields, as far as the calls of these tests go."""
    if isinstance(call, FormCall):
        return [*call.fields, *(value for name, value in call.fields.items() if not form_field(name).raw)]
    known = lookup(call.operation).parameters
    sent = (value for name, value in call.params.items() if name in known and known[name].place.startswith("header"))
    return [text for value in sent for text in _texts(value)]


def _texts(value: Any) -> list[str]:
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else [value]
    return [part for part in parts if isinstance(part, str)]


def has_control(text: str) -> bool:
    return any((ord(letter) < 32 and letter != "\t") or letter == "\x7f" for letter in text)


def is_at_address(call: Call | FormCall) -> bool:
    return (call.place.endpoint_url or "").startswith(("http://127.", "http://[", "https://["))


def base_path(call: Call | FormCall) -> str:
    return "/".join((call.place.endpoint_url or "").split("/")[3:])


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "expiry",
        "S3 refuses a life out of 1..604800 seconds, when the URL is used; botocore signs it",
        at(GET, expires_in=604_801),
        lambda call: not 1 <= call.place.expires_in <= 604_800,
        says="expires_in",
    ),
    Difference(
        "long key",
        "S3 has no keys over 1024 bytes of UTF-8",
        Call("get_object", {"Bucket": "bucket", "Key": "é" * 513}),
        lambda call: len(text_of(call, "Key").encode()) > 1024,
    ),
    Difference(
        "control characters",
        "a line break ends a header, and S3 makes headers of most fields of a form: what was signed could not be sent",
        put(ContentType="text/plain\nx-amz-acl: public-read"),
        lambda call: any(map(has_control, sent_as_text(call))),
    ),
    Difference(
        "body",
        "a URL has no body; botocore parses `Body` as a query and signs `?97=98`",
        put(Body=b"ab"),
        lambda call: "Body" in names(call),
        refusal=None,
    ),
    Difference(
        "body of another operation",
        "a parameter of the body is ignored by the URL; botocore fails on it",
        Call("create_bucket", {"Bucket": "bucket", "CreateBucketConfiguration": {"LocationConstraint": "eu-central-1"}}),
        lambda call: "CreateBucketConfiguration" in names(call),
        refusal=None,
    ),
    Difference(
        "customer key where botocore does not encode it",
        "S3 wants the key in base64 and its digest for every operation that takes one; botocore forgets these two",
        Call("list_parts", {**OBJECT, "UploadId": "id", "SSECustomerKey": "k" * 32}),
        lambda call: (
            isinstance(call, Call)
            and lookup(call.operation).name in ("GetObjectAttributes", "ListParts")
            and "SSECustomerKey" in call.params
            and "SSECustomerKeyMD5" not in call.params
        ),
        refusal=None,
    ),
    Difference(
        "copy source with an unknown part",
        "`VersionID` for `VersionId` would copy another version; botocore ignores what it does not know",
        Call("copy_object", {**OBJECT, "CopySource": {"Bucket": "from", "Key": "key", "VersionID": "v"}}),
        lambda call: (
            isinstance(names(call).get("CopySource"), Mapping)
            and not names(call)["CopySource"].keys() <= {"Bucket", "Key", "VersionId"}
        ),
    ),
    Difference(
        "None",
        "a parameter that is None is not given; botocore's validation refuses it, its signing leaves it out",
        Call("put_object", {**OBJECT, "ACL": None}, validated=True),
        lambda call: isinstance(call, Call) and call.validated and None in call.params.values(),
        refusal=None,
    ),
    Difference(
        "naive time",
        "a time without a zone means another moment on another machine; botocore takes the machine's zone",
        get(IfModifiedSince=datetime(2020, 1, 1)),  # noqa: DTZ001
        lambda call: some(call, lambda value: isinstance(value, datetime) and value.tzinfo is None),
    ),
    Difference(
        "time as text",
        "times are datetimes; botocore guesses the format of texts",
        get(IfModifiedSince="2020-01-01T00:00:00Z"),
        lambda call: any(isinstance(names(call).get(name), str) for name in ("IfModifiedSince", "IfUnmodifiedSince")),
    ),
    Difference(
        "bool as number",
        "botocore signs `partNumber=True`",
        get(PartNumber=True),
        lambda call: names(call).get("PartNumber") is True,
    ),
    Difference(
        "customer key as bytes beside its digest",
        "whoever gives the digest has encoded the key, which is a text then; botocore signs Python's repr of the bytes",
        get(SSECustomerKey=b"a2V5", SSECustomerKeyMD5="bWQ1"),
        lambda call: any(
            isinstance(names(call).get(name), bytes) and f"{name}MD5" in names(call)
            for name in ("SSECustomerKey", "CopySourceSSECustomerKey")
        ),
    ),
    Difference(
        "metadata names that differ in case only",
        "HTTP takes them for one header, so which value arrives is chance",
        put(Metadata={"Colour": "red", "colour": "blue"}),
        lambda call: len({name.lower() for name in metadata(call)}) < len(metadata(call)),
    ),
    Difference(
        "metadata name that is no header token",
        "no HTTP client can send such a header",
        put(Metadata={"two words": "x"}),
        lambda call: any(" " in name for name in metadata(call)),
    ),
    Difference(
        "form content type",
        "botocore drops its own default Content-Type, also when the caller asked for it",
        put(ContentType="application/x-www-form-urlencoded; charset=utf-8"),
        lambda call: names(call).get("ContentType") == "application/x-www-form-urlencoded; charset=utf-8",
        refusal=None,
    ),
    Difference(
        "bucket names that AWS does not have",
        "other servers have more names: they travel in the path, encoded; botocore refuses them",
        Call("get_object", {"Bucket": "my bucket", "Key": "key"}),
        lambda call: any(letter in text_of(call, "Bucket") for letter in " ü%"),
        refusal=None,
    ),
    Difference(
        "client token that nobody gave",
        "a random one would make every URL another, and S3 does not ask for it; botocore makes one up",
        Call("rename_object", {**OBJECT, "RenameSource": "bucket/other"}),
        lambda call: (
            isinstance(call, Call) and lookup(call.operation).name == "RenameObject" and names(call).get("ClientToken") is None
        ),
        refusal=None,
    ),
    Difference(
        "objects of a directory bucket",
        "S3 Express needs a session of its own, which is a network call; botocore makes it, and sends forms to another service",
        Call("get_object", {"Bucket": DIRECTORY, "Key": "key"}),
        lambda call: (
            text_of(call, "Bucket").endswith(("--x-s3", "--xa-s3"))
            and call.place.endpoint_url is None
            and (isinstance(call, FormCall) or not lookup(call.operation).traits & {Trait.EXPRESS_CONTROL, Trait.NO_SESSION})
        ),
        refusal=UnsupportedRequest,
    ),
    Difference(
        "name of a directory bucket at another server",
        "only AWS reads a kind of bucket out of its name; botocore opens a session there, too",
        Call("get_bucket_policy", {"Bucket": DIRECTORY}, Place(endpoint_url="https://s3.example.com", addressing_style="path")),
        lambda call: text_of(call, "Bucket").endswith(("--x-s3", "--xa-s3", "--op-s3")) and call.place.endpoint_url is not None,
        refusal=None,
    ),
    Difference(
        "alias of an Outpost with an option that Outposts lack",
        "botocore refuses it beside an ARN and drops it beside an alias: a request that asked for FIPS would go elsewhere",
        Call("get_object", {"Bucket": ALIAS, "Key": "key"}, Place(use_fips=True)),
        lambda call: (
            text_of(call, "Bucket").endswith("--op-s3")
            and (call.place.use_fips or call.place.use_dualstack or call.place.use_accelerate)
        ),
        refusal=UnsupportedRequest,
    ),
    Difference(
        "ARN at an IP address",
        "`point-123456789012.127.0.0.1` is nobody's host",
        Call("get_object", {"Bucket": POINT, "Key": "key"}, Place(endpoint_url="http://127.0.0.1:9000")),
        lambda call: text_of(call, "Bucket").startswith("arn:") and is_at_address(call),
        refusal=UnsupportedRequest,
    ),
    Difference(
        "form for an access point",
        "botocore looks for the place where a bucket of that name would be made, and finds that none can be",
        FormCall(POINT, "key"),
        lambda call: isinstance(call, FormCall) and ":accesspoint" in call.bucket and "outpost" not in call.bucket,
        refusal=None,
    ),
    Difference(
        "dotted bucket on an IP address",
        "`my.bucket.127.0.0.1` is nobody's host: the bucket goes into the path",
        Call("get_object", {"Bucket": "my.bucket", "Key": "key"}, Place(endpoint_url="http://127.0.0.1:9000")),
        lambda call: "." in text_of(call, "Bucket") and is_at_address(call),
        refusal=None,
    ),
    Difference(
        "accelerated hosts in path style",
        "they have the bucket in the host, so one of the two was not meant; botocore drops the path style",
        at(GET, addressing_style="path", use_accelerate=True),
        lambda call: call.place.addressing_style == "path" and call.place.use_accelerate,
    ),
    Difference(
        "route before an IP address",
        "the operation puts its route before the host: `route.127.0.0.1` is nobody's",
        Call(
            "write_get_object_response", {"RequestRoute": "a", "RequestToken": "b"}, Place(endpoint_url="http://127.0.0.1:9000")
        ),
        lambda call: isinstance(call, Call) and lookup(call.operation).name == "WriteGetObjectResponse" and is_at_address(call),
        refusal=UnsupportedRequest,
    ),
    Difference(
        "multi-region access point",
        "it takes signatures of SigV4A only",
        Call("get_object", {"Bucket": "arn:aws:s3::123456789012:accesspoint/name.mrap", "Key": "key"}),
        lambda call: ":s3::" in text_of(call, "Bucket"),
        refusal=UnsupportedRequest,
    ),
    Difference(
        "aws-global",
        "the global endpoint answers with redirects, which break signatures, CORS and PUT",
        at(GET, region="aws-global"),
        lambda call: call.place.region == "aws-global",
    ),
    Difference(
        "region that is an option",
        "FIPS is a choice of host and not a region",
        at(GET, region="fips-us-east-1"),
        lambda call: call.place.region.startswith("fips-"),
    ),
    Difference(
        "user in the endpoint",
        "botocore puts the bucket before the user: `bucket.user:password@host`; and a URL is no place for a password",
        at(GET, endpoint_url="https://user:password@s3.example.com"),
        lambda call: "@" in (call.place.endpoint_url or ""),
    ),
    Difference(
        "base path with dot or empty segments",
        "clients and proxies resolve them after signing; botocore itself resolves them in some addressing styles",
        at(GET, endpoint_url="https://s3.example.com/a/../b", addressing_style="path"),
        lambda call: any(
            segment in ("", ".", "..") for segment in base_path(call).removesuffix("/").split("/") if base_path(call)
        ),
    ),
    Difference(
        "escapes and delimiters in a base path",
        "the base path is the caller's spelling; in path style botocore encodes its escapes once more",
        at(GET, endpoint_url="https://s3.example.com/a%2Fb", addressing_style="path"),
        lambda call: any(letter in base_path(call) for letter in "%!$&'()*+,;=:@"),
        refusal=None,
    ),
    Difference(
        "method in small letters",
        "methods are case-sensitive in HTTP; botocore signs the capitals, and the client sends what it was told",
        Call("get_object", OBJECT, http_method="head"),
        lambda call: isinstance(call, Call) and (call.http_method or "GET").islower(),
    ),
    Difference(
        "uncovered field",
        "S3 refuses a form with a field that no condition covers: it gets one; botocore signs a form that cannot work",
        FormCall("bucket", "key", {"acl": "private"}),
        lambda call: isinstance(call, FormCall) and bool(uncovered(call)),
        refusal=None,
    ),
    Difference(
        "field that the form fills in",
        "the form's own fields are not the caller's to set; botocore overwrites them silently",
        FormCall("bucket", "key", {"key": "other"}),
        lambda call: isinstance(call, FormCall) and any(name.lower() in ("key", "policy") for name in call.fields),
    ),
    Difference(
        "file's name in the middle of the key",
        "S3 puts the name in before it compares, and the exact condition that botocore signs does not hold then",
        FormCall("bucket", "a/${filename}.jpg"),
        lambda call: isinstance(call, FormCall) and "${filename}" in call.key.removesuffix("${filename}"),
    ),
    Difference(
        "names of fields that differ in case only",
        "S3 takes them for one field, which it refuses to be given twice",
        FormCall("bucket", "key", {"acl": "private", "ACL": "private"}, [{"acl": "private"}]),
        lambda call: isinstance(call, FormCall) and len({name.lower() for name in call.fields}) < len(call.fields),
    ),
    Difference(
        "beginning of what has to be exact",
        "S3 refuses a policy that asks for the beginning of such a field",
        FormCall("bucket", "key", {"success_action_status": "201"}, [["starts-with", "$success_action_status", "20"]]),
        lambda call: (
            isinstance(call, FormCall)
            and any(list(said)[:2] == ["starts-with", "$success_action_status"] for said in call.conditions)
        ),
    ),
    Difference(
        "condition that the form breaks",
        "every item of a Content-Type with commas has to begin as the condition says, so nobody could send this form",
        FormCall("bucket", "key", {"Content-Type": "a,b"}, [["starts-with", "$Content-Type", "a"]]),
        lambda call: isinstance(call, FormCall) and "," in call.fields.get("Content-Type", ""),
    ),
    Difference(
        "conditions that exclude each other",
        "nobody could send this form",
        FormCall("bucket", "key", {}, [["content-length-range", 0, 1], ["content-length-range", 2, 3]]),
        lambda call: isinstance(call, FormCall) and ["content-length-range", 2, 3] in call.conditions,
    ),
    Difference(
        "two conditions in one object",
        "S3 refuses the policy: a simple condition has one property",
        FormCall("bucket", "key", {}, [{"acl": "private", "tagging": ""}]),
        lambda call: (
            isinstance(call, FormCall) and any(isinstance(said, Mapping) and len(said) != 1 for said in call.conditions)
        ),
    ),
    Difference(
        "form over 20 KB",
        "S3 takes that much before the file, and refuses what is longer",
        FormCall("bucket", "key", {"x-amz-meta-a": "x" * 20_480}, [["starts-with", "$x-amz-meta-a", ""]]),
        lambda call: isinstance(call, FormCall) and sum(map(len, call.fields.values())) > 20_000,
    ),
    Difference(
        "digest of another length",
        "S3 refuses a checksum that is none",
        FormCall("bucket", "key", {"x-amz-checksum-sha256": "AAAA"}, [{"x-amz-checksum-sha256": "AAAA"}]),
        lambda call: isinstance(call, FormCall) and "x-amz-checksum-sha256" in call.fields,
    ),
    Difference(
        "condition said twice",
        "conditions on bucket and key are the form's own; one that the caller gave is not said again",
        FormCall("bucket", "key", {}, [{"bucket": "bucket"}]),
        lambda call: (
            isinstance(call, FormCall)
            and any(condition in ({"bucket": call.bucket}, {"key": call.key}) for condition in call.conditions)
        ),
        refusal=None,
    ),
)


def uncovered(call: FormCall) -> set[str]:
    names_said = {
        name.lower()
        for condition in call.conditions
        for name in (condition if isinstance(condition, Mapping) else [str(condition[1]).removeprefix("$")])
    }
    return {name.lower() for name in call.fields} - names_said


def known_difference(call: Call | FormCall) -> Difference | None:
    """The first row whose cause the call has, if any."""
    return next((row for row in DIFFERENCES if row.applies(call)), None)


# What came of both; any other class is the name of a row, "" is a difference that no row explains.
EQUAL = "equal"
REFUSED = "refused by both"


def classify(call: Call | FormCall, got: Outcome, expected: Outcome) -> str:
    """Compare both outcomes of a call: EQUAL, REFUSED, the name of the row that explains the difference, or ""."""
    if got.refusal or expected.refusal:
        if got.refusal and expected.refusal:
            return REFUSED
    elif got == expected:
        return EQUAL
    rows = [row for row in DIFFERENCES if row.refusal is got.refusal and row.says in got.message and row.applies(call)]
    if got.refusal or not rows:
        return rows[0].name if rows else ""
    as_if = call  # a call can have several causes; together they make it another one
    for row in rows:
        as_if = row.as_if(as_if) if row.as_if else as_if
    explained = as_if == call or theirs(as_if) == got
    return rows[0].name if explained else ""
