"""Which upload forms S3 would refuse, told before they are signed.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTForms.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import Problem, describe
from .operations import bucket_problems, key_problems, text_problem

# What `presign_post` and the client fill in.
_OWN_FIELDS = frozenset(
    {
        "bucket",
        "file",
        "key",
        "policy",
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-security-token",
        "x-amz-signature",
    }
)


def form_problems(
    bucket: object, key: object, fields: object, conditions: object, content_length_range: object
) -> list[Problem]:
    """Everything wrong with what `presign_post` was given; the arguments are named as they are there."""
    problems = bucket_problems(bucket, "bucket") if isinstance(bucket, str) else [Problem("bucket", "a str", describe(bucket))]
    problems += _form_key_problems(key)
    if isinstance(fields, Mapping):
        for name, value in fields.items():
            problems += _field_problems(name, value)
    else:
        problems.append(Problem("fields", "a mapping of field names to texts", describe(fields)))
    if isinstance(conditions, Sequence) and not isinstance(conditions, str | bytes):
        for index, condition in enumerate(conditions):
            problems += _condition_problems(f"conditions[{index}]", condition)
    else:
        problems.append(Problem("conditions", "a list of conditions", describe(conditions)))
    if content_length_range is not None and not _is_range(content_length_range):
        expected = "(minimum, maximum) in bytes, 0 <= minimum <= maximum"
        problems.append(Problem("content_length_range", expected, describe(content_length_range)))
    return problems


def _form_key_problems(key: object) -> list[Problem]:
    if not isinstance(key, str):
        return [Problem("key", "a str", describe(key))]
    if problems := key_problems(key, "key"):
        return problems
    # A line break would end the field; S3 could not be told such a key by a form.
    return [Problem("key", *bad)] if (bad := text_problem(key)) else []


def _field_problems(name: object, value: object) -> list[Problem]:
    argument = f"fields[{name!r}]"
    if not isinstance(name, str) or not name or text_problem(name):
        return [Problem("fields", "names that are texts without control characters", describe(name))]
    if name.lower() in _OWN_FIELDS:
        return [Problem(argument, "a field that the form does not fill in by itself", repr(name))]
    if not isinstance(value, str):
        return [Problem(argument, "a str", describe(value))]
    return [Problem(argument, *bad)] if (bad := text_problem(value)) else []


def _condition_problems(argument: str, condition: object) -> list[Problem]:
    expected = '{"field": "value"}, ["eq" | "starts-with", "$field", "value"] or ["content-length-range", minimum, maximum]'
    match condition:
        case Mapping():
            valid = bool(condition) and all(isinstance(part, str) for item in condition.items() for part in item)
        case ["content-length-range", minimum, maximum]:
            valid = _is_range((minimum, maximum))
        case ["eq" | "starts-with", str(name), str()]:
            valid = name.startswith("$") and len(name) > 1
        case _:
            valid = False
    return [] if valid else [Problem(argument, expected, describe(condition))]


def _is_range(value: object) -> bool:
    match value:
        case (int(minimum), int(maximum)) if not isinstance(minimum, bool) and not isinstance(maximum, bool):
            return 0 <= minimum <= maximum < 2**63
        case _:
            return False
