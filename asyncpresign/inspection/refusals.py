"""Why servers refuse presigned requests, by the code and the words of their error documents.

`REFUSALS` is the table: the messages are those of AWS, MinIO and seaweedfs. One code stands for many causes, so a row with
words comes before the row of its code alone. Server text is data here: it is cut before it is looked at, and only what has
the form of a region or a header name is shown.
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .._s3.documents import ErrorDocument
from .._sigv4.presigned import SignedURL

_LONGEST = 4096  # characters of a server's text that are looked at
_REGION = re.compile(r"[a-z0-9-]{1,32}")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,60}")

_MALFORMED = ("AuthorizationQueryParametersError", "AuthorizationHeaderMalformed", "AuthorizationParametersError")
_DIGESTS = ("BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch")


class Refusal(NamedTuple):
    """A row fits when the error has one of `codes` (none: any) and `words`, in small letters, in its message."""

    codes: tuple[str, ...]
    words: str
    cause: str


ANOTHER_REGION = Refusal(_MALFORMED, "region", "the URL was signed for another region than the bucket's")
REFUSALS = (
    Refusal((), "must be less than a week", "the URL lasts longer than a week, 604800 seconds, which is the most"),
    Refusal((), "x-amz-expires must be non-negative", "the URL's life (X-Amz-Expires) is negative"),
    Refusal((), "x-amz-expires should be a number", "the URL's life (X-Amz-Expires) is not a whole number of seconds"),
    Refusal((), "x-amz-date must be in", "the URL's X-Amz-Date is not of the form 20260101T000000Z"),
    Refusal((), "x-amz-algorithm only supports", "the URL was signed with an algorithm that this server does not take"),
    Refusal((), "region-set", "the URL's region set (SigV4A) does not have the bucket's region"),
    Refusal((), "incorrect service", "the URL was signed for another service than this server's"),
    Refusal((), "incorrect terminal", "X-Amz-Credential does not end in aws4_request"),
    Refusal((), "incorrect date format", "the day in X-Amz-Credential is not of the form 20260101"),
    Refusal((), "invalid credential date", "the scope is of another day than the date"),
    Refusal((), "the credential is mal-formed", "X-Amz-Credential is incomplete, or was encoded once too often"),
    Refusal((), "version 4 requires the x-amz-algorithm", "the URL was cut at an &, or a parameter was dropped"),
    Refusal((), "headers present in the request which were not signed", "headers were sent "
            "that are not signed: send exactly the headers of the PresignedRequest, or sign the others along"),
    Refusal((), "only one auth mechanism", "the request has an Authorization header beside the URL's signature: send none"),
    Refusal((), "has expired", "the URL was used after its end"),
    Refusal((), "not yet valid", "the URL is dated ahead: the clock of the machine that signed is wrong"),
    Refusal((), "not valid yet", "the URL is dated ahead: the clock of the machine that signed is wrong"),
    Refusal((), "require aws signature version 4", "the URL was signed with signature version 2, but KMS needs 4"),
    Refusal((), "iso-8859-1", "a response-... parameter has letters that HTTP cannot carry: write filename*=UTF-8''..."),
    Refusal(("NotImplemented",), "a header you provided implies", "the body was sent in chunks: send its Content-Length"),
    ANOTHER_REGION,
    Refusal(_MALFORMED, "", "a parameter of the signature is not of the form that this server asks for"),
    Refusal(("IllegalLocationConstraintException",), "", "the bucket is in another region: sign for that region and its host"),
    Refusal(("PermanentRedirect",), "", "the bucket is in another region: sign for that region and its host"),
    Refusal(("TemporaryRedirect",), "", "the bucket is in another region: sign for that region and its host"),
    Refusal(("RequestTimeTooSkewed",), "", "the clock of the machine that signed is wrong"),
    Refusal(("InvalidAccessKeyId",), "", "the server does not know this access key id: deleted, or another account's"),
    Refusal(("InvalidToken", "InvalidTokenId"), "", "the session token is damaged, or belongs to other credentials"),
    Refusal(("ExpiredToken",), "", "the temporary credentials ended, and the URL with them"),
    Refusal(_DIGESTS, "", "the body is not the one whose checksum was signed or sent"),
    Refusal(("MissingContentLength",), "", "the body was sent in chunks: send its Content-Length"),
    Refusal(("MethodNotAllowed",), "", "the URL was sent with another HTTP method than it was signed for"),
    Refusal(("AccessDenied",), "", "the signer has no permission for this, or a policy of the bucket denies it"),
)  # fmt: skip

# The checksums of no bytes at all. SDKs that sign without a body put one into the URL.
EMPTY = {
    "content-md5": "1B2M2Y8AsgTpgAmY7PhCfg==",
    "x-amz-checksum-md5": "1B2M2Y8AsgTpgAmY7PhCfg==",
    "x-amz-checksum-crc32": "AAAAAA==",
    "x-amz-checksum-crc32c": "AAAAAA==",
    "x-amz-checksum-crc64nvme": "AAAAAAAAAAA=",
    "x-amz-checksum-sha1": "2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
    "x-amz-checksum-sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    "x-amz-checksum-sha512": "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==",
    "x-amz-checksum-xxhash64": "70bbN1HY6Zk=",
    "x-amz-checksum-xxhash3": "LQaABTjTlMI=",
    "x-amz-checksum-xxhash128": "maoG0wFHmNhgAcMkRo1Jfw==",
    "x-amz-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
}


def refused(error: ErrorDocument, signed: SignedURL) -> list[str]:
    """The cause that the server's error names, if it names one."""
    message = error.message[:_LONGEST].lower()
    region = error.region if _REGION.fullmatch(error.region) and error.region != signed.scope.region else ""
    if region and error.code in _MALFORMED:
        message += " region"
    found = next((row for row in REFUSALS if error.code in (row.codes or (error.code,)) and row.words in message), None)
    if found is None:
        return []
    named = region if found is ANOTHER_REGION or "Redirect" in error.code else ""
    return [f"{found.cause} ({named})" if named else found.cause]


def unsigned_headers(listed: str, signed: SignedURL) -> str:
    """The header names in S3's list of headers that were not signed."""
    secrets = f"{signed.signature} {signed.session_token}"
    names = re.split(r"[\s,;]+", listed[:_LONGEST])
    return ", ".join(name for name in names if _HEADER.fullmatch(name) and name not in secrets)


def empty_checksums(signed: SignedURL, headers: dict[str, str]) -> list[str]:
    """The names of the checksums in the URL, and in the signed headers as far as they are known, that are of an empty body."""
    given = {name.lower(): value for name, value in signed.query} | headers
    return [name for name, value in given.items() if EMPTY.get(name) == value]
