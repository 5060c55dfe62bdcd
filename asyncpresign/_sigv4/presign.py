"""Query-string presigning: the authentication parameters, their order, and the URL that carries the signature.

The order in the URL is botocore's (the operation's own parameters, then the authentication ones, the security token
after the signed headers, the signature last); what is hashed is sorted.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .canonical import canonical_headers, canonical_query, canonical_request, encode_query, join_query
from .signing import ALGORITHM, CredentialScope, signature, signing_key, string_to_sign

# The shortest and longest life S3 accepts, in seconds (seven days: a signing key's own limit).
MIN_EXPIRES = 1
MAX_EXPIRES = 604_800


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
    """The presigned URL.

    `origin` is `scheme://authority` as it shall stand in the URL, `host` what the client will send as its `Host`
    header; `path` is encoded and starts with `/`; `query` and `headers` are plain text. Every header given is signed,
    `host` always. `expires_in` is in seconds.
    """
    header_block, signed_headers = canonical_headers({**headers, "host": host})
    authentication = [
        ("X-Amz-Algorithm", ALGORITHM),
        ("X-Amz-Credential", f"{access_key_id}/{scope}"),
        ("X-Amz-Date", timestamp),
        ("X-Amz-Expires", str(expires_in)),
        ("X-Amz-SignedHeaders", signed_headers),
    ]
    if session_token is not None:
        authentication.append(("X-Amz-Security-Token", session_token))
    encoded = encode_query((*query, *authentication))
    request = canonical_request(method, path, canonical_query(encoded), header_block, signed_headers)
    signed = signature(signing_key(secret_access_key, scope), string_to_sign(timestamp, scope, request))
    return f"{origin}{path}?{join_query(encoded)}&X-Amz-Signature={signed}"
