"""String to sign, signing key, signature.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class CredentialScope:
    """Where and when a signing key is good: `date` is YYYYMMDD in UTC."""

    date: str
    region: str
    service: str = "s3"

    def __str__(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def utc(value: object) -> datetime | None:
    """`value` in UTC when it is a moment: a datetime with a time zone that the calendar of UTC can hold."""
    if not isinstance(value, datetime) or value.utcoffset() is None:
        return None
    try:
        return value.astimezone(UTC)
    except OverflowError:
        return None


def amz_date(moment: datetime) -> str:
    """`moment`, which is aware, as `X-Amz-Date` spells it: YYYYMMDD'T'HHMMSS'Z' in UTC, fractions of a second dropped."""
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def string_to_sign(timestamp: str, scope: CredentialScope, canonical_request: str) -> str:
    """`timestamp` is what `amz_date` returns."""
    digest = hashlib.sha256(canonical_request.encode()).hexdigest()
    return f"{ALGORITHM}\n{timestamp}\n{scope}\n{digest}"


@lru_cache(maxsize=256)
def signing_key(secret_access_key: str, scope: CredentialScope) -> bytes:
    """The 32-byte key, good for one day, region and service."""
    key = f"AWS4{secret_access_key}".encode()
    for part in (scope.date, scope.region, scope.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def signature(key: bytes, text: str) -> str:
    """The lower-case hex HMAC-SHA256 of a string to sign, or of a base64 POST policy."""
    return hmac.digest(key, text.encode(), "sha256").hex()
