"""Where asyncpresign and botocore differ on purpose: one table, used by the differential test, every row with its reason.

`Call` and `FormCall` are what both are asked for, `ours` and `theirs` ask them. botocore is the oracle, so it may be
patched: its clock is frozen at its own seam, and its headers are read off the request it signs.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import hashlib
import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

os.environ["BOTO_DISABLE_CRT"] = "true"  # before botocore is imported: the C runtime orders a query differently

import botocore.session
from botocore.client import BaseClient
from botocore.config import Config
from botocore.credentials import Credentials as BotocoreCredentials
from botocore.validate import ParamValidator

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
    access_key_id: str = ACCESS_KEY_ID
    secret_access_key: str = SECRET_ACCESS_KEY


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
        Credentials(place.access_key_id, place.secret_access_key, place.session_token),
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


# What a client does not depend on.
WHO_AND_WHEN = {
    name: getattr(Place(), name) for name in ("access_key_id", "secret_access_key", "session_token", "moment", "expires_in")
}


@cache
def client(place: Place, validated: bool = False) -> BaseClient:
    """A botocore client that signs as DESIGN says; `endpoint_url` with any style is used as it is."""
    own = "auto" if place.endpoint_url in ACCELERATED.values() else "path"
    style = {"auto": own if place.endpoint_url else "virtual"}.get(place.addressing_style, place.addressing_style)
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
    found = client(replace(place, **WHO_AND_WHEN), validated)
    credentials = BotocoreCredentials(place.access_key_id, place.secret_access_key, place.session_token)
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
    except Exception as error:  # noqa: BLE001 (without its validation botocore fails on arguments of other types in any way)
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


def secrets_of(call: Call | FormCall) -> list[str]:
    place = call.place
    return [place.access_key_id, place.secret_access_key, *([] if place.session_token is None else [place.session_token])]


def zonal_traits(call: Call) -> set[Trait]:
    """What spares an operation the session; S3 Express's control endpoint has buckets only, and no access points to them."""
    bucket = text_of(call, "Bucket").endswith("--x-s3")
    return {Trait.EXPRESS_CONTROL, Trait.NO_SESSION} if bucket else {Trait.NO_SESSION}


def of_kind(call: Call | FormCall, *kinds: str) -> list[Any]:
    """The values of the parameters of these kinds."""
    known = lookup(call.operation).parameters if isinstance(call, Call) else {}
    return [value for name, value in names(call).items() if name in known and known[name].kind in kinds and value is not None]


def body_names(call: Call | FormCall) -> set[str]:
    """The names of the operation's parameters that travel in the body."""
    known = lookup(call.operation).parameters.values() if isinstance(call, Call) else ()
    return {one.name for one in known if one.place == "body"}


def without(call: Call, *left_out: str) -> Call:
    return replace(call, params={name: value for name, value in call.params.items() if name not in left_out})


def without_body(call: Call) -> Call:
    """A call that botocore signs although it has no body."""
    return replace(without(call, *body_names(call)), validated=False)


def without_none(call: Call) -> Call:
    return without(call, *(name for name, value in call.params.items() if value is None))


def complaints(call: Call) -> list[tuple[str, bool]]:
    """What botocore's validation says of the parameters, and whether it says it of the body."""
    shape = session().get_service_model("s3").operation_model(lookup(call.operation).name).input_shape
    bodies = body_names(call)
    # Handlers of botocore's make strings of these two before they are validated.
    strings = {"copy-source": Mapping, "sse-c-key": bytes | bytearray}
    known = lookup(call.operation).parameters
    params = {
        name: "text" if name in known and isinstance(value, strings.get(known[name].kind, ())) else value
        for name, value in call.params.items()
    }
    found = ParamValidator().validate(params, shape)._errors
    whose = ((reason, more.get("required_name"), re.split(r"[.\[]", name.lstrip("."))[0]) for reason, name, more in found)
    return [(reason, missing in bodies or name in bodies) for reason, missing, name in whose]


def is_invalid(call: Call | FormCall) -> bool:
    """Whether botocore's clients refuse the parameters themselves; that a body is missing is another matter."""
    return isinstance(call, Call) and not all(of_body for _, of_body in complaints(call))


def lacks_body(call: Call | FormCall) -> bool:
    """Whether botocore's clients refuse the call for its body, which is missing or wrong, and for nothing else."""
    if not isinstance(call, Call) or not call.validated:
        return False
    found = complaints(without_none(call))
    return bool(found) and all(of_body for _, of_body in found)


def encoded(call: Call) -> Call:
    """The same call with the customer's key in base64 beside its digest."""
    key = call.params["SSECustomerKey"]
    key = key.encode() if isinstance(key, str) else key
    digest = hashlib.md5(key, usedforsecurity=False).digest()
    spelt = {"SSECustomerKey": base64.b64encode(key).decode(), "SSECustomerKeyMD5": base64.b64encode(digest).decode()}
    params = {name: value for name, value in call.params.items() if name != "SSECustomerKeyMD5"}
    pairs = [(name, spelt.get(name, value)) for name, value in params.items()]
    at = list(params).index("SSECustomerKey") + 1
    return replace(call, params=dict([*pairs[:at], ("SSECustomerKeyMD5", spelt["SSECustomerKeyMD5"]), *pairs[at:]]))


def seconds(life: float | timedelta) -> int:
    return int(life.total_seconds() if isinstance(life, timedelta) else life)


def is_life(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 604_800


def is_text(value: Any) -> bool:
    """Whether `value` is a string that UTF-8 can encode."""
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def conditions(call: Any) -> list[Any]:
    return list(call.conditions) if isinstance(call, FormCall) else []


def is_bound(value: Any) -> bool:
    digits = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return digits.isascii() and digits.isdecimal() and int(digits) < 2**63


UNREAD = ("", "", "")


def read(condition: Any) -> tuple[str, str, Any]:
    """Operator, field and value of a condition ("range", minimum and maximum); UNREAD for one of no shape that S3 has."""
    if isinstance(condition, Mapping) and len(condition) == 1:
        [(name, value)] = condition.items()
        return ("eq", name, value) if name and isinstance(name, str) and isinstance(value, str) else UNREAD
    if not isinstance(condition, list | tuple) or len(condition) != 3 or not isinstance(condition[0], str):
        return UNREAD
    operator, name, value = condition[0].lower(), *condition[1:]
    if operator == "content-length-range":
        return ("range", str(name), str(value)) if is_bound(name) and is_bound(value) else UNREAD
    named = isinstance(name, str) and name.startswith("$") and name != "$" and isinstance(value, str)
    return (operator, name[1:], value) if operator in ("eq", "starts-with") and named else UNREAD


def fields_of(call: Call | FormCall) -> Mapping[str, Any]:
    return call.fields if isinstance(call, FormCall) else {}


def form_values(call: FormCall) -> list[tuple[str, Any]]:
    """What the fields of the form will be, but for those that depend on the signer; key and bucket may stand there twice."""
    given = [(name.lower(), value) for name, value in call.fields.items() if isinstance(name, str)]
    return [*given, ("bucket", call.bucket), ("key", call.key)]


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


def bucket_of(call: Call | FormCall) -> list[str]:
    """The bucket, if the call names one by a string."""
    given = call.bucket if isinstance(call, FormCall) else call.params.get("Bucket")
    return [given] if isinstance(given, str) else []


def strings_of(call: Call | FormCall) -> list[str]:
    """Every string of a form, and the bucket's name."""
    if isinstance(call, Call):
        return bucket_of(call)
    said = (part for one in call.conditions for part in (one.items() if isinstance(one, Mapping) else [one]))
    return [text for value in (call.bucket, call.key, *call.fields.items(), *said) for text in _texts(value)]


def is_no_segment(bucket: str) -> bool:
    return not bucket.strip(".") or "/" in bucket or not bucket.isprintable()


def sent_as_text(call: Call | FormCall) -> list[str]:
    """What travels in headers and form fields."""
    if isinstance(call, FormCall):
        said = [name for one in map(read, call.conditions) for name in (one[1], one[2] * (not form_field(one[1]).raw))]
        given = [*call.fields, *(value for name, value in call.fields.items() if not form_field(str(name)).raw)]
        return [text for value in (*given, *said) for text in _texts(value)]
    known = lookup(call.operation).parameters
    sent = (value for name, value in call.params.items() if name in known and known[name].place.startswith("header"))
    return [text for value in sent for text in _texts(value)]


def sent_as_it_is(call: Call) -> list[str]:
    """What travels in headers and is not encoded before; whoever gives a customer key's digest has encoded the key."""
    known = lookup(call.operation).parameters
    kinds = {name: known[name].kind for name in call.params if name in known}
    encoded = {
        name
        for name, kind in kinds.items()
        if kind == "copy-source" or (kind == "sse-c-key" and call.params.get(f"{name}MD5") is None)
    }
    sources = [call.params[name] for name in encoded if kinds[name] == "copy-source"]
    rest = replace(call, params={name: value for name, value in call.params.items() if name not in encoded})
    return [*sent_as_text(rest), *(text for source in sources for text in _texts(_version_of(source)))]


def _version_of(source: Any) -> Any:
    """Of a copy's source, which is encoded but for this part of it."""
    if isinstance(source, str):
        found = re.search(r"\?versionId=(\S+)$", source)
        return found and found[1]
    return source.get("VersionId") if isinstance(source, Mapping) else None


def _texts(value: Any) -> list[str]:
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else [value]
    return [part for part in parts if isinstance(part, str)]


def has_control(text: Any) -> bool:
    return isinstance(text, str) and any((ord(letter) < 32 and letter != "\t") or letter == "\x7f" for letter in text)


def is_at_address(call: Call | FormCall) -> bool:
    host = authority(call).rpartition("@")[2]
    return host.startswith("[") or bool(re.fullmatch(r"([0-9]{1,3}\.){3}[0-9]{1,3}(:.*)?", host))


def is_method(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Z]+", value) is not None


def authority(call: Call | FormCall) -> str:
    """User, host and port of the endpoint."""
    return (call.place.endpoint_url or "").partition("://")[2].partition("/")[0]


def size_of(text: Any) -> int:
    """How many bytes `text` is the base64 of; -1 when it is no base64."""
    try:
        return len(base64.b64decode(text, validate=True))
    except (ValueError, TypeError):
        return -1


def excludes(one: tuple[str, str, Any], other: tuple[str, str, Any]) -> bool:
    """Whether no value keeps both conditions, which `read` read."""
    (operator, name, value), (operator2, name2, value2) = one, other
    if "" in (operator, operator2) or (operator == "range") != (operator2 == "range"):
        return False
    if operator == "range":
        return max(int(name), int(name2)) > min(int(value), int(value2))
    if name.lower() != name2.lower():
        return False
    if operator == "eq":
        return value != value2 if operator2 == "eq" else not value.startswith(value2)
    return not (value2.startswith(value) or (operator2 == "starts-with" and value.startswith(value2)))


def is_odd_endpoint(call: Call | FormCall) -> bool:
    """Whether the endpoint has characters or a port that URLs do not have, or parts that endpoints do not have."""
    plain = r"(?i)https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]*)?(/([^?#% |\\]|%[0-9a-f]{2})*)?"
    url = call.place.endpoint_url
    return url is not None and (not url.isascii() or not re.fullmatch(plain, url) or port(call) > 65_535)


def port(call: Call | FormCall) -> int:
    digits = authority(call).rpartition(":")[2]
    return int(digits) if digits.isascii() and digits.isdecimal() else 0


def is_kept_by(call: FormCall) -> Callable[[Any], bool]:
    """Whether the form's fields keep a condition, as far as the caller chose them."""
    given = form_values(call)

    def is_kept(condition: Any) -> bool:
        operator, name, wanted = read(condition)
        if name.lower().startswith("x-amz-") and form_field(name).ours:
            return False  # a date or a credential that the caller only guesses
        found = [value for other, value in given if other == name.lower() and isinstance(value, str)]
        if operator in ("", "range") or not found:
            return True
        whole = all(value.startswith(wanted) if operator == "starts-with" else value == wanted for value in found)
        return whole and not (name.lower() == "content-type" and "," in found[0])

    return is_kept


ACCELERATED = {host: f"https://{host}" for host in ("s3-accelerate.amazonaws.com", "s3-accelerate.dualstack.amazonaws.com")}


def host_of(call: Call | FormCall) -> str:
    return urlsplit(call.place.endpoint_url or "").hostname or ""


def base_path(call: Call | FormCall) -> str:
    return "/".join((call.place.endpoint_url or "").split("/")[3:])


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "expiry",
        "S3 refuses a life out of 1..604800 seconds when the URL is used; botocore signs it, and any other value",
        at(GET, expires_in=604_801),
        lambda call: not is_life(call.place.expires_in),
        says="expires_in",
    ),
    Difference(
        "long key",
        "S3 has no keys over 1024 bytes of UTF-8",
        Call("get_object", {"Bucket": "bucket", "Key": "é" * 513}),
        lambda call: len(text_of(call, "Key").encode(errors="replace")) > 1024,
        says="bytes of UTF-8",
    ),
    Difference(
        "control characters",
        "a line break ends a header, and S3 makes headers of most fields of a form: what was signed could not be sent",
        put(ContentType="text/plain\nx-amz-acl: public-read"),
        lambda call: any(map(has_control, sent_as_text(call))),
        says="control character",
    ),
    Difference(
        "body",
        "a URL has no body; botocore parses `Body` as a query and signs `?97=98`",
        put(Body=b"ab"),
        lambda call: "Body" in names(call) and "Body" in body_names(call),
        refusal=None,
        as_if=without_body,
    ),
    Difference(
        "body of another operation",
        "a parameter of the body is ignored by the URL; botocore fails on it",
        Call("create_bucket", {"Bucket": "bucket", "CreateBucketConfiguration": {"LocationConstraint": "eu-central-1"}}),
        lambda call: bool(names(call).keys() & body_names(call) - {"Body"}),
        refusal=None,
        as_if=without_body,
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
        as_if=encoded,
    ),
    Difference(
        "copy source with an unknown part",
        "`VersionID` for `VersionId` would copy another version; botocore ignores what it does not know",
        Call("copy_object", {**OBJECT, "CopySource": {"Bucket": "from", "Key": "key", "VersionID": "v"}}),
        lambda call: (
            isinstance(names(call).get("CopySource"), Mapping)
            and not names(call)["CopySource"].keys() <= {"Bucket", "Key", "VersionId"}
        ),
        says="CopySource",
    ),
    Difference(
        "None",
        "a parameter that is None is not given; botocore's validation refuses it, its signing leaves it out",
        Call("put_object", {**OBJECT, "ACL": None}, validated=True),
        lambda call: isinstance(call, Call) and any(value is None for value in call.params.values()),
        refusal=None,
        as_if=without_none,
    ),
    Difference(
        "naive time",
        "a time without a zone means another moment on another machine; botocore takes the machine's zone",
        get(IfModifiedSince=datetime(2020, 1, 1)),  # noqa: DTZ001
        lambda call: any(isinstance(value, datetime) and value.tzinfo is None for value in of_kind(call, "rfc822", "iso8601")),
        says="time zone",
    ),
    Difference(
        "time as text",
        "times are datetimes; botocore guesses the format of texts, and takes numbers for seconds of the epoch",
        get(IfModifiedSince="2020-01-01T00:00:00Z"),
        lambda call: any(not isinstance(value, datetime) for value in of_kind(call, "rfc822", "iso8601")),
        says="time zone",
    ),
    Difference(
        "bool as number, or one of more than 64 bits",
        "S3 has no such numbers; botocore signs `partNumber=True`",
        get(PartNumber=True),
        lambda call: any(
            isinstance(value, bool) or abs(value) >= 2**63 for value in of_kind(call, "integer") if isinstance(value, int)
        ),
        says="an int of 64 bits",
    ),
    Difference(
        "customer key as bytes beside its digest",
        "whoever gives the digest has encoded the key, which is a text then; botocore signs Python's repr of the bytes",
        get(SSECustomerKey=b"a2V5", SSECustomerKeyMD5="bWQ1"),
        lambda call: any(
            isinstance(names(call).get(name), bytes | bytearray) and f"{name}MD5" in names(call)
            for name in ("SSECustomerKey", "CopySourceSSECustomerKey")
        ),
        says="CustomerKey",
    ),
    Difference(
        "metadata names that differ in case only",
        "HTTP takes them for one header, so which value arrives is chance",
        put(Metadata={"Colour": "red", "colour": "blue"}),
        lambda call: len({name.lower() for name in metadata(call)}) < len(metadata(call)),
        says="header tokens",
    ),
    Difference(
        "metadata name that is no header token",
        "no HTTP client can send such a header",
        put(Metadata={"two words": "x"}),
        lambda call: not all(re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) for name in metadata(call)),
        says="header tokens",
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
        lambda call: any(not re.fullmatch(r"arn:.*|[a-zA-Z0-9._-]{1,255}", one) for one in bucket_of(call)),
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
            and (isinstance(call, FormCall) or not lookup(call.operation).traits & zonal_traits(call))
        ),
        refusal=UnsupportedRequest,
        says="bucket: ",
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
        says="Outposts",
    ),
    Difference(
        "ARN at an IP address",
        "`point-123456789012.127.0.0.1` is nobody's host",
        Call("get_object", {"Bucket": POINT, "Key": "key"}, Place(endpoint_url="http://127.0.0.1:9000")),
        lambda call: text_of(call, "Bucket").startswith("arn:") and is_at_address(call),
        refusal=UnsupportedRequest,
        says="an address as endpoint",
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
        says="addressing_style",
    ),
    Difference(
        "route before an IP address",
        "the operation puts its route before the host: `route.127.0.0.1` is nobody's",
        Call(
            "write_get_object_response", {"RequestRoute": "a", "RequestToken": "b"}, Place(endpoint_url="http://127.0.0.1:9000")
        ),
        lambda call: isinstance(call, Call) and lookup(call.operation).name == "WriteGetObjectResponse" and is_at_address(call),
        refusal=UnsupportedRequest,
        says="endpoint_url",
    ),
    Difference(
        "multi-region access point",
        "it takes signatures of SigV4A only",
        Call("get_object", {"Bucket": "arn:aws:s3::123456789012:accesspoint/name.mrap", "Key": "key"}),
        lambda call: text_of(call, "Bucket").startswith("arn:") and text_of(call, "Bucket").split(":")[3:4] == [""],
        refusal=UnsupportedRequest,
        says="SigV4A",
    ),
    Difference(
        "aws-global",
        "the global endpoint answers with redirects, which break signatures, CORS and PUT",
        at(GET, region="aws-global"),
        lambda call: call.place.region.endswith("-global"),
        says="region",
    ),
    Difference(
        "region that is a host",
        "FIPS is a choice of host and not a region, nor is us-east-1's old host",
        at(GET, region="fips-us-east-1"),
        lambda call: (
            call.place.region.startswith("fips-") or call.place.region.endswith("-fips") or call.place.region == "s3-external-1"
        ),
        says="region",
    ),
    Difference(
        "header value that is not ASCII",
        "clients send such a header in different bytes, so its signature would not hold; botocore signs those of UTF-8",
        put(ContentDisposition='attachment; filename="é.pdf"'),
        lambda call: isinstance(call, Call) and not "".join(sent_as_it_is(call)).isascii(),
        says="ASCII",
    ),
    Difference(
        "bucket in the endpoint's host",
        "the bucket would be there twice; `bucket_endpoint=True` says that the host is the bucket, as nothing in botocore can",
        at(GET, endpoint_url="https://bucket.s3.eu-central-1.amazonaws.com", addressing_style="auto"),
        lambda call: f"{host_of(call)}.".startswith(f"{text_of(call, 'Bucket')}.") and "." in host_of(call),
        says="bucket_endpoint=True",
    ),
    Difference(
        "accelerated host in another spelling",
        "hosts have no case, and a port changes nothing; botocore compares the letters, and uses path style there",
        at(GET, endpoint_url="https://S3-Accelerate.amazonaws.com", addressing_style="auto"),
        lambda call: host_of(call) in ACCELERATED and ACCELERATED[host_of(call)] != call.place.endpoint_url,
        refusal=None,
        as_if=lambda call: replace(call, place=replace(call.place, addressing_style="virtual")),
    ),
    Difference(
        "user in the endpoint",
        "a URL is no place for a password; in virtual-hosted style botocore signs `bucket.user:password@host`",
        at(GET, endpoint_url="https://user:password@s3.example.com"),
        lambda call: "@" in authority(call),
        says="endpoint_url",
    ),
    Difference(
        "base path with dot or empty segments",
        "clients and proxies resolve them after signing; botocore itself resolves them in some addressing styles",
        at(GET, endpoint_url="https://s3.example.com/a/../b", addressing_style="path"),
        lambda call: bool(
            {"", ".", ".."}.intersection(base_path(call).removesuffix("/").split("/")) if base_path(call) else ()
        ),
        says="endpoint_url",
    ),
    Difference(
        "escapes and delimiters in a base path",
        "the base path is the caller's spelling; in path style botocore encodes its escapes once more",
        at(GET, endpoint_url="https://s3.example.com/a%2Fb", addressing_style="path"),
        lambda call: any(letter in base_path(call) for letter in "%!$&'()*+,;=:@"),
        refusal=None,
    ),
    Difference(
        "method that HTTP does not have",
        "methods are case-sensitive in HTTP, and clients send them as they are given; botocore signs the capitals of any text",
        Call("get_object", OBJECT, http_method="head"),
        lambda call: isinstance(call, Call) and call.http_method is not None and not is_method(call.http_method),
        says="http_method",
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
        lambda call: isinstance(call, FormCall) and any(form_field(str(name)).ours for name in call.fields),
        says="fill in by itself",
    ),
    Difference(
        "file's name in the middle of the key",
        "S3 puts the name in before it compares, and the exact condition that botocore signs does not hold then",
        FormCall("bucket", "a/${filename}.jpg"),
        lambda call: isinstance(call, FormCall) and "${filename}" in text_of(call, "Key").removesuffix("${filename}"),
        says="key: ",
    ),
    Difference(
        "names of fields that differ in case only",
        "S3 takes them for one field, which it refuses to be given twice",
        FormCall("bucket", "key", {"acl": "private", "ACL": "private"}, [{"acl": "private"}]),
        lambda call: isinstance(call, FormCall) and len({str(name).lower() for name in call.fields}) < len(call.fields),
        says="in more than case",
    ),
    Difference(
        "beginning of what has to be exact",
        "S3 refuses a policy that asks for the beginning of such a field",
        FormCall("bucket", "key", {"success_action_status": "201"}, [["starts-with", "$success_action_status", "20"]]),
        lambda call: any(
            read(one)[0] == "starts-with" and not form_field(read(one)[1]).starts_with for one in conditions(call)
        ),
        says="an exact value",
    ),
    Difference(
        "condition that the form breaks",
        "every item of a Content-Type with commas has to begin as the condition says, so nobody could send this form",
        FormCall("bucket", "key", {"Content-Type": "a,b"}, [["starts-with", "$Content-Type", "a"]]),
        lambda call: bool(conditions(call)) and not all(map(is_kept_by(call), conditions(call))),
        says="that the form keeps",
    ),
    Difference(
        "conditions that exclude each other",
        "nobody could send this form",
        FormCall("bucket", "key", {}, [["content-length-range", 0, 1], ["content-length-range", 2, 3]]),
        lambda call: any(excludes(*pair) for pair in itertools.combinations(map(read, conditions(call)), 2)),
        says="kept together",
    ),
    Difference(
        "condition that S3 does not have",
        "S3 refuses a policy with a condition of another shape, of other values than strings or of two properties",
        FormCall("bucket", "key", {}, [{"acl": "private", "tagging": ""}]),
        lambda call: not all(read(one)[0] for one in conditions(call)),
        says='expected {"field"',
    ),
    Difference(
        "form over 20 KB",
        "S3 takes that much before the file, and refuses what is longer",
        FormCall("bucket", "key", {"x-amz-meta-a": "x" * 20_480}, [["starts-with", "$x-amz-meta-a", ""]]),
        lambda call: isinstance(call, FormCall) and len(repr(call)) > 15_000,
        says="without its file",
    ),
    Difference(
        "digest of another length",
        "S3 refuses a checksum that is none",
        FormCall("bucket", "key", {"x-amz-checksum-sha256": "AAAA"}, [{"x-amz-checksum-sha256": "AAAA"}]),
        lambda call: (
            isinstance(call, FormCall)
            and any(form_field(str(name)).digest not in (0, size_of(value)) for name, value in call.fields.items())
        ),
        says="in base64",
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
    Difference(
        "endpoint's name with an underscore",
        "Docker's services have such names, and S3's servers answer to them; botocore calls the endpoint invalid",
        at(GET, endpoint_url="http://my_minio:9000", addressing_style="path"),
        lambda call: "_" in authority(call),
        refusal=None,
    ),
    Difference(
        "endpoint that is spelled in another way than URLs are",
        "clients and proxies normalise it after signing, or a zone is that of one machine; botocore signs what it makes of it",
        at(GET, endpoint_url="https://s3.example.com/a b", addressing_style="path"),
        is_odd_endpoint,
        says="endpoint_url",
    ),
    Difference(
        "credentials that are empty or not printable",
        "they were read with a line break or from nowhere, and no server has them; botocore signs them",
        at(GET, access_key_id="AKID\n"),
        lambda call: any(not value or not value.isprintable() for value in secrets_of(call)),
        says="expected a text",
    ),
    Difference(
        "moment before the year 1000 or after 9999-12-24",
        "dates have four digits, and the end of the URL's life has to be one; botocore signs `10101T000000Z`",
        at(GET, moment=datetime(1, 1, 1, tzinfo=UTC)),
        lambda call: not 1000 < call.place.moment.year < 9999,
        says="signing_time",
    ),
    Difference(
        "body that is required",
        "the client of the URL sends it; botocore's validation asks for it although it does not travel in a URL",
        Call("put_bucket_policy", {"Bucket": "bucket"}, validated=True),
        lacks_body,
        refusal=None,
        as_if=without_body,
    ),
    Difference(
        "validation that is switched off",
        "parameters are validated always; with `parameter_validation=False` botocore signs the repr of whatever it gets",
        get(VersionId=["v"]),
        lambda call: isinstance(call, Call) and not call.validated and is_invalid(call),
        says="params[",
    ),
    Difference(
        "bucket names that no path can carry",
        "clients resolve `.` and `..`, a slash ends the name, and a line break is a mistake in reading it; botocore signs some",
        Call("get_object", {"Bucket": "..", "Key": "key"}),
        lambda call: any(not one.startswith("arn:") and is_no_segment(one) for one in bucket_of(call)),
        says="a bucket name",
    ),
    Difference(
        "field or condition that is no string",
        "a form has strings only; botocore signs whatever JSON can write",
        FormCall("bucket", "key", {"x-amz-meta-a": 5}),
        lambda call: (
            isinstance(call, FormCall) and not all(map(is_text, [call.bucket, call.key, *call.fields, *call.fields.values()]))
        ),
        says="expected a str",
    ),
    Difference(
        "life as a timedelta or a whole float",
        "both are the same number of seconds; botocore signs `X-Amz-Expires=60.0` or `0:01:00`, which S3 refuses",
        at(GET, expires_in=60.0),
        lambda call: isinstance(call.place.expires_in, float | timedelta),
        refusal=None,
        as_if=lambda call: replace(call, place=replace(call.place, expires_in=seconds(call.place.expires_in))),
    ),
    Difference(
        "option of AWS's hosts beside an endpoint",
        "the endpoint is used as it is; botocore refuses this for most endpoints, and forgets the option for addresses of IPv6",
        at(GET, endpoint_url="http://[::1]:9000", use_dualstack=True, addressing_style="path"),
        lambda call: call.place.endpoint_url is not None and (call.place.use_fips or call.place.use_dualstack),
        says="expected False",
    ),
    Difference(
        "route that is no label of a host",
        "the host would not exist",
        Call("write_get_object_response", {"RequestRoute": "a" * 64, "RequestToken": "b"}),
        lambda call: any(
            not re.fullmatch(r"(?!-)[a-zA-Z0-9-]{1,63}(?<!-)", str(value)) for value in of_kind(call, "host-label")
        ),
        says="RequestRoute",
    ),
    Difference(
        "region that is no label of a host",
        "it stands in hosts and in signatures, and no server has it; botocore signs some beside an endpoint",
        at(GET, endpoint_url="http://minio:9000", addressing_style="path", region=""),
        lambda call: not re.fullmatch(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)", call.place.region),
        says="region",
    ),
    Difference(
        "string that UTF-8 cannot encode",
        "a lone surrogate is no character; botocore writes it into the policy as an escape of JSON, which no form can repeat",
        FormCall("bucket", "a\ud800"),
        lambda call: not all(map(is_text, [*strings_of(call), *sent_as_text(call)])),
        says="UTF-8 can encode",
    ),
    Difference(
        "field without a name",
        "browsers leave it out",
        FormCall("bucket", "key", {"": "a"}),
        lambda call: (
            isinstance(call, FormCall)
            and not all(isinstance(name, str) and name and name.isprintable() for name in call.fields)
        ),
        says="fields: expected names",
    ),
    Difference(
        "condition on what no policy holds",
        "S3 refuses the policy: the signature, the policy and the file are no fields that it can speak of",
        FormCall("bucket", "key", {}, [{"policy": "a"}]),
        lambda call: any(not form_field(read(one)[1]).in_policy for one in conditions(call)),
        says="a policy can speak of",
    ),
    Difference(
        "file's name in a field that has to be exact",
        "S3 puts the name in before it compares, and only an exact condition is allowed for this field",
        FormCall("bucket", "key", {"x-amz-storage-class": "${filename}"}),
        lambda call: any(
            "${filename}" in str(value) and not form_field(str(name)).starts_with for name, value in fields_of(call).items()
        ),
        says="a text without ${filename}",
    ),
    Difference(
        "form for a directory bucket without a zone",
        "its host has the zone in it; botocore sends the form to the control endpoint, which takes none",
        FormCall("name--x-s3", "key"),
        lambda call: isinstance(call, FormCall) and bool(re.fullmatch(r"(?!.*--.*--).*--xa?-s3", text_of(call, "Bucket"))),
        says="a name with its zone",
    ),
    Difference(
        "form with an empty key",
        "S3 refuses it, whatever the file is called; botocore's clients refuse it for URLs only",
        FormCall("bucket", ""),
        lambda call: isinstance(call, FormCall) and call.key == "",
        says="at least one character",
    ),
    Difference(
        "range in which no size lies",
        "nobody could send this form",
        FormCall("bucket", "key", {}, [["content-length-range", 2, 1]]),
        lambda call: any(read(one)[0] == "range" and int(read(one)[1]) > int(read(one)[2]) for one in conditions(call)),
        says="not above the maximum",
    ),
)


def uncovered(call: FormCall) -> set[str]:
    said = {str(name).lower() for one in call.conditions for name in (one if isinstance(one, Mapping) else [read(one)[1]])}
    return {str(name).lower() for name in call.fields} - said


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
    if got.refusal:
        explained = [_explaining(call, got, line) for line in got.message.split("\n")]
        return explained[0].name if all(explained) and explained[0] else ""
    rows = [row for row in DIFFERENCES if row.refusal is None and row.applies(call)]
    if not rows:
        return ""
    as_if = call  # a call can have several causes; together they make it another one
    for row in rows:
        as_if = row.as_if(as_if) if row.as_if else as_if
    explained = any(row.as_if is None for row in rows) or theirs(as_if) == got
    return rows[0].name if explained else ""


def _explaining(call: Call | FormCall, got: Outcome, line: str) -> Difference | None:
    """The row that explains one problem of our refusal."""
    rows = (row for row in DIFFERENCES if row.refusal is got.refusal and row.says in line)
    return next((row for row in rows if row.applies(call)), None)
