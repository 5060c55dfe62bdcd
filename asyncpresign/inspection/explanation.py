"""Why a presigned URL was refused: what it signs, beside what the server says that it saw.

`CODES` and the causes of `_sigv4.comparison` are tables: a new error code or cause is a row. Values that grant access are
masked in everything that is made here.
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from .._s3.documents import ErrorDocument, MismatchDocument, parse_mismatch
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
from .reading import CredentialsFinder, end_of, find, read, same
from .verification import TOLERANCE

_METHODS = ("GET", "PUT", "HEAD", "DELETE", "POST")
_HASH = "<SHA-256 of the canonical request, whose unknown values are in it>"

# S3's error code -> the usual cause, where no line of the canonical request is to blame.
CODES = {
    "AuthorizationQueryParametersError": "the URL was signed for another region than the bucket's",
    "AuthorizationHeaderMalformed": "the URL was signed for another region than the bucket's",
    "PermanentRedirect": "the bucket is in another region: sign for that region and its host",
    "TemporaryRedirect": "the bucket is in another region: sign for that region and its host",
    "RequestTimeTooSkewed": "the clock of the machine that signed is wrong",
    "InvalidAccessKeyId": "the server does not know this access key id: deleted, or another account's",
    "InvalidToken": "the session token is damaged, or belongs to other credentials",
    "ExpiredToken": "the temporary credentials ended, and the URL with them",
}

# What its message says -> the same, where the code is only AccessDenied.
WORDINGS = {
    "has expired": "the URL was used after its end",
    "not yet valid": "the URL is dated ahead: the clock of the machine that signed is wrong",
}


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
    url: str, *, credentials: Credentials | CredentialsFinder | None = None, error_xml: str | bytes | None = None
) -> Explanation:
    """Say what `url` signs and, given S3's error document or the signer's credentials, why it is refused.

    S3's `SignatureDoesNotMatch` carries the canonical request that it computed, which is compared line by line. Raises
    `InvalidRequest` for what is no presigned URL, or no error document of S3.
    """
    signed = read(url)
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
    causes = dict.fromkeys(
        [difference.cause for difference in differences]
        + list(
            _causes(
                signed, answer, found, matches, bool(seen) and not differences and matches is not False, credentials is not None
            )
        )
    )
    return Explanation(
        mask(canonical), to_sign, str(signed.scope), method, end_of(signed), matches, tuple(differences), tuple(causes)
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
    for method in dict.fromkeys((*first, *possible, *_METHODS)):
        canonical = signed.canonical_request(method, headers)
        if same(signed.expected_signature(canonical, found.secret_access_key), signed.signature):
            return method, True
    return told or (seen.method if seen else None), False


def _causes(
    signed: SignedURL,
    answer: MismatchDocument | None,
    found: Credentials | None,
    matches: bool | None,
    same_text: bool,
    asked: bool,
) -> Iterator[str]:
    now = datetime.now(UTC)
    yield from _said(answer.error) if answer else ()
    if asked and found is None:
        yield "the credentials given here are not those of this access key id"
    if matches is False:
        yield "the secret access key that signed is not the one given here, or the URL or a signed header was changed since"
    if same_text:
        yield from _of_one_text([name for name in signed.signed_headers if name != "host"] if matches is None else [])
    if signed.scope.date != signed.timestamp[:8]:
        yield "the scope is of another day than the date"
    if now > end_of(signed):
        yield f"the URL ended at {end_of(signed).isoformat()}"
    if signed.signed_at > now + TOLERANCE:
        yield f"the URL is dated ahead, {signed.signed_at.isoformat()}: the clock that signed, or this one, is wrong"


def _of_one_text(unproven: list[str]) -> Iterator[str]:
    """Both sides agree on all that a URL tells; the values of the headers `unproven` are in it only as a hash."""
    if unproven:
        yield f"a signed header ({', '.join(unproven)}) was sent with another value than was signed"
    yield "both sides signed the same text, so the server has another secret access key for this id than the signer"


def _said(error: ErrorDocument) -> Iterator[str]:
    if error.code in CODES:
        yield CODES[error.code] + (f" ({error.region})" if error.region else "")
    yield from (cause for words, cause in WORDINGS.items() if words in error.message)


def _read_error(document: object) -> MismatchDocument | None:
    if document is None:
        return None
    try:
        if isinstance(document, str | bytes):
            return parse_mismatch(document.encode(errors="replace") if isinstance(document, str) else document)
    except InvalidRequest:
        pass
    raise InvalidRequest(Problem("error_xml", "S3's <Error> document", describe(document)))
