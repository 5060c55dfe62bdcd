"""What a presigned URL says of itself, and how whatever is given to be inspected is read.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from .._s3.matching import locate, matching_operations
from .._sigv4.presigned import SignedURL, read_url
from .._sigv4.signing import CredentialScope
from ..errors import InvalidRequest, Problem, describe
from ..models import Credentials

CredentialsFinder = Callable[[str], Credentials | None]


@dataclass(frozen=True, slots=True)
class InspectedURL:
    """What a presigned URL says of itself; nothing of it is proven.

    Times are aware and in UTC, `expires_in` is in seconds. `bucket` and `key` are taken from the path, and from the host at
    AWS. `operations` are all that the URL could be for: its method is not in it, and away from AWS a host does not tell
    whether the bucket is in it.
    """

    host: str
    bucket: str | None
    key: str | None
    algorithm: str
    access_key_id: str
    date: str
    region: str
    service: str
    signed_at: datetime
    expires_in: int
    expires_at: datetime
    signed_headers: tuple[str, ...]
    has_session_token: bool
    operations: tuple[str, ...]

    @property
    def operation(self) -> str | None:
        """The operation, where the URL could be for one only."""
        return self.operations[0] if len(self.operations) == 1 else None

    @property
    def scope(self) -> str:
        """The credential scope: day, region, service."""
        return str(CredentialScope(self.date, self.region, self.service))

    @property
    def seconds_left(self) -> float:
        """From now by this machine's clock to the end; negative when it is past."""
        return (self.expires_at - datetime.now(UTC)).total_seconds()


def inspect_url(url: str) -> InspectedURL:
    """Read a URL presigned with SigV4. Raises `InvalidRequest` for anything else."""
    signed = read(url)
    places = locate(signed.host, signed.path)
    return InspectedURL(
        host=signed.host,
        bucket=places[0].bucket,
        key=places[0].key,
        algorithm=signed.algorithm,
        access_key_id=signed.access_key_id,
        date=signed.scope.date,
        region=signed.scope.region,
        service=signed.scope.service,
        signed_at=signed.signed_at,
        expires_in=signed.expires_in,
        expires_at=end_of(signed),
        signed_headers=signed.signed_headers,
        has_session_token=signed.session_token is not None,
        operations=matching_operations(places, dict(signed.query), signed.signed_headers),
    )


# --- reading what was given -------------------------------------------------------------------------------------------


def read(url: object) -> SignedURL:
    """Raises `InvalidRequest` for what is no URL presigned with SigV4."""
    try:
        if isinstance(url, str):
            return read_url(url)
    except ValueError as error:
        raise InvalidRequest(Problem("url", str(error), describe(url))) from None
    raise InvalidRequest(Problem("url", "a str", describe(url)))


def end_of(signed: SignedURL) -> datetime:
    """When the URL ends; the end of time for what no calendar holds."""
    try:
        return signed.signed_at + timedelta(seconds=signed.expires_in)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def find(credentials: object, access_key_id: str) -> Credentials | None:
    """The credentials with this id; None when there are none."""
    found = credentials(access_key_id) if callable(credentials) else credentials
    if not isinstance(found, Credentials | None) or credentials is None:
        expected = "asyncpresign.Credentials, or a function from access key id to them or None"
        raise InvalidRequest(Problem("credentials", expected, describe(found)))
    return found if found and found.access_key_id == access_key_id else None


def same(one: str, other: str) -> bool:
    """In constant time for texts of one length."""
    return hmac.compare_digest(one.encode(errors="replace"), other.encode(errors="replace"))
