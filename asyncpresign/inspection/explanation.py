"""Why a presigned URL was refused: what it signs, beside what the server says that it saw.

A cause comes from the first of these that knows one: the lines that differ (`_sigv4.comparison`), what the server says
(`refusals`), what the URL itself says (`checks`), the clock. Values that grant access are masked in everything that is made
here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from .._s3.documents import MismatchDocument, parse_mismatch
from .._s3.matching import locate, matching_operations
from .._s3.operations import lookup
from .._sigv4.comparison import (
    UNKNOWN,
    Difference,
    Parts,
    compare_requests,
    compare_texts_to_sign,
    mask,
    split_request,
)
from .._sigv4.presigned import SignedURL
from .._sigv4.signing import string_to_sign
from ..errors import InvalidRequest, Problem, describe
from ..models import Credentials
from .checks import url_checks
from .reading import CredentialsFinder, end_of, find, has_ended, read, same
from .refusals import empty_checksums, refused, unsigned_headers
from .verification import METHODS, TOLERANCE

# How AWS begins the ids of temporary access keys.
_TEMPORARY = "ASIA"
_ANOTHER_REQUEST = (
    "another request was sent than was signed: another method, another Host, or headers that are not the signed ones"
)
_HASH = "<SHA-256 of the canonical request, whose unknown values are in it>"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a URL's signature stands for, in the words of the specification, and what is wrong with it.

    Values that grant access are masked, and those that a URL does not tell are named so. `method` is the HTTP method when it
    is known; `signature_matches` is None where the credentials are not at hand or a signed value is not known. `differences`
    are between what was signed and what the server saw; `causes` come most likely first.
    """

    canonical_request: str
    string_to_sign: str
    scope: str
    method: str | None
    expires_at: datetime
    signature_matches: bool | None
    differences: tuple[Difference, ...]
    causes: tuple[str, ...]

    def __str__(self) -> str:
        known = {True: "it is right", False: "it is wrong", None: "it cannot be computed from what is known"}
        sections = (
            ("Scope", [self.scope]),
            ("Ends", [self.expires_at.isoformat()]),
            (f"Canonical request ({self.method or 'method not known'})", self.canonical_request.split("\n")),
            ("String to sign", self.string_to_sign.split("\n")),
            ("Signature", [known[self.signature_matches]]),
            ("Differences", list(map(str, self.differences))),
            ("Usual causes", list(self.causes)),
        )
        return "\n".join("\n".join([f"{title}:", *(f"    {line}" for line in lines)]) for title, lines in sections if lines)


def explain_url(
    url: str,
    *,
    credentials: Credentials | CredentialsFinder | None = None,
    error_xml: str | bytes | None = None,
    stripped_prefix: str = "",
) -> Explanation:
    """Say what `url` signs and, given S3's error document or the signer's credentials, why it is refused.

    S3's `SignatureDoesNotMatch` carries the canonical request that it computed, which is compared line by line. Raises
    `InvalidRequest` for what is no presigned URL, or no error document of S3. `stripped_prefix` is as in `verify_url`.
    """
    return explain_at(url, datetime.now(UTC), credentials=credentials, error_xml=error_xml, stripped_prefix=stripped_prefix)


def explain_at(
    url: str,
    now: datetime,
    *,
    credentials: Credentials | CredentialsFinder | None = None,
    error_xml: str | bytes | None = None,
    stripped_prefix: str = "",
) -> Explanation:
    """`explain_url` at the time `now`, in UTC."""
    signed = read(url, stripped_prefix)
    answer = _read_error(error_xml)
    seen = split_request(answer.canonical_request) if answer else None
    headers = {name: (seen and seen.headers.get(name)) or UNKNOWN for name in signed.signed_headers} | {"host": signed.host}
    found = None if credentials is None else find(credentials, signed.access_key_id)
    method, matches = _signed_method(signed, headers, found, seen)
    canonical = signed.canonical_request(method or "<method>", headers)
    ours = split_request(canonical)
    to_sign = string_to_sign(signed.timestamp, signed.scope, canonical)
    if method is None or UNKNOWN in headers.values():
        to_sign = "\n".join([*to_sign.split("\n")[:-1], _HASH])
    differences = compare_requests(ours, seen) if ours and seen else []
    differences += compare_texts_to_sign(to_sign, answer.string_to_sign) if answer and answer.string_to_sign else []
    causes = [difference.cause for difference in differences]
    if answer:
        causes += refused(answer.error, signed)
        if unsigned := unsigned_headers(answer.headers_not_signed, signed):
            causes.append(f"not signed, but sent: {unsigned}")
    if empty := empty_checksums(signed, headers):
        causes.append(f"the checksum of an empty body is signed, which no other body fits: {', '.join(empty)}")
    if credentials is not None and found is None:
        causes.append("the credentials given here are not those of this access key id")
    if found and matches is False:
        causes.append(_of_another_text(signed, headers, found))
    if seen and not differences and matches is not False:
        causes += _of_one_text([name for name in signed.signed_headers if name != "host"] if matches is None else [])
    causes += [each.detail for each in url_checks(signed) if not each.ok]
    causes += [*_of_token(signed, found), *_of_time(signed, found, now)]
    if not causes and answer and answer.error.code == "SignatureDoesNotMatch":
        causes.append(_ANOTHER_REQUEST if matches else f"{_ANOTHER_REQUEST}; or the server has another secret access key")
    return Explanation(
        mask(canonical),
        to_sign,
        str(signed.scope),
        method,
        end_of(signed),
        matches,
        tuple(differences),
        tuple(dict.fromkeys(causes)),
    )


def _signed_method(
    signed: SignedURL, headers: Mapping[str, str], found: Credentials | None, seen: Parts | None
) -> tuple[str | None, bool | None]:
    """The method that was signed for, as far as it can be told, and whether the signature is right for it."""
    operations = matching_operations(locate(signed.host, signed.path), dict(signed.query), signed.signed_headers)
    possible = list(dict.fromkeys(lookup(name).method for name in operations))
    told = possible[0] if len(possible) == 1 else None
    if found is None or UNKNOWN in headers.values():
        return told or (seen.method if seen else None), None
    first = [seen.method] if seen else []
    if right := _method_of(signed, headers, found, (*first, *possible, *METHODS)):
        return right, True
    return told or (seen.method if seen else None), False


def _method_of(signed: SignedURL, headers: Mapping[str, str], found: Credentials, methods: Iterable[str]) -> str | None:
    """The first of `methods` for which the signature is right."""
    for method in dict.fromkeys(methods):
        canonical = signed.canonical_request(method, headers)
        if same(signed.expected_signature(canonical, found.secret_access_key), signed.signature):
            return method
    return None


def _of_another_text(signed: SignedURL, headers: Mapping[str, str], found: Credentials) -> str:
    if signed.session_token is not None and _method_of(signed.without_token(), headers, found, METHODS):
        return "the session token is not signed: it was added to the URL afterwards"
    return "the secret access key that signed is not the one given here, or the URL or a signed header was changed since"


def _of_one_text(unproven: list[str]) -> Iterator[str]:
    """Both sides agree on all that a URL tells; the values of the headers `unproven` are in it only as a hash."""
    if unproven:
        yield f"a signed header ({', '.join(unproven)}) was sent with another value than was signed"
    yield "both sides signed the same text, so the server has another secret access key for this id than the signer"


def _of_token(signed: SignedURL, found: Credentials | None) -> Iterator[str]:
    temporary = signed.access_key_id.startswith(_TEMPORARY) or (found is not None and found.session_token is not None)
    if temporary and signed.session_token is None:
        yield "the access key is a temporary one, and the URL has no session token"
    if found and found.session_token and signed.session_token and not same(found.session_token, signed.session_token):
        yield "the session token is not that of the credentials given here"


def _of_time(signed: SignedURL, found: Credentials | None, now: datetime) -> Iterator[str]:
    if now > end_of(signed):
        yield f"the URL ended at {end_of(signed).isoformat()}"
    if has_ended(found, now):
        yield "the credentials have ended, and the URL with them"
    if signed.signed_at - now > TOLERANCE:
        yield f"the URL is dated ahead, {signed.signed_at.isoformat()}: the clock that signed, or this one, is wrong"


def _read_error(document: object) -> MismatchDocument | None:
    if document is None:
        return None
    try:
        if isinstance(document, str | bytes):
            return parse_mismatch(document.encode(errors="replace") if isinstance(document, str) else document)
    except InvalidRequest:
        pass
    raise InvalidRequest(Problem("error_xml", "S3's <Error> document", describe(document)))
