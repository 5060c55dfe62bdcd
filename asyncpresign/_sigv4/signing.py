"""String to sign, signing key, signature.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
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
    if not isinstance(value, datetime) or value.utcoffset() is None:
        return None
    try:
        return value.astimezone(UTC)
    except OverflowError:
        return None


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

Pads = tuple["hashlib._Hash", "hashlib._Hash"]
State = Callable[[], "hashlib._Hash"]


def keyed_pads(key: bytes) -> Pads:
    """HMAC-SHA256's two hashes of a `key` of 64 bytes at the most, before the text. They are to be copied."""
    block = key.ljust(_BLOCK, b"\0")
    return hashlib.sha256(block.translate(_INNER)), hashlib.sha256(block.translate(_OUTER))


# A day's of a thousand credentials in four regions; one costs as much as signing five URLs.
@lru_cache(maxsize=4096)
def signing_pads(secret_access_key: str, scope: CredentialScope) -> Pads:
    """`keyed_pads` of the signing key."""
    return keyed_pads(signing_key(secret_access_key, scope))


def keyed_states(pads: Pads, beginning: str) -> tuple[State, State]:
    """What makes fresh copies of HMAC's two hashes for texts that start with `beginning`, which is hashed here, once.

    The first hash goes on with the rest of the text, the second with the digest of the first.
    """
    inner = pads[0].copy()
    inner.update(beginning.encode())
    return inner.copy, pads[1].copy


def keyed_hash(pads: Pads, beginning: str = "") -> Callable[[str], str]:
    """A function from the rest of a text that starts with `beginning` to the text's lower-case hex HMAC-SHA256."""
    inner_state, outer_state = keyed_states(pads, beginning)

    def sign(rest: str) -> str:
        inner, outer = inner_state(), outer_state()
        inner.update(rest.encode())
        outer.update(inner.digest())
        return outer.hexdigest()

    return sign


def signature(key: bytes, text: str) -> str:
    """The lower-case hex HMAC-SHA256 of a string to sign, or of a base64 POST policy."""
    return keyed_hash(keyed_pads(key))(text)
