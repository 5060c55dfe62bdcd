"""Which upload forms S3 would refuse, told before they are signed, with every reason at once.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTForms.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from .._sigv4.post_policy import FILENAME, LENGTH, Condition, Rule, fold, is_met, read_condition
from .._sigv4.signing import ALGORITHM
from ..errors import Problem, describe
from .operations import bucket_problems, is_plain_key, key_problems, text_problem, utf8_problem

MAX_FORM_BYTES = 20 * 1024
"""Without the file's content, boundaries included: what S3 takes before the file.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTForms.html"""

# What `multipart/form-data` puts around a name and its value, with a boundary as long as the shortest that browsers make.
_FRAME = len(f'--{"-" * 38}\r\nContent-Disposition: form-data; name=""\r\n\r\n\r\n')


class Field(NamedTuple):
    """A field of S3's forms. `name` ends in `*` where it is only a beginning."""

    name: str
    starts_with: bool = False  # whether a policy may ask for a beginning only
    ours: bool = False  # written by the form itself or by whoever sends it, not by the caller of `presign_post`
    in_policy: bool = True  # whether a policy can speak of it
    digest: int = 0  # bytes of what its value is the base64 of; 0: any text
    secret: bool = False  # whether its value is nothing to show
    raw: bool = False  # whether its value may have control characters: S3 makes no header of it


# The first row that fits is a field's.
FIELDS = (
    Field("key", starts_with=True, ours=True, raw=True),
    Field("bucket", ours=True),
    Field("acl", starts_with=True),
    Field("Cache-Control", starts_with=True),
    Field("Content-Type", starts_with=True),
    Field("Content-Disposition", starts_with=True),
    Field("Content-Encoding", starts_with=True),
    Field("Expires", starts_with=True),
    Field("success_action_redirect", starts_with=True),
    Field("redirect", starts_with=True),
    Field("success_action_status"),
    Field("tagging", starts_with=True, raw=True),
    Field("x-amz-meta-*", starts_with=True),
    Field("x-ignore-*", starts_with=True, raw=True),
    Field("x-amz-storage-class"),
    Field("x-amz-website-redirect-location"),
    Field("x-amz-object-lock-*"),
    Field("x-amz-checksum-algorithm"),
    Field("x-amz-checksum-type"),
    Field("x-amz-checksum-crc32", digest=4),
    Field("x-amz-checksum-crc32c", digest=4),
    Field("x-amz-checksum-crc64nvme", digest=8),
    Field("x-amz-checksum-sha1", digest=20),
    Field("x-amz-checksum-sha256", digest=32),
    Field("x-amz-checksum-sha512", digest=64),
    Field("x-amz-checksum-md5", digest=16),
    Field("x-amz-checksum-xxhash64", digest=8),
    Field("x-amz-checksum-xxhash3", digest=8),
    Field("x-amz-checksum-xxhash128", digest=16),
    Field("x-amz-server-side-encryption-customer-key", digest=32, secret=True),
    Field("x-amz-server-side-encryption-customer-key-MD5", digest=16, secret=True),
    Field("x-amz-server-side-encryption*"),
    Field("x-amz-algorithm", ours=True),
    Field("x-amz-credential", ours=True, secret=True),
    Field("x-amz-date", ours=True),
    Field("x-amz-security-token", ours=True, secret=True),
    Field("x-amz-signature", ours=True, in_policy=False, secret=True),
    Field("policy", ours=True, in_policy=False, secret=True),
    Field("file", ours=True, in_policy=False),
    Field("x-amz-*"),
    Field(
        "*", starts_with=True, raw=True
    ),  # what S3 does not know is the caller's own, and stands in the policy like any other
)
_EXACT = {field.name.lower(): field for field in FIELDS if not field.name.endswith("*")}
_BEGINNINGS = tuple((field.name[:-1].lower(), field) for field in FIELDS if field.name.endswith("*"))


def form_field(name: str) -> Field:
    """The row of the field `name`, in any case."""
    lowered = fold(name)
    return _EXACT.get(lowered) or next(field for beginning, field in _BEGINNINGS if lowered.startswith(beginning))


def form_problems(
    bucket: object, key: object, fields: object, conditions: object, content_length_range: object
) -> list[Problem]:
    """Everything wrong with what `presign_post` was given; the arguments are named as they are there."""
    problems = bucket_problems(bucket, "bucket") if isinstance(bucket, str) else [Problem("bucket", "a str", describe(bucket))]
    problems += _form_key_problems(key)
    if isinstance(fields, Mapping):
        for name, value in fields.items():
            problems += _field_problems(name, value)
        problems += _case_problems(fields)
    else:
        problems.append(Problem("fields", "a mapping of field names to texts", describe(fields)))
    if isinstance(conditions, Sequence) and not isinstance(conditions, str | bytes):
        # The form's own that can be foretold; the rest is looked at when it is signed (`unmet_problems`).
        given = {"bucket": bucket, "key": key, "x-amz-algorithm": ALGORITHM, **(fields if isinstance(fields, Mapping) else {})}
        problems += _conditions_problems(conditions, content_length_range, given)
    else:
        problems.append(Problem("conditions", "a list of conditions", describe(conditions)))
    if content_length_range is not None and not _length_rule(content_length_range):
        expected = "(minimum, maximum) in bytes, 0 <= minimum <= maximum"
        problems.append(Problem("content_length_range", expected, describe(content_length_range)))
    return problems


def is_plain_form_key(key: object) -> bool:
    """Whether a glance tells that a form can have this key, whatever the file's name."""
    return type(key) is str and is_plain_key(key) and FILENAME not in key


def _form_key_problems(key: object) -> list[Problem]:
    if not isinstance(key, str):
        return [Problem("key", "a str", describe(key))]
    if problems := key_problems(key, "key"):
        return problems
    if FILENAME in key.removesuffix(FILENAME):
        expected = f"{FILENAME} at the end only: S3 puts the file's name in before it compares, and an exact key differs then"
        return [Problem("key", expected, describe(key))]
    return []


def _field_problems(name: object, value: object) -> list[Problem]:
    argument = f"fields[{name!r}]"
    if not isinstance(name, str) or not name or text_problem(name):
        return [Problem("fields", "names that are texts without control characters", describe(name))]
    field = form_field(name)
    if field.ours:
        return [Problem(argument, "a field that the form does not fill in by itself", repr(name))]
    if not isinstance(value, str):
        return [Problem(argument, "a str", describe(value))]
    if bad := _value_problem(field, value):
        return [Problem(argument, *bad)]
    if field.digest and not _is_base64(value, field.digest):
        return [Problem(argument, f"{field.digest} bytes in base64", describe(value))]
    if FILENAME in value and not field.starts_with:
        expected = f"a text without {FILENAME}: a policy can ask for this field's exact value only"
        return [Problem(argument, expected, describe(value))]
    return []


def _value_problem(field: Field, value: str) -> tuple[str, str] | None:
    """(expected, got) when no form carries `value`, or S3 could not make a header of it."""
    return utf8_problem(value) if field.raw else text_problem(value)


def _is_base64(value: str, size: int) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == size
    except ValueError:
        return False


def _case_problems(fields: Mapping[object, object]) -> list[Problem]:
    """S3 takes names that differ in case only for one field, which it refuses to be given twice."""
    first: dict[str, str] = {}
    problems = []
    for name in fields:
        if isinstance(name, str) and first.setdefault(name.lower(), name) != name:
            expected = "a name that differs from the others in more than case"
            problems.append(Problem(f"fields[{name!r}]", expected, f"one like {first[name.lower()]!r}"))
    return problems


def _conditions_problems(
    conditions: Sequence[object], content_length_range: object, given: Mapping[object, object]
) -> list[Problem]:
    """What is wrong with each condition by itself, beside the fields that are `given`, and beside those before it."""
    if not conditions:
        return []
    known = {fold(name): value for name, value in given.items() if name and isinstance(name, str) and isinstance(value, str)}
    problems: list[Problem] = []
    before = [bounds] if (bounds := _length_rule(content_length_range)) else []
    for index, condition in enumerate(conditions):
        rule = read_condition(condition)
        found = _rule_problem(rule, known, before) if rule else (_EXPECTED, describe(condition))
        problems += [Problem(f"conditions[{index}]", *found)] if found else []
        before += [rule] if rule and not found else []
    return problems


def _length_rule(bounds: object) -> Rule | None:
    """(minimum, maximum) as a rule; None when it is no range, or one in which no size lies."""
    if not isinstance(bounds, Sequence) or not all(isinstance(bound, int) for bound in bounds):
        return None
    rule = read_condition([LENGTH, *bounds])
    return rule if rule and not _is_empty(rule) else None


def _is_empty(rule: Rule) -> bool:
    return isinstance(rule.value, tuple) and rule.value[0] > rule.value[1]


def _rule_problem(rule: Rule, known: Mapping[str, str], before: Iterable[Rule]) -> tuple[str, str] | None:
    """(expected, got) when no form could keep `rule`."""
    field = form_field(rule.field)
    if _is_empty(rule):
        return ("a minimum that is not above the maximum", "another")
    if isinstance(rule.value, str) and (bad := text_problem(rule.field) or _value_problem(field, rule.value)):
        return bad
    if not field.in_policy:
        return ("a condition on a field that a policy can speak of", f"one on {rule.field!r}")
    if rule.operator == "starts-with" and not field.starts_with:
        return (f'an exact value, since S3 allows no "starts-with" for {field.name!r}', '"starts-with"')
    if rule.field in known and not _can_meet(rule, known[rule.field]):
        return _BROKEN, f"one that its own {rule.field!r} breaks"
    if any(not _agree(rule, other) for other in before):
        return ("a condition that can be kept together with those before it", f"another on {rule.field or 'the size'!r}")
    return None


_EXPECTED = '{"field": "value"}, ["eq" | "starts-with", "$field", "value"] or ["content-length-range", minimum, maximum]'
_BROKEN = "a condition that the form keeps"


def _can_meet(rule: Rule, value: str) -> bool:
    """Whether a field with `value` keeps `rule` under some name of the file."""
    prefix, varies, _ = value.partition(FILENAME)
    if not varies:
        return is_met(rule, {rule.field: value}, 0)
    wanted = str(rule.value)
    return wanted.startswith(prefix) or (rule.operator == "starts-with" and prefix.startswith(wanted))


def _agree(one: Rule, other: Rule) -> bool:
    """Whether some value keeps both."""
    if one.field != other.field:
        return True
    if isinstance(one.value, tuple) and isinstance(other.value, tuple):
        return max(one.value[0], other.value[0]) <= min(one.value[1], other.value[1])
    if one.operator == "eq":
        return is_met(other, {other.field: str(one.value)}, 0)
    if other.operator == "eq":
        return is_met(one, {one.field: str(other.value)}, 0)
    return str(one.value).startswith(str(other.value)) or str(other.value).startswith(str(one.value))


def unmet_problems(conditions: Sequence[Condition], signed: Mapping[str, str]) -> list[Problem]:
    """Conditions that ask for something else than what signing has just written."""
    rules = [read_condition(condition) for condition in conditions]
    return [
        Problem(f"conditions[{index}]", _BROKEN, f"one that its own {rule.field!r} breaks")
        for index, rule in enumerate(rules)
        if rule and rule.field in signed and not _can_meet(rule, signed[rule.field])
    ]


def room(fields: Mapping[str, str]) -> int:
    """How many bytes `fields` leave for others in a form that S3 reads to its end."""
    return MAX_FORM_BYTES - sum(len(name.encode()) + len(value.encode()) + _FRAME for name, value in fields.items())


def size_problems(fields: Mapping[str, str]) -> list[Problem]:
    """Whether S3 would read the signed form to its end."""
    size = MAX_FORM_BYTES - room(fields)
    if size <= MAX_FORM_BYTES:
        return []
    return [
        Problem("fields", f"a form of at most {MAX_FORM_BYTES} bytes with its policy and without its file", f"{size} bytes")
    ]
