"""A presigned URL taken apart again, as the server that checks it does: every part decoded, and spelt canonically.

What decodes alike is one request: the case of hex digits, empty pieces of the query, `+` for a space there, the case of
scheme and host, a default port. A fragment never reaches a server, so a URL with one is invalid. Strings in, values out;
whether the values hold is decided elsewhere.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from urllib.parse import unquote_to_bytes

from .canonical import (
    PAYLOAD,
    PAYLOAD_QUERY,
    UNSIGNED_PAYLOAD,
    canonical_query,
    canonical_request,
    encode_query,
    trim,
    uri_encode,
)
from .signing import CredentialScope, signature, signing_key, string_to_sign

_HOST = re.compile(r"(?i)(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?")
_URL = re.compile(rf"(?i)(https?)://({_HOST.pattern.removeprefix('(?i)')})(/[^?#]*)?(?:\?([^#]*))?")
_WIRE = re.compile(r"[!-~]+")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_TIMESTAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z")
# Canonical only: servers write the number again before they hash it. Some signers write a negative one.
_EXPIRES = re.compile(r"0|-?[1-9][0-9]{0,9}")
# An access key id may contain slashes (MinIO has such users), a scope does not.
_CREDENTIAL = re.compile(r"(?s)(.+)/([0-9]{8})/([!-.0-~]+)/([!-.0-~]+)/aws4_request")

REQUIRED = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature")
# Directory buckets have a token of their own.
TOKENS = ("X-Amz-Security-Token", "X-Amz-S3session-Token")
_CASELESS = {name.lower(): name for name in (*REQUIRED, *TOKENS)}


@dataclass(frozen=True, slots=True)
class SignedURL:
    """What a presigned URL says. `path` and `query` are decoded, the query without the signature.

    `ambiguous` says which spellings servers do not decode alike.
    """

    scheme: str
    host: str
    path: str
    query: tuple[tuple[str, str], ...] = field(repr=False)
    algorithm: str
    access_key_id: str
    scope: CredentialScope
    timestamp: str
    signed_at: datetime
    expires_in: int
    signed_headers: tuple[str, ...]
    session_token: str | None = field(repr=False)
    signature: str = field(repr=False)
    ambiguous: tuple[str, ...]

    def canonical_request(self, method: str, headers: Mapping[str, str]) -> str:
        """What the server hashes; `headers` (names in small letters) are those of the request."""
        block = "".join(f"{name}:{trim(headers.get(name, ''))}\n" for name in self.signed_headers)
        query = canonical_query(encode_query(self.query))
        path = uri_encode(self.path, keep_slash=True)
        payload = headers.get(PAYLOAD, UNSIGNED_PAYLOAD) if self.payload_hash is None else self.payload_hash
        return canonical_request(method, path, query, block, ";".join(self.signed_headers), payload)

    @property
    def payload_hash(self) -> str | None:
        """What the query says of the body's hash, by the name that every server reads."""
        return next((value for name, value in self.query if name == PAYLOAD_QUERY), None)

    def without_token(self) -> SignedURL:
        """As it was before somebody added a session token."""
        return replace(self, query=tuple(pair for pair in self.query if pair[0] not in TOKENS), session_token=None)

    def expected_signature(self, canonical: str, secret_access_key: str) -> str:
        return signature(signing_key(secret_access_key, self.scope), string_to_sign(self.timestamp, self.scope, canonical))


def read_url(url: str, stripped_prefix: str = "") -> SignedURL:
    """Take `url` apart, whose path a proxy will strip of `stripped_prefix`.

    Raises `ValueError`, in words without its values, for what is no URL presigned with SigV4, or has not this prefix.
    """
    found = _URL.fullmatch(url) if _WIRE.fullmatch(url) else None
    if found is None:
        raise ValueError("an http(s) URL in ASCII, as it goes over the wire")
    scheme, path, pieces = found[1].lower(), found[3] or "/", found[4] or ""
    if stripped_prefix:
        if not path.startswith(f"{stripped_prefix}/"):
            raise ValueError("a URL whose path begins with stripped_prefix and a slash")
        path = path.removeprefix(stripped_prefix)
    query = [
        (_decode(name.replace("+", " ")), _decode(value.replace("+", " ")))
        for name, _, value in (piece.partition("=") for piece in pieces.split("&") if piece)
    ]
    said = _authentication(query)
    if said["X-Amz-Algorithm"].startswith("AWS4-ECDSA") and said["X-Amz-Credential"].count("/") == 3:
        raise ValueError("a signature of SigV4, for one region: those of SigV4A, for a set of them, are not read here")
    access_key_id, scope = read_credential(said["X-Amz-Credential"])
    if not _EXPIRES.fullmatch(said["X-Amz-Expires"]):
        raise ValueError("whole seconds in X-Amz-Expires")
    return SignedURL(
        scheme=scheme,
        host=normal_host(scheme, found[2]),
        path=_decode(path),
        query=tuple((name, value) for name, value in query if name != "X-Amz-Signature"),
        algorithm=said["X-Amz-Algorithm"],
        access_key_id=access_key_id,
        scope=scope,
        timestamp=said["X-Amz-Date"],
        signed_at=read_timestamp(said["X-Amz-Date"]),
        expires_in=int(said["X-Amz-Expires"]),
        signed_headers=tuple(said["X-Amz-SignedHeaders"].split(";")),
        session_token=next((said[name] for name in TOKENS if name in said), None),
        signature=said["X-Amz-Signature"],
        ambiguous=tuple(_ambiguous(path, pieces)),
    )


def _ambiguous(path: str, query: str) -> Iterator[str]:
    if "%2F" in path[1:].partition("/")[0].upper():
        yield "a slash is encoded, so that servers do not agree where the bucket ends"
    if ";" in query:
        yield "a semicolon is not encoded, which some servers take for the end of a query parameter"


def is_host(text: str) -> bool:
    """Whether `text`, in any case, is a host and perhaps a port."""
    return _HOST.fullmatch(text) is not None


def normal_host(scheme: str, host: str) -> str:
    """`host` as clients send it and S3 hashes it: small letters, no default port."""
    return host.lower().removesuffix(_DEFAULT_PORTS[scheme])


def read_credential(text: str) -> tuple[str, CredentialScope]:
    """The access key id and the scope in `X-Amz-Credential`. Raises `ValueError`."""
    found = _CREDENTIAL.fullmatch(text)
    if found is None:
        raise ValueError("access_key_id/YYYYMMDD/region/service/aws4_request as credential")
    return found[1], CredentialScope(found[2], found[3], found[4])


def read_timestamp(text: str) -> datetime:
    """The moment, in UTC, that `amz_date` spelt. Raises `ValueError`."""
    try:
        if _TIMESTAMP.fullmatch(text):
            return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        pass
    raise ValueError("YYYYMMDD'T'HHMMSS'Z' as date")


def _authentication(query: list[tuple[str, str]]) -> dict[str, str]:
    """The parameters that prove something, each of them once, whatever the case of its name."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    for name, value in query:
        if known := _CASELESS.get(name.lower()):
            if known in seen:
                raise ValueError(f"one {known}")
            seen.add(known)
            found[name] = value
    if missing := [name for name in REQUIRED if not found.get(name)]:
        raise ValueError(f"a URL presigned with SigV4, which has {', '.join(missing)}")
    return found


def _decode(text: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise ValueError("two hex digits after each %")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise ValueError("UTF-8 behind its escapes") from None
