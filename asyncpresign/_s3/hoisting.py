"""What a caller adds to an operation's query and headers, and which headers S3 also takes from the query.

A URL that needs no header can be used by a browser's link or by `curl URL`. S3 honours some `x-amz-*` headers when they
come as query parameters and silently ignores the others, so only the former are moved. AWS and MinIO do so; other servers
may not (seaweedfs ignores metadata there), so nothing is moved unless it is asked for. Checksums are never moved: AWS does not
compare one that stands in a query.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from .._sigv4.canonical import PAYLOAD, PAYLOAD_QUERY, UNSIGNED_PAYLOAD, payload_hash
from ..errors import InvalidRequest, Problem, UnsupportedRequest, describe
from .operations import HEADER_NAME, BoundRequest, header_problem, text_problem

Hoist = bool | Literal["strict"]

# Names, or beginnings of names, that S3 honours in a query; it ignores checksums, tagging, storage class, object lock,
# encryption and website redirects there.
HONOURED = (
    "x-amz-acl",
    "x-amz-grant-",
    "x-amz-meta-",
    "x-amz-request-payer",
)

# What presigning writes itself, in lower case.
_AUTHENTICATION = frozenset(
    f"x-amz-{name}" for name in ("algorithm", "credential", "date", "expires", "signedheaders", "security-token", "signature")
)
# What the client's HTTP library writes.
_TRANSPORT = frozenset({"host", "connection", "content-length", "transfer-encoding"})


def addition_problems(extra_query: object, extra_headers: object, hoist_headers: object) -> list[Problem]:
    """What is wrong with the additions themselves, whatever they are added to."""
    problems = (
        [] if hoist_headers in (False, True, "strict") else [Problem("hoist_headers", "True, False or 'strict'", "another")]
    )
    for argument, given, taken in (
        ("extra_query", extra_query, _AUTHENTICATION),
        ("extra_headers", extra_headers, _AUTHENTICATION | _TRANSPORT),
    ):
        if given is None:
            continue
        if not isinstance(given, Mapping):
            problems.append(Problem(argument, "a mapping of names to texts", describe(given)))
            continue
        for name, value in given.items():
            problems += _pair_problems(argument, name, value, taken)
        if argument == "extra_headers" and len({str(name).lower() for name in given}) < len(given):
            problems.append(Problem(argument, "names that differ in more than capitals", "one name twice"))
    return problems


def _pair_problems(argument: str, name: object, value: object, taken: frozenset[str]) -> list[Problem]:
    if not isinstance(name, str) or not name or text_problem(name):
        return [Problem(argument, "names that are texts without control characters", describe(name))]
    if argument == "extra_headers" and not HEADER_NAME.fullmatch(name):
        return [Problem(argument, "names that are header names", describe(name))]
    place = f"{argument}[{name!r}]"
    if name.lower() in taken:
        return [Problem(place, "a name that is not written by signing or by the client itself", repr(name))]
    if not isinstance(value, str):
        return [Problem(place, "a str", describe(value))]
    if bad := header_problem(value) if argument == "extra_headers" else text_problem(value):
        return [Problem(place, *bad)]
    if name.lower() == PAYLOAD and argument == "extra_query" and name != PAYLOAD_QUERY and value != UNSIGNED_PAYLOAD:
        return [Problem(place, f"{PAYLOAD_QUERY}, the only spelling that every server reads", repr(name))]
    if name.lower() == PAYLOAD and payload_hash(value) is None:
        return [Problem(place, "the body's SHA-256 in 64 lower-case hex digits, or UNSIGNED-PAYLOAD", describe(value))]
    return []


def extend(
    bound: BoundRequest, extra_query: Mapping[str, str] | None, extra_headers: Mapping[str, str] | None, hoist_headers: Hoist
) -> BoundRequest:
    """`bound` with the additions, which hold no problem, and with the headers that may travel in the query moved there.

    The hash in an added `x-amz-content-sha256` becomes the payload hash. Raises `InvalidRequest` for an addition that the
    operation has already, and `UnsupportedRequest` under "strict" for any header that would have to stay one.
    """
    query = [*bound.query, *(extra_query or {}).items()]
    headers = {**bound.headers, **(extra_headers or {})}
    problems = [
        Problem(f"{argument}[{name!r}]", f"a name that {bound.operation} has not already", repr(name))
        for argument, added, own in (
            ("extra_query", extra_query, [name for name, _ in bound.query]),
            ("extra_headers", extra_headers, [name.lower() for name in bound.headers]),
        )
        for name in added or {}
        if (name.lower() if argument == "extra_headers" else name) in own
    ]
    hashes = {value for name, value in (*query, *headers.items()) if name.lower() == PAYLOAD}
    if len(hashes) > 1:
        problems.append(Problem("extra_headers", "the x-amz-content-sha256 of extra_query, if any", "another"))
    if problems:
        raise InvalidRequest(*problems)
    if hoist_headers:
        hoisted = {name.lower(): value for name, value in headers.items() if name.lower().startswith(HONOURED)}
        if taken := [name for name, _ in query if name in hoisted]:
            expected = "a name that no hoisted header has"
            raise InvalidRequest(*[Problem(f"extra_query[{name!r}]", expected, repr(name)) for name in taken])
        query += hoisted.items()
        headers = {name: value for name, value in headers.items() if not name.lower().startswith(HONOURED)}
        if hoist_headers == "strict" and headers:
            left = ", ".join(sorted(headers))
            raise UnsupportedRequest(f"hoist_headers: S3 takes {left} from headers only; send them, or leave them out")
    return bound._replace(query=query, headers=headers, payload_hash=hashes.pop() if hashes else UNSIGNED_PAYLOAD)
