"""Query-string presigning: the authentication parameters, their order, and the URL that carries the signature.

The order in the URL is botocore's (the operation's own parameters, then the authentication ones, the security token
after the signed headers, the signature last); what is hashed is sorted.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .canonical import canonical_headers, canonical_query, canonical_request, encode_query, join_query
from .signing import ALGORITHM, CredentialScope, keyed_hash, preamble, request_hash, signing_key

# The shortest and longest life S3 accepts, in seconds (seven days: a signing key's own limit).
MIN_EXPIRES = 1
MAX_EXPIRES = 604_800

_PATH = "\0"  # stands for a path; no part of a canonical request can hold it


class QuerySigner:
    """Presigns with one credential for one moment and one life (`expires_in`, in seconds); `timestamp` is `amz_date`'s.

    What all of its URLs share is derived, encoded and hashed when it is made: it is to be kept for a second's URLs.
    """

    __slots__ = ("_after", "_bare", "_before", "_sign")

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
        self._sign = keyed_hash(signing_key(secret_access_key, scope), preamble(timestamp, scope))
        self._before = encode_query(
            (
                ("X-Amz-Algorithm", ALGORITHM),
                ("X-Amz-Credential", f"{access_key_id}/{scope}"),
                ("X-Amz-Date", timestamp),
                ("X-Amz-Expires", str(expires_in)),
            )
        )
        self._after = [] if session_token is None else encode_query([("X-Amz-Security-Token", session_token)])
        self._bare = self._queries((), "host")

    def urls(
        self,
        paths: Iterable[str],
        *,
        method: str,
        origin: str,
        host: str,
        query: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        base: str = "",
    ) -> list[str]:
        """The presigned URLs of `paths`, each of which stands after `base`.

        `origin` is `scheme://authority` as it shall stand in the URL, `host` what the client will send as its `Host`
        header; a path with its base is encoded and starts with `/`; `query` and `headers` are plain text. Every header
        given is signed, `host` always.
        """
        header_block, signed_headers = canonical_headers({**headers, "host": host}) if headers else (f"host:{host}\n", "host")
        sent, hashed = self._queries(query, signed_headers) if query or headers else self._bare
        above, below = canonical_request(method, base + _PATH, hashed, header_block, signed_headers).split(_PATH)
        start, end = origin + base, f"?{sent}&X-Amz-Signature="
        sign = self._sign
        return [f"{start}{path}{end}{sign(request_hash(f'{above}{path}{below}'))}" for path in paths]

    def _queries(self, own: Sequence[tuple[str, str]], signed_headers: str) -> tuple[str, str]:
        """The whole query but for the signature, as it is sent and as it is hashed."""
        encoded = [*encode_query(own), *self._before, *encode_query([("X-Amz-SignedHeaders", signed_headers)]), *self._after]
        return join_query(encoded), canonical_query(encoded)


def presign_url(
    *,
    method: str,
    origin: str,
    host: str,
    path: str,
    query: Sequence[tuple[str, str]],
    headers: Mapping[str, str],
    access_key_id: str,
    secret_access_key: str,
    session_token: str | None,
    scope: CredentialScope,
    timestamp: str,
    expires_in: int,
) -> str:
    """One presigned URL; see `QuerySigner`."""
    signer = QuerySigner(
        access_key_id=access_key_id,
        secret_access_key=secret_access_key,
        session_token=session_token,
        scope=scope,
        timestamp=timestamp,
        expires_in=expires_in,
    )
    [url] = signer.urls([path], method=method, origin=origin, host=host, query=query, headers=headers)
    return url
