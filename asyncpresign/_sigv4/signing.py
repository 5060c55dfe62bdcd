"""String to sign, signing key, signature.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

ALGORITHM = "AWS4-HMAC-SHA256"


class CredentialScope(NamedTuple):
    """Where and when a signing key is good: `date` is YYYYMMDD in UTC."""

    date: str
    region: str
    service: str = "s3"

    def __str__(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def utc(value: object) -> datetime | None:
    """`value` in UTC when it is a moment: a datetime with a time zone that the calendar of UTC can hold."""
    try:
        return value.astimezone(UTC) if isinstance(value, datetime) and value.utcoffset() is not None else None
    except Exception:  # noqa: BLE001 (the calendar ends, or the time zone is the caller's class and raises)
        return None


def iso8601(moment: datetime) -> str:
    """`moment` in UTC; as it is where the calendar of UTC does not have it, or it has no time zone."""
    return (utc(moment) or moment).isoformat().replace("+00:00", "Z")


def amz_date(moment: datetime) -> str:
    """`moment`, which is aware, as `X-Amz-Date` spells it: YYYYMMDD'T'HHMMSS'Z' in UTC, fractions of a second dropped."""
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def preamble(timestamp: str, scope: CredentialScope) -> str:
    """How every string to sign of a moment begins; the hash of the canonical request ends it. `timestamp` is `amz_date`'s."""
    return f"{ALGORITHM}\n{timestamp}\n{scope}\n"


def string_to_sign(timestamp: str, scope: CredentialScope, canonical_request: str) -> str:
    """`timestamp` is what `amz_date` returns."""
    return preamble(timestamp, scope) + hashlib.sha256(canonical_request.encode()).hexdigest()


def signing_key(secret_access_key: str, scope: CredentialScope) -> bytes:
    """The 32-byte key, good for one day, region and service."""
    key = f"AWS4{secret_access_key}".encode()
    for part in (scope.date, scope.region, scope.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


# RFC 2104: what the key, a block long, is combined with inside and outside.
_BLOCK = 64
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))

# HMAC's inner and outer hash so far: the inner goes on with the text, the outer with the digest of the inner. To be copied.
Hashes = tuple["hashlib._Hash", "hashlib._Hash"]


def keyed_hashes(key: bytes) -> Hashes:
    """HMAC-SHA256's hashes before the text; `key` has 64 bytes at the most."""
    block = key.ljust(_BLOCK, b"\0")
    return hashlib.sha256(block.translate(_INNER)), hashlib.sha256(block.translate(_OUTER))


# A day's of a thousand credentials in four regions; one costs as much as signing five URLs.
@lru_cache(maxsize=4096)
def signing_hashes(secret_access_key: str, scope: CredentialScope) -> Hashes:
    """`keyed_hashes` of the signing key."""
    return keyed_hashes(signing_key(secret_access_key, scope))


def begin(hashes: Hashes, text: str) -> Hashes:
    """`hashes` after `text`."""
    inner, outer = hashes
    inner = inner.copy()
    inner.update(text.encode())
    return inner, outer


def finish(hashes: Hashes, text: str) -> str:
    """The lower-case hex HMAC-SHA256 of all that was hashed, and `text`."""
    inner, outer = hashes
    inner, outer = inner.copy(), outer.copy()
    inner.update(text.encode())
    outer.update(inner.digest())
    return outer.hexdigest()


def signature(key: bytes, text: str) -> str:
    """The lower-case hex HMAC-SHA256 of a string to sign, or of a base64 POST policy."""
    return finish(keyed_hashes(key), text)
