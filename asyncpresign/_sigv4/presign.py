"""Query-string presigning: the authentication parameters, their order, and the URL that carries the signature.

The order in the URL is botocore's (the operation's own parameters, then the authentication ones, the security token
after the signed headers, the signature last); what is hashed is sorted.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from .canonical import canonical_headers, canonical_query, canonical_request, encode_query, join_query, uri_encode
from .signing import ALGORITHM, CredentialScope, State, keyed_states, preamble, signing_pads

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
_new_hash = sha256().copy  # a third faster than `sha256`, which looks the algorithm up


class Proof(NamedTuple):
    """What all URLs have in common that one credential signs in one second for one life, in one scope.

    `values` are those of the authentication parameters, encoded, in the order of their names; the states are HMAC's, which
    go on with the hash of a canonical request.
    """

    values: tuple[str, ...]
    inner_state: State
    outer_state: State


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
    return Proof(tuple(values), *keyed_states(signing_pads(secret_access_key, scope), preamble(timestamp, scope)))


Signed = Callable[[Iterable[str]], list[str]]


class URLTemplate(NamedTuple):
    """A request to be presigned, whoever signs it, whenever: all that proofs and the ends of paths leave as it is.

    `start` is the URL's beginning up to the end of the path, `above` the canonical request's; `sent` and `hashed` are what
    follows in either, with `%s` for each of a proof's values.
    """

    start: str
    sent: str
    above: str
    hashed: str

    def at(self, proof: Proof) -> Signed:
        """The URLs as a function of how their paths end, encoded."""
        start, above = self.start, self.above
        end, below = self.sent % proof.values, self.hashed % proof.values
        _, inner_state, outer_state = proof

        def urls(rests: Iterable[str]) -> list[str]:
            made = []
            for rest in rests:
                request, inner, outer = _new_hash(), inner_state(), outer_state()
                request.update(f"{above}{rest}{below}".encode())
                inner.update(request.hexdigest().encode())
                outer.update(inner.digest())
                made.append(f"{start}{rest}{end}{outer.hexdigest()}")
            return made

        return urls


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
