"""What can be checked in a presigned URL alone, without credentials, clock and request.

`verify_url` runs these checks, and `explain_url` names those that fail as causes. Each is as strict as the strictest server:
where two servers read one URL in two ways, it does not hold.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter

from .._sigv4.canonical import PAYLOAD, PAYLOAD_QUERY, UNSIGNED_PAYLOAD, encode_query, payload_hash
from .._sigv4.presign import MAX_EXPIRES, MIN_EXPIRES
from .._sigv4.presigned import TOKENS, SignedURL, is_host, normal_host
from .._sigv4.signing import ALGORITHM

TOKEN, EXPRESS_TOKEN = TOKENS
SIGV2 = frozenset({"awsaccesskeyid", "signature"})
"""Parameters and form fields of signature version 2, in small letters: servers that see one check that version instead."""

_MULTI_REGION = ".accesspoint.s3-global."
# RFC 9110, 5.6.2.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SIGNED_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: its name, whether it holds, and what is wrong where it does not."""

    name: str
    ok: bool
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {'holds' if self.ok else self.detail}"


def check(name: str, ok: bool, detail: str) -> Check:
    return Check(name, ok, "" if ok else detail)


def url_checks(signed: SignedURL) -> Iterator[Check]:
    yield check("algorithm", signed.algorithm == ALGORITHM, f"the algorithm is not {ALGORITHM}")
    many = _MULTI_REGION in signed.host or any(name.lower() == "x-amz-region-set" for name, _ in signed.query)
    yield check("regions", not many, "multi-region access points take SigV4A for a set of regions, and not SigV4")
    yield day_check(signed.scope.date, signed.timestamp)
    yield check(
        "life",
        MIN_EXPIRES <= signed.expires_in <= MAX_EXPIRES,
        f"X-Amz-Expires is {signed.expires_in}: {MIN_EXPIRES} to {MAX_EXPIRES} seconds (a week) are allowed",
    )
    yield check("host", "host" in signed.signed_headers, "host is not among the signed headers")
    ordered = list(signed.signed_headers) == sorted(set(signed.signed_headers))
    yield check(
        "header list",
        ordered and all(map(_SIGNED_NAME.fullmatch, signed.signed_headers)),
        "X-Amz-SignedHeaders is not a sorted list of different names in small letters",
    )
    yield check("spelling", not signed.ambiguous, "; ".join(signed.ambiguous))
    # Some servers sort before they encode, and some leave the values of one name in the order of the URL.
    orders = sorted(signed.query), sorted(signed.query, key=itemgetter(0))
    agreed = all(encode_query(order) == sorted(encode_query(signed.query)) for order in orders)
    yield check("query", agreed, "servers do not agree on the order of the query parameters")
    yield authentication_check("query parameters", [name.lower() for name, _ in signed.query])
    # A few servers read the parameter by one spelling of its name only.
    others = [value for name, value in signed.query if name.lower() == PAYLOAD and name != PAYLOAD_QUERY]
    given = signed.payload_hash
    sound = (given is None or payload_hash(given) is not None) and set(others) <= {UNSIGNED_PAYLOAD}
    yield check("payload", sound, f"{PAYLOAD_QUERY} is no SHA-256 in lower-case hex digits and not {UNSIGNED_PAYLOAD}")
    # Requests to the objects of a directory bucket are signed in a session; those to its control plane are not.
    tokens = [name for name, _ in signed.query if name in TOKENS]
    sound = tokens in ([], [TOKEN]) or (tokens == [EXPRESS_TOKEN] and signed.scope.service == "s3express")
    yield check("token parameter", sound, f"{' and '.join(tokens)} is not the token parameter of this service")


def day_check(day: str, timestamp: str) -> Check:
    return check("day", day == timestamp[:8], f"the scope is of another day ({day}) than the date ({timestamp[:8]})")


def authentication_check(what: str, names: Iterable[str]) -> Check:
    """Whether the signature is the only proof; `names` are in small letters."""
    others = sorted(SIGV2.intersection(names))
    return check("authentication", not others, f"{what} of another way to authenticate: {', '.join(others)}")


def payload_header_check(signed: SignedURL, sent: str | None) -> Check:
    """S3 hashes the payload's hash in place of `UNSIGNED-PAYLOAD` where it is sent."""
    holds = sent is None or (payload_hash(sent) is not None and signed.payload_hash in (None, sent))
    return check("payload header", holds, f"x-amz-content-sha256 is no SHA-256, not {UNSIGNED_PAYLOAD}, or not the query's")


def header_checks(signed: SignedURL, sent: dict[str, str], repeated: frozenset[str]) -> Iterator[Check]:
    """Whether every server reads the headers that were sent alike."""
    sound = is_host(sent["host"]) and normal_host(signed.scheme, sent["host"]) == sent["host"].lower()
    yield check("host header", sound, "it is no host, or has a default port, which some servers leave out")
    twice = sorted(repeated.intersection((*signed.signed_headers, "host")))
    yield check("repeated headers", not twice, f"sent more than once: {', '.join(twice)}")
    bad = [name for name, value in sent.items() if not _HEADER_NAME.fullmatch(name) or has_control(value)]
    bad += [name for name in signed.signed_headers if _is_ambiguous(sent.get(name, ""))]
    yield check("header text", not bad, f"servers do not agree on their bytes: {', '.join(map(ascii, bad))}")


def has_control(text: str) -> bool:
    """Whether `text` has a control character that is no tab."""
    return _CONTROL.search(text) is not None


def _is_ambiguous(value: str) -> bool:
    """Whether `value` has bytes that are no UTF-8, or white space inside that only some servers take for spaces."""
    inner = value.strip(" \t")
    return any(each != " " and (each.isspace() or "\ud800" <= each <= "\udfff") for each in inner)
