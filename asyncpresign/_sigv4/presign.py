"""Query-string presigning: the authentication parameters, their order, and the URL that carries the signature.

The order in the URL is botocore's (the operation's own parameters, then the authentication ones, the security token
after the signed headers, the signature last); what is hashed is sorted.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

from .canonical import canonical_headers, canonical_query, canonical_request, encode_query, join_query
from .signing import ALGORITHM, CredentialScope, keyed_states, preamble, signing_key

# The shortest and longest life S3 accepts, in seconds (seven days: a signing key's own limit).
MIN_EXPIRES = 1
MAX_EXPIRES = 604_800

_HOLE = "\0"  # stands for the rest of a path; no part of a canonical request can hold it


# A presigned URL as a function of how its path ends, which is encoded.
URLTemplate = Callable[[str], str]


class QuerySigner:
    """Presigns with one credential for one moment and one life (`expires_in`, in seconds); `timestamp` is `amz_date`'s.

    What all of its URLs share is derived, encoded and hashed when it is made: it is to be kept for a second's URLs.
    """

    __slots__ = ("_after", "_before", "_host_only", "_states")

    def __init__(
        self,
        *,
        access_key_id: str,
        secret_access_key: str,
        session_token: str | None,
        scope: CredentialScope,
        timestamp: str,
        expires_in: int,
    ) -> None:
        self._states = keyed_states(signing_key(secret_access_key, scope), preamble(timestamp, scope))
        self._before = encode_query(
            (
                ("X-Amz-Algorithm", ALGORITHM),
                ("X-Amz-Credential", f"{access_key_id}/{scope}"),
                ("X-Amz-Date", timestamp),
                ("X-Amz-Expires", str(expires_in)),
            )
        )
        self._after = [] if session_token is None else encode_query([("X-Amz-Security-Token", session_token)])
        self._host_only = self._proof("host")

    def template(
        self,
        *,
        method: str,
        origin: str,
        host: str,
        path: str,
        query: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
    ) -> URLTemplate:
        """The URLs whose paths begin with `path`, which is encoded and starts with `/`.

        `origin` is `scheme://authority` as it shall stand in the URL, `host` what the client will send as its `Host`
        header; `query` and `headers` are plain text. Every header given is signed, `host` always.
        """
        header_block, signed_headers = canonical_headers({**headers, "host": host}) if headers else (f"host:{host}\n", "host")
        sent, hashed = self._queries(query, signed_headers)
        above, below = canonical_request(method, path + _HOLE, hashed, header_block, signed_headers).split(_HOLE)
        start, end = origin + path, f"?{sent}&X-Amz-Signature="
        inner_state, outer_state = self._states

        def url(rest: str) -> str:
            request = f"{above}{rest}{below}".encode()
            inner, outer = inner_state(), outer_state()
            inner.update(sha256(request).hexdigest().encode())
            outer.update(inner.digest())
            return f"{start}{rest}{end}{outer.hexdigest()}"

        return url

    def _proof(self, signed_headers: str) -> list[tuple[str, str]]:
        """The parameters of authentication in the URL's order."""
        return [*self._before, *encode_query([("X-Amz-SignedHeaders", signed_headers)]), *self._after]

    def _queries(self, own: Sequence[tuple[str, str]], signed_headers: str) -> tuple[str, str]:
        """The whole query but for the signature, as it is sent and as it is hashed."""
        proof = self._host_only if signed_headers == "host" else self._proof(signed_headers)
        encoded = [*encode_query(own), *proof]
        return join_query(encoded), canonical_query(encoded)
