"""Query-string presigning: the authentication parameters, their order, and the URL that carries the signature.

The order in the URL is botocore's (the operation's own parameters, then the authentication ones, the security token
after the signed headers, the signature last); what is hashed is sorted.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import count
from operator import itemgetter
from typing import NamedTuple

from .canonical import UNSIGNED_PAYLOAD, canonical_headers, canonical_query, canonical_request, join_query, uri_encode
from .signing import ALGORITHM, CredentialScope, Hashes, begin, finish, preamble, signing_hashes

# The shortest and longest life S3 accepts, in seconds (seven days: a signing key's own limit).
MIN_EXPIRES = 1
MAX_EXPIRES = 604_800

_NOTHING = sha256()  # to copy it is faster than to call `sha256`, which looks the algorithm up


# Every other one of these texts is to be replaced by a value.
_Pieces = list[str]
_Values = list[str]


class Proof(NamedTuple):
    """What all URLs have in common that one credential signs in one second for one life, in one scope.

    `values` are those of the authentication parameters, encoded, in the order of their names; the `hashes` go on with that
    of a canonical request.
    """

    values: _Values
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
    return Proof(values, begin(signing_hashes(secret_access_key, scope), preamble(timestamp, scope)))


class SignedTemplate(NamedTuple):
    """A template with a proof in place: all but the end of the path is written, and hashed as far as it can be."""

    start: str
    end: str
    above: str
    below: str
    hashes: Hashes

    def __repr__(self) -> str:
        return f"SignedTemplate({self.start!r}, ...)"

    def url(self, rest: str) -> str:
        """The URL whose path ends so; `rest` is encoded."""
        start, end, above, below, hashes = self
        request = _NOTHING.copy()
        request.update(f"{above}{rest}{below}".encode())
        return f"{start}{rest}{end}{finish(hashes, request.hexdigest())}"

    def urls(self, rests: Iterable[str]) -> list[str]:
        """`url` of each."""
        start, end, above, below, (inner_begun, outer_begun) = self
        made = []
        for rest in rests:  # with `finish` written out, whose call would be a twentieth of it
            request, inner, outer = _NOTHING.copy(), inner_begun.copy(), outer_begun.copy()
            request.update(f"{above}{rest}{below}".encode())
            inner.update(request.hexdigest().encode())
            outer.update(inner.digest())
            made.append(f"{start}{rest}{end}{outer.hexdigest()}")
        return made


class OpenTemplate(NamedTuple):
    """A template with a proof in place: `sent` and `hashed` have room for the values of what was left open.

    In `hashed` they stand as `arrange` sorts them, if it has to.
    """

    start: str
    sent: _Pieces
    above: str
    hashed: _Pieces
    arrange: Callable[[_Values], Iterable[str]] | None
    hashes: Hashes

    def __repr__(self) -> str:
        return f"OpenTemplate({self.start!r}, ...)"

    def fill(self, query: _Values, headers: _Values) -> SignedTemplate:
        """With values for what is open, in the order given to `url_template`: `query` is encoded, `headers` are trimmed."""
        end, below = self._endings(query, headers)
        return SignedTemplate(self.start, end, self.above, below, self.hashes)

    def url(self, rest: str, query: _Values, headers: _Values) -> str:
        """The URL of `fill` whose path ends so."""
        end, below = self._endings(query, headers)
        request = _NOTHING.copy()
        request.update(f"{self.above}{rest}{below}".encode())
        return f"{self.start}{rest}{end}{finish(self.hashes, request.hexdigest())}"

    def _endings(self, query: _Values, headers: _Values) -> tuple[str, str]:
        _, sent, _, hashed, arrange, _ = self
        sent, hashed, values = sent.copy(), hashed.copy(), query + headers
        sent[1::2] = query
        hashed[1::2] = arrange(values) if arrange else values
        return "".join(sent), "".join(hashed)


class URLTemplate(NamedTuple):
    """A request to be presigned, whoever signs it, whenever: all that proofs and what is left open leave as it is.

    `start` is the URL's beginning up to the end of the path, `above` the canonical request's; `sent` and `hashed` are what
    follows in either, with room for a proof's values. `arrange` is as in `OpenTemplate`.
    """

    start: str
    sent: _Pieces
    above: str
    hashed: _Pieces
    arrange: Callable[[_Values], Iterable[str]] | None

    def at(self, proof: Proof) -> OpenTemplate:
        start, sent, above, hashed, arrange = self
        values, hashes = proof
        return OpenTemplate(start, _write(sent, values).split("\0"), above, _write(hashed, values).split("\0"), arrange, hashes)


def _write(pieces: _Pieces, values: Iterable[str]) -> str:
    pieces = pieces.copy()
    pieces[1::2] = values
    return "".join(pieces)


def url_template(
    *,
    method: str,
    origin: str,
    host: str,
    path: str,
    query: Sequence[tuple[str, str | None]],
    headers: Mapping[str, str | None],
    with_token: bool,
    payload_hash: str = UNSIGNED_PAYLOAD,
) -> URLTemplate:
    """The URLs whose paths begin with `path`, which is encoded and starts with `/`.

    `origin` is what stands before the path in the URL and is not signed, `scheme://authority` at least; `host` is what the
    client will send as its `Host` header; `query` and `headers` are plain text, or None for what is left open, which no other
    may share its name with. Every header given is signed, `host` always. `with_token` is whether the proofs have a session
    token.
    """
    # What no canonical request can hold stands around what will be replaced: "\0" around the number of a value that is left
    # open, "\1" for a proof's values, which have the same order in both, "\2" where the path ends.
    holes = map("\0{}\0".format, count())
    pairs = [(uri_encode(name), next(holes) if value is None else uri_encode(value)) for name, value in query]
    pairs.append(("X-Amz-Algorithm", ALGORITHM))
    pairs += [(name, "\1\1") for name in ("X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires")]
    given = {name: next(holes) if value is None else value for name, value in headers.items()}
    header_block, signed_headers = canonical_headers({**given, "host": host})
    pairs.append(("X-Amz-SignedHeaders", uri_encode(signed_headers)))
    if with_token:
        pairs.append(("X-Amz-Security-Token", "\1\1"))
    request = canonical_request(method, path + "\2", canonical_query(pairs), header_block, signed_headers, payload_hash)
    above, _, below = request.partition("\2")
    order = list(map(int, below.split("\0")[1::2]))
    arrange: Callable[[_Values], Iterable[str]] | None = None if order == sorted(order) else itemgetter(*order)
    sent = f"?{join_query(pairs)}&X-Amz-Signature="
    return URLTemplate(origin + path, sent.split("\1"), above, below.split("\1"), arrange)
