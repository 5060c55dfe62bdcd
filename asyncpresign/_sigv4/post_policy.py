"""POST policies: which conditions a form carries, the document that says so, its signature, and whether a form keeps it.

The document is spelt as botocore spells it (`json.dumps`' defaults), so that equal input gives equal bytes; it is read as
S3 reads it.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
"""

from __future__ import annotations

import base64
import json
import re
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Never, TypedDict, Unpack

from .signing import ALGORITHM, CredentialScope, Hashes, begin, finish, signing_hashes

FILENAME = "${filename}"
LENGTH = "content-length-range"

# `{"field": "value"}`, `["eq" | "starts-with", "$field", "value"]` or `["content-length-range", minimum, maximum]`. An operator
# may be in any case, a size may be a string of digits.
Condition = Mapping[str, str] | Sequence[Any]

_DIGITS = re.compile(r"[0-9]{1,19}")
# Fields that S3 does not ask the policy to cover: those that carry the proof itself, the file, and what it ignores.
_UNCOVERED = frozenset({"policy", "x-amz-signature", "file", "awsaccesskeyid", "signature"})


class Rule(NamedTuple):
    """A condition in one spelling: `field` without `$`, it and `operator` in small letters; a length range has no field."""

    operator: str
    field: str
    value: str | tuple[int, int]


class Policy(NamedTuple):
    """What a policy document says; `expiration` as it stands there."""

    expiration: str
    rules: tuple[Rule, ...]


def read_condition(condition: object) -> Rule | None:
    """`condition` in its one spelling, or None for what S3 takes for no condition."""
    match condition:
        case Mapping():
            pairs = list(condition.items())
            if len(pairs) == 1 and pairs[0][0] and all(isinstance(part, str) for part in pairs[0]):
                return Rule("eq", fold(pairs[0][0]), pairs[0][1])
        case [str(operator), low, high] if fold(operator) == LENGTH:
            minimum, maximum = _size(low), _size(high)
            if minimum is not None and maximum is not None:
                return Rule(LENGTH, "", (minimum, maximum))
        case [str(operator), str(name), str(value)] if fold(operator) in ("eq", "starts-with"):
            if name.startswith("$") and len(name) > 1:
                return Rule(fold(operator), fold(name[1:]), value)
        case _:
            pass
    return None


def fold(name: str) -> str:
    """A field's name in small letters. Only ASCII has case here: Unicode would turn a Kelvin sign into a `k`."""
    return name.lower() if name.isascii() else name


def _size(value: object) -> int | None:
    """The number of bytes that `value` stands for, if it does."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def needs_condition(field: str) -> bool:
    """Whether S3 refuses a form with `field` when no condition speaks of it."""
    return fold(field) not in _UNCOVERED and not fold(field).startswith("x-ignore-")


def key_condition(key: str) -> Condition:
    """An exact match, or `starts-with` for a key that ends in `${filename}`, which S3 replaces by the file's name."""
    return ["starts-with", "$key", key.removesuffix(FILENAME)] if key.endswith(FILENAME) else {"key": key}


def field_condition(name: str, value: str) -> Condition:
    """The same for another field, in which S3 replaces `${filename}` wherever it stands."""
    prefix, found, _ = value.partition(FILENAME)
    return ["starts-with", f"${name}", prefix] if found else {name: value}


def policy_conditions(
    bucket: str, key: str, fields: Mapping[str, str], conditions: Iterable[Condition], proof: Mapping[str, str]
) -> list[Condition]:
    """The caller's `conditions` in order, one for every field that none of them covers, then the form's own.

    One of the form's own that the caller gave already, in either spelling, is not said again.
    """
    stated = list(conditions)
    said = {rule for rule in map(read_condition, stated) if rule}
    covered = {rule.field for rule in said}
    stated += [
        field_condition(name, value) for name, value in fields.items() if needs_condition(name) and fold(name) not in covered
    ]
    implied: tuple[Condition, ...] = (
        {"bucket": bucket},
        key_condition(key),
        *({name: value} for name, value in proof.items()),
    )
    if covered.isdisjoint(("bucket", "key", *proof)):
        return [*stated, *implied]
    return stated + [condition for condition in implied if read_condition(condition) not in said]


class FormArguments(TypedDict):
    """All that makes a form, but for its key. `expiration` is ISO 8601 in UTC, `timestamp` what `amz_date` returns."""

    bucket: str
    fields: Mapping[str, str]
    conditions: Sequence[Condition]
    expiration: str
    access_key_id: str
    secret_access_key: str
    session_token: str | None
    scope: CredentialScope
    timestamp: str


def sign_form(*, key: str, **given: Unpack[FormArguments]) -> dict[str, str]:
    """The form's fields in order: the caller's, the key, the credential, the policy, the signature."""
    proof = _proof(given)
    return _signed(_blank(given["fields"], proof), key, "", _document(key, proof, given), _hashes(given))


def form_template(**given: Unpack[FormArguments]) -> Callable[[str], dict[str, str]]:
    """`sign_form` as a function of the key, for keys without `${filename}` of which none of the conditions speaks."""
    proof = _proof(given)
    blank = _blank(given["fields"], proof)
    hole = json.dumps(key_condition(_HOLE))
    above, below = _document(_HOLE, proof, given).split(hole)
    start, end = hole.split(_quote(_HOLE))
    above, below = above + start, end + below
    # Base64 takes three bytes at a time: what is whole before the key is encoded and hashed here, once.
    whole = len(above) // 3 * 3
    begun, above = _encode(above[:whole]), above[whole:]
    hashes = begin(_hashes(given), begun)
    return lambda key: _signed(blank, key, begun, f"{above}{_quote(key)}{below}", hashes)


def speaks_of_key(conditions: Iterable[Condition]) -> bool:
    return any(rule is not None and rule.field == "key" for rule in map(read_condition, conditions))


_HOLE = "\0"  # stands for a key; nothing that a form can hold has it
_quote = json.encoder.encode_basestring_ascii  # what json.dumps does to a text


def _proof(given: FormArguments) -> dict[str, str]:
    credential = f"{given['access_key_id']}/{given['scope']}"
    proof = {"x-amz-algorithm": ALGORITHM, "x-amz-credential": credential, "x-amz-date": given["timestamp"]}
    token = given["session_token"]
    return proof if token is None else {**proof, "x-amz-security-token": token}


def _hashes(given: FormArguments) -> Hashes:
    return signing_hashes(given["secret_access_key"], given["scope"])


def _document(key: str, proof: Mapping[str, str], given: FormArguments) -> str:
    stated = policy_conditions(given["bucket"], key, given["fields"], given["conditions"], proof)
    plain = [dict(condition) if isinstance(condition, Mapping) else list(condition) for condition in stated]
    return json.dumps({"expiration": given["expiration"], "conditions": plain})


def _encode(document: str) -> str:
    return b2a_base64(document.encode(), newline=False).decode()


def _blank(fields: Mapping[str, str], proof: Mapping[str, str]) -> dict[str, str]:
    """The form before its key is known."""
    return {**fields, "key": "", **proof, "policy": "", "x-amz-signature": ""}


def _signed(blank: dict[str, str], key: str, begun: str, document: str, hashes: Hashes) -> dict[str, str]:
    """The form whose policy is `begun` and then `document`'s base64, of which `hashes` take the latter."""
    rest = _encode(document)
    form = blank.copy()
    form["key"], form["policy"], form["x-amz-signature"] = key, begun + rest, finish(hashes, rest)
    return form


# --- reading and keeping a policy -------------------------------------------------------------------------------------

# What S3's documents escape and JSON does not know.
_ESCAPES = re.compile(r"\\(.)", re.DOTALL)
_READ_AS = {"$": "$", "v": "\\u000b"}


def read_policy(encoded: str) -> Policy:
    """The policy in a form's `policy` field. Raises `ValueError` for what is not the base64 of one.

    Whatever two JSON parsers could read in two ways is invalid: a member that is there twice, `NaN`, text that is no Unicode.
    """
    try:
        document = json.loads(
            _ESCAPES.sub(lambda found: _READ_AS.get(found[1], found[0]), _decode(encoded)),
            object_pairs_hook=_object,
            parse_constant=_no_constant,
        )
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ValueError(f"base64 of a JSON object without repeated members ({type(error).__name__})") from None
    match document:
        case {"expiration": str(expiration), "conditions": list(conditions), **others} if not others:
            rules = [read_condition(condition) for condition in conditions]
        case _:
            raise ValueError("an object with expiration and conditions only")
    if None in rules:
        raise ValueError(f"conditions that S3 knows, which conditions[{rules.index(None)}] is not")
    return Policy(expiration, tuple(rule for rule in rules if rule))


def _decode(encoded: str) -> str:
    data = base64.b64decode(encoded, validate=True)
    if base64.b64encode(data).decode() != encoded:
        raise ValueError("bits after the last byte")
    return data.decode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member is there twice")
    return members


def _no_constant(name: str) -> Never:
    raise ValueError(f"{name} is no JSON")


def basename(filename: str) -> str:
    """What S3 puts in the place of `${filename}`: the text after the last slash or backslash."""
    return re.split(r"[/\\]", filename)[-1]


def is_met(rule: Rule, values: Mapping[str, str], size: int) -> bool:
    """Whether a form whose fields are `values` (names in small letters, `${filename}` expanded) keeps `rule`.

    `size` is the file's, in bytes. A field that is missing meets nothing, not even an empty beginning. A Content-Type with
    commas is a list, of which every item has to begin as asked.
    """
    if isinstance(rule.value, tuple):
        return rule.value[0] <= size <= rule.value[1]
    value = values.get(rule.field)
    if value is None:
        return False
    if rule.operator == "eq":
        return value == rule.value
    items = value.split(",") if rule.field == "content-type" else [value]
    return all(item.startswith(rule.value) for item in items)
