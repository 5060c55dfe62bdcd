"""Query-string presigning: the authentication parameters, their order, and the URL that carries the signature.

The order in the URL is botocore's (the operation's own parameters, then the authentication ones, the security token
after the signed headers, the signature last); what is hashed is sorted.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from .canonical import canonical_headers, canonical_query, canonical_request, encode_query, join_query, uri_encode
from .signing import ALGORITHM, CredentialScope, Hashes, begin, preamble, signing_hashes

# The shortest and longest life S3 accepts, in seconds (seven days: a signing key's own limit).
MIN_EXPIRES = 1
MAX_EXPIRES = 604_800

_HOLE = "\0"  # stands for what a template leaves open; no part of a canonical request can hold it
_PROOF = (
    ("X-Amz-Algorithm", ALGORITHM),
    ("X-Amz-Credential", _HOLE),
    ("X-Amz-Date", _HOLE),
    ("X-Amz-Expires", _HOLE),
)
_NOTHING = sha256()  # to copy it is faster than to call `sha256`, which looks the algorithm up


class Proof(NamedTuple):
    """What all URLs have in common that one credential signs in one second for one life, in one scope.

    `values` are those of the authentication parameters, encoded, in the order of their names; the `hashes` go on with that
    of a canonical request.
    """

    values: tuple[str, ...]
    hashes: Hashes

    def __repr__(self) -> str:
        return "Proof(...)"


def prove(
    *,
    access_key_id: str,
    secret_access_key: str,
    session_token: str | None,
    scope: CredentialScope,
    timestamp: str,
    expires_in: int,
) -> Proof:
    """`timestamp` is `amz_date`'s, `expires_in` in seconds."""
    values = [uri_encode(f"{access_key_id}/{scope}"), timestamp, str(expires_in)]
    if session_token is not None:
        values.append(uri_encode(session_token))
    return Proof(tuple(values), begin(signing_hashes(secret_access_key, scope), preamble(timestamp, scope)))


class SignedTemplate(NamedTuple):
    """A template with a proof in place: all but the end of the path is written, and hashed as far as it can be."""

    start: str
    end: str
    above: str
    below: str
    hashes: Hashes

    def __repr__(self) -> str:
        return f"SignedTemplate({self.start!r}, ...)"

    def urls(self, rests: Iterable[str]) -> list[str]:
        """The URLs whose paths end so; `rests` are encoded."""
        start, end, above, below, (inner_begun, outer_begun) = self
        made = []
        for rest in rests:  # with `finish` written out, whose call would be a twentieth of it
            request, inner, outer = _NOTHING.copy(), inner_begun.copy(), outer_begun.copy()
            request.update(f"{above}{rest}{below}".encode())
            inner.update(request.hexdigest().encode())
            outer.update(inner.digest())
            made.append(f"{start}{rest}{end}{outer.hexdigest()}")
        return made


class URLTemplate(NamedTuple):
    """A request to be presigned, whoever signs it, whenever: all that proofs and the ends of paths leave as it is.

    `start` is the URL's beginning up to the end of the path, `above` the canonical request's; `sent` and `hashed` are what
    follows in either, with `%s` for each of a proof's values.
    """

    start: str
    sent: str
    above: str
    hashed: str

    def at(self, proof: Proof) -> SignedTemplate:
        start, sent, above, hashed = self
        values, hashes = proof
        return SignedTemplate(start, sent % values, above, hashed % values, hashes)


def url_template(
    *,
    method: str,
    origin: str,
    host: str,
    path: str,
    query: Sequence[tuple[str, str]],
    headers: Mapping[str, str],
    with_token: bool,
) -> URLTemplate:
    """The URLs whose paths begin with `path`, which is encoded and starts with `/`.

    `origin` is `scheme://authority` as it shall stand in the URL, `host` what the client will send as its `Host` header;
    `query` and `headers` are plain text. Every header given is signed, `host` always. `with_token` is whether the proofs
    have a session token.
    """
    header_block, signed_headers = canonical_headers({**headers, "host": host}) if headers else (f"host:{host}\n", "host")
    pairs = [*encode_query(query), *_PROOF, ("X-Amz-SignedHeaders", uri_encode(signed_headers))]
    if with_token:
        pairs.append(("X-Amz-Security-Token", _HOLE))
    request = canonical_request(method, path + _HOLE, canonical_query(pairs), header_block, signed_headers)
    above, _, below = request.partition(_HOLE)
    return URLTemplate(origin + path, _format(f"?{join_query(pairs)}&X-Amz-Signature="), above, _format(below))


def _format(text: str) -> str:
    return text.replace("%", "%%").replace(_HOLE, "%s")
