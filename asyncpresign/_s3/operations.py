"""From an operation's name and parameters to verb, path, query and headers.

The table (`_operations_table`, generated) says where each parameter travels; `_KINDS` says how a value of each kind is
spelt on the wire. A new operation is a row there, a new kind a row here. Whatever is wrong with a call is collected
and said at once.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

from __future__ import annotations

import hashlib
import re
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple

from .._sigv4.canonical import UNSIGNED_PAYLOAD, uri_encode
from .._sigv4.signing import utc
from ..errors import InvalidRequest, Problem, describe, nearest, redact
from ._operations_table import NAMES, TABLE, OperationName

__all__ = [
    "GLANCES",
    "Body",
    "BoundRequest",
    "Operation",
    "OperationName",
    "Trait",
    "are_plain_keys",
    "bind",
    "bucket_problems",
    "header_problem",
    "is_plain_key",
    "is_point_arn",
    "key_problems",
    "lookup",
    "requires_checksum",
    "text_problem",
    "utf8_problem",
]

MAX_KEY_BYTES = 1024
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"""


class Body(StrEnum):
    """Whether the client that uses the request is to send a body."""

    NONE = "none"
    REQUIRED = "required"
    OPTIONAL = "optional"


class Trait(StrEnum):
    """What sets an operation apart from the others as a whole."""

    CHECKSUM = "checksum"
    """S3 takes its body only with a digest."""
    EXPRESS_CONTROL = "express-control"
    """For a directory bucket it is asked of S3 Express's control endpoint."""
    NO_ACCESS_POINTS = "no-access-points"
    NO_SESSION = "no-session"
    """For a directory bucket it is signed with the credentials themselves, not with a session's."""
    OBJECT_LAMBDA = "object-lambda"
    """It is asked of S3 Object Lambda."""
    PATH_STYLE = "path-style"
    """The bucket is in the path, whatever the addressing style."""


Glance = Callable[[Any], str | None]


class Parameter(NamedTuple):
    """One row of the table: `place` is path, query, header, header-map or body.

    `column` is the same among path, query and headers. `glance` spells a value of which a glance tells that it may travel; any
    other, for which it returns None, needs a closer look.
    """

    name: str
    required: bool
    place: str
    wire: str
    kind: str
    implied: str | None
    minimum: int | None
    column: int
    glance: Glance | None


class Operation(NamedTuple):
    """An operation as the table has it.

    `fixed_key` is what the path is beyond the bucket where no parameter says it. Of the parameters, `required` are those
    that no request can do without, `implied` those that botocore adds, with their values, `host_labels` those that stand
    in the host too.
    """

    name: str
    method: str
    fixed_key: str | None
    static_query: tuple[tuple[str, str], ...]
    body: Body
    traits: frozenset[Trait]
    parameters: dict[str, Parameter]
    required: tuple[str, ...]
    implied: tuple[tuple[str, str], ...]
    host_labels: tuple[str, ...]


class BoundRequest(NamedTuple):
    """An operation with its parameters in place; all is plain text.

    `key` is what follows the bucket, None for nothing; `host_prefix` what stands before the endpoint's host.
    `payload_hash` is the last line of the canonical request.
    """

    operation: str
    method: str
    bucket: str | None
    key: str | None
    body: Body
    query: list[tuple[str, str]]
    headers: dict[str, str]
    traits: frozenset[Trait]
    host_prefix: str
    payload_hash: str = UNSIGNED_PAYLOAD


def lookup(name: str) -> Operation:
    """The operation called `name` ("get_object" or "GetObject").

    Raises `InvalidRequest` for any other name.
    """
    if isinstance(name, str) and name in _LOOKED_UP:
        return _LOOKED_UP[name]
    if not isinstance(name, str):
        raise InvalidRequest(Problem("operation", "the name of an S3 operation", describe(name)))
    canonical = NAMES.get(name, name)
    if canonical not in TABLE:
        suggestion = nearest(name, (*NAMES, *TABLE))
        shown = redact(repr(name)) if len(name) <= 200 else describe(name)
        raise InvalidRequest(Problem("operation", "the name of an S3 operation", shown, suggestion))
    return _LOOKED_UP.setdefault(name, _read(canonical))


_LOOKED_UP: dict[str, Operation] = {}


class _Glances(dict[str, Mapping[str, Glance]]):
    """For each operation that there is, by any of its names, what spells the parameters that change a request by their text."""

    def __missing__(self, name: str) -> Mapping[str, Glance]:
        try:
            every = lookup(name).parameters.values()
        except InvalidRequest:
            return {}
        # A bucket chooses the host, too.
        return self.setdefault(name, {one.name: one.glance for one in every if one.glance is not None and one.wire != "Bucket"})


GLANCES: Mapping[str, Mapping[str, Glance]] = _Glances()


def requires_checksum(name: str | None) -> bool:
    """Whether S3 takes a body for this operation with a digest only; not for what is no operation."""
    canonical = NAMES.get(name or "", name or "")
    return canonical in TABLE and Trait.CHECKSUM in _read(canonical).traits


@cache
def _read(canonical: str) -> Operation:
    head, *rows = TABLE[canonical].splitlines()
    method, uri, body, *traits = head.split(" ")
    path, _, static = uri.partition("?")
    query = tuple((name, value) for name, _, value in (piece.partition("=") for piece in static.split("&")) if name)
    parameters = {parameter.name: parameter for parameter in map(_parse, rows)}
    fixed_key = None if "{" in path else path[1:] or None
    every = parameters.values()
    required = tuple(one.name for one in every if one.required and one.place != "body")
    implied = tuple((one.name, one.implied) for one in every if one.implied)
    host_labels = tuple(one.name for one in every if one.kind == "host-label")
    marks = frozenset(map(Trait, traits))
    return Operation(canonical, method, fixed_key, query, Body(body), marks, parameters, required, implied, host_labels)


def _parse(row: str) -> Parameter:
    name, place, wire, kind, *more = row.split(" ")
    implied = [text[1:] for text in more if text.startswith("=")]
    minimum = [int(text[2:]) for text in more if text.startswith(">=")]
    glance = _GLANCES.get((place, wire if place == "path" else kind))
    ending = (implied[0] if implied else None, minimum[0] if minimum else None, _COLUMN[place], glance)
    return Parameter(name.rstrip("!"), name.endswith("!"), place, wire, kind, *ending)


def bind(name: str, params: Mapping[str, Any]) -> BoundRequest:
    """Put `params` (botocore's names and types) where the operation's table wants them, in the caller's order.

    A parameter that travels in the body is never required and is ignored: a URL has no body. Raises `InvalidRequest`
    with every problem: unknown, missing and mistyped parameters, keys that S3 cannot hold, values no header can hold.
    """
    operation = lookup(name)
    if type(params) is not dict and not isinstance(params, Mapping):
        raise InvalidRequest(Problem("params", "a mapping of parameter names to values", describe(params)))
    problems: list[Problem] = []
    path: dict[str, str] = {}
    query: dict[str, str] = dict(operation.static_query)
    headers: dict[str, str] = {}
    places, strange = (path, query, headers), False
    for given, value in _given(operation, params):
        parameter = operation.parameters.get(given)
        if parameter is None:
            strange = True
        elif parameter.glance is not None and (text := parameter.glance(value)) is not None:
            places[parameter.column][parameter.wire] = text
        elif value is not None and parameter.place != "body":
            wire, wrong = _spell(operation, parameter, value, params)
            places[parameter.column].update(wire)
            problems += wrong
    if strange or problems or None in map(params.get, operation.required):
        raise InvalidRequest(*_unknown(operation, params), *_missing(operation, params), *problems)
    return BoundRequest(
        operation.name,
        operation.method,
        path.get("Bucket"),
        path.get("Key") or operation.fixed_key,
        operation.body,
        list(query.items()),
        headers,
        operation.traits,
        "".join([f"{params[name]}." for name in operation.host_labels]) if operation.host_labels else "",
    )


def _unknown(operation: Operation, params: Mapping[str, Any]) -> Iterator[Problem]:
    known = operation.parameters
    for given in params:
        if given not in known:
            suggestion = nearest(str(given), known)
            yield Problem(f"params[{given!r}]", f"a parameter of {operation.name}", repr(given), suggestion)


def _missing(operation: Operation, params: Mapping[str, Any]) -> Iterator[Problem]:
    for name in operation.required:
        if params.get(name) is None:
            yield Problem(f"params[{name!r}]", f"a value, which {operation.name} requires", "nothing")


def _given(operation: Operation, params: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """What the caller gave, in the caller's order, then what botocore adds."""
    if not operation.implied:
        return params.items()
    return (*params.items(), *((name, value) for name, value in operation.implied if params.get(name) is None))


def _spell(operation: Operation, parameter: Parameter, value: Any, params: Mapping[str, Any]) -> tuple[_Pairs, list[Problem]]:
    """How `value` travels, or why it cannot."""
    kind = _KINDS[parameter.kind]
    if parameter.kind == "sse-c-key" and params.get(f"{parameter.name}MD5") is not None:
        kind = _KINDS["string"]  # whoever gives the digest has encoded the key already
    wire = kind.encode(parameter.wire, value)
    if wire is None or (parameter.minimum is not None and value < parameter.minimum):
        least = "" if parameter.minimum is None else f", at least {parameter.minimum}"
        expected = f"{kind.expected}{least} for {operation.name}"
        return [], [Problem(f"params[{parameter.name!r}]", expected, describe(value))]
    return wire, [problem for _, text in wire for problem in _text_problems(operation, parameter, text)]


def _text_problems(operation: Operation, parameter: Parameter, text: str) -> list[Problem]:
    """Why `text` cannot stand where the parameter travels."""
    argument = f"params[{parameter.name!r}]"
    if parameter.place == "path":
        found = key_problems(text, argument) if parameter.wire == "Key" else bucket_problems(text, argument)
    else:
        bad = utf8_problem(text) if parameter.place == "query" else header_problem(text)
        found = [Problem(argument, *bad)] if bad else []
    hint = DISPOSITION_HINT if parameter.wire == "Content-Disposition" else ""
    return [Problem(argument, f"{problem.expected} for {operation.name}", problem.got, hint) for problem in found]


def bucket_problems(bucket: str, argument: str) -> list[Problem]:
    """Why no path could name `bucket`; nothing for an ARN, which is another kind of name."""
    if _can_be_bucket(bucket) or bucket.startswith("arn:"):
        return []
    return [Problem(argument, "a bucket name", describe(bucket))]


def _can_be_bucket(text: str) -> bool:
    return "/" not in text and text.isprintable() and bool(text.strip("."))


def is_plain_key(text: str) -> bool:
    """Whether a glance tells that S3 can hold it: no character takes more than four bytes, one of ASCII takes one."""
    size = len(text)
    return 0 < size <= MAX_KEY_BYTES and (text.isascii() or (size <= MAX_KEY_BYTES // 4 and text.isprintable()))


def are_plain_keys(keys: list[Any]) -> bool:
    """Whether a glance at all together tells that these are keys, and that S3 can hold each."""
    try:
        text = "".join(keys)
    except TypeError:
        return False
    sizes = list(map(len, keys))
    size = max(sizes)
    plain = size <= MAX_KEY_BYTES and (text.isascii() or (size <= MAX_KEY_BYTES // 4 and text.isprintable()))
    return plain and min(sizes) > 0


_COLUMN = {"path": 0, "query": 1, "header": 2, "header-map": 2, "body": -1}


def _glance_at_bucket(value: Any) -> str | None:
    return value if type(value) is str and _can_be_bucket(value) else None


def _glance_at_key(value: Any) -> str | None:
    if type(value) is not str:
        return None
    # Most are told at once.
    plain = value.isascii() and 0 < len(value) <= MAX_KEY_BYTES
    return value if plain or not key_problems(value, "") else None


def _glance_at_query(value: Any) -> str | None:
    return value if type(value) is str and (value.isprintable() or utf8_problem(value) is None) else None


def _glance_at_header(value: Any) -> str | None:
    return value if type(value) is str and header_problem(value) is None else None


def _glance_at_integer(value: Any) -> str | None:
    return str(value) if type(value) is int and 0 < value < 2**63 else None


# By the place, and by the kind or what of the path it is.
_GLANCES: Mapping[tuple[str, str], Glance] = {
    ("path", "Bucket"): _glance_at_bucket,
    ("path", "Key"): _glance_at_key,
    ("query", "string"): _glance_at_query,
    ("header", "string"): _glance_at_header,
    ("query", "integer"): _glance_at_integer,
    ("header", "integer"): _glance_at_integer,
}


def key_problems(key: str, argument: str) -> list[Problem]:
    """Why S3 could not hold an object under `key`; nothing when it can."""
    if is_plain_key(key):
        return []
    if not key:
        return [Problem(argument, "a key of at least one character", "an empty str")]
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return [Problem(argument, "text that UTF-8 can encode", "a str with lone surrogates")]
    if size > MAX_KEY_BYTES:
        return [Problem(argument, f"at most {MAX_KEY_BYTES} bytes of UTF-8", f"{size} bytes")]
    return []


DISPOSITION_HINT = "asyncpresign.content_disposition(filename) makes one of any file's name"
# RFC 9110 section 5.6.2
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def text_problem(value: str) -> tuple[str, str] | None:
    """(expected, got) when `value` cannot travel in a header, which a line break would end."""
    if value.isprintable():
        return None
    if _CONTROL.search(value):
        return ("text without control characters", "a str with a control character")
    return utf8_problem(value)


def header_problem(value: str) -> tuple[str, str] | None:
    """(expected, got) when `value` cannot travel in a header that is signed."""
    if bad := text_problem(value):
        return bad
    # Clients disagree on the bytes of a header that is not ASCII, so a signature over one would not hold.
    return None if value.isascii() else ("ASCII text", "a str with other characters")


def utf8_problem(value: str) -> tuple[str, str] | None:
    """(expected, got) when `value` cannot travel at all."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return ("text that UTF-8 can encode", "a str with lone surrogates")
    return None


# --- how a value of each kind is spelt; None: the value is not of that kind -------------------------------------------

_Pairs = list[tuple[str, str]]
_Encoded = _Pairs | None
_HOST_LABEL = re.compile(r"(?!-)[a-zA-Z0-9-]{1,63}(?<!-)")
_VERSION_SUFFIX = re.compile(r"\?versionId=\S+$")
# Access points, also those of object lambdas and of Outposts: their objects are named `{arn}/object/{key}`.
_POINT_ARN = r"""(?x) arn:aws .* (?: :(?:s3|s3-object-lambda): [a-z0-9-]* :[0-9]{12}:accesspoint[/:] [a-zA-Z0-9.-]{1,63}
    | :s3-outposts: [a-z0-9-]+ :[0-9]{12}:outpost[/:] [a-zA-Z0-9-]{1,63} [/:]accesspoint[/:] [a-zA-Z0-9-]{1,63} ) $"""
# strftime follows the locale; RFC 9110 section 5.6.7 does not.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _string(wire: str, value: Any) -> _Encoded:
    return [(wire, value)] if isinstance(value, str) else None


def _host_label(wire: str, value: Any) -> _Encoded:
    return [(wire, value)] if isinstance(value, str) and _HOST_LABEL.fullmatch(value) else None


def _integer(wire: str, value: Any) -> _Encoded:
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return [(wire, str(value))] if whole else None


def _boolean(wire: str, value: Any) -> _Encoded:
    return [(wire, str(value).lower())] if isinstance(value, bool) else None


def _rfc822(wire: str, value: Any) -> _Encoded:
    if (moment := utc(value)) is None:
        return None
    return [
        (wire, f"{_DAYS[moment.weekday()]}, {moment:%d} {_MONTHS[moment.month - 1]} {moment.year:04} {moment:%H:%M:%S} GMT")
    ]


def _iso8601(wire: str, value: Any) -> _Encoded:
    return [(wire, f"{moment:%Y-%m-%dT%H:%M:%SZ}")] if (moment := utc(value)) is not None else None


def _list(wire: str, value: Any) -> _Encoded:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        return None
    # Quoted as botocore does, where an item holds what separates items.
    quoted = ('"' + item.replace('"', '\\"') + '"' if "," in item or '"' in item else item for item in value)
    return [(wire, ",".join(quoted))] if value else []


def _map(prefix: str, value: Any) -> _Encoded:
    if not isinstance(value, Mapping):
        return None
    if len({str(name).lower() for name in value}) < len(value):
        return None
    for name, text in value.items():
        if not (isinstance(name, str) and HEADER_NAME.fullmatch(name) and isinstance(text, str) and text.isascii()):
            return None
    return [(prefix + name, text) for name, text in value.items()]


def _sse_c_key(wire: str, value: Any) -> _Encoded:
    if not isinstance(value, str | bytes | bytearray):
        return None
    key = value.encode() if isinstance(value, str) else value
    digest = hashlib.md5(key, usedforsecurity=False).digest()
    return [(wire, b2a_base64(key, newline=False).decode()), (f"{wire}-MD5", b2a_base64(digest, newline=False).decode())]


def is_point_arn(text: str) -> bool:
    """Whether `text` is an ARN by which botocore's clients name a bucket: of an access point, in a partition of AWS."""
    return re.match(_POINT_ARN, text) is not None


def _copy_source(wire: str, value: Any) -> _Encoded:
    """Bucket and key percent-encoded, which S3 decodes; a version is not, as botocore has it."""
    if isinstance(value, str):
        suffix = _VERSION_SUFFIX.search(value)
        start = suffix.start() if suffix else len(value)
        source, version = value[:start], value[start:]
    elif isinstance(value, Mapping) and value.keys() <= {"Bucket", "Key", "VersionId"}:
        bucket, key, given = value.get("Bucket"), value.get("Key"), value.get("VersionId")
        if not (isinstance(bucket, str) and isinstance(key, str) and isinstance(given, str | None)):
            return None
        source = f"{bucket}/object/{key}" if is_point_arn(bucket) else f"{bucket}/{key}"
        version = "" if given is None else f"?versionId={given}"
    else:
        return None
    return None if utf8_problem(source) else [(wire, uri_encode(source, keep_slash=True) + version)]


class _Kind(NamedTuple):
    expected: str
    encode: Callable[[str, Any], _Encoded]


_KINDS: Mapping[str, _Kind] = {
    "string": _Kind("a str", _string),
    "host-label": _Kind("a str of up to 63 letters, digits and hyphens between them", _host_label),
    "integer": _Kind("an int of 64 bits", _integer),
    "boolean": _Kind("a bool", _boolean),
    "rfc822": _Kind("a datetime with a time zone", _rfc822),
    "iso8601": _Kind("a datetime with a time zone", _iso8601),
    "list": _Kind("a list of str", _list),
    "map": _Kind("a dict of header tokens, different in more than case, to ASCII texts", _map),
    "sse-c-key": _Kind("the key, as str or bytes", _sse_c_key),
    "copy-source": _Kind("'bucket/key' or a dict of str: Bucket, Key and perhaps VersionId", _copy_source),
}
