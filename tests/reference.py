"""Query-string presigning written down a second time, straight from the specification, with `hmac` and `quote`.

Slow and plain on purpose: nothing is kept, nothing is shared with the package.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from urllib.parse import quote


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def sign(secret: str, scope: str, text: str) -> str:
    """The signature of a string to sign or of a policy; `scope` is `date/region/service/aws4_request`."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    return _hmac(key, text).hex()


def presign(
    *,
    method: str,
    origin: str,
    host: str,
    key: str,
    query: Sequence[tuple[str, str]],
    headers: Mapping[str, str],
    access_key_id: str,
    secret: str,
    token: str | None,
    scope: str,
    timestamp: str,
    expires_in: int,
) -> str:
    """The URL of the object `key` at `origin`."""
    signed = {**{name.lower(): " ".join(value.split()) for name, value in headers.items()}, "host": host}
    proof = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{access_key_id}/{scope}",
        "X-Amz-Date": timestamp,
        "X-Amz-Expires": str(expires_in),
        "X-Amz-SignedHeaders": ";".join(sorted(signed)),
        **({} if token is None else {"X-Amz-Security-Token": token}),
    }
    pairs = [(quote(name, safe="~"), quote(value, safe="~")) for name, value in (*query, *proof.items())]
    path = "/" + quote(key, safe="/~")
    request = [method, path, "&".join(map("=".join, sorted(pairs)))]
    request += [*(f"{name}:{signed[name]}" for name in sorted(signed)), "", ";".join(sorted(signed)), "UNSIGNED-PAYLOAD"]
    digest = hashlib.sha256("\n".join(request).encode()).hexdigest()
    signature = sign(secret, scope, f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{digest}")
    return f"{origin}{path}?{'&'.join(map('='.join, pairs))}&X-Amz-Signature={signature}"
